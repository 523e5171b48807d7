import numpy as np
import pytest

from rscc.datasets.transforms.captions import PickCaptions

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
