"""GPT-2's byte pairs."""
import os
from pathlib import Path
from typing import Any

from rscc import compat
from rscc.registry import TOKENIZERS
from rscc.text.normalisation import normalise
from rscc.text.tokenizer import CaptionTokenizer
from rscc.utils import resolve_data_file

#: What a character turns into whose bytes are not all there.
_BROKEN = '\N{REPLACEMENT CHARACTER}'


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
        self._pairs = _from_files(*map(Path, files)) if files else _from_name(str(pretrained))
        if self._pairs.eos_token_id is None:
            raise ValueError(f"the tokenizer of '{pretrained}' has no end token: captions would "
                             "never stop; take the language model's own tokenizer")
        self.lower_case, self.ending = lower_case, ending
        self.eos_id = self.bos_id = self.unk_id = self.pad_id = self._pairs.eos_token_id
        self.vocab_size = len(self._pairs)

    @property
    def start_ids(self) -> list[int]:
        """Nothing: the prefix, or whatever else comes before, is the start."""
        return []

    def plain_ids(self, text: str) -> list[int]:
        """Return the ids of a text as it stands; ``<|endoftext|>`` in it is text like any other."""
        return self._pairs(text, add_special_tokens=False, split_special_tokens=True,
                           verbose=False)['input_ids']

    def _text_to_ids(self, text: str) -> list[int]:
        text = normalise(text, self.language, self.lower_case)
        return self.plain_ids(text + self.ending) if text else []

    def _cut(self, body: list[int], room: int) -> list[int]:
        """Return what fits, without the first bytes of a character that does not."""
        kept = body[:room]
        while kept and self._pairs.decode(kept).endswith(_BROKEN):
            kept.pop()
        return kept or body[:room]

    def _ids_to_text(self, ids: list[int]) -> str:
        text = self._pairs.decode(ids, clean_up_tokenization_spaces=False)
        return normalise(text.replace(_BROKEN, ''), self.language, self.lower_case)

    def __repr__(self) -> str:
        return (f"BytePairTokenizer({self.vocab_size} ids, language='{self.language}', "
                f'ending={self.ending!r})')


def _from_files(vocab: Path, merges: Path) -> Any:
    """Make GPT-2's tokenizer from its two files."""
    vocab, merges = resolve_data_file(vocab), resolve_data_file(merges)
    for path, what in ((vocab, 'vocabulary (vocab.json or encoder.json)'),
                       (merges, 'merges (merges.txt or vocab.bpe)')):
        if not path.is_file():
            raise FileNotFoundError(f"GPT-2's {what} not found at '{path}'; both files come with "
                                    'every GPT-2 model')
    kind = compat.import_transformers().GPT2Tokenizer
    try:
        return kind(vocab=str(vocab), merges=str(merges))
    except Exception as error:  # the tokenizers library raises plain exceptions
        raise ValueError(f"'{vocab}' and '{merges}' are not a byte-pair vocabulary and its merges "
                         f'({error})') from error


def _from_name(name: str) -> Any:
    """Load the tokenizer of a model from a folder, the hub's local cache, or the hub."""
    auto = compat.import_transformers().AutoTokenizer
    try:
        return auto.from_pretrained(name)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(' .:')
        raise FileNotFoundError(
            f"no tokenizer at '{name}' ({reason}): give a folder with tokenizer.json, or with "
            'vocab.json and merges.txt, or these two files as vocab_file and merges_file, which '
            'works offline') from error
