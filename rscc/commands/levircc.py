"""The LEVIR-CC command: its annotations as word ids for KD-RSCC, or all of it as HDF5 files.

``tools/dataset_converters/levircc.py`` calls it.
"""
import argparse
from collections.abc import Sequence
from pathlib import Path

from rscc.apis.command_line import add_hdf5_arguments, output_folder
from rscc.utils import counted

#: Options that concern one of the two ways alone.
HDF5_OPTIONS = ('variant', 'splits', 'min_word_freq', 'count_all_splits')
WORD_OPTIONS = ('words_from', 'language')


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Read the command line, check everything, then write.

    Args:
        arguments: The command line without the name of the program; None for that of the process.
        prog: Name of the program in usage and messages; None for that of the process.
    """
    parser = argparse.ArgumentParser(
        prog=prog, description='Turn LEVIR-CC into the files of other codes.')
    add_arguments(parser)
    args = parser.parse_args(arguments)
    _refuse_mixtures(parser, args)
    try:
        written = _write_words(args) if args.word_encode else _write_hdf5(args)
    except (OSError, ValueError, ImportError) as error:
        raise SystemExit(f'error: {error}') from error
    for path in written:
        print(f'{path.stat().st_size / 1e6:10.1f} MB  {path}')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which files are read, and what is made of them."""
    parser.add_argument('--root', required=True,
                        help='folder with LevirCCcaptions.json and images/')
    parser.add_argument('--ann-file', default='LevirCCcaptions.json', help='(%(default)s)')
    parser.add_argument('--out', type=output_folder,
                        help='folder of the new files (required for HDF5, about 4 GB; '
                        'word ids: ROOT, where configs look for them)')
    add_hdf5_arguments(parser.add_argument_group('HDF5 + JSON'), variant='blip')
    words = parser.add_argument_group('word ids')
    words.add_argument('--word-encode', action='store_true',
                       help='write vocabulary and word ids of all splits instead of HDF5')
    words.add_argument('--words-from', choices=('tokens', 'raw'), default='tokens',
                       help='words as the file lists them, or its sentences split here '
                       '(%(default)s)')
    words.add_argument('--language', choices=('en', 'zh'), default='en', help='(%(default)s)')


def _refuse_mixtures(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End with a message where an option would have no effect, or --out is missing."""
    idle = HDF5_OPTIONS if args.word_encode else WORD_OPTIONS
    given = [f"--{name.replace('_', '-')}" for name in idle
             if getattr(args, name) != parser.get_default(name)]
    if given:
        parser.error(f"{' '.join(given)}: not with --word-encode, which takes all splits and words"
                     if args.word_encode else f"{' '.join(given)}: only with --word-encode")
    if not args.out and not args.word_encode:
        parser.error('--out is required (the folder of the HDF5 files)')


def _write_words(args: argparse.Namespace) -> list[Path]:
    from rscc.datasets.word_encoding import encode_words, write_word_encoding
    encoding = encode_words(Path(args.root, args.ann_file), args.language, args.words_from)
    summary = encoding.summary()
    print(f'{counted(len(encoding.words), "entry")}, {counted(encoding.length, "id")} a caption')
    for split, counts in summary['splits'].items():
        print(f"{split:>6}: {counted(counts['images'], 'image')}, "
              f"{counted(counts['captions'], 'caption')}, the longest "
              f"{counts['longest']} ids")
    return write_word_encoding(encoding, args.out or args.root)


def _write_hdf5(args: argparse.Namespace) -> list[Path]:
    from rscc.datasets.hdf5_writer import write_blip, write_tutorial
    from rscc.datasets.levir_cc import LEVIRCCDataset
    datasets = [LEVIRCCDataset(str(Path(args.root).resolve()), args.ann_file, split=split,
                               pipeline=[{'type': 'LoadFrames'}]) for split in args.splits]
    if args.variant == 'blip':
        return write_blip(datasets, args.out)
    return write_tutorial(datasets, args.out, args.min_word_freq,
                          count_all_splits=args.count_all_splits)
