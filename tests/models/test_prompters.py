import copy
import pickle

import pytest
import torch
from fake_clip import save_state_dict, tiny_clip
from testers import PrompterTester
from torch import nn

from rscc.models import prompters as stored_module
from rscc.models.clip.classifier import CLIPClassifier
from rscc.registry import MODELS
from rscc.structures import ChangeDataSample

NAMES = ['road', 'dense residential', 'river', 'parking lot', 'forest']


def samples(*prompts):
    made = []
    for number, names in enumerate(prompts):
        sample = ChangeDataSample(metainfo=dict(sample_id=f's{number}'))
        if names is not None:
            sample.prompts = names
        made.append(sample)
    return made


@pytest.fixture(scope='module')
def file(tmp_path_factory):
    return save_state_dict(tiny_clip(), tmp_path_factory.mktemp('clip') / 'vit.pt')


@pytest.fixture
def clip_cfg(file):
    return dict(type='CLIPPrompts', model=None, pretrained=file, class_names=NAMES, top=3)


class TestFixedPrompts(PrompterTester):
    cfg = dict(type='FixedPrompts', names=['road', 'river'])


class TestStoredPrompts(PrompterTester):
    cfg = dict(type='StoredPrompts')
    stored = [['road'], ['river', 'road']]


class TestCLIPPrompts(PrompterTester):

    @pytest.fixture(autouse=True)
    def weights(self, clip_cfg):
        self.cfg = clip_cfg


def test_fixed_names_are_told_about_every_date():
    prompter = MODELS.build(dict(type='FixedPrompts', names=['road', 'river']))
    assert not prompter.needs_images
    answer = prompter(None, None, (2, 3))
    assert answer == [[['road', 'river']] * 3] * 2
    answer[0][0].append('changed by the reader')
    assert prompter(None, None, (1, 1)) == [[['road', 'river']]]
    assert "names=['road', 'river']" in repr(prompter)


def test_no_names_are_the_default():
    assert MODELS.build(dict(type='FixedPrompts'))(None, None, (1, 2)) == [[[], []]]


def test_a_string_is_no_list_of_names():
    with pytest.raises(TypeError, match=r"found the string 'road'; write names=\['road'\]"):
        MODELS.build(dict(type='FixedPrompts', names='road'))


def test_stored_names_are_the_samples_own():
    names = [[['road'], ['river', 'road']], [[], ['forest']]]
    prompter = MODELS.build(dict(type='StoredPrompts'))
    assert prompter(None, samples(*names), (2, 2)) == names and not prompter.needs_images


def test_samples_without_names_get_the_fallback_which_is_noted(monkeypatch):
    said = []
    monkeypatch.setattr(stored_module, 'warn_once', lambda *words: said.append(words))
    prompter = MODELS.build(dict(type='StoredPrompts',
                                 fallback=dict(type='FixedPrompts', names=['tree'])))
    own = [['road'], ['river']]
    assert prompter(None, samples(own), (1, 2)) == [own] and not said
    assert prompter(None, samples(None, own, None), (3, 2)) == [
        [['tree'], ['tree']], own, [['tree'], ['tree']]]
    assert said == [('samples without class names of their own get those of FixedPrompts', 20)]
    assert prompter(None, None, (1, 1)) == [[['tree']]]
    bare = MODELS.build(dict(type='StoredPrompts'))
    assert bare(None, samples(None), (1, 2)) == [[[], []]]


def test_only_images_of_samples_without_names_reach_the_fallback(clip_cfg):
    prompter = MODELS.build(dict(type='StoredPrompts', fallback=clip_cfg))
    assert prompter.needs_images
    images, own = torch.rand(3, 2, 3, 40, 40), [['road'], ['river']]
    answer = prompter(images, samples(None, own, None), (3, 2))
    alone = MODELS.build(clip_cfg)(images)
    assert answer == [alone[0], own, alone[2]]


def test_names_for_another_number_of_dates_name_the_sample():
    with pytest.raises(ValueError, match=r"sample 's1' has class names for 1 date\(s\), and its "
                       r'images are of 2; give one list a date'):
        MODELS.build(dict(type='StoredPrompts'))(None, samples([[], []], [['road']]), (2, 2))


def test_clip_names_every_date_by_its_likeliest_classes(clip_cfg, file):
    prompter = MODELS.build(clip_cfg)
    images = torch.rand(2, 2, 3, 40, 56, generator=torch.Generator().manual_seed(0))
    answer = prompter(images, None, (2, 2))
    classifier = CLIPClassifier(None, file, NAMES)
    for sample, row in zip(images, answer, strict=True):
        assert row == classifier.top(classifier(sample), 3)
    assert [len(names) for row in answer for names in row] == [3] * 4


class Detector(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.own = nn.Linear(2, 2)
        self.prompter = MODELS.build(cfg)


def test_the_clip_is_no_part_of_the_detector(clip_cfg):
    detector = Detector(clip_cfg)
    detector.prompter(torch.rand(1, 2, 3, 32, 32))
    assert list(detector.state_dict()) == ['own.weight', 'own.bias']
    assert [name for name, _ in detector.named_parameters()] == ['own.weight', 'own.bias']
    assert not any(isinstance(module, CLIPClassifier) for module in detector.modules())
    detector.load_state_dict(detector.state_dict())
    detector.requires_grad_(True).train()
    assert not detector.prompter.classifier.training
    assert not any(p.requires_grad for p in detector.prompter.classifier.parameters())


def test_it_is_loaded_at_first_use_and_once(clip_cfg, monkeypatch):
    detector = Detector(clip_cfg)
    assert not detector.prompter._classifier
    first = detector.prompter.classifier
    assert detector.prompter.classifier is first
    assert copy.deepcopy(detector).prompter.classifier is first
    assert pickle.loads(pickle.dumps(Detector(clip_cfg))).prompter.classifier.names == NAMES


def test_it_moves_with_the_detector_and_keeps_its_precision(clip_cfg):
    detector = Detector(clip_cfg)
    detector.prompter.classifier  # noqa: B018
    detector.half()
    assert all(p.dtype is torch.float32 for p in detector.prompter.classifier.parameters())
    detector.to('meta')
    assert all(p.device.type == 'meta' for p in detector.prompter.classifier.parameters())
    detector = Detector(clip_cfg)
    detector.prompter.classifier  # noqa: B018
    copy.deepcopy(detector).to('meta')  # shares the classifier, and leaves it where it is
    assert detector.prompter.classifier.weights.device.type == 'cpu'
    late = Detector(clip_cfg).to('meta')
    assert late.prompter.classifier.weights.device.type == 'meta'


def test_wrong_arguments_are_told_before_anything_is_loaded(clip_cfg):
    with pytest.raises(ValueError, match='top=6 of 5 class names: expected 1 to 5'):
        MODELS.build(clip_cfg | dict(top=6))
    with pytest.raises(FileNotFoundError, match="no class list 'remote_sensing'"):
        MODELS.build(clip_cfg | dict(class_names='remote_sensing'))
    with pytest.raises(ValueError, match='CLIPPrompts looks at the images, found None'):
        MODELS.build(clip_cfg)(None, None, (1, 2))


def test_the_default_asks_for_the_originals_model_and_names():
    prompter = MODELS.build(dict(type='CLIPPrompts'))
    assert len(prompter._options['class_names']) == 56 and prompter.top == 9
    assert 'model=ViT-B/16, pretrained=openai' in repr(prompter)
