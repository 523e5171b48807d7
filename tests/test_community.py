"""Files around the code: citation, changelog, templates, workflow, Docker; true and of one mind."""
import re
import subprocess
import sys

import pytest
import tomllib
import yaml
from recipes import ROOT

from rscc.version import __version__

REPORT = 'python -m rscc.utils.env'
#: Keys of the schema 1.2.0 of the Citation File Format at the top of a file, and those it requires.
CFF_KEYS = {'abstract', 'authors', 'cff-version', 'commit', 'contact', 'date-released', 'doi',
            'identifiers', 'keywords', 'license', 'license-url', 'message', 'preferred-citation',
            'references', 'repository', 'repository-artifact', 'repository-code', 'title', 'type',
            'url', 'version'}
CFF_REQUIRED = {'authors', 'cff-version', 'message', 'title'}
DOCKERFILES = sorted((ROOT / 'docker').glob('*.Dockerfile'))


def read(name):
    return (ROOT / name).read_text(encoding='utf-8')


def load(name):
    return yaml.safe_load(read(name))


def test_the_citation_has_what_its_schema_asks_for():
    cited = load('CITATION.cff')
    assert CFF_REQUIRED <= set(cited) <= CFF_KEYS
    assert cited['cff-version'] == '1.2.0' and cited['type'] == 'software'
    for work in (cited, *cited['references']):
        assert work['title'] and work['authors']
        for author in work['authors']:
            assert set(author) <= {'name'} or set(author) <= {'family-names', 'given-names'}
        assert re.fullmatch(r'10\.\d{4,9}/\S+', work.get('doi', '10.1000/none'))


def test_the_citation_is_of_this_version_and_licence():
    cited = load('CITATION.cff')
    assert str(cited['version']) == __version__
    assert f"license='{cited['license']}'" in read('setup.py')


def test_the_changelog_is_by_version_and_day_newest_first():
    titles = re.findall(r'^## (.+)$', read('CHANGELOG.md'), re.M)
    assert titles[0] == 'Unreleased'
    dated = [re.fullmatch(r'(\d+)\.(\d+)\.(\d+) - (\d{4}-\d{2}-\d{2})', title).groups()
             for title in titles[1:]]
    versions = [tuple(map(int, parts[:3])) for parts in dated]
    assert versions == sorted(versions, reverse=True)
    assert [parts[3] for parts in dated] == sorted((parts[3] for parts in dated), reverse=True)
    assert '.'.join(dated[0][:3]) == __version__


def test_an_entry_of_the_changelog_is_one_line():
    body = read('CHANGELOG.md').split('## Unreleased')[1]
    assert all(line.startswith(('- ', '## ')) for line in body.splitlines() if line)


def test_forms_ask_for_the_report_of_the_environment():
    fields = {field['id']: field for field in load('.github/ISSUE_TEMPLATE/bug_report.yml')['body']
              if 'id' in field}
    assert REPORT in fields['environment']['attributes']['description']
    assert fields['environment']['validations'] == {'required': True}
    for form in (ROOT / '.github/ISSUE_TEMPLATE').glob('[!c]*.yml'):
        asked = yaml.safe_load(form.read_text(encoding='utf-8'))
        assert asked['name'] and asked['description'] and asked['body']
        assert REPORT in form.read_text(encoding='utf-8')


def test_links_of_forms_and_templates_lead_somewhere():
    for path in (ROOT / '.github').rglob('*.*'):
        text = path.read_text(encoding='utf-8')
        for target in re.findall(r'\]\(\.\./blob/main/([^)\s]+)\)', text):
            assert (ROOT / target).is_file(), f'{path.name}: {target}'
        for target in re.findall(r'\]\((\.\./[^)\s]+)\)', text):
            if not target.startswith('../blob/'):
                assert (path.parent / target).is_file(), f'{path.name}: {target}'


@pytest.mark.slow
def test_the_report_of_the_environment_is_printed():
    done = subprocess.run([sys.executable, *REPORT.split()[1:]], cwd=ROOT, text=True,
                          capture_output=True, check=True, timeout=300)
    assert done.stdout.startswith('rscc ') and __version__ in done.stdout.splitlines()[0]


def test_the_workflow_runs_what_everybody_runs():
    job = load('.github/workflows/tests.yml')['jobs']['tests']
    assert [step['run'] for step in job['steps'] if 'run' in step] == ['.ci/run']
    assert (ROOT / '.ci/run').stat().st_mode & 0o100, '.ci/run cannot be executed'
    least, below = re.search(r"python_requires='>=3\.(\d+),<3\.(\d+)'", read('setup.py')).groups()
    versions = [int(version.split('.')[1]) for version in job['strategy']['matrix']['python']]
    assert versions and all(int(least) <= version < int(below) for version in versions)


@pytest.mark.parametrize('path', DOCKERFILES, ids=lambda path: path.stem)
def test_a_dockerfile_installs_the_pinned_torch_and_copies_what_is_there(path):
    text = path.read_text(encoding='utf-8')
    script = read('tools/setup_env.sh')
    for package, name in (('torch', 'TORCH'), ('torchvision', 'TORCHVISION')):
        version = re.search(rf'^{name}=(\S+)$', script, re.M)[1]
        assert re.search(rf'\b{package}=={re.escape(version)}(?!\S)', text), f'{package}=={version}'
    sent = [line[1:] for line in read('.dockerignore').splitlines() if line.startswith('!')]
    sources = [word for line in re.findall(r'^COPY (.+)$', text, re.M)
               for word in line.split()[:-1]]
    assert sources and set(sources) <= set(sent)
    assert all((ROOT / name).exists() for name in sources)
    for name in re.findall(r'/opt/rscc/(requirements/\w+\.txt)', text):
        assert (ROOT / name).is_file()
    minor = re.search(r'^FROM python:3\.(\d+)-slim$', text, re.M)[1]
    assert f'Programming Language :: Python :: 3.{minor}' in read('setup.py')


def test_dockerfiles_and_pages_say_that_nobody_has_built_them():
    assert len(DOCKERFILES) == 2
    for path in DOCKERFILES:
        assert 'Untried' in path.read_text(encoding='utf-8').splitlines()[0]
        for page, word in (('docs/en/install.md', 'untried'), ('docs/zh_cn/install.md', '尚未')):
            paragraph = next(part for part in re.split(r'^## ', read(page), flags=re.M)
                             if f'docker/{path.name}' in part)
            assert word in paragraph


def test_what_lint_leaves_out_of_notebooks_is_their_annotations_alone():
    lint = tomllib.loads(read('pyproject.toml'))['tool']['ruff']['lint']
    assert lint['per-file-ignores']['notebooks/**'] == ['ANN']
