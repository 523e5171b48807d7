import copy

import pytest
import torch
from testers import (
    CAPTIONS,
    WORDS,
    AutoregressiveHeadTester,
    batch,
    build_interpreter,
    change_features,
    data_samples,
    generator,
    losses,
)

from rscc.models.caption_heads import attention_lstm_head
from rscc.registry import MODELS
from rscc.structures import ChangeFeatures


class TestAttentionLSTMHead(AutoregressiveHeadTester):
    cfg = dict(type='AttentionLSTMHead', memory_channels=16, embed_dims=16, hidden_dims=32,
               attention_dims=16, max_tokens=8, tokenizer=dict(type='WordTokenizer', words=WORDS))

    def one_by_one(self, head, features, samples):
        """The losses of sentences that are learned one after the other."""
        pairs = [(row, caption) for row, sample in enumerate(samples)
                 for caption in sample.gt_captions]
        every = []
        for row, caption in pairs:
            sample = data_samples(1, captions=[caption])
            one = ChangeFeatures(tokens=features.tokens[row:row + 1])
            every.append((len(caption.split()) + 1, head.loss(one, sample)))
        words = sum(count for count, _ in every)
        return (sum(count * losses['loss_caption'] for count, losses in every) / words,
                sum(losses['loss_attention'] for _, losses in every) / len(every))

    def test_sentences_together_cost_what_they_cost_alone(self):
        head, features, samples = self.build().eval(), change_features(3), data_samples(3)
        samples[0].gt_captions = [*CAPTIONS, 'a road']
        samples[1].gt_captions = []
        losses = head.loss(features, samples)
        caption, attention = self.one_by_one(head, features, samples)
        torch.testing.assert_close(losses['loss_caption'], caption)
        torch.testing.assert_close(losses['loss_attention'], attention)

    def test_the_memory_is_projected_once_a_sample(self):
        head, samples, seen = self.build(), data_samples(2), []
        samples[0].gt_captions = CAPTIONS
        head.decoder.attention.memory.register_forward_hook(
            lambda module, given, output: seen.append(tuple(output.shape)))
        head.loss(change_features(2), samples)
        head.eval().generate(change_features(2), num_beams=3)
        assert seen == [(2, 12, 16)] * 2

    def test_a_batch_without_captions_trains_nothing_but_stays_finite(self):
        head, samples = self.build(), data_samples(2)
        for sample in samples:
            sample.gt_captions = []
        losses = head.loss(change_features(2), samples)
        total = losses['loss_caption'] + losses['loss_attention']
        total.backward()
        assert total == 0
        assert all(parameter.grad is not None for parameter in head.parameters())

    def test_scheduled_sampling_feeds_the_models_own_words_in_training_only(self):
        head = MODELS.build(copy.deepcopy(self.cfg) | dict(scheduled_sampling=1.0, dropout=0.0))
        features, samples = change_features(2), data_samples(2)
        own = head.loss(features, samples)['loss_caption']
        taught = head.eval().loss(features, samples)['loss_caption']
        head.train().scheduled_sampling = 0.0
        torch.testing.assert_close(head.loss(features, samples)['loss_caption'], taught)
        assert own != taught

    def test_maps_tell_where_each_word_looked(self):
        head, features = self.build().eval(), change_features(2)
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

    def test_maps_are_those_of_reading_the_sentence(self):
        head, features = self.build().eval(), change_features(3)
        features.token_grid = (1, 3, 4)
        for row, captions in enumerate(head.generate(features, return_attention=True, num_beams=3,
                                                     min_tokens=4, max_tokens=6)):
            memory = features.tokens[row:row + 1]
            keys = head.decoder.attention.keys(memory)
            hidden, cell = head.decoder.start(memory)
            previous = head.tokenizer.bos_id
            for word, attention in zip(captions[0].words, captions[0].attention, strict=True):
                hidden, cell, weights = head.decoder(torch.tensor([[previous]]), hidden, cell,
                                                     memory, keys)
                torch.testing.assert_close(attention.flatten(), weights.flatten().detach())
                previous = head.tokenizer.encode(word)[1]

    def test_a_class_token_has_no_place_in_the_maps(self):
        features = change_features(1)
        features.tokens = torch.randn(1, 2 * (1 + 2 * 3), 16, generator=generator())
        features.token_grid = (2, 2, 3)
        caption = self.build().eval().generate(features, return_attention=True, min_tokens=3)[0][0]
        assert caption.attention.shape[1:] == (2, 2, 3)
        assert (caption.attention.sum((1, 2, 3)) < 1).all()

    def test_maps_of_tokens_without_a_place_are_refused(self):
        with pytest.raises(ValueError, match=r'tokens of this fusion have no place .*SingleFrame'):
            self.build().generate(change_features(1), return_attention=True)

    @pytest.mark.parametrize('change, message', [
        (dict(scheduled_sampling=1.5), r'scheduled_sampling=1.5 is a probability in \[0, 1\]'),
        (dict(decoding=dict(num_beam=3)), "Did you mean 'num_beams'"),
    ])
    def test_impossible_settings_are_refused(self, change, message):
        with pytest.raises((ValueError, TypeError), match=message):
            MODELS.build(copy.deepcopy(self.cfg) | change)

    def test_words_start_training_from_their_vectors(self, tmp_path, monkeypatch):
        said = []
        monkeypatch.setattr(attention_lstm_head, 'print_log', lambda text, _: said.append(text))
        file = tmp_path / 'glove.txt'
        file.write_text('\n'.join(f'{word} ' + ' '.join(['0.5'] * 16)
                                  for word in ('the', 'house', 'road')))
        plain = self.build()
        torch.manual_seed(0)
        head = MODELS.build(self.cfg | dict(word_vectors=str(file)))
        assert torch.equal(head.decoder.embedding.weight, plain.decoder.embedding.weight)
        head.init_weights()
        words = head.tokenizer.vocabulary()
        for place, word in enumerate(words):
            row = head.decoder.embedding.weight[place]
            expected = (torch.full((16,), 0.5) if word in ('house', 'road')
                        else plain.decoder.embedding.weight[place])
            assert torch.equal(row, expected)
        assert said == [f"2 of {len(words)} words start from '{file}', the others at random"]
        assert head.decoder.embedding.weight.requires_grad

    def test_vectors_of_words_need_words(self, tmp_path):
        vocabulary = tmp_path / 'vocab.txt'
        vocabulary.write_text('\n'.join(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *WORDS]))
        tokenizer = dict(type='WordPieceTokenizer', vocab_file=str(vocabulary))
        with pytest.raises(ValueError, match=r"word_vectors='g.txt' are of words, and the "
                           'tokens of WordPieceTokenizer are none'):
            MODELS.build(self.cfg | dict(tokenizer=tokenizer, word_vectors='g.txt'))

    def test_a_prompt_is_refused(self, tmp_path):
        vocabulary = tmp_path / 'vocab.txt'
        vocabulary.write_text('\n'.join(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *WORDS]))
        tokenizer = dict(type='WordPieceTokenizer', vocab_file=str(vocabulary), prompt='a house')
        with pytest.raises(ValueError, match='puts 2 prompt tokens before every sentence'):
            MODELS.build(self.cfg | dict(tokenizer=tokenizer))

    def test_it_trains_and_writes_in_reduced_precision(self):
        head = self.build()
        with torch.autocast('cpu', dtype=torch.bfloat16):
            losses = head.loss(change_features(2), data_samples(2))
            (losses['loss_caption'] + losses['loss_attention']).backward()
            written = head.eval().generate(change_features(2), num_beams=3)
        assert all(value.isfinite() for value in losses.values())
        assert len(written) == 2


@pytest.mark.parametrize('fusion, dates, groups', [
    (dict(type='SingleFrame'), 1, 1), (dict(type='ConcatFusion', channels=16), 2, 2),
    (dict(type='DifferenceFusion', channels=16), 2, 3)])
def test_one_head_serves_single_images_and_pairs(fusion, dates, groups):
    encoder = dict(
        type='BackboneEncoder', out_channels=32, embed_dims=16, pool_tokens=3,
        backbone=dict(type='mmseg.ResNet', depth=18, base_channels=4, stem_channels=4))
    model = build_interpreter(encoder=encoder, fusion=fusion, change_head=None, flag_head=None,
                              caption_head=TestAttentionLSTMHead.cfg)
    data = batch(2, dates=dates)
    assert losses(model, data)['caption.loss_attention'].isfinite()
    given = model.data_preprocessor(data, False)
    for sample in model.eval().predict(given['inputs'], given['data_samples'], min_tokens=2,
                                       return_attention=True):
        best = sample.pred_captions[0]
        assert best.attention.shape == (len(best.words), groups, 3, 3)
        assert sample.pred_caption == ' '.join(best.words)
