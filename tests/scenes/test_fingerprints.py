import os

import numpy as np
import pytest
from scene_files import write_raster

from rscc.scenes import fingerprints as module
from rscc.scenes.fingerprints import fingerprint, fingerprints
from rscc.scenes.mosaics import mosaic


@pytest.fixture
def tile(tmp_path):
    return write_raster(tmp_path / 'a.tif', np.full((3, 40, 50), 10, np.uint8))


def change(path):
    """Change one byte near the end of a file, and nothing else that the system tells of it."""
    times = os.stat(path)
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_copy_is_known_and_a_change_of_one_byte_too(tile, tmp_path):
    before = fingerprint(str(tile))
    copy = tmp_path / 'elsewhere.tif'
    copy.write_bytes(tile.read_bytes())
    assert fingerprint(str(copy)) == before
    change(copy)
    module._hash.cache_clear()
    assert fingerprint(str(copy)) != before


def test_a_large_file_is_known_by_its_time_too(tile, monkeypatch):
    monkeypatch.setattr(module, '_WHOLE', 10)
    monkeypatch.setattr(module, '_SAMPLED', 4)
    module._hash.cache_clear()
    before = fingerprint(str(tile))
    assert fingerprint(str(tile)) == before
    os.utime(tile, ns=(1, 1))
    assert fingerprint(str(tile)) != before
    module._hash.cache_clear()


def test_files_behind_a_virtual_raster_count(tile, tmp_path):
    virtual = tmp_path / 'scene.vrt'
    virtual.write_text(mosaic([tile])[1])
    before = fingerprints(str(virtual))
    assert len(before) == 2
    write_raster(tile, np.full((3, 40, 50), 11, np.uint8))
    assert fingerprints(str(virtual))[0] == before[0]
    assert fingerprints(str(virtual))[1] != before[1]


def test_files_beside_a_raster_and_tiles_of_a_folder_count(tile, tmp_path):
    alone = fingerprints(str(tile))
    (tmp_path / 'notes.txt').write_text('not read')
    notes = tmp_path / 'a.tif.aux.xml'
    shown = '<PAMRasterBand band="1"><Metadata><MDI key="STATISTICS_MEAN">7</MDI></Metadata>{}'
    for said, known in (('', True), ('<NoDataValue>0</NoDataValue>', False)):
        notes.write_text(f'<PAMDataset>{shown.format(said)}</PAMRasterBand></PAMDataset>')
        module._hash.cache_clear()
        assert (fingerprints(str(tile)) == alone) is known
    notes.unlink()
    (tmp_path / 'a.tif.ovr').write_text('read')
    assert len(alone) == 1 and fingerprints(str(tile))[0] == alone[0]
    assert len(fingerprints(str(tile))) == 2 == len(fingerprints(str(tmp_path)))


def test_an_address_stands_for_itself():
    assert fingerprints('s3://bucket/scene.tif') == ['s3://bucket/scene.tif']
