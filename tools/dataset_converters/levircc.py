"""Turn LEVIR-CC into the files of other code bases.

HDF5 + JSON: ``blip`` is the layout of erenduman2/rs-image-change-captioning, ``tutorial`` that of
the show-attend-tell tutorial (RSICCformer, PSNet, SEN). ``HDF5CaptionDataset`` reads both. For
other datasets: ``hdf5.py``.

``--word-encode`` numbers words and captions as KD-RSCC does, of any Karpathy-style file and without
its images: ``vocab.json``, ``{split}_caption_encoded.json`` and ``word_encoding.json``, which
``WordTokenizer`` reads.

Example::

    python tools/dataset_converters/levircc.py --root data/LEVIR-CC --out data/LEVIR-CC-hdf5
    python tools/dataset_converters/levircc.py --root data/LEVIR-CC --out hdf5 --variant tutorial
    python tools/dataset_converters/levircc.py --root data/LEVIR-CC --word-encode
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.apis.command_line import add_hdf5_arguments

#: Options that concern one of the two ways alone.
HDF5_OPTIONS = ('variant', 'splits', 'min_word_freq', 'count_all_splits')
WORD_OPTIONS = ('words_from', 'language')


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Turn LEVIR-CC into the files of other codes.')
    parser.add_argument('--root', required=True,
                        help='folder with LevirCCcaptions.json and images/')
    parser.add_argument('--ann-file', default='LevirCCcaptions.json', help='(%(default)s)')
    parser.add_argument('--out', help='folder of the new files (required for HDF5, about 4 GB; '
                        'word ids: ROOT, where configs look for them)')
    add_hdf5_arguments(parser.add_argument_group('HDF5 + JSON'), variant='blip')
    words = parser.add_argument_group('word ids')
    words.add_argument('--word-encode', action='store_true',
                       help='write vocabulary and word ids of all splits instead of HDF5')
    words.add_argument('--words-from', choices=('tokens', 'raw'), default='tokens',
                       help='words as the file lists them, or its sentences split here '
                       '(%(default)s)')
    words.add_argument('--language', choices=('en', 'zh'), default='en', help='(%(default)s)')
    args = parser.parse_args(arguments)
    _refuse_mixtures(parser, args)
    return args


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


def main(arguments: list[str] | None = None) -> None:
    """Check everything, then write."""
    args = parse_args(arguments)
    try:
        written = _write_words(args) if args.word_encode else _write_hdf5(args)
    except (OSError, ValueError, ImportError) as error:
        raise SystemExit(f'error: {error}') from error
    for path in written:
        print(f'{path.stat().st_size / 1e6:10.1f} MB  {path}')


def _write_words(args: argparse.Namespace) -> list[Path]:
    from rscc.datasets.word_encoding import encode_words, write_word_encoding
    encoding = encode_words(Path(args.root, args.ann_file), args.language, args.words_from)
    summary = encoding.summary()
    print(f'{len(encoding.words)} entries, {encoding.length} ids a caption')
    for split, counts in summary['splits'].items():
        print(f"{split:>6}: {counts['images']} images, {counts['captions']} captions, the longest "
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


if __name__ == '__main__':
    main()
