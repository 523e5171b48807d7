"""What of a trained model is published, how its answers are compared, what is refused."""
import copy
import json
from pathlib import Path

import pytest
import tiny_models as tiny
import torch
from safetensors import safe_open

from rscc.apis import ChangeInferencer
from rscc.config.stored import config_from_text
from rscc.deployment import publishing
from rscc.deployment.model_card import BEGIN, END
from rscc.deployment.publishing import Agreement, PublishOptions, publish
from rscc.engine.checkpoint import read_checkpoint, write_published
from rscc.models.caption_heads.base import unpack_words

NAMES = ['README.md', 'config.json', 'model.safetensors', 'stac_item.json']
FACTS = dict(classes=('unchanged', 'building', 'parking lot'), ground_resolution=0.5,
             palette=[[0, 0, 0], [250, 0, 0], [1, 2, 3]], dataset_type='LEVIRMCIDataset')
OPTIONS = PublishOptions('my-model', 'CC-BY-SA-4.0')


@pytest.fixture(autouse=True)
def few_pairs(monkeypatch):
    """Compare on four pairs: these models do not get better by more."""
    monkeypatch.setattr(publishing, 'PAIRS', 4)


@pytest.fixture
def trained(tmp_path):
    """A checkpoint as a training leaves it: averaged and trained weights, optimizer, its state."""
    path = tiny.save(tmp_path / 'trained.pth', tiny.JOINT, **FACTS)
    stored = torch.load(path, weights_only=True)
    stored['ema_state_dict'] = {key: value + 1 if value.is_floating_point() else value
                                for key, value in stored['state_dict'].items()}
    stored |= dict(optimizer=dict(state={0: torch.ones(9)}), message_hub={})
    stored['meta'] |= dict(epoch=3, iter=30, experiment_name='tiny_synth_20260101_000000',
                           mmengine_version='0.10.7', time='now')
    torch.save(stored, path)
    return path


def files_in(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_what_a_training_needs_is_left_out_and_what_answers_need_is_there(trained, tmp_path):
    done = publish(None, trained, tmp_path / 'out', OPTIONS)
    assert files_in(tmp_path / 'out') == NAMES
    assert str(done.agreement) == ('4 rendered pairs: 100.000% of the pixels of masks equal, 4 of 4'
                                   ' sentences equal, flag within 0')
    before, after = read_checkpoint(trained), read_checkpoint(tmp_path / 'out/model.safetensors')
    assert set(after) == {'meta', 'state_dict'}
    assert after['state_dict'].keys() == before['state_dict'].keys()
    assert all(torch.equal(value, before['state_dict'][key])
               for key, value in after['state_dict'].items())
    words = after['state_dict']['caption_head.vocabulary']
    assert words.dtype == torch.uint8 and 'house' in unpack_words(words)
    meta = after['meta']
    assert set(meta) == {'cfg', 'epoch', 'iter', 'experiment_name', 'normalisation', 'dataset_meta',
                         'published'}
    assert meta['published'] == dict(name='my-model', licence='CC-BY-SA-4.0', architecture='ResNet-'
                                     '18', parameters=done.description.parameters,
                                     started_from='random weights')
    assert meta['dataset_meta']['classes'] == list(FACTS['classes'])
    assert meta['dataset_meta']['image_size'] == [64, 64]


def test_the_config_inside_names_no_dataset_and_no_file(trained, tmp_path):
    publish(None, trained, tmp_path / 'out', OPTIONS)
    text = read_checkpoint(tmp_path / 'out/model.safetensors')['meta']['cfg']
    cfg = config_from_text(text, 'x')
    assert set(cfg) == {'model', 'test_dataloader'}
    assert [step.type for step in cfg.test_dataloader.dataset.pipeline] == ['LoadFrames',
                                                                            'PackChangeInputs']
    assert 'nowhere' not in text and 'LEVIR' not in text


def test_a_window_that_crops_made_stays(tmp_path):
    path = tiny.save(tmp_path / 'm.pth', dict(tiny.JOINT, caption_head=None), image_size=(200, 200),
                     **FACTS)
    config = tmp_path / 'c.py'
    config.write_text(read_checkpoint(path)['meta']['cfg'] + """
train_dataloader = dict(dataset=dict(type='LEVIRMCIDataset', data_root='nowhere', pipeline=[
    dict(type='LoadFrames'), dict(type='FramesRandomCrop', size=48)]))
""")
    publish(config, path, tmp_path / 'out', OPTIONS)
    assert ChangeInferencer(tmp_path / 'out', device='cpu').window.size == (48, 48)


def test_half_is_stored_as_such_and_computed_in_single_precision(trained, tmp_path, monkeypatch):
    # Drawn weights tell classes apart by less than trained ones.
    monkeypatch.setattr(publishing, 'LEAST_EQUAL', 0.99)
    done = publish(None, trained, tmp_path / 'out', PublishOptions('my-model', 'MIT', half=True))
    assert done.description.half and '16-bit' in (tmp_path / 'out/README.md').read_text()
    with safe_open(tmp_path / 'out/model.safetensors', 'pt') as file:
        kinds = {file.get_slice(key).get_dtype() for key in file.keys()}  # noqa: SIM118
    assert kinds == {'F16', 'U8', 'I64'}
    model = ChangeInferencer(tmp_path / 'out', device='cpu').model
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_half_is_refused_where_it_changes_answers_and_nothing_is_written(trained, tmp_path):
    stored = torch.load(trained, weights_only=True)
    weight = stored['state_dict']['change_head.conv_seg.weight']
    weight *= 2e5 / weight.abs().max()  # beyond the largest number of 16 bits
    torch.save(stored, trained)
    options = PublishOptions('my-model', 'MIT', half=True)
    with pytest.raises(ValueError, match=r'would answer otherwise than the checkpoint\. 4 rendered '
                       r'pairs: .*Publish without --half, or with --force .* Nothing was written'):
        publish(None, trained, tmp_path / 'out', options)
    assert files_in(tmp_path / 'out') == []
    forced = publish(None, trained, tmp_path / 'out',
                     PublishOptions('my-model', 'MIT', half=True, force=True))
    assert not forced.agreement.good and files_in(tmp_path / 'out') == NAMES
    assert publish(None, trained, tmp_path / 'out', OPTIONS).agreement.good


@pytest.mark.parametrize(('pixels', 'sentences', 'good'), [
    (0.9991, (4, 4), True), (0.998, (4, 4), False), (1.0, (3, 4), False), (None, None, True)])
def test_equal_means_all_sentences_and_nearly_all_pixels(pixels, sentences, good):
    assert Agreement(4, pixels, sentences, None).good == good


def test_a_model_that_needs_other_files_is_refused(tmp_path, monkeypatch):
    model = copy.deepcopy(tiny.JOINT)
    path = tiny.save(tmp_path / 'm.pth', model, **FACTS)
    monkeypatch.setattr(publishing, 'named_sources', lambda cfg: {'model.a.pretrained': 'gpt2'})
    with pytest.raises(ValueError, match=r'needs more than its weights: gpt2 \(model\.a\.pretr'):
        publish(None, path, tmp_path / 'out', OPTIONS)


def test_an_adapter_is_merged_and_its_model_stands_alone(tmp_path):
    pytest.importorskip('peft')
    model = dict(tiny.SINGLE, caption_head=tiny.GPT)
    path = tiny.save(tmp_path / 'm.pth', model, task='single', steps=(
        dict(type='FramesResize', size=(32, 48)), ))
    done = publish(None, path, tmp_path / 'out', OPTIONS)
    assert done.agreement.good and done.agreement.pixels is None
    assert done.description.dates == 1 and done.description.resized == (32, 48)


@pytest.mark.parametrize('name', ['My Model', 'x_y', '-a', 'a--b', '../a', ''])
def test_odd_names_are_refused(trained, tmp_path, name):
    with pytest.raises(ValueError, match='is no name of a model: expected small letters, digits'):
        publish(None, trained, tmp_path / 'out', PublishOptions(name, 'MIT'))


def test_a_card_without_marks_is_refused_before_anything_is_written(trained, tmp_path):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out/README.md').write_text('# mine')
    with pytest.raises(ValueError, match='needs the marks'):
        publish(None, trained, tmp_path / 'out', OPTIONS)
    assert files_in(tmp_path / 'out') == ['README.md']
    (tmp_path / 'out/README.md').write_text(f'# mine\n{BEGIN}{END}\n## Data\n')
    done = publish(None, trained, tmp_path / 'out', OPTIONS)
    card = (tmp_path / 'out/README.md').read_text()
    assert card.startswith('---\nlicense: cc-by-sa-4.0\n') and '\n---\n\n# mine\n' in card
    assert card.endswith('## Data\n')
    assert done.description.sha256 in card
    record = json.loads((tmp_path / 'out/stac_item.json').read_text())
    assert record['assets']['model']['file:checksum'] == f'1220{done.description.sha256}'


def test_the_same_checkpoint_gives_the_same_files(trained, tmp_path):
    for name in ('one', 'two'):
        publish(None, trained, tmp_path / name, OPTIONS)
    for name in NAMES:
        assert (tmp_path / 'one' / name).read_bytes() == (tmp_path / 'two' / name).read_bytes()


LOG = """work_dir = '/tmp/rs/main'
Checkpoints will be saved to /tmp/rs/main.
checkpoint /tmp/rs/main/best.pth, {here}/data/a.png, /somewhere/tiles/rio:/elsewhere/rio/b
data_root="/somewhere/tiles", '/mnt/my disk/x y.pth', log=/var/log/run.log, 'C:\\Users\\me\\a.pth'
/somewhere/tiles_of_others at file:///data/x.json
Iter(val) [13/13] caption/all/Bleu_1: 3  1 /20 https://x.org/a/b  CXX=/opt/gcc{home}/usr/c++
"""
PUBLISHED_LOG = """work_dir = 'work_dirs/my_model'
Checkpoints will be saved to work_dirs/my_model.
checkpoint work_dirs/my_model/best.pth, ./data/a.png, $RSCC_TRAIN/rio:.../b
data_root="$RSCC_TRAIN", '.../x y.pth', log=.../run.log, '.../a.pth'
.../tiles_of_others at .../x.json
Iter(val) [13/13] caption/all/Bleu_1: 3  1 /20 https://x.org/a/b  CXX=.../c++
"""


def test_readers_without_rscc_find_config_normalisation_and_metrics(trained, tmp_path):
    (tmp_path / 'predictions.json').write_text(json.dumps(dict(
        samples=[], metrics={'change/F1_changed': 0.8, 'caption/all/CIDEr': 120})))
    publish(None, trained, tmp_path / 'out', PublishOptions(
        'my-model', 'MIT', metrics=tmp_path / 'predictions.json', datasets=('me/pairs', )))
    told = json.loads((tmp_path / 'out/config.json').read_text())
    stored = read_checkpoint(tmp_path / 'out/model.safetensors')['meta']
    assert told['metrics'] == stored['metrics'] == {'change/F1_changed': 0.8,
                                                    'caption/all/CIDEr': 120}
    assert told['normalisation'] == stored['normalisation']
    assert told['config']['model'] == json.loads(json.dumps(
        config_from_text(stored['cfg'], 'x').to_dict()['model']))
    assert 'CIDEr 120' in (tmp_path / 'out/README.md').read_text()


@pytest.mark.parametrize(('metrics', 'message'), [
    ({'F1': 'high'}, r"metrics: F1 is a string \('high'\); a number was expected"),
    ({'F1': float('nan')}, 'leave out what has no value')])
def test_metrics_that_are_no_numbers_are_refused(trained, tmp_path, metrics, message):
    with pytest.raises(ValueError, match=message):
        publish(None, trained, tmp_path / 'out', PublishOptions('my-model', 'MIT',
                                                                metrics=metrics))
    assert files_in(tmp_path / 'out') == []


def test_paths_of_this_machine_are_found_wherever_they_stand():
    values = dict(model=dict(parts=[dict(file='/home/me/a', kind='a/b', name='/')]), home='~/x',
                  disk='C:\\me', address='https://x.org/a', at='file:///data/x')
    assert list(publishing._paths_in(values, '')) == [
        'model.parts.0.file: /home/me/a', 'home: ~/x', 'disk: C:\\me', 'at: file:///data/x']


def test_a_config_with_paths_of_this_machine_is_refused(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(publishing, '_paths_in', lambda value, place: ['model.a: /home/me/a'])
    with pytest.raises(ValueError, match=r'names paths of this machine: model\.a: /home/me/a\. A '
                       'published model stands alone'):
        publish(None, trained, tmp_path / 'out', OPTIONS)
    assert files_in(tmp_path / 'out') == []


def test_an_unknown_option_names_the_nearest(tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'metrics'"):
        PublishOptions.of(tmp_path, 'MIT', metric={})
    assert PublishOptions.of(tmp_path / 'my_model', 'MIT').name == 'my-model'


def test_a_log_loses_the_folders_of_the_machine(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('RSCC_TRAIN', '/somewhere/tiles')
    (tmp_path / 'run.log').write_text(LOG.replace('{here}', str(tmp_path)).replace(
        '{home}', str(Path.home())))
    publish(None, trained, 'out', PublishOptions('my-model', 'MIT', log='run.log'))
    assert (tmp_path / 'out/training.log').read_text() == PUBLISHED_LOG
    with pytest.raises(FileNotFoundError, match=r"no such log: 'gone\.log'"):
        publish(None, trained, 'other', PublishOptions('my-model', 'MIT', log='gone.log'))


def test_a_work_folder_without_folders_before_it_leaves_the_words_of_the_log(trained, tmp_path):
    (tmp_path / 'run.log').write_text("work_dir = './out'\nleft out in ./out/best.pth\n")
    publish(None, trained, tmp_path / 'out', PublishOptions('my-model', 'MIT',
                                                            log=tmp_path / 'run.log'))
    assert (tmp_path / 'out/training.log').read_text() == (
        "work_dir = './out'\nleft out in ./out/best.pth\n")


def test_settings_found_after_the_training_are_published(trained, tmp_path):
    publish(None, trained, tmp_path / 'out', PublishOptions(
        'my-model', 'MIT', overrides={'model.caption_head.decoding.num_beams': 2}))
    assert ChangeInferencer(tmp_path / 'out', device='cpu').decoding['num_beams'] == 2
    with pytest.raises(ValueError, match="Did you mean 'max_tokens'"):
        publish(None, trained, tmp_path / 'out', PublishOptions(
            'my-model', 'MIT', overrides={'model.caption_head.max_token': 2}))


def test_a_config_inside_builds_registered_classes_only(trained, tmp_path):
    publish(None, trained, tmp_path / 'out', OPTIONS)
    stored = read_checkpoint(tmp_path / 'out/model.safetensors')
    meta = {key: value for key, value in stored['meta'].items() if key != 'cfg'}
    for text, message in (('model = dict(encoder=open("x"))', 'holds more than plain values'),
                          ('model = dict(type="subprocess.check_call")', 'is not registered')):
        write_published(tmp_path / 'evil.safetensors', stored['state_dict'], text, meta)
        with pytest.raises(ValueError, match=message):
            ChangeInferencer(tmp_path / 'evil.safetensors', device='cpu')


def test_card_and_record_of_a_semantic_model_tell_its_classes_maps_and_transitions(tmp_path):
    path = tiny.save(tmp_path / 'm.pth', tiny.SEMANTIC, classes=('unchanged', 'changed'),
                     semantic_classes=('none', 'water', 'low vegetation', 'building'),
                     semantic_palette=[[255, 255, 255], [0, 0, 255], [0, 128, 0], [128, 0, 0]])
    publish(None, path, tmp_path / 'out', OPTIONS)
    card = (tmp_path / 'out/README.md').read_text()
    for text in ('| answers | change map, class map of each date, transitions between the classes ',
                 '| classes | 0 unchanged, 1 changed |', '- semantic-change-detection\n',
                 '| classes of each date | 1 water, 2 low vegetation, 3 building |',
                 '| transitions | 6 from a class of the earlier date to one of the later date, none'
                 ' within a class; '):
        assert text in card
    told = json.loads((tmp_path / 'out/stac_item.json').read_text())['properties']
    assert 'transitions between the classes' in told['description']
    maps = told['mlm:output']
    assert [one['name'] for one in maps] == ['change map', 'class map of the earlier date',
                                             'class map of the later date']
    assert len(maps[0]['classification:classes']) == 2
    for one in maps[1:]:
        assert [(known['value'], known['name']) for known in one['classification:classes']] == [
            (0, 'none'), (1, 'water'), (2, 'low-vegetation'), (3, 'building')]
        assert one['classification:classes'][2]['color_hint'] == '008000'


def test_classes_without_names_are_numbered_and_their_maps_compared(tmp_path):
    path = tiny.save(tmp_path / 'm.pth', tiny.SEMANTIC, classes=('unchanged', 'changed'))
    done = publish(None, path, tmp_path / 'out', OPTIONS)
    assert done.description.date_classes == ('class 1', 'class 2', 'class 3')
    one, other = (publishing.ModelPass.of(file, None, 'cpu') for file in (
        path, tmp_path / 'out/model.safetensors'))
    with torch.no_grad():  # the change map stays as it is
        other.loaded.model.change_head.classify_date.bias += torch.tensor([1e3, 0, 0])
    assert publishing.compare(one, other, 1).pixels < 1
