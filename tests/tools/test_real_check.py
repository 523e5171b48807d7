"""The evaluation on real pairs from start to end, on rendered pairs in the layout of the real ones.
"""
import csv
import json
import shutil

import pytest
import tiny_models
from testers import WORDS

from rscc.visualization.fonts import has_cjk

MARKS = '<!-- benchmark:speed -->\n<!-- /benchmark:speed -->\n'
TOOL = 'analysis_tools/real_check.py'


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """A model with drawn weights: maps of three classes, English sentences, a flag."""
    return tiny_models.save(
        tmp_path_factory.mktemp('tiny') / 'tiny.pth', tiny_models.JOINT,
        classes=('unchanged', 'road', 'building'), image_size=(64, 64))


@pytest.fixture
def check(run_tool, real_roots, checkpoint, tmp_path, monkeypatch):
    """Return a function that runs the tool on the folders, with the pictures left out."""
    root, unchanged = real_roots
    monkeypatch.setenv('RSCC_SAMPLES', str(root))
    monkeypatch.setenv('RSCC_TRAIN', str(unchanged))

    def run(*arguments, model=checkpoint, pictures=False):
        rest = [] if pictures else ['--no-panels']
        return run_tool(TOOL, model, '--out', tmp_path / 'out', '--rounds', '1', '--device', 'cpu',
                        *rest, *arguments)

    return run


def saved(tmp_path):
    return json.loads((tmp_path / 'out/scores.json').read_text())


def test_every_number_is_saved_and_every_pair_has_a_panel(check, tmp_path):
    done = check('--log', tmp_path / 'logs/runs.log', pictures=True)
    assert done.returncode == 0, done.stderr
    run = saved(tmp_path)
    assert set(run['maps']) == {
        'LEVIR-CD', 'LEVIR-MCI', 'LEVIR-MCI: building', 'LEVIR-MCI: road', 'EGY-BCD', 'DSIFN',
        'SZTAKI', 'CDD', 'LEVIR-CD + LEVIR-MCI', 'EGY + DSIFN + SZTAKI', 'all with masks'}
    for row in run['maps'].values():
        assert all(0 <= row[name] <= 1 for name in ('F1', 'AP') if name in row)
    assert set(run['false_area']) == {'LEVIR-CD', 'CDD', 'LEVIR-CC', 'SpaceNet 8', 'NAIP'}
    assert run['sentences']['en']['LEVIR captions']['no_change_of'] == 1
    assert set(run['times']) == {'mask', 'with sentence (en)'} and len(run['sha256']) == 64
    assert run['skipped'] == ["LEVIR-CC figures: no folder 'levir_cc_figure_crops'",
                              "DUBAI-CC: no folder 'dubai_cc_figure_crops'"]
    assert "skipped: DUBAI-CC: no folder 'dubai_cc_figure_crops'" in done.stdout
    with open(tmp_path / 'out/pairs.csv', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(run['pairs']) == 13
    panels = sorted(path.name for path in (tmp_path / 'out/panels').iterdir())
    assert len(panels) == 13 and 'egy_bcd_samples.test.test_1.png' in panels
    page = (tmp_path / 'out/index.html').read_text()
    assert 'egy_bcd_samples.test.test_1' in page and page.count('data:image') > 24
    (line,) = (tmp_path / 'logs/runs.log').read_text().splitlines()
    assert run['sha256'] in line and ' 13 pairs | F1 LEVIR-CD ' in line and 'time, mask' in line


def test_tables_are_printed_compared_and_written_into_both_pages(check, tmp_path):
    assert check('--name', 'first').returncode == 0
    shutil.copy(tmp_path / 'out/scores.json', tmp_path / 'first.json')
    for language in ('en', 'zh_cn'):
        (tmp_path / language).mkdir()
        (tmp_path / language / 'benchmarks.md').write_text(MARKS)
    done = check('--name', 'second', '--compare', tmp_path / 'first.json', '--write', '--docs',
                 tmp_path)
    assert done.returncode == 0, done.stderr
    for title in ('Change maps of real pairs', 'False area on unchanged real pairs',
                  'Changed or not, on real pairs', 'Sentences on real pairs',
                  'Models side by side on real pairs'):
        assert title in done.stdout
    head = next(line for line in done.stdout.splitlines() if line.startswith('figure'))
    assert head.split() == ['figure', 'second', 'first']
    row = next(line for line in done.stdout.splitlines() if line.startswith('EGY-BCD: F1 / AP'))
    assert row.split()[4:7] == row.split()[7:]
    english, chinese = ((tmp_path / language / 'benchmarks.md').read_text()
                        for language in ('en', 'zh_cn'))
    assert '| LEVIR-CD (2) | building |' in english and '| LEVIR-CD (2) | 建筑物 |' in chinese
    assert '| 误报面积 NAIP |' in chinese and '| false area NAIP |' in english
    assert english.count('<!-- benchmark:real') == chinese.count('<!-- benchmark:real') == 5
    assert str(tmp_path) not in english and '![' not in english


def test_a_model_of_two_languages_writes_both_into_tables_and_panels(check, tmp_path):
    words = ['<pad>', '<unk>', '<start>', '<end>', '<en>', *WORDS, '<zh>', '新建', '了', '房屋']
    head = tiny_models.BLIP | dict(tokenizer=dict(type='BilingualWordTokenizer', words=words))
    path = tiny_models.save(tmp_path / 'two.pth', tiny_models.JOINT | dict(caption_head=head),
                            image_size=(64, 64))
    done = check('--sets', 'LEVIR-CC', model=path, pictures=True)
    assert done.returncode == 0, done.stderr
    run = saved(tmp_path)
    assert set(run['sentences']) == {'en', 'zh'} and len(run['pairs']) == 2
    assert set(run['times']) == {'mask', 'with sentence (en)', 'with sentence (zh)'}
    for pair in run['pairs']:
        assert not has_cjk(pair['sentence_en']) and {'object_en', 'object_zh'} <= set(pair)
    assert any(has_cjk(pair['sentence_zh']) for pair in run['pairs'])
    assert 'always "some houses are built"' in done.stdout and 'Chinese' in done.stdout
    assert len(list((tmp_path / 'out/panels').iterdir())) == 2


def test_an_earlier_run_is_shown_again_without_computing(check, tmp_path, monkeypatch):
    shown = check().stdout
    monkeypatch.delenv('RSCC_SAMPLES')
    again = check(model=tmp_path / 'out/scores.json')
    assert again.returncode == 0, again.stderr
    assert again.stdout.strip() == shown[shown.index('Change maps'):].strip()


def test_without_samples_the_reason_is_told_and_nothing_fails(check, monkeypatch, tmp_path):
    for value in (None, str(tmp_path / 'none')):
        monkeypatch.delenv('RSCC_SAMPLES', raising=False)
        if value:
            monkeypatch.setenv('RSCC_SAMPLES', value)
        done = check()
        assert done.returncode == 0
        assert done.stdout == (f"skipped: no real pairs at '{value or ''}': set RSCC_SAMPLES to "
                               'their folder, or name one with --root\n')
    assert not (tmp_path / 'out').exists()


def test_other_folders_and_single_sets(check, real_roots, tmp_path, monkeypatch):
    root, _ = real_roots
    monkeypatch.delenv('RSCC_SAMPLES')
    monkeypatch.delenv('RSCC_TRAIN')
    (root / 'egy_bcd_samples').rename(root / 'my city')
    done = check('--root', root, '--sets', 'my city', 'LEVIR-CD')
    assert done.returncode == 0, done.stderr
    assert list(saved(tmp_path)['maps']) == ['LEVIR-CD', 'my city', 'all with masks']
    assert 'unchanged pairs: RSCC_TRAIN, or --unchanged-root, names no folder' in done.stdout


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--sets', 'levir_cd_sample'], "error: no set 'levir_cd_sample' below"),
    (['--root', 'nowhere'], "error: no folder 'nowhere': expected one that holds sets of pairs"),
    (['--compare', 'nowhere.json'], 'nowhere.json')])
def test_what_is_not_there_is_one_line(check, arguments, message):
    done = check(*arguments)
    assert done.returncode == 1 and message in done.stderr.splitlines()[-1]
    assert 'Traceback' not in done.stderr


def test_other_json_is_refused(check, tmp_path):
    (tmp_path / 'other.json').write_text('{"name": "x"}')
    done = check(model=tmp_path / 'other.json')
    assert "is no scores.json of real_check.py: it lacks ['sha256', 'machine'" in done.stderr


def test_a_broken_image_is_left_out_and_ends_with_an_error(check, real_roots, tmp_path):
    (real_roots[0] / 'dsifn_samples/A/0_2.png').write_bytes(b'\x89PNG broken')
    done = check()
    assert done.returncode == 1
    assert 'error: 1 pairs could not be read and are not in these figures' in done.stderr
    run = saved(tmp_path)
    assert 'DSIFN' not in run['maps'] and run['left_out'][0].startswith('dsifn_samples/0_2: ')
    assert 'EGY + DSIFN + SZTAKI' not in run['maps']


def test_a_model_of_single_images_is_refused(check, tmp_path):
    path = tiny_models.save(tmp_path / 'single.pth', tiny_models.SINGLE | dict(
        caption_head=tiny_models.LSTM), task='single')
    done = check(model=path)
    assert done.returncode == 1 and 'reads single images; a model of pairs was' in done.stderr
