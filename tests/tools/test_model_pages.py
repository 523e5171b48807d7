"""The pages of all models are as the metafiles have them; cells of records are found by name."""
import json
import re
import shutil

import pytest

from rscc.config.metafiles import ModelList, read_metafiles
from tools.benchmark.model_page import Tables, read_cells

PAGES = ['docs/en/model_zoo.md', 'docs/zh_cn/model_zoo.md']
TABLE = """
<!-- benchmark:one -->
### Title

| config | steps | F1 | AP |
| --- | --- | --- | --- |
| a | 1 | 0.5 (target ≥ 1: missed) | 0.6 ± 0.1 (0.5 0.7) |
| a | 2 | 0.7 | – |
<!-- /benchmark:one -->
"""


@pytest.fixture
def record(tmp_path):
    (tmp_path / 'page.md').write_text(TABLE)
    return tmp_path / 'page.md'


def test_the_pages_are_what_the_metafiles_make_of_them(run_tool):
    done = run_tool('analysis_tools/model_pages.py')
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_page_that_differs_is_named_and_written_on_request(run_tool, repo, tmp_path):
    for page in PAGES:
        (tmp_path / page).parent.mkdir(parents=True)
        shutil.copy(repo / page, tmp_path / page)
    path = tmp_path / PAGES[0]
    path.write_text(path.read_text().replace('91.37', '99.99'))
    done = run_tool('analysis_tools/model_pages.py', '--docs', tmp_path / 'docs')
    assert done.returncode and f'not as the metafiles have it: {path}. Run' in done.stderr
    assert run_tool('analysis_tools/model_pages.py', '--docs', tmp_path / 'docs',
                    '--write').returncode == 0
    assert path.read_text() == (repo / PAGES[0]).read_text()
    path.write_text(path.read_text().replace('<!-- models:data -->', ''))
    done = run_tool('analysis_tools/model_pages.py', '--docs', tmp_path / 'docs')
    assert done.returncode and "wrong are ['data']" in done.stderr


@pytest.mark.parametrize('page', PAGES)
def test_every_config_but_old_names_has_one_row(repo, page):
    rows = re.findall(r'^\| `configs/([\w-]+)\.py` \|', (repo / page).read_text(), re.M)
    configs = [path.stem for path in (repo / 'configs').glob('*.py')
               if '_deprecation_' not in path.read_text()]
    assert sorted(rows) == sorted(configs)


def test_cells_are_found_by_row_and_column_without_targets_and_seeds(record):
    assert read_cells(record, 'one', {'F1': ['a', '1', 'F1'], 'AP': ['a', '1', 'AP'],
                                      'second': ['a', '2', 'F1']}) == {
        'F1': '0.5', 'AP': '0.6 ± 0.1', 'second': '0.7'}


@pytest.mark.parametrize(('section', 'place', 'message'), [
    ('ones', ['a', 'F1'], "has no section 'ones'. Did you mean 'one'"),
    ('one', ['a', 'step'], "no column 'step'. Did you mean 'steps'"),
    ('one', ['ab', 'F1'], "no row that begins with 'ab'")])
def test_a_cell_that_is_not_there_is_named(record, section, place, message):
    with pytest.raises(ValueError, match=message):
        read_cells(record, section, {'x': place})


@pytest.mark.parametrize('page', PAGES)
def test_every_config_but_old_names_stands_in_a_row_of_its_method(repo, page):
    text = re.search('<!-- models:methods -->(.*?)<!-- /models', (repo / page).read_text(), re.S)[1]
    named = [name for line in text.splitlines() if line.startswith('| `')
             for name in re.findall(r'`([\w-]+)`', line.split(' | ')[0])]
    models = read_metafiles([repo / 'configs']).models
    assert sorted(named) == sorted(models)  # weights have a row there, too


def blocks(**document):
    """The tables of one method in English."""
    data = dict(method='M', tasks=['semantic change'], models=[], paper=dict(
        title='T', url='u', venue='v', year=2020), summary='s') | document
    return lambda root: Tables(ModelList({'M': data}, {}, {}), 'en', root).blocks()


def test_figures_that_others_quote_are_marked_and_countings_told_only_where_known(tmp_path):
    row = dict(task='semantic change', model='M', dataset='SECOND', source='list', url='u')
    table = blocks(published=[
        dict(row, figures={'SeK': '1.1'}, secondary=True), dict(row, figures={'SeK': '2.2'}),
        dict(row, figures={'SeK': '3.3'}, counting='pooled')])(tmp_path)[
            'published semantic_change'].splitlines()
    assert table[2:] == ['| M | SECOND | 1.1 | not stated | secondary page: [list](u) | none |',
                         '| M | SECOND | 2.2 | not stated | [list](u) | none |',
                         '| M | SECOND | 3.3 | pooled | [list](u) | none |']


def test_the_hash_of_weights_that_come_with_rscc_is_that_of_their_record(repo, tmp_path):
    place = 'rscc/weights/rscc_small'
    told = dict(title='own', **{'from': place})
    digest = json.loads((repo / place / 'stac_item.json').read_text())['assets']['model'][
        'file:checksum'][4:]
    assert f'| `{digest}` |' in blocks(pretrained={'own': told})(repo)['pretrained']
    with pytest.raises(ValueError, match=f'has the SHA-256 {digest}, a metafile says abc of these'):
        blocks(pretrained={'own': dict(told, sha256='abc')})(repo)
    assert 'not stated' in blocks(pretrained={'x': dict(told, **{'from': 'a/b'})})(tmp_path)[
        'pretrained']


def test_the_pages_are_not_made_of_a_wrong_metafile(run_tool, monkeypatch):
    monkeypatch.setattr('rscc.config.metafiles.TASKS', ('image captioning', ))  # others are typos
    done = run_tool('analysis_tools/model_pages.py')
    assert done.returncode and re.search(r"configs/\w+\.yml'.*task='.*' is unknown", done.stderr)
