import copy
import pickle

import numpy as np
import pytest
import torch
from fake_clip import publish, save_archive, save_state_dict, tiny_clip
from PIL import Image

from rscc import compat
from rscc.models.clip.classifier import CLIPClassifier, ranking
from rscc.models.clip.clip_model import clip_source

NAMES = ['road', 'dense residential', 'river', 'parking lot', 'forest']


@pytest.fixture(scope='module')
def file(tmp_path_factory):
    return save_state_dict(tiny_clip(), tmp_path_factory.mktemp('clip') / 'vit.pt')


@pytest.fixture(scope='module')
def classifier(file):
    return CLIPClassifier(None, file, NAMES)


def pictures(count=3, size=(50, 70), seed=0):
    """Smooth random pictures, uint8 (H, W, 3)."""
    draw = np.random.default_rng(seed)
    small = [Image.fromarray(draw.integers(0, 256, (6, 8, 3), dtype=np.uint8))
             for _ in range(count)]
    return [np.asarray(image.resize(size[::-1], Image.BICUBIC)) for image in small]


def as_tensor(arrays):
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 255


def test_probabilities_are_those_of_open_clip_itself(classifier):
    clip, tokenizer = tiny_clip(), compat.import_open_clip('tokenizer').SimpleTokenizer(
        context_length=24)
    prepared = torch.stack([classifier.transform(Image.fromarray(a)) for a in pictures()])
    with torch.no_grad():
        logits, _ = clip.get_logits(prepared, tokenizer(NAMES))
    ours = classifier.classify(prepared)
    torch.testing.assert_close(ours, logits.softmax(-1), atol=1e-5, rtol=1e-4)
    assert ours.std(0).max() > 1e-3  # the pictures do differ


@pytest.mark.parametrize('size', [(50, 70), (32, 32), (90, 33), (20, 24)])
def test_tensors_are_prepared_like_pictures_up_to_rounding(classifier, size):
    arrays = pictures(size=size)
    ours = classifier.prepare(as_tensor(arrays))
    theirs = torch.stack([classifier.transform(Image.fromarray(array)) for array in arrays])
    assert ours.shape == theirs.shape == (3, 3, 32, 32)
    grey = (ours - theirs).abs() * 0.27 * 255  # standardised back to grey values
    assert grey.max() < 2.5 and grey.mean() < 0.5


def test_preparing_keeps_to_the_range_of_bytes(classifier):
    edge = torch.zeros(1, 3, 64, 64)
    edge[..., 30:] = 1
    mean, std = (torch.tensor(value)[:, None, None] for value in (
        classifier.transform.transforms[-1].mean, classifier.transform.transforms[-1].std))
    plain = classifier.prepare(edge)[0] * std + mean
    assert plain.min() > -1e-6 and plain.max() < 1 + 1e-6


def test_openais_preparation_is_bicubic_of_the_short_side_then_the_centre(classifier):
    resize, crop, *_, standardise = classifier.transform.transforms
    assert resize.size == 32 and resize.interpolation.value == 'bicubic' and resize.antialias
    assert tuple(crop.size) == (32, 32)
    assert standardise.mean == (0.48145466, 0.4578275, 0.40821073)
    assert standardise.std == (0.26862954, 0.26130258, 0.27577711)


def test_a_picture_alone_equals_its_row_in_a_batch(classifier):
    images = as_tensor(pictures())
    torch.testing.assert_close(classifier(images[1:2])[0], classifier(images)[1])


def test_the_likeliest_names_come_first_and_ties_keep_the_order_of_the_list(classifier):
    probabilities = torch.tensor([[0.1, 0.3, 0.1, 0.4, 0.1], [0.2, 0.2, 0.2, 0.2, 0.2]])
    assert classifier.top(probabilities, 3) == [
        ['parking lot', 'dense residential', 'road'], ['road', 'dense residential', 'river']]
    assert classifier.top(probabilities)[1] == NAMES
    assert ranking(probabilities)[0].tolist() == [3, 1, 0, 2, 4]


def test_nothing_learns_and_the_text_tower_is_gone(classifier):
    assert not any(parameter.requires_grad for parameter in classifier.parameters())
    assert not classifier.train().training and not classifier.visual.training
    assert not any('token_embedding' in key for key in classifier.state_dict())
    assert not classifier(as_tensor(pictures())).requires_grad


def test_the_transform_travels_to_worker_processes(classifier):
    picture = Image.fromarray(pictures(1)[0])
    other = pickle.loads(pickle.dumps(classifier.transform))
    assert torch.equal(other(picture), classifier.transform(picture))


def test_reduced_precision_leaves_the_softmax_alone(classifier):
    with torch.autocast('cpu', torch.bfloat16):
        probabilities = classifier(as_tensor(pictures()))
    assert probabilities.dtype is torch.float32
    torch.testing.assert_close(probabilities.sum(1), torch.ones(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(probabilities, classifier(as_tensor(pictures())), atol=0.05, rtol=0)


def test_the_fingerprint_knows_the_weights_whatever_file_they_are_in(classifier, tmp_path, file):
    half = copy.deepcopy(tiny_clip()).half().float()
    archive = CLIPClassifier(None, save_archive(half, tmp_path / 'a.pt'), NAMES)
    plain = CLIPClassifier(None, save_state_dict(half, tmp_path / 'b.pt'), NAMES[:2])
    assert archive.fingerprint == plain.fingerprint != classifier.fingerprint
    assert len(archive.fingerprint) == 16
    assert CLIPClassifier(None, file, NAMES).fingerprint == classifier.fingerprint


def test_resnets_classify_too(tmp_path):
    resnet = CLIPClassifier(None, save_archive(tiny_clip('resnet', image_size=64),
                                               tmp_path / 'rn.pt'), NAMES)
    assert resnet.image_size == 64 and resnet.description == 'ResNet (layers 1-2-1-1, width 8)'
    assert resnet(as_tensor(pictures())).shape == (3, 5)


@pytest.fixture
def published(file, tmp_path, monkeypatch):
    """An architecture of open_clip's with published weights."""
    factory = compat.import_open_clip('factory')
    config = dict(embed_dim=32, vision_cfg=dict(image_size=32, layers=2, width=64, patch_size=8),
                  text_cfg=dict(context_length=24, width=64, heads=1, layers=2))
    monkeypatch.setitem(factory._MODEL_CONFIGS, 'ViT-tiny', config)
    return publish(monkeypatch, file, 'ViT-tiny', quick_gelu=True, resize_mode='squash')


def test_open_clip_names_bring_activation_and_preparation(published, classifier):
    named = CLIPClassifier('ViT-tiny', 'here', NAMES)
    assert named.fingerprint == classifier.fingerprint and named.quick_gelu is True
    assert [step.size for step in named.transform.transforms[:1]] == [(32, 32)]  # squashed
    prepared = classifier.prepare(as_tensor(pictures()))
    torch.testing.assert_close(named.classify(prepared), classifier.classify(prepared))
    assert CLIPClassifier(None, published, NAMES).fingerprint == named.fingerprint


def test_a_name_with_the_other_activation_is_refused(published):
    with pytest.raises(ValueError, match='were trained with QuickGELU, and this model is set to '
                       'quick_gelu=False'):
        CLIPClassifier('ViT-tiny', 'here', NAMES, quick_gelu=False)


def test_the_activation_matters_and_can_be_set_where_the_file_does_not_say(file, classifier):
    exact = CLIPClassifier(None, file, NAMES, quick_gelu=False)
    assert classifier.quick_gelu is True and exact.quick_gelu is False
    images = as_tensor(pictures())
    assert (exact(images) - classifier(images)).abs().max() > 1e-4


def test_a_file_of_another_architecture_is_refused(file):
    with pytest.raises(ValueError, match=r"hold a ViT with patch 8 \(width 64, 2 layers\), and "
                       r"model='ViT-B/16' is a ViT-B/16 \(width 768, 12 layers\)\. Name the"):
        CLIPClassifier('ViT-B/16', file, NAMES)
    with pytest.raises(ValueError, match=r"model='RN50' is a ResNet \(layers 3-4-6-3, width 64\)"):
        CLIPClassifier('RN50', file, NAMES)


def test_an_unknown_architecture_names_the_nearest(file):
    with pytest.raises(ValueError, match=r"no architecture 'ViT-B/61'\. Did you mean 'ViT-B-16'\?"):
        CLIPClassifier('ViT-B/61', file, NAMES)


def test_an_image_tower_alone_is_refused(tmp_path):
    state = {key: value for key, value in tiny_clip().state_dict().items()
             if key.startswith('visual.')}
    torch.save(state, tmp_path / 'half.pt')
    with pytest.raises(ValueError, match="are no CLIP model of OpenAI's kind with image and"):
        CLIPClassifier(None, str(tmp_path / 'half.pt'), NAMES)


@pytest.mark.parametrize(('model', 'pretrained', 'source'), [
    ('ViT-B/16', 'openai', 'ViT-B/16:openai'), ('RN50', 'RN50:openai', 'RN50:openai'),
    ('ViT-B/16', 'weights/ViT-B-16.pt', 'weights/ViT-B-16.pt'), (None, 'openai', 'openai')])
def test_architecture_and_tag_are_joined_files_are_not(model, pretrained, source):
    assert clip_source(model, pretrained) == source
