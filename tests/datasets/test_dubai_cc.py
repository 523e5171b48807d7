import pytest

from rscc.datasets.dubai_cc import DubaiCCDataset, no_change_sentences


@pytest.fixture(scope='module')
def real(samples):
    root = samples / 'dubai_cc_captions'
    if not root.is_dir():
        pytest.skip(f"no real annotations at '{root}'")
    return lambda split: DubaiCCDataset(str(root), '{part}_Dubai_CC.json', split=split,
                                        check_images=False)


@pytest.mark.parametrize(('split', 'pairs', 'changed'),
                         [('train', 300, 199), ('val', 50, 31), ('test', 150, 97)])
def test_real_annotations_have_the_published_counts(real, split, pairs, changed):
    dataset = real(split)
    items = [dataset.get_data_info(idx) for idx in range(len(dataset))]
    assert len(items) == pairs and {len(item['gt_captions']) for item in items} == {5}
    assert sum(item['gt_change_flag'] for item in items) == changed
    assert all(text == text.lower() and not text.endswith('.')
               for item in items for text in item['gt_captions'])
    assert items[0]['img_path_from'].endswith(f'500_2000/{items[0]["sample_id"]}.tif')


def test_the_three_files_are_one_dataset_of_500(real):
    assert len(real(None)) == 500


def test_every_real_denial_is_known_and_nothing_else(real):
    denials = set(no_change_sentences())
    dataset = real(None)
    sentences = {text for idx in range(500) for text in dataset.get_data_info(idx)['gt_captions']}
    words = ('no ', 'nothing', 'the same')
    doubtful = {text for text in sentences if any(word in f'{text} ' for word in words)}
    assert len(doubtful & denials) > 20
    assert doubtful == sentences & denials


def test_the_majority_decides_where_annotators_disagree(real):
    dataset = real('train')
    denial, change = 'nothing has changed in this area', 'the area is further urbanized'
    assert dataset.tells_change([denial] * 3 + [change] * 2) is False
    assert dataset.tells_change([denial] * 2 + [change] * 3) is True
    assert dataset.tells_change([denial, change]) is True


def test_one_file_for_all_splits_and_an_unknown_split(samples, tmp_path):
    root = samples / 'dubai_cc_figure_crops'
    if not root.is_dir():
        pytest.skip(f"no real pairs at '{root}'")
    dataset = DubaiCCDataset(
        str(root), 'captions.json', split=None, img_from='A/{filename}', img_to='B/{filename}',
        pipeline=[{'type': 'LoadFrames'}, {'type': 'FramesResize', 'size': 256},
                  {'type': 'PackChangeInputs'}])
    assert len(dataset) == 6 and dataset[0]['inputs'].shape == (2, 3, 256, 256)
    assert dataset[0]['data_samples'].ori_shape == (50, 50)
    with pytest.raises(FileNotFoundError, match=r'DUBAI-CC annotations not found.*#dubai-cc'):
        DubaiCCDataset(str(tmp_path))
