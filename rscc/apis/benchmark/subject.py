"""The model of a config, ready to be measured: built offline if need be, fed with made-up pairs."""
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from torch import nn

from rscc.apis.launch import existing_config
from rscc.datasets.synth import captions_en, captions_zh
from rscc.registry import DATASETS, MODELS
from rscc.structures import ChangeDataSample
from rscc.utils import resolve_data_file
from rscc.utils.check_config import check_config

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
#: What stands in for weights of a hub: parts of the same shape as BLIP-base, drawn at random.
STAND_INS: dict[str, dict[str, Any]] = {
    'BlipViT': dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                    num_attention_heads=12, image_size=384, patch_size=16),
    'BlipCaptionHead': dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                            num_attention_heads=12, max_position_embeddings=512),
}
BERT_PIECES = 30522  # BLIP appends [DEC] and [ENC]


@dataclass
class Subject:
    """A model under measurement.

    Attributes:
        name: Of its config, without the ending.
        model: On its device.
        cfg: The config it was built from.
        dates: Frames per sample, 1 or 2.
        size: Height and width of the frames in pixels.
        device: ``'cpu'`` or ``'cuda[:i]'``.
    """
    name: str
    model: nn.Module
    cfg: Config
    dates: int
    size: tuple[int, int]
    device: str

    @property
    def parameters(self) -> tuple[int, int]:
        """Number of weights, and of those that are trained."""
        every = list(self.model.parameters())
        return (sum(weight.numel() for weight in every),
                sum(weight.numel() for weight in every if weight.requires_grad))

    @property
    def held_bytes(self) -> int:
        """Bytes of weights and buffers."""
        tensors = [*self.model.parameters(), *self.model.buffers()]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def batch(self, batch_size: int = 1, captions: int = 1, seed: int = 0) -> dict[str, Any]:
        """Return a batch as the dataloader would give it: noise, with every target.

        Args:
            batch_size: Samples; every second one changed.
            captions: Target sentences per sample, 1 to 5.
            seed: Of the noise.
        """
        draw = torch.Generator().manual_seed(seed)
        shape = (self.dates, 3, *self.size)
        frames = [torch.randint(256, shape, dtype=torch.uint8, generator=draw)
                  for _ in range(batch_size)]
        return dict(inputs=frames, data_samples=[self._sample(row, captions)
                                                 for row in range(batch_size)])

    def _sample(self, row: int, captions: int) -> ChangeDataSample:
        sample = ChangeDataSample(metainfo=dict(sample_id=f'noise_{row}', ori_shape=self.size,
                                                img_shape=self.size))
        tokenizer = getattr(getattr(self.model, 'caption_head', None), 'tokenizer', None)
        sentences = CAPTIONS[getattr(tokenizer, 'language', 'en')]
        # One sentence after the other, so that a batch holds short and long ones.
        sample.target_captions = [sentences[(row + i) % len(sentences)] for i in range(captions)]
        sample.gt_captions = list(sentences)
        changed = row % 2 == 0
        if self.dates == 2:
            sample.gt_change_flag = changed
        if getattr(self.model, 'change_head', None) is not None:
            mask = torch.zeros(1, *self.size, dtype=torch.long)
            mask[:, :self.size[0] // 4, :self.size[1] // 4] = int(changed)
            sample.gt_sem_seg = PixelData(data=mask)
        return sample

    def fix_sentence_length(self, tokens: int) -> None:
        """Make every generated sentence ``tokens`` long: random weights would never end one."""
        head = getattr(self.model, 'caption_head', None)
        if head is not None:
            head.decoding = head.decoding.updated(dict(min_tokens=tokens, max_tokens=tokens))


def load_subject(config: str, *, size: int | None = None, device: str = 'cpu',
                 random_weights: bool = False, vocab: str | None = None,
                 cfg_options: Mapping[str, Any] | None = None) -> Subject:
    """Build the model of a config.

    Args:
        config: Path of the config.
        size: Side of the frames in pixels; that of the config's frame cache, else 256, by default.
        device: Where the model goes.
        random_weights: Replace hub weights by random ones of BLIP-base's shape, and vocabularies
            that are not there by stand-ins, so that nothing is downloaded.
        vocab: BERT's ``vocab.txt`` for ``random_weights``; made up by default.
        cfg_options: Overrides.

    Raises:
        FileNotFoundError: If the config or a vocabulary does not exist.
        ValueError: If the config has mistakes, ``size`` is not positive, or there is no stand-in
            for something pretrained.
    """
    if size is not None and size < 1:
        raise ValueError(f'size is a positive number of pixels, found {size}')
    if vocab is not None and not Path(vocab).is_file():
        raise FileNotFoundError(f"no vocabulary at '{vocab}': expected BERT's vocab.txt, one piece "
                                'a line')
    cfg = Config.fromfile(existing_config(config))
    cfg.merge_from_dict(dict(cfg_options or {}))
    init_default_scope(cfg.get('default_scope', 'rscc'))
    dates, side = _dates(cfg), size or _side(cfg)
    with _vocabulary(vocab) as pieces:
        if random_weights:
            cfg.model = replace_pretrained(cfg.model.to_dict(), pieces)
        check_config(cfg, stages=())
        torch.manual_seed(0)
        model = MODELS.build(cfg.model).to(device)
    return Subject(Path(config).stem, model, cfg, dates, (side, side), device)


def replace_pretrained(node: Any, vocab: Path | str) -> Any:
    """Return a copy of a model config that needs nothing from a hub and no data folder.

    Args:
        node: The config, or any part of it.
        vocab: ``vocab.txt`` for word-piece tokenizers.

    Raises:
        ValueError: If something pretrained has no stand-in.
    """
    if isinstance(node, list | tuple):
        return type(node)(replace_pretrained(item, vocab) for item in node)
    if not isinstance(node, Mapping):
        return node
    node = {key: replace_pretrained(value, vocab) for key, value in node.items()}
    kind, source = node.get('type'), node.get('pretrained')
    words = node.get('vocab_file')
    if kind == 'WordPieceTokenizer':
        return {key: value for key, value in node.items() if key != 'pretrained'} | dict(
            vocab_file=str(vocab))
    if kind == 'WordTokenizer' and words and not resolve_data_file(words).is_file():
        del node['vocab_file']
        grammar = captions_zh if node.get('language') == 'zh' else captions_en
        node['words'] = list(grammar.VOCABULARY)
    if isinstance(source, str):
        if kind not in STAND_INS:
            raise ValueError(f"no random stand-in is known for '{kind}' with pretrained="
                             f"'{source}' (known: {', '.join(STAND_INS)}): measure it without "
                             '--random-weights, with its weights in a local folder')
        del node['pretrained']
        node['config'] = dict(STAND_INS[kind])
    return node


def _dates(cfg: Config) -> int:
    """Return how many frames a sample of the config's training data has."""
    dataset = cfg.get('train_dataloader', {}).get('dataset', {})
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    kind = DATASETS.get(dataset['type']) if dataset.get('type') else None
    task = getattr(kind, 'METAINFO', {}).get('task')
    if task is None:
        task = 'single' if cfg.model.get('fusion', {}).get('type') == 'SingleFrame' else 'pair'
    return 1 if task == 'single' else 2


def _side(cfg: Config) -> int:
    cache = cfg.get('train_dataloader', {}).get('dataset', {}).get('cache') or {}
    return (cache.get('size') or (256, 256))[0]


@contextmanager
def _vocabulary(given: str | None) -> Iterator[Path]:
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
