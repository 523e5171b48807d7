"""Models in miniature, and images, for the tests of the page."""
import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope='session')
def checkpoints(tmp_path_factory):
    """Checkpoints with drawn weights: of pairs in two languages, and of single images."""
    import tiny_models as tiny
    folder = tmp_path_factory.mktemp('checkpoints')
    pair = tiny.save(folder / 'pair.pth', dict(tiny.JOINT, caption_head=dict(
        tiny.BILINGUAL, decoding=dict(min_tokens=2))), classes=('unchanged', 'house', 'road'))
    single = tiny.save(folder / 'single.pth', dict(tiny.SINGLE, caption_head=tiny.BLIP),
                       task='single')
    return dict(pair=str(pair), single=str(single))


@pytest.fixture
def pair(tmp_path):
    """Two small pictures of a place."""
    draw = np.random.default_rng(0)
    paths = []
    for date in ('before', 'after'):
        coarse = Image.fromarray(draw.integers(0, 255, (8, 8, 3), np.uint8))
        paths.append(tmp_path / f'{date}.png')
        coarse.resize((64, 64)).save(paths[-1])
    return paths
