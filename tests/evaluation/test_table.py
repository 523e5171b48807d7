"""The table stands in columns and copes with absent parts."""
from rscc.evaluation.table import format_table

FULL = {f'{row}/{name}': 12.3 for row in ('caption/all', 'caption/changed', 'baseline/all')
        for name in ('Bleu_1', 'Bleu_4', 'METEOR', 'METEOR_id', 'ROUGE_L', 'CIDEr', 'Sm')}
CHANGE = {'change/F1_changed': 0.5, 'change/OA': 0.75, 'change/IoU_parking_lot': 0.25}


def test_columns_are_aligned_and_rows_named():
    lines = format_table({**FULL, 'caption/flag_accuracy': 0.5}).splitlines()
    assert lines[0].split() == ['captions', '(x100)', 'B1', 'B4', 'M', 'M_id', 'R', 'C', 'Sm']
    table = [line for line in lines if line.endswith(('Sm', '12.30'))]
    assert len(table) == 4 and len({len(line) for line in table}) == 1
    assert table[3].startswith('floor: true flag + one sentence')
    assert any('flag accuracy' in line and '0.5000' in line for line in lines)


def test_absent_scores_are_a_dash_and_absent_rows_are_left_out():
    scores = {'caption/all/Bleu_4': 1.0, 'caption/all/CIDEr': 2.0, 'caption/changed/Bleu_4': 3.0}
    lines = format_table(scores).splitlines()
    assert lines[-1].split() == ['changed', '3.00', '-']
    assert 'unchanged' not in format_table(scores) and 'floor' not in format_table(scores)


def test_change_maps_alone_and_nothing_at_all():
    text = format_table(CHANGE)
    assert text.splitlines()[0] == 'change map (0 to 1)' and 'captions' not in text
    assert 'parking_lot' in text.splitlines()[-1]
    assert format_table({}) == 'no scores'


def test_unknown_scores_are_not_lost():
    assert 'mine/score' in format_table({**CHANGE, 'mine/score': 1.5})
