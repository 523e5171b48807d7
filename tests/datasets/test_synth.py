import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from rscc.datasets.synth import SynthChangeDataset, SynthSceneDataset

LOAD = [{'type': 'LoadFrames'}, {'type': 'LoadChangeMask'}, {'type': 'PickCaptions', 'no_change': {
    'en': 'the scene is the same as before', 'zh': '场景和之前一样'}}, {'type': 'PackChangeInputs'}]


@pytest.fixture
def synth(levir):
    """The fake dataset with labels as the renderer writes them: palette PNGs."""
    for number in range(4):
        indices = np.zeros((32, 32), np.uint8)
        indices[:6, :6] = number + 2
        image = Image.fromarray(indices, 'P')
        image.putpalette([255, 0, 0] * 256)
        image.save(levir / f'images/train/label/train_{number:06d}.png')
    return levir


def test_palette_labels_are_read_by_index(synth):
    dataset = SynthChangeDataset(str(synth), pipeline=LOAD)
    assert dataset.metainfo['classes'][4] == 'water' and len(dataset.metainfo['palette']) == 6
    for number in range(4):
        assert set(dataset[number]['data_samples'].gt_sem_seg.data.unique().tolist()) == {
            0, number + 2}


def test_chinese_captions_and_their_stock_sentence(synth):
    dataset = SynthChangeDataset(str(synth), language='zh', pipeline=LOAD)
    assert dataset.metainfo['language'] == 'zh'
    assert dataset.metainfo['no_change_captions'][0] == '没有差异'
    assert dataset[0]['data_samples'].gt_captions[0] == '左边出现一栋房子'
    assert dataset[1]['data_samples'].target_captions == ['场景和之前一样']


LOAD_SCENE = [{'type': 'LoadFrames'}, {'type': 'PickCaptions', 'mode': 'all'},
        {'type': 'PackChangeInputs'}]
SCENE = {'from': {'ground': 'meadow', 'road': 1}, 'to': {'ground': 'meadow', 'road': 1, 'house': 5}}


@pytest.fixture
def scenes(levir, edit_annotations):
    """A fake folder with facts about its scenes."""
    edit_annotations(levir, lambda images: [image.update(scene=SCENE) for image in images])
    return levir


def test_both_dates_are_images_with_captions_of_their_own(scenes):
    dataset = SynthSceneDataset(str(scenes), pipeline=LOAD_SCENE)
    assert len(dataset) == 8 and dataset.metainfo['task'] == 'single'
    before, after = dataset[0], dataset[1]
    assert before['inputs'].shape == (1, 3, 32, 32)
    pixels = np.asarray(Image.open(scenes / 'images/train/B/train_000000.png'))
    assert np.array_equal(after['inputs'][0].permute(1, 2, 0).numpy(), pixels)
    assert [item['data_samples'].sample_id for item in (before, after)] == [
        'train_000000_A', 'train_000000_B']
    assert 'gt_change_flag' not in before['data_samples']
    assert len(set(before['data_samples'].target_captions)) == 5
    assert all('road' in text or 'path' in text for text in before['data_samples'].gt_captions)
    assert all('house' in text or 'residential' in text
               for text in after['data_samples'].gt_captions)


def test_captions_are_the_same_every_time_and_in_chinese_too(scenes):
    one, other = (SynthSceneDataset(str(scenes), split='val') for _ in range(2))
    assert [one.get_data_info(i) for i in range(8)] == [other.get_data_info(i) for i in range(8)]
    chinese = SynthSceneDataset(str(scenes), split='val', language='zh').get_data_info(1)
    assert all('房' in text or '住宅区' in text for text in chinese['gt_captions'])


def test_one_date_can_be_chosen_and_an_unknown_one_is_refused(scenes):
    dataset = SynthSceneDataset(str(scenes), dates='to')
    assert [dataset.get_data_info(i)['sample_id'][-1] for i in range(4)] == ['B'] * 4
    with pytest.raises(ValueError, match=r"date='form' is unknown.*Did you mean 'from'\?"):
        SynthSceneDataset(str(scenes), dates=('form', 'to'))


def test_annotations_without_scene_metadata_are_refused(levir):
    with pytest.raises(ValueError, match=r"scene metadata '.*': images: 0 lacks 'scene'"):
        SynthSceneDataset(str(levir))
    with pytest.raises(FileNotFoundError, match=r'datasets\.md#built-in-dataset'):
        SynthSceneDataset(str(levir / 'nowhere'))


def test_unknown_splits_name_the_nearest(scenes):
    data = json.loads((scenes / 'LevirCCcaptions.json').read_text())
    assert data['images'][0]['scene']
    with pytest.raises(ValueError, match=r"no split 'tets'.*Did you mean 'test'\?"):
        SynthSceneDataset(str(scenes), split='tets')


def test_every_split_knows_the_most_frequent_training_caption(scenes):
    train, test = (SynthSceneDataset(str(scenes), split=split) for split in ('train', 'test'))
    counts = Counter(text for row in range(len(train))
                     for text in train.get_data_info(row)['gt_captions'])
    frequent = test.metainfo['frequent_caption']
    assert counts[frequent] == max(counts.values())
    assert train.metainfo['frequent_caption'] == frequent
    chinese = SynthSceneDataset(str(scenes), split='test', language='zh').metainfo
    assert chinese['frequent_caption'] and not chinese['frequent_caption'].isascii()
    assert (test.metainfo['name'], chinese['name']) == ('synth_scene', 'synth_scene_cn')


def test_scene_captions_of_both_languages_are_made_together(scenes):
    both = SynthSceneDataset(str(scenes), languages=('en', 'zh'), pipeline=LOAD_SCENE)
    one, other = (SynthSceneDataset(str(scenes), language=language, pipeline=LOAD_SCENE)
                  for language in ('en', 'zh'))
    for row in range(3):
        texts = [dataset[row]['data_samples'].target_captions for dataset in (both, one, other)]
        assert texts[0] == texts[1] + texts[2] and len(texts[0]) == 10
    assert both[0]['data_samples'].gt_captions == one[0]['data_samples'].gt_captions
