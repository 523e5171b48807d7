import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from rscc.datasets.synth_scene import SynthSceneDataset

LOAD = [{'type': 'LoadFrames'}, {'type': 'PickCaptions', 'mode': 'all'},
        {'type': 'PackChangeInputs'}]
SCENE = {'from': {'ground': 'meadow', 'road': 1}, 'to': {'ground': 'meadow', 'road': 1, 'house': 5}}


@pytest.fixture
def synth(levir, edit_annotations):
    """A fake folder with facts about its scenes."""
    edit_annotations(levir, lambda images: [image.update(scene=SCENE) for image in images])
    return levir


def test_both_dates_are_images_with_captions_of_their_own(synth):
    dataset = SynthSceneDataset(str(synth), pipeline=LOAD)
    assert len(dataset) == 8 and dataset.metainfo['task'] == 'single'
    before, after = dataset[0], dataset[1]
    assert before['inputs'].shape == (1, 3, 32, 32)
    pixels = np.asarray(Image.open(synth / 'images/train/B/train_000000.png'))
    assert np.array_equal(after['inputs'][0].permute(1, 2, 0).numpy(), pixels)
    assert [item['data_samples'].sample_id for item in (before, after)] == [
        'train_000000_A', 'train_000000_B']
    assert 'gt_change_flag' not in before['data_samples']
    assert len(set(before['data_samples'].target_captions)) == 5
    assert all('road' in text or 'path' in text for text in before['data_samples'].gt_captions)
    assert all('house' in text or 'residential' in text
               for text in after['data_samples'].gt_captions)


def test_captions_are_the_same_every_time_and_in_chinese_too(synth):
    one, other = (SynthSceneDataset(str(synth), split='val') for _ in range(2))
    assert [one.get_data_info(i) for i in range(8)] == [other.get_data_info(i) for i in range(8)]
    chinese = SynthSceneDataset(str(synth), split='val', language='zh').get_data_info(1)
    assert all('房' in text or '住宅区' in text for text in chinese['gt_captions'])


def test_one_date_can_be_chosen_and_an_unknown_one_is_refused(synth):
    dataset = SynthSceneDataset(str(synth), dates='to')
    assert [dataset.get_data_info(i)['sample_id'][-1] for i in range(4)] == ['B'] * 4
    with pytest.raises(ValueError, match=r"date 'form' is unknown.*Did you mean 'from'\?"):
        SynthSceneDataset(str(synth), dates=('form', 'to'))


def test_annotations_without_facts_are_refused(levir):
    with pytest.raises(ValueError, match=r"holds no facts about scenes \(the key 'scene'\)"):
        SynthSceneDataset(str(levir))
    with pytest.raises(FileNotFoundError, match=r'datasets\.md#built-in-dataset'):
        SynthSceneDataset(str(levir / 'nowhere'))


def test_unknown_splits_name_the_nearest(synth):
    data = json.loads((synth / 'LevirCCcaptions.json').read_text())
    assert data['images'][0]['scene']
    with pytest.raises(ValueError, match=r"no split 'tets'.*Did you mean 'test'\?"):
        SynthSceneDataset(str(synth), split='tets')


def test_every_split_knows_the_most_frequent_training_caption(synth):
    train, test = (SynthSceneDataset(str(synth), split=split) for split in ('train', 'test'))
    counts = Counter(text for row in range(len(train))
                     for text in train.get_data_info(row)['gt_captions'])
    frequent = test.metainfo['frequent_caption']
    assert counts[frequent] == max(counts.values())
    assert train.metainfo['frequent_caption'] == frequent
    chinese = SynthSceneDataset(str(synth), split='test', language='zh').metainfo
    assert chinese['frequent_caption'] and not chinese['frequent_caption'].isascii()
    assert (test.metainfo['name'], chinese['name']) == ('synth_scene', 'synth_scene_cn')
