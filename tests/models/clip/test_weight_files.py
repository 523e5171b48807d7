import pytest
import torch
from fake_clip import publish, save_archive, save_state_dict, tiny_clip
from safetensors.torch import save_file

from rscc import compat
from rscc.models.clip import weight_files
from rscc.models.clip.weight_files import read_clip


@pytest.fixture(autouse=True)
def fresh_cache():
    weight_files._read_file.cache_clear()


@pytest.fixture(scope='module')
def clip():
    return tiny_clip()


def same(state, clip, atol=0.0):
    own = clip.state_dict()
    assert set(state) == set(own)
    for key, value in state.items():
        torch.testing.assert_close(value, own[key], atol=atol, rtol=atol)


def test_an_archive_of_openai_is_read_in_single_precision(clip, tmp_path):
    weights = read_clip(save_archive(clip, tmp_path / 'renamed.weights'))
    assert weights.quick_gelu is True
    assert all(value.dtype is torch.float32 for value in weights.state_dict.values())
    same(weights.state_dict, clip, atol=1e-3)


def test_resnets_keep_their_counters(tmp_path):
    clip = tiny_clip('resnet')
    state = read_clip(save_archive(clip, tmp_path / 'RN.pt')).state_dict
    assert state['visual.bn1.num_batches_tracked'].dtype is torch.int64
    same(state, clip, atol=1e-3)


@pytest.mark.parametrize('form', ['plain', 'wrapped', 'parallel', 'custom text', 'safetensors'])
def test_state_dicts_of_every_form_say_nothing_about_the_activation(clip, tmp_path, form):
    state = dict(clip.state_dict())
    path = tmp_path / ('clip.safetensors' if form == 'safetensors' else 'clip.bin')
    if form == 'custom text':
        state = {key if key.startswith(('visual.', 'logit')) else f'text.{key}': value
                 for key, value in state.items()}
    if form == 'parallel':
        state = {f'module.{key}': value for key, value in state.items()}
    if form == 'safetensors':
        save_file({key: value.contiguous() for key, value in state.items()}, path)
    else:
        torch.save(state if form == 'plain' else {'epoch': 3, 'state_dict': state}, path)
    weights = read_clip(str(path))
    assert weights.quick_gelu is None and weights.source == str(path)
    same(weights.state_dict, clip)


def test_one_file_is_read_once_and_again_when_it_changes(clip, tmp_path):
    path = save_state_dict(clip, tmp_path / 'clip.pt')
    read_clip(path), read_clip(path)
    assert weight_files._read_file.cache_info().misses == 1
    other = tiny_clip(seed=1)
    save_state_dict(other, path)
    same(read_clip(path).state_dict, other)
    assert weight_files._read_file.cache_info().currsize == 1


@pytest.mark.parametrize(('entry', 'arch', 'quick_gelu'), [
    ({}, 'ViT-tiny', False), ({'quick_gelu': True}, 'ViT-tiny', True),
    ({}, 'ViT-tiny-quickgelu', True)])
def test_open_clip_names_know_their_activation(clip, tmp_path, monkeypatch, entry, arch,
                                               quick_gelu):
    path = save_state_dict(clip, tmp_path / 'clip.pt')
    weights = read_clip(publish(monkeypatch, path, arch, **entry))
    assert weights.quick_gelu is quick_gelu
    same(weights.state_dict, clip)


def test_openais_spelling_of_an_architecture_is_understood(clip, tmp_path, monkeypatch):
    publish(monkeypatch, save_state_dict(clip, tmp_path / 'clip.pt'), 'ViT-B-16', 'mine')
    same(read_clip('ViT-B/16:mine').state_dict, clip)


def test_the_names_that_configs_use_are_published_with_quick_gelu():
    for name in ('RN50:openai', 'ViT-B-16:openai', 'ViT-B-16-quickgelu:dfn2b'):
        entry = weight_files._published(*weight_files.split_name(name))
        assert entry['quick_gelu'] is True, name


def test_without_a_network_the_message_says_what_to_fetch(monkeypatch):

    def no_network(entry):
        raise ConnectionError('<urlopen error [Errno -2] Name or service not known>\nmore')

    monkeypatch.setattr(compat.import_open_clip('pretrained'), 'download_pretrained', no_network)
    with pytest.raises(OSError, match=r"cannot download 'RN50:openai' \(<urlopen .* not known>\)\. "
                       r'Fetch the weights from https://openaipublic\S+/RN50\.pt or '
                       r'https://huggingface\.co/timm/resnet50_clip\.openai where there is a '
                       r"network, and name the file in place of 'RN50:openai'"):
        read_clip('RN50:openai')


@pytest.mark.parametrize(('name', 'message'), [
    ('RN5O:openai', r"no weights for an architecture 'RN5O'\. Did you mean 'RN50'\?"),
    ('RN50:opnai', r"no weights 'opnai' for 'RN50'; it has \['cc12m', 'openai', 'yfcc15m'\]\. "
     "Did you mean 'openai'"),
])
def test_unknown_open_clip_names_name_the_nearest(name, message):
    with pytest.raises(ValueError, match=message):
        read_clip(name)


def test_a_missing_file_names_the_nearest(clip, tmp_path):
    save_state_dict(clip, tmp_path / 'RN50.pt')
    with pytest.raises(FileNotFoundError, match=r"no CLIP weights at '.*RN5O\.pt': expected a file "
                       r"\(.*\), an open_clip name such as 'RN50:openai', or one for remote "
                       r"sensing such as 'remoteclip-rn50'\. Did you mean 'RN50\.pt'\?"):
        read_clip(str(tmp_path / 'RN5O.pt'))


@pytest.mark.parametrize(('content', 'message'), [
    ({'backbone.conv1.weight': torch.zeros(1)}, 'a trained ChangeCLIP; import that with tools/mod'),
    ({'vision_model.x': torch.zeros(1)}, "transformers' CLIP, whose names differ"),
    ({'fc.weight': torch.zeros(1)}, r"no key begins with 'visual\.'\. Found \['fc\.weight'\]"),
    ([torch.zeros(1)], 'holds no CLIP weights but a list'),
])
def test_other_files_are_recognised(tmp_path, content, message):
    torch.save(content, tmp_path / 'other.pt')
    with pytest.raises(ValueError, match=message):
        read_clip(str(tmp_path / 'other.pt'))


class Surprise:
    """A Python object in a weights file."""


def test_files_with_objects_are_refused(tmp_path):
    torch.save({'state_dict': Surprise()}, tmp_path / 'clip.pt')
    with pytest.raises(ValueError, match=r"it holds Python objects of '.*Surprise', which could "
                       'run code'):
        read_clip(str(tmp_path / 'clip.pt'))


@pytest.mark.parametrize('form', ['archive', 'state dict', 'safetensors', 'text'])
def test_damaged_files_are_named(clip, tmp_path, form):
    path = tmp_path / 'clip.pt'
    if form == 'archive':
        save_archive(clip, path)
    elif form == 'state dict':
        save_state_dict(clip, path)
    elif form == 'safetensors':
        save_file({key: value.contiguous() for key, value in clip.state_dict().items()}, path)
    else:
        path.write_text('<html>404</html>')
    if form != 'text':
        path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"CLIP weights '.*clip\.pt' (are damaged or cut short|"
                       'cannot be read: it is no torch file)'):
        read_clip(str(path))
