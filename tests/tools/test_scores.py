"""tools/scores.py, run as a user runs it."""
import os
import subprocess
import sys

import pytest

from rscc.utils import read_json, write_json

pytest.importorskip('pycocoevalcap')


@pytest.fixture
def scores(repo):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, str(repo / 'tools' / 'scores.py'), *map(str, arguments)],
            capture_output=True, text=True, cwd=repo, timeout=120,
            env={**os.environ, 'PYTHONPATH': str(repo), 'OMP_NUM_THREADS': '1'})
    return run


@pytest.fixture
def predictions(tmp_path):
    samples = [dict(sample_id='a', prediction='a house is built', gt_change_flag=True,
                    references=['a house is built', 'some houses are built']),
               dict(sample_id='b', prediction='there is no difference', gt_change_flag=False,
                    references=['there is no difference', 'no change has occurred'])]
    path = tmp_path / 'predictions.json'
    write_json(path, dict(dataset=dict(language='en'), samples=samples))
    return path


def test_our_file_is_scored_without_anything_else(scores, predictions, tmp_path):
    done = scores(predictions, '--no-meteor', '--per-sample', tmp_path / 't.csv',
                  '--out', tmp_path / 's.json')
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('2 samples, protocol coco, language en\n\ncaptions (x100)')
    assert 'flag accuracy' in done.stdout and 'floor' in done.stdout
    assert len((tmp_path / 't.csv').read_text().splitlines()) == 3
    assert read_json(tmp_path / 's.json')['caption/all/Bleu_1'] == pytest.approx(100, abs=1e-3)


def test_errors_are_one_line_and_name_the_remedy(scores, tmp_path):
    write_json(tmp_path / 'p.json', {'a': 'a house'})
    done = scores(tmp_path / 'p.json')
    assert done.returncode == 1
    assert done.stderr.startswith('error: ') and 'give --references' in done.stderr
    assert 'Traceback' not in done.stderr


def test_a_file_of_lines_is_scored_against_the_real_test_split(scores, samples, tmp_path):
    import gzip
    folder = samples / 'levir_cc_captions'
    if not (folder / 'predictions_test_promptcc-A2B.txt').is_file():
        pytest.skip(f'no LEVIR-CC predictions in {folder}')
    references = tmp_path / 'LevirCCcaptions.json'
    references.write_bytes(gzip.decompress(
        (folder / 'LevirCCcaptions_rebuilt.json.gz').read_bytes()))
    done = scores(folder / 'predictions_test_promptcc-A2B.txt', '--references', references,
                  '--split', 'test', '--no-meteor', '--out', tmp_path / 's.json')
    assert done.returncode == 0, done.stderr
    found = read_json(tmp_path / 's.json')
    assert [found[f'caption/all/Bleu_{n}'] for n in (1, 2, 3, 4)] == pytest.approx(
        [87.16, 79.39, 72.16, 66.20], abs=0.01)
    assert found['baseline/no_change/CIDEr'] == pytest.approx(101.9, abs=0.06)
    assert found['caption/flag_accuracy'] > 0.99
