r"""Have a local language model judge predicted captions: faithful, complete, specific, reversible.

Examples::

    python tools/judge.py work_dirs/blip_synth/predictions.json --model models/judge
    python tools/judge.py predictions.json --model models/judge --language zh --repeats 5 \
        --device cuda --dtype bfloat16 --limit 200 --out judged.json

Files are those of ``tools/test.py --out``, or of any other form that ``tools/scores.py`` reads,
with ``--references``. Answers are kept in a file of lines beside ``--out``;
the same command continues an interrupted run. docs/en/evaluation.md says what is asked.
"""
import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rscc.apis.command_line import described, output_file
from rscc.utils import counted


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=described(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('predictions', help='JSON that a test wrote (--out)')
    parser.add_argument('--model', required=True, metavar='FOLDER', help='any instruction-tuned '
                        'causal language model of transformers: a folder, or a name in the cache')
    parser.add_argument('--references', metavar='JSON', help='annotation file of the dataset, for '
                        'files that hold captions only')
    parser.add_argument('--split', help='split of the references (default: test)')
    parser.add_argument('--language', choices=('en', 'zh'), help='of captions and questions '
                        '(default: that of the predictions file, else en)')
    parser.add_argument('--repeats', type=int, default=3, metavar='N',
                        help='how often everything is asked, references in another order each time '
                        '(%(default)s)')
    parser.add_argument('--limit', type=int, metavar='N',
                        help='captions, evenly spread over the file; all by default')
    parser.add_argument('--all', action='store_true',
                        help='judge unchanged pairs too, not changed pairs and single images alone')
    parser.add_argument('--device', default='cpu', help='cpu, cuda or cuda:N (%(default)s)')
    parser.add_argument('--dtype', choices=('float32', 'bfloat16', 'float16'), default='float32',
                        help='of the weights (%(default)s)')
    parser.add_argument('--out', type=output_file, metavar='JSON',
                        help='summary (<predictions>_judged.json); the '
                        'answers are in the .jsonl beside it')
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask, and print mean and spread."""
    args = parse_args(arguments)
    for name in ('repeats', 'limit'):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise SystemExit(f'error: --{name} {getattr(args, name)} must be at least 1')
    # Imported late: help and wrong arguments should not wait for torch.
    import torch

    from rscc.evaluation.predictions import read_metadata, read_predictions
    from rscc.evaluation.references import read_references
    from rscc.inference.judge import Judge, judge, summary
    from rscc.utils import write_json
    path = Path(args.predictions)
    out = Path(args.out or path.with_name(f'{path.stem}_judged.json'))
    try:
        known = read_metadata(path).get('dataset') or {}
        language = args.language or known.get('language') or 'en'
        stock = tuple(known.get('no_change_captions') or ())
        references = read_references(args.references, args.split, language, stock) if (
            args.references) else None
        records = [record for record in read_predictions(path, references)
                   if args.all or record.changed is not False]
        if args.limit and args.limit < len(records):
            records = [records[place * len(records) // args.limit] for place in range(args.limit)]
        asked = Judge(args.model, args.device, getattr(torch, args.dtype))
        answers = judge(asked, records, out.with_suffix('.jsonl'), language, args.repeats,
                        lambda done, total: print(f'\r{done} of {total} answers', end='',
                                                  flush=True))
    except (OSError, ValueError, ImportError) as error:
        raise SystemExit(f'error: {error}') from error
    scores = summary(answers)
    write_json(out, {'judge': args.model, 'language': language, 'predictions': str(path),
                     'questions': scores})
    print(f'\njudge {args.model}, {counted(len(records), "caption")} (0 to 1)')
    for question, found in scores.items():
        spread = f' +- {found["spread"]:.3f}' if 'spread' in found else ''
        print(f'{question:12}{found["mean"]:.3f}{spread}   '
              f'({counted(found["samples"], "caption")}, {found["repeats"]} times)')
    print(f'written: {out}, {out.with_suffix(".jsonl")}')


if __name__ == '__main__':
    main()
