"""Answer one pair, or one image, with a trained model: mask, sentences, pictures.

Example::

    python tools/infer.py configs/blip_synth.py work_dirs/blip_synth/epoch_20.pth \
        --img-from before.png --img-to after.png --out out/
    python tools/infer.py work_dirs/sat_synth/epoch_3.pth --img scene.png --attention --out out/
    python tools/infer.py epoch_20.pth --img-from before.png --img-to after.png --beams 5 --nbest 3
    python tools/infer.py work_dirs/kdrscc_synth/epoch_30.pth --img-from before.png \
        --img-to after.png --samples 8 --steps 10 --strip --out out/
"""
import argparse
from pathlib import Path

#: Decoding option that a flag sets.
OPTIONS = {'beams': 'num_beams', 'nbest': 'num_captions', 'samples': 'num_samples',
           'steps': 'steps', 'guidance': 'guidance', 'seed': 'seed',
           'attention': 'return_attention', 'strip': 'return_strip'}


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
    parser.add_argument('--attention', action='store_const', const=True, help='with --out: draw '
                        'what the model looked at when it wrote each word (caption heads with '
                        'attention maps)')
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... (default: the best one here)')
    parser.add_argument('--amp', action='store_true', help='reduced precision')
    parser.add_argument('--nbest', type=int, metavar='N', help='sentences to show (default: 1)')
    parser.add_argument('--beams', type=int, metavar='N',
                        help="width of the search (default: the config's)")
    drawn = parser.add_argument_group('caption heads that diffuse', "defaults: the config's")
    drawn.add_argument('--samples', type=int, metavar='K',
                       help='sentences to draw; the one most like the others is the answer')
    drawn.add_argument('--steps', type=int, metavar='N', help='noise levels from noise to words')
    drawn.add_argument('--guidance', type=float, metavar='G',
                       help='weight of the image against no image, 1 for the plain estimate')
    drawn.add_argument('--seed', type=int, metavar='S', help='of the noise')
    drawn.add_argument('--strip', action='store_const', const=True, help='show what the sentence '
                       'was at every noise level; with --out as a picture too')
    args = parser.parse_args()
    if len(args.model) > 2:
        parser.error(f'expected CONFIG and CKPT, found {len(args.model)} names: {args.model}')
    if args.attention and not args.out:
        parser.error('--attention draws a picture below --out: name that folder too')
    single, pair = args.img is not None, (args.img_from is not None, args.img_to is not None)
    if single == any(pair) or (any(pair) and not all(pair)):
        parser.error('give either --img-from and --img-to, or --img')
    return args


def decoding_of(args: argparse.Namespace, known: dict) -> dict:
    """Return the decoding options that were given; n-best needs as many beams or samples.

    Args:
        args: The command line.
        known: Options of the caption head with the config's values; empty without a caption head.
    """
    given = {option: getattr(args, flag) for flag, option in OPTIONS.items()
             if getattr(args, flag) is not None}
    for flag, option in OPTIONS.items():
        if known and option in given and option not in known:
            raise SystemExit(f"error: --{flag} sets the decoding option '{option}', which this "
                             f"model's caption head does not have. It has: {', '.join(known)}")
    if 'seed' in given and known.get('sample') is False:
        raise SystemExit("error: --seed has no effect: this model's caption head searches and "
                         'draws nothing (decoding option sample=False)')
    width = 'num_beams' if 'num_beams' in known else 'num_samples'
    if 'num_captions' in given and width in known:
        given.setdefault(width, max(known[width], given['num_captions']))
    return given


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
    from rscc.inference.result import describe
    from rscc.visualization.picture_files import safe_name
    try:
        inferencer = ChangeInferencer(config, checkpoint, args.device, args.amp)
        result = inferencer(*images, **decoding_of(args, inferencer.decoding))
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
    print(describe(result))
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
