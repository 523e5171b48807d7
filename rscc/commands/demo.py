"""The demo command: a web page on which models answer.

``tools/demo.py`` has examples.
"""
import argparse
from collections.abc import Sequence

from rscc.config.files import SHIPPED
from rscc.demo.limits import Limits

_LIMITS = {'megabytes': ('MB', 'of one file'), 'megapixels': ('MPX', 'of one image'),
           'side': ('PIXELS', 'of the longer side of an image'),
           'minutes': ('MINUTES', 'after which a run is stopped'),
           'waiting': ('N', 'runs that may wait, all visitors together')}
_LOCAL = ('localhost', '127.0.0.1', '::1')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the page is told: models, where it listens, what it accepts."""
    parser.add_argument('model', nargs='*', metavar='CKPT', help='checkpoints, names of published '
                        'models or of configs; those for single images get a tab of their own '
                        f'(default: {SHIPPED}, which also answers pairs where no other does)')
    parser.add_argument('--host', default='127.0.0.1', help='where it listens: 127.0.0.1 is this '
                        'machine alone, 0.0.0.0 is for everybody who reaches it (%(default)s)')
    parser.add_argument('--port', type=int, default=7860, help='(%(default)s; 0 takes a free one)')
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... (default: the best one here)')
    parser.add_argument('--amp', action='store_true', help='reduced precision')
    group = parser.add_argument_group('limits')
    for name, (metavar, what) in _LIMITS.items():
        default = getattr(Limits, name)
        group.add_argument(f'--max-{name}', type=type(default), default=default, metavar=metavar,
                           help=f'{what} (%(default)s)')


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Read the command line and serve the page until it is interrupted.

    Args:
        arguments: The command line without the name of the program; None for that of the process.
        prog: Name of the program in usage and messages; None for that of the process.
    """
    parser = argparse.ArgumentParser(
        prog=prog, description='A web page: two images in; map, sentences, doubts and files out. '
        'Nothing leaves this machine.')
    add_arguments(parser)
    run(parser, parser.parse_args(arguments))


def run(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Load the models and serve.

    Args:
        parser: Tells of wrong arguments.
        args: Those of :func:`add_arguments`.

    Raises:
        SystemExit: If a package is missing, a model cannot be loaded, or the port is taken.
    """
    if not 0 <= args.port <= 65535:
        parser.error(f'--port {args.port}: expected a number from 0 to 65535')
    try:
        limits = Limits(**{name: getattr(args, f'max_{name}') for name in _LIMITS})
    except ValueError as error:
        parser.error(f'--max-{error}')
    from rscc.utils import require
    try:
        require('gradio', 'the web page')
        from rscc.demo.answers import Models
        from rscc.demo.server import listen, serve
        listening = listen(args.host, args.port)
        names = list(dict.fromkeys(args.model)) or [SHIPPED]
        models = Models(names, args.device, args.amp)
        if not models.of_task('pair'):
            models.add(SHIPPED)
            names.append(SHIPPED)
        for name in names:
            print(f'model        {models.title(name)}')
        serve(models, listening, limits, ready=lambda place: _ready(place, args.host))
    except (OSError, ValueError, ImportError) as error:
        raise SystemExit(f'error: {error}') from error
    except KeyboardInterrupt:
        pass
    print('\nthe page is closed; the files of its visitors are deleted')


def _ready(place: str, host: str) -> None:
    print(f'page         {place}  (Ctrl-C ends it)', flush=True)
    if host not in _LOCAL:
        print('note         other machines can open this page; there is no password and no '
              'encryption: keep it inside a network that you trust', flush=True)
