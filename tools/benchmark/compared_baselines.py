"""Scores of an answer that looks at no image, which models of a comparison stand beside."""
from collections.abc import Sequence

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData

from rscc.config.files import existing_config
from rscc.registry import DATASETS, METRICS
from rscc.structures import ChangeDataSample, ScoredCaption


def baseline_scores(configs: Sequence[str]) -> dict[str, float]:
    """Return what "everything has changed" with one constant sentence scores on the test split.

    The sentence is the best one on the changed pairs, as in ``CaptionMetric``. Scores of captions
    are there if any config scores captions, those of the change map likewise.

    Args:
        configs: Files or names; all answer the same test split.

    Returns:
        Of ``caption/changed/CIDEr``, ``caption/flag_accuracy`` and ``change/F1_changed``.
    """
    found: dict[str, float] = {}
    for kind, wanted in (
            ('CaptionMetric', {'baseline/changed/CIDEr': 'caption/changed/CIDEr',
                               'caption/flag_accuracy': 'caption/flag_accuracy'}),
            ('ChangeMetric', {'change/F1_changed': 'change/F1_changed'})):
        scores = _scored(configs, kind)
        found |= {told: scores[key] for key, told in wanted.items() if key in scores}
    return found


def _scored(configs: Sequence[str], kind: str) -> dict[str, float]:
    """Score the constant answer by the first metric of a kind that a config has."""
    for config in configs:
        cfg = Config.fromfile(existing_config(config))
        metrics = cfg.test_evaluator
        for described in metrics if isinstance(metrics, list) else [metrics]:
            if described.type == kind:
                return _score(cfg, described.to_dict())
    return {}


def _score(cfg: Config, described: dict) -> dict[str, float]:
    """Score the constant answer on the test split of a config."""
    if described['type'] == 'CaptionMetric':
        described |= dict(meteor=False, baselines=True)
    with DefaultScope.overwrite_default_scope('rscc'):
        dataset = DATASETS.build(cfg.test_dataloader.dataset.to_dict())
        metric = METRICS.build(described)
    metric.dataset_meta = dataset.metainfo
    samples = [dataset[row]['data_samples'] for row in range(len(dataset))]
    told = next((sample.gt_captions[0] for sample in samples if sample.get('gt_change_flag')
                 and sample.get('gt_captions')), '')
    for sample in samples:
        _answer(sample, told)
        metric.process(None, [sample])
    return metric.evaluate(len(samples))


def _answer(sample: ChangeDataSample, told: str) -> None:
    """Say of a sample that everything has changed, in a map and in a sentence."""
    if sample.get('gt_sem_seg') is not None:
        sample.pred_sem_seg = PixelData(data=torch.ones_like(sample.gt_sem_seg.data))
    sample.pred_caption = told
    sample.pred_captions = [ScoredCaption(told, 0.0)]
