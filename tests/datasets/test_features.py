import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from rscc.datasets.features import (
    FeatureRows,
    feature_file,
    index_path,
    key_of,
    plain_name,
    read_index,
    write_features,
)
from rscc.datasets.single_image import UCMCaptionsDataset

FACTS = dict(model='ViT-B/32', weights='0123456789abcdef', normalised=False)
PIPELINE = [{'type': 'PickCaptions', 'mode': 'all'}, {'type': 'PackChangeInputs'}]
NAMES = [f'imgs/{number}.tif' for number in range(4)]


@pytest.fixture
def root(tmp_path):
    """Annotations of four images and their features; not one image."""
    images = [{'filename': f'{number}.tif', 'split': 'train' if number < 3 else 'val',
               'sentences': [{'raw': f'sentence {word} .'} for word in 'abcde']}
              for number in range(4)]
    (tmp_path / 'dataset.json').write_text(json.dumps({'images': images}))
    make(tmp_path / 'clip.safetensors')
    return tmp_path


def make(file, names=NAMES, width=8, tokens=True, **facts):
    pooled = torch.arange(len(names) * width).reshape(len(names), width).half()
    patches = torch.ones(len(names), 9, width).half() if tokens else None
    write_features(file, pooled, patches, names, FACTS | facts)
    return pooled


def build(root, **features):
    return UCMCaptionsDataset(str(root), features=dict(file='clip.safetensors') | features,
                              pipeline=PIPELINE)


def test_a_dataset_trains_from_features_without_any_image(root):
    dataset = build(root, model='ViT-B/32')
    packed = dataset[1]
    assert packed['inputs'].shape == (1, 1, 8) and packed['inputs'].dtype == torch.float16
    assert packed['inputs'].flatten().tolist() == list(range(8, 16))
    assert packed['data_samples'].target_captions == [f'sentence {word}' for word in 'abcde']
    assert packed['data_samples'].sample_id == '1'


def test_patches_follow_the_pooled_feature_on_request(root):
    packed = build(root, tokens=True)[2]
    assert packed['inputs'].shape == (1, 10, 8)
    assert packed['inputs'][0, 0, 0] == 16 and (packed['inputs'][0, 1:] == 1).all()


def test_pairs_have_a_row_for_each_date(levir):
    from rscc.datasets.levir_cc import LEVIRCCDataset
    names = [f'images/train/{date}/train_{number:06d}.png' for number in range(4) for date in 'BA']
    pooled = make(levir / 'x.safetensors', names)
    dataset = LEVIRCCDataset(str(levir), features=dict(file='x.safetensors'), pipeline=PIPELINE)
    assert torch.equal(dataset[1]['inputs'], pooled[[3, 2]][:, None])


def test_workers_and_copies_read_the_file_by_themselves(root):
    from torch.utils.data import DataLoader
    dataset = build(root)
    alone = [dataset[row]['inputs'].tolist() for row in range(3)]
    loader = DataLoader(dataset, num_workers=2, batch_size=1, collate_fn=list)
    assert [batch[0]['inputs'].tolist() for batch in loader] == alone
    rows = pickle.loads(pickle.dumps(FeatureRows(root / 'clip.safetensors', root)))
    assert rows.of([root / NAMES[1]]).tolist() == alone[1] and len(rows) == 4


def test_a_file_below_the_data_home_is_found(root, tmp_path_factory, monkeypatch):
    home = tmp_path_factory.mktemp('home')
    make(home / 'UCM' / 'other.safetensors')
    monkeypatch.setenv('RSCC_DATA', str(home))
    assert len(build(root, file='UCM/other.safetensors')) == 3


@pytest.mark.parametrize('model', ['ViT-B/32', 'ViT-B-32', 'vit_b_32', 'ViT-B-32-quickgelu:openai'])
def test_spellings_of_a_model_are_one(root, model):
    assert plain_name(model) == 'vitb32' and len(build(root, model=model)) == 3


def test_features_of_another_clip_are_refused(root):
    with pytest.raises(ValueError, match=r"holds features of 'ViT-B/32' \(width 8\), and the "
                       r"config asks for 'RN50x4'\. Write those of that model: .*python "
                       r'tools/extract_clip_embeddings\.py --model-name RN50x4'):
        build(root, model='RN50x4')
    with pytest.raises(ValueError, match="other weights of 'ViT-B/32': their fingerprint is "
                       '0123456789abcdef, and the config asks for ffff'):
        build(root, weights='ffff')
    with pytest.raises(ValueError, match=r"features of another encoder than the config asks for "
                       r"\(features\.encoder='abcd'\): 'ViT-B/32', whose config and preparation "
                       r'have the digest \(none\)\. Write them anew: python tools/extract_f'):
        build(root, encoder='abcd')
    make(root / 'clip.safetensors', encoder='abcd')
    assert len(build(root, encoder='abcd')) == 3


def test_a_grid_that_is_no_square_must_be_said(root):
    make(root / 'clip.safetensors', token_grid=[1, 9])
    for wrong in ({}, dict(token_grid=(3, 3))):
        with pytest.raises(ValueError, match=r'lie on a grid \(h, w\) of \(1, 9\), and the config '
                           r"says .*features\.token_grid=\(1, 9\) and encoder=dict\(type='Stored"):
            build(root, tokens=True, **wrong)
    assert len(build(root)) == 3
    assert build(root, tokens=True, token_grid=(1, 9))[0]['inputs'].shape == (1, 10, 8)


def test_images_without_a_row_are_counted(root):
    make(root / 'clip.safetensors', NAMES[1:2])
    with pytest.raises(ValueError, match=r"lacks 2 of 3 images of UCM-captions, first "
                       r"\['imgs/0\.tif', 'imgs/2\.tif'\]; it has 1, 'imgs/1\.tif' the first"):
        build(root)


def test_missing_files_name_the_nearest_and_the_tool(root):
    with pytest.raises(FileNotFoundError, match=r"no stored features at .*clp\.safetensors.*Did "
                       r"you mean 'clip\.safetensors'\?.*extract_clip_embeddings\.py"):
        read_index(root / 'clp.safetensors')
    index_path(root / 'clip.safetensors').unlink()
    with pytest.raises(FileNotFoundError, match=r'clip\.json'):
        build(root)


def test_files_that_do_not_belong_together_are_refused(root):
    index = index_path(root / 'clip.safetensors')
    data = json.loads(index.read_text())
    index.write_text(json.dumps({**data, 'images': data['images'][::-1]}))
    with pytest.raises(ValueError, match=r"'clip\.json' do not belong together"):
        build(root)
    index.write_text('{"images": []}')
    with pytest.raises(ValueError, match=r"index of features '.*clip\.json' lacks 'format'"):
        build(root)
    make(root / 'clip.safetensors')
    file = root / 'clip.safetensors'
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(ValueError, match='no safetensors file, or cut short'):
        build(root)


def test_a_file_of_whole_images_has_no_patches(root):
    make(root / 'clip.safetensors', tokens=False)
    with pytest.raises(ValueError, match=r'holds no tokens but one vector an image.*--tokens\), or '
                       r'set features\.tokens=False'):
        build(root, tokens=True)


def test_names_start_at_the_datasets_folder():
    assert key_of('/data/x/imgs/1.tif', '/data/x') == 'imgs/1.tif'
    assert key_of('/elsewhere/1.tif', '/data/x') == '/elsewhere/1.tif'


@pytest.mark.parametrize('change', [dict(images=[]), dict(images=None), dict(model=...)])
def test_an_index_that_lacks_what_rows_need_is_refused(root, change):
    path = index_path(root / 'clip.safetensors')
    index = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps({key: value for key, value in index.items() if value is not ...}))
    with pytest.raises(ValueError, match=r"clip\.json'(: images is| names no| lacks 'model')"):
        build(root)


ORIGIN = dict(model='ViT-B/32', token_grid=[1, 3])


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32])
def test_the_file_is_one_of_safetensors(tmp_path, dtype):
    pooled, tokens = torch.randn(2, 5).to(dtype), torch.randn(2, 3, 5).to(dtype)
    write_features(tmp_path / 'x.safetensors', pooled, tokens, ['a.png', 'b.png'], ORIGIN)
    read = load_file(tmp_path / 'x.safetensors')
    assert torch.equal(read['pooled'], pooled) and torch.equal(read['tokens'], tokens)
    rows = FeatureRows(tmp_path / 'x.safetensors', tokens=True).of(['b.png'])
    assert torch.equal(rows, torch.cat([pooled[1:], tokens[1]])[None])
    index = read_index(tmp_path / 'x.safetensors')
    assert (index['width'], index['tokens'], index['dtype']) == (5, 3, str(dtype)[6:])
    assert index['token_grid'] == [1, 3] and index['images'] == ['a.png', 'b.png']


def test_rows_can_be_filled_in_any_order(tmp_path):
    with feature_file(tmp_path / 'x.safetensors', dict(pooled=(3, 2)), 'float16', ['a', 'b', 'c'],
                      ORIGIN) as rows:
        rows['pooled'][[2, 0]] = np.ones((2, 2))
        assert not (tmp_path / 'x.safetensors').exists()
    assert load_file(tmp_path / 'x.safetensors')['pooled'].sum(1).tolist() == [2, 0, 2]


def test_an_error_on_the_way_leaves_nothing(tmp_path):
    with pytest.raises(KeyError), feature_file(
            tmp_path / 'x.safetensors', dict(pooled=(1, 2)), 'float16', ['a'], ORIGIN) as rows:
        rows['none'][:] = 0
    assert not list(tmp_path.iterdir())


def test_rows_and_names_must_agree_and_numbers_be_of_a_known_type(tmp_path):
    with pytest.raises(ValueError, match='4 rows of features for 3 images, 2 of them different'):
        write_features(tmp_path / 'x.safetensors', torch.ones(4, 2), None, ['a', 'b', 'a'], ORIGIN)
    with pytest.raises(ValueError, match='stored as float16 or float32, found float64'):
        write_features(tmp_path / 'x.safetensors', torch.ones(1, 2).double(), None, ['a'], ORIGIN)
    assert not list(tmp_path.iterdir())
