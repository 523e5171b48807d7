"""The recipes of CONTRIBUTING do what they say, carried out as they stand on its pages."""
import inspect
import json
import re
import runpy

import pytest
from recipes import (
    PAGES,
    ROOT,
    carry_out,
    copy_repository,
    recipes,
    run_apart,
    sections,
    written_files,
)

NAMES = ('dataset', 'encoder', 'caption_head', 'change_head', 'loss_and_metric', 'config',
         'outside_the_package')


@pytest.fixture(scope='module')
def clone(tmp_path_factory):
    """A copy of the repository with the data that the recipes train on."""
    folder = tmp_path_factory.mktemp('clone')
    copy_repository(folder)
    data = next(part for part in sections(PAGES[0]) if part.commands and not part.files)
    status, said = carry_out(data.commands, folder)
    assert status == 0, said[-3000:]
    return folder


def test_both_languages_have_the_same_files_and_commands():
    english, chinese = (sections(page) for page in PAGES)
    assert [part[1:] for part in english] == [part[1:] for part in chinese]
    assert len(recipes(PAGES[0])) == len(NAMES)


@pytest.mark.parametrize('page', PAGES)
@pytest.mark.parametrize(('number', 'base'), [
    (1, 'rscc.models.encoders.base.FrameEncoder'),
    (2, 'rscc.models.caption_heads.base.AutoregressiveHead'),
    (3, 'rscc.models.change_heads.base.PixelHead'),
    (4, 'rscc.evaluation.metrics.SampleMetric')])
def test_a_recipe_names_what_its_base_class_leaves_open(page, number, base):
    from pydoc import locate
    text = (ROOT / page).read_text(encoding='utf-8')
    section = re.split(r'^## ', text.split(f'## {number + 1}. ')[1], flags=re.M)[0]
    members = inspect.getmembers(locate(base), lambda member: getattr(
        member, '__isabstractmethod__', False))
    assert members
    for name, _ in members:
        assert re.search(rf'^\| `{name}\(', section, re.M), f'{page}: {base}.{name} is not told'


@pytest.mark.slow
@pytest.mark.parametrize('number', range(len(NAMES)), ids=NAMES)
def test_a_recipe_works_as_written(clone, number):
    recipe = recipes(PAGES[0])[number]
    try:
        for name, content in recipe.files.items():
            assert not (ROOT / name).exists(), f'{name} is taken: the recipe needs another name'
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            (clone / name).write_text(content, encoding='utf-8')
        status, said = carry_out(recipe.commands, clone)
    finally:
        for name in recipe.files:
            (clone / name).unlink(missing_ok=True)
    assert status == 0, said[-5000:]
    name = re.findall(r'configs/(\w+)\.py$', '\n'.join(recipe.files), re.M)[-1]
    (scores,) = clone.rglob(f'work_dirs/{name}/metrics.json')
    assert '/' in str(json.loads(scores.read_text())), 'a test without any score'


@pytest.mark.parametrize('page', PAGES)
def test_every_block_of_code_is_a_file_to_write(page):
    text = (ROOT / page).read_text(encoding='utf-8')
    assert len(re.findall(r'^```(?:python|yaml)$', text, re.M)) == len(written_files(page))


def test_the_json_of_the_recipe_is_what_its_script_writes(tmp_path):
    text = (ROOT / PAGES[0]).read_text(encoding='utf-8')
    shown = json.loads(re.search(r'^```json\n(.*?)^```', text, re.M | re.S)[1])
    maker = tmp_path / 'make.py'
    maker.write_text(recipes(PAGES[0])[0].files['tests/data/town_pairs/make.py'], encoding='utf-8')
    runpy.run_path(str(maker))['write'](tmp_path, 2, 16)
    assert json.loads((tmp_path / 'towns.json').read_text())[:2] == shown


@pytest.mark.parametrize(('command', 'fails'), [
    ('rscc --version', False), ('python absent.py', True), ('rscc absent', True),
    ('git status', True)])
def test_a_command_that_fails_is_told_by_its_status(command, fails, monkeypatch):
    monkeypatch.setenv('PYTHONPATH', str(ROOT))
    assert bool(run_apart(command.split())) == fails
