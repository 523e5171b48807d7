"""The CLIP confidence tool as people call it, and ChangeCLIP's script around it."""
import json
import os
import subprocess

import numpy as np
import pytest
from fake_clip import save_archive, tiny_clip
from PIL import Image

from rscc import compat
from rscc.datasets.confidence import read_confidence
from rscc.models.clip.classifier import CLIPClassifier
from rscc.text.class_names import class_names


@pytest.fixture(scope='module')
def file(tmp_path_factory):
    return save_archive(tiny_clip(), tmp_path_factory.mktemp('clip') / 'tiny.pt')


@pytest.fixture
def call(load_tool, file, monkeypatch, capsys):
    """Return a function that runs the tool in this process on a tiny CLIP and gives its output."""
    tool = load_tool('clip_inference.py')
    config = dict(embed_dim=32, vision_cfg=dict(layers=2, width=64, patch_size=8), text_cfg={})
    monkeypatch.setitem(compat.import_open_clip('factory')._MODEL_CONFIGS, 'ViT-tiny', config)

    def run(*arguments):
        tool.main(['--model_name', 'ViT-tiny', '--pretrained', file, '--device', 'cpu',
                   '--num-workers', '0', *map(str, arguments)])
        return capsys.readouterr().out

    return run


@pytest.fixture
def root(tmp_path):
    draw = np.random.default_rng(0)
    for split in ('train', 'test'):
        for date in ('time1', 'time2'):
            folder = tmp_path / 'SYSU-CD' / split / date
            folder.mkdir(parents=True)
            for number in range(2):
                pixels = draw.integers(0, 256, (40, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f'{number:05d}.png')
    return tmp_path / 'SYSU-CD'


def test_the_originals_command_line_writes_the_originals_files(call, root):
    out = call('--src_path', root, '--split', 'train', 'test', '--img_split', 'time1', 'time2',
               '--class_names_path', 'rscls.txt', '--tag', '56_vit16')
    assert out.count('2 images, 2 scored now') == 4
    for split in ('train', 'test'):
        for date in ('time1', 'time2'):
            path = root / split / f'{date}_clipcls_56_vit16.json'
            assert str(path) in out
            ranked = read_confidence(path)
            assert list(ranked) == [f'{root}/{split}/{date}/{n:05d}.png' for n in range(2)]
            assert all(set(names) == set(class_names('remote_sensing_56'))
                       for names in ranked.values())
    again = call('--src-path', root, '--img-split', 'time1', 'time2')
    assert again.count('2 images, complete already') == 4


def test_another_class_list_needs_overwrite(call, root, tmp_path):
    (tmp_path / 'mine.txt').write_text('road\nriver\n')
    arguments = ('--src_path', root, '--split', 'train', '--img_split', 'time1')
    call(*arguments)
    with pytest.raises(SystemExit, match=r'^error: .*was made with another class list(.|\n)*'
                       '--overwrite'):
        call(*arguments, '--class_names_path', tmp_path / 'mine.txt')
    call(*arguments, '--class_names_path', tmp_path / 'mine.txt', '--overwrite')
    assert len(read_confidence(root / 'train/time1_clipcls_56_vit16.json')[
        f'{root}/train/time1/00000.png']) == 2


@pytest.mark.parametrize(('arguments', 'message'), [
    (('--img_split', 'A'), r"error: no folder '.*/train/A': .* has the folders \['time1', 'time2'"),
    (('--img_split', 'time1', '--pretrained', 'gone.pt'), "error: no CLIP weights at 'gone.pt'"),
    (('--img_split', 'time1', '--model_name', 'RN50'), 'hold a ViT with patch 8 .* is a ResNet'),
    (('--img_split', 'time1', '--quick-gelu', 'no'), 'were trained with QuickGELU'),
    (('--img_split', 'time1', '--device', 'gpu'), "error: device 'gpu' is unknown"),
    (('--img_split', 'time1', '--class_names_path', 'no.txt'), "error: no class list 'no.txt'"),
])
def test_what_is_wrong_is_one_message_and_nothing_is_written(call, root, arguments, message):
    with pytest.raises(SystemExit, match=message):
        call('--src_path', root, '--split', 'train', *arguments)
    assert not list(root.rglob('*_clipcls_*'))


def test_a_stopped_run_says_that_it_can_be_continued(call, root, monkeypatch):

    def stop(self, prepared):
        raise KeyboardInterrupt

    arguments = ('--src_path', root, '--split', 'train', '--img_split', 'time1')
    with monkeypatch.context() as patch:
        patch.setattr(CLIPClassifier, 'classify', stop)
        with pytest.raises(SystemExit, match='stopped in train/time1; the scores so far are kept'):
            call(*arguments)
    assert '2 images, 2 scored now' in call(*arguments)


def test_impossible_numbers_are_refused(call, root, capsys):
    with pytest.raises(SystemExit, match='2'):
        call('--src_path', root, '--batch-size', '0')
    assert '--batch-size 0 --num-workers 0: expected at least 1 and 0' in capsys.readouterr().err


def test_real_samples_without_splits(call, samples, tmp_path):
    folder = samples / 'levir_cd_samples'
    if not folder.is_dir():
        pytest.skip(f"no real samples at '{folder}'")
    out = call('--src_path', folder, '--out', tmp_path, '--split', '.')
    assert out.count('8 images, 8 scored now') == 2
    records = json.loads((tmp_path / 'B_clipcls_56_vit16.json').read_text(encoding='utf-8'))
    assert records[0]['image_path'] == f'{folder}/B/test_102_0512_0000.png'
    for record in records:
        values = list(record.values())[1:]
        assert len(values) == 56 and values == sorted(values, reverse=True)
        assert all(isinstance(value, str) and len(value) == 6 for value in values)


def script(repo, *arguments, **environment):
    return subprocess.run(['bash', str(repo / 'tools/clip_infer_sysu.sh'), *map(str, arguments)],
                          capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, **environment})


def test_the_sysu_script_passes_the_originals_arguments_on(repo, tmp_path):
    shown = tmp_path / 'show'
    shown.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    shown.chmod(0o755)
    done = script(repo, 'my data', '--amp', PYTHON=str(shown), CDPATH=f'{tmp_path}:/')
    assert done.returncode == 0, done.stderr
    tool, *words = done.stdout.splitlines()
    assert tool == str(repo / 'tools/clip_inference.py')
    assert words == ['--src_path', 'my data', '--split', 'train', 'val', 'test', '--img_split',
                     'time1', 'time2', '--model_name', 'ViT-B/16', '--class_names_path',
                     'remote_sensing_56', '--tag', '56_vit16', '--amp']


@pytest.mark.parametrize('arguments', [(), ('--amp',)])
def test_the_sysu_script_wants_the_folder(repo, arguments):
    done = script(repo, *arguments)
    assert done.returncode == 2 and done.stderr.startswith(
        'usage: bash tools/clip_infer_sysu.sh ROOT')
