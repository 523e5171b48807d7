import io
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from rscc.doctor import examination
from rscc.doctor.examination import check_up, clean_lines
from rscc.doctor.kinds import KINDS
from rscc.doctor.recognition import parts_of_folder

CHANGED = ['a house appears on the left', 'a building is built on the left', 'one villa is built',
           'a house is built on the bareland', 'a new house has been built']


def sentences(texts):
    return [{'raw': text, 'tokens': text.split()} for text in texts]


def png(pixels):
    return cv2.imencode('.png', pixels)[1].tobytes()


def jpeg(data):
    file = io.BytesIO()
    Image.open(io.BytesIO(data)).convert('RGB').save(file, 'JPEG', quality=70)
    return file.getvalue()


def plant_files(sick):
    sick.path(sick.take(), 'B').unlink()
    sick.path(sick.take(), 'label').unlink()
    for kind, folder in (('changed', 'A'), ('changed', 'label')):
        entry = sick.take(kind)
        sick.write(entry, folder, sick.path(entry, folder).read_bytes()[:-300])
    entry = sick.take()
    sick.write(entry, 'B', cv2.resize(sick.read(entry, 'B'), (200, 200)))
    entry = sick.take()
    sick.write(entry, 'label', sick.read(entry, 'label')[::2, ::2])
    entry = sick.take()
    sick.write(entry, 'B', sick.read(entry, 'B')[..., 1])
    entry = sick.take()
    for folder in 'AB':
        sick.write(entry, folder, sick.read(entry, folder)[..., 1])
    entry = sick.take('unchanged')
    for folder in ('A', 'B', 'label'):
        sick.write(entry, folder, sick.read(entry, folder)[:240, :240])
    entry = sick.take()
    sick.write(entry, 'A', png(sick.read(entry, 'A').astype(np.uint16) * 256))
    shutil.copy(sick.path(sick.images[0], 'A'), sick.root / 'images/train/A/stray.png')
    return {'missing_image', 'missing_mask', 'unreadable_image', 'unreadable_mask', 'size_differs',
            'mask_size_differs', 'form_differs', 'odd_form', 'odd_size', 'needs_mapping',
            'orphan_file'}


def plant_pictures(sick):
    sick.write(sick.take('unchanged'), 'A', np.full((256, 256, 3), 90, np.uint8))
    entry = sick.take('unchanged')
    sick.write(entry, 'B', sick.path(entry, 'A').read_bytes())
    entry = sick.take('unchanged')
    sick.write(entry, 'B', np.roll(sick.read(entry, 'B'), (9, -7), (0, 1)))
    sick.copy(sick.take(), sick.take())
    sick.copy(sick.take('unchanged'), sick.take('unchanged'), ('A',))
    sick.copy(sick.take('test'), sick.take())
    sick.copy(sick.take(), sick.take(), change=jpeg)
    sick.copy(sick.take('test'), sick.take(), change=jpeg)
    return {'blank_image', 'same_dates', 'shifted', 'duplicate', 'shared_image', 'leak',
            'near_duplicate', 'near_leak'}


def plant_masks(sick):
    entry = sick.take()
    sick.write(entry, 'label', np.where(sick.read(entry, 'label') > 0, 77, 0).astype(np.uint8))
    entry = sick.take()
    sick.write(entry, 'label', np.array(Image.open(sick.path(entry, 'label')).convert('RGB')))
    sick.write(sick.take(), 'label', np.zeros((256, 256), np.uint8))
    entry = sick.take('unchanged')
    sick.write(entry, 'label', np.eye(256, dtype=np.uint8))
    for entry in [entry for entry in sick.images if entry['split'] == 'val']:
        if entry['changeflag']:
            sick.images.remove(entry)
            for folder in ('A', 'B', 'label'):
                sick.path(entry, folder).unlink()
    return {'mask_values', 'mask_form', 'changed_without_mask', 'unchanged_over_mask',
            'split_unchanged'}


def plant_annotations(sick):
    stock = sick.take('unchanged')['sentences']
    sick.take()['sentences'] = stock
    sick.take('unchanged')['sentences'] = sentences(CHANGED)
    sick.take()['sentences'][0] = stock[0]
    sick.images.append(dict(sick.images[0]))
    sick.images.append({'split': 'train', 'sentences': stock})
    sick.take('unchanged')['imgid'] = sick.images[1]['imgid']
    entry = sick.take()
    data = {folder: sick.path(entry, folder).read_bytes() for folder in ('A', 'B', 'label')}
    for folder in data:
        sick.path(entry, folder).unlink()
    entry['split'] = 'tranin'
    for folder, content in data.items():
        sick.write(entry, folder, content)
    return {'flag_denied', 'flag_gainsaid', 'captions_disagree', 'repeated_id', 'bad_entry',
            'repeated_number', 'strange_split'}


def plant_captions(sick):
    sick.take('unchanged')['sentences'] = []
    for change in (lambda text: ' . ', lambda text: f'{text} ###',
                   lambda text: f'itâ€™s so: {text}',
                   lambda text: f'{text} near the rоad', lambda text: f'{text} at the botom side',
                   lambda text: f'{text} and so on' * 15):
        entry = sick.take()
        entry['sentences'] = [dict(one) for one in entry['sentences']]
        entry['sentences'][1]['raw'] = change(entry['sentences'][1]['raw'].rstrip('. '))
    entry = sick.take()
    entry['sentences'] = [*entry['sentences'][:4], entry['sentences'][0]]
    entry = sick.take()
    entry['sentences'] = entry['sentences'][:4]
    for entry in [entry for entry in sick.images if entry.get('changeflag')
                  and len(entry['sentences']) == 5
                  and 'difference' not in entry['sentences'][0]['raw']][:26]:
        entry['sentences'] = [*entry['sentences'][:2], *sentences(['there is a large bottom']),
                              *entry['sentences'][3:]]
    return {'no_captions', 'empty_caption', 'hashes', 'garbled', 'mixed_script', 'misspelt',
            'truncated', 'repeated_caption', 'caption_count', 'stock_sentence'}


def test_nothing_is_found_on_the_built_in_dataset(rendered, findings):
    assert findings(rendered) == {}
    assert findings.register.done == 88


def test_faults_of_forty_kinds_are_found_once_each(patient, findings):
    planted = set().union(*(plant(patient) for plant in (
        plant_files, plant_pictures, plant_masks, plant_annotations, plant_captions)))
    found = findings(patient.save())
    assert found == dict.fromkeys(planted, 1) and len(planted) == 41
    assert planted <= set(KINDS)


def test_a_run_that_was_ended_goes_on_and_finds_the_same(patient, tmp_path, monkeypatch):
    plant_files(patient)
    root, state = patient.save(), tmp_path / 'state.sqlite'
    whole = check_up(parts_of_folder(root), jobs=1)
    monkeypatch.setattr(examination, 'BATCH', 8)
    seen, look = [], examination.look_at

    def until(count):
        def step(sample, part, pixels):
            if len(seen) == count:
                raise KeyboardInterrupt
            seen.append(sample.name)
            return look(sample, part, pixels)
        return step

    monkeypatch.setattr(examination, 'look_at', until(30))
    with pytest.raises(KeyboardInterrupt):
        check_up(parts_of_folder(root), state, jobs=1)
    seen.clear()
    monkeypatch.setattr(examination, 'look_at', until(1000))
    resumed = check_up(parts_of_folder(root), state, jobs=1)
    assert len(seen) == 88 - 24, 'whole batches are kept'
    assert resumed.counts() == whole.counts()
    assert list(resumed.samples()) == list(whole.samples())
    for register in (whole, resumed):
        register.close()


def test_a_record_of_other_files_or_options_is_refused(patient, tmp_path):
    root, state = patient.save(), tmp_path / 'state.sqlite'
    check_up(parts_of_folder(root), state, pixels=False, jobs=1).close()
    with pytest.raises(ValueError, match='of other options'):
        check_up(parts_of_folder(root), state, jobs=1)
    patient.images.pop()
    patient.save()
    with pytest.raises(ValueError, match='files that have changed since'):
        check_up(parts_of_folder(root), state, pixels=False, jobs=1)
    state.write_text('words')
    with pytest.raises(ValueError, match='no record of a check-up'):
        check_up(parts_of_folder(root), state, pixels=False, jobs=1)


def test_headers_alone_tell_of_files_and_captions(patient, findings):
    plant_files(patient)
    found = findings(patient.save(), pixels=False)
    assert found == dict.fromkeys(('missing_image', 'missing_mask', 'unreadable_image',
                                   'unreadable_mask', 'size_differs', 'mask_size_differs',
                                   'form_differs', 'odd_size', 'orphan_file'), 1)


def test_every_error_about_a_sample_costs_it_its_place():
    of_all = {'bad_annotations', 'unreadable_folder', 'strange_split', 'split_unchanged'}
    assert {kind for kind, found in KINDS.items()
            if found.severity == 'error' and not found.drops} == of_all
    assert all(KINDS[kind].drops for kind in ('empty_caption', 'shifted', 'same_stem'))


def test_clean_samples_are_those_without_grave_findings(patient, findings):
    plant_masks(patient)
    plant_captions(patient)
    findings(patient.save())
    kinds = [kind for kind, found in KINDS.items() if found.drops]
    lines = list(clean_lines(findings.register, kinds))
    bad = {findings.register.sample(n)[1] for kind in kinds for n, *_ in findings.details(kind)}
    assert len(bad) == 6 and len(lines) == findings.register.done - 6
    assert not bad & {line.split('\t')[1] for line in lines}
    assert all(line.split('\t')[0] in ('train', 'val', 'test') for line in lines)
