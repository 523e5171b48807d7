"""Fake weights, vocabularies and batches for models that are built offline."""
import json
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.structures import PixelData
from torch import nn

from rscc.config.schema import schema_of
from rscc.registry import TOKENIZERS
from rscc.structures import ChangeDataSample
from rscc.synth import captions_en, captions_zh
from rscc.text.class_names import class_names
from rscc.text.pretrained_tokenizer import train_byte_pairs
from rscc.utils import resolve_data_file
from rscc.utils.logging import warn_once
from rscc.utils.signatures import keywords_of

#: Sentences of the length and manner of LEVIR-CC's changed captions (11 words on average).
CAPTIONS = {
    'en': ['many houses are built along both sides of the new road',
           'a row of villas with gardens appears on the bare land',
           'some trees are removed and a road is built in the middle of the scene',
           'two buildings appear at the top of the scene',
           'the forest has been replaced by a residential area with roads'],
    'zh': ['道路两侧新建了许多房屋', '空地上出现了一排带花园的别墅',
           '树木被清除，中间修建了一条道路', '场景上方出现了两栋建筑', '森林变成了有道路的住宅区'],
}
#: Class names of one date, as many as ChangeCLIP's files give.
NAMES_A_DATE = 9
#: Shapes of fake weights: those of BLIP-base and GPT-2 small, drawn at random in place of what a
#: hub would send. Parts without a type go by their key, and what is not found in ``NAMED`` is
#: taken for these.
FAKES: dict[str, dict[str, Any]] = {
    'BlipViT': dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                    num_attention_heads=12, image_size=384, patch_size=16),
    'BlipCaptionHead': dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                            num_attention_heads=12, max_position_embeddings=512),
    'language_model': dict(model_type='gpt2', n_layer=12, n_embd=768, n_head=12, n_positions=1024,
                           vocab_size=50257),
}
#: The same for parts that are published in several shapes, by a word of the source's name.
NAMED: dict[str, dict[str, dict[str, Any]]] = {
    'language_model': {
        'qwen2.5-0.5b': dict(
            model_type='qwen2', hidden_size=896, intermediate_size=4864, num_hidden_layers=24,
            num_attention_heads=14, num_key_value_heads=2, max_position_embeddings=32768,
            tie_word_embeddings=True, vocab_size=151936),
        'smollm2-135m': dict(
            model_type='llama', hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
            num_attention_heads=9, num_key_value_heads=3, max_position_embeddings=8192,
            tie_word_embeddings=True, vocab_size=49152)},
    'TransformersBackbone': {
        'swin-tiny': dict(
            model_type='swin', embed_dim=96, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24],
            window_size=7),
        'swin-base': dict(
            model_type='swin', embed_dim=128, depths=[2, 2, 18, 2], num_heads=[4, 8, 16, 32],
            window_size=12)},
}
#: Tokens of Qwen2.5, and of a small tokenizer that is made of a dataset's captions.
QWEN_TOKENS, OWN_TOKENS = 151665, 600
BERT_PIECES = 30522  # BLIP appends [DEC] and [ENC]
#: Ids of LEVIR-CC's longest caption, for heads that take it from a file which is not there.
LONGEST_CAPTION = 41


def noise_batch(model: nn.Module, frames: int, size: tuple[int, int], batch_size: int = 1,
                captions: int = 1, seed: int = 0) -> dict[str, Any]:
    """Return a batch as the dataloader would give it: noise, with every target of the model.

    Args:
        model: A ``ChangeInterpreter``.
        frames: Per sample: 2 of a pair, 1 of a single image.
        size: Height and width of the frames in pixels.
        batch_size: Samples; every second one changed.
        captions: Target sentences per sample, 1 to 5.
        seed: Of the noise and of the class names.
    """
    draw = torch.Generator().manual_seed(seed)
    bands = model.encoder.bands
    inputs = [torch.randint(256, (frames, bands, *size), dtype=torch.uint8, generator=draw)
              for _ in range(batch_size)]
    samples = [_sample(model, frames, size, row, captions) for row in range(batch_size)]
    if model.prompter is not None:
        for sample in samples:
            sample.prompts = [_names(draw) for _ in range(frames)]
    return dict(inputs=inputs, data_samples=samples)


def _sample(model: nn.Module, frames: int, size: tuple[int, int], row: int, captions: int
            ) -> ChangeDataSample:
    sample = ChangeDataSample(metainfo=dict(sample_id=f'noise_{row}', ori_shape=size,
                                            img_shape=size))
    head = model.caption_head
    if head is not None:
        sentences = CAPTIONS[getattr(head.tokenizer, 'language', 'en')]
        # One sentence after the other, so that a batch holds short and long ones.
        sample.target_captions = [sentences[(row + i) % len(sentences)] for i in range(captions)]
        sample.gt_captions = list(sentences)
    changed = row % 2 == 0
    if frames == 2:
        sample.gt_change_flag = changed
    if model.change_head is not None:
        mask = torch.zeros(1, *size, dtype=torch.long)
        mask[:, :size[0] // 4, :size[1] // 4] = int(changed)
        sample.gt_sem_seg = PixelData(data=mask)
    return sample


def _names(draw: torch.Generator) -> list[str]:
    """Return class names of one date, in an order of their own: few strings ever come twice."""
    names = class_names('remote_sensing_56')
    chosen = torch.randperm(len(names), generator=draw)[:NAMES_A_DATE]
    return [names[row] for row in chosen.tolist()]


def replace_pretrained(node: Any, vocab: Path | str, key: str | None = None) -> Any:
    """Return a copy of a model config that needs nothing from a hub and no data folder.

    Args:
        node: The config, or any part of it.
        vocab: ``vocab.txt`` for word-piece tokenizers, which also replace GPT-2's byte pairs.
        key: Under which the part stands.

    Raises:
        ValueError: If there is no fake for something pretrained.
    """
    if isinstance(node, list | tuple):
        return type(node)(replace_pretrained(item, vocab) for item in node)
    if not isinstance(node, Mapping):
        return node
    node = {name: replace_pretrained(value, vocab, name) for name, value in node.items()}
    kind, words = node.get('type', key), node.get('vocab_file')
    if kind == 'CLIPPrompts':
        warn_once('made-up samples bring their class names: the time that CLIP takes to find some '
                  'is not measured with random weights', logging.WARNING)
        return dict(type='StoredPrompts')
    if kind == 'WordPieceTokenizer':
        return {key: value for key, value in node.items() if key != 'pretrained'} | dict(
            vocab_file=str(vocab))
    if kind == 'SiglipTokenizer':
        return dict(type='NumberedWords', context_length=node.get('context_length', 64))
    if kind == 'BytePairTokenizer':
        return dict(type='WordPieceTokenizer', vocab_file=str(vocab), start='[CLS]',
                    language=node.get('language', 'en'))
    if kind == 'PretrainedTokenizer':
        count = OWN_TOKENS if node.pop('pretrained', None) is None else QWEN_TOKENS
        node.pop('tokenizer_file', None)
        return node | dict(words=made_up_tokens(count), chat_template=False)
    if kind == 'WordTokenizer' and words and not resolve_data_file(words).is_file():
        del node['vocab_file']
        node |= _grammar_words(node.get('language', 'en'))
    if kind == 'KarrasCaptionHead' and 'words' in node.get('tokenizer', {}):
        # Made-up words do not say how long the captions are that they come from.
        node['max_tokens'] = node.get('max_tokens') or LONGEST_CAPTION - 2
    if isinstance(node.get('pretrained'), str) or node.get('pretrained') is True:
        source = str(node.pop('pretrained'))
        node |= _fake(kind, source)
    return node


def _grammar_words(language: str) -> dict[str, Any]:
    """Return a tokenizer of the words that the built-in dataset's sentences are made of."""
    grammar = captions_zh if language == 'zh' else captions_en
    return dict(type='WordTokenizer', words=list(grammar.VOCABULARY), language=language)


def pretrained_sources(node: Any) -> list[str]:
    """Return the names of the weights that a config takes from elsewhere, each once, in order.

    Of a file or folder of one machine it is the last part of its path.
    """
    if isinstance(node, list | tuple):
        found = [name for item in node for name in pretrained_sources(item)]
    elif isinstance(node, Mapping):
        own = node.get('pretrained')
        init = node.get('init_cfg')
        if isinstance(init, Mapping) and init.get('type') == 'Pretrained':
            own = init.get('checkpoint')
        # A timm model whose own weights are asked for by True.
        own = node.get('model') if own is True else own
        found = [Path(own).name if Path(own).is_absolute() else own] if own else []
        found += [name for item in node.values() for name in pretrained_sources(item)]
    else:
        found = []
    return list(dict.fromkeys(found))


def _fake(kind: Any, source: str) -> dict[str, Any]:
    """Return the keywords that a part needs instead of ``pretrained``."""
    known = NAMED.get(kind, {})
    for name, shape in known.items():
        if name in source.lower():
            return dict(config=dict(shape))
    if kind in FAKES:
        if known and 'gpt2' not in source.lower():
            warn_once(f"no shape is known for '{source}': it is measured as GPT-2 small",
                      logging.WARNING)
        return dict(config=dict(FAKES[kind]))
    part = schema_of('model').find(kind)
    # The rest of such a part's config gives its shape already: without a source it is random.
    free = part is not None and keywords_of(part).defaults.get('pretrained', '') is None
    if free and not known:
        return {}
    raise ValueError(f"no fake is known for '{kind}' with pretrained='{source}': it is none of "
                     f'{", ".join([*known, *FAKES])}, nor a part that pretrained=None leaves '
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


def made_up_tokens(count: int) -> list[str]:
    """Return the lines of a ``tokenizer.json`` of ``count`` entries, most of which say nothing."""
    sentences = [text for texts in CAPTIONS.values() for text in texts]
    made = json.loads(train_byte_pairs(sentences, OWN_TOKENS))
    vocab = made['model']['vocab']
    vocab |= {f'token{number}': number for number in range(len(vocab), count)}
    return json.dumps(made, ensure_ascii=False).split('\n')


def made_up_pieces() -> list[str]:
    """Return as many word pieces as BERT has: its specials, the words used here, numbered ones."""
    words = {word for sentences in CAPTIONS.values() for text in sentences for word in text.split()}
    signs = {sign for sentences in CAPTIONS.values() for text in sentences for sign in text}
    known = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *sorted(words | signs - {' '})]
    return known + [f'piece{number}' for number in range(BERT_PIECES - len(known))]


@TOKENIZERS.register_module()
class NumberedWords:
    """Made-up stand-in for a SentencePiece model of prompts: every word a number of its own.

    Args:
        context_length: Most tokens of a text, the end included.
        vocab_size: Number of ids, SigLIP's by default.
        family: Whose text encoders take the ids.
    """

    def __init__(self, context_length: int = 64, vocab_size: int = 32000,
                 family: str = 'siglip') -> None:
        self.context_length, self.vocab_size, self.family = context_length, vocab_size, family
        self.eos_id = self.pad_id = 1

    def encode(self, text: str) -> list[int]:
        """Return a number for each word, at most ``context_length - 1`` of them, and the end."""
        ids = [2 + sum(word.encode()) % (self.vocab_size - 2) for word in text.split()]
        return [*ids[:self.context_length - 1], self.eos_id]

    def batch_encode(self, texts: Sequence[str]) -> torch.Tensor:
        """Return the ids of B texts, (B, context_length) int64, filled up with the end."""
        rows = [self.encode(text) for text in texts]
        return torch.tensor([row + [self.pad_id] * (self.context_length - len(row))
                             for row in rows])
