import json
import shutil

import numpy as np
import pytest
from fake_data import write_fake_dataset
from PIL import Image

from rscc import cli
from rscc.commands import check, check_dataset
from tests.datasets.conftest import make_levir


@pytest.fixture
def folder(tmp_path):
    """A LEVIR-MCI of 12 pairs with one contradiction and one missing image."""
    root = make_levir(tmp_path / 'levir')
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(root / 'images/train/label/train_000000.png')
    (root / 'images/val/B/val_000001.png').unlink()
    return root


def outcome(capsys, *arguments, run=check_dataset.main):
    """Return exit code, output and messages of the command."""
    code = 0
    try:
        run(list(map(str, arguments)))
    except SystemExit as stopped:
        code = stopped.code
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_findings_are_told_with_samples_and_advice(folder, capsys):
    code, out, _ = outcome(capsys, folder)
    lines = [line.strip() for line in out.splitlines()]
    assert code == 1 and lines[1] == '12 samples (train 4, val 4, test 4)'
    assert 'error          1  images are missing' in lines
    assert any(line.startswith('val/val_000001: ') for line in lines)
    assert ('train/train_000000: flag and captions; mask: 0 % changed') in lines
    assert lines[-1].startswith('2 errors, ')


def test_details_and_all_other_lines_are_in_the_language_asked_for(folder, tmp_path, capsys):
    page, stored = tmp_path / 'a.html', tmp_path / 'a.json'
    _, out, err = outcome(capsys, folder, '--language', 'zh', '--html', page, '--json', stored)
    lines = [line.strip() for line in out.splitlines()]
    assert lines[1] == '12 个样本（train 4，val 4，test 4）' and lines[-1] == f'网页：{page}'
    assert 'train/train_000000：依据：标志和描述；掩膜：0 % 有变化' in lines
    assert '依据：标志和描述；掩膜：0 % 有变化' in page.read_text(encoding='utf-8')
    assert '检查' in err and '12 个样本 ' in err.replace('/12', ' 个样本 ')
    details = [sample['detail'] for found in json.loads(stored.read_text())['findings']
               for sample in found['samples']]
    assert 'flag and captions; mask: 0 % changed' in details
    (tmp_path / 'empty').mkdir()
    code, _, err = outcome(capsys, tmp_path / 'empty', '--language', 'zh')
    assert code == 2 and '中没有数据集：文件夹是空的。应有描述文件' in err
    assert 'it is empty. Expected' in outcome(capsys, tmp_path / 'empty')[2]


def test_single_images_have_no_splits_and_tiny_ones_are_noted(tmp_path, capsys):
    noise = np.random.default_rng(0).integers(0, 250, (64, 64, 3), np.uint8)
    blocks = noise[:8, :8].repeat(16, 0).repeat(16, 1)
    for name, pixels in (('a.png', blocks), ('b.bmp', blocks + 1),
                         ('small.png', noise[:3, :5])):
        Image.fromarray(pixels).save(tmp_path / name)
    lines = [line.strip() for line in outcome(capsys, tmp_path)[1].splitlines()]
    assert lines[1] == '3 samples' and 'small: 5 x 3' in lines
    assert 'b looks like a: 0 of the 128 bits of their difference hashes differ' in lines


def test_json_page_and_clean_list_are_written(folder, tmp_path, capsys):
    files = {name: tmp_path / name for name in ('a.json', 'a.html', 'clean.txt')}
    _, out, _ = outcome(capsys, folder, '--json', files['a.json'], '--html', files['a.html'],
                        '--write-clean', files['clean.txt'])
    data = json.loads(files['a.json'].read_text())
    kinds = {found['kind']: found for found in data['findings']}
    assert kinds['changed_without_mask']['samples'] == [
        {'id': 'train_000000', 'split': 'train', 'detail': 'flag and captions; mask: 0 % changed'}]
    assert data['samples'] == {'train': 4, 'val': 4, 'test': 4}
    assert data['overview']['classes'][1]['name'] == 'road'
    listed = [line for line in files['clean.txt'].read_text().splitlines() if '\t' in line]
    assert len(listed) == 10 and 'train\ttrain_000000' not in listed
    assert '10 samples in' in out and ', 2 left out' in out
    assert files['a.html'].stat().st_size > 10000


def test_what_counts_as_failure_can_be_said(folder, tmp_path, capsys):
    assert outcome(capsys, folder, '--fail-on', 'never')[0] == 0
    (folder / 'images/val/B/val_000001.png').write_bytes(
        (folder / 'images/val/A/val_000000.png').read_bytes())
    shutil.copy(folder / 'images/train/label/train_000002.png',
                folder / 'images/train/label/train_000000.png')
    code, out, _ = outcome(capsys, folder)
    assert code == 0 and '0 errors' in out
    assert outcome(capsys, folder, '--fail-on', 'note')[0] == 1


def test_splits_and_image_depth_can_be_chosen(folder, capsys):
    code, out, _ = outcome(capsys, folder, '--split', 'test')
    assert code == 0 and out.splitlines()[1] == '4 samples (test 4)'
    code, out, _ = outcome(capsys, folder, '--no-images')
    assert code == 0 and 'missing' not in out
    code, out, _ = outcome(capsys, folder, '--quick')
    assert code == 1 and 'missing' in out and 'masks' not in out


def test_the_interface_speaks_chinese(folder, tmp_path, capsys):
    _, out, _ = outcome(capsys, folder, '--language', 'zh', '--html', tmp_path / 'a.html')
    assert '缺少影像' in out and '请重新复制或下载' in out
    page = (tmp_path / 'a.html').read_text()
    assert '<html lang="zh-CN">' in page and '按变化类型统计的描述' in page and '建筑物' in page


def test_the_limit_of_the_head_is_taken_or_given(folder, capsys):
    _, out, _ = outcome(capsys, folder, '--max-tokens', 5)
    assert "captions are longer than the head's limit" in out and '7 tokens of at most 5' in out


@pytest.mark.parametrize('arguments', [['nowhere_at_all'], ['levirc'], ['LEVIRMCIDatset']])
def test_what_names_nothing_gets_the_nearest_name_and_code_2(capsys, arguments):
    code, out, err = outcome(capsys, *arguments)
    assert code == 2 and out == '' and 'is no folder, config or dataset.' in err


def test_missing_annotations_and_empty_folders_give_code_2(tmp_path, capsys):
    code, _, err = outcome(capsys, tmp_path)
    assert code == 2 and 'it is empty' in err
    code, _, err = outcome(capsys, 'levircc', '--data-root', tmp_path)
    assert code == 2 and 'LevirCCcaptions.json' in err


def test_datasets_and_configs_are_found_by_name(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    write_fake_dataset(tmp_path, dict(type='SynthChangeDataset', data_root='synth'))
    _, out, _ = outcome(capsys, 'synth_change', '--quick')
    assert '12 samples (train 4, val 4, test 4)' in out
    _, out, _ = outcome(capsys, 'blip_synth', '--no-images')
    assert '12 samples (train 4, val 4, test 4)' in out


def test_one_command_checks_a_dataset_or_two_dates(folder, capsys):
    def rscc_check(arguments):
        cli.main(['check', *arguments])

    code, out, _ = outcome(capsys, folder, '--split', 'test', run=rscc_check)
    assert code == 0 and '4 samples' in out
    pair = [folder / f'images/test/{date}/test_000000.png' for date in 'AB']
    code, out, _ = outcome(capsys, *pair, run=rscc_check)
    assert 'verdict' in out
    code, out, _ = outcome(capsys, pair[0], run=check.either)
    assert 'verdict' in out and 'shift' not in out


def test_a_run_that_is_stopped_says_how_to_go_on(folder, monkeypatch, capsys, tmp_path):
    from rscc.doctor import examination

    def stop(*_):
        raise KeyboardInterrupt
    monkeypatch.setattr(examination, 'look_at', stop)
    code, _, err = outcome(capsys, folder, '--state', tmp_path / 's.sqlite')
    assert code == 2 and 'goes on from' in err
    assert 'give --state FILE' in outcome(capsys, folder)[2]


@pytest.mark.parametrize('flag', ['--html', '--json', '--write-clean', '--state'])
def test_outputs_are_checked_before_the_work(folder, tmp_path, monkeypatch, capsys, flag):
    monkeypatch.setattr(check_dataset, 'parts_of', None)  # nothing is looked at
    for run in (check_dataset.main, check.either):
        code, _, err = outcome(capsys, folder, flag, tmp_path, run=run)
        assert code == 2 and f'argument {flag}: ' in err and 'is a folder' in err


def test_samples_with_errors_are_left_out_and_counted_by_kind(folder, tmp_path, capsys):
    path = folder / 'LevirCCcaptions.json'
    data = json.loads(path.read_text())
    data['images'][1]['sentences'][0]['raw'] = ' . '
    data['images'][2]['sentences'][0]['raw'] += ' ###'
    path.write_text(json.dumps(data))
    _, out, _ = outcome(capsys, folder, '--write-clean', tmp_path / 'clean.txt')
    lines = (tmp_path / 'clean.txt').read_text().splitlines()
    notes = [line for line in lines if line.startswith('#')]
    assert notes[1:] == ['# left out: 1 (images are missing)', '# left out: 1 (samples are said to '
                         'be changed, and their masks hold no change)',
                         '# left out: 1 (captions hold no word)']
    assert len(lines) - len(notes) == 9 and '9 samples in' in out and '3 left out' in out
    names = [data['images'][number]['filename'].removesuffix('.png') for number in (1, 2)]
    listed = {line.split('\t')[1] for line in lines if '\t' in line}
    assert names[0] not in listed and names[1] in listed, 'the dataset cuts ### off'


def test_a_file_in_place_of_the_folder_is_told_with_its_folder(folder, capsys):
    for run in (check_dataset.main, check.either):
        code, _, err = outcome(capsys, folder / 'LevirCCcaptions.json', run=run)
        assert code == 2 and f"Its folder is '{folder}'" in err
