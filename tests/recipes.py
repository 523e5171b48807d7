"""Recipes of CONTRIBUTING: read out of its pages as files and commands, and carried out.

Run as a script inside a copy of the repository, it reads commands from its input and carries them
out one after the other. Each runs in a fork of this process, which has imported what all of them
need: seven recipes with four commands each would else import torch thirty times.
"""
import gc
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PAGES = ('CONTRIBUTING.md', 'CONTRIBUTING_zh-CN.md')
#: What a copy of the repository needs; recordings and pictures are no part of any recipe.
PARTS = ('rscc', 'configs', 'tools', 'tests', 'docs', 'pyproject.toml')
LEFT_OUT = ('parity', 'images', '__pycache__')
#: A line that ends in a path and a colon, and the code block below it, is a file to write.
FILE = re.compile(r'`([\w./-]+)`[:：]\n\n```(?:python|json|yaml)\n(.*?)^```$', re.M | re.S)
BLOCK = re.compile(r'^```bash\n(.*?)^```$', re.M | re.S)


class Recipe(NamedTuple):
    """One section of a page.

    Attributes:
        title: Its heading.
        files: Path -> content, as the section says.
        commands: Its command lines, continued ones joined, without comments.
    """
    title: str
    files: dict[str, str]
    commands: list[str]


def sections(page: str) -> list[Recipe]:
    """Return the sections of a page, those without files among them."""
    text = (ROOT / page).read_text(encoding='utf-8')
    parts = re.split(r'^## (.+)$', text, flags=re.M)
    found = []
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        lines = re.sub(r'\\\n\s*', '', '\n'.join(BLOCK.findall(body))).splitlines()
        commands = [re.sub(r'\s+#.*$', '', line).strip() for line in lines]
        found.append(Recipe(title, dict(FILE.findall(body)), list(filter(None, commands))))
    return found


def recipes(page: str) -> list[Recipe]:
    """Return the sections of a page that have files to write."""
    return [section for section in sections(page) if section.files]


def written_files(page: str) -> set[str]:
    """Return the files that a reader of a page is told to write."""
    path = ROOT / page
    return {name for name, _ in FILE.findall(path.read_text(encoding='utf-8'))}


def copy_repository(folder: Path) -> None:
    """Copy what the recipes need of the repository into a folder."""
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns(*LEFT_OUT))
        else:
            shutil.copy(source, folder / name)


def carry_out(commands: list[str], folder: Path) -> tuple[int, str]:
    """Run commands in a copy of the repository; return the exit status and all that they said."""
    env = {key: value for key, value in os.environ.items()
           if key not in ('RSCC_DATA', 'CDPATH', 'PYTHONDONTWRITEBYTECODE')}
    env['PATH'] = str(Path(sys.executable).parent)  # no java: METEOR takes it seconds a test
    done = subprocess.run(
        [sys.executable, str(folder / 'tests/recipes.py')], cwd=folder, text=True,
        input='\n'.join(commands), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**env, 'PYTHONPATH': str(folder)}, check=False, timeout=1800)
    return done.returncode, done.stdout


def main() -> None:
    """Carry out the commands of the input, up to the first that fails."""
    commands = sys.stdin.read().splitlines()
    os.environ['PWD'] = os.getcwd()
    import pytest  # noqa: F401

    from rscc.registry import DATASETS, METRICS, MODELS
    for registry in (DATASETS, METRICS, MODELS):
        registry.known_names()
    gc.collect()
    gc.freeze()  # MMEngine collects in every fork, and would copy the memory of all imports
    for command in commands:
        print(f'$ {command}', flush=True)
        words = shlex.split(os.path.expandvars(command))
        if words[0] == 'export':
            os.environ.update([words[1].split('=', 1)])
        elif words[0] == 'cd':
            os.chdir(words[1])
            os.environ['PWD'] = os.getcwd()
        elif status := run_apart(words):
            raise SystemExit(f'exit status {status}: {command}')


def run_apart(words: list[str]) -> int:
    """Run one command in a fork; return its exit status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        # As `python` does: first the folder of the script, then the folders of PYTHONPATH.
        sys.path[:0] = [str(Path(words[1]).parent) if words[0] == 'python' else os.getcwd(),
                        *os.environ['PYTHONPATH'].split(os.pathsep)]
        run_here(words)
        status = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def run_here(words: list[str]) -> None:
    """Run one command in this process.

    Raises:
        ValueError: If it is none that a recipe may use.
    """
    if words[0] == 'rscc':
        sys.argv = words
        runpy.run_module('rscc', run_name='__main__')
    elif words[:2] == ['python', '-m']:
        sys.argv = words[2:]
        runpy.run_module(words[2], run_name='__main__', alter_sys=True)
    elif words[0] == 'python':
        sys.argv = words[1:]
        runpy.run_path(words[1], run_name='__main__')
    else:
        raise ValueError(f"'{words[0]}': recipes run python, rscc, cd and export")


if __name__ == '__main__':
    main()
