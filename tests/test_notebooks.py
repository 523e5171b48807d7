"""The notebooks run from the first cell to the last, offline, and are stored without outputs.

Their code cells are plain Python, so a machine without Jupyter executes them in order in one
namespace. Where nbclient and ipykernel are installed, a kernel executes them too.
"""
import json
import os
import re
import subprocess
import sys

import pytest
from recipes import ROOT

NOTEBOOKS = sorted((ROOT / 'notebooks').glob('*.ipynb'))
NAMES = [path.stem for path in NOTEBOOKS]
#: What must hold in the namespace after the last cell.
AFTERWARDS = {
    'own_pair': "answer.caption and answer.mask.any() and (out / 'panel.png').stat().st_size",
    'fine_tune': '0 < before <= 1 and 0 < after <= 1 and before != after',
    'scene': "len(regions) and (regions.area_m2 > 0).all() and summary['sentences']",
}
RUN = """
import json, sys
book, afterwards = sys.argv[1:]
space = {'__name__': '__main__'}
for number, cell in enumerate(json.load(open(book, encoding='utf-8'))['cells'], 1):
    if cell['cell_type'] == 'code':
        exec(compile(''.join(cell['source']), f'cell {number} of {book}', 'exec'), space)
assert eval(afterwards, space), afterwards
"""


@pytest.fixture
def env(tmp_path):
    """The environment of a notebook: offline, in a folder of its own, no window for pictures."""
    return {**{key: value for key, value in os.environ.items() if key != 'RSCC_DATA'},
            'PYTHONPATH': str(ROOT), 'MPLBACKEND': 'Agg', 'HF_HUB_OFFLINE': '1',
            'IPYTHONDIR': str(tmp_path), 'JUPYTER_CONFIG_DIR': str(tmp_path)}


def test_three_notebooks_are_there():
    assert set(NAMES) == set(AFTERWARDS)


@pytest.mark.parametrize('path', NOTEBOOKS, ids=NAMES)
def test_a_notebook_is_stored_bare_and_in_both_languages(path):
    book = json.loads(path.read_text(encoding='utf-8'))
    assert (book['nbformat'], book['nbformat_minor']) == (4, 5)
    assert len({cell['id'] for cell in book['cells']}) == len(book['cells'])
    for cell in book['cells']:
        text = ''.join(cell['source'])
        if cell['cell_type'] == 'code':
            assert cell['outputs'] == [] and cell['execution_count'] is None
            assert not re.search(r'^\s*[%!]', text, re.M), 'code cells are plain Python'
        else:
            assert re.search('[a-z]{4}', text) and re.search('[\u4e00-\u9fff]', text)


def needs(name):
    """Skip where the packages that a notebook asks for are not installed."""
    for package in ('rasterio', 'geopandas') if name == 'scene' else ():
        pytest.importorskip(package)


@pytest.mark.slow
@pytest.mark.parametrize('path', NOTEBOOKS, ids=NAMES)
def test_a_notebook_runs(path, tmp_path, env):
    needs(path.stem)
    done = subprocess.run([sys.executable, '-c', RUN, str(path), AFTERWARDS[path.stem]],
                          cwd=tmp_path, env=env, text=True, check=False, timeout=1800,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout[-5000:]


@pytest.mark.slow
@pytest.mark.parametrize('path', NOTEBOOKS, ids=NAMES)
def test_a_kernel_runs_it(path, tmp_path, env, monkeypatch):
    pytest.importorskip('ipykernel')
    client, books = pytest.importorskip('nbclient'), pytest.importorskip('nbformat')
    needs(path.stem)
    for key, value in env.items():
        monkeypatch.setenv(key, value)
    monkeypatch.delenv('RSCC_DATA', raising=False)
    book = books.read(path, as_version=4)
    books.validate(book)
    client.NotebookClient(book, timeout=1800, kernel_name='python3',
                          resources={'metadata': {'path': str(tmp_path)}}).execute()
