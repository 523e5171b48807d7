"""A module imports only from lower floors, and siblings of one floor never import each other."""
import ast
from pathlib import Path

import pytest

# Part -> floor; '' is the package itself. A part imports from itself and from lower floors.
FLOORS = {
    'version': 0, '': 1, 'compat': 1, 'utils': 1,
    'structures': 2, 'registry': 2,
    'config': 3, 'text': 3, 'synth': 3, 'rasters': 3,
    'datasets': 4, 'models': 4, 'evaluation': 4, 'visualization': 4,
    'engine': 5,
    'inference': 6, 'importers': 6,
    'features': 7,
    'apis': 8,
}
TOOLS = 9


def imported_modules(path, package):
    """Yield (line, absolute dotted module) of every import in a file, those in functions too."""
    tree = ast.parse(path.read_text(encoding='utf-8'), filename=str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if node.level:
                base = '.'.join([*package[:len(package) - node.level + 1], *filter(None, [base])])
            if base == 'rscc':
                yield from ((node.lineno, f'rscc.{alias.name}') for alias in node.names)
            else:
                yield node.lineno, base


def floor_of(part):
    assert part in FLOORS, f"'rscc/{part}' has no floor; give it one in tests/test_floors.py"
    return FLOORS[part]


def offences(root):
    """Return one line per forbidden import below a repository root."""
    found = []
    for path in sorted([*root.glob('rscc/**/*.py'), *root.glob('tools/**/*.py')]):
        relative = path.relative_to(root)
        inside = relative.parts[0] == 'rscc'
        part = relative.with_suffix('').parts[1] if inside else None
        here = floor_of('' if part == '__init__' else part) if inside else TOOLS
        for line, module in imported_modules(path, relative.parts[:-1]):
            names = module.split('.')
            if names[0] in ('tools', 'tests', 'configs') and inside:
                found.append(f'{relative}:{line} imports {module}: the package stands on its own')
            if names[0] != 'rscc':
                continue
            there = floor_of(names[1] if len(names) > 1 else '')
            if there > here:
                found.append(f'{relative}:{line} imports {module}: floor {here} may not know '
                             f'floor {there}')
            elif there == here and names[1:2] != [part]:
                found.append(f'{relative}:{line} imports {module}: siblings of floor {here} '
                             'meet through structures and registries')
    return found


def test_every_import_goes_down(repo):
    assert not offences(repo), 'imports against the floors:\n' + '\n'.join(offences(repo))


def test_utils_are_free_of_torch(repo):
    heavy = {'torch', 'torchvision', 'transformers', 'mmengine', 'mmcv', 'mmseg', 'numpy'}
    found = [f'{path.relative_to(repo)}:{line} imports {module}'
             for path in sorted(repo.glob('rscc/utils/**/*.py'))
             for line, module in top_level_imports(path)
             if module.split('.')[0] in heavy]
    assert not found, 'utils must stay light:\n' + '\n'.join(found)


def top_level_imports(path):
    tree = ast.parse(path.read_text(encoding='utf-8'))
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module


def test_every_folder_of_the_package_has_a_floor(repo):
    parts = {path.stem for path in (repo / 'rscc').iterdir() if not path.name.startswith('__')}
    assert parts <= set(FLOORS), f'no floor given for {sorted(parts - set(FLOORS))}'


@pytest.mark.parametrize(('file', 'source', 'reason'), [
    ('rscc/models/bad.py', 'import os\nfrom rscc.engine import hooks\n', 'floor 4 may not know'),
    ('rscc/models/bad.py', '\n\ndef f():\n    from rscc.datasets import base\n', 'siblings'),
    ('rscc/text/bad.py', 'from rscc.config import check\n', 'siblings'),
    ('rscc/text/bad.py', 'from ..models import interpreter\n', 'floor 3 may not know'),
    ('rscc/utils/bad.py', 'from rscc import apis\n', 'floor 1 may not know'),
    ('rscc/utils/bad.py', 'from rscc import registry\n', 'floor 1 may not know'),
    ('rscc/structures/bad.py', 'from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n'
     '    from rscc.models import interpreter\n', 'floor 2 may not know'),
    ('rscc/apis/bad.py', 'import tools.train\n', 'stands on its own'),
])
def test_the_walk_names_file_and_line_of_an_offender(tmp_path: Path, file, source, reason):
    target = tmp_path / file
    target.parent.mkdir(parents=True)
    target.write_text(source)
    line = next(n for n, text in enumerate(source.splitlines(), 1) if 'import' in text
                and 'import os' not in text and 'typing' not in text)
    found = offences(tmp_path)
    assert len(found) == 1
    assert found[0].startswith(f'{file}:{line} ')
    assert reason in found[0]


def test_imports_within_a_part_and_downwards_are_free(tmp_path):
    target = tmp_path / 'rscc' / 'models' / 'good.py'
    target.parent.mkdir(parents=True)
    target.write_text('from rscc.models.fusion import base\nfrom . import heads\n'
                      'from rscc.structures import ScoredCaption\n'
                      'from rscc.utils import progress\n')
    assert offences(tmp_path) == []
