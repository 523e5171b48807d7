"""A module imports from lower floors only, and no two modules import each other."""
import ast
from pathlib import Path

import pytest

# Parts of the package from the lowest floor up; '' is the package itself.
PARTS = [
    ['version', 'late_imports'],
    [''],
    ['compat'],
    ['utils'],
    ['structures', 'registry'],
    ['text', 'synth', 'rasters'],
    ['config'],
    ['datasets', 'models', 'evaluation', 'visualization'],
    ['engine'],
    ['inference', 'importers'],
    ['features', 'scenes'],
    ['deployment', 'doctor'],
    ['apis'],
    ['demo'],
    ['commands'],
    ['cli'],
    ['__main__'],
]
FLOORS = {part: floor for floor, parts in enumerate(PARTS) for part in parts}
TOOLS = len(PARTS)


def imported_modules(path, package):
    """Yield (line, absolute dotted name) of every import in a file, those in functions too."""
    tree = ast.parse(path.read_text(encoding='utf-8'), filename=str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[:len(package) - node.level + 1] if node.level else ()
            base = '.'.join([*above, *filter(None, [node.module])])
            yield from ((node.lineno, f'{base}.{alias.name}') for alias in node.names)


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


def circles(root):
    """Return the groups of modules below a repository root that import each other."""
    paths = {path.relative_to(root).with_suffix(''): path for path in root.glob('rscc/**/*.py')}
    modules = {'.'.join(name.parts).removesuffix('.__init__'): path
               for name, path in paths.items()}
    edges = {}
    for name, path in modules.items():
        found = [full if full in modules else full.rpartition('.')[0]
                 for _, full in imported_modules(path, path.relative_to(root).parts[:-1])]
        edges[name] = {other for other in found if other in modules and other != name}

    def reached(start):
        seen, rest = set(), [start]
        while rest:
            new = edges[rest.pop()] - seen
            seen |= new
            rest.extend(new)
        return seen

    beyond = {name: reached(name) for name in modules}
    return sorted({tuple(sorted(other for other in beyond[name] if name in beyond[other]))
                   for name in modules if name in beyond[name]})


def test_every_import_goes_down(repo):
    assert not offences(repo), 'imports against the floors:\n' + '\n'.join(offences(repo))


def test_no_modules_import_each_other(repo):
    assert not circles(repo), 'import circles:\n' + '\n'.join(map(' <-> '.join, circles(repo)))


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
    parts = {path.stem for path in (repo / 'rscc').iterdir() if not path.name.startswith('__')
             and (path.suffix == '.py' or any(path.rglob('*.py')))}  # rscc/weights is data
    assert parts <= set(FLOORS), f'no floor given for {sorted(parts - set(FLOORS))}'


@pytest.mark.parametrize(('file', 'source', 'reason'), [
    ('rscc/models/bad.py', 'import os\nfrom rscc.engine import hooks\n', 'may not know'),
    ('rscc/models/bad.py', '\n\ndef f():\n    from rscc.datasets import base\n', 'siblings'),
    ('rscc/text/bad.py', 'from rscc.synth import scene\n', 'siblings'),
    ('rscc/text/bad.py', 'from ..models import interpreter\n', 'may not know'),
    ('rscc/text/bad.py', 'from rscc.config import check\n', 'may not know'),
    ('rscc/utils/bad.py', 'from rscc import apis\n', 'may not know'),
    ('rscc/utils/bad.py', 'from rscc import registry\n', 'may not know'),
    ('rscc/compat.py', 'from rscc.utils import names\n', 'may not know'),
    ('rscc/structures/bad.py', 'from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n'
     '    from rscc.models import interpreter\n', 'may not know'),
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


@pytest.mark.parametrize('back', [
    'from rscc.models import a\n', 'from . import a\n', 'import rscc.models.a\n',
    'def f():\n    from rscc.models.a import X\n',
    'from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .a import X\n'])
def test_a_circle_is_found_wherever_its_imports_stand(tmp_path, back):
    folder = tmp_path / 'rscc' / 'models'
    folder.mkdir(parents=True)
    for name, source in dict(__init__='', a='from rscc.models.b import Y\n',
                             b='from rscc.models import c\n', c=back, d=back).items():
        (folder / f'{name}.py').write_text(source)
    assert circles(tmp_path) == [('rscc.models.a', 'rscc.models.b', 'rscc.models.c')]


def test_imports_within_a_part_and_downwards_are_free(tmp_path):
    target = tmp_path / 'rscc' / 'models' / 'good.py'
    target.parent.mkdir(parents=True)
    target.write_text('from rscc.models.fusion import base\nfrom . import heads\n'
                      'from rscc.structures import ScoredCaption\n'
                      'from rscc.utils import progress\n')
    assert offences(tmp_path) == []
