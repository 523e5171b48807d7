"""ChangeCLIP as a whole: what reaches the model of images, class names and windows."""
import copy

import pytest
import torch
from fake_clip import save_state_dict, tiny_clip
from testers import batch, losses

from rscc.models.prompters import Prompter
from rscc.registry import MODELS

TEXT = dict(type='CLIPTextEncoder', width=16, heads=2, layers=1, embed_dim=16)
CFG = dict(
    type='ChangeInterpreter',
    data_preprocessor=dict(type='ChangeDataPreprocessor', size_divisor=32),
    encoder=dict(type='CLIPResNet', layers=(1, 1, 1, 1), width=8, heads=4, output_dim=16,
                 input_resolution=64),
    prompter=dict(type='StoredPrompts'),
    fusion=dict(
        type='LanguageGuidedFusion', in_channels=(32, 64, 128, 256), text_channels=16, channels=16,
        prompt_encoder=dict(contexts=2, text_encoder=TEXT), gamma=0.1,
        context_decoder=dict(width=16, heads=2, layers=1)),
    change_head=dict(type='SwinTextHead', text_channels=16, in_channels=16, channels=16, groups=4,
                     rank=4))


@MODELS.register_module(force=True)
class BrightOrDark(Prompter):
    """Names every image after its brightness."""
    needs_images = True

    def forward(self, images, data_samples, size):
        assert images.shape[:2] == size and images.min() >= 0 and images.max() <= 1
        return [[['lake' if image.mean() > 0.5 else 'forest'] for image in dates]
                for dates in images]


def build(**changes):
    torch.manual_seed(0)
    return MODELS.build(copy.deepcopy(CFG) | changes)


def data(n=2, size=(64, 64)):
    made = batch(n, size)
    for sample in made['data_samples']:
        sample.gt_sem_seg.data.clamp_(max=1)
        sample.prompts = [['road'], ['lake', 'road']]
    return made


@torch.no_grad()
def logits(model, made):
    return torch.stack([sample.seg_logits.data for sample in model.eval().test_step(made)])


def test_every_parameter_learns():
    model = build()
    losses(model, data())['change.loss_ce'].backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_odd_sizes_are_padded_and_cropped_back():
    answers = build().eval().test_step(data(2, (70, 45)))
    assert [tuple(answer.pred_sem_seg.data.shape) for answer in answers] == [(1, 70, 45)] * 2


def test_padding_is_cut_from_the_reference_too_so_that_it_can_be_scored():
    answers = build().eval().test_step(data(2, (70, 45)))
    plain = data(2, (70, 45))['data_samples']
    for answer, sample in zip(answers, plain, strict=True):
        assert torch.equal(answer.gt_sem_seg.data, sample.gt_sem_seg.data)


def test_a_pair_gets_the_same_map_alone_and_in_a_batch():
    model, made = build(), data(3)
    alone = dict(inputs=made['inputs'][1:2], data_samples=made['data_samples'][1:2])
    torch.testing.assert_close(logits(model, data(3))[1], logits(model, alone)[0], atol=1e-5,
                               rtol=1e-4)


def test_the_map_depends_on_the_class_names():
    model, other = build(), data()
    other['data_samples'][0].prompts = [['sea'], ['airport']]
    one, two = logits(model, data()), logits(model, other)
    assert not torch.allclose(one[0], two[0], atol=1e-6)
    torch.testing.assert_close(one[1], two[1])


def test_class_names_are_not_needed_to_answer():
    bare = data()
    for sample in bare['data_samples']:
        del sample.prompts
    assert logits(build(), bare).isfinite().all()
    raw = build().eval()(torch.zeros(1, 2, 3, 64, 64), mode='tensor')
    assert raw['change_logits'].shape == (1, 2, 16, 16)


def test_windows_share_the_names_of_their_image_or_get_their_own():
    model = build(prompter=dict(type='BrightOrDark'))
    made = data(1, (64, 128))
    made['inputs'][0][..., :64] = 0
    made['inputs'][0][..., 64:] = 255
    seen = []
    model.fusion.register_forward_pre_hook(
        lambda module, args: seen.extend(names[0][0] for names in args[0].prompts))
    model.test_cfg = dict(mode='slide', crop_size=(64, 64), stride=(64, 64), prompts='image')
    logits(model, copy.deepcopy(made))
    assert len(set(seen)) == 1 and len(seen) == 2
    seen.clear()
    model.test_cfg['prompts'] = 'window'
    logits(model, made)
    assert seen == ['forest', 'lake']


def test_names_of_each_window_need_a_prompter_that_looks():
    model = build()
    model.test_cfg = dict(mode='slide', prompts='window')
    with pytest.raises(ValueError, match=r"prompts='window' needs a prompter that looks .*"
                       'this one is StoredPrompts'):
        logits(model, data())


def test_windows_need_no_new_texts():
    model = build()
    model.test_cfg = dict(mode='slide', crop_size=(32, 32), stride=(32, 32), window_batch=2)
    logits(model, data(2))
    assert model.fusion.prompt_encoder.encoded == 3  # background, "road" and "lake, road"


def test_views_average_a_language_guided_model_too():
    model = build()
    plain = logits(model, data())
    model.test_cfg = dict(views=('none', 'hflip'))
    assert not torch.allclose(logits(model, data()), plain, atol=1e-5)


@pytest.mark.parametrize('names', [(), ('road', 'lake')])
def test_fixed_class_names_or_none_at_all(names):
    model = build(prompter=dict(type='FixedPrompts', names=names))
    assert logits(model, data()).isfinite().all()
    assert model.name_classes(torch.zeros(1, 2, 3, 8, 8)) == [[list(names), list(names)]]


def test_a_captioner_on_top_is_one_more_config():
    from testers import TINY_CAPTION_HEAD
    model = build(caption_head=TINY_CAPTION_HEAD | dict(memory_channels=16),
                  flag_head=dict(type='ChangeFlagHead', in_channels=48))
    values = losses(model, data())
    assert {'change.loss_ce', 'caption.loss_caption'} <= set(values)
    answer = model.eval().test_step(data())[0]
    assert isinstance(answer.pred_caption, str) and answer.pred_sem_seg.data.shape == (1, 64, 64)


def with_weights(image, text):
    """ChangeCLIP whose two towers have weights of two files."""
    return build(
        encoder=dict(CFG['encoder'], layers=(1, 2, 1, 1), output_dim=32, pretrained=image),
        fusion=dict(CFG['fusion'], text_channels=32, prompt_encoder=dict(
            contexts=2, tokenizer=dict(type='CLIPTokenizer', context_length=20),
            text_encoder=dict(TEXT, width=64, heads=1, layers=2, embed_dim=32, context_length=24,
                              pretrained=text))),
        change_head=dict(CFG['change_head'], text_channels=32))


def test_towers_of_two_different_clips_are_refused(tmp_path):
    one, other = (tiny_clip('resnet', seed=seed, image_size=64) for seed in (0, 1))
    with torch.no_grad():
        other.ln_final.weight.add_(0.1)  # untrained ones are equal in what is compared
    files = [save_state_dict(clip, tmp_path / f'{number}.pt')
             for number, clip in enumerate((one, other, one))]
    with_weights(files[0], files[2])  # two copies of the same weights
    with_weights(files[0], None)
    with pytest.raises(ValueError, match='the image tower of CLIPResNet and the text encoder of '
                       'LanguageGuidedFusion have weights of different trainings'):
        with_weights(files[0], files[1])
