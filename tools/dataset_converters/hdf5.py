"""Turn a captioned dataset of pairs or single images into HDF5 + JSON files.

``tutorial`` is the layout of the show-attend-tell tutorial, ``blip`` that of
erenduman2/rs-image-change-captioning. ``HDF5CaptionDataset`` reads both.

Example::

    python tools/dataset_converters/hdf5.py --dataset ucm --out data/UCM-hdf5
    python tools/dataset_converters/hdf5.py --dataset rsicd --size 256 --out data/RSICD-hdf5
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.apis.command_line import add_dataset_arguments, add_hdf5_arguments, output_folder


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Turn a captioned dataset into HDF5 + JSON files.')
    add_dataset_arguments(parser)
    parser.add_argument('--out', required=True, type=output_folder, metavar='DIR',
                        help='folder of the new files')
    parser.add_argument('--name', help='what the file names begin with (the name of the dataset)')
    parser.add_argument('--size', type=int, default=256, metavar='PIXELS',
                        help='width and height of the images (%(default)s, as the tutorial)')
    add_hdf5_arguments(parser, variant='tutorial')
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Check everything, then write."""
    args = parse_args(arguments)
    # Imported late: help and wrong arguments should not wait for torch.
    from rscc.apis.command_line import explained
    from rscc.datasets.hdf5_writer import write_blip, write_tutorial
    from rscc.features.extraction import build_dataset
    pipeline = [dict(type='LoadFrames'), dict(type='FramesResize', size=args.size)]
    with explained():
        datasets = [build_dataset(args.dataset, args.data_root, args.ann_file, split,
                                  pipeline=pipeline) for split in args.splits]
        name = args.name or args.dataset
        written = (write_blip(datasets, args.out, name) if args.variant == 'blip' else
                   write_tutorial(datasets, args.out, args.min_word_freq, name,
                                  args.count_all_splits))
        for path in written:
            print(f'{path.stat().st_size / 1e6:10.1f} MB  {path}')


if __name__ == '__main__':
    main()
