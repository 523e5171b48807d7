"""What parts hand to each other: one sample, and the features between encoder, fusion and heads."""
from rscc.structures.change_data_sample import (
    ChangeDataSample,
    SampledCaption,
    ScoredCaption,
    caption_from,
)
from rscc.structures.features import ChangeFeatures, FrameFeatures

__all__ = ['ChangeDataSample', 'ChangeFeatures', 'FrameFeatures',
           'SampledCaption', 'ScoredCaption', 'caption_from']
