"""Tokenizers of today's language models, read from their ``tokenizer.json``.

The file holds the whole tokenizer: how a text is split, its vocabulary, and how tokens are joined
again. What a language model is told around a sentence (a prompt, the turns of a chat) stands here,
too, because it consists of the same tokens.
"""
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rscc import compat
from rscc.registry import TOKENIZERS
from rscc.text.detokenizer import BROKEN, Detokenizer
from rscc.text.normalisation import normalise
from rscc.text.subword_tokenizers import cut_between_characters, entries_of
from rscc.text.tokenizer import CaptionTokenizer
from rscc.utils import did_you_mean, read_json, resolve_data_file

FILE = 'tokenizer.json'
_REMEDY = (f'give a folder with {FILE} (hf download NAME --local-dir DIR fills one), or the file '
           'itself as tokenizer_file')
_IMAGE, _ANSWER = '\ue000', '\ue001'  # characters of no script: places in a rendered chat
_CONTROL = re.compile(r'<.+>|\[[A-Z_]+\]')


@TOKENIZERS.register_module()
class PretrainedTokenizer(CaptionTokenizer):
    """Tokenizer of any language model that comes with a ``tokenizer.json``: Qwen, SmolLM, Llama.

    Which token ends a caption: ``end`` where it is given; of a chat, what its template writes after
    an answer (``<|im_end|>``); else the end token that the tokenizer names (``<|endoftext|>`` of
    Qwen2.5-0.5B, ``<|im_end|>`` of its Instruct version); of a lone file its only special token.
    Batches are filled up with its padding token, or with the end token under a mask. All other
    special tokens are never written.

    Around the image the language model reads, as embeddings, ``lead_ids``, the prefix that stands
    for the image, ``prompt_ids``, and then the caption:

    ========  ===================================  ===========================================
    chat      before the image                     after the image
    ========  ===================================  ===========================================
    off       the start token, of models whose     the prompt
              tokenizer puts one (Llama), or
              nothing
    on        the template up to what the user     the rest of the user's turn, a line break and
              says: system text, user's mark       the prompt, and the mark of the answer
    ========  ===================================  ===========================================

    Args:
        pretrained: Hub name, or folder with ``tokenizer.json`` and what belongs to it.
        tokenizer_file: In its place, a lone ``tokenizer.json`` of any name, such as
            ``tools/dataset_converters/vocabulary.py --byte-pairs`` writes; a relative path is
            looked up in the folder of all datasets, too.
        words: In its place, the lines of such a file, which :meth:`vocabulary` returns, so that a
            checkpoint can carry them.
        language: ``'en'`` or ``'zh'``.
        lower_case: Lower the case of sentences.
        prompt: Text between image and caption, in any language, as it stands. It is neither learned
            nor returned. An English caption after a prompt starts with a blank.
        chat_template: Render the tokenizer's own template around image and prompt, for models that
            were tuned to chat. Off by default: others have never seen one.
        end: The token that ends a caption, ``'<|im_end|>'`` for instance.

    Attributes:
        lead_ids: Ids before the image.

    Raises:
        FileNotFoundError: If there is no such file, folder or model within reach.
        ValueError: If none or several sources are given, the file is damaged, nobody says which
            token ends a caption, or there is no chat template.
    """

    def __init__(self, pretrained: str | os.PathLike | None = None,
                 tokenizer_file: str | os.PathLike | None = None,
                 words: Sequence[str] | None = None, language: str = 'en',
                 lower_case: bool = True, prompt: str | None = None, chat_template: bool = False,
                 end: str | None = None) -> None:
        super().__init__(language)
        given = {name: value for name, value in dict(
            pretrained=pretrained, tokenizer_file=tokenizer_file, words=words).items()
            if value is not None}
        if len(given) != 1:
            raise ValueError('PretrainedTokenizer takes one of pretrained, tokenizer_file and '
                             f"words, and got {', '.join(given) or 'none'}")
        self.name = str(pretrained or tokenizer_file or 'words')
        self._lines = None if words is None else list(words)
        if pretrained is not None:
            self._tokens = _of_model(self.name)
        else:
            if words is None:
                self._lines = _lines_of_file(self.name)
            self._tokens = _of_lines(self._lines, self.name)
        self.lower_case, self.prompt, self.chat_template = lower_case, prompt, chat_template

        # What stands around the image, and the blank between a prompt and an English word.
        self._blank = ''
        if chat_template:
            before, after, turn_end = self._rendered(prompt)
            self.lead_ids, self.prompt_ids = tuple(self._marked(before)), tuple(self._marked(after))
        else:
            turn_end = None
            self.lead_ids, self.prompt_ids = tuple(self._leading()), ()
            if prompt:
                self.prompt_ids = tuple(self.plain_ids(prompt.rstrip(' ')))
                self._blank = self._blank_after(prompt)

        # Special tokens: which ends a caption, which fills up; the others are only kept out.
        self.eos_id = self._end(end, turn_end)
        told = [getattr(self._tokens, f'{kind}_token_id') for kind in ('pad', 'bos', 'unk')]
        self.pad_id, self.bos_id, self.unk_id = (
            self.eos_id if number is None else number for number in told)
        numbers = set(self._tokens.get_vocab().values())
        self.vocab_size = max(numbers) + 1
        gaps = frozenset(range(self.vocab_size)) - numbers
        self._special_ids = frozenset(self._special_names().values()) | gaps | {
            self.eos_id, self.pad_id, self.bos_id, self.unk_id}

    def _special_names(self) -> dict[str, int]:
        """Return the special tokens and their ids, those that look like one included."""
        return {token.content: number
                for number, token in self._tokens.added_tokens_decoder.items()
                if token.special or _CONTROL.fullmatch(token.content)}

    def _end(self, wish: str | None, turn_end: str | None) -> int:
        """Return the id that ends captions: the user's, the chat's, or the tokenizer's."""
        specials = self._special_names()
        wish = wish or turn_end or self._tokens.eos_token
        if wish is None and len(specials) == 1:
            wish = next(iter(specials))
        found = ', '.join(specials) or 'none'
        if wish is None:
            raise ValueError(f"the tokenizer '{self.name}' does not say which token ends a text "
                             f"(special tokens: {found}): name it with end='...', as the language "
                             "model's page does")
        number = self._tokens.get_vocab().get(wish)
        if number is None:
            raise ValueError(f"the tokenizer '{self.name}' has no token end='{wish}'."
                             f'{did_you_mean(wish, specials)} Special tokens: {found}')
        return number

    def _leading(self) -> list[int]:
        """Return the ids that the tokenizer itself puts before every text, Llama's ``<s>``."""
        word, plain = (self._tokens('a', add_special_tokens=marked)['input_ids']
                       for marked in (True, False))
        start = next((place for place in range(len(word))
                      if word[place:place + len(plain)] == plain), 0)
        return word[:start]

    def _blank_after(self, prompt: str) -> str:
        """Return the blank of an English caption after a prompt; SentencePiece puts its own."""
        written = self._tokens.convert_ids_to_tokens(self.plain_ids('a'))
        own = written[0].startswith('\N{LOWER ONE EIGHTH BLOCK}')  # how it writes a blank
        return ' ' if self.language == 'en' and not own and not prompt.endswith('\n') else ''

    def _rendered(self, prompt: str | None) -> tuple[str, str, str | None]:
        """Render the chat: the text before the image, the text after it, and the end of answers."""
        if not self._tokens.chat_template:
            raise ValueError(f"the tokenizer '{self.name}' has no chat template: set "
                             'chat_template=False, or take a model that was tuned to chat')
        said = _IMAGE + (f'\n{prompt}' if prompt else '')
        turns = [dict(role='user', content=said)]
        render = self._tokens.apply_chat_template
        # Models that think aloud are told not to.
        text = render(turns, tokenize=False, add_generation_prompt=True, enable_thinking=False)
        before, _, after = text.partition(_IMAGE)
        answered = render([*turns, dict(role='assistant', content=_ANSWER)], tokenize=False,
                          enable_thinking=False)
        rest = self._tokens.convert_ids_to_tokens(self._marked(answered.partition(_ANSWER)[2]))
        turn_end = rest[0] if rest and rest[0] in self._special_names() else None
        return before, after, turn_end

    def _marked(self, text: str) -> list[int]:
        """Return the ids of a text in which special tokens are meant as such."""
        return self._tokens(text, add_special_tokens=False)['input_ids']

    @property
    def start_ids(self) -> list[int]:
        """Ids at the start of every encoded caption: the prompt, for the image comes before."""
        return list(self.prompt_ids)

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids of all special tokens, and those that no token has."""
        return self._special_ids

    def plain_ids(self, text: str) -> list[int]:
        """Return the ids of a text as it stands; ``<|endoftext|>`` in it is text like any other."""
        return self._tokens(text, add_special_tokens=False, split_special_tokens=True,
                            verbose=False)['input_ids']

    def _text_to_ids(self, text: str) -> list[int]:
        text = normalise(text, self.language, self.lower_case)
        return self.plain_ids(self._blank + text) if text else []

    def _cut(self, body: list[int], room: int) -> list[int]:
        return cut_between_characters(self._tokens, body, room)

    def _ids_to_text(self, ids: list[int]) -> str:
        text = self._tokens.decode(ids, clean_up_tokenization_spaces=False)
        return normalise(text.replace(BROKEN, ''), self.language, self.lower_case)

    def vocabulary(self) -> list[str] | None:
        """Return the lines of a lone file; ``words=`` accepts them. A model's is found by name."""
        return self._lines

    def detokenizer(self) -> Detokenizer | None:
        """Return the byte pairs with the rules that join them; None of tokens of another kind."""
        decoder = json.loads(self._tokens.backend_tokenizer.to_str()).get('decoder') or {}
        if decoder.get('type') != 'ByteLevel':
            return None
        return self._detokenizer('bytes', entries_of(self._tokens, self.vocab_size),
                                 self.lower_case)

    def __repr__(self) -> str:
        return (f"PretrainedTokenizer('{self.name}', {self.vocab_size} ids, "
                f"language='{self.language}', prompt={self.prompt!r}, "
                f'chat_template={self.chat_template})')


def _lines_of_file(name: str) -> list[str]:
    """Read a lone ``tokenizer.json``."""
    path = resolve_data_file(name)
    if not path.is_file():
        raise FileNotFoundError(f"no tokenizer at '{path}': {_REMEDY}; python tools/"
                                'dataset_converters/vocabulary.py --byte-pairs N makes one of the '
                                'captions of a dataset')
    # One entry a line, so that a message about two files that differ names the entry.
    return json.dumps(read_json(path), ensure_ascii=False, indent=0).split('\n')


def _of_lines(lines: Sequence[str], name: str) -> Any:
    """Make the tokenizer of the lines of a ``tokenizer.json``."""
    def load(kind: Any) -> Any:
        from tokenizers import Tokenizer
        return kind(tokenizer_object=Tokenizer.from_str('\n'.join(lines)))

    return _fast(load, name)


def _of_model(name: str) -> Any:
    """Read the tokenizer of a folder, of the hub's local cache, or of the hub."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / FILE).is_file():
            found = ', '.join(sorted(os.listdir(folder))[:8]) or 'nothing'
            raise FileNotFoundError(
                f"folder '{name}' has no {FILE} (found: {found}): {_REMEDY}. vocab.json with "
                'merges.txt is for BytePairTokenizer, vocab.txt for WordPieceTokenizer')
        return _fast(lambda kind: kind.from_pretrained(folder), name)
    compat.refuse_absent_folder(name, _REMEDY)
    within_reach = compat.hub_in_reach()
    try:
        return compat.import_transformers().PreTrainedTokenizerFast.from_pretrained(name)
    except Exception as error:  # the tokenizers library raises plain exceptions
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(' .:')
        raise FileNotFoundError(
            f"no tokenizer '{name}': {reason if within_reach else compat.out_of_reach(name)}; "
            f'{_REMEDY}') from error


def _fast(load: Any, name: str) -> Any:
    """Load a tokenizer file that is there."""
    try:
        return load(compat.import_transformers().PreTrainedTokenizerFast)
    except Exception as error:  # the tokenizers library raises plain exceptions
        reason = str(error).strip().splitlines()[0][:200]
        raise ValueError(f"'{name}' is no {FILE} of the tokenizers library, or a damaged one "
                         f'({reason}): download or make it again') from error


def train_byte_pairs(sentences: Sequence[str], size: int) -> str:
    """Make a tokenizer of byte pairs from sentences, those seen most often first.

    Args:
        sentences: To learn from, normalised.
        size: Most entries: 256 bytes, the end token ``<|endoftext|>``, and pairs.

    Returns:
        The text of a ``tokenizer.json``.

    Raises:
        ValueError: If ``size`` leaves no room for a pair.
    """
    compat.import_transformers()  # brings the library, and names what is missing where it fails
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    if size <= len(letters) + 1:
        raise ValueError(f'{size} byte pairs: {len(letters)} entries are the bytes and one is the '
                         f'end token, so use at least {len(letters) + 2} (600 suits a small set)')
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(sentences, trainers.BpeTrainer(
        vocab_size=size, special_tokens=['<|endoftext|>'], initial_alphabet=letters,
        show_progress=False))
    return made.to_str()
