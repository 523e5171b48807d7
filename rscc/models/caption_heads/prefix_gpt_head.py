"""The ClipCap and CLIP-GPT caption head: a language model that continues an image as a prefix.

Papers: Mokady et al., ClipCap: CLIP Prefix for Image Captioning, 2021,
https://arxiv.org/abs/2111.09734; Song, Zhao, Yu, Enhanced CLIP-GPT Framework for Cross-Lingual
Remote Sensing Image Captioning, IEEE Access 13 (2025) 904-915,
https://doi.org/10.1109/ACCESS.2024.3522585.
"""
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from rscc.models.caption_heads.base import AutoregressiveHead
from rscc.models.caption_heads.mappers import AMHTMapper
from rscc.models.generation.decoders import CausalLMStep, PrefixState
from rscc.models.generation.options import Decoding
from rscc.models.language_models import LanguageModel
from rscc.registry import MODELS
from rscc.structures import ChangeDataSample, ChangeFeatures
from rscc.text.tokenizer import pad_sentences
from rscc.utils.signatures import refuse_unknown

SOURCES = ('pooled', 'tokens')
IGNORED = -100


@MODELS.register_module()
class PrefixGPTHead(AutoregressiveHead):
    """Mapper and causal language model: features to P embeddings, which the model continues.

    The features may come from one image or from several dates. The prefix of a sample is computed
    once, however many sentences learn from it.

    Losses returned: ``loss_caption`` (cross-entropy a token, natural logarithm).

    Args:
        memory_channels: Width D of the features that the mapper reads.
        mapper: Config of ``MLPMapper``, ``TransformerMapper``, ``AMHTMapper`` or
            ``ProjectionMapper``; widths and prefix length are added here.
        language_model: Arguments of ``language_models.LanguageModel``: ``pretrained`` or
            ``config``, ``tune``, ``lora``, ``dtype``, ``checkpointing``.
        tokenizer: Config of a tokenizer from the TOKENIZERS registry. Its start token is left out
            (``PretrainedTokenizer`` has the model read what stands before an image), its prompt is
            given after the prefix, not learned and not returned; of several languages, that of the
            sentence's.
        prefix_length: Number P of embeddings.
        source: ``'pooled'``, one vector a sample, or ``'tokens'``.
        normalize_prefix: Scale features to length 1 first.
        max_tokens: Limit of a caption, as in ``CaptionHead``.
        stop_text: Texts of one token that end a sentence when written, ``' .'`` for instance,
            beside the end token.
        learn_end: Train the end token. Off repeats the originals, which learn to end with the full
            stop of their sentences; it takes a tokenizer's ``ending`` and ``stop_text``.
        ignore_zero: Do not learn id 0, which the originals take for padding.
        pad_to_max: Pad every batch to ``max_tokens``, as the originals do, not to its longest
            sentence. The loss is the same.
        label_smoothing: Of the cross-entropy, 0 to 1.
        decoding: Defaults of ``generate``, fields of ``Decoding``.
        loss_weight: Factor of the loss.

    Raises:
        TypeError: If ``language_model`` or ``decoding`` has an unknown option; the nearest name is
            given.
        ValueError: If an argument is out of range, or parts do not fit each other.
    """

    NESTED_OPTIONS: ClassVar[dict] = dict(AutoregressiveHead.NESTED_OPTIONS,
                                          language_model=LanguageModel)

    def __init__(self, memory_channels: int, mapper: dict, language_model: dict, tokenizer: dict,
                 prefix_length: int = 10, source: str = 'pooled', normalize_prefix: bool = False,
                 max_tokens: int = 60, stop_text: Sequence[str] | str = (), learn_end: bool = True,
                 ignore_zero: bool = False, pad_to_max: bool = False, label_smoothing: float = 0.0,
                 decoding: dict | None = None, loss_weight: float = 1.0) -> None:
        if source not in SOURCES:
            raise ValueError(f"PrefixGPTHead has no source='{source}', only {list(SOURCES)}")
        super().__init__(tokenizer, memory_channels, loss_weight, source)
        refuse_unknown(language_model, LanguageModel, 'language_model')
        self.language_model = LanguageModel(self.tokenizer, **language_model)
        self.mapper = MODELS.build(dict(
            mapper, in_channels=memory_channels, out_channels=self.language_model.width,
            prefix_length=prefix_length, from_tokens=source == 'tokens'))
        self.prefix_length, self.normalize_prefix = prefix_length, normalize_prefix
        self.learn_end, self.ignore_zero, self.pad_to_max = learn_end, ignore_zero, pad_to_max
        self.label_smoothing = label_smoothing
        self.lead_ids = list(self.tokenizer.lead_ids)
        self.stop_ids += self._stops(stop_text)
        # The language model may know more ids than the tokenizer has words for.
        self.banned_ids += range(self.tokenizer.vocab_size, self.language_model.vocab_size)
        self.set_limits(max_tokens, decoding)

    def _stops(self, texts: Sequence[str] | str) -> list[int]:
        stops = []
        for text in [texts] if isinstance(texts, str) else texts:
            ids = self.tokenizer.plain_ids(text)
            if len(ids) != 1:
                raise ValueError(f'stop_text {text!r} is {len(ids)} tokens ({ids}); only a single '
                                 'token can end a sentence')
            stops += ids
        return stops

    def room(self) -> tuple[int, str] | None:
        """Return the positions that prefix and prompt leave; None of models without a limit."""
        positions = self.language_model.positions
        if positions is None:
            return None
        given = len(self.lead_ids) + len(self.given_ids)
        return (positions - self.prefix_length - given,
                f'after a prefix of {self.prefix_length} and {given} given tokens')

    def prefix(self, features: ChangeFeatures) -> Tensor:
        """Return the prefixes (N, P, E).

        Raises:
            ValueError: If the features lack what the mapper reads, or have another width.
        """
        read = features.pooled if self.source == 'pooled' else features.tokens
        if read is None:
            other = SOURCES[self.source == 'pooled']
            raise ValueError(f"PrefixGPTHead reads source='{self.source}' and the fusion gives no "
                             f"such features; set source='{other}', or take an encoder that "
                             'returns them')
        if read.shape[-1] != self.memory_channels:
            raise ValueError(f'PrefixGPTHead has memory_channels={self.memory_channels} and the '
                             f'{self.source} features are {read.shape[-1]} wide')
        if self.normalize_prefix:
            read = functional.normalize(read, dim=-1)
        return self.mapper(read)

    def forward(self, prefix: Tensor, ids: Tensor, scored: Tensor | None = None) -> Tensor:
        """Score every id of sentences.

        Args:
            prefix: One a sentence (M, P, E).
            ids: Ids (M, T), those given first.
            scored: Mask (M, T) of the ids to score; None for all. Logits of 150,000 ids are what
                takes the memory, so those that nobody reads are better not computed.

        Returns:
            Logits by which each id is predicted from the prefix and the ids before it: (M, T, V),
            or (K, V) of the K ids that ``scored`` names, row by row.
        """
        # l ids before the image, P embeddings of it, T - 1 of the ids; the last of the image
        # predicts the first id.
        words = self.language_model.embed(ids[:, :-1])
        return self.language_model(torch.cat([self.opening(prefix), words], 1), ids.shape[1],
                                   scored)

    def opening(self, prefix: Tensor) -> Tensor:
        """Return the embeddings of the ids before the image, and prefixes, (M, l + P, E)."""
        lead = self._embedded(self.lead_ids, prefix)
        return torch.cat([lead, prefix.to(lead.dtype)], 1)

    def _embedded(self, ids: list[int], prefix: Tensor) -> Tensor:
        """Return the embeddings (M, n, E) of n ids that are given with every prefix (M, P, E)."""
        ids = torch.tensor(ids, dtype=torch.long, device=prefix.device)
        return self.language_model.embed(ids).expand(len(prefix), -1, -1)

    def loss(self, features: ChangeFeatures, data_samples: list[ChangeDataSample]
             ) -> dict[str, Tensor]:
        """Teacher-forced loss; ``features`` with ``pooled`` (N, D) or ``tokens`` (N, L, D)."""
        # A prefix (N, P, E) a sample; rows say whose each of the M sentences is.
        prefix = self.prefix(features)
        sentences = self._sentences(data_samples)
        rows = [row for row, sample in enumerate(sentences) for _ in sample]
        flat = [ids for sample in sentences for ids in sample]
        if not flat:
            # Nothing to learn; every parameter still takes part, as distributed training expects.
            return dict(loss_caption=self.language_model(prefix, keep=1).sum() * 0,
                        accuracy=prefix.new_zeros(()))

        # Logits (K, V) against labels (K,): of the K learned tokens alone, over which is the mean.
        length = self.max_tokens + self.learn_end + len(self.given_ids) if self.pad_to_max else None
        ids, labels = self._labelled(flat, length, prefix.device)
        learned = labels != IGNORED
        logits, labels = self.forward(prefix[rows], ids, learned).float(), labels[learned]
        total = functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing,
                                         reduction='sum')
        count = max(len(labels), 1)
        right = logits.detach().argmax(-1) == labels
        return dict(loss_caption=self.loss_weight * total / count, accuracy=right.sum() / count)

    def _sentences(self, data_samples: list[ChangeDataSample]) -> list[list[list[int]]]:
        """Return the ids of each sample's sentences, those given first, the start left out."""
        # Without a start token, since the image is the start; the end as the originals learn it.
        prompt, last = len(self.tokenizer.prompt_ids), None if self.learn_end else -1
        start, given = len(self.tokenizer.start_ids) - prompt, len(self.given_ids) - prompt
        return [[self.given_ids[:given] + ids[start:last] for ids in sample]
                for sample in self.encode_targets(data_samples)]

    def _labelled(self, sentences: list[list[int]], length: int | None, device: torch.device
                  ) -> tuple[Tensor, Tensor]:
        """Return padded ids and labels (M, T)."""
        # Padding and what is given are not learned, nor id 0, which the originals pad with.
        ids, mask = pad_sentences(sentences, self.tokenizer.pad_id, length)
        labels = ids.masked_fill(~mask, IGNORED)
        labels[:, :len(self.given_ids)] = IGNORED
        if self.ignore_zero:
            labels[labels == 0] = IGNORED
        return ids.to(device), labels.to(device)

    def start(self, features: ChangeFeatures, options: Decoding
              ) -> tuple[CausalLMStep, PrefixState]:
        """Give prefix (N, P, E) and prompt to the language model."""
        # Ids before the image, P embeddings of it and those of the prompt, (N, l + P + g, E).
        prefix = self.prefix(features)
        decoder = CausalLMStep(self.language_model.model, options.use_cache)
        return decoder, decoder.start(
            torch.cat([self.opening(prefix), self._embedded(self.given(options.language), prefix)],
                      1))

    def merge(self, config: dict[str, Any]) -> dict[str, Any]:
        """Merge adapters into the language model, all of which is saved; see ``CaptionHead.merge``.

        Adaptive attention becomes plain attention.
        """
        # The matrices of adaptive attention fold into biased queries of a plain mapper.
        mapper = dict(config['mapper'])
        if isinstance(self.mapper, AMHTMapper):
            self.mapper = self.mapper.fold()
            mapper.pop('init', None)
            mapper |= dict(type='TransformerMapper', query_bias=True)
        return dict(config) | dict(mapper=mapper, language_model=self.language_model.merge())
