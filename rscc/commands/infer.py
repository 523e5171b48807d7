"""The inference command: image pairs, or single images, of any size, answered by a trained model.

Masks, sentences and pictures come out; ``tools/infer.py`` has examples. Where no model is named,
the one that comes with rscc answers.
"""
import argparse
import os
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rscc.apis.command_line import (
    add_config_options,
    add_reading_arguments,
    factor,
    output_folder,
    parse_scale,
    whole_number,
)
from rscc.commands import scene
from rscc.config.files import GET_CHECKPOINT, SHIPPED

#: Of checkpoints, which no image has.
ENDINGS = ('.pth', '.pt', '.safetensors')
#: Decoding option that a flag sets.
OPTIONS = {'beams': 'num_beams', 'nbest': 'num_captions', 'max_tokens': 'max_tokens',
           'samples': 'num_samples', 'steps': 'steps', 'guidance': 'guidance', 'seed': 'seed',
           'language': 'language', 'attention': 'return_attention',
           'trajectory': 'return_trajectory'}
#: Largest seed of a generator of numbers.
_LARGEST_SEED = 2**63 - 1
_NARROW = 'a search ends with {} of them at most; give as many beams as sentences, or no --beams'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what inference is told: model, images, how to read them, how to write sentences."""
    model = parser.add_argument(
        'model', nargs='+', metavar='CONFIG CKPT', help='config and checkpoint; the checkpoint '
        'alone where it holds its config (those of this project do); or the name of a published '
        'model, or of a config, of which the checkpoint in work_dirs/ is taken (default: '
        f'{SHIPPED}, which reads pairs)')
    model.required = False  # nargs='*' would be matched by nothing before the first flag
    parser.add_argument('--img-from', nargs='+', metavar='A', help='earlier image of a pair, a '
                        'folder, or tiles of one mosaic')
    parser.add_argument('--img-to', nargs='+', metavar='B', help='later image of the pair; of a '
                        'folder, one with files of the same names')
    parser.add_argument('--img', nargs='+', metavar='A', help='the image, or a folder, for models '
                        'of single images')
    parser.add_argument('--list', metavar='FILE', help='path list of pairs, as '
                        'tools/general/write_path.py writes it')
    parser.add_argument('--out', type=output_folder, metavar='DIR',
                        help='write the files of the answer there')
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... (default: the best one here)')
    parser.add_argument('--amp', action='store_true', help='reduced precision')
    add_config_options(parser)
    _add_reading(parser)
    _add_decoding(parser)
    scene.add_arguments(parser)


def _add_reading(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('reading')
    add_reading_arguments(group)
    group.add_argument('--window', type=_window, metavar='PIXELS', help='side of the windows, in '
                       "place of what an image of the training covered; 'auto' tries larger ones "
                       'on a scene first')
    group.add_argument('--overlap', type=whole_number(0), metavar='PIXELS', help='pixels that '
                       'neighbouring windows share (default: a quarter of the window)')
    group.add_argument('--batch-size', type=whole_number(1), default=8, metavar='N',
                       help='windows answered at once (%(default)s)')
    group.add_argument('--per-window', action='store_true', help='print the sentence of every '
                       'window too (the JSON below --out always has them)')


def _window(text: str) -> int | str:
    if text == 'auto':
        return text
    try:
        return whole_number(1)(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"'{text}' is no side of a window; expected a number of "
                                         "pixels, or 'auto'") from None


def _add_decoding(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('sentences', "defaults: the config's")
    number = whole_number(1)
    group.add_argument('--nbest', type=number, metavar='N', help='sentences to show (default: 1)')
    group.add_argument('--beams', type=number, metavar='N', help='width of the search')
    group.add_argument('--language', choices=('en', 'zh', 'both'), help='language to write in, '
                       'where the model knows several; both: one sentence in each')
    group.add_argument('--max-tokens', type=number, metavar='N', help='longest sentence')
    group.add_argument('--attention', action='store_const', const=True, help='with --out: draw '
                       'what the model looked at when it wrote each word (caption heads with '
                       'attention maps)')
    group = parser.add_argument_group('diffusion caption heads', "defaults: the config's")
    group.add_argument('--samples', type=number, metavar='K',
                       help='sentences to draw; the one most like the others is the answer')
    group.add_argument('--steps', type=number, metavar='N', help='steps to the words')
    group.add_argument('--guidance', type=factor, metavar='G',
                       help='weight of the image against no image, 1 for the plain estimate')
    group.add_argument('--seed', type=whole_number(0, _LARGEST_SEED), metavar='S',
                       help='of the noise')
    group.add_argument('--trajectory', '--strip', action='store_const', const=True,
                       help='show what the sentence was at every step; with --out as a picture '
                       'too')


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse what contradicts itself; ``args.model`` gets its default, ``args.scale`` numbers."""
    if not args.model and not args.onnx:
        swallowed = [path for paths in (args.img_from, args.img_to, args.img)
                     for path in paths or () if Path(path).suffix in ENDINGS]
        if swallowed:
            parser.error(f"'{swallowed[0]}' was taken for an image: name CONFIG and CKPT before "
                         '--img-from, --img-to and --img, which take any number of files')
        if args.img is not None:
            parser.error(f'--img: {SHIPPED}, which answers where no CKPT is named, reads pairs: '
                         'give --img-from and --img-to, or name a CKPT that was trained on single '
                         f'images. {GET_CHECKPOINT}')
        args.model = [SHIPPED]
    if args.model and args.onnx:
        parser.error(f"--onnx holds the model; found '{args.model[0]}' beside it")
    for flag in ('amp', 'device', 'cfg_options') if args.onnx else ():
        if getattr(args, flag):
            parser.error(f"--{flag.replace('_', '-')} is for checkpoints: an exported model "
                         'computes on the CPU as it was exported')
    if args.model and len(args.model) > 2:
        parser.error(f'expected CONFIG and CKPT, found {len(args.model)} names: {args.model}')
    if args.attention and not args.out:
        parser.error('--attention draws a picture below --out: name that folder too')
    pair = (args.img_from is not None, args.img_to is not None)
    ways = [args.img is not None, any(pair), args.list is not None, args.scenes is not None]
    if sum(ways) != 1 or (any(pair) and not all(pair)):
        parser.error('give either --img-from and --img-to, or --img, --list or --scenes')
    scene.check_arguments(parser, args)
    args.scale = parse_scale(parser, args.scale)
    if args.nbest and args.beams and 1 < args.beams < args.nbest:
        parser.error(f'--nbest {args.nbest} --beams {args.beams}: {_NARROW.format(args.beams)}')


def given_decoding(args: argparse.Namespace) -> dict:
    """Return the decoding options that were given, whatever the model knows."""
    return {option: getattr(args, flag) for flag, option in OPTIONS.items()
            if getattr(args, flag) is not None}


def decoding_of(args: argparse.Namespace, known: dict) -> dict:
    """Return the decoding options that were given; n-best needs as many beams or samples.

    Args:
        args: The command line.
        known: Options of the caption head with the config's values; empty without a caption head.
    """
    given = given_decoding(args)
    for flag, option in OPTIONS.items():
        if known and option in given and option not in known:
            raise SystemExit(f"error: --{flag.replace('_', '-')} sets the decoding option "
                             f"'{option}', which this model's caption head does not have. It has: "
                             f"{', '.join(known)}")
    if 'seed' in given and known.get('sample') is False:
        raise SystemExit("error: --seed has no effect: this model's caption head searches and "
                         'draws nothing (decoding option sample=False)')
    width = 'num_beams' if 'num_beams' in known else 'num_samples'
    if 'num_captions' in given and width in known:
        given.setdefault(width, max(known[width], given['num_captions']))
    beams = given.get('num_beams', 1)
    if given.get('num_captions', 1) > beams and 'num_beams' in given and not known.get('sample'):
        raise SystemExit(f'error: --nbest {args.nbest} --beams {beams}: {_NARROW.format(beams)}')
    return given


def as_typed(message: str, args: argparse.Namespace) -> str:
    """Return a message with the flags that were given in the place of decoding options.

    Some numbers the model alone can refuse, and it knows no flags.
    """
    for flag, option in OPTIONS.items():
        if getattr(args, flag) is not None:
            typed = scene.flag_of(flag)
            message = re.sub(rf'(?:decoding )?\b{option}=True\b', typed, message)
            message = re.sub(rf'(?:decoding )?\b{option}=(?=\S)', f'{typed} ', message)
    return message


def names_of(samples: Sequence[tuple[str, str | None]]) -> dict[tuple, str]:
    """Return a file name for the answer to every sample; no two are the same."""
    from rscc.visualization.picture_files import safe_name
    if len(samples) == 1:
        files = [path for path in samples[0] if path]
        return {tuple(files): safe_name('_'.join(dict.fromkeys(Path(path).stem for path in files)))}
    root = os.path.commonpath([os.path.dirname(os.path.abspath(first)) for first, _ in samples])

    def candidates(sample: tuple[str, str | None]) -> list[str]:
        """Return names from short to long; the last one is the sample's alone."""
        path = Path(os.path.relpath(sample[0], root))
        short = path.with_suffix('').as_posix()
        return [short, path.as_posix(), f'{short} {Path(sample[1] or "").stem}',
                ' '.join(filter(None, sample))]

    names = {tuple(filter(None, sample)): candidates(sample) for sample in samples}
    used = Counter(name for own in names.values() for name in set(own))
    return {sample: safe_name(next((name for name in own if used[name] == 1), own[-1]))
            for sample, own in names.items()}


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Read the command line, answer and report.

    Args:
        arguments: The command line without the name of the program; None for that of the process.
        prog: Name of the program in usage and messages; None for that of the process.
    """
    parser = argparse.ArgumentParser(
        prog=prog, description='Answer pairs, or single images, of any size with a trained model.',
        usage='%(prog)s [[CONFIG] CKPT] (--img-from A --img-to B | --img A | --list FILE | '
              '--scenes FILE) [options]')
    add_arguments(parser)
    args = parser.parse_args(arguments)
    check_arguments(parser, args)
    try:
        run(args)
    except SystemExit as stopped:
        if isinstance(stopped.code, str):
            raise SystemExit(as_typed(stopped.code, args)) from stopped
        raise
    except KeyboardInterrupt:
        print('\ninterrupted: the files written so far are whole', file=sys.stderr)
        raise SystemExit(130) from None


def run(args: argparse.Namespace) -> None:
    """Answer and report.

    Args:
        args: Those of :func:`add_arguments`, checked by :func:`check_arguments`.

    Raises:
        SystemExit: With what is wrong with the images, the model or the decoding options.
    """
    if scene.wanted(args):
        scene.run(args, given_decoding(args))
        return
    # Imported late: help and wrong arguments should not wait for torch.
    from rscc.inference.inputs import samples_of
    try:
        samples = samples_of(scene.names(args.img or args.img_from), scene.names(args.img_to),
                             args.list)
    except (OSError, ValueError, ImportError) as error:
        raise SystemExit(f'error: {error}') from error
    from rscc.apis import ChangeInferencer
    config, checkpoint = args.model if len(args.model) == 2 else (args.model[0], None)
    try:
        inferencer = ChangeInferencer(
            config, checkpoint, args.device, args.amp, cfg_options=args.cfg_options,
            bands=args.bands, scale=args.scale, window=args.window, overlap=args.overlap)
        print(f'model        {inferencer.title}')
        if len(samples) == 1 and scene.larger_than_window(args, samples[0][0], inferencer.window):
            from rscc.scenes.torch_predictor import TorchPredictor
            decoding = decoding_of(args, inferencer.decoding)
            scene.run(args, decoding, TorchPredictor(inferencer.model_pass, decoding))
            return
        failed = answer_all(args, inferencer, samples)
    except (OSError, ValueError, ImportError) as error:
        raise SystemExit(f'error: {error}') from error
    if failed:
        raise SystemExit(f'error: {len(failed)} of {len(samples)} samples cannot be read; first: '
                         f'{failed[0]}')


def answer_all(args: argparse.Namespace, inferencer: Any, samples: list[tuple[str, str | None]]
               ) -> list[str]:
    """Print and write every answer; return the messages about samples that cannot be read."""
    from rscc.inference.result import describe
    names, failed, several = names_of(samples), [], len(samples) > 1

    def skip(_sample: tuple, error: Exception) -> None:
        failed.append(str(error))
        print(f'skipped      {error}')

    for result in inferencer.answers(samples, args.batch_size, skip if several else None,
                                     **decoding_of(args, inferencer.decoding)):
        if several:
            print(f"\n{' -> '.join(result.sources)}")
        print(describe(result, args.per_window))
        asked = [f'--{flag}' for flag in ('attention', 'trajectory') if getattr(args, flag)]
        asked += ['--nbest'] if (args.nbest or 1) > 1 else []
        if asked and len(result.windows) > 1:
            print(f"note         {' and '.join(asked)}: for single windows only; the sentence "
                  'above is put together from several. '
                  f'--window {max(result.processing.size)} takes the image whole, with smaller '
                  'objects than in training')
        if args.out:
            files = write(result, args.out, names[result.sources], inferencer.checkpoint)
            print('written      ' + '\n             '.join(map(str, files)))
    return failed


def write(result: Any, folder: str, name: str, checkpoint: str) -> list[Path]:
    """Write the files of one answer."""
    try:
        return result.save(folder, name, images=list(result.sources), checkpoint=checkpoint)
    except OSError as error:
        raise SystemExit(f"error: the pictures cannot be written to '{folder}': {error}"
                         ) from error
