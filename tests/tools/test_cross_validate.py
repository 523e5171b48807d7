"""Cross-validation of a fine-tuning: folds, real trainings of a tiny model, table, what it refuses.
"""
import json
from pathlib import Path

import pytest
import tiny_models
from mmengine.config import Config
from real_pairs import BUILDING, write_pair

from tools.benchmark.cross_validation import counted_classes, folds_of
from tools.benchmark.real_sets import RealPair

TOOL = 'analysis_tools/cross_validate.py'
MARKS = '<!-- benchmark:speed -->\n<!-- /benchmark:speed -->\n'
CLASSES = ['unchanged', 'building', 'road']


@pytest.fixture(scope='module')
def start(tmp_path_factory):
    """A model with drawn weights: maps of three classes, English sentences, a flag."""
    return tiny_models.save(tmp_path_factory.mktemp('tiny') / 'tiny.pth', tiny_models.JOINT,
                            classes=CLASSES, image_size=(64, 64))


@pytest.fixture
def pairs(tmp_path, rendered_pairs):
    """Four labelled pairs in folders A, B and label."""
    for number, pair in enumerate(rendered_pairs[:4]):
        write_pair(tmp_path / 'mine', f'town{number}', pair,
                   255 * (pair[2] == BUILDING).astype('u1'))
    return tmp_path / 'mine'


@pytest.fixture
def recipe(tmp_path, repo, start):
    """The published recipe around the tiny model: its words come from the starting weights."""
    cfg = Config.fromfile(repo / 'configs/rscc_small_finetune.py')
    head = tiny_models.FPN | dict(loss_decode=dict(
        type='rscc.CrossEntropyLoss', absent={253: (0, ), 254: (1, )}))
    words = tiny_models.BLIP | dict(tokenizer=dict(type='WordTokenizer'))
    cfg.model = dict(tiny_models.JOINT, change_head=head, caption_head=words,
                     freeze=[r'^caption_head\.', r'^flag_head\.'])
    cfg.load_from, cfg.train_cfg.max_iters = str(start), 2
    cfg.train_dataloader.batch_size = 2
    data = cfg.train_dataloader.dataset
    data.classes, data.palette, data.pipeline[2].size = CLASSES, None, (48, 48)
    cfg.dump(tmp_path / 'recipe.py')
    return tmp_path / 'recipe.py'


@pytest.fixture
def validate(run_tool, recipe, pairs, tmp_path):
    """Return a function that runs the tool."""
    def run(*arguments, folder=pairs):
        return run_tool(TOOL, folder, '--config', recipe, '--out', tmp_path / 'out', '--device',
                        'cpu', *arguments)

    return run


def test_every_pair_is_answered_by_a_model_that_was_not_given_it(validate, tmp_path):
    for language in ('en', 'zh_cn'):
        (tmp_path / language).mkdir()
        (tmp_path / language / 'benchmarks.md').write_text(MARKS)
    done = validate('--folds', '2', '--seeds', '2', '--write', '--docs', tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / 'out/scores.json').read_text())
    assert found['counted'] == ['building'] and len(found['seconds']) == 4
    names = {f'mine/town{number}' for number in range(4)}
    assert set(found['before']['by_pair']) == names and len(found['after']) == 2
    for seed, run in enumerate(found['after']):
        assert run['seed'] == seed and set(run['by_pair']) == names
        listed = [(tmp_path / f'out/seed{seed}/fold{fold}/train.txt').read_text().splitlines()
                  for fold in range(2)]
        towns = [{Path(line.split()[0]).stem for line in lines} for lines in listed]
        assert [len(part) for part in towns] == [2, 2] and not towns[0] & towns[1]
    assert found['after'][0]['AP'] != found['before']['AP']
    assert not list((tmp_path / 'out').rglob('*.pth'))
    assert done.stdout.count('trained on 2 pairs') == 4
    english, chinese = ((tmp_path / language / 'benchmarks.md').read_text()
                        for language in ('en', 'zh_cn'))
    assert '| after, mean ± standard deviation |' in english
    assert '| 微调后，均值 ± 标准差 |' in chinese
    again = validate(folder=tmp_path / 'out/scores.json')
    assert again.stdout.strip() in done.stdout


def test_the_words_of_the_checkpoint_outlive_a_fine_tuning(validate, tmp_path):
    done = validate('--folds', '2', '--keep')
    assert done.returncode == 0, done.stderr[-3000:]
    from rscc.apis import ChangeInferencer
    (path, _) = sorted((tmp_path / 'out').rglob('iter_2.pth'))
    answer = ChangeInferencer(path, device='cpu')(tmp_path / 'mine/A/town0.png',
                                                  tmp_path / 'mine/B/town0.png')
    assert answer.caption and list(answer.classes) == CLASSES


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--folds', '5'], 'error: 5 folds of 4 images (4 pairs): expected 2 to 4'),
    (['--start', 'nowhere.pth'], "load_from: no checkpoint at 'nowhere.pth'")])
def test_what_cannot_be_divided_or_started_is_told(validate, arguments, message):
    done = validate(*arguments)
    assert done.returncode == 1 and message in done.stderr


def test_pairs_without_a_label_are_named(validate, pairs):
    (pairs / 'label/town2.png').unlink()
    assert 'error: 1 of 4 pairs have no label, the first: mine/town2' in validate().stderr


def pair(name):
    return RealPair(name, Path(f'A/{name}.png'), Path(f'B/{name}.png'), Path(f'label/{name}.png'))


def test_tiles_of_one_image_stay_in_one_fold():
    tiles = [pair(f'{town}_{column}_0') for town in 'abcd' for column in (0, 256)]
    for seed in range(3):
        parts = folds_of(tiles, 4, seed)
        assert sorted(len(part) for part in parts) == [2] * 4
        assert all(len({one.name[0] for one in part}) == 1 for part in parts)
    assert folds_of(tiles, 2, 0) == folds_of(tiles, 2, 0) != folds_of(tiles, 2, 1)


def test_what_counts_is_what_the_labels_tell_apart():
    assert counted_classes(dict(label_map={0: 254, 255: 1}, classes=CLASSES)) == ('building', )
    assert counted_classes(dict(label_map={0: 0, 255: 253}, classes=CLASSES)) == ()
    assert counted_classes(dict(label_map={0: 0, 9: 2, 8: 1, 7: 255}, classes=CLASSES)) == (
        'building', 'road')
    assert counted_classes({}) == ()
