"""The distil command: a captioner writes the sentences that another one learns from.

``tools/dataset_converters/distil_captions.py`` has examples.
"""
import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from rscc.apis.command_line import add_shared_arguments, explained, output_file

if TYPE_CHECKING:
    from mmengine.config import Config

    from rscc.engine.runner import Runner


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Read the command line, then write the sentences.

    Args:
        arguments: The command line without the name of the program; None for that of the process.
        prog: Name of the program in usage and messages; None for that of the process.
    """
    parser = argparse.ArgumentParser(
        prog=prog, description="Write a captioner's sentences for a split of its dataset.")
    parser.add_argument('config', help='config file or name of the teacher')
    parser.add_argument('checkpoint', help='its checkpoint')
    parser.add_argument('--split', default='train', help='split to describe (%(default)s)')
    parser.add_argument('--num', type=int, default=5, metavar='N',
                        help='different sentences of each sample, at most (%(default)s)')
    parser.add_argument('--out', type=output_file, metavar='FILE.json',
                        help="the file (in the dataset's folder: captions_<config>_<split>.json)")
    parser.add_argument('--closest', action='store_true',
                        help="put the sentence first that is most like people's of the same "
                             'sample, not the one that the teacher finds likeliest')
    parser.add_argument('--weights', action='store_true',
                        help='also keep its weights beside the sentences, as '
                             'teacher_<config>.safetensors, for a student that starts from them')
    add_shared_arguments(parser)
    run(parser.parse_args(arguments))


def run(args: argparse.Namespace) -> None:
    """Describe a split as the config of the teacher says.

    Args:
        args: Those of :func:`main`.

    Raises:
        SystemExit: With what is wrong with the arguments, the config or the data.
    """
    if args.num < 1:
        raise SystemExit(f'error: --num {args.num}: expected 1 or more')
    # Imported late: help and wrong arguments should not wait for torch.
    from rscc.apis.launch import (
        build_runner,
        check_all,
        load_config,
        unsplit,
    )
    from rscc.engine.distributed import leave_process_group
    cfg = load_config(args, stages=('test', ), checkpoint=args.checkpoint)
    with explained():
        describe_split(cfg, args.split, args.num, args.checkpoint, args.out,
                       'closest' if args.closest else 'likeliest')
        if args.check:
            check_all(cfg, ('test', ), start=False)
            return
        unsplit(cfg)
        cfg.load_from, cfg.resume = args.checkpoint, False
        runner = build_runner(cfg)
        out = _place_beside_data(runner)
        runner.test()
    # A name alone is looked for in the folder of the dataset.
    name = out if args.out else out.name
    print(f"written: {out}\nA student reads it by teacher_captions='{name}' of its training "
          'dataset and PickTeacherCaptions in the pipeline.')
    if args.weights:
        print(f'written: {_keep_weights(cfg, args.checkpoint, out.parent)}')
    del runner  # it holds the processes' group
    leave_process_group()


def describe_split(cfg: 'Config', split: str, num: int, checkpoint: str,
                   out: str | None = None, order: str = 'likeliest') -> None:
    """Turn a config's test into a description of another split.

    Args:
        cfg: The teacher's config, changed in place.
        split: Which split is described.
        num: Sentences of each sample; the search gets as many beams, or draws.
        checkpoint: For the record.
        out: The file; None names it after teacher and split, in the dataset's folder.
        order: Which sentence is the best, see ``TeacherCaptionDump``.

    Raises:
        ValueError: If the model writes no sentences, or the test has no single dataset.
    """
    from rscc.config.schema import Schema
    head, dataset = (cfg.get('model') or {}).get('caption_head'), cfg.test_dataloader.dataset
    if not head:
        raise ValueError(f"'{cfg.filename}' has no model.caption_head: it writes no sentences to "
                         'learn from')
    if 'datasets' in dataset:
        raise ValueError(f"'{cfg.filename}' is tested on a {dataset.get('type')} of several "
                         'datasets: write one file for each, with the config of one')
    decoding = {**(head.get('decoding') or {}), 'num_captions': num}
    kind = Schema('MODELS').find(head.type)
    known = {field.name for field in fields(kind.NESTED_OPTIONS['decoding'])}
    for name in known & {'num_beams', 'num_samples'}:
        decoding[name] = max(num, decoding.get(name, 1))
    head.decoding = decoding
    dataset.split = split
    teacher = Path(cfg.filename).stem
    # An absolute path stays what it is when it is put behind the dataset's folder.
    path = Path(out).absolute() if out else Path(f'captions_{teacher}_{split}.json')
    cfg.test_evaluator = [dict(type='TeacherCaptionDump', out_file=str(path), num=num, order=order,
                               teacher=dict(config=teacher, checkpoint=Path(checkpoint).name))]


def _keep_weights(cfg: 'Config', checkpoint: str, folder: Path) -> Path:
    """Write the teacher's weights alone into a folder, and return the file."""
    from rscc.engine.checkpoint import read_checkpoint, with_metadata, write_published
    path = folder / f'teacher_{Path(cfg.filename).stem}.safetensors'
    state = with_metadata(read_checkpoint(checkpoint))['state_dict']
    write_published(path, state, cfg.pretty_text, {})
    return path


def _place_beside_data(runner: 'Runner') -> Path:
    """Return the file of the sentences, a name alone being in the folder of the dataset."""
    metric, = runner.test_evaluator.metrics
    metric.out_file = Path(runner.test_dataloader.dataset.data_root, metric.out_file)
    return metric.out_file
