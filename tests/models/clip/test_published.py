"""Names of weights for remote sensing, and their files in the published layouts."""
import zipfile

import pytest
import torch
from fake_clip import publish, save_state_dict, tiny_clip
from fake_siglip import save_siglip

from rscc import compat
from rscc.models.clip import weights as loading
from rscc.models.clip.clip_model import load_clip
from rscc.models.clip.published import PUBLISHED, published, published_as
from rscc.models.clip.weight_files import locate, read_clip, read_siglip, read_weights
from rscc.models.encoders.clip import CLIPResNet, CLIPViT
from rscc.registry import MODELS


@pytest.fixture(scope='module')
def clip():
    return tiny_clip()


@pytest.fixture
def said(monkeypatch):
    """What is written into the log."""
    lines = []
    monkeypatch.setattr(loading, 'warn_once', lambda message, level=30: lines.append(
        (level, message)))
    return lines


def test_every_name_is_lower_case_and_has_a_variable_of_its_own():
    assert all(published(name.upper()) is entry for name, entry in PUBLISHED.items())
    variables = {entry.variable for entry in PUBLISHED.values()}
    assert len(variables) == len(PUBLISHED)
    assert {'RSCC_REMOTECLIP_RN50', 'RSCC_REMOTECLIP_VITB32', 'RSCC_GEORSCLIP_VITL14_336',
            'RSCC_SKYCLIP_VITL14_TOP30', 'RSCC_GIT_RSCLIP_BASE'} <= variables


def test_every_architecture_is_one_of_open_clip():
    known = compat.import_open_clip('factory').list_models()
    assert {entry.arch for entry in PUBLISHED.values()} <= set(known)


def test_an_absent_file_says_what_to_download_where_under_which_licence(monkeypatch, tmp_path):
    monkeypatch.delenv('RSCC_REMOTECLIP_VITB32', raising=False)
    with pytest.raises(FileNotFoundError, match=(
            r"no weights for 'remoteclip-vit-b-32': RSCC_REMOTECLIP_VITB32 is not set\. Download "
            r"'RemoteCLIP-ViT-B-32\.pt' from https://huggingface\.co/chendelong/RemoteCLIP "
            r'\(licence: .*\), then: export RSCC_REMOTECLIP_VITB32=/path/to/Remote')):
        read_clip('remoteclip-vit-b-32')
    monkeypatch.setenv('RSCC_REMOTECLIP_VITB32', str(tmp_path / 'gone.pt'))
    with pytest.raises(FileNotFoundError, match=r"names '.*gone\.pt', where there is nothing"):
        read_clip('remoteclip-vit-b-32')


def test_a_misspelt_name_gets_the_nearest():
    with pytest.raises(FileNotFoundError, match=r"Did you mean 'remoteclip-vit-b-32'\?"):
        read_clip('remoteclip-vitb32')


def test_a_name_brings_facts_whatever_its_file_is_called(clip, tmp_path, monkeypatch):
    path = save_state_dict(clip, tmp_path / 'mine.pt')
    monkeypatch.setenv('RSCC_GEORSCLIP_VITH14', path)
    origin = locate('georsclip-vit-h-14')
    assert (origin.quick_gelu, origin.confirmed) == (False, True)
    assert origin.normalisation.source == 'georsclip-vit-h-14'
    assert read_clip(path).quick_gelu is None  # nobody says what it is


def test_a_published_file_name_brings_them_too(clip, tmp_path):
    path = save_state_dict(clip, tmp_path / 'RS5M_ViT-H-14.pt')
    assert read_clip(path).origin.entry is PUBLISHED['georsclip-vit-h-14']
    for name, known in (('RemoteCLIP-RN50.pt', 'remoteclip-rn50'),
                        ('SkyCLIP_ViT_B32_top50pct.zip', 'skyclip-vit-b-32-top50'),
                        ('SkyCLIP_ViT_L14_top30pct/epoch_20.pt', 'skyclip-vit-l-14-top30'),
                        ('Git-RSCLIP/model.safetensors', 'git-rsclip')):
        assert published_as(tmp_path / name) is PUBLISHED[known]
    assert published_as(tmp_path / 'epoch_20.pt') is None


def training_checkpoint(clip, path):
    """What open_clip's training script writes, as SkyCLIP is published."""
    optimizer = torch.optim.AdamW(clip.parameters())
    torch.save(dict(epoch=20, name='SkyCLIP', optimizer=optimizer.state_dict(), state_dict={
        f'module.{key}': value for key, value in clip.state_dict().items()}), path)
    return path


def test_skyclips_archive_is_read_packed_and_unpacked(clip, tmp_path):
    folder = tmp_path / 'SkyCLIP_ViT_B32_top50pct'
    folder.mkdir()
    inside = training_checkpoint(clip, folder / 'epoch_20.pt')
    packed = tmp_path / 'SkyCLIP_ViT_B32_top50pct.zip'
    with zipfile.ZipFile(packed, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.write(inside, 'SkyCLIP_ViT_B32_top50pct/epoch_20.pt')
        archive.writestr('__MACOSX/._epoch_20.pt', b'junk')
    own = clip.state_dict()
    for source in (packed, inside, folder):
        weights = read_clip(str(source))
        assert weights.origin.entry is PUBLISHED['skyclip-vit-b-32-top50']
        assert weights.state_dict.keys() == own.keys()
        assert all(torch.equal(value, own[key]) for key, value in weights.state_dict.items())


def test_an_archive_of_several_weights_asks_which(clip, tmp_path):
    with zipfile.ZipFile(tmp_path / 'all.zip', 'w') as archive:
        for name in ('a.pt', 'b.pt'):
            archive.writestr(name, b'')
    with pytest.raises(ValueError, match=r'2 weight files; unpack it and name the right one of '
                       r"\['a\.pt', 'b\.pt'\]"):
        read_clip(str(tmp_path / 'all.zip'))


def test_a_folder_without_weights_says_what_it_holds(tmp_path):
    (tmp_path / 'notes.txt').write_text('')
    with pytest.raises(FileNotFoundError, match=r"has no weights that are known here: .*"
                       r"\.safetensors.* found \['notes\.txt'\]"):
        read_weights(str(tmp_path))


@pytest.mark.parametrize(('name', 'kind'), [('remoteclip-rn50', 'resnet'),
                                            ('remoteclip-vit-b-32', 'vit')])
def test_features_by_name_are_open_clips_own(tmp_path, monkeypatch, name, kind):
    theirs = tiny_clip(kind, quick_gelu=False, image_size=64)
    entry = PUBLISHED[name]
    monkeypatch.setenv(entry.variable, save_state_dict(theirs, tmp_path / entry.file))
    config = dict(embed_dim=32, vision_cfg=dict(layers=(1, 2, 1, 1), width=8, patch_size=None)
                  if kind == 'resnet' else dict(layers=2, width=64, patch_size=8), text_cfg={})
    monkeypatch.setitem(compat.import_open_clip('factory')._MODEL_CONFIGS, entry.arch, config)
    loaded = load_clip(None, name)
    assert loaded.quick_gelu is False
    images, ids = torch.randn(2, 3, 64, 64), loaded.tokenizer(['a road', 'a river'])
    with torch.no_grad():
        for ours, expected in zip(loaded.model(images, ids), theirs(images, ids), strict=True):
            torch.testing.assert_close(ours, expected)
    encoder = (CLIPResNet((1, 2, 1, 1), 8, 4, 32, 64, pretrained=name) if kind == 'resnet' else
               CLIPViT(64, 2, 1, 8, 32, 64, (), False, 0.0, False, pretrained=name))
    with torch.no_grad():
        torch.testing.assert_close(encoder.eval().encode(images).pooled,
                                   theirs.encode_image(images), atol=1e-5, rtol=1e-4)
    assert encoder.normalisation().mean[0] == pytest.approx(0.48145466)
    assert encoder.normalisation().source == name


def test_a_name_whose_file_is_another_architecture_is_refused(clip, tmp_path, monkeypatch):
    monkeypatch.setenv('RSCC_REMOTECLIP_VITB32', save_state_dict(clip, tmp_path / 'x.pt'))
    with pytest.raises(ValueError, match=r"hold a ViT with patch 8 .*, and model='ViT-B-32' is a "
                       'ViT-B/32'):
        load_clip(None, 'remoteclip-vit-b-32')


def tiny_vit(**options):
    return MODELS.build(dict(type='CLIPViT', width=64, layers=2, heads=1, patch_size=8,
                             output_dim=32, input_resolution=32, out_indices=(), pyramid=False)
                        | options)


def test_a_confirmed_activation_refuses_the_other(clip, tmp_path):
    path = save_state_dict(clip, tmp_path / 'RS5M_ViT-H-14.pt')
    with pytest.raises(ValueError, match='were trained with the exact GELU, and this model is set '
                       'to quick_gelu=True: set quick_gelu=False'):
        tiny_vit(pretrained=path)


@pytest.mark.parametrize(('quick_gelu', 'level'), [(True, 30), (False, 20)])
def test_an_unconfirmed_activation_lets_both_run_and_says_which_is_likely(clip, tmp_path, said,
                                                                         quick_gelu, level):
    path = save_state_dict(clip, tmp_path / 'RemoteCLIP-ViT-B-32.pt')
    tiny_vit(pretrained=path, quick_gelu=quick_gelu)
    found, message = said[-1]
    assert found == level
    assert f'quick_gelu={quick_gelu} is taken, quick_gelu=False is likely' in message


def test_other_heads_than_a_known_size_has_are_refused():
    with torch.device('meta'):
        tower = MODELS.build(dict(
            type='CLIPViT', width=1280, layers=32, heads=20, patch_size=14, output_dim=1024,
            input_resolution=224, out_indices=(), pyramid=False)).visual
    from rscc.models.clip.towers import visual_tower
    with pytest.raises(ValueError, match=r'ViT-H/14 .* has 16 heads, .* set heads=16'):
        loading._check_heads(tower, visual_tower(tower.state_dict()), 'RS5M_ViT-H-14.pt')


def test_statistics_are_nobodys_without_weights():
    assert tiny_vit().normalisation() is None
    assert MODELS.build(dict(type='SiglipViT', width=32, layers=4, heads=2,
                             out_indices=(0, 1, 2, 3))).normalisation() is None


def test_statistics_of_open_clips_names_are_those_of_its_record(clip, tmp_path, monkeypatch):
    name = publish(monkeypatch, save_state_dict(clip, tmp_path / 'x.pt'), mean=(0.5, 0.4, 0.3),
                   std=(0.1, 0.2, 0.3))
    known = tiny_vit(pretrained=name, quick_gelu=False).normalisation()
    assert (known.mean, known.std, known.source) == ((0.5, 0.4, 0.3), (0.1, 0.2, 0.3), name)


def test_a_clip_and_a_siglip_are_told_apart(clip, tmp_path):
    save_siglip(tmp_path / 'siglip', vocabulary=64)
    with pytest.raises(ValueError, match=r"holds a SigLIP, and a CLIP is wanted: .*'SiglipViT'"):
        tiny_vit(pretrained=str(tmp_path / 'siglip'))
    path = save_state_dict(clip, tmp_path / 'clip.pt')
    with pytest.raises(ValueError, match=r"holds a CLIP, and a SigLIP is wanted: .*'CLIPViT'"):
        read_siglip(path)


def test_open_clips_siglip_files_point_to_those_of_transformers(tmp_path):
    torch.save({'visual.trunk.x': torch.zeros(1)}, tmp_path / 'x.pt')
    with pytest.raises(ValueError, match=r"image tower of timm .*'visual\.trunk\.'.* config\.json"):
        read_clip(str(tmp_path / 'x.pt'))


@pytest.mark.parametrize('arch', ['RN50', 'ViT-B-32', 'ViT-L-14', 'ViT-L-14-336', 'ViT-H-14'])
def test_full_architectures_have_the_names_and_shapes_of_open_clip(arch):
    """What the published files hold, without their gigabytes."""
    from rscc.models.clip.clip_model import _clip_of_shapes
    from rscc.models.clip.towers import visual_tower
    config = compat.import_open_clip('factory').get_model_config(arch)
    library = compat.import_open_clip('model')
    with torch.device('meta'):
        theirs = library.CLIP(**config)
        state = theirs.state_dict()
        ours = _clip_of_shapes(state, visual_tower({
            key.removeprefix('visual.'): value for key, value in state.items()
            if key.startswith('visual.')}), False)
    assert {key: value.shape for key, value in ours.state_dict().items()} == {
        key: value.shape for key, value in state.items()}
    if arch != 'RN50':
        heads = [model.visual.transformer.resblocks[0].attn.num_heads for model in (ours, theirs)]
        assert heads[0] == heads[1]
