"""The resumable store, with the records of CLIP confidence files."""
import json

import pytest

from rscc.features import store
from rscc.features.clip_scores import RecordFormat
from rscc.features.store import Store

ORIGIN = dict(model='ViT-B/16', weights='0123', class_names=['road', 'river', 'sea', 'lake'])
PATHS = ['d/A/1.png', 'd/A/2.png', 'd/A/3.png']
RANKED = {'river': '0.5000', 'road': '0.2500', 'sea': '0.2000', 'lake': '0.0500'}


@pytest.fixture
def target(tmp_path):
    return tmp_path / 'A_clipcls_x.json'


def start(target, paths=PATHS, **changes):
    return Store(target, paths, ORIGIN | changes.pop('origin', {}), RecordFormat(), **changes)


def add(file, *paths):
    for path in paths:
        file.add(path, {'image_path': path, **RANKED})


def finish(target, paths=PATHS):
    file = start(target, paths)
    add(file, *file.missing())
    file.finish()
    return file


def origin_of(target):
    return target.with_name(f'{target.name}.origin')


def test_the_file_is_an_array_of_ranked_strings_in_order_of_the_images(target):
    file = start(target)
    add(file, *reversed(PATHS))
    file.finish()
    text = target.read_text(encoding='utf-8')
    records = json.loads(text)
    assert [record['image_path'] for record in records] == PATHS
    assert list(records[0].items()) == [
        ('image_path', 'd/A/1.png'), ('river', '0.5000'), ('road', '0.2500'), ('sea', '0.2000'),
        ('lake', '0.0500')]
    assert text.startswith(
        '[\n    {\n        "image_path": "d/A/1.png",\n        "river": "0.5000",\n')
    assert not file.folder.exists() and json.loads(origin_of(target).read_text()) == ORIGIN


def test_a_stopped_run_continues_and_ends_with_the_same_bytes(target, tmp_path):
    whole = finish(tmp_path / 'whole' / target.name).target.read_bytes()
    first = start(target)
    add(first, PATHS[1])
    first.save()
    assert not target.exists() and first.folder.is_dir()
    second = start(target)
    assert second.missing() == [PATHS[0], PATHS[2]] and not second.complete
    finish(target)
    assert target.read_bytes() == whole and not second.folder.exists()


def test_nothing_is_kept_of_a_run_without_results(target):
    start(target).save()
    assert list(target.parent.iterdir()) == []


def test_rows_are_saved_every_so_many_and_every_so_often(target, monkeypatch):
    monkeypatch.setattr(store, 'ROWS_PER_PART', 2)
    file = start(target)
    add(file, *PATHS)
    assert [path.name for path in sorted(file.folder.iterdir())] == ['000000.json', 'origin.json']
    assert start(target).missing() == PATHS[2:]
    monkeypatch.setattr(store, 'SECONDS_PER_PART', 0.0)
    add(file, 'd/A/4.png')
    assert start(target).missing() == []


def test_a_finished_file_is_complete_even_with_images_that_are_gone(target):
    finish(target)
    assert start(target).complete and start(target, PATHS[1:]).complete


def test_new_images_join_a_file_of_the_same_origin(target):
    finish(target, PATHS[:2])
    file = start(target)
    assert not file.complete and file.missing() == PATHS[2:]
    finish(target)
    assert len(json.loads(target.read_text())) == 3


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()}


@pytest.mark.parametrize('kind', ['target', 'parts'])
def test_scores_of_another_model_are_not_mixed(target, kind):
    if kind == 'target':
        finish(target, PATHS[:2])
    else:
        file = start(target)
        add(file, PATHS[0])
        file.save()
    before = contents(target.parent)
    with pytest.raises(ValueError, match=r'was made with other settings: weights is "0123" there '
                       r'and "4567" now\. Start anew with --overwrite, or choose another --out'):
        start(target, origin=dict(weights='4567'))
    assert contents(target.parent) == before
    fresh = start(target, origin=dict(weights='4567'), overwrite=True)
    assert fresh.missing() == PATHS


def test_an_interrupted_overwrite_is_taken_up_again(target):
    finish(target)
    anew = start(target, origin=dict(weights='4567'), overwrite=True)
    add(anew, PATHS[0])
    anew.save()
    again = start(target, origin=dict(weights='4567'))
    assert again.missing() == PATHS[1:] and not again.complete


def test_another_class_list_is_named(target):
    finish(target)
    with pytest.raises(ValueError, match=r"made with another class list: 'd/A/1\.png' has 4 names, "
                       r"this list 3; they differ in \['lake', 'park', 'sea'\]\. Start anew"):
        start(target, origin=dict(class_names=['road', 'river', 'park']))


def test_a_complete_file_from_elsewhere_stays_an_incomplete_one_is_refused(target):
    finish(target, PATHS[:2])
    origin_of(target).unlink()
    assert start(target, PATHS[:2]).complete
    with pytest.raises(ValueError, match=r"lacks 1 of 3 images, and which model made it is not "
                       r"known \(no 'A_clipcls_x\.json\.origin' beside it\)"):
        start(target)


def test_a_file_about_other_images_is_not_replaced_in_silence(target):
    finish(target)
    with pytest.raises(ValueError, match=r"is about other images: its first is 'd/A/1\.png', and "
                       r"it has none of the 1 asked for, 'e/A/1\.png' the first"):
        start(target, ['e/A/1.png'])


@pytest.mark.parametrize(('name', 'content', 'message'), [
    ('A_clipcls_x.json', '{}', 'is no CLIP confidence file'),
    ('A_clipcls_x.json', '[{"image', 'is not valid JSON'),
    ('A_clipcls_x.json.parts/000000.json', '[{}]', 'is no CLIP confidence file'),
    ('A_clipcls_x.json.parts/origin.json', '[]', 'model is null there and "ViT-B/16" now'),
])
def test_foreign_files_are_told(target, name, content, message):
    if '/' in name:
        file = start(target)
        add(file, PATHS[0])
        file.save()
    (target.parent / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        start(target)
    assert start(target, overwrite=True).missing() == PATHS
