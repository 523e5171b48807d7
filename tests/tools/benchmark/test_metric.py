"""The metric is timed on whole splits, from files or made up."""
import json

import pytest

from tools.benchmark import metric
from tools.benchmark.metric import benchmark_metric, made_up_samples, read_samples
from tools.benchmark.tables import say


@pytest.fixture
def files(tmp_path):
    images = [dict(filename=f'test_{n}.png', filepath='test', split='test', imgid=n,
                   changeflag=n, sentences=[dict(raw=f' {text} .', tokens=text.split())] * 5)
              for n, text in ((1, 'a road is built'), (0, 'there is no difference'))]
    (tmp_path / 'captions.json').write_text(json.dumps(dict(images=images)))
    (tmp_path / 'said.txt').write_text('nothing\na road\n')
    return str(tmp_path / 'captions.json'), str(tmp_path / 'said.txt')


def test_lines_belong_to_images_in_the_order_of_their_names(files):
    samples = read_samples(*files)
    assert [(sample['sample_id'], sample['pred_caption']) for sample in samples] == [
        ('test_0', 'nothing'), ('test_1', 'a road')]
    assert [sample['gt_change_flag'] for sample in samples] == [False, True]


def test_files_that_do_not_fit_are_refused(files, tmp_path):
    (tmp_path / 'said.txt').write_text('one line\n')
    with pytest.raises(ValueError, match=r"said.txt' has 1 lines and split 'test' of .* 2 images"):
        read_samples(*files)
    with pytest.raises(FileNotFoundError, match=r"no file 'absent.txt'; give --references"):
        read_samples(files[0], 'absent.txt')
    with pytest.raises(ValueError, match='belong together: give both, or neither'):
        benchmark_metric(references=files[0])


def test_made_up_captions_are_half_changed_and_predict_a_similar_pair():
    samples = made_up_samples(6)
    assert sum(sample['gt_change_flag'] for sample in samples) == 3
    assert all(len(sample['gt_captions']) == 5 for sample in samples)
    unchanged = [sample for sample in samples if not sample['gt_change_flag']]
    assert all(sample['pred_caption'] in unchanged[0]['gt_captions'] for sample in unchanged)


def test_without_java_the_row_says_so_and_the_other_is_measured(files, monkeypatch):
    monkeypatch.setenv('PATH', '')
    section = benchmark_metric(*files, rounds=1)
    assert [say(row[1], 'en')[:10] for row in section.rows] == ['METEOR is ', '0.0 s (tar']
    assert '2 predictions' in say(section.notes[0], 'en')


def test_with_meteor_both_rows_are_measured(files, monkeypatch):
    real = metric.evaluation
    monkeypatch.setattr(metric, 'evaluation', lambda samples, meteor: (
        lambda: {'caption/all/METEOR': 1.0}) if meteor else real(samples, False))
    section = benchmark_metric(*files, rounds=1)
    assert [say(row[0], 'en') for row in section.rows] == ['all scores', 'without METEOR']
    assert 'target ≤ 15 s' in say(section.rows[0][1], 'en')


def test_levir_cc_is_found_below_the_samples(samples, monkeypatch):
    monkeypatch.setenv('RSCC_SAMPLES', str(samples))
    references, predictions = metric._published()
    assert len(read_samples(references, predictions)) == metric.TEST_PAIRS
    monkeypatch.delenv('RSCC_SAMPLES')
    assert metric._published() == (None, None)
