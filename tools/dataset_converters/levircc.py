"""Turn LEVIR-CC into the HDF5 + JSON files of other code bases.

``blip`` is the layout of erenduman2/rs-image-change-captioning, ``tutorial`` that of the
show-attend-tell tutorial (RSICCformer, PSNet, SEN). ``HDF5CaptionDataset`` reads both. For other
datasets: ``hdf5.py``.

Example::

    python tools/dataset_converters/levircc.py --root data/LEVIR-CC --out data/LEVIR-CC-hdf5
    python tools/dataset_converters/levircc.py --root data/LEVIR-CC --out hdf5 --variant tutorial
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.apis.arguments import add_hdf5_arguments
from rscc.datasets.hdf5_writer import write_blip, write_tutorial
from rscc.datasets.levir_cc import LEVIRCCDataset


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Turn LEVIR-CC into HDF5 + JSON files.')
    parser.add_argument('--root', required=True,
                        help='folder with LevirCCcaptions.json and images/')
    parser.add_argument('--out', required=True, help='folder of the new files (about 4 GB)')
    parser.add_argument('--ann-file', default='LevirCCcaptions.json', help='(%(default)s)')
    add_hdf5_arguments(parser, variant='blip')
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Check everything, then write."""
    args = parse_args(arguments)
    try:
        datasets = [LEVIRCCDataset(str(Path(args.root).resolve()), args.ann_file, split=split,
                                   pipeline=[{'type': 'LoadFrames'}]) for split in args.splits]
        if args.variant == 'blip':
            written = write_blip(datasets, args.out)
        else:
            written = write_tutorial(datasets, args.out, args.min_word_freq,
                                     count_all_splits=args.count_all_splits)
    except (OSError, ValueError, ImportError) as error:
        raise SystemExit(f'error: {error}') from error
    for path in written:
        print(f'{path.stat().st_size / 1e6:10.1f} MB  {path}')


if __name__ == '__main__':
    main()
