"""What parts hand to each other: one sample, and the features between encoder, fusion and heads."""
from rscc.structures.change_data_sample import (
    ChangeDataSample,
    SampledCaption,
    ScoredCaption,
    caption_from,
)
from rscc.structures.features import ChangeFeatures, FrameFeatures
from rscc.structures.label_maps import CLASS_MAPS, LABEL_MAPS, change_maps, change_packed_maps

__all__ = ['CLASS_MAPS', 'LABEL_MAPS', 'ChangeDataSample', 'ChangeFeatures',
           'FrameFeatures', 'SampledCaption', 'ScoredCaption', 'caption_from', 'change_maps',
           'change_packed_maps']
