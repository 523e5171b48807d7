"""BERT's word pieces with BLIP's start token."""
import inspect
import os
from pathlib import Path
from typing import Any

from rscc import compat
from rscc.registry import TOKENIZERS
from rscc.text.normalisation import normalise, warn
from rscc.text.tokenizer import CaptionTokenizer

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
        self._pieces = _build(path, lower_case, with_blip=start == '[DEC]')
        self.pad_id, self.unk_id, self.eos_id, self.bos_id = self._pieces.convert_tokens_to_ids(
            ['[PAD]', '[UNK]', '[SEP]', start])
        self.vocab_size = len(self._pieces)
        self.prompt = prompt
        self.prompt_ids = tuple(self._text_to_ids(prompt)) if prompt else ()

    def _text_to_ids(self, text: str) -> list[int]:
        return self.plain_ids(normalise(text, self.language, self.lower_case))

    def plain_ids(self, text: str) -> list[int]:
        """Return the pieces of a text as it stands."""
        return self._pieces(text, add_special_tokens=False, verbose=False)['input_ids']

    def _ids_to_text(self, ids: list[int]) -> str:
        pieces = self._pieces.convert_ids_to_tokens(ids, skip_special_tokens=True)
        text = ' '.join(pieces).replace(' ##', '')
        # Pieces part "t-shaped" and "road's"; the words of the captions keep them together.
        for mark in ("'", '-'):
            text = text.replace(f' {mark} ', mark)
        return normalise(text, self.language, self.lower_case)

    def __repr__(self) -> str:
        return (f"WordPieceTokenizer({self.vocab_size} pieces, language='{self.language}', "
                f'prompt={self.prompt!r})')


def _build(path: Path, lower_case: bool, with_blip: bool) -> Any:
    """Make transformers' BERT tokenizer, with BLIP's two tokens or without."""
    module = compat.import_transformers()
    kind = module.BertTokenizer
    if 'vocab' in inspect.signature(kind.__init__).parameters:  # transformers 5
        pieces = kind(vocab=str(path), do_lower_case=lower_case)
    else:
        pieces = module.BertTokenizerFast(vocab_file=str(path), do_lower_case=lower_case)
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
    if folder.is_absolute() or name.startswith(('.', '~')) or name.count('/') > 1:
        raise FileNotFoundError(f"no folder '{name}': {_LOCAL_FOLDER_HINT}")
    return _from_hub(name)


def _from_hub(name: str) -> Path:
    """Return ``vocab.txt`` from the hub's local cache, else from the hub."""
    compat.import_transformers()  # brings huggingface_hub, and names what is missing where it fails
    from huggingface_hub import hf_hub_download
    try:
        return Path(hf_hub_download(name, _VOCABULARY, local_files_only=True))
    except Exception:  # not cached: say what happens next, a download can take its time
        warn(f"fetching the vocabulary of '{name}' from the hub")
    try:
        return Path(hf_hub_download(name, _VOCABULARY))
    except Exception as error:
        raise FileNotFoundError(
            f"the vocabulary of hub model '{name}' is neither cached nor reachable "
            f"({type(error).__name__}), and there is no such local folder; "
            f'{_LOCAL_FOLDER_HINT}') from error


def _check_specials(path: Path) -> None:
    pieces = set(path.read_text(encoding='utf-8').splitlines())
    missing = [name for name in ('[PAD]', '[UNK]', '[SEP]', '[CLS]') if name not in pieces]
    if missing:
        raise ValueError(f"'{path}' is no BERT vocabulary: it lacks {', '.join(missing)} "
                         f'({len(pieces)} lines)')
