"""The config commands: which configs there are, where one is, a copy to edit, and all it inherits.

``tools/misc/print_config.py`` calls the last of them.
"""
import argparse
import ast
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path

from rscc.apis.command_line import add_config_options, explained
from rscc.config.files import assigned, bases_of, config_folders, find_config
from rscc.utils import atomic_write
from rscc.utils.terminal import cells, padded


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """List the configs, print the path of one, or copy it with what it inherits from.

    Args:
        arguments: The command line without the name of the program; None for that of the process.
        prog: Name of the program in usage and messages; None for that of the process.

    Raises:
        SystemExit: If there is no such config, or a copy would replace another file.
    """
    parser = argparse.ArgumentParser(prog=prog, description=(
        'List the configs of ./configs and those that come with rscc; print the path of one.'))
    parser.add_argument('config', nargs='?', help='name or file of a config, e.g. blip_synth')
    parser.add_argument('--copy', metavar='DIR', help='copy the config to DIR, with the files it '
                        'inherits from, to edit it there; with DIR = configs every command takes '
                        'the copy when it is given the name')
    args = parser.parse_args(arguments)
    if args.copy and not args.config:
        parser.error('--copy copies one config: name it too')
    try:
        if args.copy:
            for path in copy_config(find_config(args.config), Path(args.copy)):
                print(path)
        elif args.config:
            print(find_config(args.config))
        else:
            list_configs()
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error


def list_configs() -> None:
    """Print every config but old names, in its folder, with the first line of its docstring."""
    for folder in config_folders():
        titles = dict(_titles(folder))
        width = max(map(cells, titles), default=0)
        print(f'{folder}:')
        for name, title in titles.items():
            print(f'  {padded(name, width)}  {title}')


def _titles(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.glob('*.py')):
        try:
            if assigned(path, '_deprecation_') is not None:
                continue
            text = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or ''
        except (SyntaxError, ValueError) as error:
            text = f'(not valid Python: {error})'
        yield path.stem, text.partition('\n')[0]


def copy_config(config: Path, folder: Path) -> list[Path]:
    """Copy a config and all that it inherits from, so that their relative paths hold.

    Args:
        config: The file.
        folder: Gets the config itself; what it inherits from goes beside it, as it lay.

    Returns:
        The copies. Files that are there with the same text are left.

    Raises:
        ValueError: If a base lies outside the config's folder, or a copy would replace another
            file; nothing is written then.
    """
    root = config.resolve().parent
    sources = [config.resolve(), *bases_of(config)]
    outside = [str(source) for source in sources if not source.is_relative_to(root)]
    if outside:
        raise ValueError(f"'{config}' inherits from files outside its folder: {outside}. Copy it "
                         'by hand, and name them in its _base_')
    copies = {folder / source.relative_to(root): source.read_text(encoding='utf-8')
              for source in sources}
    other = [str(copy) for copy, text in copies.items()
             if copy.exists() and copy.read_text(encoding='utf-8') != text]
    if other:
        raise ValueError(f'these files exist and differ: {", ".join(other)}. Nothing was copied; '
                         'choose another folder')
    for copy, text in copies.items():
        with atomic_write(copy) as file:
            file.write(text)
    return list(copies)


def print_config(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Print a config as it is after inheritance and overrides, after the check if asked for.

    Args:
        arguments: As in :func:`main`.
        prog: As in :func:`main`.
    """
    parser = argparse.ArgumentParser(prog=prog,
                                     description='Print a config with everything inherited.')
    parser.add_argument('config', help='config file or name, e.g. configs/blip_synth.py')
    parser.add_argument('--check', action='store_true',
                        help='also look up every type, keyword and path; ends with "# ok"')
    parser.add_argument('--data-root', help='folder of the datasets; sets RSCC_DATA first')
    add_config_options(parser)
    args = parser.parse_args(arguments)
    # Imported late: help and wrong arguments should not wait for torch.
    from rscc.apis.launch import read_config, set_data_root
    from rscc.config.check import check_config, merge_overrides
    # Notices of the logger go to standard error: the output is a config and may be kept as one.
    with explained(), redirect_stdout(sys.stderr):
        set_data_root(args.data_root)
        cfg = read_config(args.config)
        if args.check:
            check_config(cfg, overrides=args.cfg_options)
    merge_overrides(cfg, args.cfg_options)
    print(cfg.pretty_text + ('# ok' if args.check else ''))
