"""Metafiles agree with the configs beside them, and what is wrong in one is named."""
import re
import textwrap

import pytest
from mmengine.config import Config

from rscc.config import metafiles
from rscc.config.metafiles import read_metafiles
from rscc.registry import DATASETS
from rscc.utils.files import file_hash

METHOD = """
metafile: 1
method: Mine
tasks: [change detection]
summary: {en: One., zh: 一。}
paper: {title: A, venue: B, year: 2020, url: 'https://x.org'}
pretrained: {enc: {title: E, from: me/e}}
models:
  - variant: V
    pretrained: [enc]
    normalisation: {mean: [0.5], std: [0.5]}
    input: 256
    configs: {mine_own: OWN}
weights:
  - {name: w, file: rscc/weights/w/model.safetensors, sha256: HASH, licence: MIT, config: mine_own}
measured:
  - {task: change detection, model: mine_own, dataset: OWN, file: docs/en/a.md, section: real,
     command: test.py mine_own CKPT, figures: {F1: [row, F1]}}
published:
  - {task: change detection, model: M, dataset: OWN, figures: {F1: '91.2'}, source: s, url: u}
"""
DATA = ('metafile: 1\ndatasets: {OWN: {ground_resolution: 0.5, images: any, section: a, '
        'hub: me/own}}\n')


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A clone with one config, one page and one file of weights; its folder of configs."""
    for name in ('configs', 'docs/en', 'rscc/weights/w'):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / 'configs/mine_own.py').write_text('')
    (tmp_path / 'docs/en/a.md').write_text('')
    (tmp_path / 'rscc/weights/w/model.safetensors').write_text('weights')
    monkeypatch.setattr(metafiles, 'packaged_configs', lambda: tmp_path / 'configs')
    monkeypatch.setattr(metafiles, 'packaged_weights', lambda: tmp_path / 'rscc/weights')
    return tmp_path / 'configs'


def write(clone, old='', new=''):
    """Write the method, with one text exchanged, and its data; read both."""
    assert old in METHOD
    digest = file_hash(clone.parent / 'rscc/weights/w/model.safetensors')
    text = METHOD.replace(old, new) if old else METHOD
    (clone / 'mine.yml').write_text(text.replace('HASH', digest).replace('input: 256',
                                                                         "input: '256'"))
    (clone / 'datasets.yml').write_text(DATA)
    return read_metafiles([clone])


def test_a_method_is_read_with_its_configs_and_weights(clone):
    models = write(clone)
    assert [*models.models] == ['mine_own', 'w'] and [*models.datasets] == ['OWN']
    config, weights = models.models.values()
    assert (config.tasks, config.dataset, config.weights) == (('change detection', ), 'OWN', None)
    assert weights.weights.is_file() and weights.dataset == 'OWN'


@pytest.mark.parametrize(('old', 'new', 'message'), [
    ('mine_own: OWN', 'mine_owm: OWN', r"models 1: no config 'mine_owm\.py' in .* Did you mean "
     "'mine_own'"),
    ('mine_own: OWN', 'mine_own: OWM', "mine_own: dataset 'OWM' is not known. Did you mean 'OWN'"),
    ('[change detection]', '[change detecton]', "task='change detecton' is unknown: .* Did you "
     "mean 'change detection'"),
    ('pretrained: [enc]', 'pretrained: [end]', "pretrained 'end' is not known. Did you mean 'enc'"),
    ('weights/w/model.s', 'weights/v/model.s', r"weights 'w': no file 'rscc/weights/v/model\."
     r"safetensors'\. Did you mean 'rscc/weights/w/model"),
    ('HASH', 64 * 'a', "SHA-256 of 'rscc/weights/w/model.safetensors' is [0-9a-f]{64}; a{64} was "
     'expected. Write the new one'),
    ('HASH', 'abc', "sha256 is 'abc'; 64 digits"),
    ('docs/en/a.md', 'docs/en/b.md', "file 'docs/en/b.md' does not exist. Did you mean 'docs/en/a"),
    ('model: mine_own, dataset', 'model: mine_owm, dataset', "model 'mine_owm' is not known. Did"),
    ("'91.2'", '91.2', r'F1 is a number \(91\.2\); a string was expected. Figures are in quotes'),
    ("'91.2'", "'good'", "F1 is 'good'; a number was expected, '85.20'"),
    ('venue: B', 'vanue: B', "paper has 'vanue', which no metafile has. Did you mean 'venue'"),
    ('venue: B, ', '', "paper lacks 'venue'"),
    ('licence: MIT,', 'licence: MIT, licens: MIT,', "has 'licens', which no metafile has. Did you "
     "mean 'licence'"),
    ('method: Mine', 'method: [', 'is not valid YAML in line'),
    ('licence: MIT', 'licence: banana', "weights 'w': licence: 'banana' is no licence that"),
    ('name: w,', 'name: ghost,', "get_model knows these weights by the name 'w', that of their "
     "folder .* found name 'ghost' and file 'rscc/weights/w/model"),
    ('test.py mine_own CKPT', 'python x', "F1 of 'mine_own' is read from the row 'row', written by "
     "'python x': neither names 'mine_own', so the figure may be of another model"),
    ('test.py mine_own CKPT', 'test.py mine_own_2 CKPT', "neither names 'mine_own'"),
])
def test_what_is_wrong_is_named_with_the_nearest(clone, old, new, message):
    with pytest.raises(ValueError, match=message) as raised:
        write(clone, old, new)
    assert 'mine.yml' in str(raised.value)


@pytest.mark.parametrize('name', ['mine_own', '`mine_own`, 3 seeds'])
def test_a_row_that_names_the_model_belongs_to_it(clone, name):
    assert write(clone, 'test.py mine_own CKPT, figures: {F1: [row, F1]}',
                 f"x, figures: {{F1: ['{name}', F1]}}").models


def test_weights_bear_the_name_that_get_model_knows(clone):
    folder = clone.parent / 'rscc/weights/my_model'
    (clone.parent / 'rscc/weights/w').rename(folder)
    (clone.parent / 'rscc/weights/w').mkdir()
    (clone.parent / 'rscc/weights/w/model.safetensors').write_text('weights')
    assert write(clone, 'name: w, file: rscc/weights/w/',
                 'name: my-model, file: rscc/weights/my_model/').models['my-model'].weights
    with pytest.raises(ValueError, match=r"my_model/model\.safetensors' by the name 'my-m"):
        write(clone, 'name: w, file: rscc/weights/w/',
              'name: my_model, file: rscc/weights/my_model/')


@pytest.fixture
def warnings(monkeypatch):
    said = []
    monkeypatch.setattr(metafiles, 'warn_once', said.append)
    return said


@pytest.mark.parametrize(('text', 'problem'), [
    ('metafile: 1\nmethod: [', 'is not valid YAML in line'),
    ('metafile: 1\nmethod: A\n', "lacks 'tasks'"),
    (METHOD.replace('HASH', 64 * 'a').replace('input: 256', "input: '256'").replace(
        'mine_own: OWN', 'mine_owm: OWN'), "no config 'mine_owm.py'")])
def test_a_list_goes_on_without_a_wrong_metafile_and_names_it(clone, warnings, text, problem):
    write(clone)
    (clone / 'typo.yml').write_text(text)
    with pytest.raises(ValueError, match=re.escape(problem)):
        read_metafiles([clone])
    found = read_metafiles([clone], skip_wrong=True)
    assert [*found.models] == ['mine_own', 'w']
    said, = warnings
    assert problem in said and said.count('typo.yml') == 1 and 'is skipped' in said


def test_a_list_goes_on_where_the_datasets_are_wrong(clone, warnings):
    write(clone)
    (clone / 'datasets.yml').write_text(DATA.replace('me/own', 'not a name!'))
    with pytest.raises(ValueError, match="OWN: hub: 'not a name!' is no name of a data set"):
        read_metafiles([clone])
    assert [*read_metafiles([clone], skip_wrong=True).models] == ['mine_own', 'w']
    assert len(warnings) == 1 and 'datasets.yml' in warnings[0]


def test_a_config_in_two_places_and_a_method_twice_are_refused(clone):
    write(clone)
    text = (clone / 'mine.yml').read_text()
    (clone / 'other.yml').write_text(text)
    with pytest.raises(ValueError, match="'Mine' has another metafile too"):
        read_metafiles([clone])
    (clone / 'other.yml').write_text(text.replace('method: Mine', 'method: Other'))
    with pytest.raises(ValueError, match="'mine_own' stands under 'Mine' too; list it once"):
        read_metafiles([clone])


def test_other_yaml_files_are_left_alone_and_documents_parted(clone):
    write(clone)
    (clone / 'config.yml').write_text('model: {type: X}\n')
    (clone / 'two.yml').write_text('\n---\n'.join(textwrap.dedent(f"""
        metafile: 1
        method: {name}
        tasks: [change detection]
        summary: s
        models: []
        """) for name in 'AB'))
    assert [*read_metafiles([clone]).methods] == ['Mine', 'A', 'B']


def test_without_a_clone_records_are_not_looked_for(clone):
    (clone.parent / 'docs/en/a.md').unlink()
    (clone.parent / 'docs/en').rmdir()
    (clone.parent / 'docs').rmdir()
    assert write(clone).models


# ---- those of the project ------------------------------------------------------------------------


@pytest.fixture(scope='module')
def models(repo):
    return read_metafiles([repo / 'configs'])


def without_metafile(names):
    """Say which configs no metafile lists, and what to write."""
    lines = '\n'.join(f'    configs: {{{name}: DATASET}}' for name in sorted(names))
    return (f'no metafile in configs/*.yml lists {", ".join(sorted(names))}. Every config needs an '
            'entry under models: of the metafile of its method, or of a new one, with the name of '
            f'its dataset in configs/datasets.yml:\n{lines}\nSee "A config" in CONTRIBUTING.md and '
            '"Write a metafile" in docs/en/model_zoo.md; then run '
            'python tools/analysis_tools/model_pages.py --write')


def test_a_config_without_a_metafile_is_told_what_to_write():
    said = without_metafile({'b_synth', 'a_synth'})
    assert said.startswith('no metafile in configs/*.yml lists a_synth, b_synth. ')
    assert '\n    configs: {a_synth: DATASET}\n' in said and 'model_pages.py --write' in said


def test_every_config_but_old_names_has_a_metafile(repo, models):
    configs = {path.stem for path in (repo / 'configs').glob('*.py')
               if '_deprecation_' not in path.read_text()}
    listed = {name for name, info in models.models.items() if info.weights is None}
    assert not configs - listed, without_metafile(configs - listed)
    with_weights = {info.name for info in models.models.values() if info.weights is not None}
    assert 'rscc-small' in with_weights


def tasks_of(cfg):
    """Return what a config answers, by the heads that it has."""
    heads = {name for name in ('caption_head', 'change_head') if cfg.model.get(name)}
    kind = cfg.test_dataloader.dataset.type
    known = DATASETS.get(kind) if isinstance(kind, str) else kind
    pair = known.METAINFO.get('task', 'pair') == 'pair'
    tasks = {'change captioning' if pair else 'image captioning'} if 'caption_head' in heads else (
        set())
    if 'change_head' in heads:
        tasks.add('change detection')
    if (cfg.model.get('change_head') or {}).get('type') == 'SemanticChangeHead':
        tasks.add('semantic change')
    return tasks


def test_metafiles_say_what_the_configs_say(repo, models, monkeypatch):
    monkeypatch.setenv('RSCC_DATA', 'data')
    wrong = []
    for name, info in models.models.items():
        if info.weights is not None:
            continue
        cfg = Config.fromfile(repo / 'configs' / f'{name}.py')
        told, found = info.facts['normalisation'], cfg.model.get('data_preprocessor', {})
        expected = (told if isinstance(told, str) else
                    tuple(tuple(told[key]) for key in ('mean', 'std')))
        real = tuple(tuple(found.get(key) or ()) for key in ('mean', 'std'))
        if isinstance(expected, str) != (real == ((), ())) or (
                not isinstance(expected, str) and expected != real):
            wrong.append(f'{name}: normalisation {told}, config {real}')
        if set(info.tasks) != tasks_of(cfg):
            wrong.append(f'{name}: tasks {info.tasks}, config {tasks_of(cfg)}')
        metainfo = cfg.test_dataloader.dataset.get('metainfo') or {}
        told = models.datasets[info.dataset]['ground_resolution']
        real = metainfo.get('ground_resolution', told)
        if real != told:
            wrong.append(f'{name}: {told} m a pixel, config {real}')
    assert not wrong, '\n'.join(wrong)
