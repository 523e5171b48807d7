"""The doctor's command: what is wrong with a dataset, and what is in it.

``tools/analysis_tools/check_dataset.py`` and ``rscc check DATA`` call it.
"""
import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rscc.apis.command_line import (
    add_reading_arguments,
    explained,
    output_file,
    parse_scale,
    whole_number,
)
from rscc.utils.names import did_you_mean

if TYPE_CHECKING:
    from rscc.doctor.register import Register
    from rscc.doctor.sources import Part

SPLITS = ('train', 'val', 'test')
# Endings of files that belong to a dataset and are none themselves.
_LISTS = ('.json', '.txt', '.gz', '.csv', '.hdf5')


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Read the command line, check the dataset and say what was found.

    Args:
        arguments: The command line without the name of the program; None for that of the process.
        prog: Name of the program in usage and messages; None for that of the process.

    Raises:
        SystemExit: With code 1 where something grave was found, 2 where nothing can be checked.
    """
    parser = argparse.ArgumentParser(
        prog=prog, description='Check a dataset: files, images, masks, captions, and whether they '
        'agree; and show what is in it. Exit code 0: nothing grave, 1: something was found (see '
        '--fail-on), 2: it cannot be checked.')
    parser.add_argument('data', metavar='DATA', help='a folder, a config (file or name), or the '
                        'name of a dataset, e.g. levircc or LEVIRMCIDataset')
    add_arguments(parser)
    group = parser.add_argument_group('reading')
    add_reading_arguments(group)
    parser.add_argument('--json', type=output_file, metavar='FILE',
                        help='write findings and overview there')
    args = parser.parse_args(arguments)
    args.scale = parse_scale(parser, args.scale)
    run(args.data, args)


def add_arguments(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add what belongs to datasets alone: which part, how, and what is written."""
    parser.add_argument('--html', type=output_file, metavar='FILE',
                        help='write a page with pictures: findings, and '
                        'an overview of the dataset')
    parser.add_argument('--write-clean', type=output_file, metavar='LIST',
                        help='write the samples that nothing '
                        'speaks against; datasets take the file as clean_list')
    parser.add_argument('--language', choices=('en', 'zh'), default='en',
                        help='of text and page (%(default)s)')
    parser.add_argument('--captions', choices=('en', 'zh'), help='language of the captions that '
                        "are checked (default: the dataset's, or that of the first caption)")
    parser.add_argument('--split', nargs='+', metavar='NAME', help='these splits only')
    parser.add_argument('--data-root', metavar='DIR', help='folder of the dataset that is named, '
                        'or of all datasets of a config')
    parser.add_argument('--max-tokens', type=whole_number(1), metavar='N', help='words a '
                        "caption head learns (default: the config's head and its tokens)")
    parser.add_argument('--quick', action='store_true', help='read headers of images alone: no '
                        'pixels, masks, duplicates or shifts')
    parser.add_argument('--no-images', action='store_true', help='look at no image file: captions '
                        'and flags alone')
    parser.add_argument('--state', type=output_file, metavar='FILE',
                        help='keep what is done there; a run that was '
                        'ended goes on from it')
    parser.add_argument('--jobs', type=whole_number(1), metavar='N', help='threads '
                        '(default: all cores)')
    parser.add_argument('--fail-on', choices=('error', 'warning', 'note', 'never'),
                        default='error', help='what gives exit code 1 (%(default)s)')


def run(data: str, args: argparse.Namespace) -> None:
    """Check and report.

    Args:
        data: Folder, config or name.
        args: Those of :func:`add_arguments`, with ``json``, ``bands`` and ``scale``.

    Raises:
        SystemExit: With code 1 or 2, see :func:`main`.
    """
    from rscc.doctor.report import exit_code
    try:
        with explained(), _in_language(args.language):
            parts = parts_of(data, args)
            register = _checked(parts, args)
            try:
                _tell(register, parts, args)
                code = exit_code(register.counts(), args.fail_on)
            finally:
                register.close()
    except SystemExit as stopped:
        if not isinstance(stopped.code, str):
            raise
        print(stopped.code, file=sys.stderr)
        raise SystemExit(2) from stopped
    raise SystemExit(code)


@contextmanager
def _in_language(language: str) -> Iterator[None]:
    """Tell errors that are known in both languages in that of the command."""
    from rscc.doctor.details import Detail
    try:
        yield
    except ValueError as error:
        if language == 'en' or not error.args or not isinstance(error.args[0], Detail):
            raise
        raise ValueError(error.args[0].text(language)) from error


def _checked(parts: 'Sequence[Part]', args: argparse.Namespace) -> 'Register':
    from rscc.doctor.examination import check_up
    try:
        return check_up(parts, args.state, not args.quick, args.jobs, not args.no_images,
                        args.language)
    except KeyboardInterrupt:
        how = (f'the same command goes on from {args.state!r}' if args.state else
               'give --state FILE to a long run, and it can go on')
        raise SystemExit(f'stopped; {how}') from None


def _tell(register: 'Register', parts: 'Sequence[Part]', args: argparse.Namespace) -> None:
    """Print the findings and write what was asked for."""
    from rscc.doctor.report import as_json, as_text, told_clean, write_clean
    print(as_text(register, parts, args.language))
    if args.write_clean:
        kept, left = write_clean(register, args.write_clean)
        print(told_clean(register, args.write_clean, kept, left, args.language))
    if not (args.json or args.html):
        return
    from rscc.doctor.overview import overview
    from rscc.utils import write_json
    found = overview(register, parts)
    if args.json:
        write_json(args.json, as_json(register, parts, found))
    if args.html:
        from rscc.doctor.kinds import WORDS
        from rscc.doctor.page import write_page
        page = write_page(register, parts, found, args.html, args.language)
        print(WORDS[args.language]['page'].format(page))


# ---- what DATA means -------------------------------------------------------------------------


def is_dataset(data: str) -> bool:
    """Return whether an argument names a dataset: a folder, a config or a name, no image."""
    path = Path(data)
    if path.is_dir() or path.suffix in ('.py', *_LISTS):
        return True
    return not (path.suffix or path.is_file() or '://' in data or data.startswith('/vsi'))


def parts_of(data: str, args: argparse.Namespace) -> 'list[Part]':
    """Find out what a folder, config or name stands for.

    Raises:
        FileNotFoundError, ValueError: If it stands for nothing, or its annotations are missing.
    """
    from rscc.doctor.details import detail
    from rscc.doctor.recognition import parts_of_folder, parts_of_name
    path = Path(data).expanduser()
    if path.is_file() and path.suffix not in ('.py', '.yml', '.yaml'):
        raise ValueError(detail('a_file', data=data, folder=str(path.absolute().parent)))
    if path.is_dir():
        parts = parts_of_folder(path, args.captions)
    elif path.suffix == '.py' or (named := _config_of(data)):
        parts = _of_config(data if path.suffix == '.py' else named, args)
    else:
        _check_name(data)
        parts = parts_of_name(data, args.data_root)
    for part in parts:
        _apply(part, args)
    return parts


def _config_of(name: str) -> str | None:
    """Return the name where there is a config of it."""
    from rscc.config.files import find_config
    try:
        return str(find_config(name))
    except FileNotFoundError:
        return None


def _check_name(name: str) -> None:
    """Refuse what is neither a folder, a config nor a dataset.

    Raises:
        ValueError: If it is not; names the nearest.
    """
    from rscc.features.extraction import NAMES
    from rscc.registry import DATASETS
    if name in NAMES or DATASETS.get(name) is not None:
        return
    from rscc.config.files import config_names
    known = [*NAMES, *DATASETS.module_dict, *config_names()]
    raise ValueError(f"'{name}' is no folder, config or dataset.{did_you_mean(name, known)} "
                     'Expected a folder of images, a config ("rscc configs" lists them), or one of '
                     f'{", ".join(NAMES)}')


def _of_config(config: str, args: argparse.Namespace) -> 'list[Part]':
    """Describe the datasets of all splits of a config, and the limit of its caption head."""
    from mmengine.registry import DefaultScope

    from rscc.apis.launch import read_config, set_data_root
    from rscc.doctor.recognition import parts_of_config
    set_data_root(args.data_root)
    cfg = read_config(config)
    parts, seen = [], set()
    with DefaultScope.overwrite_default_scope('rscc'):
        for split in args.split or SPLITS:
            loader = cfg.get(f'{split}_dataloader')
            for part in parts_of_config(loader.dataset.to_dict()) if loader else ():
                mark = (part.files, part.splits, part.root)
                if mark not in seen:  # some configs test on what they validate on
                    seen.add(mark)
                    parts.append(part)
        tokens_of, most = head_limit(cfg.to_dict())
    if not parts:
        raise ValueError(f"config '{config}' has no datasets for {list(args.split or SPLITS)}")
    for part in parts:
        part.tokens_of, part.max_tokens = tokens_of, most
    return parts


def head_limit(cfg: Mapping[str, Any]) -> tuple[Callable[[str], int] | None, int | None]:
    """Return what counts the tokens of a caption, and how many the config's caption head learns."""
    import inspect

    from rscc.registry import MODELS, TOKENIZERS
    head = (cfg.get('model') or {}).get('caption_head')
    if not head or not head.get('tokenizer'):
        return None, None
    kind = MODELS.get(head['type'])
    default = inspect.signature(kind).parameters.get('max_tokens')
    most = head.get('max_tokens', default and default.default)
    try:
        tokenizer = TOKENIZERS.build(dict(head['tokenizer']))
    except FileNotFoundError as error:  # made of the training captions, perhaps not yet
        print(f'note: captions are not compared with the head: {error}', file=sys.stderr)
        return None, None
    start = len(tokenizer.start_ids) + 1
    return (lambda text: len(tokenizer.encode(text)) - start), most or tokenizer.max_tokens


def _apply(part: 'Part', args: argparse.Namespace) -> None:
    """Apply the options of the command line to a part."""
    if args.bands:
        part.bands = tuple(args.bands)
    if args.scale is not None:
        part.scale = args.scale
    if args.max_tokens:
        from rscc.doctor.sentences import words_of
        part.max_tokens = args.max_tokens
        part.tokens_of = part.tokens_of or (lambda text: len(words_of(text, part.language)))
    if args.split:
        every, wanted = part.samples, set(args.split)
        part.samples = lambda: (one for one in every() if one.split in wanted)
        part.splits = part.splits or tuple(sorted(wanted))
