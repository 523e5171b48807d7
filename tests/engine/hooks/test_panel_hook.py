from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import PixelData
from PIL import Image
from torch.utils.data import Dataset

from rscc.compat import prepare_torchvision
from rscc.engine.hooks import panel_hook
from rscc.engine.hooks.panel_hook import PanelHook
from rscc.structures import ChangeDataSample, SampledCaption, ScoredCaption
from rscc.visualization.panels import ChangeVisualizer

prepare_torchvision()  # MMEngine's runner imports it to report its version
PALETTE = [[0, 0, 0], [230, 60, 50]]


class Squares(Dataset):
    """Ten pairs; sample i is of grey i * 20, so that a picture tells its sample."""

    @property
    def metainfo(self):
        return {'classes': ('unchanged', 'building'), 'palette': PALETTE, 'language': 'en'}

    def __len__(self):
        return 10

    def __getitem__(self, index):
        sample = ChangeDataSample(
            metainfo={'sample_id': f'split/{index}', 'ori_shape': (32, 32), 'img_shape': (32, 32)},
            gt_sem_seg=PixelData(data=torch.zeros(1, 32, 32, dtype=torch.long)))
        sample.gt_captions = ['a house is built']
        inputs = torch.full((2, 3, 32, 32), index * 20, dtype=torch.uint8)
        return {'inputs': inputs, 'data_samples': sample}


class MarksCorner(BaseModel):

    def __init__(self, logits=None, captions=None):
        super().__init__()
        self.logits, self.captions = logits, captions

    def forward(self, inputs, data_samples, mode):
        mask = torch.zeros(1, 32, 32, dtype=torch.long)
        mask[:, :16, :16] = 1
        for sample in data_samples:
            if self.logits is not None:
                sample.seg_logits = PixelData(data=self.logits)
            sample.pred_sem_seg, sample.pred_caption = PixelData(data=mask), 'a house'
            if self.captions is not None:
                sample.pred_captions = self.captions
        return data_samples


class Nothing(BaseMetric):

    def process(self, data_batch, data_samples):
        self.results.extend(0 for _ in data_samples)

    def compute_metrics(self, results):
        return {'count': len(results)}


def run(hook, work_dir, stage, logits=None, captions=None):
    loader = {'batch_size': 4, 'num_workers': 0, 'dataset': Squares(),
              'sampler': {'type': 'DefaultSampler', 'shuffle': False},
              'collate_fn': pseudo_collate}
    visualizer = ChangeVisualizer.get_instance(
        f'panels{len(str(work_dir))}{work_dir.name}{stage}', save_dir=str(work_dir),
        vis_backends=[{'type': 'LocalVisBackend'}])
    runner = Runner(model=MarksCorner(logits, captions), work_dir=str(work_dir),
                    custom_hooks=[hook], visualizer=visualizer, log_level='ERROR',
                    default_scope='rscc', experiment_name=work_dir.name,
                    **{f'{stage}_dataloader': loader, f'{stage}_cfg': {},
                       f'{stage}_evaluator': [Nothing()]})
    getattr(runner, stage)()
    return runner


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def test_validation_draws_evenly_spaced_panels_and_the_same_again(tmp_path):
    runner = run(PanelHook(num_val=4), tmp_path, 'val')
    folder = next(tmp_path.rglob('vis_image'))
    first = names(folder)
    assert [name.split('_')[2].split('-')[0] for name in first] == ['0', '3', '6', '9']
    runner.val()
    assert names(folder) == first
    assert not list(tmp_path.rglob('masks'))


def test_validation_panel_shows_its_own_sample(tmp_path):
    run(PanelHook(num_val=4), tmp_path, 'val')
    for path in next(tmp_path.rglob('vis_image')).iterdir():
        index = int(path.name.split('_')[2].split('-')[0])
        shown = (np.asarray(Image.open(path).convert('RGB')) == index * 20).all(2).sum()
        assert shown > 256 * 256 * 2


def test_no_panels_when_asked_for_none(tmp_path):
    run(PanelHook(num_val=0), tmp_path, 'val')
    assert not list(tmp_path.rglob('*.png'))


def test_test_writes_every_mask_and_some_panels(tmp_path):
    run(PanelHook(out_dir=str(tmp_path / 'show'), num_test=3), tmp_path, 'test')
    assert len(names(tmp_path / 'show/masks')) == len(Squares())
    assert names(tmp_path / 'show/masks') == names(tmp_path / 'show/reference_masks')
    panels = names(tmp_path / 'show/panels')
    assert len(panels) == 3 and set(panels) <= set(names(tmp_path / 'show/masks'))


def test_mask_file_holds_class_numbers_in_class_colours(tmp_path):
    run(PanelHook(out_dir=str(tmp_path / 'show'), num_test=0), tmp_path, 'test')
    image = Image.open(next((tmp_path / 'show/masks').iterdir()))
    assert image.mode == 'P'
    assert np.asarray(image)[0, 0] == 1 and np.asarray(image)[20, 20] == 0
    assert image.convert('RGB').getpixel((0, 0)) == tuple(PALETTE[1])


def test_overlay_tints_the_later_image_where_something_changed(tmp_path):
    run(PanelHook(out_dir=str(tmp_path / 'show'), num_test=0), tmp_path, 'test')
    assert names(tmp_path / 'show/overlays') == names(tmp_path / 'show/masks')
    path = next((tmp_path / 'show/overlays').glob('split_3*'))
    drawn = np.asarray(Image.open(path)).astype(int)
    assert drawn.shape == (32, 32, 3) and (drawn[20:, 20:] == 60).all()
    assert (drawn[:14, :14, 0] - drawn[:14, :14, 2] > 50).all()
    assert not (tmp_path / 'show/probabilities').exists()


@pytest.mark.parametrize(('scores', 'expected'), [
    ([[2.0], [1.0], [1.0]], 2 / (2 + np.e)), ([[2.0]], 1 / (1 + np.exp(-2)))])
def test_probability_of_change_is_that_of_any_class_but_the_first(tmp_path, scores, expected):
    logits = torch.tensor(scores)[..., None].expand(-1, 32, 32)
    run(PanelHook(out_dir=str(tmp_path / 'show'), probabilities=True), tmp_path, 'test', logits)
    assert names(tmp_path / 'show/probabilities') == names(tmp_path / 'show/masks')
    values = np.asarray(Image.open(next((tmp_path / 'show/probabilities').iterdir())))
    assert values.shape == (32, 32) and np.abs(values / 65535 - expected).max() < 1e-5


@pytest.mark.parametrize(('folder', 'what', 'caption'), [
    ('attention', 'attention maps', ScoredCaption('a house', -1.0).looking(
        ['a', 'house'], torch.full((2, 2, 4, 4), 1 / 32))),
    ('denoising', 'denoising trajectories', SampledCaption.of(
        ScoredCaption('a house', -1.0), 0.5, trajectory=[(9.0, 'tree'), (1.0, 'a house')]))])
def test_what_a_sentence_brings_is_drawn_beside_each_panel(tmp_path, folder, what, caption):
    hook = PanelHook(out_dir=str(tmp_path / 'show'), num_test=3)
    run(hook, tmp_path, 'test', captions=[caption, ScoredCaption('a lake', -2.0)])
    assert names(tmp_path / 'show' / folder) == names(tmp_path / 'show/panels')
    assert hook._written[what] == 3 and sum(hook._written.values()) == 3 + 3 + 10 + 10
    # Where the model looked is kept of every sample, small, for the report.
    kept = tmp_path / 'show/evidence'
    assert (names(kept) if kept.is_dir() else []) == (
        names(tmp_path / 'show/masks') if folder == 'attention' else [])


def test_drawings_of_sentences_can_be_left_out(tmp_path):
    caption = ScoredCaption('a', -1.0).looking(['a'], torch.ones(1, 2, 4, 4) / 32)
    run(PanelHook(out_dir=str(tmp_path / 'show'), drawings=False), tmp_path, 'test',
        captions=[caption])
    assert names(tmp_path / 'show') == ['evidence', 'masks', 'overlays', 'panels',
                                        'reference_masks']


def test_plain_sentences_bring_nothing(tmp_path):
    plain = [ScoredCaption('a house', -1.0)]
    run(PanelHook(out_dir=str(tmp_path / 'show')), tmp_path, 'test', captions=plain)
    assert names(tmp_path / 'show') == ['masks', 'overlays', 'panels', 'reference_masks']


def test_probabilities_of_a_model_without_logits_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"sample 'split/0' has no seg_logits.*no change_head"):
        run(PanelHook(out_dir=str(tmp_path / 'show'), probabilities=True), tmp_path, 'test')


def test_all_panels_when_there_is_no_limit(tmp_path):
    run(PanelHook(out_dir=str(tmp_path / 'show'), num_test=None), tmp_path, 'test')
    assert len(names(tmp_path / 'show/panels')) == len(Squares())


def test_test_without_folder_writes_nothing(tmp_path):
    run(PanelHook(), tmp_path, 'test')
    assert not list(tmp_path.rglob('*.png'))


def test_other_processes_draw_no_validation_panels(monkeypatch):
    monkeypatch.setattr(panel_hook, 'is_main_process', lambda: False)
    hook = PanelHook(num_val=4)
    hook.before_val_epoch(SimpleNamespace(val_dataloader=SimpleNamespace(sampler=range(5))))
    assert hook._chosen == set()


def test_choice_counts_this_process_share_only():
    hook = PanelHook(num_val=3)
    hook.before_val_epoch(SimpleNamespace(val_dataloader=SimpleNamespace(sampler=range(5),
                                                                         dataset=range(20))))
    assert hook._chosen == {0, 2, 4}


def test_processes_share_the_panels_of_a_test(monkeypatch):
    monkeypatch.setattr(panel_hook, 'get_world_size', lambda: 4)
    hook = PanelHook(num_test=10)
    hook.before_test_epoch(SimpleNamespace(test_dataloader=SimpleNamespace(sampler=range(25))))
    assert len(hook._chosen) == 3


def test_stored_features_have_no_picture():
    hook, features = PanelHook(), torch.ones(1, 5, 8)
    batch = dict(inputs=[features, torch.zeros(2, 3, 4, 4, dtype=torch.uint8)])
    (drawn,) = hook._samples(batch, ['first', 'second'])
    assert (drawn[0], drawn[2]) == (1, 'second') and len(drawn[1]()) == 2


def test_negative_count_is_refused():
    with pytest.raises(ValueError, match='num_test=-1; expected 0 or more'):
        PanelHook(num_test=-1)


def test_a_picture_that_cannot_be_drawn_costs_nothing_else(tmp_path, monkeypatch):
    draw = panel_hook.panel_of_sample

    def fails_once(frames, sample, meta, **options):
        if sample.sample_id.endswith('3'):
            raise OSError(28, 'No space left on device')
        return draw(frames, sample, meta, **options)

    monkeypatch.setattr(panel_hook, 'panel_of_sample', fails_once)
    hook = PanelHook(out_dir=str(tmp_path / 'shown'))
    run(hook, tmp_path, 'test')
    assert len(list((tmp_path / 'shown' / 'panels').iterdir())) == 9
    assert len(list((tmp_path / 'shown' / 'masks').iterdir())) == 10
    assert len(hook.failures) == 1 and 'No space left on device' in hook.failures[0]


def test_class_maps_of_both_dates_are_written_in_their_palette(tmp_path, monkeypatch):
    semantic = dict(semantic_classes=('none', 'field', 'house'),
                    semantic_palette=[[255, 255, 255], [9, 8, 7], [1, 2, 3]])
    told = Squares.metainfo.fget
    monkeypatch.setattr(Squares, 'metainfo', property(lambda self: told(self) | semantic))
    forward = MarksCorner.forward

    def with_classes(self, inputs, data_samples, mode):
        for sample in data_samples:
            for value, field in enumerate(('pred_sem_seg_from', 'pred_sem_seg_to'), 1):
                classes = torch.full((1, 32, 32), value, dtype=torch.long)
                setattr(sample, field, PixelData(data=classes))
            sample.gt_sem_seg_from = PixelData(data=torch.zeros(1, 32, 32, dtype=torch.long))
        return forward(self, inputs, data_samples, mode)

    monkeypatch.setattr(MarksCorner, 'forward', with_classes)
    hook = PanelHook(out_dir=str(tmp_path / 'show'), num_test=2)
    run(hook, tmp_path, 'test')
    assert not hook.failures
    written = names(tmp_path / 'show/masks')
    for folder, value in (('classes_from', 1), ('classes_to', 2), ('reference_classes_from', 0)):
        assert names(tmp_path / 'show' / folder) == written
        with Image.open(tmp_path / 'show' / folder / written[0]) as image:
            assert (np.asarray(image) == value).all() and image.getpalette()[3:6] == [9, 8, 7]
    assert not (tmp_path / 'show/reference_classes_to').exists()
