"""A captioner teaches another one, through the real tools."""
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from rscc.engine.checkpoint import read_checkpoint
from rscc.registry import DATASETS
from rscc.synth.generator import Parameters, generate
from rscc.text.teacher_captions import read_teacher_captions
from rscc.utils import read_json

ROOT = Path(__file__).resolve().parents[2]
SMALL = """
_base_ = '{base}'
model = dict(
    encoder=dict(backbone=dict(base_channels=8, stem_channels=8), out_channels=32, embed_dims=16),
    fusion=dict(channels=16{fusion}),
    change_head=dict(in_channels=[24, 48, 96, 192], channels=8),
    caption_head=dict({head}),
    flag_head=dict(in_channels=48))
train_dataloader = dict(batch_size=4, dataset=dict(cache=dict(size=(64, 64))))
val_dataloader = dict(batch_size=4, dataset=dict(cache=dict(size=(64, 64))))
test_dataloader = dict(batch_size=4, dataset=dict(cache=dict(size=(64, 64))))
train_cfg = dict(max_epochs=1, val_interval=9)
"""
TEACHER = ('memory_channels=16, decoding=dict(min_tokens=3), config=dict(hidden_size=16, '
           'intermediate_size=16, num_attention_heads=2, num_hidden_layers=1)')


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp('home')
    generate(home / 'synth', Parameters(train=8, val=2, test=2, seed=0), jobs=1)
    (home / 'teacher.py').write_text(SMALL.format(base=ROOT / 'configs/blip_synth.py', head=TEACHER,
                                                  fusion=''))
    return home


@pytest.fixture
def taught(run_tool, home, tmp_path):
    """The file of sentences, what the tool said, and the teacher's checkpoint."""
    config, data, work = home / 'teacher.py', ('--data-root', home), tmp_path / 'teacher'
    done = run_tool('train.py', config, '--work-dir', work, *data)
    assert done.returncode == 0, done.stderr
    done = run_tool('dataset_converters/distil_captions.py', config, work / 'epoch_1.pth', '--num',
                    '3', *data, '--work-dir', work / 'told', '--weights', '--closest')
    assert done.returncode == 0, done.stderr
    return home / 'synth/captions_teacher_train.json', done.stdout, work / 'epoch_1.pth'


def test_a_teacher_describes_the_training_pairs_and_a_student_learns_from_it(home, taught,
                                                                             monkeypatch):
    file, told, _ = taught
    assert f"written: {file}\nA student reads it by teacher_captions='{file.name}'" in told
    found = read_teacher_captions(file, 'train')
    assert read_json(file)['teacher']['order'] == 'closest'
    assert all(0 <= score <= 1 for told in found.captions.values() for _, score in told)
    assert len(found.captions) == 8 and all(1 <= len(told) <= 3 for told in found.captions.values())

    student = Config.fromfile(ROOT / 'configs/kdrscc_distilled_synth.py')
    dataset = student.train_dataloader.dataset
    dataset.update(teacher_captions=file.name, data_root=str(home / 'synth'), cache=None)
    item = DATASETS.build(dataset)[1]['data_samples']
    mine = {text for text, _ in found.captions[item.sample_id]}
    assert len(item.target_captions) == 1
    assert set(item.target_captions) <= mine | {'the scene is the same as before'}
    # Who keeps another choice of sentences in the pipeline learns nothing from the teacher.
    said = []
    monkeypatch.setattr('rscc.datasets.sentences.warn_once', said.append)
    DATASETS.build({**dataset, 'pipeline': [dict(type='PickCaptions')]})
    assert 'read by PickTeacherCaptions alone' in said[0] and len(said) == 1
    with pytest.raises(ValueError, match="of the split 'train'; those of 'val'"):
        DATASETS.build({**dataset, 'split': 'val'})
    with pytest.raises(FileNotFoundError,
                       match=r'of a teacher not found at .*teach\.json.*distil_captions\.py'):
        DATASETS.build({**dataset, 'teacher_captions': 'teach.json'})


def test_a_student_beside_the_encoder_of_its_teacher_learns_only_its_head(run_tool, home, taught,
                                                                         tmp_path):
    file, told, checkpoint = taught
    weights = home / 'synth/teacher_teacher.safetensors'
    assert f'written: {weights}' in told
    head = ('memory_channels=16, embed_channels=16, rows_per_sample=1, '
            'denoiser=dict(num_layers=1, num_heads=2, feedforward_dims=16)')
    (tmp_path / 'student.py').write_text(SMALL.format(
        base=ROOT / 'configs/kdrscc_masked_student_synth.py', head=head, fusion='')
        + f"load_from = '{weights}'\ntrain_dataloader['dataset'].update("
          f"teacher_captions='{file.name}')\n")
    done = run_tool('train.py', tmp_path / 'student.py', '--check', '--data-root', home)
    assert f"start  '{weights}'" in done.stdout and ' 0 missing, 0 unexpected' in done.stdout
    done = run_tool('train.py', tmp_path / 'student.py', '--work-dir', tmp_path,
                    '--data-root', home)
    assert done.returncode == 0, done.stderr
    before, after = (read_checkpoint(path)['state_dict']
                     for path in (checkpoint, tmp_path / 'epoch_1.pth'))
    kept = {name for name in before if not name.startswith('caption_head.')}
    assert kept == {name for name in after if not name.startswith('caption_head.')}
    assert all(torch.equal(before[name], after[name]) for name in kept)
