"""Panels for TensorBoard, Weights & Biases and local folders, by MMEngine's backends."""
from collections.abc import Sequence

import numpy as np
from mmengine.dist import master_only
from mmengine.structures import BaseDataElement
from mmengine.visualization import Visualizer

from rscc.registry import VISUALIZERS
from rscc.visualization.panels import panel_of_sample


@VISUALIZERS.register_module()
class ChangeVisualizer(Visualizer):
    """MMEngine's visualizer that draws samples of change detection and captioning.

    Scalars reach the same backends from MMEngine's ``LoggerHook``.

    Example:
        ``visualizer = dict(type='ChangeVisualizer', vis_backends=[dict(type='LocalVisBackend'),
        dict(type='TensorboardVisBackend')])``
    """

    @master_only
    def add_datasample(self,
                       name: str,
                       frames: Sequence[np.ndarray],
                       data_sample: BaseDataElement,
                       step: int = 0) -> None:
        """Draw one sample and send the picture to every backend.

        Args:
            name: The picture's name in the backends; no slashes, local files are named by it.
            frames: uint8 RGB images (H, W, 3), earliest first.
            data_sample: References and predictions, a ``ChangeDataSample``.
            step: Training iteration or epoch.
        """
        self.add_image(name, panel_of_sample(frames, data_sample, self.dataset_meta), step=step)
