import numpy as np
import pytest

from rscc.datasets.transforms.captions import (
    PickCaptions,
    PickTeacherCaptions,
    adapt_captions,
)

FIVE = [f'caption {index}' for index in range(5)]


def pick(seed=0, flag=True, language='en', **options):
    item = {'sample_id': 's', 'rng': np.random.default_rng(seed), 'gt_captions': list(FIVE),
            'gt_change_flag': flag, 'language': language}
    return PickCaptions(**options)(item)


def test_one_is_drawn_by_the_generator_and_all_come_up():
    drawn = {tuple(pick(seed)['target_captions']) for seed in range(60)}
    assert drawn == {(text, ) for text in FIVE}
    assert pick(7)['target_captions'] == pick(7)['target_captions']
    assert pick(7)['gt_captions'] == FIVE


def test_all_keeps_the_order():
    assert pick(mode='all')['target_captions'] == FIVE


def test_unchanged_pairs_train_on_one_sentence():
    assert pick(flag=False, mode='all', no_change='same')['target_captions'] == ['same']
    assert pick(flag=True, mode='all', no_change='same')['target_captions'] == FIVE
    assert pick(flag=False, no_change={'en': 'a', 'zh': 'b'},
                language='zh')['target_captions'] == ['b']


def test_what_cannot_be_picked_is_refused():
    with pytest.raises(ValueError, match=r"mode='al' is unknown.*Did you mean 'all'"):
        PickCaptions('al')
    with pytest.raises(ValueError, match="sample 's' has no captions to pick from"):
        PickCaptions()({'sample_id': 's', 'gt_captions': []})
    with pytest.raises(ValueError, match=r"no sentence in 'zh', the language of sample 's': found "
                       r"\['en'\]"):
        pick(flag=False, no_change={'en': 'a'}, language='zh')


BOTH = {'sample_id': 's', 'gt_change_flag': True, 'language': 'en', 'languages': ('en', 'zh'),
        'gt_captions': ['a house on the left', 'a road'],
        'all_captions': ['a house on the left', 'a road', '左侧新建了房屋', '新建了道路']}


def both(seed=0, **changes):
    item = {key: list(value) if isinstance(value, list) else value for key, value in BOTH.items()}
    return item | {'rng': np.random.default_rng(seed)} | changes


def test_one_is_drawn_of_every_language():
    drawn = {tuple(PickCaptions()(both(seed))['target_captions']) for seed in range(60)}
    assert drawn == {(one, other) for one in BOTH['all_captions'][:2]
                     for other in BOTH['all_captions'][2:]}


def test_all_are_taken_of_every_language_and_references_stay_those_of_one():
    picked = PickCaptions('all')(both())
    assert picked['target_captions'] == BOTH['all_captions']
    assert picked['gt_captions'] == BOTH['gt_captions']
    assert PickCaptions('all')(both(languages=('en', )))['target_captions'] == BOTH['all_captions']


def test_unchanged_pairs_get_one_stock_sentence_of_every_language():
    stock = {'en': 'same', 'zh': '一样'}
    for mode in ('one', 'all'):
        assert PickCaptions(mode, stock)(both(gt_change_flag=False))['target_captions'] == [
            'same', '一样']
    with pytest.raises(ValueError, match=r"no_change='same' is one sentence, and sample 's' has "
                       r"captions in \['en', 'zh'\]: give a dict"):
        PickCaptions(no_change='same')(both(gt_change_flag=False))
    with pytest.raises(ValueError, match=r"no sentence in 'zh', the language of sample 's'"):
        PickCaptions(no_change={'en': 'same'})(both(gt_change_flag=False))


def test_every_sentence_is_flipped_in_its_own_language():
    picked = PickCaptions('all')(both())
    for item in (picked, both()):  # before sentences are picked, too
        assert adapt_captions(item, 'hflip', 'swap')
        assert item['all_captions'] == ['a house on the right', 'a road', '右侧新建了房屋',
                                        '新建了道路']
        assert item['gt_captions'] == ['a house on the right', 'a road']
    assert picked['target_captions'] == picked['all_captions']


def test_a_direction_in_either_language_keeps_the_picture_from_turning_freely():
    for texts, turns in ((['a road', '新建了道路'], True), (['a road', '左侧新建了房屋'], False),
                         (['a house on the left', '新建了道路'], False)):
        assert adapt_captions(both(target_captions=texts), 'any', 'skip') == turns


def test_sentences_of_all_languages_are_dropped_with_the_others():
    item = PickCaptions()(both())
    assert adapt_captions(item, 'hflip', 'drop')
    assert not {'all_captions', 'gt_captions', 'target_captions'} & set(item)


TOLD = {'en': [('a house is built', -0.1), ('a road is built', -0.3)]}


def taught(seed=0, epoch=0, flag=True, told=TOLD, **options):
    item = {'sample_id': 's', 'rng': np.random.default_rng(seed), 'gt_captions': list(FIVE),
            'gt_change_flag': flag, 'language': 'en', 'teacher_captions': told, 'epoch': epoch}
    return PickTeacherCaptions(**options)(item)['target_captions']


def test_a_likelier_sentence_of_the_teacher_is_drawn_more_often():
    drawn = [text for seed in range(200) for text in taught(seed, num=5, temperature=0.2)]
    share = drawn.count('a house is built') / len(drawn)
    assert abs(share - 1 / (1 + np.exp(-1))) < 0.05  # scores 0.2 apart at a temperature of 0.2
    assert set(drawn) == {text for text, _ in TOLD['en']}
    assert {text for seed in range(20) for text in taught(seed, temperature=0)} == {
        'a house is built'}


def test_people_are_drawn_too_from_an_epoch_on():
    early, late = ({text for seed in range(100) for text in taught(
        seed, epoch, num=2, references=0.5, references_from=3)} for epoch in (2, 3))
    assert not early & set(FIVE) and set(FIVE) < late and late & {'a house is built'}


def test_unchanged_pairs_have_the_one_sentence_whatever_the_teacher_says():
    assert taught(flag=False, num=5, no_change='same') == ['same']
    assert len(taught(flag=True, num=5, no_change='same')) == 5


def test_without_a_teacher_the_way_to_one_is_told():
    for told in (None, {'zh': [('新建了房屋', -0.1)]}):
        with pytest.raises(ValueError, match=r"'s' has no sentences of a teacher in 'en'.*distil"):
            taught(told=told)
    for option, value, expected in (
            ('num', 0, 'a whole number from 1 on'), ('num', 2.5, 'a whole number from 1 on'),
            ('temperature', -1, '0 or more'), ('references', 2, 'a share from 0 to 1'),
            ('references_from', -1, '0 or more')):
        with pytest.raises(ValueError, match=rf'{option}={value}: expected {expected}'):
            PickTeacherCaptions(**{option: value})
