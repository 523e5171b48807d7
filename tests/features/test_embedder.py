"""Features of a config's encoder, stored and taken in its place."""
import copy

import numpy as np
import pytest
import torch
from fake_data import write_fake_dataset, write_image
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from testers import TINY_INTERPRETER, build_interpreter

from rscc.datasets.features import read_index
from rscc.features import embedder
from rscc.features.embedder import EncoderEmbedder, images_dataset
from rscc.features.extraction import extract, how_to_use, images_of
from rscc.inference.preparation import BatchOptions
from rscc.models.contracts import Normalisation
from rscc.models.encoders.backbone import BackboneEncoder
from rscc.registry import DATASETS, MODELS

GRID = (2, 3)
ENCODER = dict(TINY_INTERPRETER['encoder'], pool_tokens=GRID)
MODEL = dict(TINY_INTERPRETER, encoder=ENCODER, change_head=None, freeze=[r'^encoder\.'],
             fusion=dict(type='DifferenceFusion', channels=16, zero_init=False, position=True))
STORED = dict(type='StoredFeatures', channels=16, token_grid=GRID)
IMAGES = [dict(type='LoadFrames'), dict(type='FramesResize', size=(64, 96)),
          dict(type='PackChangeInputs')]
OPTIONS = BatchOptions(batch_size=4, num_workers=0)


@pytest.fixture
def cfg(tmp_path, monkeypatch):
    """A config over 3 x 4 pairs."""
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    dataset = dict(type='LEVIRCCDataset', data_root='LEVIR-CC', split='test', pipeline=IMAGES,
                   test_mode=True)
    write_fake_dataset(tmp_path, dataset)
    return Config(dict(model=copy.deepcopy(MODEL), test_dataloader=dict(dataset=dataset)))


@pytest.fixture
def model():
    """The model whose frozen encoder is stored; it has seen some batches."""
    made = build_interpreter(**{key: MODEL[key] for key in ('encoder', 'fusion', 'change_head',
                                                            'freeze')})
    with torch.no_grad():
        for name, value in made.named_buffers():
            if 'running_var' in name:
                value.uniform_(0.5, 2)
    return made.eval()


@pytest.fixture
def checkpoint(model, tmp_path):
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'epoch_1.pth')
    return tmp_path / 'epoch_1.pth'


@pytest.fixture
def said(monkeypatch):
    messages = []
    monkeypatch.setattr(embedder, 'warn_once', messages.append)
    return messages


def embed(cfg, checkpoint=None, dtype='float16'):
    """Return embedder, dataset and file."""
    torch.manual_seed(7)
    dataset = images_dataset(cfg)
    embedder = EncoderEmbedder(cfg, checkpoint, next(iter(images_of(dataset).values())))
    file = f'{dataset.data_root}/x.safetensors'
    extract(dataset, embedder, embedder.read, file, OPTIONS, tokens=True, dtype=dtype)
    return embedder, dataset, file


def batch_of(cfg, **changes):
    dataset = DATASETS.build(dict(cfg.test_dataloader.dataset, **changes))
    return pseudo_collate([dataset[row] for row in range(len(dataset))])


def from_file(embedder, **options):
    features = dict(file='x.safetensors', tokens=True, token_grid=GRID,
                    encoder=embedder.facts['encoder'], weights=embedder.facts['weights'])
    return dict(features=features | options, pipeline=[dict(type='PackChangeInputs')])


@pytest.mark.parametrize(('dtype', 'close'), [('float32', 1e-6), ('float16', 2e-3)])
def test_a_head_on_stored_pairs_sees_what_the_live_encoder_gives(cfg, model, checkpoint, dtype,
                                                                 close):
    embedder, _, _ = embed(cfg, checkpoint, dtype)
    twin = build_interpreter(encoder=STORED, fusion=MODEL['fusion'], change_head=None).eval()
    twin.fusion.load_state_dict(model.fusion.state_dict())
    twin.caption_head.load_state_dict(model.caption_head.state_dict())
    live, stored = batch_of(cfg), batch_of(cfg, **from_file(embedder))
    assert stored['inputs'][0].dtype == getattr(torch, dtype)
    expected = model.extract(model.data_preprocessor(live)['inputs'])
    found = twin.extract(twin.data_preprocessor(stored)['inputs'])
    assert found.token_grid == expected.token_grid == (3, *GRID)
    for part in ('tokens', 'pooled'):
        torch.testing.assert_close(getattr(found, part), getattr(expected, part), atol=close,
                                   rtol=close)
    captions = [[answer.pred_caption for answer in made.test_step(batch)]
                for made, batch in ((model, live), (twin, stored))]
    assert captions[0] == captions[1]


def test_a_pair_trains_on_its_features(cfg, checkpoint):
    embedder, _, _ = embed(cfg, checkpoint)
    steps = [dict(type='PickCaptions'), dict(type='PackChangeInputs')]
    data = batch_of(cfg, **from_file(embedder) | dict(pipeline=steps, split='train'))
    twin = build_interpreter(encoder=STORED, fusion=MODEL['fusion'], change_head=None)
    losses = twin(**twin.data_preprocessor(data, True), mode='loss')
    sum(losses.values()).backward()
    assert all(value.isfinite() for value in losses.values())
    assert twin.fusion.difference.weight.grad.abs().sum() > 0


def test_the_index_tells_encoder_weights_preparation_and_grid(cfg, checkpoint):
    embedder, _, file = embed(cfg, checkpoint)
    index = read_index(file)
    assert index['model'] == 'BackboneEncoder of mmseg.ResNet'
    assert index['token_grid'] == [*GRID] and (index['tokens'], index['width']) == (6, 16)
    assert len(index['images']) == 24 and index['images'][0] == 'images/train/A/train_000000.png'
    assert index['preprocessing']['pipeline'][1] == dict(type='FramesResize', size=[64, 96])
    assert (index['encoder'], index['weights']) == (embedder.facts['encoder'],
                                                    embedder.facts['weights'])


def test_features_of_other_weights_or_another_preparation_are_refused(cfg, checkpoint):
    embedder, dataset, file = embed(cfg, checkpoint)
    random = EncoderEmbedder(cfg, None, next(iter(images_of(dataset).values())))
    assert random.facts['encoder'] == embedder.facts['encoder']
    with pytest.raises(ValueError, match='with other settings: weights is '):
        extract(dataset, random, random.read, file, OPTIONS, tokens=True)
    with pytest.raises(ValueError, match=r"other weights of 'BackboneEncoder of mmseg\.ResNet'"):
        batch_of(cfg, **from_file(random))
    cfg.test_dataloader.dataset.pipeline[1]['size'] = (96, 64)
    turned = EncoderEmbedder(cfg, checkpoint, next(iter(images_of(dataset).values())))
    with pytest.raises(ValueError, match='features of another encoder than the config asks for'):
        batch_of(cfg, **from_file(turned))


def test_where_weights_came_from_is_not_part_of_the_encoder(cfg, checkpoint, said):
    one, _, _ = embed(cfg, checkpoint)
    cfg.model.encoder.backbone.init_cfg = dict(type='Kaiming', layer='Conv2d')
    cfg.model['freeze'] = []
    cfg.model.change_head = dict(type='mmseg.FPNHead')
    other = EncoderEmbedder(cfg, None, next(iter(images_of(images_dataset(cfg)).values())))
    assert other.facts['encoder'] == one.facts['encoder']
    assert other.facts['weights'] != one.facts['weights']
    assert 'parameters of the encoder learn in this config, backbone.conv1' in said[0]
    assert 'feature maps are not stored' in said[1] and len(said) == 2


def test_a_random_network_is_told_without_a_line_for_every_tensor(cfg, said, capfd):
    embed(cfg)
    assert len(said) == 1 and 'will be those of a random network' in said[0]
    assert 'init_weights' not in ''.join(capfd.readouterr())


def test_a_checkpoint_of_another_encoder_is_refused(cfg, checkpoint, tmp_path):
    cfg.model.encoder.backbone.base_channels = 8
    with pytest.raises(ValueError, match=r"epoch_1\.pth' does not fit the encoder of this config"):
        embed(cfg, checkpoint)
    torch.save(dict(state_dict={}), tmp_path / 'none.pth')
    with pytest.raises(ValueError, match='does not fit the encoder'):
        embed(cfg, tmp_path / 'none.pth')


def test_images_of_several_sizes_want_a_resize(cfg, tmp_path):
    image = tmp_path / 'LEVIR-CC/images/val/B/val_000001.png'
    write_image(image, np.zeros((80, 64, 3), np.uint8))
    write_image(image.parents[1] / 'A/val_000001.png', np.zeros((80, 64, 3), np.uint8))
    embed(cfg)
    del cfg.test_dataloader.dataset.pipeline[1]
    cfg.test_dataloader.dataset.data_root = str(tmp_path / 'LEVIR-CC')
    dataset = images_dataset(cfg)
    embedder = EncoderEmbedder(cfg, None, next(iter(images_of(dataset).values())))
    with pytest.raises(ValueError, match=r"2 of 24 images .*'.*val_000001\.png' is \(80, 64\) "
                       r'\(H, W\) and the first image \(64, 64\): .*put FramesResize'):
        extract(dataset, embedder, embedder.read, tmp_path / 'y.safetensors', OPTIONS)


def test_what_has_no_encoder_of_images_is_refused(cfg):
    cfg.model.encoder = dict(STORED)
    with pytest.raises(ValueError, match="it is 'StoredFeatures': give the config with the encoder "
                       'that reads images'):
        EncoderEmbedder(cfg, None, 'x.png')
    with pytest.raises(ValueError, match=r'no test_dataloader\.dataset whose images'):
        images_dataset(Config(dict(model=cfg.model)))


def test_an_encoder_without_pooled_feature_gets_the_mean(cfg, checkpoint, monkeypatch):
    embedder, dataset, _ = embed(cfg, checkpoint)
    pixels = embedder.read(next(iter(images_of(dataset).values())))[None]
    _, tokens = embedder(pixels)
    plain = type(embedder.encoder).encode

    def without(self, images):
        features = plain(self, images)
        features.pooled = None
        return features

    monkeypatch.setattr(type(embedder.encoder), 'encode', without)
    torch.testing.assert_close(embedder(pixels)[0], tokens.mean(1))
    monkeypatch.setattr(type(embedder.encoder), 'encode', lambda self, images: type(
        plain(self, images))())
    with pytest.raises(ValueError, match='returns no tokens'):
        EncoderEmbedder(cfg, checkpoint, next(iter(images_of(dataset).values())))


def test_the_lines_for_a_config_work_as_they_stand(cfg, checkpoint):
    embedder, dataset, file = embed(cfg, checkpoint)
    lines = how_to_use(file, dataset).splitlines()
    names = {}
    exec(lines[0].split(': ', 1)[1], names)
    exec(lines[1].split(': ', 1)[1], names)
    assert names['encoder'].pop('_delete_') and names['encoder'] == STORED
    stored = batch_of(cfg, features=names['features'], pipeline=[dict(type='PackChangeInputs')])
    assert stored['inputs'][0].shape == (2, 7, 16)
    assert embedder.facts['weights'] in lines[0]


class Told(BackboneEncoder):
    """An encoder whose weights tell how they were trained to see images."""
    size_divisor = 48

    def normalisation(self):
        return Normalisation((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 'weights')


@pytest.fixture
def told(cfg, monkeypatch):
    monkeypatch.setitem(MODELS.module_dict, 'Told', Told)
    cfg.model.encoder.type = 'Told'
    return cfg


def test_images_are_normalised_as_the_weights_were_trained(told, cfg):
    embedder, _, file = embed(told)
    assert embedder.data_preprocessor.normalisation.source == 'weights'
    assert embedder.data_preprocessor.size_divisor == 48
    assert read_index(file)['preprocessing']['preprocessor']['mean'] == [0.1, 0.2, 0.3]
    cfg.model.data_preprocessor = dict(type='ChangeDataPreprocessor', mean=[.5] * 3, std=[.5] * 3)
    with pytest.raises(ValueError, match='made with other settings: encoder is '):
        embed(cfg)  # the config's statistics come before those of the weights


def test_statistics_of_a_checkpoint_come_before_those_of_the_weights(told, checkpoint):
    trained = dict(mean=[0.3, 0.2, 0.1], std=[0.6, 0.5, 0.4], source='other weights')
    torch.save(torch.load(checkpoint) | dict(meta=dict(normalisation=trained)), checkpoint)
    embedder, _, _ = embed(told, checkpoint)
    assert embedder.data_preprocessor.normalisation.as_dict() == trained
