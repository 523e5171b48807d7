"""The BLIP caption head: a BERT-like decoder that attends to the image.

Paper: Li et al., BLIP, ICML 2022, https://arxiv.org/abs/2201.12086. The decoder is transformers';
memory, packing of sentences and decoding options are ours.
"""
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rscc import compat
from rscc.models.caption_heads.base import AutoregressiveHead
from rscc.models.generation.attended import cross_attention_rollout
from rscc.models.generation.beam_scorers import Hypothesis
from rscc.models.generation.decoders import CrossAttentionStep, MemoryState
from rscc.models.generation.options import Decoding
from rscc.models.pretrained import load_blip, make_config
from rscc.registry import MODELS
from rscc.structures import ChangeDataSample, ChangeFeatures
from rscc.text.tokenizer import pad_sentences


@dataclass
class PackedSentences:
    """Sentences laid end to end, one row a sample.

    Attributes:
        ids: Token ids (N, S).
        labels: The same with -100 where nothing is to be learned (N, S).
        positions: Position of each token in its own sentence (N, S).
        mask: Additive attention mask (N, 1, S, S): 0 where a token may look (itself and earlier
            tokens of its own sentence), the lowest float elsewhere.
        num_learned: Number of labels that are not -100.
    """
    ids: Tensor
    labels: Tensor
    positions: Tensor
    mask: Tensor
    num_learned: int


def pack(sentences: list[list[list[int]]], pad_id: int, prompt_length: int = 1,
         device: torch.device | str = 'cpu') -> PackedSentences:
    """Pack the sentences of N samples into N rows.

    A decoder with cross-attention then projects each sample's memory once, however many sentences
    learn from it; and rows are as long as their words, not as the longest sentence times five.

    Args:
        sentences: Per sample, per sentence, its ids, the start token first.
        pad_id: Id that fills up the rows.
        prompt_length: Leading tokens of each sentence, the start token among them, that are given
            and not learned.
        device: Where the tensors are made.

    Returns:
        The rows; the loss of row r equals that of its sentences in rows of their own.
    """
    # Four tables (N, S), S the length of the fullest row.
    length = max(1, max(sum(map(len, sample)) for sample in sentences))
    shape = (len(sentences), length)
    ids = torch.full(shape, pad_id, dtype=torch.long)
    labels = torch.full(shape, -100, dtype=torch.long)
    positions = torch.zeros(shape, dtype=torch.long)
    segments = torch.zeros(shape, dtype=torch.long)

    # Every sentence fills its stretch of its sample's row; what is given of it has no label.
    for row, sample in enumerate(sentences):
        start = 0
        for number, sentence in enumerate(sample, 1):
            stop = start + len(sentence)
            ids[row, start:stop] = torch.tensor(sentence)
            labels[row, start + prompt_length:stop] = ids[row, start + prompt_length:stop]
            positions[row, start:stop] = torch.arange(len(sentence))
            segments[row, start:stop] = number
            start = stop
    return PackedSentences(ids.to(device), labels.to(device), positions.to(device),
                           _segment_mask(segments.to(device)), int((labels != -100).sum()))


def _segment_mask(segments: Tensor) -> Tensor:
    """Return the causal mask within segments; padding is a segment (0) of its own."""
    # (N, S, S): same sentence and not later; then 0 or the lowest float (N, 1, S, S).
    same = segments[:, :, None] == segments[:, None, :]
    causal = torch.ones(segments.shape[1:] * 2, dtype=torch.bool, device=segments.device).tril()
    allowed = (same & causal)[:, None]
    return torch.zeros(allowed.shape, device=segments.device).masked_fill(
        ~allowed, torch.finfo(torch.float32).min)


@MODELS.register_module()
class BlipCaptionHead(AutoregressiveHead):
    """BERT-like causal decoder with cross-attention to the memory in every layer.

    All sentences of a sample share one memory: they are packed into one row with a block-causal
    mask, so keys and values of the memory are computed once per sample and layer.

    Losses returned: ``loss_caption`` (cross-entropy a token, natural logarithm).

    Args:
        tokenizer: Config of a tokenizer from the TOKENIZERS registry; its prompt ('a picture of'),
            if it has one, is given to the decoder, not learned and not returned. That of
            ``BilingualWordTokenizer`` names the language: sentences of both learn from one memory,
            and the decoding option ``language`` says which is written.
        memory_channels: Width of ``ChangeFeatures.tokens``.
        pretrained: Hub name or folder of a BLIP captioning model; its tokenizer must be used.
        config: Fields of ``BlipTextConfig`` for random weights, where nothing is pretrained. Heads
            default to width / 64 (the library's default of 8 silently splits released weights
            wrongly).
        label_smoothing: Of the cross-entropy, 0 to 1.
        max_tokens: Limit of a caption, as in ``CaptionHead``.
        decoding: Defaults of ``generate``, fields of ``Decoding``; ``return_attention=True`` gives
            sentences with ``attention``: that of the layers to the memory, rolled out, for every
            word.
        loss_weight: Factor of the loss.
        checkpointing: Recompute activations in the backward pass.
    """

    NESTED_OPTIONS: ClassVar[dict] = dict(AutoregressiveHead.NESTED_OPTIONS, config=dict)
    HAS_ATTENTION: ClassVar[bool] = True

    def __init__(self, tokenizer: dict, memory_channels: int, pretrained: str | None = None,
                 config: dict | None = None, label_smoothing: float = 0.0,
                 max_tokens: int = 40, decoding: dict | None = None, loss_weight: float = 1.0,
                 checkpointing: bool = False) -> None:
        if (pretrained is None) == (config is None):
            raise ValueError('BlipCaptionHead takes either pretrained or config, found '
                             f'pretrained={pretrained!r}, config={config!r}')
        super().__init__(tokenizer, memory_channels, loss_weight)
        self.decoder = (self._pretrained_decoder(pretrained, memory_channels) if pretrained
                        else self._random_decoder(config, memory_channels))
        self.decoder.label_smoothing = label_smoothing
        if checkpointing:
            compat.compute_again(self.decoder)
        self.given_ids = [self.tokenizer.bos_id, *self.tokenizer.prompt_ids]
        # BERT may write its other specials, as published. Of words, the unknown one would leave a
        # hole in the sentence: where rare words are learned as such, it is often the likeliest.
        if self.tokenizer.vocabulary() is None:
            self.banned_ids = []
        self.set_limits(max_tokens, decoding)

    def _random_decoder(self, config: dict, memory_channels: int) -> torch.nn.Module:
        blip = compat.import_transformers('models.blip.modeling_blip_text')
        tokens = self.tokenizer
        return blip.BlipTextLMHeadModel(make_config(
            compat.import_transformers('models.blip').BlipTextConfig, config, 'BlipCaptionHead',
            vocab_size=tokens.vocab_size, encoder_hidden_size=memory_channels,
            bos_token_id=tokens.bos_id, sep_token_id=tokens.eos_id, eos_token_id=tokens.eos_id,
            pad_token_id=tokens.pad_id,
            num_attention_heads=max(1, config.get('hidden_size', 768) // 64)))

    def _pretrained_decoder(self, name: str, memory_channels: int) -> torch.nn.Module:
        decoder = load_blip(name).text_decoder
        # Published weights fit one memory width and one tokenizer only.
        width, size = decoder.config.encoder_hidden_size, decoder.config.vocab_size
        if width != memory_channels:
            raise ValueError(f"the decoder of '{name}' attends to {width} channels and the config "
                             f'says memory_channels={memory_channels}')
        if size != self.tokenizer.vocab_size:
            raise ValueError(f"the decoder of '{name}' knows {size} tokens and the tokenizer "
                             f'{self.tokenizer.vocab_size}: use the tokenizer it came with')
        return decoder

    def room(self) -> tuple[int, str]:
        """Return the positions that start, prompt and end leave."""
        positions = self.decoder.config.max_position_embeddings
        return (positions - len(self.given_ids) - 1,
                'between the start and the end of a caption')

    def loss(self, features: ChangeFeatures, data_samples: list[ChangeDataSample]
             ) -> dict[str, Tensor]:
        """Teacher-forced loss of the sentences; ``features`` with ``tokens`` (N, L, C)."""
        # Rows (N, S) of all sentences of a sample; logits (N, S, V) from one pass over its memory.
        packed = self._pack(data_samples, features.tokens.device)
        output = self.decoder(input_ids=packed.ids, attention_mask=packed.mask,
                              position_ids=packed.positions,
                              encoder_hidden_states=features.tokens, labels=packed.labels)
        # A mean over no token is not a number; the sum keeps every parameter in the graph.
        loss = output.loss if packed.num_learned else output.logits.sum() * 0
        return dict(loss_caption=self.loss_weight * loss,
                    accuracy=_token_accuracy(output.logits, packed.labels))

    def _pack(self, data_samples: list[ChangeDataSample], device: torch.device) -> PackedSentences:
        """Tokenise and pack the target sentences of every sample."""
        return pack(self.encode_targets(data_samples), self.tokenizer.pad_id, len(self.given_ids),
                    device)

    def start(self, features: ChangeFeatures, options: Decoding
              ) -> tuple[CrossAttentionStep, MemoryState]:
        """Give the start of a sentence to a decoder of the memory (N, L, C)."""
        decoder = CrossAttentionStep(self.decoder, options.use_cache)
        return decoder, decoder.start(self.given(options.language), features.tokens)

    def word_weights(self, features: ChangeFeatures, written: list[list[Hypothesis]],
                     decoder: CrossAttentionStep, options: Decoding) -> list[list[Tensor]]:
        """Read the sentences once more and roll their attention out; see ``AutoregressiveHead``.

        The search keeps no weights: reading again costs one pass, whatever the beams were.
        """
        # M sentences, the given ids first: each id is chosen at the position before its own.
        given = self.given(options.language)
        owners = [row for row, sentences in enumerate(written) for _ in sentences]
        ids, mask = pad_sentences([[*given, *sentence.ids] for sentences in written
                                   for sentence in sentences], self.tokenizer.pad_id)
        device = features.tokens.device
        output = self.decoder(input_ids=ids[:, :-1].to(device),
                              attention_mask=mask[:, :-1].long().to(device),
                              encoder_hidden_states=features.tokens[owners], is_decoder=True,
                              use_cache=False, output_attentions=True)
        shares = cross_attention_rollout(zip(output.attentions, output.cross_attentions,
                                             strict=True)).cpu()

        # Back to lists by sample, of every sentence the positions (T, L) that chose its ids.
        rows = iter(shares[:, len(given) - 1:])
        return [[next(rows)[:len(sentence.ids)] for sentence in sentences]
                for sentences in written]


def _token_accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the share of learned tokens that are predicted right."""
    # Position t predicts label t + 1.
    targets = labels[:, 1:]
    learned = targets != -100
    right = (logits.detach()[:, :-1].argmax(-1) == targets) & learned
    return right.sum() / learned.sum().clamp(min=1)
