"""Write the vocabulary of a dataset's training captions, most frequent words first.

``WordTokenizer`` and the configs that use it read the file.

Example::

    python tools/dataset_converters/vocabulary.py --dataset ucm
    python tools/dataset_converters/vocabulary.py --dataset sydney_cn --min-count 2
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.apis.command_line import add_dataset_arguments


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Write the words of a dataset's training captions.")
    add_dataset_arguments(parser)
    parser.add_argument('--min-count', type=int, default=1, metavar='N',
                        help='leave out words that occur less often (%(default)s)')
    parser.add_argument('--out', metavar='FILE', help='the .json file (default: vocab_en.json or '
                        "vocab_zh.json in the dataset's folder, where configs look for it)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Count, write, report."""
    args = parse_args(arguments)
    # Imported late: help and wrong arguments should not wait for torch.
    from rscc.apis.command_line import explained
    from rscc.datasets.word_encoding import vocabulary
    from rscc.features.extraction import build_dataset
    from rscc.utils import write_json
    with explained():
        dataset = build_dataset(args.dataset, args.data_root, args.ann_file, split='train',
                                check_images=False)
        words = vocabulary(dataset, args.min_count)
        out = args.out or Path(dataset.data_root) / dataset.VOCABULARY.format(
            language=dataset.language)
        write_json(out, words)
        print(f'{len(words)} words of {len(dataset)} training samples  {out}')


if __name__ == '__main__':
    main()
