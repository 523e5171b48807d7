"""Fake weights, vocabularies and batches for models that are built offline."""
import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.structures import PixelData
from torch import nn

from rscc.config.schema import schema_of
from rscc.structures import ChangeDataSample
from rscc.synth import captions_en, captions_zh
from rscc.text.class_names import class_names
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
#: hub would send. Parts without a type go by their key.
FAKES: dict[str, dict[str, Any]] = {
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
    inputs = [torch.randint(256, (frames, 3, *size), dtype=torch.uint8, generator=draw)
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
        vocab: ``vocab.txt`` for word-piece tokenizers, which also replace byte pairs.
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
    if isinstance(node.get('pretrained'), str) or node.get('pretrained') is True:
        source = node.pop('pretrained')
        node |= _fake(kind, source)
    return node


def _fake(kind: Any, source: str) -> dict[str, Any]:
    """Return the keywords that a part needs instead of ``pretrained``."""
    if kind in FAKES:
        return dict(config=dict(FAKES[kind]))
    part = schema_of('model').find(kind)
    # The rest of such a part's config gives its shape already: without a source it is random.
    if part is not None and keywords_of(part).defaults.get('pretrained', '') is None:
        return {}
    raise ValueError(f"no fake is known for '{kind}' with pretrained='{source}': it "
                     f"is none of {', '.join(FAKES)}, nor a part that pretrained=None leaves "
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
