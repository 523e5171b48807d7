"""Made-up samples with every target that a model asks for: nothing is read from a disk."""
from typing import Any

import torch
from mmengine.structures import PixelData
from torch import nn

from rscc.structures import ChangeDataSample
from rscc.text.class_names import class_names

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


def noise_batch(model: nn.Module, dates: int, size: tuple[int, int], batch_size: int = 1,
                captions: int = 1, seed: int = 0) -> dict[str, Any]:
    """Return a batch as the dataloader would give it: noise, with every target of the model.

    Args:
        model: Has a ``caption_head``, a ``change_head``, a ``prompter`` or not.
        dates: Frames per sample, 1 or 2.
        size: Height and width of the frames in pixels.
        batch_size: Samples; every second one changed.
        captions: Target sentences per sample, 1 to 5.
        seed: Of the noise and of the class names.
    """
    draw = torch.Generator().manual_seed(seed)
    frames = [torch.randint(256, (dates, 3, *size), dtype=torch.uint8, generator=draw)
              for _ in range(batch_size)]
    samples = [_sample(model, dates, size, row, captions) for row in range(batch_size)]
    if getattr(model, 'prompter', None) is not None:
        for sample in samples:
            sample.prompts = [_names(draw) for _ in range(dates)]
    return dict(inputs=frames, data_samples=samples)


def _sample(model: nn.Module, dates: int, size: tuple[int, int], row: int, captions: int
            ) -> ChangeDataSample:
    sample = ChangeDataSample(metainfo=dict(sample_id=f'noise_{row}', ori_shape=size,
                                            img_shape=size))
    head = getattr(model, 'caption_head', None)
    if head is not None:
        sentences = CAPTIONS[getattr(head.tokenizer, 'language', 'en')]
        # One sentence after the other, so that a batch holds short and long ones.
        sample.target_captions = [sentences[(row + i) % len(sentences)] for i in range(captions)]
        sample.gt_captions = list(sentences)
    changed = row % 2 == 0
    if dates == 2:
        sample.gt_change_flag = changed
    if getattr(model, 'change_head', None) is not None:
        mask = torch.zeros(1, *size, dtype=torch.long)
        mask[:, :size[0] // 4, :size[1] // 4] = int(changed)
        sample.gt_sem_seg = PixelData(data=mask)
    return sample


def _names(draw: torch.Generator) -> list[str]:
    """Return class names of one date, in an order of their own: few strings ever come twice."""
    names = class_names('remote_sensing_56')
    chosen = torch.randperm(len(names), generator=draw)[:NAMES_A_DATE]
    return [names[row] for row in chosen.tolist()]
