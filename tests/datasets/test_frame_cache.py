import os
import pickle
import shutil
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from fake_data import write_fake_dataset
from PIL import Image

from rscc.datasets import frame_cache
from rscc.datasets.levir_cc import LEVIRCCDataset, LEVIRMCIDataset
from rscc.rasters.image_files import read_rgb
from rscc.utils.files import locked

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


def files_of(root, part):
    (found,) = (root / '.rscc_cache').glob(f'*.{part}.npy')
    return found


def damage(path, how):
    data = path.read_bytes()
    if how == 'truncated':
        path.write_bytes(data[:len(data) // 2])
    elif how == 'zeroed':
        path.write_bytes(bytes(len(data)))
    elif how == 'zeroed body':
        path.write_bytes(data[:128] + bytes(len(data) - 128))
    elif how == 'emptied':
        path.write_bytes(b'')
    else:
        path.unlink()


@pytest.mark.parametrize('how', ['truncated', 'zeroed', 'zeroed body', 'emptied', 'missing'])
@pytest.mark.parametrize('part', ['frames', 'masks', 'shapes', 'sums'])
def test_a_damaged_cache_is_built_anew(levir, monkeypatch, part, how):
    whole = build(levir, {'size': (16, 16)})
    expected = [whole[idx] for idx in range(4)]
    damage(files_of(levir, part), how)
    said = []
    monkeypatch.setattr(frame_cache, 'print_log', lambda text, *rest: said.append(text))
    found = build(levir, {'size': (16, 16)})
    assert (part, how) == ('frames', 'missing') or 'is damaged (' in said[0]
    for idx in range(4):
        assert torch.equal(expected[idx]['inputs'], found[idx]['inputs'])
        assert torch.equal(expected[idx]['data_samples'].gt_sem_seg.data,
                           found[idx]['data_samples'].gt_sem_seg.data)


def test_a_cache_of_another_form_is_built_anew(levir):
    build(levir, {'size': (16, 16)})
    np.save(files_of(levir, 'frames'), np.zeros((4, 2, 8, 8, 3), np.uint8))
    assert build(levir, {'size': (16, 16)})[0]['inputs'].shape == (2, 3, 16, 16)


@pytest.mark.parametrize('part', ['frames', 'masks', 'shapes'])
def test_damage_that_comes_later_is_found_at_the_sample(levir, part):
    dataset = build(levir, {'size': (16, 16)})
    path = files_of(levir, part)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)  # in place: the open maps see it
    for idx in range(3):
        dataset[idx]
    with pytest.raises(ValueError, match=r"sample 'train_000003' is damaged in the frame cache .*"
                       'delete these files'):
        dataset[3]
    data[-1] ^= 1
    path.write_bytes(data)
    assert dataset[3]['inputs'].shape == (2, 3, 16, 16)


def test_drafts_of_killed_builds_are_removed_unless_someone_builds(levir):
    folder = levir / '.rscc_cache'
    folder.mkdir()
    stale, busy = folder / '.Old-train-8x8-abc.frames.99.tmp', folder / '.New.frames.98.tmp'
    for draft in (stale, busy):
        draft.write_bytes(bytes(100))
    (folder / '.Old-train-8x8-abc.lock').touch()
    with locked(folder / '.New.lock'):
        build(levir, {'size': (16, 16)})
    assert not stale.exists() and busy.exists()
    (own,) = folder.glob('LEVIRMCI*.frames.npy')
    left = folder / f'.{own.name.removesuffix(".frames.npy")}.frames.97.tmp'
    left.write_bytes(b'half')
    own.unlink()
    build(levir, {'size': (16, 16)})
    assert not left.exists() and own.exists()


FULL = """
import resource, sys
from rscc.datasets.levir_cc import LEVIRMCIDataset
if sys.argv[3] == 'limit':
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    LEVIRMCIDataset(sys.argv[1], cache={'size': (64, 64), 'where': sys.argv[2]},
                    pipeline=[{'type': 'LoadFrames'}])
except OSError as error:
    print('told:', error)
"""


@pytest.fixture(params=['tmpfs', 'limit'])
def full(request, tmp_path):
    """A folder with less room than a cache needs, and how it came to that."""
    folder = tmp_path / 'full'
    folder.mkdir()
    if request.param == 'limit':
        pytest.importorskip('resource')
        yield folder, 'limit'
        return
    done = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', str(folder)],
                          capture_output=True, text=True) if shutil.which('mount') else None
    if done is None or done.returncode:
        pytest.skip('a tmpfs cannot be mounted here: '
                    f'{done.stderr.strip() if done else "no mount command"}')
    yield folder, 'tmpfs'
    subprocess.run(['umount', str(folder)], check=True)


def test_a_full_disk_is_a_message_not_a_signal(levir, repo, full):
    done = subprocess.run([sys.executable, '-c', FULL, str(levir), str(full[0]), full[1]],
                          capture_output=True, text=True, env={**os.environ,
                                                               'PYTHONPATH': str(repo)})
    assert done.returncode == 0, done.stderr
    assert 'told:' in done.stdout and 'the frame cache needs 0 MB and' in done.stdout
    assert "where='memory', or a smaller size" in done.stdout
    assert not [path for path in full[0].iterdir() if not path.name.endswith('.lock')]


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


@pytest.mark.parametrize('where', [None, 'memory'])
def test_frames_of_five_bands_are_cached(tmp_path, where):
    pytest.importorskip('rasterio')
    write_fake_dataset(tmp_path, dict(type='LEVIRMCIDataset', data_root='levir', pipeline=[
        dict(type='LoadFrames', bands=(3, 2, 1, 4, 5))]), size=32)
    options = dict(img_from='images/{split}/A/{filename}', img_to='images/{split}/B/{filename}',
                   label='images/{split}/label/{filename}', split='train',
                   pipeline=[dict(type='LoadFrames', bands=(3, 2, 1, 4, 5), scale=(0, 5100)),
                             dict(type='PackChangeInputs')])
    plain = LEVIRMCIDataset(str(tmp_path / 'levir'), **options)
    for _ in range(2):  # written, then opened again
        cached = LEVIRMCIDataset(str(tmp_path / 'levir'), cache=dict(where=where), **options)
        assert torch.equal(cached[1]['inputs'], plain[1]['inputs'])
        assert cached[1]['inputs'].shape == (2, 5, 32, 32)
