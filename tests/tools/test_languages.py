"""A captioner of two languages through the tools: trained, scored and asked in either."""
import json
from pathlib import Path

import numpy as np
import pytest
import tiny_models as tiny
from PIL import Image

from rscc.synth.generator import Parameters, generate

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
_base_ = '{base}'
model = dict(
    encoder=dict(backbone=dict(base_channels=8, stem_channels=8), out_channels=32, embed_dims=16),
    fusion=dict(channels=16),
    change_head=dict(in_channels=[24, 48, 96, 192], channels=8),
    caption_head=dict(memory_channels=16, decoding=dict(min_tokens=3), config=dict(
        hidden_size=16, intermediate_size=16, num_attention_heads=2, num_hidden_layers=1)),
    flag_head=dict(in_channels=48))
train_dataloader = dict(batch_size=4, dataset=dict(cache=dict(size=(64, 64))))
val_dataloader = dict(batch_size=4, dataset=dict(cache=dict(size=(64, 64))))
test_dataloader = dict(batch_size=4, dataset=dict(cache=dict(size=(64, 64))))
train_cfg = dict(max_epochs=3)
test_evaluator = [dict(type='CaptionMetric', meteor=False, baselines=False)]
"""


def chinese(text):
    return any('\u4e00' <= letter <= '\u9fff' for letter in text)


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    """A folder of datasets with a small built-in one, and the config beside it."""
    home = tmp_path_factory.mktemp('home')
    generate(home / 'synth', Parameters(train=8, val=2, test=4, seed=0), jobs=1)
    (home / 'toy_bilingual.py').write_text(
        CONFIG.format(base=ROOT / 'configs/blip_synth_bilingual.py'))
    return home


def test_it_is_trained_tested_and_asked_in_both_languages(run_tool, home, tmp_path):
    config, work = home / 'toy_bilingual.py', tmp_path / 'work'
    data = ('--data-root', home)
    done = run_tool('train.py', config, '--work-dir', work, *data)
    assert done.returncode == 0, done.stderr
    checkpoint, references = work / 'epoch_3.pth', {}
    # Words come from the checkpoint: the vocabularies are not needed any more.
    for name in ('en', 'zh'):
        (home / f'synth/vocab_{name}.json').unlink()
    for language in ('en', 'zh'):
        out = tmp_path / f'{language}.json'
        done = run_tool('test.py', config, checkpoint, *data, '--work-dir', tmp_path / language,
                        '--out', out, '--cfg-options',
                        f'test_dataloader.dataset.language={language}')
        assert done.returncode == 0, done.stderr
        scored = json.loads((tmp_path / language / 'metrics.json').read_text())
        assert scored['language'] == language and scored['caption/all/Bleu_1'] >= 0
        samples = json.loads(out.read_text())['samples']
        references[language] = [text for sample in samples for text in sample['references']]
        said = [sample['prediction'] for sample in samples]
        assert len(said) == 4 and any(said)
        assert {chinese(text) for text in said if text} == {language == 'zh'}
    assert not any(map(chinese, references['en'])) and all(map(chinese, references['zh']))
    pair = ('--img-from', home / 'synth/images/test/A/test_000000.png',
            '--img-to', home / 'synth/images/test/B/test_000000.png')
    done = run_tool('infer.py', checkpoint, *pair, '--language', 'both', '--device', 'cpu')
    assert done.returncode == 0, done.stderr
    lines = dict(line.split('  ', 1) for line in done.stdout.splitlines()
                 if line.startswith('sentence'))
    assert {name.strip() for name in lines} == {'sentence en', 'sentence zh'}


@pytest.fixture
def ask(run_tool, tmp_path):
    """Return a function that asks a tiny model of two languages, or of one, about a pair."""
    for name, frame in zip(('a', 'b'), tiny.windows(1, 64, 64)[0], strict=True):
        Image.fromarray(frame).save(tmp_path / f'{name}.png')
    head = dict(tiny.BILINGUAL, decoding=dict(min_tokens=2))
    tiny.save(tmp_path / 'both.pth', dict(tiny.JOINT, caption_head=head))
    tiny.save(tmp_path / 'one.pth', tiny.JOINT)

    def call(*flags, model='both.pth'):
        return run_tool('infer.py', tmp_path / model, '--device', 'cpu', '--img-from',
                        tmp_path / 'a.png', '--img-to', tmp_path / 'b.png', *flags)

    return call


def test_a_language_or_both_are_asked_for_by_a_flag(ask, tmp_path):
    plain, english, other = ask(), ask('--language', 'en'), ask('--language', 'zh')
    assert plain.stdout == english.stdout and not chinese(plain.stdout)
    assert chinese(other.stdout)
    both = ask('--language', 'both', '--out', tmp_path / 'out').stdout
    sentences = [line[13:] for line in both.splitlines() if line.startswith('sentence')]
    assert [chinese(text) for text in sentences] == [False, True]
    stored = json.loads((tmp_path / 'out/a_b.json').read_text())
    assert list(stored['sentences']) == ['en', 'zh']
    assert stored['captions'] == stored['sentences']['en']
    assert np.asarray(Image.open(tmp_path / 'out/a_b_panel.png')).ndim == 3


@pytest.mark.parametrize('language', ['zh', 'both'])
def test_a_model_of_one_language_says_so_in_one_line(ask, language):
    done = ask('--language', language, model='one.pth')
    assert done.returncode == 1
    assert done.stderr.startswith("error: --language 'zh': this caption head writes 'en' only")


def test_a_scene_is_told_in_the_language_asked_for(ask, tmp_path):
    pytest.importorskip('rasterio')
    pytest.importorskip('geopandas')
    for name, flags, language in (('zh', (), 'zh'), ('en', ('--summary-language', 'en'), 'en')):
        out = tmp_path / name
        done = ask('--language', 'zh', '--out', out, '--force', '--overlap', '0', *flags)
        assert done.returncode == 0, done.stderr
        folder = next(path.parent for path in out.rglob('summary.json'))
        summary = json.loads((folder / 'summary.json').read_text())
        assert summary['language'] == language and summary['model']['language'] == 'zh'
        assert chinese(summary['sentences'][0]) == (language == 'zh')
    done = ask('--language', 'both', '--out', tmp_path / 'x', '--force')
    assert done.returncode == 2
    assert '--language both concerns single pictures, --force scenes' in done.stderr
