"""The commands that write what training reads: built-in dataset, path lists, vocabularies.

``tools/dataset_converters/synth.py``, ``tools/dataset_converters/vocabulary.py`` and
``tools/general/write_path.py`` call them.
"""
import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rscc.apis.command_line import add_dataset_arguments, explained, output_file, output_folder
from rscc.utils import counted
from rscc.utils.paths import PathList, find_pairs, hold_out, write_path_list

if TYPE_CHECKING:
    from rscc.datasets.base import ChangeDataset


def synth(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Make the built-in dataset and say what was done.

    Args:
        arguments: The command line without the name of the program; None for that of the process.
        prog: Name of the program in usage and messages; None for that of the process.
    """
    parser = argparse.ArgumentParser(prog=prog, description='Make the built-in dataset: rendered '
                                     'pairs with change masks, English and Chinese captions.')
    parser.add_argument('--out', type=output_folder, required=True, help='folder of the dataset')
    parser.add_argument('--train', type=int, default=2000, help='training pairs (%(default)s)')
    parser.add_argument('--val', type=int, default=300, help='validation pairs (%(default)s)')
    parser.add_argument('--test', type=int, default=300, help='test pairs (%(default)s)')
    parser.add_argument('--seed', type=int, default=0,
                        help='the same seed gives the same bytes (%(default)s)')
    parser.add_argument('--bands', type=int, default=3, choices=(3, 4, 10), help='3: RGB pictures; '
                        '4: blue, green, red and near infrared, 10: the bands of 10 and 20 m of '
                        'Sentinel-2, both as TIFFs of 16 bits (%(default)s)')
    parser.add_argument('--look', default='plain', choices=('plain', 'varied'),
                        help='varied: many kinds of settlement, views from aside, strong changes '
                        'of light and season, 0.2 to 1.5 m a pixel; RGB only (%(default)s)')
    parser.add_argument('--tiles', type=int, metavar='N', help='write N single images with masks '
                        'of their buildings in place of pairs, to make pseudo-pairs of')
    parser.add_argument('--jobs', type=int, default=2, help='processes (%(default)s)')
    parser.add_argument('--overwrite', action='store_true',
                        help='replace a dataset of other parameters in the folder')
    parser.add_argument('--contact-sheet', type=output_file, metavar='FILE',
                        help='also write an overview picture of the first pairs')
    args = parser.parse_args(arguments)
    if args.tiles is None:
        _make(args)
    elif args.look != 'plain' or args.bands != 3:
        parser.error('--tiles are RGB images of the plain look: leave --look and --bands out')
    else:
        _make_tiles(args)


def _make_tiles(args: argparse.Namespace) -> None:
    from rscc.synth.generator import write_tiles
    try:
        write_tiles(args.out, args.tiles, args.seed)
    except (ValueError, OSError) as error:
        raise SystemExit(f'error: {error}') from error
    print(f"{counted(args.tiles, 'tile')} with masks of the buildings in '{args.out}'")


def _make(args: argparse.Namespace) -> None:
    # Imported late, as everywhere here: one command should not wait for what another needs.
    from rscc.synth.contact_sheet import write_contact_sheet
    from rscc.synth.generator import Parameters, generate
    start = time.perf_counter()
    try:
        parameters = Parameters(args.train, args.val, args.test, args.seed, bands=args.bands,
                                look=args.look)
        written = generate(args.out, parameters, args.jobs, args.overwrite)
        if args.contact_sheet:
            write_contact_sheet(Path(args.out), Path(args.contact_sheet))
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f'error: {error}') from error
    total, seconds = len(parameters.pairs()), time.perf_counter() - start
    if written:
        print(f"{counted(total, 'pair')} in '{args.out}' after {seconds:.0f} s "
              f'({60 * total / seconds:.0f} a minute)')
    else:
        print(f"'{args.out}' is complete already ({counted(total, 'pair')}); nothing to do")
    if args.contact_sheet:
        print(f"contact sheet: '{args.contact_sheet}'")


def write_path(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Write path lists of a change detection dataset.

    Args:
        arguments: The command line without the name of the program; None for that of the process.
        prog: Name of the program in usage and messages; None for that of the process.
    """
    parser = argparse.ArgumentParser(
        prog=prog, description='Write path lists: one line a pair, "from  to  label".')
    parser.add_argument('root', help='folder with SPLIT/A, SPLIT/B, SPLIT/label, or A, B, label')
    parser.add_argument('--splits', nargs='+', metavar='NAME',
                        help='split folders (default: those of train, val, test that exist)')
    parser.add_argument('--from', dest='img_from', default='A', metavar='FOLDER',
                        help='folder of the earlier date (%(default)s)')
    parser.add_argument('--to', dest='img_to', default='B', metavar='FOLDER',
                        help='folder of the later date (%(default)s)')
    parser.add_argument('--label', default='label', metavar='FOLDER',
                        help='folder of the labels, or none for lists of two columns (%(default)s)')
    parser.add_argument('--hold-out', type=float, metavar='SHARE',
                        help='make val.txt of this share of the images of train, all tiles of an '
                             'image together (for datasets without a val folder)')
    parser.add_argument('--out', type=output_folder, metavar='DIR',
                        help='where the lists go (default: ROOT)')
    parser.add_argument('--relative', action='store_true',
                        help='write paths relative to ROOT instead of absolute ones')
    parser.add_argument('--skip-unmatched', action='store_true',
                        help='leave out files without a partner instead of stopping')
    _write_lists(parser.parse_args(arguments))


def _write_lists(args: argparse.Namespace) -> None:
    label = None if args.label.lower() in ('none', '') else args.label
    try:
        lists = find_pairs(args.root, args.splits, args.img_from, args.img_to, label)
        if args.hold_out is not None:
            lists = with_validation(lists, args.hold_out)
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
    problems = [describe_unmatched(found) for found in lists if found.unmatched]
    if problems and not args.skip_unmatched:
        raise SystemExit('error: ' + '\n       '.join(problems) + '\nNothing was written. '
                         'Complete the folders, or pass --skip-unmatched.')
    for problem in problems:
        print(f'left out: {problem}')
    for found in lists:
        try:
            path = write_path_list(found, args.out or args.root,
                                   args.root if args.relative else None)
        except OSError as error:
            raise SystemExit(f'error: the lists cannot be written: {error}. Choose another folder '
                             'with --out') from error
        print(f'{len(found.rows):6d} pairs  {path}')


def with_validation(lists: list[PathList], share: float) -> list[PathList]:
    """Divide the list named train into train and val.

    Raises:
        ValueError: If there is no train, or a val already.
    """
    names = [found.name for found in lists]
    if 'train' not in names or 'val' in names:
        raise ValueError(f'--hold-out makes val of a part of train, found {names}. Leave it out, '
                         'or name the folders to take with --splits')
    return [part for found in lists
            for part in (hold_out(found, share) if found.name == 'train' else [found])]


def describe_unmatched(found: PathList) -> str:
    """Say how many files lack a partner, and the first three."""
    first = ', '.join(found.unmatched[:3])
    alone = counted(len(found.unmatched), 'file')
    return f'{found.name}: {alone} without a partner, first: {first}'


def vocabulary(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Write the vocabulary of a dataset's training captions, or a tokenizer made of them.

    Args:
        arguments: The command line without the name of the program; None for that of the process.
        prog: Name of the program in usage and messages; None for that of the process.
    """
    parser = argparse.ArgumentParser(
        prog=prog, description="Write the words of a dataset's training captions, or a tokenizer "
        'that is made of them.')
    add_dataset_arguments(parser)
    parser.add_argument('--min-count', type=int, default=1, metavar='N',
                        help='leave out words that occur less often (%(default)s)')
    parser.add_argument('--byte-pairs', type=int, metavar='N', help='make a tokenizer.json of at '
                        'most N byte pairs instead, for PretrainedTokenizer')
    parser.add_argument('--out', type=output_file, metavar='FILE',
                        help='the .json file (default: vocab_en.json or '
                        "vocab_zh.json in the dataset's folder, where configs look for it; of "
                        '--byte-pairs, tokenizer_en.json or tokenizer_zh.json)')
    _write_vocabulary(parser.parse_args(arguments))


def _write_vocabulary(args: argparse.Namespace) -> None:
    from rscc.datasets.word_encoding import vocabulary as count_words
    from rscc.features.extraction import build_dataset
    from rscc.utils import write_json
    with explained():
        dataset = build_dataset(args.dataset, args.data_root, args.ann_file, split='train',
                                check_images=False)
        if args.byte_pairs is not None and args.min_count != 1:
            raise ValueError(f'--min-count {args.min_count} leaves out rare words, and byte pairs '
                             'write every word: give one of --min-count and --byte-pairs')
        if args.byte_pairs is None:
            made = count_words(dataset, args.min_count)
            name, what = dataset.VOCABULARY, f'{len(made)} words'
        else:
            made = _byte_pairs(dataset, args.byte_pairs)
            name = dataset.VOCABULARY.replace('vocab', 'tokenizer')
            what = f'{len(made["model"]["vocab"])} byte pairs'
        out = args.out or Path(dataset.data_root) / name.format(language=dataset.language)
        write_json(out, made)
        print(f'{what} of {len(dataset)} training samples  {out}')


def _byte_pairs(dataset: 'ChangeDataset', size: int) -> dict:
    """Return the tokenizer.json that is made of the captions of a dataset."""
    from rscc.text.normalisation import normalise
    from rscc.text.pretrained_tokenizer import train_byte_pairs
    captions = (caption for row in range(len(dataset))
                for caption in dataset.get_data_info(row)['gt_captions'])
    return json.loads(train_byte_pairs(
        [normalise(caption, dataset.language) for caption in captions], size))
