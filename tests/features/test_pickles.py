import json
import pickle
from pathlib import Path

import pytest
import torch

from rscc.datasets.features import FeatureRows, read_index
from rscc.features.extraction import build_dataset
from rscc.features.pickles import convert_pickle, model_of, read_pickle

ROWS = torch.arange(12.0).reshape(2, 6).half()


@pytest.fixture
def dataset(tmp_path):
    images = [{'filename': f'{number + 1}.tif', 'imgid': number, 'split': 'train',
               'sentences': [{'raw': 'a road .'}] * 3} for number in range(2)]
    (tmp_path / 'dataset.json').write_text(json.dumps({'images': images}))
    return build_dataset('sydney', str(tmp_path), check_images=False)


def published(tmp_path, named=True, **changes):
    """The pickle of clipcap_rsic, or of ClipCap: a row a caption."""
    captions = [dict(image_id=number // 3, id=number, caption='a road .', clip_embedding=number)
                | ({'filename': f'{number // 3 + 1}.tif'} if named else {}) for number in range(6)]
    data = dict(clip_embedding=ROWS.repeat_interleave(3, 0), captions=captions) | changes
    file = tmp_path / 'clip_emb_ViT-B_32_sydney.pkl'
    file.write_bytes(pickle.dumps(data))
    return file


@pytest.mark.parametrize('named', [True, False])
def test_one_row_an_image_is_kept(tmp_path, dataset, named):
    target = tmp_path / 'x.safetensors'
    assert convert_pickle(published(tmp_path, named), dataset, target) == 2
    rows = FeatureRows(target, tmp_path)
    assert torch.equal(rows.of([tmp_path / 'imgs/1.tif', tmp_path / 'imgs/2.tif']), ROWS[:, None])
    index = read_index(target)
    assert (index['model'], index['weights'], index['dtype']) == ('ViT-B/32', None, 'float16')
    assert index['converted_from'] == 'clip_emb_ViT-B_32_sydney.pkl'


class Evil:
    """Writes a file when it is unpickled by anyone who is not careful."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_code_in_a_pickle_is_never_run(tmp_path, dataset):
    file = published(tmp_path, captions=[Evil(tmp_path / 'owned')])
    with pytest.raises(ValueError, match=r'cannot be read as an embedding pickle: it holds Python '
                       r'objects of .*, which could run code'):
        convert_pickle(file, dataset, tmp_path / 'x.safetensors')
    assert not (tmp_path / 'owned').exists() and not (tmp_path / 'x.safetensors').exists()


def test_other_files_are_refused(tmp_path, dataset):
    with pytest.raises(FileNotFoundError, match='no embedding pickle at'):
        read_pickle(tmp_path / 'nowhere.pkl')
    file = tmp_path / 'x.pkl'
    file.write_bytes(b'no pickle')
    with pytest.raises(ValueError, match='cannot be read as an embedding pickle'):
        read_pickle(file)
    file.write_bytes(pickle.dumps({'a': 1}))
    with pytest.raises(ValueError, match=r"no embedding pickle: a dict with .*found \['a'\]"):
        read_pickle(file)


def test_contents_that_do_not_fit_are_refused(tmp_path, dataset):
    def attempt(**changes):
        convert_pickle(published(tmp_path, **changes), dataset, tmp_path / 'x.safetensors')

    with pytest.raises(ValueError, match=r"about the image '9\.tif', which the dataset does not"):
        attempt(captions=[dict(filename='9.tif', clip_embedding=0)])
    with pytest.raises(ValueError, match=r'captions: 0: clip_embedding is an integer \(77\); an '
                       'integer from 0'):
        attempt(captions=[dict(filename='1.tif', clip_embedding=77)])
    with pytest.raises(ValueError, match=r"different embeddings of one image, 'imgs/1\.tif'"):
        attempt(clip_embedding=torch.randn(6, 4))


@pytest.mark.parametrize('changes', [
    dict(captions=[]), dict(captions=['a']), dict(clip_embedding=[1, 2]),
    dict(clip_embedding=torch.zeros(6))])
def test_pickles_of_another_shape_are_refused(tmp_path, changes):
    with pytest.raises(ValueError, match=r"holds 'clip_embedding' .* and 'captions' .*; a tensor "
                       r"\(captions, D\) and a list of dicts|captions: 0 is a string \('a'\)"):
        read_pickle(published(tmp_path, **changes))


def test_a_caption_that_names_no_image_is_never_taken_for_the_first(tmp_path, dataset):
    file = published(tmp_path, captions=[dict(caption='a road', clip_embedding=0)])
    with pytest.raises(ValueError, match=r"a caption names no image: .* found \['caption', 'clip_"):
        convert_pickle(file, dataset, tmp_path / 'x.safetensors')


def test_numbers_are_those_of_the_annotations(tmp_path):
    images = [{'filename': f'{number + 1}.tif', 'imgid': number, 'split': 'train',
               'sentences': [{'raw': 'a road .'}]} for number in (1, 0)]
    (tmp_path / 'dataset.json').write_text(json.dumps({'images': images}))
    dataset = build_dataset('sydney', str(tmp_path), check_images=False)
    convert_pickle(published(tmp_path, named=False), dataset, tmp_path / 'x.safetensors')
    rows = FeatureRows(tmp_path / 'x.safetensors', tmp_path)
    assert torch.equal(rows.of([tmp_path / 'imgs/1.tif', tmp_path / 'imgs/2.tif']), ROWS[:, None])


def test_the_model_comes_from_the_published_name():
    assert model_of('clip_emb_ViT-B_32_ucm.pkl') == 'ViT-B/32'
    assert model_of('clip_emb_RN50x4_rsicd_cn.pkl') == 'RN50x4'
    with pytest.raises(ValueError, match=r"'mine\.pkl' does not tell which CLIP model"):
        model_of('mine.pkl')
