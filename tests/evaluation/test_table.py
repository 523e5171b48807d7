"""The table stands in columns and copes with absent parts."""
from rscc.evaluation.table import format_metadata, format_table
from rscc.utils.terminal import cells

FULL = {f'{row}/{name}': 12.3 for row in ('caption/all', 'caption/changed', 'baseline/all')
        for name in ('Bleu_1', 'Bleu_4', 'METEOR', 'METEOR_id', 'ROUGE_L', 'CIDEr', 'Sm')}
CHANGE = {'change/F1_changed': 0.5, 'change/OA': 0.75, 'change/IoU_parking_lot': 0.25}


def test_columns_are_aligned_and_rows_named():
    lines = format_table({**FULL, 'caption/flag_accuracy': 0.5}).splitlines()
    assert lines[0].split() == ['captions', '(x100)', 'B1', 'B4', 'M', 'M_id', 'R', 'C', 'Sm']
    table = [line for line in lines if line.endswith(('Sm', '12.30'))]
    assert len(table) == 4 and len({len(line) for line in table}) == 1
    assert table[3].startswith('baseline: true flag + one sentence')
    assert any('flag accuracy' in line and '0.5000' in line for line in lines)


def test_absent_scores_are_a_dash_and_absent_rows_are_left_out():
    scores = {'caption/all/Bleu_4': 1.0, 'caption/all/CIDEr': 2.0, 'caption/changed/Bleu_4': 3.0}
    lines = format_table(scores).splitlines()
    assert lines[-1].split() == ['changed', '3.00', '-']
    assert 'unchanged' not in format_table(scores) and 'baseline' not in format_table(scores)


def test_no_cider_where_all_references_are_alike():
    scores = {}
    for part, cider in (('changed', 80.0), ('unchanged', 0.0)):
        own = dict(Bleu_1=90.0, CIDEr=cider, CIDEr_low=cider, Sm=70.0)
        scores |= {f'caption/{part}/{name}': value for name, value in own.items()}
    lines = format_table(scores).splitlines()
    row, = [line.split() for line in lines if line.startswith('unchanged')]
    assert row == ['unchanged', '90.00', '-', '-']
    assert 'references are alike' in lines[-1] and '80.00' in '\n'.join(lines)
    wrong = {**scores, 'caption/unchanged/Bleu_1': 0.0}  # no word is right: 0 it is
    assert 'references are alike' not in format_table(wrong)


def test_single_images_have_baselines_of_their_own_names():
    scores = {f'{row}/CIDEr': 12.5 for row in ('caption/all', 'baseline/all', 'baseline/frequent')}
    text = format_table(scores)
    assert 'baseline: best single sentence' in text and 'baseline: most frequent caption' in text
    assert 'true flag' not in text


def test_intervals_stand_below_their_row_and_protocols_apart():
    scores = {'caption/all/Bleu_4': 50.0, 'caption/all/Bleu_4_low': 45.0,
              'caption/all/Bleu_4_high': 55.0, 'caption_characters/all/Bleu_4': 60.0,
              'clipcap_rsic/all/Bleu_4': 0.5, 'clipcap_rsic/all/char_cosine': 0.25}
    blocks = format_table(scores).split('\n\n')
    assert [line.split()[-1] for line in blocks[0].splitlines()[2:]] == ['50.00', '45.00', '55.00']
    assert blocks[1].startswith('by characters (x100)') and blocks[1].endswith('60.00')
    assert blocks[2].startswith('as clipcap_rsic (0 to 1)') and blocks[2].endswith('0.5000  0.2500')


def test_metadata_say_what_the_scores_are_of():
    metadata = {'samples': 58, 'split': 'test', 'language': 'zh', 'protocol': 'coco',
             'tokenizer': 'jieba words', 'most_frequent_of': 'train',
             'truncated': 'captions cut at the limit of 40 tokens: 3 of 58'}
    assert format_metadata(metadata).splitlines() == [
        '58 samples, split test, language zh', 'protocol coco, tokenizer: jieba words',
        'most frequent caption of: train', 'captions cut at the limit of 40 tokens: 3 of 58']
    assert format_metadata({'language': 'en', 'protocol': 'coco', 'tokenizer': 'words'}).startswith(
        'split unknown, language en')


def test_change_maps_alone_and_nothing_at_all():
    text = format_table(CHANGE)
    assert text.splitlines()[0] == 'change map (0 to 1)' and 'captions' not in text
    assert 'parking_lot' in text.splitlines()[-1]
    assert format_table({}) == 'no scores'


def test_doubt_has_a_block_of_its_own():
    text = format_table({'doubt/mean': 0.3, 'doubt/not_sure': 0.1, 'doubt/errors': 0.25,
                         'doubt/AURC': 0.05, 'doubt/AURC_score': 0.125})
    assert text.startswith('doubt (0 to 1') and 'other' not in text
    assert all(word in text for word in ('not sure', 'AURC by score', '0.1250'))


def test_unknown_scores_are_not_lost():
    assert 'mine/score' in format_table({**CHANGE, 'mine/score': 1.5})


def test_semantic_scores_stand_above_their_trivial_baselines():
    scores = {f'{row}SeK_{counting}': 0.25 for counting in ('pooled', 'from_to')
              for row in ('semantic/', 'semantic/repeated_first/', 'semantic/true_first/')}
    scores |= {'semantic/mIoU': 0.5, 'transition/low_vegetation_to_building': 0.75,
               'reversal/classes': 0.99}
    blocks = format_table(scores).split('\n\n')
    assert len(blocks) == 5 and 'classes exchanged' in blocks[0]
    table = blocks[1].splitlines() + blocks[2].splitlines()
    assert table[0].split()[-4:] == ['SeK', 'pooled', 'SeK', 'from-to']
    assert [line.split('  ')[0] for line in table[2:]] == [
        'model', 'baseline: first date repeated', 'the same of the true maps']
    assert 'mIoU' in format_table(scores) and 'low_vegetation -> building' in format_table(scores)


def test_classes_named_in_chinese_are_aligned_by_the_cells_of_a_terminal():
    names = ['unchanged', '建筑物', '新建的道路']
    table = format_table({f'change/IoU_{name}': 0.5 for name in names}
                         | {f'transition/{one}_to_建筑物': 0.25 for one in names})
    for block in table.split('\n\n'):
        lines = block.splitlines()[2:]
        ends = {cells(line[:line.index('0.')]) for line in lines}
        assert len(ends) == 1 and len(block.splitlines()[1]) == max(map(cells, lines))
