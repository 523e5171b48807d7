"""Compute what a config's encoder sees in every image of its dataset once, to train without images.

Writes ``NAME.safetensors`` and its index ``NAME.json``, one row an image, prepared as by the test
pipeline, for all splits. A run that was stopped continues where it was. For a CLIP by its name:
``extract_clip_embeddings.py``.

Example::

    python tools/extract_features.py configs/sat_levircc.py
    python tools/extract_features.py configs/blip_levircc.py work_dirs/blip_levircc/epoch_10.pth
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rscc.apis.command_line import add_batch_arguments, output_file, parse_batches
from rscc.utils import counted


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Compute the features of all images of a config's dataset by its encoder.")
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', nargs='?', help='of a model with that encoder (default: the '
                        'weights that the config names)')
    parser.add_argument('--data-root', help='folder of the datasets, or of the one used here; '
                        'sets RSCC_DATA before the config is read')
    parser.add_argument('--pooled-only', action='store_true', help='one vector an image, no tokens')
    parser.add_argument('--dtype', choices=('float16', 'float32'), default='float16',
                        help='(%(default)s)')
    parser.add_argument('--out', type=output_file, metavar='FILE',
                        help='the .safetensors file (default: '
                        "features_CONFIG in the dataset's folder)")
    add_batch_arguments(parser, bands=False)
    args = parse_batches(parser, arguments)
    if args.out and Path(args.out).suffix != '.safetensors':
        parser.error(f"--out '{args.out}' must end in .safetensors")
    return args


def main(arguments: list[str] | None = None) -> None:
    """Compute, report, and say how a config uses the file."""
    args = parse_args(arguments)
    # Imported late: help and wrong arguments should not wait for torch.
    from rscc.apis.command_line import explained
    from rscc.apis.launch import read_config, set_data_root
    from rscc.features.embedder import EncoderEmbedder, images_dataset
    from rscc.features.extraction import extract, how_to_use, images_of
    from rscc.inference.preparation import BatchOptions, existing_device
    with explained():
        device = existing_device(args.device)
        set_data_root(args.data_root)
        cfg = read_config(args.config)
        dataset = images_dataset(cfg)
        embedder = EncoderEmbedder(cfg, args.checkpoint, next(iter(images_of(dataset).values())),
                                   device)
        target = Path(args.out or Path(dataset.data_root)
                      / f'features_{Path(args.config).stem}.safetensors')
        options = BatchOptions(args.batch_size, args.num_workers, args.amp)
        try:
            new = extract(dataset, embedder, embedder.read, target, options,
                          not args.pooled_only, args.dtype, args.overwrite)
        except KeyboardInterrupt:
            raise SystemExit('stopped; the features so far are kept, and the same command '
                             'continues') from None
        done = f'{counted(new, "image")} computed' if new else 'complete already'
        print(f'{done}  {target}')
        print(how_to_use(target, dataset))


if __name__ == '__main__':
    main()
