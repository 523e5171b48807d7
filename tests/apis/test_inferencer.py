import importlib.util
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from PIL import Image

from rscc.apis import ChangeInferencer
from rscc.engine import precision
from rscc.scenes.torch_predictor import TorchPredictor

_spec = importlib.util.spec_from_file_location('fake_model', Path(__file__).with_name(
    'fake_model.py'))
fake = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fake)


@pytest.fixture
def checkpoint(tmp_path):
    return fake.save_checkpoint(tmp_path / 'fake.pth', fake.fake_config())


@pytest.fixture
def inferencer(checkpoint):
    return ChangeInferencer(fake.fake_config(), checkpoint, device='cpu')


def pair(top=200, size=(48, 64)):
    """Return a dark frame and one whose upper half is as bright as ``top``."""
    dark = np.full((*size, 3), 20, np.uint8)
    bright = dark.copy()
    bright[:size[0] // 2] = top
    return dark, bright


def test_pair_of_arrays_gives_mask_sentence_and_probability(inferencer):
    frames = pair()
    result = inferencer(*frames)
    assert result.mask.shape == (48, 64) and result.mask.dtype == np.uint8
    assert result.mask[:20].all() and not result.mask[28:].any()
    assert result.caption == 'changed 1 0' and result.change_probability == pytest.approx(0.5)
    assert result.change_share == pytest.approx(0.5) and result.classes == ('unchanged', 'built')
    assert (result.frames[1] == frames[1]).all()


def test_paths_give_the_same_as_arrays(inferencer, tmp_path):
    frames = pair()
    for name, frame in zip('ab', frames, strict=True):
        Image.fromarray(frame).save(tmp_path / f'{name}.png')
    by_path = inferencer(str(tmp_path / 'a.png'), tmp_path / 'b.png')
    mixed = inferencer(frames[0], tmp_path / 'b.png')
    assert (by_path.mask == inferencer(*frames).mask).all() and by_path.mask.any()
    assert (mixed.mask == by_path.mask).all()


def test_frames_are_resized_as_in_the_datasets_cache(checkpoint, tmp_path):
    config = fake.fake_config(size=8)
    dataset = config.test_dataloader.dataset
    del dataset.pipeline[2]
    assert ChangeInferencer(config, checkpoint, device='cpu')(*pair()).mask.shape == (48, 64)
    # Rows 0 to 24 of 48 changed; averaged down to three rows, the middle one is half bright.
    dataset.cache = dict(size=(3, 4), where=None)
    result = ChangeInferencer(config, checkpoint, device='cpu')(*pair())
    assert result.mask.shape == (48, 64) and result.mask[:32].all() and not result.mask[32:].any()


def large_pair(height=300, width=700):
    """Return frames larger than LEVIR-MCI's, changed in one corner."""
    dark = np.full((height, width, 3), 20, np.uint8)
    bright = dark.copy()
    bright[:100, :90] = 200
    return dark, bright


def test_a_large_image_is_answered_in_windows_of_the_trainings_size(tmp_path):
    config = fake.fake_config(size=128)
    checkpoint = fake.save_checkpoint(tmp_path / 'x.pth', config, dataset_meta={
        'task': 'pair', 'language': 'en', 'dataset_type': 'LEVIRMCIDataset',
        'no_change_captions': ['same 1 0']})
    result = ChangeInferencer(config, checkpoint, device='cpu')(*large_pair())
    done = result.processing
    assert (done.windows, done.window, done.resized) == (8, (256, 256), (128, 128))
    assert len(result.windows) == 8 and '700 x 300 pixels in 8 windows of 256 x 256' in str(done)
    assert result.mask.shape == (300, 700) and result.mask[:98, :88].all()
    assert not result.mask[:, 92:].any() and not result.mask[102:].any()
    assert result.caption == 'changed 1 0' and done.told_by == 1
    assert result.windows[0].captions[0].text == 'changed 1 0'
    assert result.change_probability == max(window.change_probability for window in result.windows)
    assert result.to_dict()['windows'][0]['box'] == list(result.windows[0].box)


def test_windows_of_several_images_share_batches_and_keep_their_order(checkpoint):
    config = fake.fake_config(size=128)
    inferencer = ChangeInferencer(config, checkpoint, device='cpu')
    pairs = [large_pair(), pair(), large_pair(260, 100), pair(20)]
    together = inferencer([a for a, _ in pairs], [b for _, b in pairs], batch_size=3)
    for result, single in zip(together, pairs, strict=True):
        assert (result.mask == inferencer(*single).mask).all()
        assert len(result.windows) == len(inferencer(*single).windows)


@pytest.mark.parametrize('size', [(48, 64), (300, 700)])
def test_what_the_mask_was_decided_from_is_kept_on_request(inferencer, size):
    frames = large_pair(*size)
    result = inferencer(*frames, probabilities=True)
    assert inferencer(*frames).probabilities is None
    assert result.probabilities.shape == result.mask.shape
    assert result.probabilities.dtype == np.float32
    assert ((result.probabilities > 0.5) == result.mask).all() and result.mask.any()
    listed = inferencer([frames[0]], [frames[1]], probabilities=True)[0]
    assert (listed.probabilities == result.probabilities).all()


def test_the_probability_of_every_class_is_kept_and_sentences_may_be_left_out(tmp_path):
    path = tiny_models.save(tmp_path / 'tiny.pth', tiny_models.JOINT)
    inferencer = ChangeInferencer(path, device='cpu')
    frames = list(np.random.default_rng(0).integers(0, 256, (2, 90, 64, 3), np.uint8))
    result = inferencer(*frames, probabilities=True)
    assert result.probabilities.shape == (3, 90, 64) and result.captions
    assert (result.probabilities.argmax(0) == result.mask).all()
    assert np.abs(result.probabilities.sum(0) - 1).max() < 1e-5
    silent = inferencer(*frames, sentences=False)
    assert silent.captions == [] and silent.caption is None
    assert (silent.mask == result.mask).all()
    assert silent.change_probability == result.change_probability


def test_the_window_may_be_chosen(checkpoint):
    inferencer = ChangeInferencer(fake.fake_config(), checkpoint, 'cpu', window=350, overlap=0)
    assert len(inferencer(*large_pair()).windows) == 2


def test_a_batch_that_outgrows_the_memory_is_halved(inferencer, monkeypatch):
    whole, sizes = inferencer.model.test_step, []

    def scarce(batch):
        sizes.append(len(batch['inputs']))
        if sizes[-1] > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")
        return whole(batch)

    monkeypatch.setattr(inferencer.model, 'test_step', scarce)
    pairs = [pair() for _ in range(5)]
    results = inferencer([a for a, _ in pairs], [b for _, b in pairs], batch_size=5)
    assert len(results) == 5 and sizes == [5, 2, 3, 1, 2]
    monkeypatch.setattr(inferencer.model, 'test_step', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        inferencer(*pair())


def test_unreadable_samples_are_told_and_left_out_on_request(inferencer, tmp_path):
    (tmp_path / 'bad.png').write_bytes(b'no image')
    samples, told = [pair(), (str(tmp_path / 'bad.png'), pair()[1]), pair(20)], []
    results = list(inferencer.answers(samples, on_error=lambda *what: told.append(what)))
    assert [bool(result.mask.any()) for result in results] == [True, False]
    assert told[0][0] is samples[1] and 'bad.png' in str(told[0][1])
    with pytest.raises(ValueError, match=r'bad\.png'):
        list(inferencer.answers(samples))


def test_a_checkpoint_a_work_folder_or_a_name_is_enough(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / 'work_dirs/mine'
    folder.mkdir(parents=True)
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs/mine.py').write_text(fake.fake_config().pretty_text)
    checkpoint.rename(folder / 'best_score.pth')
    for name in (folder / 'best_score.pth', folder, 'mine', 'configs/mine.py'):
        inferencer = ChangeInferencer(name, device='cpu')
        assert inferencer(*pair()).mask.any()
        assert repr(inferencer).startswith("ChangeInferencer('") and len(repr(inferencer)) < 200
    with pytest.raises(FileNotFoundError, match=r"'mime' is no checkpoint.*Did you mean 'mine'"):
        ChangeInferencer('mime')
    with pytest.raises(ValueError, match='no checkpoint is given'):
        ChangeInferencer(None)


def test_settings_of_the_config_may_be_changed(checkpoint):
    inferencer = ChangeInferencer(None, checkpoint, 'cpu', cfg_options={'model.mask': False})
    assert TorchPredictor(inferencer.model_pass).overrides == {'model.mask': 'False'}
    assert inferencer(*pair()).mask is None
    with pytest.raises(ValueError, match=r'model\.musk'):
        ChangeInferencer(None, checkpoint, 'cpu', cfg_options={'model.musk': False})


def test_a_model_of_rendered_images_says_so(tmp_path):
    from rscc.inference.result import RENDERED, describe
    cfg = fake.fake_config()
    for kind, rendered in (('SynthChangeDataset', True), ('LEVIRCCDataset', False)):
        path = fake.save_checkpoint(tmp_path / 'x.pth', cfg, dataset_meta={
            'task': 'pair', 'language': 'en', 'dataset_type': kind})
        result = ChangeInferencer(cfg, path, 'cpu')(*pair())
        assert result.rendered == rendered == (RENDERED in describe(result))


@pytest.mark.parametrize('amp, fast', [(False, True), (True, False), (True, True)])
def test_inference_mode_is_left_where_precision_is_reduced(checkpoint, amp, fast, monkeypatch):
    monkeypatch.setattr(precision, 'cpu_has_bf16', lambda: fast)
    inferencer = ChangeInferencer(fake.fake_config(), checkpoint, device='cpu', amp=amp)
    seen = []
    inferencer.model.predict = lambda inputs, samples, plain=inferencer.model.predict: (
        seen.append((torch.is_inference_mode_enabled(), torch.is_autocast_enabled('cpu'))),
        plain(inputs, samples))[1]
    inferencer(*pair())
    # Autocast keeps no casts in inference mode, so every decoding step would cast anew.
    assert seen == [(not (amp and fast), amp and fast)]


def test_order_of_the_dates_matters(inferencer):
    dark, bright = pair()
    assert not inferencer(bright, dark).mask.any()


def test_list_in_batches_equals_one_by_one(inferencer):
    pairs = [pair(top) for top in (20, 120, 200)] + [pair(220, (40, 40)), pair(20)]
    before, after = [a for a, _ in pairs], [b for _, b in pairs]
    together = inferencer(before, after, batch_size=2)
    assert len(together) == 5
    for result, single in zip(together, pairs, strict=True):
        assert (result.mask == inferencer(*single).mask).all()
    assert [bool(r.mask.any()) for r in together] == [False, True, True, True, False]


def test_decoding_options_reach_the_caption_head(inferencer):
    result = inferencer(*pair(), num_captions=3, num_beams=4)
    assert [caption.text for caption in result.captions] == [f'changed 4 {k}' for k in range(3)]
    assert result.mask.any()


def test_config_may_come_from_the_checkpoint(checkpoint):
    assert ChangeInferencer(None, checkpoint, device='cpu')(*pair()).mask.any()


def test_weights_come_from_the_checkpoint(tmp_path):
    path = fake.save_checkpoint(tmp_path / 'x.pth', fake.fake_config())
    stored = torch.load(path, weights_only=True)
    stored['state_dict']['margin'][:] = 9.0
    torch.save(stored, path)
    assert not ChangeInferencer(fake.fake_config(), path, device='cpu')(*pair()).mask.any()


def test_class_names_fall_back_to_the_dataset(tmp_path):
    path = fake.save_checkpoint(tmp_path / 'x.pth', fake.fake_config(), dataset_meta=None)
    from rscc.registry import DATASETS
    known = DATASETS.get('LEVIRMCIDataset').METAINFO['classes']
    assert ChangeInferencer(fake.fake_config(), path, 'cpu')(*pair()).classes == tuple(known)


def test_amp_answers_in_full_precision(checkpoint):
    result = ChangeInferencer(fake.fake_config(), checkpoint, device='cpu', amp=True)(*pair())
    assert result.mask.any() and isinstance(result.change_probability, float)


def test_callers_config_is_left_alone(checkpoint):
    cfg = fake.fake_config()
    before = cfg.pretty_text
    ChangeInferencer(cfg, checkpoint, device='cpu')
    assert cfg.pretty_text == before


def test_heads_that_are_absent_leave_their_answer_empty(tmp_path):
    cfg = fake.fake_config(captions=False, mask=False, flag=False)
    result = ChangeInferencer(cfg, fake.save_checkpoint(tmp_path / 'x.pth', cfg), 'cpu')(*pair())
    assert (result.mask, result.captions, result.change_probability) == (None, [], None)
    assert result.caption is None and result.change_share is None


def test_decoding_without_a_caption_head_is_refused(tmp_path):
    cfg = fake.fake_config(captions=False)
    inferencer = ChangeInferencer(cfg, fake.save_checkpoint(tmp_path / 'x.pth', cfg), 'cpu')
    with pytest.raises(ValueError, match=r"no caption_head: the decoding options \['num_beams'\]"):
        inferencer(*pair(), num_beams=2)


def test_single_image_model_reads_one_image(tmp_path):
    cfg = fake.fake_config()
    path = fake.save_checkpoint(tmp_path / 'x.pth', cfg,
                                dataset_meta={'task': 'single', 'language': 'en'})
    inferencer = ChangeInferencer(cfg, path, 'cpu')
    assert inferencer(pair()[0]).caption == 'same 1 0'
    with pytest.raises(ValueError, match='reads single images; img_to was given too'):
        inferencer(*pair())


def test_missing_second_image_is_named(inferencer):
    with pytest.raises(ValueError, match='reads pairs; img_to is missing'):
        inferencer(pair()[0])


def test_missing_file_is_named(inferencer, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'gone\.png'):
        inferencer(tmp_path / 'gone.png', pair()[1])


def test_different_sizes_are_named(inferencer):
    with pytest.raises(ValueError, match=r'pair sizes differ: img_from \(48, 64\), img_to \(40'):
        inferencer(pair()[0], pair(size=(40, 64))[1])


def test_lists_of_different_length_are_refused(inferencer):
    dark, bright = pair()
    with pytest.raises(ValueError, match='img_from lists 2 images, img_to is 1 images'):
        inferencer([dark, dark], [bright])
    with pytest.raises(ValueError, match='img_from lists 1 images, img_to is one image'):
        inferencer([dark], bright)
    with pytest.raises(ValueError, match='img_to is a list and img_from is not'):
        inferencer(dark, [bright])


def test_checkpoint_of_another_model_lists_the_differences(checkpoint):
    with pytest.raises(ValueError, match=r'not fit the model(.|\n)*margin: file \(1,\), model'):
        ChangeInferencer(fake.fake_config(width=3), checkpoint, device='cpu')


def test_missing_config_names_the_nearest(checkpoint, tmp_path):
    (tmp_path / 'model.py').touch()
    with pytest.raises(FileNotFoundError, match=r"no config at .*modal\.py'\. Did you mean"):
        ChangeInferencer(tmp_path / 'modal.py', checkpoint)


def test_checkpoint_without_config_asks_for_it(tmp_path):
    path = fake.save_checkpoint(tmp_path / 'x.pth', fake.fake_config(), cfg=None)
    with pytest.raises(ValueError, match='does not hold its config; give the config file'):
        ChangeInferencer(None, path)


def test_unknown_device_is_named(checkpoint):
    with pytest.raises(ValueError, match="device 'cqu' is unknown; use 'cpu'"):
        ChangeInferencer(None, checkpoint, device='cqu')


def test_absent_gpu_is_said(checkpoint):
    with pytest.raises(ValueError, match='is not there: torch sees'):
        ChangeInferencer(None, checkpoint, device='cuda:99')


def test_pipeline_must_load_and_pack(checkpoint):
    cfg = fake.fake_config()
    cfg.test_dataloader.dataset.pipeline = [{'type': 'LoadFrames'}]
    with pytest.raises(ValueError, match=r"end with PackChangeInputs; found \['LoadFrames'\]"):
        ChangeInferencer(cfg, checkpoint, device='cpu')


def test_light_model_answers_without_dataset_and_vocabulary(repo, tmp_path, monkeypatch):
    """The real model: trained where the words were, used where they are not."""
    import json

    from mmengine.config import Config
    from mmengine.registry import DefaultScope

    from rscc.registry import MODELS
    words = ['a', 'house', 'road', 'is', 'built', 'there', 'no', 'difference']
    (tmp_path / 'words.json').write_text(json.dumps(words))
    cfg = Config.fromfile(repo / 'configs/blip_synth.py')
    cfg.model.caption_head.tokenizer.vocab_file = str(tmp_path / 'words.json')
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('rscc'):
        model = MODELS.build(cfg.model)
    torch.save({'state_dict': model.state_dict(), 'meta': {'cfg': cfg.pretty_text}},
               tmp_path / 'light.pth')
    (tmp_path / 'words.json').unlink()
    monkeypatch.setenv('RSCC_DATA', str(tmp_path / 'nothing here'))
    inferencer = ChangeInferencer(None, tmp_path / 'light.pth', device='cpu')
    result = inferencer(*pair(size=(64, 64)), num_beams=2, num_captions=2, max_tokens=5)
    assert result.mask.shape == (64, 64) and len(result.captions) == 2
    assert set(result.captions[0].text.split()) <= set(words)
    assert 0 <= result.change_probability <= 1 and result.classes[1] == 'building'


def test_fused_batch_norms_give_the_same_answers(tmp_path):
    from testers import TINY_INTERPRETER, build_interpreter
    model = build_interpreter(caption_head=None)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'x.pth')
    cfg = fake.fake_config()
    cfg.model = TINY_INTERPRETER | dict(caption_head=None)
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    answers = []
    for fuse in (False, True):
        inferencer = ChangeInferencer(cfg, tmp_path / 'x.pth', device='cpu', fuse_conv_bn=fuse)
        norms = [m for m in inferencer.model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        assert bool(norms) != fuse
        answers.append(inferencer(*frames))
    np.testing.assert_array_equal(answers[0].mask, answers[1].mask)
    assert answers[0].change_probability == pytest.approx(answers[1].change_probability, abs=1e-5)


@pytest.mark.parametrize('size', [0, -1, 1.5])
def test_batches_of_no_windows_are_refused(inferencer, size):
    with pytest.raises(ValueError, match=rf'batch_size={size}: expected a whole number'):
        inferencer(*pair(), batch_size=size)


def test_another_number_of_dates_is_no_unreadable_file(inferencer):
    skipped = []
    with pytest.raises(ValueError, match='this model reads pairs; img_to is missing'):
        list(inferencer.answers([(pair()[0], None)], on_error=lambda *told: skipped.append(told)))
    assert not skipped


def test_pixels_without_data_are_said(inferencer, tmp_path):
    import rasterio
    for name, frame in zip('ab', pair(), strict=True):
        with rasterio.open(tmp_path / f'{name}.tif', 'w', driver='GTiff', height=48, width=64,
                           count=3, dtype='uint8', nodata=20) as file:
            file.write(np.moveaxis(frame, -1, 0))
    done = inferencer(tmp_path / 'a.tif', tmp_path / 'b.tif').processing
    assert done.nodata == 48 * 64
    assert '3,072 pixels without data at some date: the answer means nothing there' in str(done)
    done = inferencer(*pair()).processing
    assert done.nodata == 0 and 'no data' not in str(done)


def test_config_and_checkpoint_in_the_wrong_order_are_told(checkpoint):
    with pytest.raises(ValueError, match=r"'x\.py' is a config, .* seem to be swapped"):
        ChangeInferencer(checkpoint, 'x.py', device='cpu')


def test_a_setting_of_another_type_is_one_message(checkpoint):
    with pytest.raises(ValueError, match=r"cannot be built with these settings \(\{'model\.width'"):
        ChangeInferencer(checkpoint, device='cpu', cfg_options={'model.width': 'wide'})


def test_the_classes_of_both_dates_are_told_whole_and_in_windows(tmp_path):
    named = dict(classes=('unchanged', 'changed'), semantic_classes=('none', 'a', 'b', 'c'),
                 semantic_palette=[[0, 0, 0], [9, 0, 0], [0, 9, 0], [0, 0, 9]])
    checkpoint = tiny_models.save(tmp_path / 'm.pth', tiny_models.SEMANTIC, **named)
    inferencer = ChangeInferencer(str(checkpoint), device='cpu')
    for size, count in (((64, 64), 1), ((100, 80), 4)):
        result = inferencer(*tiny_models.windows(1, *size)[0])
        assert len(result.windows) == count
        earlier, later = result.classes_from, result.classes_to
        assert earlier.shape == later.shape == result.mask.shape == size
        assert (earlier[result.mask == 0] == later[result.mask == 0]).all()
        assert result.semantic_classes == named['semantic_classes']
        assert sum(pixels for *_, pixels in result.transitions) == (result.mask != 0).sum() > 0
        assert result.ground_resolution is None
        assert {path.name for path in result.save(tmp_path / str(count), 'x')} >= {
            'x_from.png', 'x_to.png'}
