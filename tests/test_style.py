"""The tree keeps its own rules: lint, spelling, sizes."""
import ast
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

MOST_LINES, FEWEST_LINES = 500, 30
MOST_LINES_OF_A_LEAF = 40
MOST_BYTES, MOST_BYTES_OF_A_MODEL = 1_000_000, 20_000_000
# 190 modules, and since then the rooms scenes, deployment and commands, and one file for each new
# encoder, tokenizer and family of weights. The varied look of the built-in dataset has four: layout
# (town), changes (varied), roofs, and a date's picture (view); one file would be 1,500 lines.
# Sixteen came with the shipped model: tiles, pseudo-pairs and their collages, mosaics, appearance
# of sensors and air, training data cut from scenes, two languages, map guidance, publishing; two
# more are views of tiles and polygons on grids, which three parts draw. Some thirty came with what
# makes answers trusted: the web page, the check of datasets, doubt, scores of what sentences say.
# What became what, published baselines beside ours and the list of models asked for thirty more,
# words of doubt and captions learnt from another captioner for a few, captions out of masks six,
# precision by group of layers one, weights laid out for few rows one, METEOR's paraphrases one.
MOST_MODULES, LEAST_MEDIAN = 354, 110
#: Path of a longer file -> why it is one file.
LONG: dict[str, str] = {}
#: Path of a shorter module -> why it is a file of its own; packages' ``__init__`` need no reason.
SHORT = {
    'rscc/version.py': 'setup.py reads it without importing the package',
    'rscc/__main__.py': 'python -m rscc asks for a file of this name',
    'rscc/datasets/image_files.py': 'an old name of rscc.rasters.image_files that stays importable',
}


def tracked(repo, *patterns):
    """Return the files that git knows, or all that match where there is no git folder."""
    if shutil.which('git') and (repo / '.git').exists():
        done = subprocess.run(['git', 'ls-files', '-z', *patterns], cwd=repo, capture_output=True,
                              text=True, check=True)
        names = [name for name in done.stdout.split('\0') if name]
    else:
        names = [str(path.relative_to(repo)) for pattern in patterns or ('*',)
                 for path in repo.rglob(pattern) if path.is_file() and '.venv' not in path.parts]
    return [repo / name for name in names if (repo / name).is_file()]


def command(module):
    """Return how to call a tool that stands beside this interpreter, or skip."""
    beside = Path(sys.executable).with_name(module)
    if not beside.exists() and not shutil.which(module):
        pytest.skip(f"'{module}' is not installed (requirements/tests.txt)")
    return str(beside) if beside.exists() else module


def test_ruff_finds_nothing(repo):
    done = subprocess.run([command('ruff'), 'check', '--output-format', 'concise', '.'], cwd=repo,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_codespell_finds_nothing(repo):
    files = [str(path.relative_to(repo)) for path in tracked(repo, '*.py', '*.md', '*.sh')
             if not path.name.endswith('zh-CN.md') and not {'zh_cn', 'tests'} & set(path.parts)]
    done = subprocess.run([command('codespell'), *files], cwd=repo, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_leaf_configs_read_like_a_title_page(repo):
    long = {path.name: count for path in sorted((repo / 'configs').glob('*.py'))
            if (count := len(path.read_text().splitlines())) > MOST_LINES_OF_A_LEAF}
    assert not long, f'leaf configs over {MOST_LINES_OF_A_LEAF} lines: {long}'


def lines_of(repo, *patterns):
    return {str(path.relative_to(repo)): path.read_text(encoding='utf-8').splitlines()
            for path in tracked(repo, *patterns)}


def modules_of(repo):
    """Return path -> lines of the package's modules; ``__init__`` only re-exports or registers."""
    return {name: lines for name, lines in lines_of(repo, '*.py').items()
            if name.startswith('rscc/') and not name.endswith('__init__.py')}


def test_no_file_tells_two_stories(repo):
    long = {name: len(lines) for name, lines in lines_of(repo, '*.py', '*.sh').items()
            if len(lines) > MOST_LINES and name not in LONG}
    assert not long, f'files over {MOST_LINES} lines without a reason in LONG: {long}'


def test_no_story_is_spread_over_splinters(repo):
    modules = modules_of(repo)
    short = {name: len(lines) for name, lines in modules.items()
             if len(lines) < FEWEST_LINES and name not in SHORT}
    assert not short, f'modules under {FEWEST_LINES} lines without a reason in SHORT: {short}'
    assert len(modules) <= MOST_MODULES
    assert statistics.median(map(len, modules.values())) >= LEAST_MEDIAN


def test_reasons_are_those_of_files_that_need_one(repo):
    lengths = {name: len(lines) for name, lines in lines_of(repo, '*.py', '*.sh').items()}
    assert all(lengths.get(name, 0) > MOST_LINES for name in LONG)
    assert all(0 < lengths.get(name, 0) < FEWEST_LINES for name in SHORT)


def test_no_large_file_is_tracked(repo):
    sizes = {path.relative_to(repo): path.stat().st_size for path in tracked(repo)}
    large = {str(path): size for path, size in sizes.items() if size > (
        MOST_BYTES_OF_A_MODEL if path.match('rscc/weights/*/model.safetensors') else MOST_BYTES)}
    assert not large, f'files over {MOST_BYTES} bytes (models: {MOST_BYTES_OF_A_MODEL}): {large}'


def test_configs_hold_no_absolute_path(repo):
    found = []
    for path in sorted((repo / 'configs').rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and (
                    node.value.startswith(('/', '~')) or node.value[1:3] == ':\\'):
                found.append(f'{path.relative_to(repo)}:{node.lineno} {node.value!r}')
    assert not found, 'absolute paths in configs:\n' + '\n'.join(found)


def test_every_public_class_says_what_it_is(repo):
    bare = []
    for path in sorted((repo / 'rscc').rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith('_') and not (
                    ast.get_docstring(node)):
                bare.append(f'{path.relative_to(repo)}:{node.lineno} class {node.name}')
    assert not bare, 'public classes without a docstring:\n' + '\n'.join(bare)


def test_nothing_is_left_for_later(repo):
    words = ['TO' + 'DO', 'FIX' + 'ME', 'X' * 3]
    found = [f'{path.relative_to(repo)}:{number} {line.strip()}'
             for path in tracked(repo, '*.py', '*.sh', '*.md')
             for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1)
             if any(f' {word}' in line or f'({word}' in line for word in words)]
    assert not found, 'left for later:\n' + '\n'.join(found)
