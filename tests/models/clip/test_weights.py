import pytest
import torch
import torch.nn.functional as F
from fake_clip import publish, save_archive, save_state_dict, tiny_clip

from rscc.models.clip import weights as module
from rscc.models.clip.weights import load_text, load_visual


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('clip')


@pytest.fixture(scope='module')
def vit(folder):
    return save_state_dict(tiny_clip('vit'), folder / 'vit.pt')


@pytest.fixture(scope='module')
def resnet(folder):
    return save_state_dict(tiny_clip('resnet', image_size=224), folder / 'resnet.pt')


def text_of(clip):
    """The text tower alone, under CLIP's names."""
    text = torch.nn.Module()
    for name in ('transformer', 'token_embedding', 'positional_embedding', 'ln_final',
                 'text_projection'):
        setattr(text, name, getattr(clip, name))
    return text


def changed(state, before):
    return [key for key, value in state.items() if not torch.equal(value, before[key])]


def test_every_tensor_of_both_towers_arrives(vit):
    source, target = tiny_clip('vit'), tiny_clip('vit', seed=1)
    load_visual(target.visual, vit, quick_gelu=True)
    load_text(text_of(target), vit, quick_gelu=True)
    target.logit_scale.data.copy_(source.logit_scale)
    images, ids = torch.randn(2, 3, 32, 32), torch.randint(1, 40000, (2, 24))
    for ours, theirs in zip(target(images, ids), source(images, ids), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_resnet_with_another_grid_gets_its_positions_resized(resnet):
    source, target = tiny_clip('resnet', image_size=224), tiny_clip('resnet', image_size=512)
    load_visual(target.visual, resnet, quick_gelu=None)
    table = source.visual.attnpool.positional_embedding
    assert table.shape == (50, 256)
    grid = F.interpolate(table[1:].T.reshape(1, 256, 7, 7), (16, 16), mode='bilinear',
                         align_corners=False, antialias=False)
    expected = torch.cat([table[:1], grid.flatten(2)[0].T])
    torch.testing.assert_close(target.visual.attnpool.positional_embedding, expected)


def test_a_vit_with_another_grid_gets_its_positions_resized(vit):
    target = tiny_clip('vit', image_size=64)
    load_visual(target.visual, vit, quick_gelu=True)
    table, own = tiny_clip('vit').visual.positional_embedding, target.visual.positional_embedding
    assert len(table) == 17 and len(own) == 65
    assert torch.equal(own[0], table[0])
    torch.testing.assert_close(own[1:].mean(0), table[1:].mean(0), atol=0.05, rtol=0)


def test_a_shorter_text_encoder_takes_the_first_positions(vit):
    target = tiny_clip('vit', seed=1)
    target.positional_embedding = torch.nn.Parameter(torch.zeros(10, 64))
    load_text(text_of(target), vit, quick_gelu=True)
    assert torch.equal(target.positional_embedding, tiny_clip('vit').positional_embedding[:10])


def test_a_longer_text_encoder_is_an_error(vit):
    text = text_of(tiny_clip('vit'))
    text.positional_embedding = torch.nn.Parameter(torch.zeros(30, 64))
    with pytest.raises(ValueError, match=r'of another shape \(file \(24, 64\), model \(30, 64\)\), '
                       '1: positional_embedding'):
        load_text(text, vit, quick_gelu=True)


def test_another_architecture_is_one_error_that_lists_everything_and_loads_nothing(vit):
    target = tiny_clip('resnet').visual
    before = {key: value.clone() for key, value in target.state_dict().items()}
    with pytest.raises(ValueError, match='do not fit') as error:
        load_visual(target, vit, quick_gelu=None)
    said = str(error.value)
    assert ('the file is a ViT with patch 8 (width 64, 2 layers), output 32; this model is '
            'a ResNet (layers 1-2-1-1, width 8), output 32.') in said
    assert f'missing in the file, {len(before) - 1}: ' in said  # conv1.weight has another shape
    assert 'layer{1-4}.{0-1}.bn{1-3}.weight (15)' in said
    assert 'not in this model, 31: ' in said
    assert 'transformer.resblocks.{0-1}.ln_{1-2}.bias (4)' in said
    assert 'of another shape (file (64, 3, 8, 8), model (4, 3, 3, 3)), 1: conv1.weight' in said
    assert said.endswith('Name weights of that architecture, or set the model up for these.')
    assert not changed(target.state_dict(), before)


def test_a_single_wrong_key_stops_the_whole_file(folder):
    clip = tiny_clip('vit')
    state = clip.state_dict()
    state['visual.extra'] = torch.zeros(3)
    del state['visual.ln_post.bias']
    torch.save(state, folder / 'odd.pt')
    target = tiny_clip('vit', seed=1).visual
    before = {key: value.clone() for key, value in target.state_dict().items()}
    with pytest.raises(ValueError, match=r'missing in the file, 1: ln_post\.bias\n'
                       r'  not in this model, 1: extra\n'):
        load_visual(target, str(folder / 'odd.pt'), quick_gelu=True)
    assert not changed(target.state_dict(), before)


def test_texts_of_another_width_name_both_encoders(vit):
    text = text_of(tiny_clip('vit'))
    text.text_projection = torch.nn.Parameter(torch.zeros(64, 48))
    with pytest.raises(ValueError, match=r'the file is a text transformer \(width 64, 2 layers, '
                       r'24 positions\), output 32; this model is .*, output 48\.'):
        load_text(text, vit, quick_gelu=True)


@pytest.mark.parametrize('load', [
    lambda clip, source, quick: load_visual(clip.visual, source, quick),
    lambda clip, source, quick: load_text(text_of(clip), source, quick)])
def test_the_other_activation_is_refused(folder, monkeypatch, load):
    archive = save_archive(tiny_clip('vit'), folder / 'openai.pt')
    with pytest.raises(ValueError, match='were trained with QuickGELU, and this model is set to '
                       'quick_gelu=False: set quick_gelu=True'):
        load(tiny_clip('vit', seed=1), archive, False)
    load(tiny_clip('vit', seed=1), archive, True)
    exact = publish(monkeypatch, folder / 'openai.pt', 'ViT-exact')
    with pytest.raises(ValueError, match='were trained with QuickGELU'):
        load(tiny_clip('vit'), exact, False)  # what the file is outweighs its name


def test_an_exact_gelu_by_name_is_refused_too(vit, monkeypatch):
    name = publish(monkeypatch, vit, 'ViT-exact')
    with pytest.raises(ValueError, match=r"'ViT-exact:here' were trained with the exact GELU, .* "
                       'set quick_gelu=False'):
        load_visual(tiny_clip('vit').visual, name, quick_gelu=True)


def test_an_unknown_activation_is_noted(vit, monkeypatch):
    said = []
    monkeypatch.setattr(module, 'warn_once', lambda *words: said.append(words))
    load_visual(tiny_clip('vit').visual, vit, quick_gelu=True)
    assert len(said) == 1 and said[0][1] == 20
    assert "vit.pt' does not say whether it was trained with QuickGELU" in said[0][0]
    load_visual(tiny_clip('vit').visual, vit, quick_gelu=None)
    assert len(said) == 1  # a ResNet has no such activation: nothing to note
