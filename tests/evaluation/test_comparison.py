"""Two systems compared by their prediction files."""
import numpy as np
import pytest

from rscc.evaluation.comparison import compare_runs, format_differences, read_run
from rscc.evaluation.functional.bootstrap import Difference, paired_difference
from rscc.evaluation.protocols import score_captions
from rscc.evaluation.records import CaptionOptions
from rscc.utils import read_json, write_json
from rscc.utils.terminal import cells

pytest.importorskip('pycocoevalcap')
RIGHT, WRONG = 'two houses are built on the left', 'a road is removed on the right'
REFERENCES = [RIGHT, 'two houses appear on the left', 'two villas are built']
SAME = ['there is no difference', 'no change has occurred']


def write(path, right, count=40, **more):
    """Predictions of which the first ``right`` of the changed pairs are as the references say."""
    samples = []
    for row in range(count):
        changed = row % 2 == 0
        said = (RIGHT if row // 2 < right else WRONG) if changed else SAME[0]
        sample = dict(sample_id=f's{row:02}', prediction=said, gt_change_flag=changed,
                      references=REFERENCES if changed else SAME,
                      scores={'F1_changed': 0.5} if changed else {})
        if changed:
            sample['swapped'] = {'prediction': 'two houses are removed', 'mask_IoU': row / count}
            sample['shown'] = {'building': dict(share=0.1, top=0.5, left=0.9, center=0.4)}
        samples.append(sample | more)
    write_json(path, dict(dataset=dict(language='en'), split='test', samples=samples))
    return path


def compare(one, other, **options):
    return compare_runs([read_run(path) for path in one], [read_run(path) for path in other],
                        CaptionOptions(**options), 200)


def test_a_system_that_is_better_on_most_images_is_told_from_the_other(tmp_path):
    found = compare([write(tmp_path / 'a.json', 18)], [write(tmp_path / 'b.json', 4)])
    for key in ('all/Bleu_4', 'changed/ROUGE_L', 'changed/object_F1', 'changed/direction_accuracy'):
        assert found[key].value > 0 and found[key].low > 0 and found[key].p < 0.02, key
    assert found['changed/failures'].high < 0 and found['changed/hallucinated'].high < 0
    assert found['changed/reversible'].one == pytest.approx(18 / 20)
    assert found['all/flag_accuracy'].value == 0 and found['all/flag_accuracy'].p == 1
    assert found['changed/F1_changed'].one == 0.5


def test_scores_are_those_of_the_scorer(tmp_path):
    path = write(tmp_path / 'a.json', 11)
    run = read_run(path)
    expected, _ = score_captions(list(run.records.values()),
                                 CaptionOptions(meteor=False, baselines=False))
    found = compare([path], [write(tmp_path / 'b.json', 5)])
    for part in ('all', 'changed'):
        for name in ('Bleu_4', 'ROUGE_L', 'CIDEr'):
            assert found[f'{part}/{name}'].one == pytest.approx(
                expected[f'caption/{part}/{name}'], abs=1e-6)
    for name in ('flag_accuracy', 'object_F1', 'direction_accuracy', 'hallucinated', 'missed',
                 'count_error', 'place_accuracy', 'hallucinated_mask', 'missed_mask',
                 'place_accuracy_mask'):
        assert found[f'all/{name}'].one == pytest.approx(expected[f'caption/{name}'])
    assert found['all/reversible'].one == pytest.approx(expected['reversal/reversible'])


def test_a_file_beside_itself_differs_in_nothing(tmp_path):
    path = write(tmp_path / 'a.json', 11)
    for found in compare([path], [path]).values():
        assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_several_runs_widen_the_interval_by_their_own_variation(tmp_path):
    runs = [write(tmp_path / f'{right}.json', right) for right in (2, 10, 18)]
    alone = compare(runs[1:2], runs[1:2])['changed/object_F1']
    found = compare(runs, runs[1:2])['changed/object_F1']
    assert found.one == pytest.approx(alone.one)
    assert found.one_ends[1] - found.one_ends[0] > 1.3 * (alone.one_ends[1] - alone.one_ends[0])
    assert found.low < 0 < found.high


def test_the_same_seed_gives_the_same_figures(tmp_path):
    paths = write(tmp_path / 'a.json', 12), write(tmp_path / 'b.json', 9)
    once, again, other = (compare(paths[:1], paths[1:], seed=seed) for seed in (0, 0, 1))
    assert once == again != other


def test_files_of_other_images_or_references_are_refused(tmp_path):
    one, other = write(tmp_path / 'a.json', 3), write(tmp_path / 'b.json', 3)
    data = read_json(other)
    data['samples'][0]['references'] = ['a pond appears']
    write_json(other, data)
    with pytest.raises(ValueError, match="'s00' are not those of"):
        compare([one], [other])
    for sample in data['samples']:
        sample['sample_id'] = f'x{sample["sample_id"]}'
    write_json(other, data)
    with pytest.raises(ValueError, match='no image in common'):
        compare([one], [other])


def test_sentences_of_two_languages_are_not_compared(tmp_path):
    one, other = write(tmp_path / 'a.json', 3), write(tmp_path / 'b.json', 3)
    data = read_json(other)
    for sample in data['samples']:
        sample['prediction'] = '左侧新建了两座房屋'
    write_json(other, data)
    with pytest.raises(ValueError, match=r"a\.json' are English .*b\.json' Chinese"):
        compare([one], [other])
    with pytest.raises(ValueError, match='expected --language zh'):
        compare([other], [other])
    for sample in data['samples']:
        sample['prediction'] = ''
    write_json(other, data)
    assert 'all/CIDEr' in compare([one], [other])


def test_only_what_is_significant_is_marked():
    apart = dict(one=1.0, other=0.5, one_ends=(0, 1), other_ends=(0, 1))
    found = {'all/CIDEr': Difference(**apart, low=0.1, high=0.9, p=0.119),
             'all/ROUGE_L': Difference(**apart, low=-0.1, high=0.9, p=0.01),
             'all/Bleu_4': Difference(**apart, low=0.1, high=0.9, p=0.049)}
    *_, cider, rouge, bleu, level = format_differences(found, ['new', 'old']).splitlines()
    assert 'better' not in cider and 'better' not in rouge and bleu.endswith('* new better')
    assert level.startswith('* p below 0.05')


def test_columns_suit_long_scores_and_names_in_chinese():
    apart = dict(one=1.0, other=0.5, one_ends=(0, 1), other_ends=(0, 1), low=0.1, high=0.9, p=0.9)
    found = {key: Difference(**apart) for key in ('all/CIDEr', 'changed/place_accuracy_mask')}
    head, rule, short, long, _ = format_differences(found, ['贪心搜索（无剪枝）', 'b']).splitlines()
    assert len({cells(line) for line in (rule, short, long)}) == 1
    for text, number in (('贪心搜索（无剪枝）', '1.0000'), ('95 % from', '+0.1000')):
        ends = {cells(line[:line.index(part) + len(part)])
                for line, part in ((head, text), (short, number), (long, number))}
        assert len(ends) == 1, text


def test_images_that_a_file_lacks_are_counted_and_left_out(tmp_path, caplog):
    paths = write(tmp_path / 'a.json', 20), write(tmp_path / 'b.json', 10, count=30)
    assert compare(paths[:1], paths[1:])['changed/reversible'].other == pytest.approx(10 / 15)


def test_captions_alone_are_compared_without_what_they_lack(tmp_path):
    path = write(tmp_path / 'a.json', 12)
    data = read_json(path)
    for sample in data['samples']:
        sample.pop('swapped', None), sample.pop('scores')
    write_json(tmp_path / 'bare.json', data)
    found = compare([path], [tmp_path / 'bare.json'])
    assert 'changed/CIDEr' in found
    assert not {'changed/reversible', 'changed/F1_changed', 'changed/mask_IoU'} & set(found)


def test_p_of_no_difference_is_spread_over_its_range():
    rng = np.random.default_rng(0)
    values = []
    for _ in range(60):
        one, other = (np.c_[rng.normal(size=30), np.ones(30)] for _ in range(2))
        values.append(paired_difference([one], [other], lambda s: s[0] / s[1], 100).p)
    assert 0.3 < np.mean(values) < 0.7 and np.mean(np.array(values) < 0.1) < 0.25


@pytest.mark.parametrize(('one', 'resamples', 'message'), [
    ([np.ones((3, 2))], 50, 'at least 100'), ([np.ones((2, 2))], 100, r'got \[2, 3\] images'),
    ([], 100, 'two systems')])
def test_impossible_comparisons_are_refused(one, resamples, message):
    with pytest.raises(ValueError, match=message):
        paired_difference(one, [np.ones((3, 2))], lambda sums: sums[0], resamples)


def test_the_table_says_who_is_better(tmp_path):
    found = compare([write(tmp_path / 'a.json', 18)], [write(tmp_path / 'b.json', 4)])
    table = format_differences(found, ['new', 'old'])
    lines = {line.split()[0]: line for line in table.splitlines()}
    assert lines['changed/object_F1'].endswith('* new better')
    assert lines['changed/failures'].endswith('* new better')
    assert not lines['all/flag_accuracy'].endswith('better')
