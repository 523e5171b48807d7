"""Size, operations and answering speed of one trained model, as a process of its own.

python -m tools.benchmark.compared_facts CONFIG CHECKPOINT OUT.json
"""
import statistics
import sys
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from torch.utils.data import Subset

from rscc.inference.loading import load_model
from rscc.registry import DATASETS
from rscc.utils import write_json
from tools.benchmark.benchmarked_model import BenchmarkedModel, read_plan
from tools.benchmark.counting import gflop
from tools.benchmark.machine import peak_growth
from tools.benchmark.timing import timed

BATCH, ROUNDS = 16, 3


def facts(config: str, checkpoint: str) -> dict[str, Any]:
    """Return what a model costs.

    Args:
        config: Config file of its training.
        checkpoint: Its weights.

    Returns:
        ``parameters`` and ``trained`` (counts), ``gflop`` (a sample's forward pass with all heads
        and one sentence), ``answered_per_s`` (test pairs a second in batches, preparation and
        search included: the median of a few rounds) and ``answer_bytes`` (growth of memory
        meanwhile; None where the system does not tell).
    """
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    plan = read_plan(config)
    network = load_model(config, checkpoint, torch.device(device), fuse_conv_bn=False).model
    model = BenchmarkedModel(plan.name, network, plan.cfg, plan.frames, (plan.side, plan.side),
                             device)
    every, trained = model.parameters
    with DefaultScope.overwrite_default_scope('rscc'):
        described = plan.cfg.test_dataloader.dataset.to_dict() | dict(indices=BATCH)
        dataset = DATASETS.build(described)
    pairs = Subset(dataset, range(min(BATCH, len(dataset))))

    def answer() -> None:
        with torch.inference_mode():
            network.test_step(pseudo_collate([pairs[index] for index in range(len(pairs))]))

    answer()  # caches and kernels that are made once
    seconds = [timed(answer, device)[0] for _ in range(ROUNDS)]
    return dict(parameters=every, trained=trained, gflop=gflop(model, max(2, plan.least_batch)),
                answered_per_s=len(pairs) / statistics.median(seconds),
                answer_bytes=peak_growth(answer, device))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the model that the command line names."""
    config, checkpoint, out = sys.argv[1:] if arguments is None else arguments
    write_json(out, facts(config, checkpoint))


if __name__ == '__main__':
    main()
