"""Answer one pair, or one image, with a trained model: mask, sentences, pictures.

Example::

    python tools/infer.py configs/blip_synth.py work_dirs/blip_synth/epoch_20.pth \
        --img-from before.png --img-to after.png --out out/
    python tools/infer.py work_dirs/attend_synth/epoch_3.pth --img scene.png --attention --out out/
    python tools/infer.py epoch_20.pth --img-from before.png --img-to after.png --beams 5 --nbest 3
"""
import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rscc.apis import InferenceResult


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Answer one pair, or one image, with a trained model.',
        usage='%(prog)s [CONFIG] CKPT (--img-from A --img-to B | --img A) [options]')
    parser.add_argument('model', nargs='+', metavar='CONFIG CKPT',
                        help='config file and checkpoint; the checkpoint alone where it holds its '
                        'config (those of tools/train.py do)')
    parser.add_argument('--img-from', metavar='A', help='earlier image of a pair')
    parser.add_argument('--img-to', metavar='B', help='later image of the pair')
    parser.add_argument('--img', metavar='A', help='the image, for models of single images')
    parser.add_argument('--out', metavar='DIR', help='write mask, overlay, panel and JSON there')
    parser.add_argument('--attention', action='store_true', help='with --out: draw what the model '
                        'looked at when it wrote each word (caption heads with attention maps)')
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... (default: the best one here)')
    parser.add_argument('--amp', action='store_true', help='reduced precision')
    parser.add_argument('--beams', type=int, metavar='N',
                        help="width of the search (default: the config's)")
    parser.add_argument('--nbest', type=int, metavar='N', help='sentences to show (default: 1)')
    args = parser.parse_args()
    if len(args.model) > 2:
        parser.error(f'expected CONFIG and CKPT, found {len(args.model)} names: {args.model}')
    if args.attention and not args.out:
        parser.error('--attention draws a picture below --out: name that folder too')
    single, pair = args.img is not None, (args.img_from is not None, args.img_to is not None)
    if single == any(pair) or (any(pair) and not all(pair)):
        parser.error('give either --img-from and --img-to, or --img')
    return args


def decoding_of(args: argparse.Namespace) -> dict:
    """Return the decoding options that were given; n-best needs as many beams."""
    options = {}
    if args.nbest is not None:
        options['num_captions'] = args.nbest
    beams = args.nbest if args.beams is None and (args.nbest or 1) > 1 else args.beams
    if beams is not None:
        options['num_beams'] = beams
    if args.attention:
        options['return_attention'] = True
    return options


def show(result: 'InferenceResult') -> None:
    """Print sentences, their scores and how much changed."""
    if not result.captions:
        print('sentence     none: this model has no caption head')
    for rank, caption in enumerate(result.captions, 1):
        label = 'sentence' if rank == 1 else f'       {rank}.'
        print(f'{label:12s} {caption.text}  (score {caption.score:.3f})')
    if result.change_probability is not None:
        print(f'changed      probability {result.change_probability:.3f}')
    if result.mask is None:
        print('mask         none: this model has no mask head')
    else:
        classes = ', '.join(f'{name} {share:.1%}' for name, share in result.class_shares().items())
        print(f'mask         {result.change_share:.1%} of the pixels changed'
              + (f': {classes}' if classes else ''))


def main() -> None:
    """Answer and report."""
    args = parse_args()
    config, checkpoint = args.model if len(args.model) == 2 else (None, args.model[0])
    images = [path for path in (args.img, args.img_from, args.img_to) if path is not None]
    for path in images:
        if not Path(path).is_file():
            raise SystemExit(f"error: no image at '{path}'")
    # Imported late: help and wrong arguments should not wait for torch.
    from rscc.apis import ChangeInferencer
    from rscc.visualization.image_files import safe_name
    try:
        inferencer = ChangeInferencer(config, checkpoint, args.device, args.amp)
        result = inferencer(*images, **decoding_of(args))
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
    show(result)
    if args.out:
        name = safe_name('_'.join(dict.fromkeys(Path(path).stem for path in images)))
        try:
            files = result.save(args.out, name, images=images, checkpoint=checkpoint)
        except OSError as error:
            raise SystemExit(f"error: the pictures cannot be written to '{args.out}': "
                             f'{error}') from error
        print('written      ' + '\n             '.join(map(str, files)))


if __name__ == '__main__':
    main()
