"""Arguments that several tools share; light, because help must not wait for torch."""
import argparse
import os


def add_dataset_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what names a captioned dataset (see ``named_datasets.build_dataset``)."""
    parser.add_argument('--dataset', required=True, metavar='NAME', help='sydney, ucm, rsicd, '
                        'synth, levircc (with _cn for Chinese) or a dataset class')
    parser.add_argument('--data-root', metavar='DIR', help="the dataset's folder (default: the "
                        'usual one below $RSCC_DATA)')
    parser.add_argument('--ann-file', metavar='FILE', help='annotations in it (the usual ones)')


def add_hdf5_arguments(parser: argparse.ArgumentParser, variant: str) -> None:
    """Add what the HDF5 converters have in common; ``variant`` is the default layout."""
    parser.add_argument('--variant', choices=('blip', 'tutorial'), default=variant,
                        help='layout (%(default)s)')
    parser.add_argument('--splits', nargs='+', default=['train', 'val', 'test'], metavar='NAME',
                        help='splits to convert (all three)')
    parser.add_argument('--min-word-freq', type=int, default=5, metavar='N',
                        help='tutorial: keep words that occur more than N times (%(default)s)')
    parser.add_argument('--count-all-splits', action='store_true',
                        help='tutorial: count words over all splits, as the original does, and not '
                        'over train alone')


def add_clip_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which CLIP weights are read; ``args.quick_gelu`` is True, False or None (unsaid)."""
    parser.add_argument('--pretrained', default='openai', metavar='FILE',
                        help="weights: a file (OpenAI's archive, state dict, safetensors), or a "
                        'tag that open_clip downloads (%(default)s)')
    parser.add_argument('--quick-gelu', choices=('yes', 'no'), help='activation, for weights that '
                        'do not say what they were trained with (yes)')


def add_batch_arguments(parser: argparse.ArgumentParser, bands: bool = True) -> None:
    """Add how images are read and computed (see ``image_batches.BatchOptions``).

    Args:
        parser: Gets the arguments.
        bands: Whether bands and scale are asked for; off where a config tells them.
    """
    parser.add_argument('--overwrite', action='store_true', help='compute everything anew')
    parser.add_argument('--batch-size', type=int, default=32, metavar='N',
                        help='images per forward pass (%(default)s)')
    parser.add_argument('--num-workers', type=int, default=min(4, os.cpu_count() or 1),
                        metavar='N', help='processes that read images (%(default)s)')
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... (default: the best one here)')
    parser.add_argument('--amp', action='store_true', help='reduced precision')
    if not bands:
        return
    parser.add_argument('--bands', nargs=3, type=int, metavar=('R', 'G', 'B'),
                        help='bands to show, counted from 1, for files that are not RGB')
    parser.add_argument('--scale', nargs=2, type=float, metavar=('LOW', 'HIGH'),
                        help='values that become black and white, for files of more than 8 bits')


def parse_batches(parser: argparse.ArgumentParser, arguments: list[str] | None
                  ) -> argparse.Namespace:
    """Parse, and check what :func:`add_batch_arguments` and :func:`add_clip_arguments` added."""
    args = parser.parse_args(arguments)
    if args.batch_size < 1 or args.num_workers < 0:
        parser.error(f'--batch-size {args.batch_size} --num-workers {args.num_workers}: expected '
                     'at least 1 and 0')
    if getattr(args, 'quick_gelu', None) is not None:
        args.quick_gelu = args.quick_gelu == 'yes'
    return args
