"""tools/scores.py as a user runs it."""
import functools
import gzip
import os
import subprocess
import sys

import pytest

from rscc.utils import read_json, write_json

pytest.importorskip('pycocoevalcap')


@pytest.fixture
def scores(run_tool):
    return functools.partial(run_tool, 'scores.py')


@pytest.fixture
def predictions(tmp_path):
    samples = [dict(sample_id='a', prediction='a house is built', gt_change_flag=True,
                    references=['a house is built', 'some houses are built']),
               dict(sample_id='b', prediction='there is no difference', gt_change_flag=False,
                    references=['there is no difference', 'no change has occurred'])]
    path = tmp_path / 'predictions.json'
    write_json(path, dict(dataset=dict(language='en'), split='val', samples=samples))
    return path


def test_our_file_is_scored_without_anything_else(scores, predictions, tmp_path):
    done = scores(predictions, '--no-meteor', '--per-sample', tmp_path / 't.csv',
                  '--out', tmp_path / 's.json')
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        '2 samples, split val, language en\nprotocol coco, tokenizer: words and marks, lower case, '
        'no PTB\n\ncaptions (x100)')
    assert 'flag accuracy' in done.stdout and 'baseline' in done.stdout
    assert len((tmp_path / 't.csv').read_text().splitlines()) == 3
    written = read_json(tmp_path / 's.json')
    assert written['caption/all/Bleu_1'] == pytest.approx(100, abs=1e-3)
    assert (written['protocol'], written['split'], written['samples']) == ('coco', 'val', 2)


def test_errors_are_one_line_and_name_the_remedy(repo, tmp_path):
    write_json(tmp_path / 'p.json', {'a': 'a house'})
    done = subprocess.run([sys.executable, 'tools/scores.py', str(tmp_path / 'p.json')], cwd=repo,
                          capture_output=True, text=True, timeout=120,
                          env={**os.environ, 'PYTHONPATH': str(repo)})
    assert done.returncode == 1
    assert done.stderr.startswith('error: ') and 'give --references' in done.stderr
    assert 'Traceback' not in done.stderr


def test_a_file_of_lines_is_scored_against_the_real_test_split(scores, samples, tmp_path):
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


@pytest.fixture
def published(samples, tmp_path):
    """Files as published: every image's first Sydney test sentence, and the others as references.

    Returns a function language -> (captions by imgid as a string, annotation file).
    """
    path = samples / 'sydney_captions' / 'dataset_sydney_cn.json.gz'
    if not path.is_file():
        pytest.skip(f"no Sydney-captions at '{path}'")

    def write(language):
        data, said = read_json(path), {}
        for image in data['images']:
            if image['split'] == 'test':
                first = image['sentences'].pop(0)
                said[str(image['imgid'])] = first['raw_chinese' if language == 'zh' else 'raw']
        write_json(tmp_path / 'eval.json', said)
        write_json(tmp_path / 'dataset.json', data)
        return tmp_path / 'eval.json', tmp_path / 'dataset.json'

    return write


def test_a_published_eval_file_is_scored_as_published_and_states_it(scores, published, tmp_path):
    captions, references = published('en')
    done = scores(captions, '--references', references, '--protocol', 'clipcap_rsic', '--no-meteor',
                  '--bootstrap', 100, '--out', tmp_path / 's.json')
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == '58 samples, split test, language en, references dataset.json'
    assert lines[1].startswith('protocol clipcap_rsic, tokenizer: jieba with blanks and marks')
    assert lines[2:4] == ['intervals: 95 %, 100 resamples of the images, seed 0',
                          'most frequent caption of: train']
    assert lines[5].startswith('as clipcap_rsic (0 to 1, C to 10)')
    found = read_json(tmp_path / 's.json')
    assert found['clipcap_rsic/all/Bleu_4'] == pytest.approx(0.902, abs=5e-4)
    assert found['clipcap_rsic/all/Bleu_4_low'] < 0.9 < found['clipcap_rsic/all/Bleu_4_high']
    assert not any(key.startswith(('caption/', 'baseline/')) for key in found)


def test_chinese_is_reported_by_words_and_characters(scores, published, tmp_path):
    captions, references = published('zh')
    done = scores(captions, '--references', references, '--language', 'zh', '--no-meteor',
                  '--out', tmp_path / 's.json')
    assert done.returncode == 0, done.stderr
    assert 'language zh' in done.stdout and 'by characters (x100)' in done.stdout
    assert 'baseline: most frequent caption' in done.stdout and 'flag' not in done.stdout
    found = read_json(tmp_path / 's.json')
    for report in ('', '_characters'):
        assert (found[f'caption{report}/all/CIDEr'] > 2 * found[f'baseline{report}/all/CIDEr']
                > 2 * found[f'baseline{report}/frequent/CIDEr'])


def test_missing_ids_are_an_error_and_partial_counts_them(scores, published):
    captions, references = published('en')
    said = read_json(captions)
    gone = sorted(said)[:2]
    write_json(captions, {key: text for key, text in said.items() if key not in gone})
    done = scores(captions, '--references', references, '--no-meteor')
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert 'no prediction for 2 of 58 images' in done.stderr and '--partial' in done.stderr
    done = scores(captions, '--references', references, '--no-meteor', '--partial', '--ids',
                  'imgid')
    assert done.returncode == 0 and '\n56 samples, split test' in done.stdout
    assert 'Only the 56 images of both are scored' in done.stdout + done.stderr
