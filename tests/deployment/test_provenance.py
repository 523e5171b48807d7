"""Origin of weights: carried over from model to model, unknown where nobody wrote it down."""
import json

import pytest
import tiny_models as tiny
import torch
from mmengine.config import Config

from rscc.apis import save_model
from rscc.deployment import publishing
from rscc.deployment.provenance import RANDOM, provenance
from rscc.deployment.publishing import PublishOptions, publish
from rscc.engine.checkpoint import read_checkpoint

FACTS = dict(classes=('unchanged', 'a', 'b'))


@pytest.fixture(autouse=True)
def one_pair(monkeypatch):
    monkeypatch.setattr(publishing, 'PAIRS', 1)


@pytest.fixture
def published(tmp_path):
    """A published model whose encoder started from random weights, under CC-BY-SA-4.0."""
    path = tiny.save(tmp_path / 'trained.pth', tiny.JOINT, **FACTS)
    publish(None, path, tmp_path / 'mine', PublishOptions(
        'mine', 'cc-by-sa-4.0', 'My network', metrics={'F1': 0.5}, datasets=('me/pairs', )))
    return tmp_path / 'mine'


def card(folder):
    return (folder / 'README.md').read_text()


def of(**settings):
    """The origin of a checkpoint in which a training wrote these settings."""
    def origin(path):
        cfg = Config(dict(model=dict(encoder=settings.pop('encoder', {})), **settings))
        torch.save({'meta': {'cfg': cfg.pretty_text}, 'state_dict': {}}, path)
        return provenance(Config(dict(model=dict(encoder={}))), path)
    return origin


def test_the_same_licence_is_kept_and_the_origin_carried_over(published, tmp_path):
    done = save_model(published, tmp_path / 'again', name='other', licence='CC-BY-SA-4.0')
    text = card(tmp_path / 'again')
    for row in ('| encoder started from | random weights |', '| weights of | `mine`, whose card ',
                '| architecture | My network, ', '| metrics | F1 0.5 |', '| datasets | me/pairs |'):
        assert row in text
    assert done.description.licence == 'CC-BY-SA-4.0'
    third = save_model(tmp_path / 'again', tmp_path / 'third', name='third',
                       licence='CC-BY-SA-4.0').description
    assert (third.started_from, third.made_from) == (RANDOM, 'other')


def test_another_licence_is_refused_unless_forced(published, tmp_path):
    with pytest.raises(ValueError, match=r"'mine' is licensed under CC-BY-SA-4\.0, and these are "
                       r"its weights .* found licence 'Apache-2\.0'\. Give CC-BY-SA-4\.0, or with "
                       '--force'):
        save_model(published, tmp_path / 'again', licence='Apache-2.0')
    assert not (tmp_path / 'again').exists()
    save_model(published, tmp_path / 'again', licence='Apache-2.0', force=True)
    assert '| licence of the weights | Apache-2.0 |' in card(tmp_path / 'again')


def test_a_training_from_published_weights_keeps_their_licence(published, tmp_path):
    path = tiny.save(tmp_path / 'tuned.pth', tiny.JOINT, **FACTS)
    stored = torch.load(path, weights_only=True)
    stored['meta']['cfg'] += f'\nload_from = {str(published / "model.safetensors")!r}\n'
    torch.save(stored, path)
    with pytest.raises(ValueError, match="'mine' is licensed under CC-BY-SA"):
        publish(None, path, tmp_path / 'out', PublishOptions('tuned', 'MIT'))
    publish(None, path, tmp_path / 'out', PublishOptions('tuned', 'CC-BY-SA-4.0'))
    assert '| encoder started from | mine |' in card(tmp_path / 'out')


def test_what_is_not_written_anywhere_is_unknown(published, tmp_path):
    file = published / 'model.safetensors'
    stored = read_checkpoint(file)
    meta = stored['meta']
    text = meta.pop('cfg')
    meta['published'].pop('started_from')
    publishing.write_published(file, stored['state_dict'], text, meta)
    (published / 'stac_item.json').unlink()
    save_model(published, tmp_path / 'again', licence='CC-BY-SA-4.0')
    assert '| encoder started from | unknown |' in card(tmp_path / 'again')
    record = json.loads((tmp_path / 'again/stac_item.json').read_text())['properties']
    assert not {'mlm:pretrained', 'mlm:pretrained_source'} & set(record)


def test_the_record_tells_of_a_model_whose_header_does_not():
    origin = provenance(Config(dict(model={})), 'rscc-small')
    assert origin.licences == {'rscc-small': 'CC-BY-SA-4.0'}
    assert origin.started_from == 'package:efficientnet-lite0'
    assert origin.told['architecture'] == 'EfficientNet-Lite0'


@pytest.mark.parametrize(('settings', 'started'), [
    (dict(encoder=dict(pretrained='timm/x')), 'timm/x'),
    (dict(encoder=dict(pretrained=True)), 'timm'),
    (dict(encoder=dict(pretrained='/home/me/w.pth')), 'w.pth'),
    (dict(encoder=dict(backbone=dict(init_cfg=dict(checkpoint='torchvision://resnet18')))),
     'torchvision://resnet18'),
    (dict(encoder={}), RANDOM), (dict(load_from='/gone/model.pth'), 'model.pth')])
def test_the_config_of_a_training_tells_what_its_encoder_started_from(tmp_path, settings, started):
    assert of(**settings)(tmp_path / 'a.pth').started_from == started


@pytest.mark.parametrize(('meta', 'model'), [
    ({'converted_from': 'x.pt'}, dict(encoder={})), ({'merged_from': 'x.pth'}, dict(encoder={})),
    ({}, dict(backbone={}))])
def test_nothing_is_claimed_of_converted_checkpoints_and_other_models(tmp_path, meta, model):
    torch.save({'meta': meta, 'state_dict': {}}, tmp_path / 'a.pth')
    assert provenance(Config(dict(model=model)), tmp_path / 'a.pth').started_from is None


@pytest.mark.parametrize(('options', 'message'), [
    (dict(licence='banana'), "licence: 'banana' is no licence"),
    (dict(licence='MIT', datasets=('not a hub name!!', )), "datasets: 'not a hub name!!' is no")])
def test_odd_licences_and_data_sets_are_refused(tmp_path, options, message):
    path = tiny.save(tmp_path / 'trained.pth', tiny.JOINT, **FACTS)
    with pytest.raises(ValueError, match=message):
        save_model(path, tmp_path / 'out', **options)
    assert not (tmp_path / 'out').exists()
