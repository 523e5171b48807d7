"""Passes over masks: samples whose words are certain are done, and answer as they would alone."""
import pytest
import torch

from rscc.models.diffusion.denoiser_layers import Memory
from rscc.models.diffusion.masked_sampling import MaskedDecoding, MaskedEstimator, fill_masks

LENGTH, WORDS, MASK = 6, 9, 9
GENERATOR = torch.Generator().manual_seed(0)
TABLE = torch.randn(MASK + 1, WORDS, generator=GENERATOR)


class Scored:
    """Scores that depend on the neighbouring words and on how sure a sample's memory is."""

    def __init__(self):
        self.rows = []

    def __call__(self, ids, share, memories, previous):
        self.rows.append(len(ids))
        sure = memories[0].key.repeat_interleave(len(ids) // len(memories[0].key), 0)
        assert previous is None or previous.shape == (*ids.shape, WORDS)
        around = TABLE[ids] + TABLE[ids.roll(1, 1)] + torch.arange(LENGTH)[:, None].sin()
        return sure * around


def fill(sure, **options):
    """Fill rows of samples that are as sure as the numbers say; return ids, certainty, calls."""
    scored, options = Scored(), MaskedDecoding(**dict(dict(steps=4), **options))
    memory = torch.tensor(sure).reshape(-1, 1, 1)
    estimator = MaskedEstimator(scored, lambda memory: [Memory(memory, memory)], memory, options,
                                torch.full((1, 1, 1), 0.1))
    ids, certainty, trajectory = fill_masks(estimator, len(sure), LENGTH, MASK, options,
                                            torch.device('cpu'))
    return ids, certainty, scored.rows, trajectory


def test_a_certain_sample_takes_no_further_pass_and_the_others_answer_as_alone():
    ids, certainty, rows, trajectory = fill([0.7, 900.0, 0.5], certain=0.9, return_trajectory=True)
    assert rows == [3, 2, 2, 2]
    # The certain one keeps the words of its first pass, at every later step too.
    assert torch.equal(ids[1], fill([900.0], steps=1)[0][0])
    assert all(torch.equal(words[1], ids[1]) for _, words in trajectory)
    for place, sure in ((0, 0.7), (2, 0.5)):
        alone = fill([sure])
        assert torch.equal(ids[place], alone[0][0])
        assert torch.equal(certainty[place], alone[1][0])


@pytest.mark.parametrize('use_cache', [True, False])
def test_several_sentences_and_guidance_go_on_for_the_others_alone(use_cache):
    options = dict(num_samples=3, guidance=2.0, use_cache=use_cache)
    ids, _, rows, _ = fill([900.0, 0.7], certain=0.9, temperature=0.5, **options)
    assert rows == [12, 6, 6, 6]  # two samples of three sentences, with the image and without
    assert torch.equal(ids[1], fill([0.7], temperature=0.5, **options)[0][0])


def test_nothing_is_left_to_do_once_all_are_certain():
    assert fill([900.0, 800.0], certain=0.9)[2] == [2]
    # Its trajectory is as long as beside one that goes on.
    done, _, _, alone = fill([900.0], certain=0.9, return_trajectory=True)
    beside = fill([900.0, 0.7], certain=0.9, return_trajectory=True)[3]
    for trajectory in (alone, beside):
        assert [share for share, _ in trajectory] == [1, 4 / 6, 3 / 6, 1 / 6]
    assert all(torch.equal(words, done) for _, words in alone)
    # By default every sample takes every pass, whatever its words.
    assert fill([900.0, 800.0])[2] == [2, 2, 2, 2]


@pytest.mark.parametrize('certain', [0, -0.1, 1.1])
def test_what_is_no_probability_is_refused(certain):
    with pytest.raises(ValueError, match=r'certain=.* is a probability above 0, at most 1'):
        MaskedDecoding(certain=certain)
