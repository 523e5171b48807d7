"""Table, CSV and drawing of a comparison, out of its result files alone."""
import csv
import json
from dataclasses import asdict

import pytest

from tools.benchmark.compared_tables import read_runs, read_study, states, table_of, write_csv
from tools.benchmark.machine import Machine
from tools.benchmark.tables import say, to_markdown

MACHINE = asdict(Machine('Some CPU', 2, 1, 23.6, '2.13.0', True))


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a study: row -> seed -> scores or cause."""
    def put(rows, steps=7, minutes=None):
        seeds = max(max(own, default=0) for own in rows.values()) + 1
        (tmp_path / 'plan.json').write_text(json.dumps(dict(
            rows=list(rows), seeds=seeds, threads=1, jobs=2, machine=MACHINE, command='python x',
            date='2026-11-28', budget=dict(steps=steps, minutes=minutes, batch_size=None))))
        for name, own in rows.items():
            for seed, found in own.items():
                folder = tmp_path / f'{name}_seed{seed}'
                folder.mkdir()
                failed = isinstance(found, str)
                (folder / ('failure.json' if failed else 'result.json')).write_text(json.dumps(
                    dict(cause=found) if failed else dict(
                        scores=found, steps=7, batch_size=16, parameters=1.5e6, gflop=2.0,
                        answered_per_s=50.0, trained_per_s=80.0, train_seconds=90.0,
                        train_bytes=2**30)))
        return read_study(tmp_path)

    return put


def captions(value):
    return {'caption/changed/CIDEr': value, 'caption/flag_accuracy': 0.9,
            'reversal/reversible': 0.25}


def test_scores_are_means_with_their_spread_and_what_a_row_lacks_is_a_dash(write, cells):
    section = table_of(*write({'a': {0: captions(50.0), 1: captions(60.0)},
                               'b': {0: {'change/F1_changed': 0.5}, 1: {'change/F1_changed': 0.7}}}
                              ))
    assert cells(section, 'config') == ['a', 'b']
    assert cells(section, 'CIDEr, changed pairs') == ['55.0 ± 7.1', '–']
    assert cells(section, 'F1_changed') == ['–', '0.600 ± 0.141']
    assert cells(section, 'parameters, M') == ['1.50', '1.50']
    assert cells(section, 'training, min') == ['1.5', '1.5']
    assert cells(section, 'seeds') == ['2/2', '2/2']
    heads = [say(head, 'en') for head in section.columns]
    assert not [head for head in heads if 'SeK' in head] and heads[-1] == 'seeds'  # nobody has one
    assert '[every seed](compare.csv)' in to_markdown(section, 'en')
    assert '(../en/compare.csv)' in to_markdown(section, 'zh_cn')


def test_failing_and_missing_runs_stand_in_the_table_with_their_cause(write, cells, tmp_path):
    plan, rows = write({'a': {0: captions(50.0), 1: 'a word | is missing'},
                        'b': {0: 'no config', 1: 'no config'}, 'c': {}})
    section = table_of(plan, rows)
    assert cells(section, 'seeds') == ['1/2; seed 1 failed: a word / is missing',
                                       '0/2; seed 0, 1 failed: no config', '0/2']
    assert cells(section, 'CIDEr, changed pairs') == ['50.0', '–', '–']
    assert states(rows) == [f'{name}: {cell}' for name, cell in
                            zip('abc', cells(section, 'seeds'), strict=True)]
    lines = list(csv.DictReader(write_csv(tmp_path / 'x.csv', rows, plan).open()))
    assert [(line['config'], line['seed'], line['state']) for line in lines] == [
        ('a', '0', 'done'), ('a', '1', 'failed'), ('b', '0', 'failed'), ('b', '1', 'failed'),
        ('c', '0', 'missing'), ('c', '1', 'missing')]
    assert lines[0]['CIDEr_changed'] == '50' and lines[1]['cause'] == 'a word | is missing'
    assert lines[0]['F1_changed'] == ''


def test_the_log_of_a_failed_run_is_named(write, cells, tmp_path):
    write({'a': {0: 'no config', 1: 'no config'}})
    (tmp_path / 'a_seed1/failure.json').write_text(json.dumps(
        dict(cause='no config', log='work/a_seed1/train.log')))
    plan, rows = read_study(tmp_path)
    assert cells(table_of(plan, rows), 'seeds') == [
        '0/2; seed 0, 1 failed: no config (log: work/a_seed1/train.log)']
    lines = list(csv.DictReader(write_csv(tmp_path / 'x.csv', rows, plan).open()))
    assert [line['log'] for line in lines] == ['', 'work/a_seed1/train.log']


def test_the_trivial_baseline_is_the_last_row_and_marked(write, cells, tmp_path):
    write({'a': {0: captions(50.0) | {'change/F1_changed': 0.5}}})
    (tmp_path / 'baseline.json').write_text(json.dumps(
        {'caption/changed/CIDEr': 12.5, 'change/F1_changed': 0.072}))
    plan, rows = read_study(tmp_path)
    section = table_of(plan, rows)
    assert cells(section, 'config') == ['a', '*baseline: everything changed, one sentence*']
    assert cells(section, 'CIDEr, changed pairs') == ['50.0', '12.5']
    assert cells(section, 'F1_changed') == ['0.500', '0.072']
    assert cells(section, 'flag accuracy')[1] == cells(section, 'parameters, M')[1] == '–'
    assert '| *平凡基线：全部变化，固定语句* |' in to_markdown(section, 'zh_cn')
    lines = list(csv.DictReader(write_csv(tmp_path / 'x.csv', rows, plan).open()))
    assert [(line['config'], line['state'], line['F1_changed']) for line in lines] == [
        ('a', 'done', '0.5'), ('baseline', 'baseline', '0.072')]


def test_quality_is_drawn_against_training_or_against_answering(write):
    section = table_of(*write({'a': {0: captions(50.0)}, 'b': {0: {'change/F1_changed': 0.5}}}))
    assert section.picture.image.shape == (460, 1200, 3)
    assert 'minutes of training' in section.picture.alt[0]


def test_equal_minutes_are_no_axis(write):
    section = table_of(*write({'a': {0: captions(50.0)}}, steps=None, minutes=4.0))
    assert 'ms to answer a pair' in section.picture.alt[0]
    assert 'as many steps as fit into 4 minutes' in say(section.notes[0], 'en')


def test_nothing_to_draw_is_no_picture(write):
    assert table_of(*write({'a': {0: 'broken'}})).picture is None


def test_a_model_of_semantic_change_has_both_countings_of_sek(write, cells):
    section = table_of(*write({'a': {0: {'semantic/SeK_pooled': 0.25, 'semantic/SeK_from_to': 0.125,
                                         'semantic/baseline/SeK_pooled': 0.5}}}))
    assert cells(section, 'SeK, dates pooled') == ['0.250']
    assert cells(section, 'SeK, from-to') == ['0.125']


def test_runs_on_a_gpu_have_a_file_of_their_own(write):
    plan, rows = write({'a': {0: captions(50.0)}})
    plan['machine']['gpu'] = 'Some GPU'
    section = table_of(plan, rows)
    assert section.mark == 'compare-gpu'
    assert '[every seed](compare-gpu.csv)' in to_markdown(section, 'en')


def test_a_folder_without_a_comparison_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'holds no comparison .*--report-only'):
        read_study(tmp_path)


def test_runs_done_elsewhere_join_the_table(write, cells, tmp_path):
    plan, rows = write({'a': {0: captions(50.0), 1: 'no memory'}, 'b': {0: 'no memory'}})
    file = write_csv(tmp_path / 'there.csv', rows, plan)
    text = file.read_text()
    line = next(line for line in text.splitlines() if line.startswith('a,0,done'))
    file.write_text(text + line.replace('a,0', 'a,1', 1).replace(',50,', ',60,') + '\n'
                    + line.replace('a,0', 'c,2', 1) + '\n')
    earlier = read_runs(file)
    assert sorted(earlier) == [('a', 0), ('a', 1), ('c', 2)]
    assert earlier['a', 1]['CIDEr_changed'] == 60 and earlier['a', 1]['F1_changed'] is None
    plan, rows = read_study(tmp_path, earlier)
    section = table_of(plan, rows)
    assert cells(section, 'config') == ['a', 'b', 'c']
    assert cells(section, 'CIDEr, changed pairs') == ['55.0 ± 7.1', '–', '50.0']
    assert cells(section, 'seeds') == ['2/3', '0/3; seed 0 failed: no memory', '1/3']
    assert '2 of 3 runs were done earlier' in to_markdown(section, 'en')
    assert '16 pairs a step' in to_markdown(section, 'en')


def test_a_file_of_something_else_is_no_comparison(write, tmp_path):
    plan, rows = write({'a': {0: captions(50.0)}})
    file = write_csv(tmp_path / 'there.csv', rows, plan)
    file.write_text(file.read_text().replace(',50,', ',fifty,'))
    with pytest.raises(ValueError, match="line 2: could not convert string to float: 'fifty'"):
        read_runs(file)
    file.write_text('run,seed\nwhole,0\n')
    with pytest.raises(ValueError, match=r'no column config, state, CIDEr_changed'):
        read_runs(file)
