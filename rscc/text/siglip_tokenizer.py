"""SigLIP's tokenizer of prompts: SentencePiece, read from the folder of the weights."""
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from rscc import compat
from rscc.registry import TOKENIZERS
from rscc.text.subword_tokenizers import PromptTokenizer
from rscc.utils import require

_MODEL = 'spiece.model'


@TOKENIZERS.register_module()
class SiglipTokenizer(PromptTokenizer):
    """SentencePiece tokens of SigLIP (Zhai et al., ICCV 2023) for prompts, through transformers.

    A text is lower-cased and loses its punctuation, as SigLIP was trained. Its end token also fills
    up the positions after it. Nothing is ever cut: half a prompt is another prompt.

    Args:
        pretrained: Folder with ``spiece.model``, or a file in it; ``'git-rsclip'`` is the folder
            that the variable RSCC_GIT_RSCLIP of the environment names.
        context_length: Most tokens of a text, the end included. 51 leave room for 13 contexts among
            SigLIP's 64 positions.

    Attributes:
        eos_id, pad_id: The end token's id.
        vocab_size: Number of ids.
        family: Whose text encoders read these ids.

    Raises:
        FileNotFoundError: If there is no such folder, or no tokenizer in it.
        ImportError: If sentencepiece is not installed.
    """
    family = 'siglip'

    def __init__(self, pretrained: str | os.PathLike, context_length: int = 64) -> None:
        self._pieces = _sentence_pieces(_folder(str(pretrained)))
        self.context_length = context_length
        self.eos_id = self.pad_id = self._pieces.eos_token_id
        self.vocab_size = self._pieces.vocab_size

    def token_ids(self, text: str) -> list[int]:
        """Return words and end token."""
        return self._pieces(text, verbose=False)['input_ids']

    def __repr__(self) -> str:
        return f'SiglipTokenizer({self.vocab_size} pieces, context_length={self.context_length})'


def _folder(name: str) -> Path:
    """Return the folder behind a path or a name such as ``'git-rsclip'``."""
    variable = f"RSCC_{name.upper().replace('-', '_')}"
    path = Path(name).expanduser()
    if not path.exists() and os.environ.get(variable):
        path = Path(os.environ[variable]).expanduser()
    if not path.exists():
        raise FileNotFoundError(
            f"no SigLIP tokenizer at '{path}': expected the folder of its weights with {_MODEL}. "
            f"For 'git-rsclip': hf download lcybuaa/Git-RSCLIP --local-dir DIR, then export "
            'RSCC_GIT_RSCLIP=DIR')
    return path if path.is_dir() else path.parent


@lru_cache(maxsize=8)
def _sentence_pieces(folder: Path) -> Any:
    """Make transformers' tokenizer of a folder."""
    if not (folder / _MODEL).is_file():
        there = sorted(path.name for path in folder.iterdir())
        raise FileNotFoundError(f"folder '{folder}' has no {_MODEL}, SigLIP's tokenizer (found: "
                                f"{', '.join(there[:8]) or 'nothing'}): fetch the whole folder")
    for package in ('sentencepiece', 'google.protobuf'):
        require(package, "SigLIP's tokenizer")
    kind = compat.import_transformers('models.siglip').SiglipTokenizer
    try:
        return kind.from_pretrained(folder)
    except Exception as error:  # sentencepiece raises plain exceptions
        raise ValueError(f"'{folder / _MODEL}' is no SentencePiece model ({error})") from error
