"""Arguments that several tools share, and errors as messages instead of tracebacks.

Nothing heavy is imported here: ``--help`` and mistyped arguments are answered at once, and a tool
imports torch and MMEngine when its arguments have been read.
"""
import argparse
import ast
import errno
import importlib
import linecache
import logging
import math
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import rscc

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')


def choose_command(commands: Mapping[str, tuple[str, str]], arguments: Sequence[str] | None,
                   prog: str | None, description: str, what: str = 'command') -> None:
    """Run the command that the first argument names, with the arguments after it.

    Without arguments, or with ``--help``, the commands are listed. Only the module of the chosen
    command is imported.

    Args:
        commands: Name -> (place, one line of help). The place is a module, whose ``main`` is
            called, or ``module:function``; both take ``arguments`` and ``prog``.
        arguments: The command line without the name of the program; None for that of the process.
        prog: Name of the program in usage and messages; None for that of the process.
        description: What stands above the list.
        what: What a name is called.

    Raises:
        SystemExit: With code 2 if there is no such command; the message names the nearest.
    """
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ['--help']
    prog = prog or Path(sys.argv[0]).name
    if name in ('-h', '--help'):
        width = max(map(len, commands))
        lines = [f'  {name:{width}}  {text}' for name, (_, text) in commands.items()]
        print(f'usage: {prog} {what.upper()} [arguments]\n\n{description}\n\n{what}s:\n'
              + '\n'.join(lines) + f'\n\n"{prog} {what.upper()} --help" shows the arguments of one')
        return
    if name not in commands:
        from rscc.utils.names import did_you_mean
        print(f"{prog}: error: no {what} '{name}'.{did_you_mean(name, commands)} There are "
              f'{", ".join(commands)}', file=sys.stderr)
        raise SystemExit(2)
    module, _, function = commands[name][0].partition(':')
    getattr(importlib.import_module(module), function or 'main')(rest, f'{prog} {name}')


class ConfigOptions(argparse.Action):
    """MMEngine's ``DictAction`` for ``KEY=VALUE``, imported when the flag is given.

    A value in braces is a dict as Python writes it (``label_map={0: 0, 255: 1}``), which MMEngine's
    action takes for a list of strings.
    """

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace,
                 values: Sequence[str], option_string: str | None = None) -> None:
        """Add the settings to those of earlier flags."""
        odd = [value for value in values if '=' not in value]
        if odd:
            parser.error(f"{option_string} takes KEY=VALUE, found '{odd[0]}'")
        from mmengine.config import DictAction
        dicts = {key: _dict_value(parser, key, text) for key, text in
                 (value.split('=', 1) for value in values) if text.startswith('{')}
        rest = [value for value in values if value.split('=', 1)[0] not in dicts]
        DictAction(self.option_strings, self.dest)(parser, namespace, rest, option_string)
        setattr(namespace, self.dest, {**getattr(namespace, self.dest), **dicts})


def _dict_value(parser: argparse.ArgumentParser, key: str, text: str) -> dict:
    """Return a dict that a setting is given as, or end with what is wrong with it."""
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError) as error:
        parser.error(f'{key}={text} is no dict as Python writes it ({error}): expected '
                     f'"{key}={{0: 0, 255: 1}}", in quotes because of the blanks')
    return value if isinstance(value, dict) else parser.error(
        f'{key}={text} is a set: expected a dict, "{key}={{0: 0, 255: 1}}"')


def described(doc: str) -> str:
    """Return a tool's docstring as its help shows it, without the marks of reStructuredText."""
    return doc.replace('``', '').replace('::\n', ':\n')


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return a ``type`` of an argument that takes whole numbers of a range and refuses others.

    What a model would refuse after it was loaded is so refused at once, by the name of the flag.

    Args:
        least: The smallest.
        most: The largest, None where there is none.
    """
    expected = f'{least} or more' if most is None else f'{least} to {most}'

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"found '{text}', expected a whole number, {expected}")
        return value

    return number


def factor(text: str) -> float:
    """Take a finite number, 0 or more, as ``type`` of an argument.

    Raises:
        argparse.ArgumentTypeError: If it is anything else.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"found '{text}', expected a number, 0 or more")
    return value


def output_file(text: str) -> str:
    """Take the name of a file that will be written, as ``type`` of an argument.

    Whoever waits for hours should not be told afterwards that the answer has no place.

    Raises:
        argparse.ArgumentTypeError: If it is a folder, or cannot be made where it should stand.
    """
    path = Path(text).expanduser()
    if path.is_dir() or text.endswith(('/', os.sep)):
        raise argparse.ArgumentTypeError(f"'{text}' is a folder; expected the name of a file, with "
                                         'its ending, in it or elsewhere')
    _check_place(text, path.absolute().parent)
    return text


def output_folder(text: str) -> str:
    """Take the name of a folder that will be written to, as ``type`` of an argument.

    Raises:
        argparse.ArgumentTypeError: If it is a file, or cannot be made where it should stand.
    """
    _check_place(text, Path(text).expanduser().absolute())
    return text


def _check_place(text: str, folder: Path) -> None:
    """Refuse a folder that can neither be written to nor made."""
    there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not there.is_dir():
        what = 'a broken link' if there.is_symlink() and not there.exists() else 'a file'
        raise argparse.ArgumentTypeError(f"'{text}': '{there}' is {what}; a folder was expected")
    try:
        # To ask is not enough: permissions say nothing of a file system that is read-only.
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"'{text}': no permission to write in '{there}' "
                                         f'({error.strerror})') from error


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``; ``args.cfg_options`` is a dict with dotted keys, or None."""
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE',
                        help='override settings, e.g. train_dataloader.batch_size=8; a key that '
                        'does not exist is refused')


def add_shared_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that training and testing have in common."""
    parser.add_argument('--work-dir', type=output_folder, help='where logs and checkpoints go '
                        '(default: work_dirs/<name of the config>)')
    parser.add_argument('--data-root', help='folder of the datasets, or of the one used here; '
                        'sets RSCC_DATA before the config is read')
    parser.add_argument('--amp', action='store_true', help='reduced precision: bfloat16 on CPUs '
                        'that have it and on newer GPUs, float16 on older ones')
    add_config_options(parser)
    parser.add_argument('--check', action='store_true', help='check the config, build its datasets '
                        'and prepare their first samples, and do nothing else; ends with "ok"')
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none',
                        help='what started the processes (tools/dist_*.sh pass pytorch)')
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0,
                        help=argparse.SUPPRESS)


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every tool takes that writes a checkpoint with its config."""
    parser.add_argument('out', type=output_file,
                        help='the new checkpoint, .pth; its config gets the ending .py')
    add_config_options(parser)


def add_dataset_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what names a captioned dataset (see ``rscc.features.extraction.build_dataset``)."""
    # The second spelling is that of CLIP-GPT's generate_clip_embeddings.py.
    parser.add_argument('--dataset', '--dataset_type', required=True, metavar='NAME',
                        help='sydney, ucm, rsicd, synth, synth_change, levircc (with _cn for '
                        'Chinese) or a dataset class')
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
                        help="weights: a file (OpenAI's archive, state dict, safetensors), the "
                        'folder of a SigLIP, a name for remote sensing such as remoteclip-rn50, or '
                        'a tag that open_clip downloads (%(default)s)')
    parser.add_argument('--quick-gelu', choices=('yes', 'no'), help='activation, for weights that '
                        'do not say what they were trained with (yes)')


def add_batch_arguments(parser: argparse.ArgumentParser, bands: bool = True) -> None:
    """Add how images are read and computed (see ``rscc.inference.preparation.BatchOptions``).

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


def add_reading_arguments(group: argparse._ArgumentGroup) -> None:
    """Add how the values of image files become 8 bits; see :func:`parse_scale`."""
    group.add_argument('--bands', nargs='+', type=_band, metavar='BAND', help='bands to read, '
                       'counted from 1, for files that are not RGB: red, green, blue, then any '
                       'others that the model takes')
    group.add_argument('--scale', nargs='+', metavar='VALUE', help='two values that become black '
                       'and white, for files of more than 8 bits, or two for each band; or '
                       "'percentile'")


def _band(text: str) -> int:
    """Return a number of a band; anything else is perhaps the file that follows the numbers."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"'{text}' is no number of a band. Files stand before "
                                         '--bands, or behind -- after its numbers')
    return int(text)


def parse_scale(parser: argparse.ArgumentParser, given: list[str] | None
                ) -> tuple[float, float] | tuple[tuple[float, float], ...] | str | None:
    """Return what ``--scale`` says: two finite numbers, such a pair a band, 'percentile', or None.

    Raises:
        SystemExit: With code 2 and a message if it says anything else.
    """
    if given is None or given == ['percentile']:
        return given and given[0]
    said = f"--scale {' '.join(given)}"
    try:
        numbers = [*map(float, given)]
    except ValueError:
        numbers = []
    if not numbers or len(numbers) % 2:
        parser.error(f"{said}: expected two numbers, two for each band, or 'percentile'")
    if not all(map(math.isfinite, numbers)):
        parser.error(f'{said}: expected finite numbers')
    pairs = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    if any(low >= high for low, high in pairs):
        parser.error(f'{said}: expected the lower value first')
    return pairs[0] if len(pairs) == 1 else pairs


def parse_batches(parser: argparse.ArgumentParser, arguments: list[str] | None
                  ) -> argparse.Namespace:
    """Parse, and check what :func:`add_batch_arguments` and :func:`add_clip_arguments` added."""
    args = parser.parse_args(arguments)
    if args.batch_size < 1 or args.num_workers < 0:
        parser.error(f'--batch-size {args.batch_size} --num-workers {args.num_workers}: expected '
                     'at least 1 and 0')
    if 'quick_gelu' in args and args.quick_gelu is not None:
        args.quick_gelu = args.quick_gelu == 'yes'
    return args


# This package, and its tools beside it.
_PACKAGE = Path(rscc.__file__).parent
_OURS = (f'{_PACKAGE}{os.sep}', f'{_PACKAGE.parent / "tools"}{os.sep}')
# A worker process hands its exception over as text; these find the last place in it and its words.
_FRAME = re.compile(r'^ +File "(?P<file>[^"]+)", line \d+, in .*\n +(?P<code>.*)$', re.M)
_WORDS = re.compile(r'^[\w.]*(?:Error|Exception): ', re.M)
_PLACES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM,
           errno.EISDIR, errno.ENOTDIR)
_KILLED = re.compile(r'DataLoader worker \(pid(?:\(s\))? [\d, ]+\) [^\n.]*')


@contextmanager
def explained() -> Iterator[None]:
    """Turn errors that this package raises on purpose into their message and exit code 1.

    A wrong file among thousands deserves one readable line, not a hundred of calls through loaders
    and registries. The traceback goes into the run's log file. Anything else is a fault of the
    code and passes unchanged.

    Raises:
        SystemExit: With the message.
    """
    try:
        yield
    except Exception as error:
        message = explanation(error)
        if message is None:
            raise
        rank = os.environ.get('RANK', '0')
        where = _log_traceback()
        raise SystemExit(f'error{"" if rank == "0" else f" (rank {rank})"}: {message}'
                         + (f' (traceback: {where})' if where else '')) from error


def explanation(error: BaseException) -> str | None:
    """Return the message of an error that was raised on purpose, None for a fault of the code.

    On purpose means: by a ``raise`` statement of this package or its tools, here or in a data
    worker. Told too are a disk that is full or may not be written, a folder where a file should be,
    and a process of the run that was ended.
    """
    text = str(error)
    # The cause, where there is one, names the signal.
    killed = _KILLED.search(str(error.__cause__)) or _KILLED.search(text)
    if killed:
        return (f'{killed.group()}. Something ended a process that loads data, most often the '
                'system because memory ran out. Lower num_workers or batch_size of the dataloader '
                '(num_workers=0 loads in the main process), then continue with --resume')
    if 'Connection closed by peer' in text or 'Connection reset by peer' in text:
        return ('another process of this run ended, see its message above or below; '
                'continue with --resume')
    if 'Original Traceback' in text:
        return _of_worker(text)
    if isinstance(error, OSError) and error.errno in _PLACES:
        # Ours come without a file name: it stands in the words.
        return f"{error.strerror}: '{error.filename}'" if error.filename else error.strerror
    frames = traceback.extract_tb(error.__traceback__)
    if not frames or not _on_purpose(frames[-1].filename, linecache.getline(
            frames[-1].filename, frames[-1].lineno or 0)):
        return None
    # KeyError quotes its message.
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else text


def _of_worker(text: str) -> str | None:
    frames = list(_FRAME.finditer(text))
    if not frames or not _on_purpose(frames[-1]['file'], frames[-1]['code']):
        return None
    words = _WORDS.search(text, frames[-1].end())
    return text[words.end():].strip() if words else None


def _on_purpose(file: str, code: str) -> bool:
    return file.startswith(_OURS) and code.strip().startswith('raise ')


def _log_traceback() -> str | None:
    """Append the current traceback to the run's log file and return that file's name."""
    if 'mmengine' not in sys.modules:  # then there is no log, and exported models do without it
        return None
    from mmengine.logging import MMLogger  # late, see above
    logger = MMLogger.get_current_instance()
    files = [handler for handler in logger.handlers if isinstance(handler, logging.FileHandler)]
    for handler in files:
        handler.handle(logger.makeRecord(logger.name, logging.ERROR, __file__, 0,
                                         'stopped by an error', (), sys.exc_info()))
    return files[0].baseFilename if files else None
