import copy

import pytest
import torch
from testers import CAPTIONS, WORDS, change_features, data_samples, total
from whole_caption_tester import GuidedTester, WholeCaptionTester, texts

from rscc.engine.checkpoint import load_weights
from rscc.registry import MODELS

TINY = dict(hidden_dims=32, num_layers=1, num_heads=2, feedforward_dims=64, max_positions=16,
            alignment='every_layer', alignment_heads=2, alignment_dims=32,
            alignment_feedforward=32, attention_dropout=0.0, alignment_dropout=0.0)
PLAIN = dict(type='MaskedCaptionHead', memory_channels=16, embed_channels=16, max_tokens=6,
             tokenizer=dict(type='WordTokenizer', words=WORDS), denoiser=TINY, rows_per_sample=16,
             decoding=dict(steps=4))
DECODER = dict(type='DecoderDenoiser', num_layers=1, num_heads=2, feedforward_dims=32,
               max_positions=16, local_layers=1)
ALL = PLAIN | dict(pad_weight=0.1, condition_dropout=0.1, glancing=0.5,
                   denoiser=TINY | dict(adaptive_norm=True, self_conditioning=True,
                                        local_layers=1))


def build(**changes):
    torch.manual_seed(0)
    return MODELS.build(copy.deepcopy(PLAIN) | changes)


class Masked(WholeCaptionTester):

    def scores_of_words(self, head):
        return head.denoiser.words_out[-1].bias

    def test_the_trajectory_tells_how_much_was_hidden(self):
        head, features = self.trained()
        for captions in head.generate(features, return_trajectory=True):
            shares = [share for share, _ in captions[0].trajectory]
            assert shares == pytest.approx([1, .75, .5, .25])

    def test_shares_of_hidden_words_cover_everything(self):
        head, ids = self.build(), torch.zeros(64, 8, dtype=torch.long)
        hidden = head.hide(ids).sum(1)
        assert hidden.min() == 1 and hidden.max() == 8
        assert torch.bincount(hidden, minlength=9)[1:].tolist() == [8] * 8


class TestPlain(Masked):
    cfg = PLAIN


class TestDecoder(Masked):
    cfg = PLAIN | dict(denoiser=DECODER)


class TestAll(Masked, GuidedTester):
    cfg = ALL

    def test_guidance_changes_what_is_said_and_needs_its_training(self):
        head, features = self.trained()
        plain, guided = (head.generate(features, guidance=weight, steps=1) for weight in (1.0, 3.0))
        assert [c[0].score for c in plain] != [c[0].score for c in guided]
        with pytest.raises(ValueError, match='never learned: train it with condition_dropout'):
            build().generate(features, guidance=2.0)


def test_learned_sentences_come_back_in_any_number_of_steps():
    head, features, samples = build(), change_features(2), data_samples(2)
    optimizer = torch.optim.AdamW(head.parameters(), 5e-3)
    for _ in range(120):
        optimizer.zero_grad()
        total(head.loss(features, samples)).backward()
        optimizer.step()
    for steps in (1, 3, 10, 40):
        assert texts(head.eval().generate(features, steps=steps)) == [[one] for one in CAPTIONS[:2]]


def test_rows_of_another_length_are_refused():
    message = r'captions of the checkpoint have 8 ids and those of the config 7: set max_tokens=6'
    with pytest.raises(ValueError, match=message):
        load_weights(build(max_tokens=5), build().state_dict())


def captioner(**config):
    """A head that writes word by word, of which ``DECODER`` can take the decoder."""
    torch.manual_seed(1)
    words = config.pop('words', WORDS)
    return MODELS.build(dict(
        type='BlipCaptionHead', tokenizer=dict(type='WordTokenizer', words=words),
        memory_channels=16, max_tokens=6, config=dict(
            hidden_size=16, num_hidden_layers=1, intermediate_size=32, num_attention_heads=2,
            max_position_embeddings=16) | config))


def test_a_head_begins_as_the_decoder_of_a_captioner():
    head, state = build(denoiser=DECODER), captioner().state_dict()
    local = copy.deepcopy(head.denoiser.local.state_dict())
    assert load_weights(head, state).exact
    theirs = state['decoder.bert.encoder.layer.0.intermediate.dense.weight']
    assert torch.equal(head.denoiser.layers[0].feed_forward[0].weight, theirs)
    # What a decoder lacks stays; its own checkpoint is read as any other's.
    assert all(torch.equal(value, local[name])
               for name, value in head.denoiser.local.state_dict().items())
    assert load_weights(build(denoiser=DECODER), head.state_dict()).exact
    # Another network takes nothing, and decoders of other kinds are no part of this one.
    assert len(load_weights(build(), state).unexpected) > 10
    assert load_weights(build(denoiser=DECODER), {'decoder.lstm.weight': torch.ones(2)}
                        ).unexpected == ['decoder.lstm.weight']


@pytest.mark.parametrize(('changes', 'message'), [
    (dict(hidden_size=32), 'is 32 wide: set embed_channels=32'),
    (dict(num_hidden_layers=2), 'has 2 layers: set denoiser.num_layers=2'),
    (dict(max_position_embeddings=12), 'has 12 positions: set denoiser.max_positions=12')])
def test_a_decoder_that_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValueError, match=f'the decoder in the checkpoint {message}'):
        load_weights(build(denoiser=DECODER), captioner(**changes).state_dict())


def test_a_decoder_of_other_words_is_refused():
    # As parts of a model, whose loader sets other words aside, also where they are as many.
    student, teacher = (torch.nn.ModuleDict(dict(caption_head=head)) for head in (
        build(denoiser=DECODER), captioner(words=[*WORDS[:-2], *WORDS[:-3:-1]])))
    with pytest.raises(ValueError, match='the decoder in the checkpoint knows other words'):
        load_weights(student, teacher.state_dict())


def test_a_glance_shows_half_as_many_words_as_were_wrong():
    head, ids = build(glancing=1.0), torch.randint(0, 5, (6, 8))
    memories = head.denoiser.remember(change_features(6).tokens)
    with torch.no_grad():  # the network says word 2 everywhere, whatever is asked
        head.denoiser.words_out[-1].weight.zero_()
        head.denoiser.words_out[-1].bias.copy_(torch.arange(head.tokenizer.vocab_size) == 2)
    right = torch.tensor([8, 0, 3, 4, 7, 1])
    for row, count in enumerate(right.tolist()):
        ids[row] = torch.where(torch.arange(8) < count, 2, 3)
    shown = (~head.hide_by_glance(ids, memories)).sum(1)
    assert shown.tolist() == [0, 4, 2, 2, 0, 3]


def test_glances_are_for_training_alone(monkeypatch):
    head, seen = build(glancing=1.0), []
    glance = head.hide_by_glance
    monkeypatch.setattr(head, 'hide_by_glance', lambda *args: seen.append(1) or glance(*args))
    head.eval().loss(change_features(2), data_samples(2))
    assert not seen
    head.train().loss(change_features(2), data_samples(2))
    assert len(seen) == 1


@pytest.mark.parametrize('option', ['pad_weight', 'condition_dropout', 'glancing'])
def test_what_is_no_share_is_refused(option):
    with pytest.raises(ValueError, match=rf'MaskedCaptionHead {option}=1.5 is not within \[0, 1\]'):
        build(**{option: 1.5})


def test_hidden_padding_without_weight_leaves_the_loss_finite():
    head, features = build(pad_weight=0.0, max_tokens=12), change_features(2)
    for seed in range(5):
        torch.manual_seed(seed)
        assert total(head.loss(features, data_samples(2))).isfinite()
