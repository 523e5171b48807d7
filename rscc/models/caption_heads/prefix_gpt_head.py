"""A language model that continues an image as if it were the start of a sentence.

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

from rscc.models.caption_heads.base import (
    VocabularyMixin,
    encode_targets,
    never_written,
    pad_sentences,
)
from rscc.models.caption_heads.mappers import AMHTMapper
from rscc.models.contracts import Need
from rscc.models.generation.beam_search import search, to_captions
from rscc.models.generation.decoders import CausalLMStepper
from rscc.models.generation.options import Decoding
from rscc.models.language_models import LanguageModel
from rscc.registry import MODELS, TOKENIZERS
from rscc.structures import ChangeDataSample, ChangeFeatures, ScoredCaption
from rscc.utils.signatures import refuse_unknown

SOURCES = ('pooled', 'tokens')
IGNORED = -100


@MODELS.register_module()
class PrefixGPTHead(VocabularyMixin):
    """Mapper and causal language model: features to P embeddings, which the model continues.

    The features may come from one image or from several dates. The prefix of a sample is computed
    once, however many sentences learn from it.

    Losses returned: ``loss_caption`` (cross-entropy a token, natural logarithm). Also ``accuracy``,
    the share of tokens predicted right under teacher forcing (0 to 1, no gradient).

    Args:
        memory_channels: Width D of the features that the mapper reads.
        mapper: Config of ``MLPMapper``, ``TransformerMapper`` or ``AMHTMapper``; widths and prefix
            length are added here.
        language_model: Arguments of ``language_models.LanguageModel``: ``pretrained`` or
            ``config``, ``tune``, ``lora``.
        tokenizer: Config of a tokenizer from the TOKENIZERS registry. Its start token is left out,
            its prompt is given after the prefix, not learned and not returned.
        prefix_length: Number P of embeddings.
        source: ``'pooled'``, one vector a sample, or ``'tokens'``.
        normalize_prefix: Scale features to length 1 first.
        max_tokens: Longest training sentence in tokens; longer ones are cut and counted.
        stop_text: Texts of one token that end a sentence when written, ``' .'`` for instance,
            beside the end token.
        learn_end: Train the end token. Off repeats the originals, which learn to end with the full
            stop of their sentences; it takes a tokenizer's ``ending`` and ``stop_text``.
        ignore_zero: Do not learn id 0, which the originals take for padding.
        pad_to_max: Pad every batch to ``max_tokens``, as the originals do, not to its longest
            sentence. The loss is the same.
        label_smoothing: Of the cross-entropy, 0 to 1.
        decoding: Defaults of ``generate``, fields of ``decoding.Decoding``.
        loss_weight: Factor of the loss.

    Raises:
        TypeError: If ``language_model`` or ``decoding`` has an unknown option; the nearest name is
            given.
        ValueError: If an argument is out of range, or parts do not fit each other.
    """

    NESTED_OPTIONS: ClassVar[dict] = dict(decoding=Decoding, language_model=LanguageModel)

    def __init__(self, memory_channels: int, mapper: dict, language_model: dict, tokenizer: dict,
                 prefix_length: int = 10, source: str = 'pooled', normalize_prefix: bool = False,
                 max_tokens: int = 60, stop_text: Sequence[str] | str = (), learn_end: bool = True,
                 ignore_zero: bool = False, pad_to_max: bool = False, label_smoothing: float = 0.0,
                 decoding: dict | None = None, loss_weight: float = 1.0) -> None:
        super().__init__()
        if source not in SOURCES:
            raise ValueError(f"PrefixGPTHead has no source='{source}', only {list(SOURCES)}")
        self.tokenizer = TOKENIZERS.build(tokenizer)
        self.register_vocabulary(self.tokenizer.vocabulary())
        refuse_unknown(language_model, LanguageModel, 'language_model')
        self.language_model = LanguageModel(self.tokenizer, **language_model)
        self.mapper = MODELS.build(dict(
            mapper, in_channels=memory_channels, out_channels=self.language_model.width,
            prefix_length=prefix_length, from_tokens=source == 'tokens'))
        self.memory_channels, self.prefix_length = memory_channels, prefix_length
        self.source, self.normalize_prefix = source, normalize_prefix
        self.learn_end, self.ignore_zero, self.pad_to_max = learn_end, ignore_zero, pad_to_max
        self.given_ids = list(self.tokenizer.prompt_ids)
        self.stop_ids = [self.tokenizer.eos_id, *self._stops(stop_text)]
        self.max_tokens = max_tokens
        self._check_length('max_tokens', max_tokens)
        self.decoding = Decoding(max_tokens=max_tokens).updated(decoding or {})
        self._check_length('decoding max_tokens', self.decoding.max_tokens)
        self.label_smoothing, self.loss_weight = label_smoothing, loss_weight

    def _stops(self, texts: Sequence[str] | str) -> list[int]:
        stops = []
        for text in [texts] if isinstance(texts, str) else texts:
            ids = self.tokenizer.plain_ids(text)
            if len(ids) != 1:
                raise ValueError(f'stop_text {text!r} is {len(ids)} tokens ({ids}); only a single '
                                 'token can end a sentence')
            stops += ids
        return stops

    def _check_length(self, name: str, tokens: int) -> None:
        """Refuse sentences that outgrow the position table (on a GPU that kills the process)."""
        if self.language_model.positions is None:
            return
        room = self.language_model.positions - self.prefix_length - len(self.given_ids)
        if tokens > room:
            raise ValueError(f'{name}={tokens} is too long: the language model has positions for '
                             f'{room} tokens after a prefix of {self.prefix_length} and '
                             f'{len(self.given_ids)} given tokens')

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

    def forward(self, prefix: Tensor, ids: Tensor) -> Tensor:
        """Score every id of sentences.

        Args:
            prefix: One a sentence (M, P, E).
            ids: Ids (M, T), those given first.

        Returns:
            Logits (M, T, V) by which each id is predicted from the prefix and the ids before it.
        """
        words = self.language_model.embed(ids[:, :-1])
        return self.language_model(torch.cat([prefix, words], 1), keep=ids.shape[1])

    def needs(self) -> Sequence[Need]:
        """Return the memory."""
        return [Need(self.source, self.memory_channels, 'memory_channels')]

    def loss(self, features: ChangeFeatures, data_samples: list[ChangeDataSample]
             ) -> dict[str, Tensor]:
        """Teacher-forced loss over ``target_captions``, else ``gt_captions``, of every sample.

        Args:
            features: With ``pooled`` (N, D) or ``tokens`` (N, L, D), as ``source`` says.
            data_samples: N samples; those without captions add nothing.
        """
        prefix = self.prefix(features)
        sentences = self._sentences(data_samples)
        rows = [row for row, sample in enumerate(sentences) for _ in sample]
        flat = [ids for sample in sentences for ids in sample]
        if not flat:
            # Nothing to learn; every parameter still takes part, as distributed training expects.
            return dict(loss_caption=self.language_model(prefix, keep=1).sum() * 0,
                        accuracy=prefix.new_zeros(()))
        length = self.max_tokens + self.learn_end + len(self.given_ids) if self.pad_to_max else None
        ids, labels = self._labelled(flat, length, prefix.device)
        logits = self.forward(prefix[rows], ids).flatten(0, 1).float()
        total = functional.cross_entropy(logits, labels.flatten(), ignore_index=IGNORED,
                                         label_smoothing=self.label_smoothing, reduction='sum')
        learned = labels.flatten() != IGNORED
        count = learned.sum().clamp(min=1)
        right = (logits.detach().argmax(-1) == labels.flatten()) & learned
        return dict(loss_caption=self.loss_weight * total / count, accuracy=right.sum() / count)

    def _sentences(self, data_samples: list[ChangeDataSample]) -> list[list[list[int]]]:
        """Return the ids of each sample's sentences, those given first, the start left out."""
        start = len(self.tokenizer.start_ids)
        encoded = encode_targets(data_samples, self.tokenizer, start + self.max_tokens + 1)
        last = None if self.learn_end else -1
        return [[self.given_ids + ids[start:last] for ids in sample] for sample in encoded]

    def _labelled(self, sentences: list[list[int]], length: int | None, device: torch.device
                  ) -> tuple[Tensor, Tensor]:
        """Return padded ids and labels (M, T)."""
        ids, mask = pad_sentences(sentences, self.tokenizer.pad_id, length)
        labels = ids.masked_fill(~mask, IGNORED)
        labels[:, :len(self.given_ids)] = IGNORED
        if self.ignore_zero:
            labels[labels == 0] = IGNORED
        return ids.to(device), labels.to(device)

    @torch.no_grad()
    def generate(self, features: ChangeFeatures, **decoding) -> list[list[ScoredCaption]]:
        """Write sentences for every sample.

        Args:
            features: As for ``loss``.
            **decoding: Fields of ``decoding.Decoding`` that differ from the head's defaults.

        Returns:
            N lists of ``num_captions`` sentences, best first.
        """
        options = self.decoding.updated(decoding)
        self._check_length('decoding max_tokens', options.max_tokens)
        prefix, model = self.prefix(features), self.language_model
        if self.given_ids:
            given = model.embed(torch.tensor(self.given_ids, device=prefix.device))
            prefix = torch.cat([prefix, given.expand(len(prefix), -1, -1)], 1)
        stepper = CausalLMStepper(model.model, options.use_cache)
        written = search(stepper, stepper.start(prefix), options, stop_ids=self.stop_ids,
                         pad_id=self.tokenizer.pad_id, given=self.given_ids,
                         banned=[*never_written(self.tokenizer),
                                 *range(self.tokenizer.vocab_size, model.vocab_size)])
        return to_captions(written, self.tokenizer.decode)

    def merge(self, config: dict[str, Any]) -> dict[str, Any]:
        """Make the head one that needs nothing but its checkpoint, in place.

        Adapters become part of the language model, whose weights are all saved from now on, and
        adaptive attention becomes plain attention.

        Args:
            config: The head's config.

        Returns:
            The config of the merged head.
        """
        mapper = dict(config['mapper'])
        if isinstance(self.mapper, AMHTMapper):
            self.mapper = self.mapper.fold()
            mapper.pop('init', None)
            mapper |= dict(type='TransformerMapper', query_bias=True)
        return dict(config) | dict(mapper=mapper, language_model=self.language_model.merge())
