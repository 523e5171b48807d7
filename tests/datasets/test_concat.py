import json

import pytest
from mmengine.dataset import RepeatDataset
from torch.utils.data import DataLoader

from rscc.datasets.concat import ConcatDataset
from rscc.datasets.levir_cc import LEVIRCCDataset, LEVIRMCIDataset
from rscc.evaluation.metrics import SampleMetric
from rscc.registry import DATASETS
from rscc.utils.names import DistinctNames
from tests.datasets.conftest import make_levir

PIPELINE = [{'type': 'LoadFrames'}, {'type': 'PackChangeInputs'}]


def part(root, split='train', **options):
    return {'type': 'LEVIRCCDataset', 'data_root': str(root), 'split': split,
            'pipeline': PIPELINE, **options}


def ids(dataset):
    return [dataset[index]['data_samples'].sample_id for index in range(len(dataset))]


def test_two_splits_are_one_dataset_with_their_own_names(levir):
    joined = DATASETS.build({'type': 'ConcatDataset', 'datasets': [
        part(levir), part(levir, 'val')]})
    assert isinstance(joined, ConcatDataset) and len(joined) == 8
    assert ids(joined) == [f'{split}_{number:06d}' for split in ('train', 'val')
                           for number in range(4)]
    assert joined.metainfo['split'] == 'train+val' and joined.metainfo['task'] == 'pair'


def test_equal_names_of_two_folders_are_told_apart(levir, tmp_path):
    other = make_levir(tmp_path / 'town2')
    joined = ConcatDataset([part(levir), part(other)])
    assert ids(joined) == [f'{root}/train_{number:06d}' for root in ('LEVIR', 'town2')
                           for number in range(4)]
    assert joined.get_data_info(4)['sample_id'] == 'town2/train_000000'


@pytest.mark.parametrize('inner', ['repeat', 'concat'])
def test_names_are_told_apart_inside_other_wrappers(levir, tmp_path, inner):
    other = make_levir(tmp_path / 'deep' / 'LEVIR')
    wrapped = (RepeatDataset(LEVIRCCDataset(str(other), pipeline=PIPELINE), 1)
               if inner == 'repeat' else ConcatDataset([part(other)]))
    found = ids(ConcatDataset([part(levir), wrapped]))
    assert len(set(found)) == 8 and found[4] == 'deep/LEVIR/train_000000'


def test_one_split_twice_keeps_all_samples(levir):
    assert ids(ConcatDataset([part(levir), part(levir)]))[::4] == [
        '1/train_000000', '2/train_000000']
    twice = ConcatDataset([part(levir, language='en'), part(levir, indices=2)])
    assert len(set(ids(twice))) == 6


def test_workers_see_the_names(levir, tmp_path):
    joined = ConcatDataset([part(levir), part(make_levir(tmp_path / 'b'))])
    loader = DataLoader(joined, 4, num_workers=1, collate_fn=list)
    found = [item['data_samples'].sample_id for batch in loader for item in batch]
    assert found == ids(joined)


def test_what_a_model_answers_must_agree(levir):
    with pytest.raises(ValueError, match=r"datasets 1 and 2 of a ConcatDataset differ in "
                       r"'language': 'en' and 'zh'.*ignore_keys=\['language'\]"):
        ConcatDataset([part(levir), part(levir, 'val', language='zh')])
    joined = ConcatDataset([part(levir), part(levir, 'val', language='zh')],
                           ignore_keys='language')
    assert joined.metainfo['language'] == 'en'
    with pytest.raises(ValueError, match=r"differ in 'classes': None and \('unchanged', 'road'"):
        ConcatDataset([LEVIRCCDataset(str(levir)), LEVIRMCIDataset(str(levir), split='val')])
    with pytest.raises(ValueError, match='got no datasets'):
        ConcatDataset([])


class Seen(SampleMetric):
    def record(self, sample):
        return {'value': sample['value']}

    def compute_metrics(self, results):
        return {'samples': len(results), 'values': sum(result['value'] for result in results),
                'names': [result['sample_id'] for result in results]}


def test_one_id_from_two_images_is_scored_twice_and_a_repetition_once():
    metric = Seen()
    samples = [{'sample_id': 'a', 'img_path': path, 'value': value}
               for path, value in (('x/a.png', 1), ('y/a.png', 2), ('x/a.png', 1))]
    metric.process(None, samples)
    assert metric.evaluate(2) == {'samples': 2, 'values': 3, 'names': ['a', 'a#2']}


def test_distinct_names_count_sources():
    names = DistinctNames()
    assert [names.of('a', source) for source in (1, 2, 1, 3)] == ['a', 'a#2', 'a', 'a#3']
    assert names.of('b', 1) == 'b'


def test_pictures_of_equal_ids_do_not_overwrite_each_other(tmp_path):
    import numpy as np
    import torch

    from rscc.engine.hooks.panel_hook import PanelHook
    from rscc.structures import ChangeDataSample

    hook = PanelHook(out_dir=str(tmp_path))
    drawn = []
    hook._write_maps = lambda name, *rest: drawn.append(name)
    hook._chosen = set()

    class Runner:
        class test_dataloader:
            class dataset:
                metainfo = {}

    samples = [ChangeDataSample(metainfo={'sample_id': 'a', 'img_path': f'{folder}/a.png'})
               for folder in 'xy']
    inputs = [torch.from_numpy(np.zeros((1, 3, 8, 8), np.uint8))] * 2
    hook.after_test_iter(Runner, 0, {'inputs': inputs}, samples)
    assert len(set(drawn)) == 2 and drawn[0] == 'a.png'


def test_a_file_name_with_folders_is_a_name_of_its_own(tmp_path):
    levir = make_levir(tmp_path / 'data')
    path = levir / 'LevirCCcaptions.json'
    images = json.loads(path.read_text())['images']
    for sep in ('/', '\\'):
        for number, city in ((0, 'city1'), (1, 'city2')):
            images[number] |= {'filename': f'{city}{sep}0001.png', 'split': 'train'}
        path.write_text(json.dumps({'images': images[:2]}))
        dataset = LEVIRCCDataset(str(levir), img_from='A/{filename}', img_to='B/{stem}.jpg',
                                 check_images=False)
        assert [item['sample_id'] for item in map(dataset.get_data_info, range(2))] == [
            'city1/0001', 'city2/0001']
        item = dataset.get_data_info(1)
        assert item['img_path_from'] == str(levir / 'A/city2/0001.png')
        assert item['img_path_to'] == str(levir / 'B/city2/0001.jpg')
