"""Base tests of transforms, datasets and metrics; a new class is tested in about five lines.

Subclass the tester of the kind and give it ``cfg``; attributes say what is special. Parts of models
have theirs in ``testers.py``.
"""
import copy
import fnmatch
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_data import write_fake_dataset
from mmengine.structures import PixelData
from testers import CAPTIONS, data_samples

from rscc.evaluation import metrics
from rscc.registry import DATASETS, METRICS, TRANSFORMS
from rscc.structures import ChangeDataSample, ScoredCaption


class TransformTester:
    """Subclass with ``cfg`` of a transform of frames.

    Attributes:
        moves: Whether pixels move, those of all frames and of the mask by one draw.
        alike: Whether all frames get the same draw.
        told: What becomes of the caption below; None where a sample that names a direction stays.
    """
    cfg: dict
    moves, alike = True, True
    caption, told = 'a house appears on the left', 'a house appears on the left'

    def apply(self, seed=0, **fields):
        return TRANSFORMS.build(dict(self.cfg))(self.sample(seed) | fields)

    def sample(self, seed=0, size=(16, 24)):
        """A smooth scene that tells where each pixel comes from; the mask follows it."""
        rows, columns = np.mgrid[:size[0], :size[1]]
        scene = np.dstack([rows * 8, columns * 8, rows * 4 + columns * 4]).astype(np.uint8)
        return dict(sample_id='s', rng=np.random.default_rng(seed), frames=[scene, scene.copy()],
                    gt_sem_seg=(rows * 4 + columns * 4 > 90).astype(np.uint8),
                    gt_captions=['a house appears'], language='en', gt_change_flag=False)

    def test_frames_and_mask_keep_their_kind_and_share_their_size(self):
        out = self.apply()
        for frame in out['frames']:
            assert frame.dtype == np.uint8 and frame.ndim == 3
            assert frame.shape[:2] == out['gt_sem_seg'].shape
        assert len(out['frames']) == 2 and out['gt_sem_seg'].dtype == np.uint8
        assert tuple(out.get('img_shape', out['gt_sem_seg'].shape)) == out['gt_sem_seg'].shape

    def test_all_frames_get_the_same_draw_as_declared(self):
        first, second = self.apply()['frames']
        assert np.array_equal(first, second) == self.alike

    def test_the_mask_moves_with_the_frames(self):
        out, given = self.apply(), self.sample()
        if not self.moves:
            assert np.array_equal(out['gt_sem_seg'], given['gt_sem_seg'])
            return
        mask, valid = out['gt_sem_seg'], out['gt_sem_seg'] != 255
        expected = out['frames'][0][..., 2].astype(int) > 90
        # Interpolation may disagree in a strip along the boundary, nowhere else.
        assert (expected[valid] == (mask[valid] == 1)).mean() > 0.85

    def test_the_same_generator_gives_the_same_result(self):
        one, other = self.apply(seed=3), self.apply(seed=3)
        assert all(np.array_equal(a, b)
                   for a, b in zip(one['frames'], other['frames'], strict=True))
        assert np.array_equal(one['gt_sem_seg'], other['gt_sem_seg'])

    def test_the_input_is_never_written(self):
        given = self.sample()
        for array in (*given['frames'], given['gt_sem_seg']):
            array.setflags(write=False)
        assert TRANSFORMS.build(dict(self.cfg))(given)['frames']

    def test_captions_stay_true(self):
        out, given = self.apply(gt_captions=[self.caption]), self.sample()
        if self.told is None:
            assert out['gt_captions'] == [self.caption]
            assert np.array_equal(out['frames'][0], given['frames'][0])
        else:
            assert out['gt_captions'] == [self.told]


class DatasetTester:
    """Subclass with ``cfg``, a dataset's config as in ``configs/_base_/datasets``."""
    cfg: dict
    keys = ('sample_id', )  # of every sample's metainfo
    pairs = 4  # samples written for each split
    per_split = 4  # samples found in each

    @pytest.fixture(autouse=True)
    def home(self, tmp_path, monkeypatch):
        monkeypatch.setenv('RSCC_DATA', str(tmp_path))
        self.root = write_fake_dataset(tmp_path, self.cfg, self.pairs)

    def build(self, **changes):
        pipeline = [dict(type='LoadFrames'), dict(type='PackChangeInputs')]
        return DATASETS.build(copy.deepcopy(self.cfg) | dict(pipeline=pipeline) | changes)

    @pytest.mark.parametrize('split', ['train', 'val', 'test'])
    def test_every_split_has_its_samples(self, split):
        dataset = self.build(**self.of(split))
        assert len(dataset) == self.per_split
        assert len({dataset.get_data_info(row)['sample_id'] for row in range(len(dataset))}) == (
            self.per_split)

    def of(self, split):
        return dict(split=split)

    def test_a_sample_has_frames_and_the_declared_keys(self):
        packed = self.build()[0]
        assert packed['inputs'].dtype == torch.uint8 and packed['inputs'].ndim == 4
        assert packed['inputs'].shape[1] == 3
        for key in self.keys:
            assert key in packed['data_samples'], key

    def test_a_missing_image_is_named(self):
        victim = Path(self.build().files_of(self.build().get_data_info(0))[0])
        victim.unlink()
        with pytest.raises(FileNotFoundError, match=victim.name):
            self.build()

    def test_missing_annotations_are_named(self):
        path = Path(self.build().ann_file)
        for part in path.parent.glob(path.name.replace('{part}', '*')):
            part.unlink()
        with pytest.raises(FileNotFoundError, match=path.name.split('}')[-1]):
            self.build()

    def test_a_pickled_copy_gives_the_same_samples(self):
        dataset = self.build()
        copied = pickle.loads(pickle.dumps(dataset))
        assert len(copied) == len(dataset)
        assert torch.equal(copied[1]['inputs'], dataset[1]['inputs'])


class MetricTester:
    """Subclass with ``cfg``; ``answered`` says what a scored sample must bring."""
    cfg: dict
    meta = dict(classes=('unchanged', 'building', 'road'), language='en')

    def samples(self, n=4):
        """Data samples with reference and prediction of every kind."""
        made = data_samples(n, size=(8, 8))
        for row, sample in enumerate(made):
            sample.pred_sem_seg = PixelData(data=sample.gt_sem_seg.data.roll(row, -1))
            sample.gt_captions = [CAPTIONS[row % 4], CAPTIONS[(row + 1) % 4]]
            sample.pred_caption = CAPTIONS[row % 3]
            sample.pred_captions = [ScoredCaption(sample.pred_caption, 0.0)]
            sample.pred_change_flag = bool(row % 2)
        return made

    def build(self):
        metric = METRICS.build(copy.deepcopy(self.cfg))
        metric.dataset_meta = dict(self.meta)
        return metric

    def scores(self, samples, size=None):
        metric = self.build()
        metric.process(None, samples)
        return metric.evaluate(size or len(samples))

    def test_scores_are_numbers_and_the_order_does_not_matter(self):
        scores = self.scores(self.samples())
        assert scores and all(isinstance(value, float | int) for value in scores.values())
        assert all(map(math.isfinite, scores.values())), (
            f'{scores}: a score that is not defined is left out')
        known = self.build().known_keys()
        strange = [key for key in scores if not any(fnmatch.fnmatch(key, one) for one in known)]
        assert not strange, (
            f'{strange} are not among KEYS, {known}: save_best could not wait for them')
        assert scores == self.scores(self.samples()[::-1])

    def test_two_processes_score_as_one(self, monkeypatch):
        samples, parts = self.samples(5), [self.build(), self.build()]
        parts[0].process(None, samples[::2])
        parts[1].process(None, [*samples[1::2], samples[0]])  # padded to the same length
        gathered = [part.results.copy() for part in parts]
        monkeypatch.setattr(metrics, 'all_gather_object', lambda own: gathered)
        two = parts[0].evaluate(5)
        monkeypatch.undo()
        assert two == self.scores(samples)

    def test_results_start_afresh(self):
        metric = self.build()
        for _ in range(2):
            metric.process(None, self.samples())
            scores = metric.evaluate(4)
        assert scores == self.scores(self.samples())

    def test_nothing_to_score_is_said(self, monkeypatch):
        said = []
        monkeypatch.setattr(metrics, 'warn', said.append)
        bare = [ChangeDataSample(metainfo=dict(sample_id=name)) for name in 'ab']
        assert not self.scores(bare)
        assert len(said) == 1 and '2 of 2 samples have ' in said[0]
        assert said[0].endswith('nothing is scored')
