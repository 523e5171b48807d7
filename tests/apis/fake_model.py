"""A model without training: it marks what is brighter later and says so."""
from dataclasses import asdict, dataclass

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from torch import nn

from rscc.models.data_preprocessor import ChangeDataPreprocessor
from rscc.models.generation.options import Decoding
from rscc.registry import MODELS
from rscc.structures import SampledCaption, ScoredCaption


class SaysTheWords(nn.Module):
    """Stands in for a caption head; ``generate`` repeats its decoding options."""

    decoding = Decoding()

    def generate(self, brighter, num_captions=1, num_beams=1, return_attention=False):
        said = [[ScoredCaption(f'{"changed" if share else "same"} {num_beams} {k}', -0.1 * k)
                 for k in range(num_captions)] for share in brighter]
        return [[looks_left(caption) for caption in own] for own in said
                ] if return_attention else said


@dataclass(frozen=True)
class Draws:
    """Options of a head that diffuses."""
    num_samples: int = 2
    num_captions: int = 1
    steps: int = 4
    guidance: float = 1.0
    seed: int | None = 0
    return_trajectory: bool = False

    as_dict = asdict


class DrawsTheWords(nn.Module):
    """Stands in for a head that diffuses; its sentences agree by a quarter a sample."""

    decoding = Draws()

    def generate(self, brighter, **decoding):
        options = Draws(**self.decoding.as_dict() | decoding)
        steps = [(2.0 ** -k, f'word {k}')
                 for k in range(options.steps if options.return_trajectory else 0)]
        said = f'{options.num_samples} {options.steps} {options.guidance} {options.seed}'
        return [[SampledCaption.of(ScoredCaption(f'{said} {k}', -0.1 * k),
                                   options.num_samples / 4, options.num_samples < 2, steps,
                                   options.num_samples) for k in range(options.num_captions)]
                for _ in brighter]


def looks_left(caption, groups=2):
    """Add maps (W, groups, 2, 4) that see the first column alone."""
    words = caption.text.split()
    maps = torch.zeros(len(words), groups, 2, 4)
    maps[..., 0] = 0.5 / groups
    return caption.looking(words, maps)


@MODELS.register_module(force=True)
class BrighterIsChanged(BaseModel):
    """Predicts class 1 where the last frame is brighter than the first one plus ``margin``."""

    def __init__(self, captions=True, mask=True, flag=True, width=1, draws=False,
                 data_preprocessor=None):
        super().__init__(data_preprocessor=ChangeDataPreprocessor())
        self.margin = nn.Parameter(torch.full((width,), 0.1))
        head = DrawsTheWords if draws else SaysTheWords
        self.caption_head = head() if captions else None
        self.mask, self.flag = mask, flag
        self.change_head = self.flag_head = None

    def forward(self, inputs, data_samples, mode):
        assert not torch.is_grad_enabled() and not self.training
        return self.predict(inputs, data_samples)

    def predict(self, inputs, data_samples, **decoding):
        features = inputs[:, -1].mean(1) > inputs[:, 0].mean(1) + self.margin.mean()
        shares = [float(row.float().mean()) for row in features]
        if self.caption_head is not None:
            for sample, said in zip(data_samples, self.caption_head.generate(shares, **decoding),
                                    strict=True):
                sample.pred_captions, sample.pred_caption = said, said[0].text
        for sample, row, share in zip(data_samples, features, shares, strict=True):
            if self.mask:
                sample.pred_sem_seg = PixelData(data=nn.functional.interpolate(
                    row[None, None].float(), sample.ori_shape)[0].long())
            if self.flag:
                sample.pred_change_score = share
        return data_samples


def fake_config(size=32, task='pair', **model):
    """A config whose dataset is nowhere on disk."""
    return Config({
        'model': {'type': 'BrighterIsChanged', **model},
        'test_dataloader': {'dataset': {
            'type': 'LEVIRMCIDataset', 'data_root': '/nowhere', 'pipeline': [
                {'type': 'LoadFrames'}, {'type': 'LoadChangeMask'},
                {'type': 'FramesResize', 'size': size}, {'type': 'PackChangeInputs'}]}}})


def save_checkpoint(path, config, **meta):
    """Save what MMEngine would."""
    model = BrighterIsChanged(**{k: v for k, v in config.model.items() if k != 'type'})
    facts = {'task': 'pair', 'language': 'en', 'classes': ('unchanged', 'built'),
             'palette': [[0, 0, 0], [250, 0, 0]]}
    torch.save({'meta': {'cfg': config.pretty_text, 'dataset_meta': facts, **meta},
                'state_dict': model.state_dict()}, path)
    return path
