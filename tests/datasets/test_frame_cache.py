import os
import pickle
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from rscc.datasets.levir_cc import LEVIRCCDataset, LEVIRMCIDataset
from rscc.rasters.image_files import read_rgb

PIPELINE = [{'type': 'LoadFrames'}, {'type': 'LoadChangeMask'},
            {'type': 'FramesResize', 'size': 16}, {'type': 'FramesColorJitter'},
            {'type': 'PackChangeInputs'}]


def build(root, cache=None, **options):
    return LEVIRMCIDataset(str(root), cache=cache, **{'pipeline': PIPELINE, **options})


@pytest.mark.parametrize('where', [None, 'memory'])
def test_cached_samples_equal_uncached_ones(levir, where):
    plain, cached = build(levir), build(levir, {'size': (16, 16), 'where': where})
    for idx in range(4):
        expected, found = plain[idx], cached[idx]
        assert torch.equal(expected['inputs'], found['inputs'])
        assert torch.equal(expected['data_samples'].gt_sem_seg.data,
                           found['data_samples'].gt_sem_seg.data)
        assert found['data_samples'].ori_shape == (32, 32)
        assert found['data_samples'].img_shape == (16, 16)
    assert (levir / '.rscc_cache').exists() is (where is None)


def test_a_test_keeps_its_masks_at_the_size_on_disk(levir):
    dataset = build(levir, {'size': (16, 16)}, test_mode=True, pipeline=[
        {'type': 'LoadFrames'}, {'type': 'LoadChangeMask'}, {'type': 'PackChangeInputs'}])
    packed = dataset[0]
    assert packed['inputs'].shape == (2, 3, 16, 16)
    assert packed['data_samples'].gt_sem_seg.data.shape == (1, 32, 32)


def test_a_second_opening_reads_no_image(levir):
    build(levir, {'size': (16, 16)})
    (stamp,) = (levir / '.rscc_cache').glob('*.frames.npy')
    before = stamp.stat().st_mtime_ns
    dataset = build(levir, {'size': (16, 16)}, check_images=False)
    assert stamp.stat().st_mtime_ns == before
    assert dataset[0]['inputs'].shape == (2, 3, 16, 16)


def test_changed_files_options_and_sizes_get_caches_of_their_own(levir):
    build(levir, {'size': (16, 16)})
    build(levir, {'size': (8, 8)})
    build(levir, {'size': None})
    path = levir / 'images/train/A/train_000000.png'
    path.write_bytes((levir / 'images/train/A/train_000001.png').read_bytes())
    changed = build(levir, {'size': None})
    assert len(list((levir / '.rscc_cache').glob('*.frames.npy'))) == 4
    assert np.array_equal(changed._cache.arrays['frames'][0, 0], read_rgb(path))


def test_without_a_label_there_is_no_mask(levir):
    dataset = LEVIRCCDataset(str(levir), cache={'size': (16, 16)}, pipeline=PIPELINE)
    assert 'masks' not in dataset._cache.arrays
    assert 'gt_sem_seg' not in dataset[0]['data_samples']


def test_cached_pixels_are_read_only_and_travel_by_name(levir):
    cache = build(levir, {'size': (16, 16)})._cache
    item = {'seg_map_path': 'x'}
    cache.fill(item, 0)
    with pytest.raises(ValueError, match='read-only'):
        item['frames'][0][:] = 0
    data = pickle.dumps(cache)
    assert len(data) < 2000
    assert np.array_equal(pickle.loads(data).arrays['frames'], cache.arrays['frames'])


def test_a_failed_build_leaves_no_cache_behind(levir):
    path = levir / 'images/train/B/train_000002.png'
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    with pytest.raises(ValueError, match="sample 'train_000002'"):
        build(levir, {'size': (16, 16)})
    assert not list((levir / '.rscc_cache').glob('*.npy'))
    assert not list((levir / '.rscc_cache').glob('.*.tmp'))
    path.write_bytes(whole)
    assert build(levir, {'size': (16, 16)})[2]['inputs'].shape == (2, 3, 16, 16)


def test_one_size_is_needed(levir):
    for folder in ('A', 'B', 'label'):
        source = levir / f'images/train/{folder}/train_000001.png'
        Image.open(source).resize((20, 20), Image.Resampling.NEAREST).save(source)
    with pytest.raises(ValueError, match=r"'train_000001' has frames .*pass cache=dict\(size"):
        build(levir, {'size': None})


def test_a_folder_that_cannot_be_made_suggests_others(levir):
    with pytest.raises(OSError, match=r"cannot be written to .*cache=dict\(where='/some/folder'\)"):
        build(levir, {'size': (16, 16), 'where': str(levir / 'LevirCCcaptions.json')})


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


RANK = """
import sys
import torch.distributed as dist
from rscc.datasets.levir_cc import LEVIRMCIDataset
dist.init_process_group('gloo')
data = LEVIRMCIDataset(sys.argv[1], cache={'size': (16, 16)}, pipeline=[{'type': 'LoadFrames'}])
print(sum(int(frame.sum()) for idx in range(4) for frame in data[idx]['frames']))
dist.destroy_process_group()
"""


def test_two_training_processes_share_one_cache(levir, repo):
    env = {**os.environ, 'PYTHONPATH': str(repo), 'WORLD_SIZE': '2', 'MASTER_ADDR': '127.0.0.1',
           'MASTER_PORT': str(free_port())}
    ranks = [subprocess.Popen([sys.executable, '-c', RANK, str(levir)], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env={**env, 'RANK': str(rank), 'LOCAL_RANK': str(rank)})
             for rank in range(2)]
    said = [rank.communicate(timeout=240) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], said
    assert said[0][0] == said[1][0] and int(said[0][0]) > 0
    assert len(list((levir / '.rscc_cache').glob('*.frames.npy'))) == 1
