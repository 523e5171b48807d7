import pytest

from rscc.utils import counted, did_you_mean
from rscc.utils.names import group_names, matching_names


@pytest.mark.parametrize('name,known,said', [
    ('btach_size', ['batch_size', 'shuffle'], " Did you mean 'batch_size'?"),
    ('blipcaptionhead', ['BlipCaptionHead'], " Did you mean 'BlipCaptionHead'?"),
    ('xyz', ['batch_size'], ''), ('anything', [], ''), ('1', [1, 2], " Did you mean '1'?")])
def test_nearest_name_or_nothing(name, known, said):
    assert did_you_mean(name, known) == said


def test_nouns_are_counted():
    assert [counted(1, 'run'), counted(0, 'run'), counted(1234, 'sample')] == [
        '1 run', '0 runs', '1,234 samples']
    assert [counted(2, noun) for noun in ('batch', 'class', 'entry', 'key')] == [
        '2 batches', '2 classes', '2 entries', '2 keys']
    assert counted(2, 'pair of tiles', 'pairs of tiles') == '2 pairs of tiles'
    assert [counted(1.0, 'minute'), counted(1.5, 'minute')] == ['1 minute', '1.5 minutes']


def test_names_that_differ_in_numbers_become_one():
    names = [f'blocks.{block}.ln_{norm}.bias' for block in range(12) for norm in (1, 2)]
    assert group_names(names) == ['blocks.{0-11}.ln_{1-2}.bias (24)']


def test_gaps_are_spelled_out_and_single_names_kept():
    assert group_names(['a.0.x', 'proj', 'a.2.x', 'a.5.x', 'b.3.y']) == [
        'a.{0,2,5}.x (3)', 'proj', 'b.3.y']


def test_no_name_is_lost_from_the_counts():
    names = [f'layer{i}.{j}.bn{k}.weight' for i in (1, 4) for j in range(3) for k in (1, 2, 3)]
    assert group_names(names) == ['layer{1,4}.{0-2}.bn{1-3}.weight (18)']
    assert group_names([]) == []


NAMES = ['encoder.weight', 'encoder.bias', 'head.weight', 'head.bias']


def test_names_come_in_model_order_once():
    assert matching_names(NAMES, ['bias', 'head']) == [
        'encoder.bias', 'head.weight', 'head.bias']


def test_pattern_without_a_match_names_the_nearest_part():
    with pytest.raises(ValueError, match=r"'\^encodr\\\.' matches no parameter.*\['encoder', "
                       r"'head'\]\. Did you mean 'encoder'\?"):
        matching_names(NAMES, [r'^encodr\.'])
