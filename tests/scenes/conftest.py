"""A small pair of dates, and the results of its run without parts."""
import pytest
from fake_scenes import SMALL, Difference, write_pair


@pytest.fixture
def pair(tmp_path):
    """A scene of several small blocks."""
    return write_pair(tmp_path / 'data')


@pytest.fixture
def whole(pair, tmp_path):
    """Folder of a local run without parts."""
    from rscc.scenes.run import run_scenes
    run_scenes([pair], Difference(), tmp_path / 'whole', SMALL)
    return tmp_path / 'whole'
