import numpy as np
import pytest

from rscc.registry import VISUALIZERS
from rscc.structures import ChangeDataSample
from rscc.visualization.change_visualizer import ChangeVisualizer


def sample():
    result = ChangeDataSample(metainfo={'sample_id': 'x'})
    result.pred_caption = 'a house is built'
    return result


def test_visualizer_is_registered():
    assert VISUALIZERS.get('ChangeVisualizer') is ChangeVisualizer


def test_panels_and_scalars_reach_tensorboard(tmp_path):
    pytest.importorskip('tensorboard')
    visualizer = ChangeVisualizer(vis_backends=[{'type': 'TensorboardVisBackend'}],
                                  save_dir=str(tmp_path))
    visualizer.add_datasample('val_x', [np.zeros((32, 32, 3), np.uint8)] * 2, sample(), step=7)
    visualizer.add_scalar('loss', 0.5, step=7)
    visualizer.close()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    events = EventAccumulator(str(next(tmp_path.rglob('events*')).parent)).Reload()
    assert events.Tags()['images'] == ['val_x'] and events.Images('val_x')[0].step == 7
    assert events.Scalars('loss')[0].value == 0.5


def test_panel_lands_in_the_local_folder_with_its_step(tmp_path):
    visualizer = ChangeVisualizer(vis_backends=[{'type': 'LocalVisBackend'}],
                                  save_dir=str(tmp_path))
    visualizer.add_datasample('val_x', [np.zeros((32, 32, 3), np.uint8)], sample(), step=3)
    assert [path.name for path in tmp_path.rglob('*.png')] == ['val_x_3.png']
