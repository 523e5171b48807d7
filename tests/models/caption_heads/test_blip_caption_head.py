import pytest
import torch
from testers import WORDS, AutoregressiveHeadTester, change_features, data_samples

from rscc.models.caption_heads.blip_caption_head import pack
from rscc.registry import MODELS


def test_sentences_lie_end_to_end_with_their_own_positions():
    packed = pack([[[2, 7, 3], [2, 8, 9, 3]], [[2, 5, 3]]], pad_id=0)
    assert packed.ids.tolist() == [[2, 7, 3, 2, 8, 9, 3], [2, 5, 3, 0, 0, 0, 0]]
    assert packed.positions[0].tolist() == [0, 1, 2, 0, 1, 2, 3]
    assert packed.labels[0].tolist() == [-100, 7, 3, -100, 8, 9, 3]
    assert packed.labels[1].tolist() == [-100, 5, 3, -100, -100, -100, -100]


def test_a_token_sees_itself_and_what_came_before_in_its_sentence():
    mask = pack([[[2, 7, 3], [2, 8, 3]]], pad_id=0).mask[0, 0] == 0
    expected = torch.block_diag(*[torch.ones(3, 3).tril()] * 2).bool()
    assert torch.equal(mask, expected)


def test_the_prompt_is_not_learned():
    assert pack([[[2, 4, 5, 7, 3]]], 0, prompt_length=3).labels.tolist() == [
        [-100, -100, -100, 7, 3]]


CONFIG = dict(hidden_size=32, num_hidden_layers=2, intermediate_size=64, num_attention_heads=4,
              max_position_embeddings=32)


class TestBlipCaptionHead(AutoregressiveHeadTester):
    cfg = dict(type='BlipCaptionHead', memory_channels=16, config=CONFIG, max_tokens=8,
               tokenizer=dict(type='WordTokenizer', words=WORDS))

    @pytest.mark.parametrize('options', [dict(num_beams=4, num_captions=3),
                                         dict(sample=True, num_captions=3, seed=1, top_p=0.9)])
    def test_n_best_come_sorted(self, options):
        written = self.build().eval().generate(change_features(2), **options)
        for captions in written:
            assert len(captions) == 3
            scores = [caption.score for caption in captions]
            assert scores == sorted(scores, reverse=True)

    def test_the_unknown_word_is_never_written(self):
        head, features = self.build().eval(), change_features(2)
        unknown = head.tokenizer.unk_id
        assert unknown in head.banned() and head.tokenizer.eos_id not in head.banned()
        with torch.no_grad():  # likelier than any word, at every place
            head.decoder.cls.predictions.bias[unknown] += 50.0
        for captions in head.generate(features, num_beams=3, min_tokens=4, max_tokens=6):
            assert len(captions[0].text.split()) >= 4

    @pytest.mark.parametrize('length_penalty', [0.0, 1.0, 3.0])
    def test_the_best_caption_does_not_depend_on_how_many_are_asked_for(self, length_penalty):
        torch.manual_seed(0)
        cfg = self.cfg | dict(config=CONFIG | dict(initializer_range=0.5))
        head, features = MODELS.build(cfg).eval(), change_features(12)
        options = dict(num_beams=4, length_penalty=length_penalty)
        alone = head.generate(features, **options)
        several = head.generate(features, num_captions=4, **options)
        assert [captions[0].text for captions in several] == [
            captions[0].text for captions in alone]

    @pytest.mark.parametrize('options, message', [
        (dict(num_beams=0), 'num_beams=0 must be 1 or more'),
        (dict(num_captions=0), 'num_captions=0 must be 1 or more'),
        (dict(max_tokens=0), 'max_tokens=0 must be 1 or more'),
        (dict(sample=True, top_k=-1), 'top_k=-1 must be 0 or more'),
        (dict(sample=True, temperature=0.0), 'temperature=0.0 must be above 0'),
        (dict(min_tokens=9, max_tokens=8), 'min_tokens=9 is above max_tokens=8'),
        (dict(sample=True, top_p=1.5), r'top_p=1.5 is a probability in \(0, 1\]'),
        (dict(max_tokens=31), 'decoding max_tokens=31 is too long.* positions for 30 tokens b'),
    ])
    def test_impossible_decoding_options_are_refused(self, options, message):
        with pytest.raises(ValueError, match=message):
            self.build().generate(change_features(1), **options)

    def test_the_longest_sentence_fits_the_position_table_and_a_longer_one_is_refused(self):
        head = MODELS.build(self.cfg | dict(max_tokens=30))
        assert torch.isfinite(head.loss(
            change_features(1), data_samples(1, captions=['house ' * 40]))['loss_caption'])
        head.eval().generate(change_features(1), min_tokens=30)
        with pytest.raises(ValueError, match='max_tokens=31 is too long'):
            MODELS.build(self.cfg | dict(max_tokens=31))

    def test_sampling_repeats_with_its_seed_and_leaves_the_global_generator_alone(self):
        head = self.build().eval()
        torch.manual_seed(3)
        expected = torch.rand(1)
        torch.manual_seed(3)
        one = head.generate(change_features(2), sample=True, seed=5)
        assert torch.equal(torch.rand(1), expected)
        assert head.generate(change_features(2), sample=True, seed=5) == one
        others = [head.generate(change_features(2), sample=True, seed=seed) for seed in (6, 7, 8)]
        assert any(other != one for other in others)

    def test_score_is_the_mean_log_probability_of_its_tokens(self):
        head, features = self.build().eval(), change_features(1)
        caption = head.generate(features)[0][0]
        # The decoder may write specials, which the text does not show: follow it by hand.
        ids, total = [head.tokenizer.bos_id], []
        for _ in range(head.max_tokens):
            with torch.no_grad():
                logits = head.decoder(input_ids=torch.tensor([ids]), is_decoder=True,
                                      encoder_hidden_states=features.tokens).logits[0, -1]
            total.append(logits.log_softmax(-1).max().item())
            ids.append(int(logits.argmax()))
            if ids[-1] == head.tokenizer.eos_id:
                break
        assert caption.score == pytest.approx(sum(total) / len(total), abs=1e-4)

    def test_long_captions_are_cut_and_counted(self):
        head = self.build()
        head.loss(change_features(1), data_samples(1, captions=['house ' * 20]))
        assert head.tokenizer.cut == 1

    def test_target_captions_win_over_the_references(self):
        head, features, samples = self.build(), change_features(1), data_samples(1)
        plain = head.loss(features, samples)['loss_caption']
        samples[0].target_captions = ['road road road']
        assert head.loss(features, samples)['loss_caption'] != plain

    def test_a_batch_without_captions_trains_nothing_but_stays_finite(self):
        head, samples = self.build(), data_samples(2)
        for sample in samples:
            sample.gt_captions = []
        loss = head.loss(change_features(2), samples)['loss_caption']
        loss.backward()
        assert loss == 0

    def test_maps_tell_where_each_word_looked(self):
        torch.manual_seed(0)
        cfg = self.cfg | dict(config=CONFIG | dict(initializer_range=0.5))
        head, features = MODELS.build(cfg).eval(), change_features(2)
        features.token_grid = (2, 2, 3)
        options = dict(num_beams=3, num_captions=2, max_tokens=5)
        plain = head.generate(features, **options)
        written = head.generate(features, return_attention=True, **options)
        assert written == plain
        for caption in (caption for captions in written for caption in captions):
            assert caption.attention is not None
            assert caption.words == caption.text.split()
            assert caption.attention.shape == (len(caption.words), 2, 2, 3)
            torch.testing.assert_close(caption.attention.sum((1, 2, 3)),
                                       torch.ones(len(caption.words)))

    def test_maps_follow_what_the_attention_is_told(self):
        # Every query that meets no bias looks at token 5, whose key alone is not zero.
        head, features = self.build().eval(), change_features(1)
        features.token_grid, features.tokens = (1, 3, 4), torch.zeros(1, 12, 16)
        features.tokens[0, 5] = 1.0
        for name, weight in head.decoder.named_parameters():
            if 'crossattention.self.' in name:
                torch.nn.init.constant_(weight, 0.0)
            if 'crossattention.self.query.bias' in name or 'crossattention.self.key.w' in name:
                torch.nn.init.constant_(weight, 2.0)
        caption = head.generate(features, return_attention=True, min_tokens=3)[0][0]
        assert (caption.attention.flatten(1).argmax(1) == 5).all()
        assert (caption.attention.flatten(1)[:, 5] > 0.99).all()

    def test_maps_of_tokens_without_a_place_are_refused_or_left_out(self):
        head, features = self.build().eval(), change_features(1)
        with pytest.raises(ValueError, match=r'tokens of this fusion have no place .*SingleFrame'):
            head.generate(features, return_attention=True)
        caption = head.generate(features, return_attention=None)[0][0]
        assert caption.attention is None

    def test_more_captions_than_beams_is_refused(self):
        with pytest.raises(ValueError, match='at most num_beams captions'):
            self.build().generate(change_features(1), num_captions=2)
        with pytest.raises(ValueError, match='set sample=True with num_beams=1'):
            self.build().generate(change_features(1), num_captions=3, num_beams=2, sample=True)


def test_a_prompt_is_given_and_not_returned():
    cfg = TestBlipCaptionHead.cfg | dict(tokenizer=dict(
        type='WordTokenizer', words=WORDS))
    head = MODELS.build(cfg)
    head.tokenizer.prompt_ids = (4, 5)
    head.given_ids = [head.tokenizer.bos_id, 4, 5]
    packed = head._pack(data_samples(1), torch.device('cpu'))
    assert packed.labels[0, :3].tolist() == [-100] * 3
    assert packed.labels[0, 3] == packed.ids[0, 3]


def test_a_checkpoint_with_other_words_is_refused_with_both_sizes():
    head = MODELS.build(TestBlipCaptionHead.cfg)
    cfg = TestBlipCaptionHead.cfg | dict(
        tokenizer=dict(type='WordTokenizer', words=[*WORDS, 'pond']))
    with pytest.raises(RuntimeError, match='the checkpoint has 11 words, that of the config 12'):
        MODELS.build(cfg).load_state_dict(head.state_dict())
