"""No sample counted twice, whatever the number of processes."""
import os
import subprocess
import sys

import pytest

from rscc.evaluation.metrics import sample_metric as module
from rscc.evaluation.metrics.sample_metric import SampleMetric


class CountMetric(SampleMetric):

    def record(self, sample):
        return None if sample.get('skip') else dict(value=sample['value'])

    def compute_metrics(self, results):
        return {'n': len(results), 'sum': sum(result['value'] for result in results)}


def sample(i, **more):
    return dict(sample_id=f's{i}', value=i, **more)


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(module, 'warn', lines.append)
    return lines


def test_samples_padded_on_two_ranks_count_once(monkeypatch, said):
    metric = CountMetric()
    metric.process(None, [sample(0), sample(2), sample(4)])
    # Rank 1 was padded with sample 0 again, and its part is longer than its share.
    other = [dict(sample_id=f's{i}', value=i) for i in (1, 3, 0, 1)]
    monkeypatch.setattr(module, 'all_gather_object', lambda own: [own, other])
    assert metric.evaluate(size=5) == {'n': 5, 'sum': 10}
    assert said == []


def test_the_result_does_not_depend_on_arrival_order():
    seen = []
    for order in ((0, 1, 2), (2, 0, 1)):
        metric = CountMetric()
        metric.compute_metrics = lambda results: seen.append(results) or {}
        metric.process(None, [sample(i) for i in order])
        metric.evaluate(3)
    assert seen[0] == seen[1]


def test_a_wrong_number_of_samples_is_told(said):
    metric = CountMetric()
    metric.process(None, [sample(0), sample(0), sample(1)])
    assert metric.evaluate(size=3) == {'n': 2, 'sum': 1}
    assert said == ['CountMetric: the dataset has 3 samples, and 2 different sample_ids arrived '
                    '(3 with repetitions). The scores are of these 2.']


def test_nothing_to_score_is_told_once_and_is_no_crash(said):
    metric = CountMetric()
    metric.process(None, [sample(0, skip=True), sample(1, skip=True)])
    assert metric.evaluate(size=2)['n'] == 0
    assert said == ['CountMetric: 2 of 2 samples have nothing to score; nothing is scored']


def test_results_start_afresh_after_each_evaluation():
    metric = CountMetric(prefix='val')
    for _ in range(2):
        metric.process(None, [sample(3)])
        assert metric.evaluate(1) == {'val/n': 1, 'val/sum': 3}


def test_a_sample_without_name_is_refused():
    with pytest.raises(KeyError, match=r"CountMetric needs 'sample_id' in the metainfo"):
        CountMetric().process(None, [dict(value=1)])


TWO_RANKS = """
import pathlib, sys
import torch.distributed as dist
from rscc.evaluation.metrics.caption_metric import CaptionMetric
dist.init_process_group("gloo")
rank = dist.get_rank()
same = ["there is no difference", "the scene is the same as before"]
def sample(i):
    changed = i % 2 == 0
    return dict(sample_id=f"s{i}", pred_caption="a house is built" if changed else same[1],
                gt_captions=["a house is built", "a road"] if changed else same,
                gt_change_flag=changed)
metric = CaptionMetric(meteor=False)
mine = [(0, 2, 4), (1, 3, 0)][rank]  # 5 samples on 2 ranks: sample 0 is the padding
metric.process(None, [sample(i) for i in mine])
scores = metric.evaluate(5)
from rscc.evaluation.protocols import CaptionOptions, CaptionRecord, score_captions
from rscc.evaluation.metrics.caption_metric import caption_record
records = [CaptionRecord(f"s{i}", **caption_record(sample(i))) for i in range(5)]
assert scores == score_captions(records, CaptionOptions(meteor=False))[0], (rank, scores)
dist.destroy_process_group()
# A file each: what two processes print to one pipe may interleave.
pathlib.Path(sys.argv[1], f"equal_on_rank_{rank}").touch()
"""


@pytest.mark.slow
def test_two_gloo_processes_give_the_scores_of_one(tmp_path, repo):
    (tmp_path / 'run.py').write_text(TWO_RANKS)
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(repo)}
    done = subprocess.run(
        [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2', '--master_port=0',
         '--rdzv_backend=c10d', '--rdzv_endpoint=localhost:0', str(tmp_path / 'run.py'),
         str(tmp_path)],
        cwd=repo, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(file.name for file in tmp_path.glob('equal_on_rank_*')) == [
        'equal_on_rank_0', 'equal_on_rank_1']
