"""The scoring command: predicted captions scored without model or images.

``tools/scores.py`` calls it.
"""
import argparse
from collections.abc import Sequence
from pathlib import Path

from rscc.apis.command_line import output_file
from rscc.evaluation.metrics import write_table
from rscc.evaluation.predictions import read_metadata, read_predictions
from rscc.evaluation.protocols import final_stop, score_captions
from rscc.evaluation.records import (
    PROTOCOLS,
    CaptionOptions,
    CaptionRecord,
    describe_cuts,
    scoring_metadata,
)
from rscc.evaluation.references import NAMINGS, TASKS, References, read_references
from rscc.evaluation.table import format_metadata, format_table
from rscc.text import LANGUAGES
from rscc.utils import write_json

DESCRIPTION = """Score predicted captions again, without model, images or network.

Examples:

    %(prog)s work_dirs/blip_synth/predictions.json
    %(prog)s captions.json --references LevirCCcaptions.json --split test
    %(prog)s captions.txt --references LevirCCcaptions.json --per-sample table.csv
    %(prog)s sydney_cn_amht.json --references dataset_sydney_cn.json --language zh
    %(prog)s sydney_amht.json --references dataset.json --protocol clipcap_rsic
"""


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Read the command line, score and print.

    Args:
        arguments: The command line without the name of the program; None for that of the process.
        prog: Name of the program in usage and messages; None for that of the process.
    """
    parser = argparse.ArgumentParser(prog=prog, description=DESCRIPTION,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    run(parser.parse_args(arguments))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a scoring is told: predictions, references, protocol, what to write."""
    parser.add_argument('predictions', help='JSON that a test wrote (--out), a JSON object '
                        '{id: caption}, a list of {image_id, caption}, or a .txt with one caption '
                        'a line by sorted file name')
    parser.add_argument('--references', metavar='JSON',
                        help='annotation file of the dataset (Karpathy style: LevirCCcaptions.json,'
                        ' dataset_rsicd.json, ..., or COCO style; gzipped or not); by default the '
                        'references inside the predictions file')
    parser.add_argument('--split', help='split of the references (default: test, or all images of '
                        'a file without splits)')
    parser.add_argument('--language', choices=LANGUAGES,
                        help='by default that of the predictions file, else en')
    parser.add_argument('--ids', choices=NAMINGS, help='what the ids of a JSON object are: '
                        'file names, with or without ending, or imgid (default: what fits)')
    parser.add_argument('--partial', action='store_true', help='score the images that both sides '
                        'have; by default a missing or an unknown id is an error')
    parser.add_argument('--task', choices=TASKS, help='pairs with change flags or single images '
                        '(default: as the references say)')
    parser.add_argument('--protocol', choices=PROTOCOLS, default='coco',
                        help='clipcap_rsic: as the authors of CLIP-GPT computed their figures')
    parser.add_argument('--final-stop', action='store_true', help='end predictions with a full '
                        "stop, where it is missing, as the references do (for 'clipcap_rsic')")
    parser.add_argument('--no-meteor', action='store_true', help='leave METEOR (Java) and Sm out')
    parser.add_argument('--constant-caption', metavar='SENTENCE',
                        help="the baseline's sentence for changed samples (default: the best among "
                        'the references)')
    parser.add_argument('--bootstrap', type=int, default=0, metavar='N',
                        help='95 %% intervals over N resamples of the images, e.g. 1000')
    parser.add_argument('--seed', type=int, default=0, help='seed of the resamples (default: 0)')
    parser.add_argument('--per-sample', type=output_file, metavar='CSV',
                        help='write the scores of every sample')
    parser.add_argument('--out', type=output_file, metavar='JSON',
                        help='write the scores, with protocol, split, '
                        'language and tokenizer')


def add_final_stops(records: list[CaptionRecord]) -> None:
    """End the predictions as most references end."""
    ending = final_stop([text for record in records for text in record.references])
    for record in records:
        if not record.prediction.rstrip().endswith(('.', '。')):
            record.prediction = record.prediction.rstrip() + ending


def score(args: argparse.Namespace) -> tuple[list[CaptionRecord], dict, dict, list]:
    """Return records, metadata, scores and the rows of the samples."""
    known = read_metadata(args.predictions)
    dataset = known.get('dataset', {})
    language = args.language or dataset.get('language') or 'en'
    stock = tuple(dataset.get('no_change_captions') or ())
    references: References | None = None
    if args.references:
        references = read_references(args.references, args.split, language, stock,
                                     args.task or dataset.get('task'))
    records = read_predictions(args.predictions, references, args.ids, args.partial)
    if args.final_stop:
        add_final_stops(records)
    frequent = references.frequent if references else dataset.get('frequent_caption')
    options = CaptionOptions(
        protocol=args.protocol, language=language, no_change_captions=stock,
        meteor=not args.no_meteor, constant_caption=args.constant_caption,
        frequent_caption=frequent, bootstrap=args.bootstrap, seed=args.seed)
    split = references.split if references else known.get('split')
    single = all(record.changed is None for record in records)
    metadata = {'samples': len(records), **scoring_metadata(options, split, single)}
    if references:
        metadata['references'] = Path(args.references).name
    if cuts := describe_cuts(records):
        metadata['truncated'] = cuts
    scores, rows = score_captions(records, options)
    return records, metadata, scores, rows


def run(args: argparse.Namespace) -> None:
    """Score and print.

    Args:
        args: Those of :func:`add_arguments`.

    Raises:
        SystemExit: With what is wrong with the files.
    """
    try:
        records, metadata, scores, rows = score(args)
    except (OSError, ValueError, ImportError) as error:
        raise SystemExit(f'error: {error}') from error
    print(f'{format_metadata(metadata)}\n\n{format_table(scores)}')
    if args.per_sample:
        write_table(args.per_sample, records, rows, args.protocol)
        print(f'\nscores of every sample: {args.per_sample}')
    if args.out:
        write_json(args.out, {**metadata, **scores})
        print(f'scores: {args.out}')
