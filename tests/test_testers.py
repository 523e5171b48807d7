"""The base tests say what is wrong with a part, and fit every kind of head."""
import pytest
import torch
from testers import WORDS, CaptionHeadTester, ChangeHeadTester, build_interpreter
from torch import nn

from rscc.models.caption_heads.base import CaptionHead
from rscc.models.change_heads.base import PixelHead
from rscc.models.contracts import Need
from rscc.models.generation.options import Decoding
from rscc.registry import MODELS
from rscc.structures import ScoredCaption

PHRASES = ('a house is built', 'a road is built', 'no change')


@MODELS.register_module()
class PhraseBook(CaptionHead):
    """A head that chooses among whole sentences, the simplest one that writes no words."""

    def __init__(self, tokenizer, memory_channels, decoding=None):
        super().__init__(tokenizer, memory_channels)
        self.choose = nn.Linear(memory_channels, len(PHRASES))
        self.max_tokens = 8
        if decoding is not None:
            self.decoding = decoding

    def loss(self, features, data_samples):
        logits = self.choose(features.tokens.mean(1))
        right = [PHRASES.index(sample.gt_captions[0]) for sample in data_samples]
        return dict(loss_caption=nn.functional.cross_entropy(logits, torch.tensor(right)))

    def write(self, features, options):
        found = self.choose(features.tokens.mean(1)).log_softmax(-1).sort(descending=True)
        return [[ScoredCaption(PHRASES[phrase], score) for score, phrase in
                 list(zip(scores.tolist(), phrases.tolist(), strict=True))[:options.num_captions]]
                for scores, phrases in zip(*found, strict=True)]


@MODELS.register_module()
class OneLayerHead(PixelHead):
    """A head over the finest map; whether it says what it reads is the question of a test."""

    def __init__(self, in_channels=16, says=True):
        super().__init__(dict(type='CrossEntropyLoss'), 255)
        self.in_channels, self.says, self.out_channels = in_channels, says, 3
        self.classify = nn.Conv2d(in_channels, 3, 1)

    def needs(self):
        return [Need('maps', (self.in_channels, ), 'in_channels', (0, ))] if self.says else ()

    def forward(self, features):
        return self.classify(features.maps[0])


@MODELS.register_module()
class MuteHead(PixelHead):
    """A head whose author has forgotten needs()."""

    def __init__(self):
        super().__init__(dict(type='CrossEntropyLoss'), 255)

    def forward(self, features):
        return features.maps[0]


TOKENIZER = dict(type='WordTokenizer', words=WORDS)


class TestPhraseBook(CaptionHeadTester):
    cfg = dict(type='PhraseBook', memory_channels=16, tokenizer=TOKENIZER, decoding=Decoding())


class TestOneLayerHead(ChangeHeadTester):
    cfg = dict(type='OneLayerHead')


def failing(tester, cfg, name):
    """Run one base test for a part."""
    made = type('Own', (tester, ), dict(cfg=cfg))()
    return lambda: getattr(made, name)()


@pytest.mark.parametrize(('tester', 'cfg', 'name', 'message'), [
    (ChangeHeadTester, dict(type='OneLayerHead', says=False), 'test_it_says_what_it_reads',
     r'OneLayerHead declares no needs\(\): return a Need'),
    (ChangeHeadTester, dict(type='OneLayerHead', in_channels=8), 'test_it_says_what_it_reads',
     'the features of this test are refused'),
])
def test_a_base_test_that_fails_says_why(tester, cfg, name, message):
    with pytest.raises(AssertionError, match=message):
        failing(tester, cfg, name)()


def test_assertions_of_the_base_tests_show_their_values():
    import data_testers
    import testers
    for module in (testers, data_testers):
        assert type(module.__loader__).__name__ == 'AssertionRewritingHook', module.__name__


def test_a_head_without_decoding_options_is_refused_when_a_model_is_built():
    head = dict(type='PhraseBook', memory_channels=16, tokenizer=TOKENIZER)
    for wrong, found in ((None, 'nothing'), (dict(num_beams=2), 'a dict')):
        with pytest.raises(TypeError, match=rf'PhraseBook\.decoding is {found}; .*Decoding\(\)'):
            build_interpreter(caption_head=head | dict(decoding=wrong))
    assert build_interpreter(caption_head=head | dict(decoding=Decoding())).caption_head


def test_a_head_that_does_not_say_what_it_reads_is_refused_when_it_is_built():
    with pytest.raises(TypeError, match=r'MuteHead has no needs\(\), which ChangeHead asks every'):
        MODELS.build(dict(type='MuteHead'))
