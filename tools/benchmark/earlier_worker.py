"""One piece of work with the rscc of the working directory, again and again.

Run by ``python -c``, with a piece of work as JSON, the fields of ``tools.benchmark.earlier.Work``.
The first line on standard output is what it answers; each line on standard input is one more call,
answered by its CPU seconds, children's included. What has moved since is looked for where it stood
before.
"""
import json
import os
import resource
import sys
from collections.abc import Callable

import torch

try:
    from tools.benchmark.benchmarked_model import load_model
    from tools.benchmark.metric import evaluation, made_up_samples
    from tools.benchmark.steps import steps_in
except ImportError:  # before November 2026
    from rscc.apis.benchmark.metric_study import evaluation, made_up_samples
    from rscc.apis.benchmark.steps import steps_in
    from rscc.apis.benchmark.subject import load_subject as load_model

SCORES = ('Bleu_4', 'METEOR', 'ROUGE_L', 'CIDEr')


def scores(count: int) -> Callable[[], dict]:
    """Return a function that scores sentences on all, the changed and the unchanged pairs."""
    run = evaluation(made_up_samples(count), True)

    def call() -> dict:
        found = run()
        return {f'{part}/{name}': round(found[f'caption/{part}/{name}'], 6)
                for part in ('all', 'changed', 'unchanged') for name in SCORES
                if f'caption/{part}/{name}' in found}

    return call


def inference(config: str, count: int, tokens: int | None, options: dict) -> Callable[[], list]:
    """Return a function that answers a batch, random weights and all."""
    model = load_model(config, random_weights=True, cfg_options=options)
    if tokens:
        model.fix_sentence_length(tokens)
    network, batch = getattr(model, 'network', None) or model.model, model.batch(count)
    network.eval()

    def call() -> list:
        with torch.inference_mode():
            answers = network.test_step(batch)
        return [[int(answer.pred_sem_seg.data.sum())] if 'pred_sem_seg' in answer
                else answer.pred_caption for answer in answers]

    return call


def training(config: str, count: int, options: dict) -> Callable[[], list]:
    """Return a function that trains one step; it answers with nothing, for weights go on."""
    model = load_model(config, random_weights=True, cfg_options=options)
    step, batch = steps_in(model, ['fp32'])['fp32'], model.batch(count)

    def call() -> list:
        step.train(batch)
        return []

    return call


def spent() -> float:
    """Return CPU seconds of this process and the children it has waited for."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    """Serve until standard input ends."""
    work = json.loads(sys.argv[1])
    out, options = os.dup(1), work['options']
    os.dup2(2, 1)  # whatever is printed on the way goes with the complaints
    call = (scores(work['count']) if work['config'] is None else
            training(work['config'], work['count'], options) if work['training'] else
            inference(work['config'], work['count'], work['tokens'], options))
    os.write(out, (json.dumps(call()) + '\n').encode())
    for _ in sys.stdin:
        before = spent()
        call()
        os.write(out, (json.dumps(spent() - before) + '\n').encode())


main()
