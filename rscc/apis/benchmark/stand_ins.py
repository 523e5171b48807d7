"""Random weights and made-up vocabularies in the place of what a config would download."""
import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rscc.apis.benchmark.samples import CAPTIONS
from rscc.datasets.synth import captions_en, captions_zh
from rscc.utils import resolve_data_file
from rscc.utils.config_registries import place_of
from rscc.utils.notes import say_once
from rscc.utils.signatures import keywords_of

#: What stands in for weights of a hub: parts of the same shape as BLIP-base or
#: GPT-2 small, drawn at random. Parts without a type go by their key.
STAND_INS: dict[str, dict[str, Any]] = {
    'BlipViT': dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                    num_attention_heads=12, image_size=384, patch_size=16),
    'BlipCaptionHead': dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                            num_attention_heads=12, max_position_embeddings=512),
    'language_model': dict(model_type='gpt2', n_layer=12, n_embd=768, n_head=12, n_positions=1024,
                           vocab_size=50257),
}
BERT_PIECES = 30522  # BLIP appends [DEC] and [ENC]
#: Ids of LEVIR-CC's longest caption, for heads that take it from a file which is not there.
LONGEST_CAPTION = 41


def replace_pretrained(node: Any, vocab: Path | str, key: str | None = None) -> Any:
    """Return a copy of a model config that needs nothing from a hub and no data folder.

    Args:
        node: The config, or any part of it.
        vocab: ``vocab.txt`` for word-piece tokenizers, which also stand in for byte pairs.
        key: Under which the part stands.

    Raises:
        ValueError: If something pretrained has no stand-in.
    """
    if isinstance(node, list | tuple):
        return type(node)(replace_pretrained(item, vocab) for item in node)
    if not isinstance(node, Mapping):
        return node
    node = {name: replace_pretrained(value, vocab, name) for name, value in node.items()}
    kind, words = node.get('type', key), node.get('vocab_file')
    if kind == 'CLIPPrompts':
        say_once('made-up samples bring their class names: the time that CLIP takes to find some '
                 'is not measured with random weights', logging.WARNING)
        return dict(type='StoredPrompts')
    if kind == 'WordPieceTokenizer':
        return {key: value for key, value in node.items() if key != 'pretrained'} | dict(
            vocab_file=str(vocab))
    if kind == 'BytePairTokenizer':
        return dict(type='WordPieceTokenizer', vocab_file=str(vocab), start='[CLS]',
                    language=node.get('language', 'en'))
    if kind == 'WordTokenizer' and words and not resolve_data_file(words).is_file():
        del node['vocab_file']
        grammar = captions_zh if node.get('language') == 'zh' else captions_en
        node['words'] = list(grammar.VOCABULARY)
    if kind == 'KarrasCaptionHead' and 'words' in node.get('tokenizer', {}):
        # Made-up words do not say how long the captions are that they come from.
        node['max_tokens'] = node.get('max_tokens') or LONGEST_CAPTION - 2
    if isinstance(node.get('pretrained'), str):
        source = node.pop('pretrained')
        node |= _stand_in(kind, source)
    return node


def _stand_in(kind: Any, source: str) -> dict[str, Any]:
    """Return what a part needs instead of ``pretrained``."""
    if kind in STAND_INS:
        return dict(config=dict(STAND_INS[kind]))
    part = place_of('model').find(kind)
    # The rest of such a part's config gives its shape already: without a source it is random.
    if part is not None and keywords_of(part).defaults.get('pretrained', '') is None:
        return {}
    raise ValueError(f"no random stand-in is known for '{kind}' with pretrained='{source}': it "
                     f"is none of {', '.join(STAND_INS)}, nor a part that pretrained=None leaves "
                     'random; measure it without --random-weights, with its weights in a local '
                     'folder')


@contextmanager
def vocabulary(given: str | None) -> Iterator[Path]:
    """Yield ``given``, or a made-up vocabulary of BERT's size that lives as long as the block."""
    if given is not None:
        yield Path(given)
        return
    with tempfile.TemporaryDirectory(prefix='rscc-vocabulary-') as folder:
        path = Path(folder) / 'vocab.txt'
        path.write_text('\n'.join(made_up_pieces()) + '\n', encoding='utf-8')
        yield path


def made_up_pieces() -> list[str]:
    """Return as many word pieces as BERT has: its specials, the words used here, numbered ones."""
    words = {word for sentences in CAPTIONS.values() for text in sentences for word in text.split()}
    signs = {sign for sentences in CAPTIONS.values() for text in sentences for sign in text}
    known = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *sorted(words | signs - {' '})]
    return known + [f'piece{number}' for number in range(BERT_PIECES - len(known))]
