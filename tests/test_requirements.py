"""Versions are written once and agree everywhere they are quoted."""
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from rscc.utils.imports import EXTRAS

FILES = ['mminstall', 'runtime', 'optional', 'tests', 'docs']
PAGES = ['docs/en/install.md', 'docs/zh_cn/install.md']


def lines(repo, name):
    """Yield (requirement text, comment) of one file."""
    for line in (repo / 'requirements' / f'{name}.txt').read_text().splitlines():
        requirement, _, comment = line.partition('#')
        if requirement.strip():
            yield requirement.strip(), comment.strip()


def bounds(repo):
    """Return the allowed versions by lower-case package name."""
    found = {}
    for name in FILES:
        for text, _ in lines(repo, name):
            requirement = Requirement(text)
            previous = found.setdefault(requirement.name.lower(), requirement.specifier)
            assert previous == requirement.specifier, f'{text} has two bounds'
    return found


@pytest.fixture(scope='module')
def metadata(repo, tmp_path_factory):
    """What setup.py declares, read the way pip reads it."""
    code = ('import json, setuptools\n'
            'kept = {}\n'
            'setuptools.setup = lambda **kwargs: kept.update(kwargs)\n'
            'exec(compile(open("setup.py").read(), "setup.py", "exec"), '
            '{"__file__": "setup.py", "__name__": "__main__"})\n'
            'print(json.dumps(kept, default=str))\n')
    done = subprocess.run([sys.executable, '-c', code], cwd=repo, capture_output=True, text=True,
                          check=True)
    import json
    return json.loads(done.stdout)


@pytest.mark.parametrize('name', FILES)
def test_every_bound_says_what_breaks_outside_it(repo, name):
    silent = [text for text, comment in lines(repo, name) if len(comment) < 8]
    assert not silent, f'requirements/{name}.txt: no reason given for {silent}'


@pytest.mark.parametrize('name', FILES)
def test_every_requirement_is_bounded_and_comes_from_a_registry(repo, name):
    for text, _ in lines(repo, name):
        assert Requirement(text).specifier, f'{text} has no bound'
        assert 'git+' not in text
        assert '://' not in text


def test_setup_declares_the_requirement_files(repo, metadata):
    expected = [text for name in ('mminstall', 'runtime') for text, _ in lines(repo, name)]
    assert metadata['install_requires'] == expected
    extras = metadata['extras_require']
    optional = {text for text, _ in lines(repo, 'optional')}
    assert set(extras['all']) == optional
    assert extras['tests'] == [text for text, _ in lines(repo, 'tests')]


def test_every_extra_that_a_message_names_exists(metadata):
    assert set(EXTRAS.values()) | {'all'} <= set(metadata['extras_require'])


@pytest.mark.parametrize('page', PAGES)
def test_the_install_page_lists_every_extra_with_its_packages(repo, page):
    blocks = re.findall(r'^# \[(\w+)\][^\n]*\n((?:[^#\n][^\n]*\n)+)',
                        (repo / 'requirements/optional.txt').read_text(), re.M)
    text = (repo / page).read_text(encoding='utf-8')
    rows = re.findall(r'^\| `(\w+)` \| ([^`|]+) \|', text, re.M)
    assert len(blocks) > 8
    for extra, packages in blocks:
        named = Requirement(packages.splitlines()[0].partition('#')[0].strip()).name
        assert any(row == extra and named in cell for row, cell in rows), (
            f'{page}: no row for [{extra}] with {named}')


def test_setup_carries_the_version_of_the_package(repo, metadata):
    from rscc import __version__
    assert metadata['version'] == __version__
    assert f'## {__version__}' in (repo / 'CHANGELOG.md').read_text()


def test_an_installed_package_has_every_file_that_is_no_module(repo, tmp_path):
    done = subprocess.run(
        [sys.executable, 'setup.py', '-q', 'egg_info', '--egg-base', tmp_path, 'build_py',
         '--build-lib', tmp_path / 'lib'], cwd=repo, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found, built = ({str(path.relative_to(root)) for path in (root / 'rscc').rglob('[!.]*')
                     if path.is_file() and path.suffix not in ('.py', '.pyc')
                     and path.parent.name != 'configs'}  # copied there: tests/test_wheel.py
                    for root in (repo, tmp_path / 'lib'))
    assert built == found
    assert {'report.html.j2', 'report.css', 'report.js'} <= {Path(name).name for name in built}


@pytest.mark.parametrize('page', ['tools/setup_env.sh', 'README.md', 'README_zh-CN.md', *PAGES])
def test_quoted_versions_lie_within_the_bounds(repo, page):
    allowed = bounds(repo)
    text = (repo / page).read_text(encoding='utf-8')
    quoted = re.findall(r'\b([A-Za-z][\w-]*)==([\d.]+\d)', text)
    quoted += [(name.lower(), version) for name, version in
               re.findall(r'^(TORCH|TORCHVISION)=([\d.]+)$', text, re.M)]
    for name, version in quoted:
        specifier = allowed.get(name.lower().replace('_', '-').replace('mmcv', 'mmcv-lite')
                                if name == 'mmcv' else name.lower())
        if specifier is not None:
            assert Version(version) in specifier, f'{page}: {name}=={version}, allowed {specifier}'
    if page != 'README.md' and page != 'README_zh-CN.md':
        assert quoted, f'{page} quotes no version at all'


@pytest.mark.parametrize('page', PAGES)
def test_the_table_of_the_install_page_repeats_the_bounds(repo, page):
    allowed = bounds(repo)
    rows = re.findall(r'^\| `([\w-]+)` \| `([^`]+)` \|', (repo / page).read_text(encoding='utf-8'),
                      re.M)
    assert {'torch', 'mmengine', 'transformers', 'numpy'} <= {name for name, _ in rows}
    for name, shown in rows:
        assert SpecifierSet(shown) == allowed[name], f'{page}: {name} {shown}'


def test_python_versions_agree(repo, metadata):
    wanted = SpecifierSet(metadata['python_requires'])
    minors = ['3.11', '3.12', '3.13']
    assert [f'3.{minor}' for minor in range(8, 20) if Version(f'3.{minor}') in wanted] == minors
    assert [line.split(' :: ')[-1] for line in metadata['classifiers']
            if 'Python :: 3' in line] == minors
    assert '(3, 11) <= sys.version_info < (3, 14)' in (repo / 'tools/setup_env.sh').read_text()
    for page in [*PAGES, 'README.md', 'README_zh-CN.md']:
        assert re.search(r'3\.11.{1,4}3\.13', (repo / page).read_text(encoding='utf-8')), page
