import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from rscc.datasets.feature_writer import feature_file, write_features
from rscc.datasets.features import FeatureRows, read_index

FACTS = dict(model='ViT-B/32', token_grid=[1, 3])


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32])
def test_the_file_is_one_of_safetensors(tmp_path, dtype):
    pooled, tokens = torch.randn(2, 5).to(dtype), torch.randn(2, 3, 5).to(dtype)
    write_features(tmp_path / 'x.safetensors', pooled, tokens, ['a.png', 'b.png'], FACTS)
    read = load_file(tmp_path / 'x.safetensors')
    assert torch.equal(read['pooled'], pooled) and torch.equal(read['tokens'], tokens)
    rows = FeatureRows(tmp_path / 'x.safetensors', tokens=True).of(['b.png'])
    assert torch.equal(rows, torch.cat([pooled[1:], tokens[1]])[None])
    index = read_index(tmp_path / 'x.safetensors')
    assert (index['width'], index['tokens'], index['dtype']) == (5, 3, str(dtype)[6:])
    assert index['token_grid'] == [1, 3] and index['images'] == ['a.png', 'b.png']


def test_rows_can_be_filled_in_any_order(tmp_path):
    with feature_file(tmp_path / 'x.safetensors', dict(pooled=(3, 2)), 'float16', ['a', 'b', 'c'],
                      FACTS) as rows:
        rows['pooled'][[2, 0]] = np.ones((2, 2))
        assert not (tmp_path / 'x.safetensors').exists()
    assert load_file(tmp_path / 'x.safetensors')['pooled'].sum(1).tolist() == [2, 0, 2]


def test_an_error_on_the_way_leaves_nothing(tmp_path):
    with pytest.raises(KeyError), feature_file(
            tmp_path / 'x.safetensors', dict(pooled=(1, 2)), 'float16', ['a'], FACTS) as rows:
        rows['none'][:] = 0
    assert not list(tmp_path.iterdir())


def test_rows_and_names_must_agree_and_numbers_be_of_a_known_type(tmp_path):
    with pytest.raises(ValueError, match='4 rows of features for 3 images, 2 of them different'):
        write_features(tmp_path / 'x.safetensors', torch.ones(4, 2), None, ['a', 'b', 'a'], FACTS)
    with pytest.raises(ValueError, match='stored as float16 or float32, found float64'):
        write_features(tmp_path / 'x.safetensors', torch.ones(1, 2).double(), None, ['a'], FACTS)
    assert not list(tmp_path.iterdir())
