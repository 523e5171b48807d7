"""Compute the CLIP features of all images of a captioned dataset once, to train without images.

Writes ``NAME.safetensors`` and its index ``NAME.json``, one row an image. A run that was stopped
continues where it was. For the encoder of a config, whatever it is: ``extract_features.py``.

Example::

    python tools/extract_clip_embeddings.py --dataset ucm
    python tools/extract_clip_embeddings.py --dataset sydney --model-name RN50x4 --tokens --amp
    python tools/extract_clip_embeddings.py --dataset rsicd \
        --from-pickle clip_emb_ViT-B_32_rsicd.pkl
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rscc.apis.command_line import (
    add_batch_arguments,
    add_clip_arguments,
    add_dataset_arguments,
    output_file,
    parse_batches,
)
from rscc.utils import counted


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Compute the CLIP features of all images of a captioned dataset.')
    add_dataset_arguments(parser)
    parser.add_argument('--model-name', '--clip_model_type', metavar='ARCH',
                        help='architecture (ViT-B/32)')
    add_clip_arguments(parser)
    parser.add_argument('--tokens', action='store_true',
                        help='store the features of the patches too (50 times the space)')
    parser.add_argument('--dtype', choices=('float16', 'float32'), default='float16',
                        help='(%(default)s)')
    parser.add_argument('--from-pickle', metavar='FILE', help='convert an embedding pickle of '
                        'ClipCap or clipcap_rsic instead; --model-name if its name does not tell')
    parser.add_argument('--out', type=output_file, metavar='FILE',
                        help='the .safetensors file (default: '
                        "clip_emb_MODEL_DATASET in the dataset's folder)")
    add_batch_arguments(parser)
    args = parse_batches(parser, arguments)
    if args.out and Path(args.out).suffix != '.safetensors':
        parser.error(f"--out '{args.out}' must end in .safetensors")
    return args


def main(arguments: list[str] | None = None) -> None:
    """Compute, or convert, and report."""
    args = parse_args(arguments)
    # Imported late: help and wrong arguments should not wait for torch.
    from rscc.apis.command_line import explained
    from rscc.features.extraction import build_dataset, default_target, extract
    from rscc.features.pickles import convert_pickle, model_of
    from rscc.inference.preparation import BatchOptions, PictureReader, existing_device
    from rscc.models.clip.clip_model import CLIPEmbedder, default_model
    with explained():
        dataset = build_dataset(args.dataset, args.data_root, args.ann_file,
                                check_images=args.from_pickle is None)
        if args.from_pickle:
            model = args.model_name or model_of(args.from_pickle)
            target = Path(args.out or default_target(dataset, model, args.dataset))
            count = convert_pickle(args.from_pickle, dataset, target, model)
            print(f'{counted(count, "image")} converted  {target}')
            return
        device = existing_device(args.device)
        model = args.model_name or default_model(args.pretrained, 'ViT-B/32')
        embedder = CLIPEmbedder(model, args.pretrained, args.quick_gelu).to(device)
        target = args.out or default_target(dataset, embedder.facts['model'], args.dataset)
        options = BatchOptions(args.batch_size, args.num_workers, args.amp, args.bands, args.scale)
        try:
            new = extract(dataset, embedder, PictureReader(embedder.transform, options), target,
                          options, args.tokens, args.dtype, args.overwrite)
        except KeyboardInterrupt:
            raise SystemExit('stopped; the features so far are kept, and the same command '
                             'continues') from None
        done = f'{counted(new, "image")} computed' if new else 'complete already'
        print(f'{done}  {target}')


if __name__ == '__main__':
    main()
