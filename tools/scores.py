"""Score predicted captions again, without model, images or network.

Examples::

    python tools/scores.py work_dirs/blip_synth/predictions.json
    python tools/scores.py captions.json --references LevirCCcaptions.json --split test
    python tools/scores.py captions.txt --references LevirCCcaptions.json --per-sample table.csv
"""
import argparse
import json
from pathlib import Path

from rscc.evaluation.captions import PROTOCOLS, CaptionOptions, score_captions
from rscc.evaluation.metrics.caption_metric import write_table
from rscc.evaluation.predictions import read_predictions, read_references
from rscc.evaluation.table import format_table
from rscc.text import LANGUAGES
from rscc.utils import write_json


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('predictions', help='JSON of tools/test.py --out, a JSON object '
                        '{id: caption}, or a .txt with one caption a line by sorted file name')
    parser.add_argument('--references', metavar='JSON',
                        help='annotations in the layout of LevirCCcaptions.json; by default those '
                        'inside the predictions file')
    parser.add_argument('--split', default='test', help='split of the references (default: test)')
    parser.add_argument('--language', choices=LANGUAGES,
                        help='by default that of the predictions file, else en')
    parser.add_argument('--protocol', choices=PROTOCOLS, default='coco')
    parser.add_argument('--no-meteor', action='store_true', help='leave METEOR (Java) and Sm out')
    parser.add_argument('--constant-caption', metavar='SENTENCE',
                        help="the floors' sentence for changed samples (default: the best among "
                        'the references)')
    parser.add_argument('--per-sample', metavar='CSV', help='write the scores of every sample')
    parser.add_argument('--out', metavar='JSON', help='write the scores')
    return parser.parse_args()


def dataset_facts(path: Path) -> dict:
    """Return the dataset's metainfo from a predictions file, empty for other files."""
    if path.suffix.lower() != '.json' or not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding='utf-8'))
    except ValueError:  # read_predictions says what is wrong with it
        return {}
    facts = data.get('dataset') if isinstance(data, dict) else None
    return facts if isinstance(facts, dict) else {}


def main() -> None:
    """Score and print."""
    args = parse_args()
    facts = dataset_facts(Path(args.predictions))
    language = args.language or facts.get('language') or 'en'
    stock = tuple(facts.get('no_change_captions') or ())
    try:
        references = args.references and read_references(args.references, args.split, language,
                                                         stock)
        records = read_predictions(args.predictions, references or None)
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
    options = CaptionOptions(protocol=args.protocol, language=language, no_change_captions=stock,
                             meteor=not args.no_meteor, constant_caption=args.constant_caption)
    scores, rows = score_captions(records, options)
    print(f'{len(records)} samples, protocol {args.protocol}, language {language}\n')
    print(format_table(scores))
    if args.per_sample:
        write_table(args.per_sample, records, rows)
        print(f'\nscores of every sample: {args.per_sample}')
    if args.out:
        write_json(args.out, scores)
        print(f'scores: {args.out}')


if __name__ == '__main__':
    main()
