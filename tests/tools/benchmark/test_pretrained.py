"""The same detector from two starts, with the trainings themselves left out."""
import json

import cv2
import numpy as np
import pytest

from tools.benchmark import pretrained, trainings
from tools.benchmark.pretrained import POOLED, benchmark_pretrained, labelled_pairs

CONFIGS = ['configs/btc_synth.py', 'configs/btc_random_synth.py']


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


@pytest.fixture
def sets(tmp_path):
    """A pair of 8 x 8 pixels in every set, the upper quarter changed; one set has splits."""
    label = np.zeros((8, 8), np.uint8)
    label[:2] = 255
    for one in POOLED:
        within = tmp_path / one.folder / ('train' if 'egy' in one.folder else '')
        for date in ('A', 'B'):
            write(within / date / 'x.png', np.zeros((8, 8, 3), np.uint8))
        write(within / 'label/x.png', label)
    return tmp_path


class Upper:
    """Stands in for a trained model: the first rows of every image changed, as many as it says."""
    rows = {'a_seed0': 2, 'a_seed1': 4, 'b_seed0': 1, 'b_seed1': 1}

    def __init__(self, checkpoint, device):
        self.count = self.rows[checkpoint.split('/')[-2]]

    def __call__(self, earlier, later):
        assert all('/A/' in path for path in earlier) and all('/B/' in path for path in later)
        mask = np.zeros((8, 8), np.uint8)
        mask[:self.count] = 1
        return [type('Answer', (), dict(mask=mask)) for _ in earlier]


@pytest.fixture
def tools(monkeypatch):
    """Stand in for the tools: write what a training and a test leave; return their calls."""
    calls = []

    def run(script, *arguments):
        words = list(map(str, arguments))
        folder = pretrained.Path(words[words.index('--work-dir') + 1])
        folder.mkdir(parents=True, exist_ok=True)
        calls.append((script, folder.name, words[-1]))
        if script == 'tools/train.py':
            (folder / 'last_checkpoint').write_text(str(folder / 'epoch_2.pth'))
        else:
            (folder / 'metrics.json').write_text(json.dumps({'change/F1_changed': 0.5}))

    monkeypatch.setattr(pretrained, 'run_tool', run)
    monkeypatch.setattr(trainings, 'run_tool', run)
    monkeypatch.setattr(pretrained, 'ChangeInferencer', Upper)
    return calls


def test_every_config_is_trained_with_every_seed_and_scored_on_every_set(tools, sets, cells,
                                                                         tmp_path):
    section = benchmark_pretrained(['a.py', 'b.py'], seeds=2, work_dir=str(tmp_path / 'work'),
                                   samples=str(sets))
    assert [call for call in tools if call[0] == 'tools/train.py'] == [
        ('tools/train.py', f'{name}_seed{seed}', f'randomness.seed={seed}')
        for name in 'ab' for seed in (0, 1)]
    assert cells(section, 'config') == ['a', 'b', 'baseline: everything changed']
    assert cells(section, 'built-in test split') == ['0.500 ± 0.000 (0.500 0.500)'] * 2 + ['']
    # Two rows changed: predicted are two, four; one, one. F1 1, 2/3; 2/3, 2/3.
    expected = ['0.833 ± 0.236 (1.000 0.667)', '0.667 ± 0.000 (0.667 0.667)',
                '0.400']  # a quarter changed
    assert cells(section, 'EGY-BCD (1)') == cells(section, 'all 5 real pairs') == expected


def test_what_is_trained_and_tested_is_not_done_again(tools, sets, tmp_path):
    for _ in range(2):
        benchmark_pretrained(['a.py'], seeds=1, work_dir=str(tmp_path / 'work'),
                             samples=str(sets))
    assert [call[0] for call in tools] == ['tools/train.py', 'tools/test.py']


def test_without_samples_the_test_split_remains(tools, tmp_path, monkeypatch):
    monkeypatch.delenv('RSCC_SAMPLES', raising=False)
    section = benchmark_pretrained(['a.py'], seeds=1, work_dir=str(tmp_path / 'work'))
    assert len(section.columns) == 2 and len(section.notes) == 1
    assert section.rows == [['a', '0.500']]


@pytest.mark.parametrize(('remove', 'told'), [
    ('label', r"'.*A.x\.png' has no mask of its name in '.*levir_cd_samples.label'"),
    ('B', r"'.*A.x\.png' has no later image '.*B.x\.png'"),
    ('A', r"levir_cd_samples' holds no pair: .*expected\. --samples, or RSCC_SAMPLES, .*egy")])
def test_a_set_that_is_not_complete_is_named(sets, remove, told):
    (sets / POOLED[0].folder / remove / 'x.png').unlink()
    with pytest.raises(FileNotFoundError, match=told):
        labelled_pairs(sets, POOLED[0])


def test_no_seed_and_a_failing_tool_are_errors(tmp_path):
    with pytest.raises(ValueError, match='seeds=0: expected 1 or more'):
        benchmark_pretrained(['a.py'], seeds=0)
    with pytest.raises(RuntimeError, match=r'tools/train\.py ended with'):
        benchmark_pretrained([str(tmp_path / 'none.py')], seeds=1, work_dir=str(tmp_path))


def test_the_real_sets_hold_the_pairs_that_the_table_counts(samples):
    found = {one.title: len(labelled_pairs(samples, one)) for one in POOLED}
    assert found == {'LEVIR-CD': 8, 'LEVIR-MCI': 4, 'EGY-BCD': 9, 'DSIFN': 10, 'SZTAKI': 2}
