import pytest

from rscc.config.data import band_problems, class_problems, given_problems

LABELLED = [dict(type='LoadFrames'), dict(type='LoadChangeMask'), dict(type='PackChangeInputs')]
SYNTH = dict(type='SynthChangeDataset', pipeline=LABELLED)


def config(head, dataset):
    return dict(model=dict(change_head=dict(type='SwinTextHead', **head)),
                train_dataloader=dict(dataset=dataset))


def problems(head, dataset=SYNTH):
    return list(class_problems(config(head, dataset), ('train', 'val')))


def test_labels_of_more_classes_than_the_head_has_are_a_problem():
    ((where, what),) = problems({'num_classes': 2})
    assert where == 'model.change_head.num_classes'
    assert what.startswith('2, and the labels of train_dataloader.dataset hold 6 classes, 0 to 5 '
                           '(unchanged, building, road, vegetation, water, parking lot). Set '
                           'model.change_head.num_classes=6, or map')
    assert not problems({'num_classes': 6}) and not problems({'num_classes': 7})
    assert problems({})  # the head's own default, 2


@pytest.mark.parametrize(('dataset', 'classes'), [
    ({**SYNTH, 'label_map': {0: 0, 1: 1, 2: 1, 3: 255, 4: 255, 5: 255}}, 2),
    ({**SYNTH, 'pipeline': [dict(type='LoadChangeMask', label_map={0: 0, 1: 1, 2: 2})]}, 3),
    ({**SYNTH, 'pipeline': [dict(type='LoadChangeMask', palette=[[0, 0, 0]] * 4)]}, 4),
    (dict(type='PathListCDDataset', pipeline=LABELLED), 2),
    (dict(type='PathListCDDataset', pipeline=LABELLED, label_threshold=128), 2),
    (dict(type='PathListCDDataset', pipeline=LABELLED, label_map={0: 0, 7: 3}), 4),
    (dict(type='PathListCDDataset', pipeline=LABELLED, label_map={0: 0, 7: 3, 9: 255}), 4),
    (dict(type='LEVIRMCIDataset', pipeline=LABELLED), 3),
    (dict(type='RepeatDataset', times=2, dataset=SYNTH), 6),
    (dict(type='ConcatDataset', datasets=[
        SYNTH, dict(type='LEVIRMCIDataset', pipeline=LABELLED)]), 6)])
def test_classes_are_those_that_the_masks_will_hold(dataset, classes):
    assert not problems({'num_classes': classes}, dataset)
    if classes > 2:
        assert f'hold {classes} classes' in problems({'num_classes': classes - 1}, dataset)[0][1]


def test_the_classes_of_a_folder_count_more_than_those_of_the_dataset_class(tmp_path):
    from rscc.rasters.labels import write_classes
    write_classes(tmp_path, ['unchanged', 'dam', 'quarry', 'field'], [[0, 0, 0]] * 4, None)
    (tmp_path / 'train.txt').touch()
    for kind in ('PathListCDDataset', 'LEVIRMCIDataset'):
        dataset = dict(type=kind, data_root=str(tmp_path), pipeline=LABELLED)
        assert '(unchanged, dam, quarry, field)' in problems({'num_classes': 2}, dataset)[0][1]
        assert not problems({'num_classes': 4}, dataset)
        assert not problems({'num_classes': 2}, {**dataset, 'label_map': {0: 0, 1: 1}})


def test_datasets_whose_masks_are_not_loaded_do_not_count():
    assert not problems({'num_classes': 2}, {**SYNTH, 'pipeline': LABELLED[::2]})
    assert not list(class_problems(dict(model=dict(caption_head={}), train_dataloader=dict(
        dataset=SYNTH)), ('train',)))


@pytest.mark.parametrize('several', [False, True])
def test_weights_of_another_number_of_classes_are_a_problem(several):
    loss = dict(type='CrossEntropyLoss', class_weight=[0.3, 1.0, 2.0])
    losses = [dict(type='FocalLoss'), loss] if several else loss
    ((where, what),) = problems({'num_classes': 6, 'loss_decode': losses})
    assert where == 'model.change_head.loss_decode.class_weight'
    assert what == ('3 weights, and change_head.num_classes is 6: give one weight a class')
    assert not problems({'num_classes': 6, 'loss_decode': dict(class_weight=[1.0] * 6)})


def bands_of(encoder, **load):
    dataset = dict(pipeline=[dict(type='LoadFrames', **load)])
    return list(band_problems(dict(model=dict(encoder=encoder), train_dataloader=dict(
        dataset=dict(type='RepeatDataset', dataset=dataset))), ('train', 'val')))


def test_other_bands_than_the_encoder_takes_are_named():
    (place, what), = bands_of(dict(type='TimmEncoder', bands=4), bands=(3, 2, 1))
    assert place == 'train_dataloader.dataset.dataset.pipeline.0.bands'
    assert '3 bands are read, and TimmEncoder takes 4' in what and 'encoder.bands=3' in what
    (_, what), = bands_of(dict(type='TimmEncoder'), bands=(3, 2, 1, 4))
    assert '4 bands are read, and TimmEncoder takes 3' in what


@pytest.mark.parametrize('encoder', ['CLIPResNet', 'BlipViT', 'BackboneEncoder'])
def test_encoders_without_such_an_option_take_three_bands(encoder):
    (_, what), = bands_of(dict(type=encoder), bands=(3, 2, 1, 4))
    assert f'4 bands are read, and {encoder} takes 3' in what


def test_bands_that_fit_or_that_nobody_tells_are_no_problem():
    assert not bands_of(dict(type='TimmEncoder', bands=4), bands=(3, 2, 1, 4))
    assert not bands_of(dict(type='TimmEncoder'))
    assert not bands_of(dict(type='mmseg.ResNet'), bands=(3, 2, 1, 4))


def test_partly_known_labels_need_a_loss_that_knows_them():
    dataset = dict(type='PathListCDDataset', pipeline=LABELLED, label_map={0: 254, 255: 1})
    head = {'num_classes': 6, 'loss_decode': dict(type='CrossEntropyLoss')}
    ((where, what),) = problems(head, dataset)
    assert where == 'train_dataloader.dataset.label_map'
    assert what.startswith('254 stands for what is known in part') and 'absent={254: (...)}' in what
    head['loss_decode']['absent'] = {254: (1, )}
    assert not problems(head, dataset)
    assert problems(head, {**dataset, 'label_map': {0: 253, 255: 1}})


def test_classes_of_the_dates_are_compared_with_the_head():
    steps = ['LoadFrames', 'LoadChangeMask', 'LoadSemanticMaps']
    dataset = dict(type='SynthChangeDataset', semantic=True,
                   pipeline=[dict(type=name) for name in steps])
    head = dict(num_classes=2, num_semantic_classes=10)
    assert not problems(head, dataset)  # the mask of five kinds is one of change alone
    ((where, what),) = problems(head | dict(num_semantic_classes=6), dataset)
    assert where == 'model.change_head.num_semantic_classes'
    assert what.startswith('6, and the class maps of train_dataloader.dataset have 10 classes '
                           '(building, road, ')
    assert what.endswith('set model.change_head.num_semantic_classes=10')
    fewer = dict(semantic_classes=['none', *'abcdef'])
    assert not problems(head | dict(num_semantic_classes=6), dataset | dict(metainfo=fewer))
    without = dict(dataset, semantic=False, label_map={0: 0, 1: 1})
    assert not problems(head | dict(num_semantic_classes=6), without)


def test_an_option_that_the_class_of_a_dataset_sets_itself_is_a_problem():
    def found(**options):
        leaf = dict(type='SemanticCDDataset', **options)
        return list(given_problems(dict(train_dataloader=dict(dataset=leaf)), ['train']))
    ((place, what), ) = found(semantic=True)
    assert place == 'train_dataloader.dataset.semantic'
    assert 'SemanticCDDataset sets semantic itself' in what and '_delete_=True' in what
    assert not found(semantic_classes=['none', 'a'])
