import json

import numpy as np
import pytest
import torch
from fake_clip import save_state_dict, tiny_clip
from fake_siglip import save_siglip
from PIL import Image

from rscc.datasets.confidence import ConfidenceIndex, read_confidence
from rscc.features import store
from rscc.features.clip_scores import (
    activations_to_try,
    find_folders,
    labelled_images,
    load_classifier,
    origin_of,
    score_folder,
    zero_shot_accuracy,
)
from rscc.inference.preparation import BatchOptions

NAMES = ['road', 'dense residential', 'river', 'parking lot', 'forest']


@pytest.fixture(scope='module')
def classifier(tmp_path_factory):
    path = save_state_dict(tiny_clip(), tmp_path_factory.mktemp('clip') / 'vit.pt')
    return load_classifier('cpu', model=None, pretrained=path, class_names=NAMES)


@pytest.fixture
def root(tmp_path):
    draw = np.random.default_rng(0)
    names = ('1.png', '2.PNG', '3.jpg', '4.JPEG', '5.tif', '6.bmp', 'notes.txt', '._1.png')
    for number, name in enumerate(names):
        path = tmp_path / 'data' / 'train' / 'time1' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name[0] == '.' or name.endswith('txt'):
            path.write_text('no image')
            continue
        pixels = draw.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((40 + number, 50), Image.BICUBIC).save(path)
    return tmp_path / 'data'


def folder_of(root, **changes):
    options = dict(splits=['train'], img_splits=['time1'], tag='5_tiny') | changes
    return find_folders(str(root), **options)[0]


def test_folders_name_their_images_and_the_file_beside_them(root):
    (root / 'train' / 'time2').mkdir()
    Image.new('RGB', (8, 8)).save(root / 'train' / 'time2' / 'x.png')
    first, second = find_folders(f'{root}/', None, ['time1', 'time2'], '56_vit16')
    assert first.title == 'train/time1' and second.paths == [f'{root}/train/time2/x.png']
    assert [path.removeprefix(f'{root}/train/time1/') for path in first.paths] == [
        '1.png', '2.PNG', '3.jpg', '4.JPEG', '5.tif', '6.bmp']
    assert first.target == root / 'train' / 'time1_clipcls_56_vit16.json'


def test_a_dataset_without_splits_and_files_elsewhere(root, tmp_path):
    for splits in (None, ['.']):
        found = find_folders(str(root / 'train'), splits, ['time1'], 'x', str(tmp_path / 'out'))
        assert found[0].title == 'time1' and found[0].paths[0] == f'{root}/train/time1/1.png'
        assert found[0].target == tmp_path / 'out' / 'time1_clipcls_x.json'
    assert folder_of(root, out=str(tmp_path)).target == tmp_path / 'train' / (
        'time1_clipcls_5_tiny.json')


def test_missing_folders_and_images_are_told(root):
    with pytest.raises(FileNotFoundError, match=r"no folder '.*/tran/time1': '.*' has the folders "
                       r"\['train'\]\. Did you mean 'train'\? Name them with --src_path"):
        folder_of(root, splits=['tran'])
    (root / 'train' / 'empty').mkdir()
    with pytest.raises(ValueError, match=r"no image in '.*/empty': expected files ending in "
                       r"\['\.bmp', '\.jpeg'"):
        folder_of(root, img_splits=['empty'])


@pytest.mark.parametrize('workers', [0, 2])
def test_every_image_gets_all_classes_best_first_as_one_at_a_time(root, classifier, workers):
    folder = folder_of(root)
    options = BatchOptions(batch_size=4, num_workers=workers)
    assert score_folder(folder, classifier, options) == 6
    records = json.loads(folder.target.read_text(encoding='utf-8'))
    assert [record['image_path'] for record in records] == folder.paths
    for record in records:
        picture = classifier.transform(Image.open(record['image_path']).convert('RGB'))
        alone = classifier.classify(picture[None])
        assert list(record)[1:] == classifier.top(alone)[0]
        values = [float(value) for name, value in record.items() if name != 'image_path']
        assert values == sorted(values, reverse=True)
        torch.testing.assert_close(torch.tensor(values), alone[0].sort(descending=True).values,
                                   atol=1e-4, rtol=0)
        assert all(len(value) == 6 for name, value in record.items() if name != 'image_path')


def test_the_dataset_reads_the_first_names_back(root, classifier):
    folder = folder_of(root)
    score_folder(folder, classifier, BatchOptions(num_workers=0))
    index = ConfidenceIndex(read_confidence(folder.target))
    raw = json.loads(folder.target.read_text(encoding='utf-8'))
    for record in raw:
        assert index.find(record['image_path'])[:3] == list(record)[1:4]
    assert index.find('elsewhere/time1/3.jpg') == list(raw[2])[1:]


def test_a_second_run_scores_nothing_and_changes_nothing(root, classifier):
    folder, options = folder_of(root), BatchOptions(num_workers=0)
    score_folder(folder, classifier, options)
    kept = {path: (path.read_bytes(), path.stat().st_mtime_ns)
            for path in folder.target.parent.glob('time1_*')}
    assert len(kept) == 2
    assert score_folder(folder, classifier, options) == 0
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns)
            for path in folder.target.parent.glob('time1_*')} == kept
    assert score_folder(folder, classifier, options, overwrite=True) == 6


def test_a_damaged_image_is_named_after_all_others_are_saved(root, classifier):
    folder, options = folder_of(root), BatchOptions(batch_size=2, num_workers=1)
    whole = (root / 'train/time1/3.jpg').read_bytes()
    (root / 'train/time1/3.jpg').write_bytes(whole[:-200])
    with pytest.raises(ValueError, match=r"1 of 6 images of train/time1 cannot be read, first: "
                       r"'.*3\.jpg' cannot be decoded: (.|\n)*What was computed of the others is "
                       'kept; run again when the files are whole'):
        score_folder(folder, classifier, options)
    parts = folder.target.with_name(f'{folder.target.name}.parts')
    assert len(json.loads((parts / '000000.json').read_text())) == 5 and not folder.target.exists()
    (root / 'train/time1/3.jpg').write_bytes(whole)
    assert score_folder(folder, classifier, options) == 1
    assert len(json.loads(folder.target.read_text())) == 6 and not parts.exists()


def test_a_killed_run_keeps_what_it_has(root, classifier, monkeypatch):
    folder, options = folder_of(root), BatchOptions(batch_size=2, num_workers=0)
    plain, calls = classifier.classify, []

    def interrupted(pixels):
        calls.append(len(pixels))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return plain(pixels)

    monkeypatch.setattr(classifier, 'classify', interrupted)
    with pytest.raises(KeyboardInterrupt):
        score_folder(folder, classifier, options)
    assert score_folder(folder, classifier, options) == 2
    assert calls == [2, 2, 2, 2] and folder.target.is_file()


def test_files_of_more_than_eight_bits_need_bands_and_scale(root, classifier):
    rasterio = pytest.importorskip('rasterio')
    path = root / 'train' / 'wide' / '1.tif'
    path.parent.mkdir()
    values = np.random.default_rng(0).integers(0, 4000, (4, 40, 40)).astype(np.uint16)
    with rasterio.open(path, 'w', driver='GTiff', width=40, height=40, count=4,
                       dtype='uint16') as file:
        file.write(values)
    folder = folder_of(root, img_splits=['wide'])
    with pytest.raises(ValueError, match=r'4 bands of uint16(.|\n)*with --bands and --scale'):
        score_folder(folder, classifier, BatchOptions(num_workers=0))
    options = BatchOptions(num_workers=0, bands=(3, 2, 1), scale=(0, 4000))
    assert score_folder(folder, classifier, options) == 1
    assert origin_of(classifier, options)['bands'] == [3, 2, 1]


def test_reduced_precision_is_used_where_asked(root, classifier, monkeypatch):
    seen = []
    plain = classifier.classify
    monkeypatch.setattr(store, 'reduced_precision',
                        lambda device: torch.autocast(device, torch.bfloat16))
    monkeypatch.setattr(classifier, 'classify', lambda pixels: (
        seen.append(torch.is_autocast_enabled('cpu')), plain(pixels))[1])
    score_folder(folder_of(root), classifier, BatchOptions(num_workers=0, amp=True))
    score_folder(folder_of(root, tag='other'), classifier, BatchOptions(num_workers=0))
    assert seen == [True, False]


@pytest.fixture(scope='module')
def siglip(tmp_path_factory):
    pytest.importorskip('sentencepiece')
    folder = tmp_path_factory.mktemp('clip') / 'siglip'
    save_siglip(folder)
    return load_classifier('cpu', model=None, pretrained=str(folder), class_names=NAMES)


def test_scores_of_a_siglip_say_so_and_keep_small_probabilities_apart(root, siglip):
    siglip.bias.sub_(12)  # as far from likely as published ones are
    folder, options = folder_of(root), BatchOptions(num_workers=0)
    assert score_folder(folder, siglip, options) == 6
    origin = json.loads(folder.target.with_name(f'{folder.target.name}.origin').read_text())
    assert origin['scores'] == 'sigmoid' and origin['quick_gelu'] is None
    for record in json.loads(folder.target.read_text()):
        picture = siglip.transform(Image.open(record['image_path']).convert('RGB'))
        alone = siglip.classify(picture[None])
        assert list(record)[1:] == siglip.top(alone)[0]
        values = torch.tensor([float(value) for name, value in record.items()
                               if name != 'image_path'])
        torch.testing.assert_close(values, alone[0].sort(descending=True).values, rtol=1e-3,
                                   atol=0)
        assert 0 < values.max() < 1e-3 and len(set(values.tolist())) == 5
    assert score_folder(folder, siglip, options) == 0
    siglip.bias.add_(12)


def test_files_from_before_siglip_count_as_softmax(root, classifier):
    folder, options = folder_of(root), BatchOptions(num_workers=0)
    score_folder(folder, classifier, options)
    beside = folder.target.with_name(f'{folder.target.name}.origin')
    origin = json.loads(beside.read_text())
    assert origin.pop('scores') == 'softmax'
    beside.write_text(json.dumps(origin))
    assert score_folder(folder, classifier, options) == 0


def test_a_file_of_the_other_kind_of_scores_is_refused(root, classifier, siglip):
    folder, options = folder_of(root), BatchOptions(num_workers=0)
    score_folder(folder, classifier, options)
    with pytest.raises(ValueError, match='was made with other settings'):
        score_folder(folder, siglip, options)


@pytest.fixture
def labelled(tmp_path):
    draw = np.random.default_rng(0)
    for number, name in enumerate(('BareLand', 'parking_lot', 'forest')):
        (tmp_path / name).mkdir()
        for image in range(4):
            pixels = draw.integers(80 * number, 80 * number + 60, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f'{image}.png')
    (tmp_path / 'empty').mkdir()
    return tmp_path


def test_folders_of_classes_become_names_in_words(labelled):
    found = labelled_images(str(labelled))
    assert list(found) == ['bare land', 'forest', 'parking lot']
    assert [len(paths) for paths in found.values()] == [4, 4, 4]
    with pytest.raises(ValueError, match='has 0 folders with images: expected one folder'):
        labelled_images(str(labelled / 'forest'))


def test_accuracy_is_the_share_of_images_whose_best_name_is_their_folder(labelled, tmp_path):
    weights = save_state_dict(tiny_clip(), tmp_path / 'clip.pt')
    images, options = labelled_images(str(labelled)), BatchOptions(batch_size=5, num_workers=0)
    seen = load_classifier('cpu', model=None, class_names=list(images), pretrained=weights)
    right = [seen.top(seen.classify(seen.transform(Image.open(path))[None]), 1)[0][0] == name
             for name, paths in images.items() for path in paths]
    share = zero_shot_accuracy(images, seen, options, 'x')
    assert share == sum(right) / 12
    (labelled / 'forest' / '0.png').write_bytes(b'no image')
    with pytest.raises(ValueError, match=r'1 images cannot be read, first: .*0\.png'):
        zero_shot_accuracy(images, seen, options, 'x')


def test_only_an_activation_that_nobody_states_is_tried_both_ways(tmp_path):
    clip = tiny_clip()
    unknown = save_state_dict(clip, tmp_path / 'x.pt')
    remote = save_state_dict(clip, tmp_path / 'RemoteCLIP-RN50.pt')
    sure = save_state_dict(clip, tmp_path / 'RS5M_ViT-H-14.pt')
    for path in (unknown, remote):
        assert activations_to_try(None, path, None) == (True, False)
        assert activations_to_try(None, path, False) == (False, )
    assert activations_to_try(None, sure, None) == (None, )
