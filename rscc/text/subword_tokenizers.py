"""Subword tokenizers of published models: BERT's word pieces, GPT-2's and CLIP's byte pairs.

Those of captions (:class:`WordPieceTokenizer`, :class:`BytePairTokenizer`) are read from local
files or from the hub, whose local cache is asked first. That of CLIP's prompts comes with
open_clip.
"""
import inspect
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rscc import compat
from rscc.registry import TOKENIZERS
from rscc.text.detokenizer import BROKEN, Detokenizer, join_pieces
from rscc.text.normalisation import normalise, warn
from rscc.text.tokenizer import CaptionTokenizer
from rscc.utils import read_json, resolve_data_file
from rscc.utils.files import read_text
from rscc.utils.forms import check_form

if TYPE_CHECKING:
    from torch import Tensor

_VOCABULARY = 'vocab.txt'
_LOCAL_FOLDER_HINT = f"a local folder (or vocab_file) with BERT's {_VOCABULARY} works offline"


@TOKENIZERS.register_module()
class WordPieceTokenizer(CaptionTokenizer):
    """Word-piece tokenizer of BERT, as BLIP (Li et al., ICML 2022) or a Chinese GPT-2 uses it.

    End is ``[SEP]`` (102), padding ``[PAD]`` (0), start by default BLIP's ``[DEC]`` (30522 for
    BERT-uncased). A plain BERT vocabulary lacks BLIP's two tokens; ``[DEC]`` and then ``[ENC]`` are
    appended.

    Args:
        pretrained: Hub name (``'Salesforce/blip-image-captioning-base'``) or a local folder with
            ``vocab.txt``. A hub name is looked up in the local cache first.
        vocab_file: ``vocab.txt`` in place of ``pretrained``.
        lower_case: Lower the case of sentences (uncased vocabularies).
        prompt: Words before every caption (BLIP's ``'a picture of '``); they are in
            :attr:`prompt_ids`, carry no loss and are dropped by :meth:`decode`.
        language: ``'en'``, or ``'zh'`` for a Chinese BERT's vocabulary.
        start: ``'[DEC]'``, or ``'[CLS]'`` for models that know BERT's own pieces and no others
            (``uer/gpt2-chinese-cluecorpussmall``); nothing is appended then.

    Raises:
        FileNotFoundError: If the vocabulary is not there (or not reachable).
        ValueError: If neither or both sources are given, the file lacks BERT's specials, or
            ``start`` is another piece.
    """

    def __init__(self, pretrained: str | os.PathLike | None = None,
                 vocab_file: str | os.PathLike | None = None, lower_case: bool = True,
                 prompt: str | None = None, language: str = 'en', start: str = '[DEC]') -> None:
        super().__init__(language)
        if start not in ('[DEC]', '[CLS]'):
            raise ValueError(f"start='{start}': sentences start with '[DEC]' (BLIP) or '[CLS]' "
                             '(BERT)')
        if (pretrained is None) == (vocab_file is None):
            raise ValueError('WordPieceTokenizer takes either pretrained or vocab_file, and got '
                             f"{'neither' if vocab_file is None else 'both'}")
        path = Path(vocab_file) if vocab_file is not None else _find_vocabulary(str(pretrained))
        if not path.is_file():
            raise FileNotFoundError(f"word-piece vocabulary not found at '{path}': expected BERT's "
                                    f'{_VOCABULARY}, one piece a line')
        _check_specials(path)
        self.lower_case = lower_case
        self._pieces = _word_pieces(path, lower_case, with_blip=start == '[DEC]')
        self.pad_id, self.unk_id, self.eos_id, self.bos_id = self._pieces.convert_tokens_to_ids(
            ['[PAD]', '[UNK]', '[SEP]', start])
        self.vocab_size = len(self._pieces)
        self.prompt = prompt
        self.prompt_ids = tuple(self._text_to_ids(prompt)) if prompt else ()

    def _text_to_ids(self, text: str) -> list[int]:
        return self.plain_ids(normalise(text, self.language, self.lower_case))

    def plain_ids(self, text: str) -> list[int]:
        """Return the ids of a text as it stands, without specials."""
        return self._pieces(text, add_special_tokens=False, verbose=False)['input_ids']

    def _ids_to_text(self, ids: list[int]) -> str:
        pieces = self._pieces.convert_ids_to_tokens(ids, skip_special_tokens=True)
        return join_pieces(pieces, self.language, self.lower_case)

    def detokenizer(self) -> Detokenizer:
        """Return the pieces with the rules that join them."""
        return self._detokenizer('pieces', entries_of(self._pieces, self.vocab_size),
                                 self.lower_case)

    def __repr__(self) -> str:
        return (f"WordPieceTokenizer({self.vocab_size} pieces, language='{self.language}', "
                f'prompt={self.prompt!r})')


def cut_between_characters(tokenizer: Any, body: list[int], room: int) -> list[int]:
    """Return the first ``room`` ids, without those of a character whose last bytes do not fit."""
    kept = body[:room]
    while kept and tokenizer.decode(kept).endswith(BROKEN):
        kept.pop()
    return kept or body[:room]


def entries_of(tokenizer: Any, count: int) -> list[str | None]:
    """Return the entry of every id of a tokenizer of transformers; None for its specials."""
    specials = set(tokenizer.all_special_ids)
    return [None if number in specials else entry for number, entry in
            enumerate(tokenizer.convert_ids_to_tokens(list(range(count))))]


def _word_pieces(path: Path, lower_case: bool, with_blip: bool) -> Any:
    """Make transformers' BERT tokenizer, with BLIP's two tokens or without."""
    module = compat.import_transformers()
    kind = module.BertTokenizer
    try:
        if 'vocab' in inspect.signature(kind.__init__).parameters:  # transformers 5
            pieces = kind(vocab=str(path), do_lower_case=lower_case)
        else:
            pieces = module.BertTokenizerFast(vocab_file=str(path), do_lower_case=lower_case)
    except Exception as error:  # the tokenizers library raises plain exceptions
        raise ValueError(f"'{path}' is no BERT vocabulary, one piece a line ({error})") from error
    if with_blip:
        pieces.add_special_tokens({'bos_token': '[DEC]'})
        pieces.add_special_tokens({'additional_special_tokens': ['[ENC]']})
    return pieces


def _find_vocabulary(name: str) -> Path:
    """Return ``vocab.txt`` of a local folder or of a hub repository."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / _VOCABULARY).is_file():
            raise FileNotFoundError(f"folder '{name}' has no {_VOCABULARY} (found: "
                                    f"{', '.join(sorted(os.listdir(folder))[:8]) or 'nothing'}): "
                                    f'{_LOCAL_FOLDER_HINT}')
        return folder / _VOCABULARY
    compat.refuse_absent_folder(name, _LOCAL_FOLDER_HINT)
    return _vocabulary_from_hub(name)


def _vocabulary_from_hub(name: str) -> Path:
    """Download ``vocab.txt`` of a hub model, or find it in the local cache."""
    compat.import_transformers()  # brings huggingface_hub, and names what is missing where it fails
    from huggingface_hub import hf_hub_download
    try:
        return Path(hf_hub_download(name, _VOCABULARY, local_files_only=True))
    except Exception:  # not cached: say what happens next, a download can take its time
        if not compat.hub_in_reach():
            raise FileNotFoundError(f'no vocabulary: {compat.out_of_reach(name)}; '
                                    f'{_LOCAL_FOLDER_HINT}') from None
        warn(f"fetching the vocabulary of '{name}' from the hub")
    try:
        return Path(hf_hub_download(name, _VOCABULARY))
    except Exception as error:
        raise FileNotFoundError(
            f"the vocabulary of hub model '{name}' cannot be fetched "
            f"({type(error).__name__}), and there is no such local folder; "
            f'{_LOCAL_FOLDER_HINT}') from error


def _check_specials(path: Path) -> None:
    # Split at line feeds alone, as the library does.
    lines = read_text(path, 'word-piece vocabulary').rstrip('\n').split('\n')
    pieces = {line.rstrip('\r') for line in lines}
    missing = [name for name in ('[PAD]', '[UNK]', '[SEP]', '[CLS]') if name not in pieces]
    if missing:
        raise ValueError(f"'{path}' is no BERT vocabulary: it lacks {', '.join(missing)} "
                         f'({len(pieces)} lines)')


@TOKENIZERS.register_module()
class BytePairTokenizer(CaptionTokenizer):
    """Byte-level pairs of GPT-2 (Radford et al., 2019), or of any causal model on the hub.

    Every text can be written, so nothing is unknown; a Chinese character takes two ids or more, and
    a caption is only ever cut between characters. GPT-2 has one special token, ``<|endoftext|>``:
    it ends captions and fills up batches (under a mask), and no caption starts with it.

    Args:
        pretrained: Hub name or folder of a language model with its tokenizer files.
        vocab_file: GPT-2's ``vocab.json`` (``encoder.json``) in place of ``pretrained``.
        merges_file: ``merges.txt`` (``vocab.bpe``), which goes with it. Relative paths are looked
            up in the folder of all datasets, too.
        lower_case: Lower the case of sentences.
        language: ``'en'`` or ``'zh'``.
        ending: Text at the end of every sentence: ``' .'`` for English or ``'.'`` for Chinese as
            CLIP-GPT was trained (``normalise`` takes the full stop away, and ``decode`` again).

    Raises:
        FileNotFoundError: If a file is not there (or not reachable).
        ValueError: If neither or both sources are given, the files do not go together, or the
            tokenizer has no end token.
    """

    def __init__(self, pretrained: str | os.PathLike | None = None,
                 vocab_file: str | os.PathLike | None = None,
                 merges_file: str | os.PathLike | None = None, lower_case: bool = True,
                 language: str = 'en', ending: str = '') -> None:
        super().__init__(language)
        files = [name for name in (vocab_file, merges_file) if name is not None]
        if len(files) != (0 if pretrained is not None else 2):
            raise ValueError('BytePairTokenizer takes either pretrained, or vocab_file and '
                             f'merges_file, and got pretrained={pretrained!r}, '
                             f'vocab_file={vocab_file!r}, merges_file={merges_file!r}')
        self._pairs = (_byte_pairs_of_files(*map(Path, files)) if files else
                       _byte_pairs_of_model(str(pretrained)))
        if self._pairs.eos_token_id is None:
            raise ValueError(f"the tokenizer of '{pretrained}' has no end token: captions would "
                             "never stop; take the language model's own tokenizer")
        self.lower_case, self.ending = lower_case, ending
        self.eos_id = self.bos_id = self.unk_id = self.pad_id = self._pairs.eos_token_id
        self.vocab_size = len(self._pairs)

    @property
    def start_ids(self) -> list[int]:
        """Ids at the start of every encoded caption: none, for a prefix stands before it."""
        return []

    def plain_ids(self, text: str) -> list[int]:
        """Return the ids of a text as it stands; ``<|endoftext|>`` in it is text like any other."""
        return self._pairs(text, add_special_tokens=False, split_special_tokens=True,
                           verbose=False)['input_ids']

    def _text_to_ids(self, text: str) -> list[int]:
        text = normalise(text, self.language, self.lower_case)
        return self.plain_ids(text + self.ending) if text else []

    def _cut(self, body: list[int], room: int) -> list[int]:
        """Return the ids that fit, without those of a character whose last bytes do not."""
        return cut_between_characters(self._pairs, body, room)

    def _ids_to_text(self, ids: list[int]) -> str:
        text = self._pairs.decode(ids, clean_up_tokenization_spaces=False)
        return normalise(text.replace(BROKEN, ''), self.language, self.lower_case)

    def detokenizer(self) -> Detokenizer:
        """Return the byte pairs with the rules that join them; GPT-2's, whatever the model is."""
        return self._detokenizer('bytes', entries_of(self._pairs, self.vocab_size), self.lower_case)

    def __repr__(self) -> str:
        return (f"BytePairTokenizer({self.vocab_size} ids, language='{self.language}', "
                f'ending={self.ending!r})')


def _byte_pairs_of_files(vocab: Path, merges: Path) -> Any:
    """Make GPT-2's tokenizer from its two files."""
    vocab, merges = resolve_data_file(vocab), resolve_data_file(merges)
    for path, what in ((vocab, 'vocabulary (vocab.json or encoder.json)'),
                       (merges, 'merges (merges.txt or vocab.bpe)')):
        if not path.is_file():
            raise FileNotFoundError(f"GPT-2's {what} not found at '{path}'; both files come with "
                                    'every GPT-2 model')
    _check_pairs(vocab, merges)
    kind = compat.import_transformers().GPT2Tokenizer
    try:
        return kind(vocab=str(vocab), merges=str(merges))
    except Exception as error:  # the tokenizers library raises plain exceptions
        raise ValueError(f"'{vocab}' and '{merges}' are not a byte-pair vocabulary and its merges "
                         f'({error})') from error


def _check_pairs(vocab: Path, merges: Path) -> None:
    """Refuse files that do not go together, some of which end the tokenizers library."""
    ids = read_json(vocab, unique_keys=True)
    check_form(ids, {str: int}, f"byte-pair vocabulary '{vocab}'")
    if sorted(ids.values()) != list(range(len(ids))):
        raise ValueError(f"byte-pair vocabulary '{vocab}' does not number its {len(ids)} entries "
                         f'from 0 to {len(ids) - 1}')
    for number, line in enumerate(read_text(merges, 'merges').split('\n'), 1):
        pair = line.split(' ')
        if line.startswith('#version') or not line:
            continue
        if len(pair) != 2 or not {*pair, ''.join(pair)} <= ids.keys():
            raise ValueError(f"'{merges}', line {number}: {line!r} is no pair of entries of the "
                             f"byte-pair vocabulary '{vocab}' whose union is one too")


def _byte_pairs_of_model(name: str) -> Any:
    """Load the tokenizer of a model from a folder, the hub's local cache, or the hub."""
    auto = compat.import_transformers().AutoTokenizer
    within_reach = Path(name).expanduser().is_dir() or compat.hub_in_reach()
    try:
        return auto.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = (str(error).strip().splitlines()[0].rstrip(' .:') if within_reach
                  else compat.out_of_reach(name))
        raise FileNotFoundError(
            f"no tokenizer at '{name}' ({reason}): give a folder with tokenizer.json, or with "
            'vocab.json and merges.txt, or these two files as vocab_file and merges_file, which '
            'works offline') from error


class PromptTokenizer(ABC):
    """Base class of tokenizers of prompts, whose texts fill rows of one length and are never cut.

    Half a prompt is another prompt.

    Attributes:
        family: Whose text encoders read these ids.
        context_length: Most tokens of a text, and length of a row.
        pad_id: Id that fills up the rows.
    """
    family: str
    context_length: int
    pad_id: int

    @abstractmethod
    def token_ids(self, text: str) -> list[int]:
        """Return the ids of a text, special tokens included, however many they are."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, special tokens included.

        Raises:
            ValueError: If they are more than ``context_length``.
        """
        ids = self.token_ids(text)
        if len(ids) > self.context_length:
            raise ValueError(
                f'a prompt of {len(ids)} tokens does not fit context_length={self.context_length}: '
                f"'{text}'. Shorten it: with fewer class names, or shorter ones")
        return ids

    def batch_encode(self, texts: Sequence[str]) -> 'Tensor':
        """Return the ids of B texts, (B, context_length) int64, filled up with ``pad_id``.

        Raises:
            TypeError: If ``texts`` is a single string.
            ValueError: If a text is too long.
        """
        import torch
        if isinstance(texts, str):
            raise TypeError(f"batch_encode takes a list of texts, found the single text '{texts}'")
        ids = torch.full((len(texts), self.context_length), self.pad_id)
        for row, text in zip(ids, texts, strict=True):
            tokens = self.encode(text)
            row[:len(tokens)] = torch.tensor(tokens)
        return ids


@TOKENIZERS.register_module()
class CLIPTokenizer(PromptTokenizer):
    """Byte-pair tokens of CLIP (Radford et al., ICML 2021) for prompts, through open_clip.

    A text is repaired, unescaped and lower-cased as CLIP was trained; padding is 0. Nothing is ever
    cut: half a prompt is another prompt. Tokens of a text are worked out once per process.

    Args:
        context_length: Most tokens of a text, start and end included. ChangeCLIP's 64 leave room
            for 13 contexts among CLIP's 77 positions.

    Attributes:
        bos_id, eos_id, pad_id: 49406, 49407 and 0.
        vocab_size: 49408.
        family: Whose text encoders read these ids.
    """
    bos_id, eos_id, pad_id, vocab_size = 49406, 49407, 0, 49408
    family = 'clip'

    def __init__(self, context_length: int = 64) -> None:
        self.context_length = context_length

    def token_ids(self, text: str) -> list[int]:
        """Return start token, words and end token."""
        return [self.bos_id, *_clip_ids(text), self.eos_id]

    def __repr__(self) -> str:
        return f'CLIPTokenizer(context_length={self.context_length})'


@lru_cache(maxsize=65536)
def _clip_ids(text: str) -> tuple[int, ...]:
    return tuple(_clip_pairs().encode(text))


@cache
def _clip_pairs() -> Any:
    return compat.import_open_clip('tokenizer').SimpleTokenizer()
