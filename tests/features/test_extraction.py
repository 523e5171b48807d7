import json

import numpy as np
import pytest
import torch
from fake_clip import save_state_dict, tiny_clip
from PIL import Image

from rscc.datasets.features import FeatureRows, read_index
from rscc.features import extraction, store
from rscc.features.extraction import NAMES, build_dataset, default_target, images_of
from rscc.inference.preparation import BatchOptions, PictureReader
from rscc.models.clip.clip_model import CLIPEmbedder
from rscc.registry import DATASETS


@pytest.fixture
def sydney(tmp_path):
    images = [{'filename': '1.tif', 'split': 'train',
               'sentences': [{'raw': 'a road .', 'raw_chinese': '一条路.'}]}]
    for name in ('dataset.json', 'dataset_sydney_cn.json', 'dataset_sydney_modified.json'):
        (tmp_path / name).write_text(json.dumps({'images': images}))
    return tmp_path


def test_short_names_are_datasets():
    assert all(DATASETS.get(kind) is not None for kind, _ in NAMES.values())


@pytest.mark.parametrize(('name', 'language'), [
    ('sydney', 'en'), ('sydney_cn', 'zh'), ('SydneyCaptionsDataset', 'en')])
def test_a_dataset_is_built_by_name(sydney, name, language):
    dataset = build_dataset(name, str(sydney), check_images=False)
    assert dataset.metainfo['language'] == language and dataset.split is None
    assert build_dataset(name, str(sydney), split='train', check_images=False).split == 'train'


def test_a_corrected_release_has_a_short_name(sydney):
    for dataset in (build_dataset('sydney_modified', str(sydney), check_images=False),
                    build_dataset('sydney', str(sydney), 'dataset_sydney_modified.json',
                                  check_images=False)):
        assert dataset.metainfo['name'] == 'sydney_modified'
        assert dataset.ann_file.endswith('dataset_sydney_modified.json')
    with pytest.raises(ValueError, match=r"no dataset 'ucm_modifed'.*with _modified for the "
                       r"corrected re-release.*Did you mean 'ucm_modified'\?"):
        build_dataset('ucm_modifed', str(sydney))


def test_an_unknown_name_has_a_nearest_one(sydney):
    with pytest.raises(ValueError, match=r"no dataset 'sydny_cn'.*Did you mean 'sydney_cn'\?"):
        build_dataset('sydny_cn', str(sydney))


OPTIONS = BatchOptions(batch_size=2, num_workers=0)


def extract(dataset, embedder, target, options, *args, **kwargs):
    read = PictureReader(embedder.transform, options)
    return extraction.extract(dataset, embedder, read, target, options, *args, **kwargs)


@pytest.fixture(scope='module')
def embedder(tmp_path_factory):
    path = tmp_path_factory.mktemp('clip') / 'vit.pt'
    return CLIPEmbedder(None, save_state_dict(tiny_clip(), path))


@pytest.fixture
def root(tmp_path):
    """Five images in three splits, five captions each."""
    draw, images = np.random.default_rng(0), []
    (tmp_path / 'imgs').mkdir()
    for number, split in enumerate(('train', 'val', 'test', 'train', 'train')):
        pixels = draw.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels).resize((40, 40), Image.BICUBIC)
        picture.save(tmp_path / f'imgs/{number}.tif')
        images.append({'filename': f'{number}.tif', 'split': split,
                       'sentences': [{'raw': 'a road .', 'raw_chinese': '一条路.'}] * 5})
    for name in ('dataset.json', 'dataset_ucm_cn.json'):
        (tmp_path / name).write_text(json.dumps({'images': images}))
    return tmp_path


def dataset_of(root, name='ucm'):
    return build_dataset(name, str(root))


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(store, 'ROWS_PER_PART', 2)


@pytest.mark.parametrize(('tokens', 'dtype'), [(False, 'float32'), (True, 'float16')])
def test_every_image_of_all_splits_gets_one_row(root, embedder, tokens, dtype):
    dataset, target = dataset_of(root), root / 'x.safetensors'
    assert extract(dataset, embedder, target, OPTIONS, tokens, dtype) == 5
    rows, index = FeatureRows(target, root, tokens), read_index(target)
    assert index['images'] == [f'imgs/{number}.tif' for number in range(5)]
    assert index['dtype'] == dtype and index['width'] == 32 and index['dataset'] == 'ucm'
    assert index['token_grid'] == ([4, 4] if tokens else None)
    assert len(index['annotations']['sha256']) == 64 and len(index['weights']) == 16
    pixels = embedder.transform(Image.open(root / 'imgs/3.tif').convert('RGB'))
    pooled, dense = embedder(pixels[None])
    alone = torch.cat([pooled[:, None], dense], 1) if tokens else pooled[:, None]
    torch.testing.assert_close(rows.of([root / 'imgs/3.tif']).float(), alone, atol=3e-3, rtol=3e-3)
    assert not (root / 'x.safetensors.parts').exists()


def test_a_second_run_computes_nothing_and_another_language_needs_none(root, embedder):
    target = root / 'x.safetensors'
    extract(dataset_of(root), embedder, target, OPTIONS)
    kept = target.read_bytes(), target.stat().st_mtime_ns
    assert extract(dataset_of(root, 'ucm_cn'), embedder, target, OPTIONS) == 0
    assert (target.read_bytes(), target.stat().st_mtime_ns) == kept
    assert extract(dataset_of(root), embedder, target, OPTIONS, overwrite=True) == 5


def test_a_stopped_run_is_continued(root, embedder, monkeypatch):
    target, calls = root / 'x.safetensors', []
    plain = CLIPEmbedder.forward

    def stopped(self, pixels):
        calls.append(len(pixels))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return plain(self, pixels)

    monkeypatch.setattr(CLIPEmbedder, 'forward', stopped)
    with pytest.raises(KeyboardInterrupt):
        extract(dataset_of(root), embedder, target, OPTIONS)
    assert not target.exists() and (root / 'x.safetensors.parts').is_dir()
    assert extract(dataset_of(root), embedder, target, OPTIONS) == 3 and calls == [2, 2, 2, 1]
    whole = root / 'whole.safetensors'
    extract(dataset_of(root), embedder, whole, OPTIONS)
    assert whole.read_bytes() == target.read_bytes()


def test_rows_of_two_models_are_never_mixed(root, embedder, tmp_path_factory):
    target = root / 'x.safetensors'
    file = tmp_path_factory.mktemp('other') / 'x.pt'
    other = CLIPEmbedder(None, save_state_dict(tiny_clip(seed=1), file))
    extract(dataset_of(root), embedder, target, OPTIONS)
    with pytest.raises(ValueError, match=r"x\.safetensors' was made with other settings: weights "
                       r'is "\w{16}" there and .*--overwrite, or choose another --out'):
        extract(dataset_of(root), other, target, OPTIONS)
    with pytest.raises(ValueError, match='dtype is "float16" there and "float32" now'):
        extract(dataset_of(root), embedder, target, OPTIONS, dtype='float32')
    assert extract(dataset_of(root), other, target, OPTIONS, overwrite=True) == 5


def test_a_damaged_image_is_named_after_all_others_are_kept(root, embedder):
    target, image = root / 'x.safetensors', root / 'imgs/1.tif'
    whole = image.read_bytes()
    image.write_bytes(whole[:60])
    with pytest.raises(ValueError, match=r"1 of 5 images of UCM-captions cannot be read, first: "
                       r"'.*1\.tif'(.|\n)*What was computed of the others is kept"):
        extract(dataset_of(root), embedder, target, OPTIONS)
    image.write_bytes(whole)
    assert extract(dataset_of(root), embedder, target, OPTIONS) == 1
    assert read_index(target)['images'][1] == 'imgs/1.tif'


def test_a_file_of_other_images_is_not_taken_for_complete(root, embedder):
    target = root / 'x.safetensors'
    extract(dataset_of(root), embedder, target, OPTIONS)
    data = json.loads((root / 'dataset.json').read_text())
    (root / 'dataset.json').write_text(json.dumps({'images': data['images'][:3]}))
    with pytest.raises(ValueError, match=r'holds 5 images and 3 are asked for; 2 are in one of the '
                       r'two only, imgs/3\.tif the first'):
        extract(dataset_of(root), embedder, target, OPTIONS)


def test_a_damaged_part_is_told(root, embedder):
    arguments = root / 'x.safetensors', ['a'], {}, extraction.FeatureFormat({})
    parts = store.Store(*arguments)
    parts.add('a', (torch.ones(2),))
    parts.save()
    next(parts.folder.glob('*.safetensors')).write_bytes(b'nothing')
    with pytest.raises(ValueError, match=r"x\.safetensors\.parts/000000\.safetensors' is damaged: "
                       '.*Start anew with --overwrite'):
        store.Store(*arguments)


def test_the_usual_name_holds_model_and_dataset(root):
    target = default_target(dataset_of(root), 'ViT-B/32', 'ucm_cn')
    assert target == root / 'clip_emb_ViT-B-32_ucm.safetensors'
    assert next(iter(images_of(dataset_of(root)).values())) == str(root / 'imgs/0.tif')


def test_features_beyond_float16_are_refused_with_the_image(root, embedder, monkeypatch):
    plain = CLIPEmbedder.forward
    monkeypatch.setattr(CLIPEmbedder, 'forward', lambda self, pixels: tuple(
        1e6 * part for part in plain(self, pixels)))
    target = root / 'x.safetensors'
    with pytest.raises(ValueError, match=r"'.*0\.tif' exceed the range of torch\.float16"
                       r': the largest is .*--dtype float32'):
        extract(dataset_of(root), embedder, target, OPTIONS)
    assert extract(dataset_of(root), embedder, target, OPTIONS, dtype='float32') == 5
