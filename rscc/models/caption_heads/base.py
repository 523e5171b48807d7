"""Base classes of caption heads, and the words that a checkpoint carries for them.

``CaptionHead`` owns tokenizer, vocabulary, limit of tokens, decoding options and the two faces
``loss`` and ``generate``. ``AutoregressiveHead`` adds the search of heads that write token by
token. Below them stands what reads the words of a head out of a checkpoint.

A model with a word-level tokenizer is useless without its words. They are kept as one uint8 buffer
(UTF-8 JSON), which every loader handles, ``weights_only`` included.
"""
import json
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rscc.models.contracts import Need
from rscc.models.generation.attended import attended
from rscc.models.generation.beam_scorers import Hypothesis
from rscc.models.generation.beam_search import search, to_captions
from rscc.models.generation.decoders import DecoderStep
from rscc.models.generation.options import Decoding, DecodingOptions
from rscc.registry import TOKENIZERS, Part
from rscc.structures import ChangeDataSample, ChangeFeatures, ScoredCaption
from rscc.text.tokenizer import CaptionTokenizer
from rscc.text.word_tokenizer import LANGUAGE_MARKERS
from rscc.utils.forms import check_form

BUFFER = 'vocabulary'
#: Options of word tokenizers that name files of words.
VOCABULARIES = ('vocab_file', 'vocab_files', 'tokenizer_file')


class CaptionHead(Part, nn.Module):
    """Base class of caption heads: features of a sample in, sentences about it out.

    The limit of a caption is ``max_tokens`` everywhere: the most tokens, words or subwords as the
    tokenizer splits them, that the caption itself may have; start token, prompt and end token are
    not among them. Captions to learn from are cut to it and counted; a caption that is written
    stops at it and is marked as ``truncated``. ``decoding.max_tokens`` limits what is written alone
    where it differs.

    Args:
        tokenizer: Config of a tokenizer from the TOKENIZERS registry.
        memory_channels: Width of the features that it reads; None for any.
        loss_weight: Factor of all losses.
        source: Which features these are: ``'tokens'`` or ``'pooled'``.

    Attributes:
        HAS_ATTENTION: Whether there are attention maps to return.
        tokenizer: The tokenizer that it builds.
        vocabulary: Words of a word-level tokenizer, packed; None of one that is found by name.
        max_tokens: The limit above, of captions to learn from.
        decoding: Defaults of ``generate``.
    """

    CARRIED: ClassVar[tuple[str, ...]] = (BUFFER, )
    HAS_ATTENTION: ClassVar[bool] = False
    max_tokens: int
    decoding: DecodingOptions

    def __init__(self, tokenizer: dict, memory_channels: int | None = None,
                 loss_weight: float = 1.0, source: str = 'tokens') -> None:
        super().__init__()
        self.tokenizer = TOKENIZERS.build(tokenizer)
        self.memory_channels, self.source = memory_channels, source
        words = self.tokenizer.vocabulary()
        self.register_buffer(BUFFER, None if words is None else pack_words(words))
        self.loss_weight = loss_weight

    def needs(self) -> Sequence[Need]:
        """Return the memory."""
        return [Need(self.source, self.memory_channels, 'memory_channels')]

    @abstractmethod
    def loss(self, features: ChangeFeatures, data_samples: list[ChangeDataSample]
             ) -> dict[str, Tensor]:
        """Learn from the sentences ``target_captions``, else ``gt_captions``, of every sample.

        Args:
            features: Of N samples: ``tokens`` (N, L, C), or ``pooled`` (N, D) if the head reads it.
            data_samples: N samples; those without captions add nothing.

        Returns:
            Scalars by name: losses (names with ``loss``), and ``accuracy``, the share of tokens
            predicted right (0 to 1, no gradient).
        """

    @torch.no_grad()
    def generate(self, features: ChangeFeatures, **decoding) -> list[list[ScoredCaption]]:
        """Write sentences for every sample.

        Args:
            features: As for ``loss``.
            **decoding: Decoding options that differ from the head's defaults.

        Returns:
            N lists of sentences, best first, at most ``num_captions`` each.

        Raises:
            TypeError: If an option does not exist, and the nearest name is given; or as
                :meth:`check_limits` says.
            ValueError: If a value is impossible, or asks for what the head cannot do.
        """
        self.check_limits()
        options = self.decoding.updated(decoding)
        self.check_decoding(options)
        return self.write(features, options)

    @abstractmethod
    def write(self, features: ChangeFeatures, options: DecodingOptions
              ) -> list[list[ScoredCaption]]:
        """Write sentences for every sample, by options that have been checked; see ``generate``."""

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that it can write in, the one of the tokenizer first."""
        return self.tokenizer.languages

    def check_limits(self) -> None:
        """Refuse a head whose constructor has set no limit of a caption or no decoding options.

        Raises:
            TypeError: Naming what is missing or wrong, and what to write.
        """
        remedy = ('At the end of its __init__, a head that derives from AutoregressiveHead calls '
                  'self.set_limits(max_tokens, decoding); another one sets self.max_tokens=40 and '
                  'self.decoding=Decoding() (from rscc.models.generation.options)')
        decoding = getattr(self, 'decoding', None)
        # A property may learn the limit from a checkpoint that is not loaded yet.
        later = isinstance(getattr(type(self), 'max_tokens', None), property)
        limit = 0 if later else getattr(self, 'max_tokens', None)
        if not isinstance(decoding, DecodingOptions):
            found = 'nothing' if decoding is None else f'a {type(decoding).__name__}'
            raise TypeError(f'{self.title}.decoding is {found}; decoding options, an object such '
                            f'as Decoding(), were expected. {remedy}')
        if not isinstance(limit, int):
            raise TypeError(f'{self.title}.max_tokens is {limit!r}; the most tokens of a caption '
                            f'were expected. {remedy}')

    def check_decoding(self, options: DecodingOptions) -> None:
        """Refuse options that the head cannot follow: another language, for instance.

        Raises:
            ValueError: Saying which, and what to do.
        """
        self.tokenizer.choose(options.language)
        if options.return_attention and not self.HAS_ATTENTION:
            raise ValueError('return_attention=True, and this caption head has no attention maps '
                             'to return; AttentionLSTMHead, BlipCaptionHead, KarrasCaptionHead '
                             'and MaskedCaptionHead have')

    def gives_maps(self, features: ChangeFeatures, options: DecodingOptions) -> bool:
        """Return whether sentences about features come with attention maps.

        Raises:
            ValueError: If maps are asked for, and the tokens have no place in the image.
        """
        if options.return_attention and features.token_grid is None:
            raise ValueError('return_attention=True, and the tokens of this fusion have no place '
                             'in the image (token_grid is None): use a fusion that keeps them, '
                             'SingleFrame, ConcatFusion or DifferenceFusion for instance')
        return (self.HAS_ATTENTION and options.return_attention is not False
                and features.token_grid is not None)

    def merge(self, config: Mapping[str, Any]) -> dict[str, Any] | None:
        """Make the head one that needs nothing but its checkpoint, in place.

        Args:
            config: The head's config.

        Returns:
            The config of the merged head; None where there is nothing to merge.
        """
        return None

    def encode_targets(self, data_samples: list[ChangeDataSample]) -> list[list[list[int]]]:
        """Return ids per sample and sentence, from ``target_captions``, else ``gt_captions``.

        Sentences of more than ``max_tokens`` tokens are cut and counted, those without a word
        counted and left out.
        """
        # Start, prompt and end alone are no sentence.
        bare = len(self.tokenizer.start_ids) + 1
        return [[ids for caption in
                 sample.get('target_captions') or sample.get('gt_captions') or ()
                 if len(ids := self.tokenizer.encode(caption, max_tokens=self.max_tokens)) > bare]
                for sample in data_samples]

    def _load_from_state_dict(self, state_dict: dict, prefix: str, local_metadata: dict,
                              strict: bool, missing_keys: list, unexpected_keys: list,
                              error_msgs: list) -> None:
        """Refuse words other than the config's: ids would mean something else."""
        # The message is collected with those of other parts; the own words take its place.
        stored, own = state_dict.get(prefix + BUFFER), self.vocabulary
        if stored is not None and own is not None and not torch.equal(stored.cpu(), own.cpu()):
            theirs, ours = unpack_words(stored), unpack_words(own)
            error_msgs.append(
                f'vocabulary of the checkpoint has {len(theirs)} words, that of the config '
                f'{len(ours)}{_first_difference(theirs, ours)}: ids would mean other words. Take '
                "the checkpoint's vocabulary (tools/test.py and tools/infer.py do), or train anew")
            state_dict = {**state_dict, prefix + BUFFER: own}
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys,
                                      unexpected_keys, error_msgs)


class AutoregressiveHead(CaptionHead):
    """Base class of caption heads that write token by token: one search, a decoder step each.

    Args:
        tokenizer, memory_channels, loss_weight, source: As for ``CaptionHead``.

    Attributes:
        given_ids: Ids that every sentence starts with and that are not returned: the prompt, of
            several languages that of the first; see :meth:`given`.
        stop_ids: Ids that end a sentence: the end token.
        banned_ids: Ids that are never written: the other special tokens.
    """

    NESTED_OPTIONS: ClassVar[dict] = dict(decoding=Decoding)
    decoding: Decoding

    def __init__(self, tokenizer: dict, memory_channels: int | None = None,
                 loss_weight: float = 1.0, source: str = 'tokens') -> None:
        super().__init__(tokenizer, memory_channels, loss_weight, source)
        prompts = [self.tokenizer.prompt_in(language) for language in self.languages]
        assert len({len(prompt) for prompt in prompts}) == 1, 'prompts differ in length'
        # The prompt is given, the end token stops a sentence, the other specials never come.
        self.given_ids = list(self.tokenizer.prompt_ids)
        self.stop_ids = [self.tokenizer.eos_id]
        self.banned_ids = never_written(self.tokenizer)

    def set_limits(self, max_tokens: int, decoding: Mapping[str, Any] | None) -> None:
        """Set ``max_tokens`` and ``decoding`` of a head that knows its decoder.

        Raises:
            TypeError: If a decoding option does not exist; the nearest name is given.
            ValueError: If either is impossible for this head.
        """
        # What is learned and, unless told otherwise, what is written have one limit.
        self.max_tokens = max_tokens
        self._check_room('max_tokens', max_tokens)
        self.decoding = Decoding(max_tokens=max_tokens).updated(dict(decoding or {}))
        self.check_decoding(self.decoding)

    def room(self) -> tuple[int, str] | None:
        """Return how many tokens the decoder has positions for, and after what, or None."""
        return None

    def check_decoding(self, options: Decoding) -> None:
        """Refuse captions longer than the decoder can write, and what it does not have."""
        super().check_decoding(options)
        self._check_room('decoding max_tokens', options.max_tokens)

    def _check_room(self, name: str, tokens: int) -> None:
        """Refuse sentences that outgrow the position table (on a GPU that kills the process)."""
        room, where = self.room() or (tokens, '')
        if tokens > room:
            raise ValueError(f'{name}={tokens} is too long: the decoder has positions for {room} '
                             f'tokens {where}; lower it, or take a decoder with more positions')

    def given(self, language: str | None = None) -> list[int]:
        """Return ``given_ids`` with the prompt of a language; None for the first."""
        prompt = self.tokenizer.prompt_in(language)
        return [*self.given_ids[:len(self.given_ids) - len(prompt)], *prompt]

    def banned(self, language: str | None = None) -> list[int]:
        """Return ``banned_ids`` and the words of other languages, which could never be right."""
        return [*self.banned_ids, *self.tokenizer.foreign_ids(language)]

    @abstractmethod
    def start(self, features: ChangeFeatures, options: Decoding) -> tuple[DecoderStep, Any]:
        """Return the decoder step, and its state before the first token of every sample."""

    def search(self, features: ChangeFeatures, options: Decoding
               ) -> tuple[list[list[Hypothesis]], DecoderStep]:
        """Return what the search wrote about every sample, and the decoder step that it used."""
        decoder, state = self.start(features, options)
        return search(decoder, state, options, self.stop_ids, self.tokenizer.pad_id,
                      self.banned(options.language), self.given(options.language)), decoder

    def write(self, features: ChangeFeatures, options: Decoding) -> list[list[ScoredCaption]]:
        """Search sentences, with their maps where asked for; see ``generate``."""
        maps = self.gives_maps(features, options)
        written, decoder = self.search(features, options)
        captions = to_captions(written, self.tokenizer.decode, options.max_tokens)
        if not maps:
            return captions
        weights = self.word_weights(features, written, decoder, options)
        return [[attended(caption, sentence.ids, seen, features.token_grid, self.tokenizer.decode)
                 for caption, sentence, seen in zip(*sample, strict=True)]
                for sample in zip(captions, written, weights, strict=True)]

    def word_weights(self, features: ChangeFeatures, written: list[list[Hypothesis]],
                     decoder: DecoderStep, options: Decoding) -> list[list[Tensor]]:
        """Return where a head with ``HAS_ATTENTION`` looked when it wrote sentences.

        Args:
            features: Of N samples.
            written: Sentences of every sample.
            decoder: The decoder step that wrote them.
            options: Those of the search.

        Returns:
            Of every sentence of T ids the weights of the L tokens of the memory (T, L) behind each
            id, which sum to one.
        """
        raise NotImplementedError(f'{type(self).__name__} has no attention maps')


def languages_asked(head: nn.Module, sample: ChangeDataSample, decoding: Mapping[str, Any]
                    ) -> tuple[str | None, ...]:
    """Return the languages to write about a sample in; None leaves it to the head.

    Args:
        head: A caption head, perhaps one that knows nothing of languages.
        sample: Its metainfo may say ``language``, that of its dataset.
        decoding: Options over the head's; ``language`` may be one or a sequence of several.
    """
    asked = decoding.get('language')
    if asked is not None:
        return (asked, ) if isinstance(asked, str) else tuple(asked)
    several = isinstance(head, CaptionHead) and len(head.languages) > 1
    if several and head.decoding.language is None and sample.get('language') in head.languages:
        return (sample.get('language'), )
    return (None, )


def write_captions(head: nn.Module, samples: Mapping[int, ChangeDataSample],
                   features_of: Callable[[list[int]], ChangeFeatures], decoding: Mapping[str, Any]
                   ) -> None:
    """Put sentences into samples, each in the languages that it is asked for.

    Args:
        head: The caption head.
        samples: Those to tell of, by their place in the batch; ``pred_captions`` become those of
            the first language, and where there are several ``pred_sentences`` those of all.
        features_of: Returns the features of the samples at some places.
        decoding: Options over the head's; see :func:`languages_asked` for ``language``.
    """
    # Samples of the same languages in one call for each language, mostly all in one.
    asked = {row: languages_asked(head, sample, decoding) for row, sample in samples.items()}
    options = {name: value for name, value in decoding.items() if name != 'language'}
    for languages in dict.fromkeys(asked.values()):
        rows = [row for row, own in asked.items() if own == languages]
        features = features_of(rows)
        # By language, a list of sentences of every row, best first.
        found = {language: head.generate(
            features, **options, **({} if language is None else dict(language=language)))
            for language in languages}
        for place, row in enumerate(rows):
            captions = found[languages[0]][place]
            samples[row].pred_captions = captions
            samples[row].pred_caption, samples[row].pred_caption_score = captions[0]
            if len(languages) > 1:
                samples[row].pred_sentences = {language: every[place]
                                               for language, every in found.items()}


def never_written(tokenizer: CaptionTokenizer) -> list[int]:
    """Return the special ids that no sentence holds: all but the end, which is written once."""
    return sorted(tokenizer.special_ids - {tokenizer.eos_id})


def pack_words(words: list[str]) -> Tensor:
    """Encode words as a uint8 vector."""
    return torch.frombuffer(bytearray(json.dumps(words, ensure_ascii=False).encode()),
                            dtype=torch.uint8).clone()


def unpack_words(buffer: Tensor) -> list[str]:
    """Decode what ``pack_words`` encoded.

    Raises:
        ValueError: If it holds anything but a list of words.
    """
    try:
        words = json.loads(bytes(buffer.cpu().numpy()).decode())
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f'the vocabulary in the checkpoint is damaged: {error}') from error
    check_form(words, [str], 'the vocabulary in the checkpoint')
    return words


def _first_difference(theirs: Sequence[str], ours: Sequence[str]) -> str:
    for position, (their, our) in enumerate(zip(theirs, ours, strict=False)):
        if their != our:
            return f" (word {position} is '{their}' there, '{our}' here)"
    return ''


def restore_vocabulary(cfg: dict, checkpoint: dict) -> list[str] | None:
    """Make a config's word tokenizer take its words from a checkpoint.

    Testing and inference then need neither the dataset nor its vocabulary file, nor one of word
    vectors.

    Args:
        cfg: A whole config; ``cfg['model']['caption_head']`` is edited in place.
        checkpoint: A loaded checkpoint, with or without its ``state_dict`` level.

    Returns:
        The words, or None where the checkpoint carries none.

    Raises:
        ValueError: If the model speaks another language than the config's tokenizer.
    """
    state_dict = checkpoint.get('state_dict', checkpoint)
    stored = [value for key, value in state_dict.items() if key.endswith(f'.{BUFFER}')]
    head = cfg['model'].get('caption_head')
    if not stored or not head or not head.get('tokenizer'):
        return None
    # Ids of one language would be read as words of the other; words of several say whose they are.
    words = unpack_words(stored[0])
    several = set(LANGUAGE_MARKERS.values()) & set(words)
    learnt = ((checkpoint.get('meta') or {}).get('dataset_meta') or {}).get('language')
    asked = head['tokenizer'].get('language', 'en')
    if learnt and learnt != asked and not several:
        raise ValueError(f"the checkpoint was trained on captions in '{learnt}', and the config's "
                         f"tokenizer is for '{asked}': use the config it was trained with")
    # Neither the file of the words nor that of their vectors is needed any more.
    for file in VOCABULARIES:
        head['tokenizer'].pop(file, None)
    head.pop('word_vectors', None)
    head['tokenizer']['words'] = words
    return words
