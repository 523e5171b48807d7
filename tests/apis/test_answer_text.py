import numpy as np

from rscc.apis import InferenceResult
from rscc.apis.answer_text import describe
from rscc.structures import SampledCaption, ScoredCaption

FRAMES = [np.zeros((4, 4, 3), np.uint8)]


def test_absent_heads_are_said():
    assert describe(InferenceResult(FRAMES)).splitlines() == [
        'sentence     none: this model has no caption head',
        'mask         none: this model has no mask head']


def test_sentences_flag_and_mask_have_a_line_each():
    mask = np.zeros((4, 4), np.uint8)
    mask[0] = 1
    captions = [ScoredCaption('a road', -0.25), ScoredCaption('a lake', -1.0)]
    result = InferenceResult(FRAMES, mask, captions, 0.5, ('unchanged', 'road'))
    assert describe(result).splitlines() == [
        'sentence     a road  (score -0.250)', '       2.    a lake  (score -1.000)',
        'changed      probability 0.500', 'mask         25.0% of the pixels changed: road 25.0%']


def test_the_way_of_a_sentence_stands_below_it():
    caption = SampledCaption.of(ScoredCaption('a road', -0.25), 0.25, True,
                                [(80.0, 'tree'), (1.0, ''), (0.5, 'a road'), (0.1, 'a road')], 8)
    lines = describe(InferenceResult(FRAMES, captions=[caption])).splitlines()
    assert lines[1:5] == ['agreement    0.25 of 8 sentences: too little, abstained',
                          '  sigma 80                tree', '  sigma 1',
                          '  sigma 0.5 – 0.1         a road']


def test_one_sentence_has_no_agreement_to_tell_of():
    caption = SampledCaption.of(ScoredCaption('a road', -0.25), 1.0)
    assert 'agreement' not in describe(InferenceResult(FRAMES, captions=[caption]))
