import pytest
import torch

from rscc.datasets.levir_cc import LEVIRCCDataset, LEVIRMCIDataset
from rscc.text import split_words

PUBLISHED = {'train': (6815, 3407, 39), 'val': (1333, 667, 30), 'test': (1929, 964, 28)}


@pytest.fixture(scope='module')
def annotations(samples):
    path = samples / 'levir_cc_captions' / 'LevirCCcaptions_rebuilt.json.gz'
    if not path.is_file():
        pytest.skip(f"no real annotations at '{path}'")
    return path


@pytest.mark.parametrize('split', PUBLISHED)
def test_real_annotations_have_the_published_counts(annotations, split):
    dataset = LEVIRCCDataset(str(annotations.parent), annotations.name, split=split,
                             check_images=False)
    items = [dataset.get_data_info(idx) for idx in range(len(dataset))]
    longest = max(len(split_words(text)) for item in items for text in item['gt_captions'])
    changed = sum(item['gt_change_flag'] for item in items)
    assert (len(items), changed, longest) == PUBLISHED[split]
    assert {len(item['gt_captions']) for item in items} == {5}


def test_the_flag_derived_from_captions_is_exact(annotations):
    dataset = LEVIRCCDataset(str(annotations.parent), annotations.name, split=None,
                             check_images=False)
    items = [dataset.get_data_info(idx) for idx in range(len(dataset))]
    assert len(items) == 10077
    assert all(dataset.tells_change(item['gt_captions']) is item['gt_change_flag']
               for item in items)


def test_a_folder_of_real_pairs_is_read_by_templates(samples):
    root = samples / 'levir_cc_samples'
    if not root.is_dir():
        pytest.skip(f"no real pairs at '{root}'")
    dataset = LEVIRCCDataset(str(root), 'captions.json', split=None, img_from='A/{filename}',
                             img_to='B/{filename}',
                             pipeline=[{'type': 'LoadFrames'}, {'type': 'PackChangeInputs'}])
    assert len(dataset) == 7
    packed = dataset[0]
    assert packed['inputs'].shape == (2, 3, 256, 256) and packed['inputs'].dtype == torch.uint8
    assert packed['data_samples'].gt_captions[0].startswith('several houses appear')
    assert packed['data_samples'].split == 'train'


def test_a_training_visit_takes_one_of_five_captions(annotations, monkeypatch):
    """So that the image branch runs once a pair and epoch, not once a caption."""
    features = torch.zeros(1, 4)
    monkeypatch.setattr(LEVIRCCDataset, 'attach', lambda self, item: item | dict(features=features))
    dataset = LEVIRCCDataset(
        str(annotations.parent), annotations.name, split='train', check_images=False, indices=20,
        pipeline=[{'type': 'PickCaptions', 'mode': 'one'}, {'type': 'PackChangeInputs'}])
    assert len(dataset) == 20
    drawn = [set() for _ in range(20)]
    for epoch in range(40):
        dataset.set_epoch(epoch)
        for row, texts in enumerate(drawn):
            target, = dataset[row]['data_samples'].target_captions
            texts.add(target)
    assert all(texts == set(dataset.get_data_info(row)['gt_captions'])
               for row, texts in enumerate(drawn))


LOAD = [{'type': 'LoadFrames'}, {'type': 'LoadChangeMask'}, {'type': 'PackChangeInputs'}]


def test_grey_labels_become_road_and_building(levir):
    dataset = LEVIRMCIDataset(str(levir), pipeline=LOAD)
    mask = dataset[0]['data_samples'].gt_sem_seg.data
    assert mask.shape == (1, 32, 32) and mask.dtype == torch.int64
    assert dataset.metainfo['classes'] == ('unchanged', 'road', 'building')
    assert mask[0, 5, 3] == 2 and mask[0, 21, 30] == 1 and mask[0, 30, 30] == 0
    assert dataset[1]['data_samples'].gt_sem_seg.data.max() == 0


def test_a_label_can_be_left_out(levir):
    sample = LEVIRMCIDataset(str(levir), label=None, pipeline=LOAD)[0]['data_samples']
    assert 'gt_sem_seg' not in sample


def test_a_third_value_names_file_and_values(levir):
    for early in (True, False):
        with pytest.raises(ValueError, match=r"sample 'train_000000': label .*train_000000\.png' "
                           r'holds the values \[0, 128, 255\]; \[128\] are not in label_map'):
            LEVIRMCIDataset(str(levir), label_map={0: 0, 255: 1}, pipeline=LOAD, indices=1,
                            check_masks=early)[0]


def test_real_figure_crops_hold_all_three_classes(samples):
    root = samples / 'levir_mci_figure_crops'
    if not root.is_dir():
        pytest.skip(f"no real triplets at '{root}'")
    dataset = LEVIRMCIDataset(str(root), 'captions.json', split=None, img_from='A/{filename}',
                              img_to='B/{filename}', label='label/{filename}', pipeline=LOAD)
    found = {int(value) for idx in range(len(dataset))
             for value in dataset[idx]['data_samples'].gt_sem_seg.data.unique()}
    assert len(dataset) == 4 and found == {0, 1, 2}
