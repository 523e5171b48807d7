"""Every reader of files lets out its documented errors alone, whatever the file holds.

Each of ``READERS`` gets damaged versions of a small sound file, from a fixed seed: 100 in the fast
core, 2,000 in the whole suite. 100,000 each take an hour::

    RSCC_MUTATIONS=100000 python -m pytest -m slow tests/test_damaged_files.py
"""
import io
import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from mutations import Mutator, as_json, as_pickle
from safetensors.torch import save

from rscc.config.stored import config_from_text
from rscc.datasets import features as feature_files
from rscc.datasets.confidence import ConfidenceIndex, read_confidence
from rscc.datasets.hdf5 import HDF5CaptionDataset
from rscc.datasets.levir_cc import LEVIRCCDataset
from rscc.datasets.single_image import SydneyCaptionsDataset
from rscc.datasets.synth import SynthSceneDataset
from rscc.datasets.word_encoding import encode_words
from rscc.engine.checkpoint import ForeignObjectsError, read_checkpoint
from rscc.evaluation.predictions import add_metrics, read_metadata, read_predictions
from rscc.evaluation.records import CaptionOptions
from rscc.evaluation.references import read_references
from rscc.features.clip_scores import RecordFormat
from rscc.features.extraction import FeatureFormat
from rscc.features.pickles import convert_pickle
from rscc.importers.conversion import read_state_dicts
from rscc.models.clip.weight_files import read_clip
from rscc.rasters.tiles import read_index
from rscc.synth.generator import scenes_in
from rscc.text.class_names import class_names
from rscc.text.subword_tokenizers import BytePairTokenizer, WordPieceTokenizer
from rscc.text.word_tokenizer import WordTokenizer, read_word_vectors
from rscc.utils import read_json
from rscc.utils.paths import read_path_list

h5py = pytest.importorskip('h5py')
pytestmark = pytest.mark.filterwarnings('ignore')  # torch and numpy warn of damage, too
COUNT = int(os.environ.get('RSCC_MUTATIONS', 2000))
FEW = 100
DOCUMENTED = (ValueError, FileNotFoundError)


class Reader(NamedTuple):
    """A function under test.

    Attributes:
        name: Of the test.
        file: Name of the file that is damaged.
        sample: Its sound content: data, text or bytes.
        read: Reads the file, and uses what it got as the package does.
        raises: Types that its documentation lists.
    """
    name: str
    file: str
    sample: Any
    read: Callable[[Path], Any]
    raises: tuple[type[Exception], ...] = DOCUMENTED


def features_of(rows: torch.Tensor) -> tuple[dict, bytes]:
    """Return index and content of a feature file."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / 'features.safetensors'
        feature_files.write_features(file, rows, None, ['a.png', 'b.png'], {'model': 'ViT-B/32'})
        return read_json(file.with_suffix('.json')), file.read_bytes()


def saved(data: dict) -> bytes:
    """Return the content of a checkpoint."""
    stream = io.BytesIO()
    torch.save(data, stream)
    return stream.getvalue()


KARPATHY = {'dataset': 'x', 'images': [
    {'filename': f'{split}_{number}.png', 'filepath': split, 'imgid': number, 'split': split,
     'changeflag': number % 2, 'scene': {'from': {'ground': 'meadow', 'road': 1},
                                         'to': {'ground': 'meadow', 'house': 5}},
     'sentences': [{'raw': ' a road is built .', 'tokens': ['a', 'road', 'is', 'built']},
                   {'raw': 'a house', 'tokens': ['a', 'house']}]}
    for number, split in enumerate(('train', 'train', 'test'))]}
COCO = {'images': [{'id': 1, 'file_name': 'a.png'}, {'id': 2, 'file_name': 'b.png'}],
        'annotations': [{'image_id': 1, 'caption': 'a road'}, {'image_id': 2, 'caption': 'no'},
                        {'image_id': 2, 'caption': 'a house'}]}
OURS = {'config': 'x', 'dataset': {'language': 'en', 'no_change_captions': ['no change'],
                                   'frequent_caption': 'a road'},
        'split': 'test', 'metrics': {'caption/all/Bleu_1': 3.0}, 'samples': [
            {'sample_id': 'test_2', 'prediction': 'a road', 'score': -0.5, 'references': ['a road'],
             'gt_change_flag': True, 'pred_change_flag': False, 'nbest': [['a road', -0.5]],
             'agreement': 0.5, 'abstained': False, 'drawn': 2,
             'truncated': 9, 'trajectory': [[3.0, 'a'], [1.0, 'b']], 'scores': {}}]}
TILES = {'format': 'rscc tiles 1', 'size': 64, 'overlap': 8, 'bands': None, 'scale': None,
         'images': [{'stem': 'a', 'split': 'test', 'height': 100, 'width': 120,
                     'files': {'from': 'x/a.png', 'to': 'y/a.png'}, 'window': [0, 0, 120, 100],
                     'crs': None, 'transform': [1.0, 0.0, 5.0, 0.0, -1.0, 9.0]}]}
EMBEDDINGS = {'clip_embedding': torch.ones(2, 3), 'captions': [
    {'image_id': 1, 'filename': f'train_{row}.png', 'clip_embedding': row} for row in range(2)]}
PIECES = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'road', '##s', 'house']
PAIRS = {'a': 0, 'b': 1, 'ab': 2, 'Ġ': 3, 'Ġa': 4, '<|endoftext|>': 5}
MERGES = '#version: 0.2\na b\nĠ a\n'
SCORES = [{'image_path': 'A/1.png', 'road': '0.5', 'house': '0.3', 'lake': '0.2'},
          {'image_path': 'A/2.png', 'lake': '0.5', 'road': '0.3', 'house': '0.2'}]
TUTORIAL = {'TEST_CAPTIONS_tutorial.json': [[3, 1, 4, 0], [3, 2, 4, 0]],
            'TEST_CAPLENS_tutorial.json': [3, 3],
            'WORDMAP_tutorial.json': {'a': 1, 'b': 2, '<start>': 3, '<end>': 4, '<unk>': 5,
                                      '<pad>': 0}}
PART = save({'pooled': torch.ones(2, 3)}, {'names': '["a.png", "b.png"]'})
MODULE = saved({'decoder': torch.nn.Linear(2, 2), 'epoch': 3})
INDEX, FEATURES = features_of(torch.ones(2, 3))
CHECKPOINT = saved({'meta': {'cfg': 'a = 1', 'epoch': 3}, 'state_dict': {'w': torch.ones(2)}})
BLIP = {f'image_{row}': {'captions': ['a road', 'a house'], 'changeflag': row,
                         'filename': f'{row}.png'} for row in range(2)}
CONFIG = """model = dict(type='A', depth=3, tokens=[1, 2.5, None], names=('a', "b"))
scale = float('inf') if False else 1
""".replace("float('inf') if False else 1", '-inf') + "work_dir = {'a b': True}\n"


def use_dataset(kind: type, path: Path) -> None:
    dataset = kind(str(path.parent), path.name, split=None, check_images=False,
                   serialize_data=False)
    for row in range(len(dataset)):
        item = dataset.get_data_info(row)
        json.dumps(item, ensure_ascii=False).encode()
        [Path(item[key]).is_file() for key in item if key.startswith('img_path')]


def use_tokenizer(path: Path) -> None:
    tokenizer = WordTokenizer(path)
    ids = tokenizer.encode('a road is built', max_tokens=5)
    tokenizer.decode(ids).encode()
    WordTokenizer(words=tokenizer.vocabulary())


def use_predictions(path: Path) -> None:
    references = read_references(path.parent / 'sound.json')
    for record in read_predictions(path, references, partial=True):
        record.prediction.encode()
    for record in read_predictions(path) if path.name == 'ours.json' else ():
        ' '.join((record.prediction, *record.references)).encode()
        assert record.cut_at is None or record.cut_at > -2**63
        if record.sampled:
            [f'{sigma:.3g}{text}' for sigma, text in record.sampled.trajectory]
            record.sampled.agreement + 0.5


def use_metadata(path: Path) -> None:
    known = read_metadata(path)
    dataset = known.get('dataset', {})
    CaptionOptions(language=dataset.get('language') or 'en',
                   no_change_captions=tuple(dataset.get('no_change_captions') or ()),
                   frequent_caption=dataset.get('frequent_caption'))
    add_metrics(path, {'caption/all/Bleu_1': 1.0})


def use_references(path: Path) -> None:
    for record in read_references(path).records.values():
        ' '.join(record.references).encode()


def use_confidence(path: Path) -> None:
    index = ConfidenceIndex(read_confidence(path))
    for name in (str(index).encode() and ['A/1.png', 'x/2.png']):
        ' '.join(index.find(name) or ()).encode()


def use_tiles(path: Path) -> None:
    index = read_index(path)
    for scene in index.scenes:
        Path(scene.files['from']).is_file(), scene.name.encode()
        len(index.grid(scene))
        index.grid(scene).names(scene.stem)
    index.describe_difference(index)


def use_features(path: Path) -> None:
    other, content = {'.json': ('.safetensors', FEATURES),
                      '.safetensors': ('.json', as_json(INDEX))}[path.suffix]
    path.with_suffix(other).write_bytes(content)
    rows = feature_files.FeatureRows(path.with_suffix('.safetensors'))
    rows.of(rows.index['images'][:2])


def use_pickle(path: Path) -> None:
    convert_pickle(path, known_images(path.parent), path.with_suffix('.safetensors'))


@cache
def known_images(folder: Path) -> SydneyCaptionsDataset:
    """Return a dataset that has the images of the embedding pickle."""
    return SydneyCaptionsDataset(str(folder), 'sound.json', split=None, check_images=False)


def use_scores(path: Path) -> None:
    """Go on with scores of CLIP, whose origin lies beside them."""
    origin = {'model': 'ViT-B/16', 'class_names': ['road', 'house', 'lake']}
    beside = path.parent / 'A_clipcls_56_vit16.json.origin'
    if path != beside:
        beside.write_bytes(as_json(origin))
    else:
        (path.parent / 'A_clipcls_56_vit16.json').write_bytes(as_json(SCORES))
    RecordFormat().read_finished(path.parent / 'A_clipcls_56_vit16.json', ['A/1.png', 'A/3.png'],
                                 origin)


def use_part(path: Path) -> None:
    rows = FeatureFormat({}).read_part(path)
    [row[0].float() for row in rows.values()]


def use_config(path: Path) -> None:
    repr(config_from_text(path.read_bytes().decode(errors='replace'), path.name))


def use_word_pieces(path: Path) -> None:
    tokenizer = WordPieceTokenizer(vocab_file=path)
    tokenizer.decode(tokenizer.encode('a road, houses')).encode()


def use_byte_pairs(path: Path) -> None:
    files = {'vocab.json': as_json(PAIRS), 'merges.txt': MERGES.encode()}
    for name in set(files) - {path.name}:
        (path.parent / name).write_bytes(files[name])
    tokenizer = BytePairTokenizer(vocab_file=path.parent / 'vocab.json',
                                  merges_file=path.parent / 'merges.txt')
    tokenizer.decode(tokenizer.encode('ab a', max_tokens=4)).encode()


def use_hdf5(path: Path, variant: str, others: dict) -> None:
    """Read one of the JSON files beside a file of images; the others are sound."""
    images = path.parent / f'TEST_IMAGES_{variant}.hdf5'
    if not images.exists():
        with h5py.File(images, 'w') as file:
            file['images'] = np.zeros((2, 2, 3, 2, 2), np.uint8)
            file.attrs['captions_per_image'] = 1
        for name, sample in others.items():
            if name != path.name:
                (path.parent / name).write_bytes(as_json(sample))
    dataset = HDF5CaptionDataset(str(path.parent), variant=variant, base_name=variant, split='test',
                                 check_images=False, serialize_data=False)
    for row in range(len(dataset)):
        json.dumps(dataset.get_data_info(row), ensure_ascii=False).encode()


READERS = [
    Reader('JSON', 'a.json', KARPATHY, lambda path: read_json(path, unique_keys=True)),
    Reader('path list', 'train.txt', 'A/1.png  B/1.png  label/1.png\n"A/2 x.png" B/2.png l/2.png\n',
           read_path_list),
    Reader('captions of a dataset', 'a.json', KARPATHY,
           lambda path: use_dataset(LEVIRCCDataset, path)),
    Reader('captions of single images', 'dataset.json', KARPATHY,
           lambda path: use_dataset(SydneyCaptionsDataset, path)),
    Reader('captions in COCO style', 'coco.json', COCO,
           lambda path: use_dataset(SydneyCaptionsDataset, path)),
    Reader('rendered scenes', 'LevirCCcaptions.json', KARPATHY,
           lambda path: use_dataset(SynthSceneDataset, path)),
    Reader('words to encode', 'a.json', KARPATHY, encode_words),
    Reader('class names', 'classes.txt', 'road, 道路\nhouse, 房屋 # both\n\nlake\n', class_names),
    Reader('vocabulary', 'v.json', ['a', 'road', 'is', 'built'], use_tokenizer),
    Reader('word map', 'WORDMAP_x.json', {'a': 1, 'road': 2, '<unk>': 3, '<start>': 4, '<end>': 5,
                                         '<pad>': 0}, use_tokenizer),
    Reader('word encoding', 'word_encoding.json',
           {'format': 'rscc word encoding', 'language': 'en', 'length': 5,
            'words': ['<pad>', 'a', 'road', '<unk>', '<start>', '<end>']}, use_tokenizer),
    Reader('vocabulary of annotations', 'a.json', KARPATHY, use_tokenizer),
    Reader('word vectors', 'glove.txt', '2 3\na 0.1 0.2 0.3\nroad 1 2 3e-1\n',
           lambda path: read_word_vectors(path, ['a', 'road'], 3)),
    Reader('references', 'r.json', KARPATHY, use_references),
    Reader('references in COCO style', 'r.json', COCO, use_references),
    Reader('predictions', 'ours.json', OURS, use_predictions),
    Reader('predictions by id', 'p.json', {'test_2.png': 'a road'}, use_predictions),
    Reader("COCO's results", 'p.json', [{'image_id': 2, 'caption': 'a road'}], use_predictions),
    Reader('predictions by line', 'p.txt', 'a road\n', use_predictions),
    Reader('metadata of predictions', 'ours.json', OURS, use_metadata),
    Reader('confidence file', 'A_clipcls_56_vit16.json',
           [{'image_path': 'A/1.png', 'road': 0.5, 'house': 0.25},
            {'image_path': 'A/2.png', 'lake': 0.5}], use_confidence),
    Reader('index of tiles', 'tiles.json', TILES, use_tiles),
    Reader('embedding pickle', 'clip_emb_ViT-B_32_x.pkl', EMBEDDINGS, use_pickle),
    Reader('index of features', 'features.json', INDEX, use_features),
    Reader('features', 'features.safetensors', FEATURES, use_features),
    Reader('checkpoint', 'a.pth', CHECKPOINT, read_checkpoint,
           (*DOCUMENTED, ForeignObjectsError)),
    Reader('scores of CLIP', 'A_clipcls_56_vit16.json', SCORES, use_scores),
    Reader('origin of scores', 'A_clipcls_56_vit16.json.origin', {
        'model': 'ViT-B/16', 'class_names': ['road', 'house', 'lake']}, use_scores),
    Reader('part of features', '000000.safetensors', PART, use_part),
    Reader('CLIP weights', 'clip.pt', saved({'visual.conv1.weight': torch.ones(2, 3, 2, 2)}),
           lambda path: read_clip(str(path))),
    Reader('modules of other code', 'module.pth', MODULE, read_state_dicts),
    Reader('scenes of pairs', 'LevirCCcaptions.json', KARPATHY, scenes_in),
    Reader('word pieces', 'vocab.txt', '\n'.join(PIECES), use_word_pieces),
    Reader('byte pairs', 'vocab.json', PAIRS, use_byte_pairs),
    Reader('merges of byte pairs', 'merges.txt', MERGES, use_byte_pairs),
    *(Reader(f'HDF5, {name}', name, sample, lambda path: use_hdf5(path, 'tutorial', TUTORIAL))
      for name, sample in TUTORIAL.items()),
    Reader('HDF5, captions', 'TEST_CAPTIONS_blip.json', BLIP,
           lambda path: use_hdf5(path, 'blip', {})),
    Reader('stored config', 'a.pth', CONFIG, use_config),
]


def content_of(reader: Reader) -> tuple[Any, Callable[[Any], bytes] | None]:
    """Return a reader's sample and what encodes it, None where only its bytes are damaged."""
    if isinstance(reader.sample, str):
        return reader.sample.encode(), None
    if isinstance(reader.sample, bytes):
        return reader.sample, None
    return reader.sample, as_pickle if reader.file.endswith('.pkl') else as_json


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder beside sound annotations, and no log."""
    monkeypatch.setattr('mmengine.logging.print_log', lambda *_, **__: None)
    (tmp_path / 'sound.json').write_text(json.dumps(KARPATHY), encoding='utf-8')
    return tmp_path


def attack(reader: Reader, folder: Path, count: int, seed: int) -> None:
    """Read damaged files and check the errors: their types, the file they name, their text."""
    path = folder / reader.file
    mutate = Mutator(*content_of(reader), seed)
    path.write_bytes(mutate.sound)
    reader.read(path)
    refused = 0
    for number in range(count):
        path.write_bytes(damaged := mutate())
        try:
            reader.read(path)
        except Exception as error:
            said = f'{type(error).__name__}: {error}\ninput {number}: {damaged[:2000]!r}'
            assert type(error) in reader.raises, said
            assert any(file.name in str(error) for file in folder.iterdir()), said
            str(error).encode()
            refused += 1
    assert refused > count / 20  # the damage is real


EVERY = pytest.mark.parametrize('reader', READERS, ids=[reader.name for reader in READERS])


@EVERY
def test_damage_is_a_documented_error(reader, folder):
    attack(reader, folder, FEW, seed=1)


@pytest.mark.slow
@EVERY
def test_no_damage_at_all_lets_out_another_error(reader, folder):
    attack(reader, folder, COUNT, seed=7)
