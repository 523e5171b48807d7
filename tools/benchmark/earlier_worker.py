"""One piece of work with the rscc of the working directory, again and again.

Run by ``python -c``, with a piece of work as JSON: the fields of ``tools.benchmark.earlier.Work``
and the precision. The first line on standard output is what it answers; each line on standard input
is one more call, answered by its CPU seconds, children's included. What has moved since is looked
for where it stood before.
"""
import json
import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, repeat

import numpy as np
import torch

import rscc.engine.precision as precision_module

try:
    from tools.benchmark.benchmarked_model import load_model
    from tools.benchmark.metric import evaluation, made_up_samples
    from tools.benchmark.steps import steps_in
except ImportError:  # before November 2026
    from rscc.apis.benchmark.metric_study import evaluation, made_up_samples
    from rscc.apis.benchmark.steps import steps_in
    from rscc.apis.benchmark.subject import load_subject as load_model

try:
    from rscc.engine.prepacking import prepare_weights
    from rscc.inference.loading import fuse_batch_norms
except ImportError as error:
    if hasattr(precision_module, 'cast_weights'):
        raise ImportError('this version prepares its weights in another way; take 3528c9e or one '
                          'that has rscc.engine.prepacking.prepare_weights') from error
    from mmcv.cnn import fuse_conv_bn as fuse_batch_norms
    prepare_weights = None  # nothing was prepared

SCORES = ('Bleu_4', 'METEOR', 'ROUGE_L', 'CIDEr')
#: A function that does the work, and what it is given, call after call.
Prepared = tuple[Callable, Iterator]


def scores(work: dict) -> Prepared:
    """Return a function that scores sentences on all, the changed and the unchanged pairs."""
    run = evaluation(made_up_samples(work['count']), True)

    def call(_: None) -> list:
        found = run()
        return [(part, name, round(found[f'caption/{part}/{name}'], 6))
                for part in ('all', 'changed', 'unchanged') for name in SCORES
                if f'caption/{part}/{name}' in found]

    return call, repeat(None)


def inference(work: dict) -> Prepared:
    """Return a function that answers a batch as ``infer.py`` does, random weights and all."""
    model = load_model(work['config'], random_weights=True, cfg_options=work['options'])
    if work['tokens']:
        model.fix_sentence_length(work['tokens'])
    network = getattr(model, 'network', None) or model.model
    network.eval()
    fuse_batch_norms(network)
    if prepare_weights is not None:
        prepare_weights(network, torch.bfloat16 if work['precision'] == 'bf16' else None)

    def call(batch: dict) -> list:
        with computing(work['precision']):
            answers = network.test_step(batch)
        return [mask_bits(answer.pred_sem_seg.data) if 'pred_sem_seg' in answer
                else answer.pred_caption for answer in answers]

    return call, batches(work, model)


def mask_bits(mask: torch.Tensor) -> str:
    """Return a map of 0 and 1 as hexadecimal digits of four pixels each."""
    return np.packbits(mask.bool().numpy()).tobytes().hex()


@contextmanager
def computing(precision: str) -> Iterator[None]:
    """Run a block as ``infer.py`` of this version answers."""
    reduced, earlier = precision == 'bf16', prepare_weights is None
    # In inference mode autocast casts again and again: the earlier version did so.
    with torch.no_grad() if reduced and not earlier else torch.inference_mode(), (
            torch.autocast('cpu', torch.bfloat16, enabled=reduced)):
        yield


def training(work: dict) -> Prepared:
    """Return a function that trains one step; it answers with nothing, for weights go on."""
    model = load_model(work['config'], random_weights=True, cfg_options=work['options'])
    precision = work['precision']
    step = steps_in(model, [precision])[precision]

    def call(batch: dict) -> list:
        step.train(batch)
        return []

    return call, batches(work, model)


def batches(work: dict, model: object) -> Iterator[dict]:
    """Yield batches: the same again and again, or other pixels and class names each time."""
    if not work['new_names']:
        return repeat(model.batch(work['count']))
    return (model.batch(work['count'], seed=seed) for seed in count())


def spent() -> float:
    """Return CPU seconds of this process and the children it has waited for."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    """Serve until standard input ends."""
    work = json.loads(sys.argv[1])
    out = os.dup(1)
    os.dup2(2, 1)  # whatever is printed on the way goes with the complaints
    prepare = scores if work['config'] is None else training if work['training'] else inference
    call, given = prepare(work)
    os.write(out, (json.dumps(call(next(given))) + '\n').encode())
    for _ in sys.stdin:
        batch = next(given)
        before = spent()
        call(batch)
        os.write(out, (json.dumps(spent() - before) + '\n').encode())


main()
