"""SemanticChangeHead: consistent maps by every route, losses where there are labels, reversal."""
import copy

import pytest
import torch
from mmengine.structures import PixelData
from testers import (
    TINY_INTERPRETER,
    ChangeHeadTester,
    assert_gradient_reaches_everything,
    data_samples,
    generator,
    losses,
    semantic_sample,
    total,
)

from rscc.models.batch_rows import classes_by_date
from rscc.models.change_heads.base import as_change_head
from rscc.models.contracts import FeatureSpec
from rscc.rasters.blending import decided_by_date
from rscc.registry import MODELS
from rscc.structures import ChangeFeatures

HEAD = dict(type='SemanticChangeHead', date_channels=[4, 8, 16, 32], in_index=[0, 1, 2, 3],
            num_semantic_classes=3, channels=8)
MODEL = dict(TINY_INTERPRETER, change_head=HEAD)


def features(n=2, seed=0):
    draw = generator(seed)
    return ChangeFeatures(date_maps=[torch.randn(n, 2, 16, 8 // 2**i, 8 // 2**i, generator=draw)
                                     for i in range(2)])


def exchanged(given):
    return ChangeFeatures(date_maps=[level.flip(1) for level in given.date_maps])


def labelled(n, size=(32, 32), classes=3):
    return [semantic_sample(f's{row}', row, size, classes, answered=False) for row in range(n)]


class TestSemanticChangeHead(ChangeHeadTester):
    cfg = dict(type='SemanticChangeHead', date_channels=(16, 16), num_semantic_classes=3,
               channels=8)

    def features(self, n=2):
        return features(n)

    def samples(self, n=2):
        return labelled(n)

    def given(self, factor=1):
        return FeatureSpec('Given', date_maps=(16 * factor, 16 * factor))

    def test_exchanging_the_dates_matters_as_declared(self):
        head, given = self.build().eval(), self.features()
        with torch.no_grad():
            change, earlier, later = head.split(head(given))
            turned = head.split(head(exchanged(given)))
        assert not torch.allclose(earlier, later)
        for own, other in zip((change, earlier, later), (turned[0], turned[2], turned[1]),
                              strict=True):
            torch.testing.assert_close(own, other)


def build(**options):
    torch.manual_seed(0)
    return MODELS.build(dict(TestSemanticChangeHead.cfg, **options))


@torch.no_grad()
@pytest.mark.parametrize('same_class', [True, False])
def test_maps_agree_with_the_change_map_by_construction(same_class):
    head = build(same_class=same_class)
    logits = 3 * torch.randn(8, 40, 50, generator=generator())
    found = head.answer(logits)
    changed = found['pred_sem_seg'] != 0
    earlier, later = found['pred_sem_seg_from'], found['pred_sem_seg_to']
    assert 0.3 < changed.float().mean() < 0.7
    assert {*earlier.unique().tolist(), *later.unique().tolist()} == {1, 2, 3}
    assert torch.equal(earlier[~changed], later[~changed])
    assert bool((earlier == later)[changed].any()) == same_class
    assert [tuple(found[name].shape) for name in ('seg_logits', 'seg_logits_from')] == [
        (2, 40, 50), (3, 40, 50)]
    assert 'pred_sem_seg' not in head.answer(logits, classes=False)


@torch.no_grad()
@pytest.mark.parametrize('same_class', [True, False])
def test_classes_are_the_likeliest_that_the_change_map_allows(same_class):
    earlier, later = (2 * torch.randn(4, 9, 11, generator=generator(seed)) for seed in (1, 2))
    changed = torch.rand(1, 9, 11, generator=generator(3)) < 0.6
    found = classes_by_date(earlier, later, changed, same_class)
    # Every pair of classes (i, j): its probability where the pixel may have it.
    chances = earlier.softmax(0)[:, None] * later.softmax(0)[None]
    alike = torch.eye(4, dtype=torch.bool)[..., None, None]
    allowed = torch.where(changed[0], alike.new_tensor(True) if same_class else ~alike, alike)
    best = (chances * allowed).flatten(0, 1).argmax(0)
    assert torch.equal(found[0][0], best // 4 + 1) and torch.equal(found[1][0], best % 4 + 1)


@torch.no_grad()
@pytest.mark.parametrize('same_class', [True, False])
def test_blended_probabilities_are_decided_as_logits_are(same_class):
    logits = 2 * torch.randn(2, 4, 9, 11, generator=generator(1))
    changed = torch.rand(1, 9, 11, generator=generator(3)) < 0.6
    expected = classes_by_date(*logits, changed, same_class)
    found = decided_by_date(logits.softmax(1).numpy(), changed[0].numpy(), same_class)
    assert found.dtype == 'uint8'
    assert (torch.from_numpy(found) == torch.cat(expected)).all()


def test_classes_are_learnt_where_there_are_labels():
    head, given = build(), features(3)
    samples = labelled(3)
    del samples[0].gt_sem_seg_from, samples[0].gt_sem_seg_to
    samples[1].gt_sem_seg_to = PixelData(data=torch.zeros(1, 32, 32, dtype=torch.long))
    values = head.loss(given, samples)
    assert set(values) == {'loss_ce', 'loss_class', 'loss_agreement'}
    assert_gradient_reaches_everything(head, total(values))
    # Half of each date's cross entropy over its labelled pixels, of what is interpolated.
    logits = torch.nn.functional.interpolate(head(given), (32, 32), mode='bilinear',
                                             align_corners=False)
    expected = 0
    for scores, field, rows in ((logits[:, 2:5], 'gt_sem_seg_from', [1, 2]),
                                (logits[:, 5:], 'gt_sem_seg_to', [2])):
        truth = torch.cat([samples[row].get(field).data for row in rows]) - 1
        expected = expected + torch.nn.functional.cross_entropy(scores[rows], truth) / 2
    torch.testing.assert_close(values['loss_class'], expected)


def test_a_set_labelled_only_where_it_changed_learns_classes_elsewhere_by_agreement():
    head, samples = build(), labelled(2)
    for sample in samples:
        for field in ('gt_sem_seg_from', 'gt_sem_seg_to'):
            labels = sample.get(field).data * (sample.gt_sem_seg.data != 0)
            setattr(sample, field, PixelData(data=labels))
    logits = torch.randn(2, 8, 32, 32, generator=generator(), requires_grad=True)
    values = head.loss_of(logits, samples)
    unchanged = torch.stack([sample.gt_sem_seg.data == 0 for sample in samples]).expand(-1, 6, -1,
                                                                                        -1)
    for name, learns in (('loss_class', False), ('loss_agreement', True)):
        gradient, = torch.autograd.grad(values[name], logits, retain_graph=True)
        assert bool((gradient[:, 2:][unchanged] != 0).any()) == learns


def test_change_within_a_class_is_not_drawn_apart():
    head, (sample, ) = build(), labelled(1, (8, 8))
    one = torch.ones(1, 8, 8, dtype=torch.long)
    for field in ('gt_sem_seg', 'gt_sem_seg_from', 'gt_sem_seg_to'):
        setattr(sample, field, PixelData(data=one))
    logits = torch.zeros(1, 8, 8, 8)
    assert head.loss_of(logits, [sample])['loss_agreement'] == 0
    sample.gt_sem_seg_to = PixelData(data=2 * one)
    # Both dates are undecided alike.
    assert float(head.loss_of(logits, [sample])['loss_agreement']) == pytest.approx(1)


def test_every_loss_is_weighed_and_named_by_the_config():
    head = build(loss_decode=[dict(type='CrossEntropyLoss', class_weight=[0.3, 1.0]),
                              dict(type='DiceLoss', loss_weight=0.5)],
                 loss_class=dict(type='FocalLoss', loss_name='loss_kind'),
                 loss_agreement=dict(type='SemanticConsistencyLoss', loss_weight=0.0))
    values = head.loss(features(2), labelled(2))
    assert set(values) == {'loss_ce', 'loss_dice', 'loss_kind', 'loss_agreement'}
    assert values['loss_agreement'] == 0 and total(values).isfinite()


def batch(n=3, size=(64, 64)):
    draw = torch.Generator().manual_seed(0)
    inputs = [torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=draw)
              for _ in range(n)]
    samples = labelled(n, size)
    for sample, other in zip(samples, data_samples(n), strict=True):
        sample.gt_captions, sample.gt_change_flag = other.gt_captions, True
    return dict(inputs=inputs, data_samples=samples)


def interpreter(**options):
    torch.manual_seed(0)
    config = {key: value for key, value in copy.deepcopy(MODEL | options).items()
              if value is not None}
    return MODELS.build(config)


@pytest.mark.parametrize('fusion', [
    TINY_INTERPRETER['fusion'], dict(type='ConcatFusion', channels=16), dict(type='MapFusion'),
    dict(type='QueryResampler', channels=16, num_queries=2, num_layers=1, num_heads=2,
         fusion=dict(type='SignedDifference'))])
def test_it_stands_beside_a_caption_head_behind_every_fusion(fusion):
    model = interpreter(fusion=fusion, flag_head=None)
    values = losses(model, batch())
    assert {'change.loss_class', 'change.loss_agreement'} < set(values)
    assert any(name.startswith('caption.') for name in values) and total(values).isfinite()
    answer = model.eval().test_step(batch())[0]
    assert answer.pred_caption is not None and answer.pred_sem_seg_to.data.shape == (1, 64, 64)


def test_samples_without_a_mask_train_the_other_heads():
    model, data = interpreter(), batch()
    del data['data_samples'][1].gt_sem_seg
    assert total(losses(model, data)).isfinite()
    for sample in data['data_samples']:
        sample.pop('gt_sem_seg', None)
    assert total(losses(model, data)).isfinite()


@torch.no_grad()
@pytest.mark.parametrize('settings', [
    {}, dict(views=('none', 'hflip', 'rot90')),
    dict(mode='slide', crop_size=(32, 32), stride=(16, 32), views=('none', 'vflip'))])
def test_windows_views_and_exchanged_dates_give_maps_that_agree(settings):
    model = interpreter(test_cfg=dict(settings, swap=True), caption_head=None,
                        flag_head=None).eval()
    for answer in model.test_step(batch()):
        changed = answer.pred_sem_seg.data != 0
        earlier, later = answer.pred_sem_seg_from.data, answer.pred_sem_seg_to.data
        assert earlier.min() >= 1 and later.max() <= 3
        assert torch.equal(earlier[~changed], later[~changed])
        back = answer.pred_swapped
        for own, other in (('', ''), ('_from', '_to'), ('_to', '_from')):
            maps = [sample.get(f'pred_sem_seg{name}').data for sample, name in (
                (answer, own), (back, other))]
            assert (maps[0] == maps[1]).float().mean() > 0.999
        assert not [name for name in vars(back) if 'logits' in name]


@torch.no_grad()
def test_views_average_the_probabilities_of_each_group():
    model = interpreter(caption_head=None, flag_head=None).eval()
    data = batch(1)
    plain = model.test_step(copy.deepcopy(data))[0]
    turned = copy.deepcopy(data)
    turned['inputs'] = [frames.flip(-1) for frames in turned['inputs']]
    mirrored = model.test_step(turned)[0]
    model.test_cfg = dict(views=('none', 'hflip'))
    both = model.test_step(data)[0]
    for name in ('seg_logits', 'seg_logits_from', 'seg_logits_to'):
        chances = [sample.get(name).data.softmax(0) for sample in (plain, mirrored, both)]
        torch.testing.assert_close(chances[2], (chances[0] + chances[1].flip(-1)) / 2)
        torch.testing.assert_close(chances[2].sum(0), torch.ones(64, 64))


def test_guidance_tells_words_of_the_change_map():
    guided = interpreter(guidance=dict(type='MapGuidance', channels='auto'), flag_head=None)
    assert guided.guidance.place.in_features == 2  # "changed", on average and at most
    assert total(losses(guided, batch())).isfinite()
    assert guided.eval().test_step(batch())[0].pred_caption is not None


def test_widths_are_those_of_the_encoder():
    assert interpreter(change_head=HEAD | dict(date_channels='auto')).change_head.date_channels == (
        4, 8, 16, 32)
    with pytest.raises(ValueError, match=r'SemanticChangeHead reads feature maps of every date of '
                       r'width \(4, 8\) \(date_channels\) and DifferenceFusion gives \(8, 16\)'):
        interpreter(change_head=HEAD | dict(date_channels=[4, 8], in_index=[1, 2]))


def test_a_neck_and_other_numbers_of_dates_are_refused():
    neck = dict(type='mmseg.FPN', in_channels='auto', out_channels=8, num_outs=4)
    with pytest.raises(ValueError, match=r'needs feature maps of every date and FPN behind '
                       'DifferenceFusion gives none: .*no neck'):
        interpreter(neck=neck)
    single = ChangeFeatures(date_maps=[torch.randn(1, 1, 16, 8, 8), torch.randn(1, 1, 16, 4, 4)])
    with pytest.raises(ValueError, match='compares two dates, found samples of 1'):
        build()(single)


@pytest.mark.parametrize(('options', 'told'), [
    (dict(date_channels=16), "found date_channels=16: give a number a map, or 'auto' beside"),
    (dict(num_semantic_classes=1), r'num_semantic_classes=1\): the change map has "unchanged"'),
    (dict(num_classes=1), 'each date at least two')])
def test_options_that_make_no_sense_are_refused(options, told):
    with pytest.raises(ValueError, match=told):
        build(**options)


def test_labels_beyond_the_classes_name_sample_and_remedy():
    samples = labelled(2)
    samples[1].gt_sem_seg_to.data[0, 0, 0] = 5
    with pytest.raises(ValueError, match=r"gt_sem_seg_to of sample 's1' holds class 5, and .*1 to "
                       r'3 .*num_semantic_classes=5'):
        build().loss(features(2), samples)


def test_thresholds_move_the_change_map_alone():
    head = build().eval()
    assert as_change_head(head).classifier.bias.shape == (2, )
    plain = head(features())
    with torch.no_grad():
        head.classifier.bias[0] += 1
    moved = head(features())
    torch.testing.assert_close(moved[:, 1:], plain[:, 1:])
    torch.testing.assert_close(moved[:, 0], plain[:, 0] + 1)
