"""The built-in dataset on disk: reproducible, resumable, in LEVIR-CC's layout."""
import json
from collections import Counter

import cv2
import numpy as np
import pytest
from PIL import Image

from rscc.synth import contact_sheet, generator
from rscc.synth.generator import (
    SCENE_VOCABULARIES,
    Parameters,
    generate,
    scene_captions,
    scene_vocabulary,
    write_tiles,
)
from rscc.utils import read_json

SMALL = Parameters(train=6, val=2, test=2, seed=4)


def contents(root):
    """Every file below ``root`` with its bytes."""
    return {path.relative_to(root).as_posix(): path.read_bytes()
            for path in sorted(root.rglob('*')) if path.is_file()}


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp('synth') / 'data'
    assert generate(root, SMALL, jobs=1)
    return root


def test_bytes_do_not_depend_on_the_number_of_processes(made, tmp_path):
    generate(tmp_path, SMALL, jobs=2)
    assert contents(tmp_path) == contents(made)


def test_another_seed_gives_other_pictures(made, tmp_path):
    generate(tmp_path, Parameters(2, 0, 0, seed=5))
    name = 'images/train/A/train_000000.png'
    assert (tmp_path / name).read_bytes() != (made / name).read_bytes()


def test_more_pairs_leave_the_first_ones_as_they_were(made, tmp_path):
    generate(tmp_path, Parameters(7, 0, 0, seed=4))
    name = 'images/train/B/train_000005.png'
    assert (tmp_path / name).read_bytes() == (made / name).read_bytes()


def test_layout_is_that_of_levir_cc_with_levir_mci_masks(made):
    data = json.loads((made / 'LevirCCcaptions.json').read_text())
    assert len(data['images']) == 10
    for imgid, image in enumerate(data['images']):
        assert image['imgid'] == imgid and image['filepath'] == image['split']
        assert image['sentids'] == list(range(5 * imgid, 5 * imgid + 5))
        assert image['changeflag'] == int(bool(image['objects']))
        for kind in ('A', 'B'):
            path = made / 'images' / image['filepath'] / kind / image['filename']
            assert cv2.imread(str(path)).shape == (256, 256, 3)
        label = Image.open(made / 'images' / image['filepath'] / 'label' / image['filename'])
        assert label.mode == 'P' and label.getpalette()[3:6] == [230, 60, 50]
        assert bool(np.asarray(label).any()) == bool(image['changeflag'])
        for sentence, sentid in zip(image['sentences'], image['sentids'], strict=True):
            assert sentence['raw'] == f" {' '.join(sentence['tokens'])} ."
            assert sentence['raw_chinese'] == ''.join(sentence['tokens_chinese']) + '。'
            assert sentence['imgid'] == imgid and sentence['sentid'] == sentid


def test_changes_on_disk_name_kind_action_count_and_place(made):
    data = json.loads((made / 'LevirCCcaptions.json').read_text())
    changes = [change for image in data['images'] for change in image['objects']]
    assert changes
    for change in changes:
        assert {'kind', 'action', 'count', 'where'} <= set(change)
        assert change['action'] in ('built', 'removed') and change['count'] >= 1
        assert change['where']


def test_scene_metadata_differs_between_the_dates_of_changed_pairs_only(made):
    for image in json.loads((made / 'LevirCCcaptions.json').read_text())['images']:
        same = image['scene']['from'] == image['scene']['to']
        assert same == (not image['changeflag'])


@pytest.mark.parametrize(('name', 'key'), [('vocab_en.json', 'tokens'),
                                           ('vocab_zh.json', 'tokens_chinese')])
def test_every_word_is_in_the_vocabulary_most_frequent_first(made, name, key):
    words = json.loads((made / name).read_text())
    images = json.loads((made / 'LevirCCcaptions.json').read_text())['images']
    counts = Counter(word for image in images if image['split'] == 'train'
                     for sentence in image['sentences'] for word in sentence[key])
    used = {word for image in images for sentence in image['sentences'] for word in sentence[key]}
    assert used <= set(words) and len(words) == len(set(words))
    frequencies = [counts[word] for word in words]
    assert frequencies == sorted(frequencies, reverse=True)


def test_marker_tells_parameters_and_counts(made):
    marker = json.loads((made / 'synth.json').read_text())
    assert marker['parameters']['seed'] == 4 and marker['parameters']['train'] == 6
    assert marker['changed'] == {'train': 3, 'val': 1, 'test': 1}
    assert marker['classes'][0] == 'unchanged' and len(marker['palette']) == 6


def test_a_complete_folder_is_left_alone(made):
    before = {path: path.stat().st_mtime_ns for path in made.rglob('*')}
    assert generate(made, SMALL) is False
    assert {path: path.stat().st_mtime_ns for path in made.rglob('*')} == before


def test_a_killed_run_leaves_no_marker_and_is_finished_by_the_next(made, tmp_path, monkeypatch):
    original, calls = generator.make_pair, []

    def killed(job, **options):
        if len(calls) == 4:
            raise KeyboardInterrupt
        calls.append(job)
        return original(job, **options)

    monkeypatch.setattr(generator, 'make_pair', killed)
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path, SMALL)
    assert not (tmp_path / 'synth.json').exists()
    assert not (tmp_path / 'LevirCCcaptions.json').exists()
    stray = tmp_path / 'images' / 'train' / 'A' / '.train_000004.99.png'
    stray.write_bytes(b'half')
    first = tmp_path / 'images' / 'train' / 'A' / 'train_000000.png'
    written = first.stat().st_mtime_ns
    monkeypatch.undo()
    assert generate(tmp_path, SMALL)
    assert first.stat().st_mtime_ns == written
    assert contents(tmp_path) == contents(made)


def test_missing_images_of_a_complete_folder_are_made_again(made, tmp_path):
    generate(tmp_path, SMALL)
    (tmp_path / 'images' / 'val' / 'B' / 'val_000001.png').unlink()
    assert generate(tmp_path, SMALL)
    assert contents(tmp_path) == contents(made)


def test_other_parameters_need_another_folder_or_overwrite(tmp_path):
    generate(tmp_path, Parameters(4, 0, 0, seed=0))
    with pytest.raises(FileExistsError, match=r'other parameters: found .*Choose another folder'):
        generate(tmp_path, Parameters(2, 0, 0, seed=1))
    assert generate(tmp_path, Parameters(2, 0, 0, seed=1), overwrite=True)
    assert len(list((tmp_path / 'images' / 'train' / 'A').iterdir())) == 2


def test_a_folder_with_other_files_is_refused_even_with_overwrite(tmp_path):
    (tmp_path / 'thesis.txt').write_text('mine')
    with pytest.raises(FileExistsError, match='not empty and holds no synthetic dataset'):
        generate(tmp_path, SMALL, overwrite=True)
    assert (tmp_path / 'thesis.txt').read_text() == 'mine'


@pytest.mark.parametrize(('arguments', 'message'), [
    ((-1, 0, 0, 0), 'train must not be negative, found -1'),
    ((1, 0, 0, -2), 'seed must not be negative'),
    ((0, 0, 0, 0), 'no pairs asked for')])
def test_impossible_parameters_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Parameters(*arguments)


def test_no_processes_is_an_error(tmp_path):
    with pytest.raises(ValueError, match='jobs must be at least 1, found 0'):
        generate(tmp_path, SMALL, jobs=0)


def test_a_seed_without_room_for_change_says_so(monkeypatch):
    monkeypatch.setattr(generator, 'MIN_CHANGED', 256 * 256 + 1)
    index = next(i for i in (0, 1) if generator.is_changed(0, 'train', i))
    with pytest.raises(RuntimeError, match=r'no room for a visible change in .train_00000.*seed 0'):
        generator.plan_pair(0, 'train', index)


def test_an_image_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, 'imwrite', lambda *args: False)
    with pytest.raises(OSError, match=r"could not write '.*png'; is the disk full"):
        generate(tmp_path, SMALL)
    assert not (tmp_path / 'synth.json').exists()


def test_contact_sheet_shows_pairs_with_their_captions(made, tmp_path):
    contact_sheet.write_contact_sheet(made, tmp_path / 'docs' / 'sheet.jpg', count=6)
    sheet = cv2.imread(str(tmp_path / 'docs' / 'sheet.jpg'))
    assert sheet.shape[1] > 1200 and sheet.std() > 30


def test_contact_sheet_refuses_other_types_and_empty_splits(made, tmp_path):
    with pytest.raises(ValueError, match=r'a contact sheet is a \.jpg or \.png file'):
        contact_sheet.write_contact_sheet(made, tmp_path / 'sheet.bmp')
    generate(tmp_path / 'b', Parameters(2, 0, 0, seed=0))
    with pytest.raises(ValueError, match="no 'val' pair in"):
        contact_sheet.write_contact_sheet(tmp_path / 'b', tmp_path / 'sheet.jpg', split='val')


def test_the_renderer_writes_vocabularies_and_completes_older_folders(tmp_path):
    parameters = Parameters(train=2, val=1, test=1, seed=5)
    generate(tmp_path, parameters)
    images = read_json(tmp_path / 'LevirCCcaptions.json')['images']
    kept = {}
    for language, name in SCENE_VOCABULARIES.items():
        kept[name] = read_json(tmp_path / name)
        assert kept[name] == scene_vocabulary(images, language)
        (tmp_path / name).unlink()
    assert generate(tmp_path, parameters) is False
    assert {name: read_json(tmp_path / name) for name in kept} == kept
    words = set(kept['vocab_scene_en.json'])
    for image in images:
        assert all(set(text.split()) <= words for text in scene_captions(image, 'to'))
    assert scene_captions(images[0], 'from', 'zh') == scene_captions(images[0], 'from', 'zh')


def test_tiles_show_all_buildings_of_one_date_with_exact_masks(tmp_path):
    write_tiles(tmp_path, 4, seed=4)
    again = tmp_path / 'again'
    write_tiles(again, 1, seed=4)
    for folder in ('image', 'label'):
        name = f'{folder}/tile_000000.png'
        assert (again / name).read_bytes() == (tmp_path / name).read_bytes()
    covered = []
    for index in range(4):
        image, mask = (cv2.imread(str(tmp_path / f'{folder}/tile_{index:06d}.png'), -1)
                       for folder in ('image', 'label'))
        assert image.shape == (256, 256, 3) and mask.shape == (256, 256)
        assert set(np.unique(mask)) <= {0, 255}
        things = generator.plan_pair(4, 'train', index).scene.things
        standing = [thing for thing in things if thing.label == 1 and thing.exists('to')]
        assert bool(standing) == bool(mask.any())
        for thing in standing:
            column, row = np.round(thing.footprint()[0].mean(0)).astype(int)
            if 0 <= row < 256 and 0 <= column < 256:
                covered.append(mask[row, column] == 255)
    assert len(covered) > 5 and np.mean(covered) > 0.9, 'but for those under crowns'


def test_no_tiles_are_refused(tmp_path):
    with pytest.raises(ValueError, match='at least 1, found 0'):
        write_tiles(tmp_path, 0)
