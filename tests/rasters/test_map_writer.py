import numpy as np
import pytest
from PIL import Image

from rscc.rasters.map_writer import write_map

RNG = np.random.default_rng(0)


@pytest.mark.parametrize('dtype', ['uint8', 'uint16'])
@pytest.mark.parametrize('ending', ['png', 'tif'])
def test_rows_written_in_parts_are_read_back(tmp_path, dtype, ending):
    if ending == 'tif':
        pytest.importorskip('rasterio')
    values = RNG.integers(0, np.iinfo(dtype).max, (150, 37), dtype=dtype, endpoint=True)
    path = tmp_path / f'a.{ending}'
    with write_map(path, 150, 37, dtype) as write:
        for first, end in ((0, 1), (1, 70), (70, 150)):
            write(values[first:end])
        assert not path.exists()
    assert np.array_equal(np.asarray(Image.open(path)), values)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize('ending', ['png', 'tif'])
def test_a_map_that_is_not_finished_does_not_appear(tmp_path, ending):
    if ending == 'tif':
        pytest.importorskip('rasterio')
    with pytest.raises(ValueError, match=r"a\.\w+' got 2 of 5 rows"), \
            write_map(tmp_path / f'a.{ending}', 5, 4) as write:
        write(np.zeros((2, 4), np.uint8))
    with pytest.raises(RuntimeError, match='stopped'), \
            write_map(tmp_path / f'a.{ending}', 5, 4) as write:
        write(np.zeros((2, 4), np.uint8))
        raise RuntimeError('stopped')
    assert list(tmp_path.iterdir()) == []


def test_a_geotiff_keeps_its_place(tmp_path):
    rasterio = pytest.importorskip('rasterio')
    place = (0.5, 0, 1000, 0, -0.5, 2000)
    with write_map(tmp_path / 'a.tif', 8, 8, crs='EPSG:2193', transform=place) as write:
        write(np.full((8, 8), 7, np.uint8))
    with rasterio.open(tmp_path / 'a.tif') as file:
        assert file.crs.to_epsg() == 2193 and tuple(file.transform)[:6] == place
        assert (file.read(1) == 7).all()
