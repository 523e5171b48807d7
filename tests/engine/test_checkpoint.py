import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from safetensors.torch import load_file, save_file
from torch import nn

from rscc.engine.checkpoint import (
    checkpoint_candidates,
    last_good_checkpoint,
    load_weights,
    read_checkpoint,
    write_published,
)
from rscc.models.caption_heads.base import CaptionHead


def save_run(folder: Path, *epochs: int, **extra) -> list[Path]:
    """Files with everything a resume needs."""
    paths = []
    for epoch in epochs:
        history = HistoryBuffer([1.0, 2.0], [1, 1])
        content = {'meta': {'epoch': epoch, 'iter': epoch}, 'state_dict': {'w': torch.ones(64)},
                   'message_hub': {'log_scalars': {'loss': history}}, 'optimizer': {}, **extra}
        paths.append(folder / f'epoch_{epoch}.pth')
        torch.save(content, paths[-1])
    return paths


def test_log_history_of_mmengine_is_read_with_weights_only(tmp_path):
    path, = save_run(tmp_path, 1)
    scalars = read_checkpoint(path)['message_hub']['log_scalars']
    assert scalars['loss'].mean() == 1.5


def test_file_address_is_read_like_a_path(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    path, = save_run(tmp_path, 1)
    assert read_checkpoint(path.as_uri())['meta']['epoch'] == 1


def test_safetensors_are_read_as_a_bare_state_dict(tmp_path):
    model = nn.Linear(2, 3)
    save_file(model.state_dict(), tmp_path / 'slim.safetensors', metadata={'config': '{}'})
    stored = read_checkpoint(tmp_path / 'slim.safetensors')
    assert set(stored) == {'weight', 'bias'} and torch.equal(stored['weight'], model.weight)
    assert load_weights(nn.Linear(2, 3), stored).exact


META = {'dataset_meta': {'classes': ['unchanged', 'Gebäude'], 'language': 'zh'},
        'published': dict(name='x', licence='MIT', architecture='Y', parameters=9)}


def test_a_published_model_comes_back_with_config_and_metadata(tmp_path):
    model = nn.Linear(2, 3)
    half = {key: value.half() for key, value in model.state_dict().items()}
    half['twin'] = half['weight']  # tied weights share memory
    half['words'] = torch.arange(9, dtype=torch.uint8)
    write_published(tmp_path / 'm.safetensors', half, 'a = 1\n', META)
    stored = read_checkpoint(tmp_path / 'm.safetensors')
    assert set(stored) == {'meta', 'state_dict'} and stored['meta'] == {**META, 'cfg': 'a = 1\n'}
    assert stored['state_dict']['weight'].dtype == torch.float16
    assert torch.equal(stored['state_dict']['words'], half['words'])
    loaded = nn.Linear(2, 3)
    assert load_weights(loaded, stored).matched == 2
    assert loaded.weight.dtype == torch.float32
    assert torch.equal(loaded.weight, model.weight.half().float())


@pytest.mark.parametrize(('change', 'message'), [
    ({'rscc_format': '2'}, 'is a model of format 2; this version of rscc reads 1: install a newer'),
    ({'rscc_format': 'x'}, "damaged.*rscc_format is a string \\('x'\\); '1' was expected"),
    ({'meta': '{'}, 'is damaged or cut short: Expecting property name'),
    ({'meta': '[]'}, 'its metadata is a list .*an object was expected'),
    ({'meta': '{"published": {"name": 1}}'}, 'published: name is an integer'),
    ({'meta': None}, "its metadata lacks 'meta'"),
    ({'config': None}, "its metadata lacks 'config'")])
def test_metadata_of_another_form_are_refused(tmp_path, change, message):
    path = tmp_path / 'm.safetensors'
    told = dict(rscc_format='1', config='a = 1', meta='{}') | change
    save_file({'w': torch.ones(2)}, path, {key: value for key, value in told.items() if value})
    with pytest.raises(ValueError, match=message):
        read_checkpoint(path)


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / 'm.safetensors'
    write_published(path, {'w': torch.ones(2)}, 'a = 1', {})
    with pytest.raises(ValueError, match='not JSON compliant'):
        write_published(path, {'w': torch.zeros(2)}, 'a = 1', {'x': float('nan')})
    assert torch.equal(load_file(path)['w'], torch.ones(2))
    assert [file.name for file in tmp_path.iterdir()] == ['m.safetensors']


@pytest.mark.parametrize('data', [b'', b'no tensors at all', None])
def test_damaged_safetensors_are_named(tmp_path, data):
    path = tmp_path / 'slim.safetensors'
    save_file({'w': torch.ones(64)}, path)
    path.write_bytes(path.read_bytes()[:-9] if data is None else data)
    with pytest.raises(ValueError, match=r"checkpoint '.*slim\.safetensors' is damaged or cut "
                       r'short: .*\. Use another file'):
        read_checkpoint(path)


def test_absent_safetensors_name_the_nearest(tmp_path):
    save_file({'w': torch.ones(1)}, tmp_path / 'slim.safetensors')
    with pytest.raises(FileNotFoundError, match=r"Did you mean 'slim\.safetensors'"):
        read_checkpoint(tmp_path / 'slin.safetensors')


class Reach:

    def __reduce__(self):
        return (getattr, (HistoryBuffer, '__init__'))


def test_history_statistics_open_no_door_to_other_attributes(tmp_path):
    torch.save({'state_dict': {}, 'evil': Reach()}, tmp_path / 'evil.pth')
    with pytest.raises(ValueError, match='could run code'):
        read_checkpoint(tmp_path / 'evil.pth')


class Payload:

    def __reduce__(self):
        return (Path.touch, (Path('pwned'),))


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({'state_dict': {}, 'evil': Payload()}, 'evil.pth')
    with pytest.raises(ValueError, match=r'holds Python objects of .*could run code'):
        read_checkpoint('evil.pth')
    assert not Path('pwned').exists()


def test_absent_checkpoint_names_the_nearest_file(tmp_path):
    save_run(tmp_path, 12)
    with pytest.raises(FileNotFoundError, match=r"epoch_12\.pth.*Did you mean 'epoch_12.pth'"):
        read_checkpoint(tmp_path / 'epoch_21.pth')


@pytest.mark.parametrize('damage', ['cut', 'empty'])
def test_damaged_checkpoint_is_named(tmp_path, damage):
    path, = save_run(tmp_path, 1)
    data = bytearray(path.read_bytes())
    path.write_bytes({'cut': data[:len(data) // 2], 'empty': b''}[damage])
    with pytest.raises(ValueError, match=r"epoch_1.pth' is (damaged|not a torch file)"):
        read_checkpoint(path)


def test_a_text_file_is_no_checkpoint_and_unsafe_loading_is_not_advised(tmp_path):
    (tmp_path / 'x.pth').write_text('# a readme')
    with pytest.raises(ValueError, match=r"x.pth' is not a torch file or is damaged: Unsupported "
                       r'operand \d+\. Expected what'):
        read_checkpoint(tmp_path / 'x.pth')


def test_something_else_than_a_dict_is_refused(tmp_path):
    torch.save(torch.ones(2), tmp_path / 'x.pth')
    with pytest.raises(ValueError, match='holds a Tensor, expected a dict'):
        read_checkpoint(tmp_path / 'x.pth')


def test_plain_pickle_is_refused(tmp_path):
    (tmp_path / 'x.pth').write_bytes(pickle.dumps({'state_dict': object()}))
    with pytest.raises(ValueError, match=r"checkpoint '.*x.pth'"):
        read_checkpoint(tmp_path / 'x.pth')


def test_report_lists_the_first_ten_keys_of_each_kind():
    model = nn.Sequential(*[nn.Linear(2, 2) for _ in range(8)])
    state = model.state_dict()
    for index in range(6):
        del state[f'{index}.weight'], state[f'{index}.bias']
    state['7.weight'] = torch.zeros(3, 2)
    state['extra'] = torch.zeros(1)
    report = load_weights(model, {'state_dict': state})
    assert (report.matched, len(report.missing), report.unexpected) == (3, 12, ['extra'])
    assert not report.exact
    text = str(report)
    assert '3 tensors match, 12 missing, 1 unexpected, 1 of another shape' in text
    assert '... 2 more' in text
    assert '7.weight: file (3, 2), model (2, 2)' in text


def test_prefix_of_wrapped_models_and_old_batch_counters_are_forgiven():
    model = nn.Sequential(nn.BatchNorm1d(2))
    state = {f'module.{key}': value for key, value in model.state_dict().items()
             if 'num_batches' not in key}
    report = load_weights(model, {'state_dict': state})
    assert report.exact and report.matched == 4


class Head(CaptionHead):

    def __init__(self, words):
        super().__init__(dict(type='WordTokenizer', words=words))
        self.table = nn.Embedding(self.tokenizer.vocab_size, 3)


def test_other_vocabulary_is_reported_with_both_sizes():
    model = nn.ModuleDict({'head': Head(['a', 'b'])})
    other = nn.ModuleDict({'head': Head(['a', 'b', 'c'])})
    report = load_weights(model, other.state_dict())
    assert report.mis_shaped == ['head.vocabulary: file 7 words, model 6, not the same ones',
                                 'head.table.weight: rows of other words']
    # As many others: rows would fit, and stand for other words.
    same_size = nn.ModuleDict({'head': Head(['a', 'c'])})
    before = model['head'].table.weight.clone()
    assert load_weights(model, same_size.state_dict()).mis_shaped[1] == (
        'head.table.weight: rows of other words')
    assert torch.equal(model['head'].table.weight, before)
    assert load_weights(model, copy.deepcopy(model).state_dict()).exact


class Strict(nn.Linear):

    def _load_from_state_dict(self, *args):
        args[-1].append('this part wants none of it')


def test_what_a_part_refuses_is_told_in_its_own_words():
    model = nn.ModuleDict({'part': Strict(1, 1)})
    with pytest.raises(ValueError, match='the checkpoint does not fit the model: this part wants '
                       'none of it'):
        load_weights(model, {'part.weight': torch.ones(1, 1)})


def test_newest_checkpoint_comes_first_by_number_not_by_name(tmp_path):
    save_run(tmp_path, 2, 10, 9)
    torch.save({}, tmp_path / 'best_change_OA_epoch_2.pth')
    assert [path.name for path in checkpoint_candidates(tmp_path)] == [
        'epoch_10.pth', 'epoch_9.pth', 'epoch_2.pth']


def test_recorded_name_counts_after_the_folder_was_moved(tmp_path):
    save_run(tmp_path, 1, 2)
    (tmp_path / 'last_checkpoint').write_text('/gone/run/epoch_1.pth')
    assert checkpoint_candidates(tmp_path)[0] == tmp_path / 'epoch_1.pth'


@pytest.fixture
def warnings(monkeypatch):
    """What was logged, whatever logger mmengine is writing to in this process."""
    said = []
    monkeypatch.setattr('rscc.engine.checkpoint.print_log', lambda text, *_: said.append(text))
    return said


def test_broken_last_checkpoint_falls_back_to_the_older_one(tmp_path, warnings):
    older, broken = save_run(tmp_path, 1, 2)
    broken.write_bytes(broken.read_bytes()[:100])
    (tmp_path / 'last_checkpoint').write_text(str(broken))
    assert last_good_checkpoint(tmp_path) == older
    assert len(warnings) == 1 and f"skipping broken checkpoint '{broken}'" in warnings[0]


def test_flipped_bit_that_torch_would_load_is_noticed(tmp_path, warnings):
    older, spoilt = save_run(tmp_path, 1, 2)
    data = bytearray(spoilt.read_bytes())
    data[data.index(torch.ones(64).numpy().tobytes()) + 5] ^= 0xff
    spoilt.write_bytes(data)
    assert read_checkpoint(spoilt)['state_dict']['w'].min() == 1
    assert last_good_checkpoint(tmp_path) == older
    assert 'Bad CRC-32' in warnings[0]


def test_checkpoint_without_optimizer_cannot_be_resumed(tmp_path, warnings):
    torch.save({'meta': {}, 'state_dict': {}, 'message_hub': {}}, tmp_path / 'epoch_3.pth')
    assert last_good_checkpoint(tmp_path) is None
    assert 'it lacks optimizer' in warnings[0]


def test_recorded_file_that_was_deleted_is_skipped(tmp_path, warnings):
    kept, = save_run(tmp_path, 4)
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_5.pth'))
    assert last_good_checkpoint(tmp_path) == kept
    assert 'no checkpoint at' in warnings[0]


def damaged_copies(data, count, seed=0):
    """Yield copies with one byte changed: anywhere, and half of them in the zip directory."""
    draw = np.random.default_rng(seed)
    directory = data.index(b'PK\x01\x02')
    for number in range(count):
        damaged = bytearray(data)
        place = int(draw.integers(directory if number % 2 else 0, len(data)))
        damaged[place] = (damaged[place] + int(draw.integers(1, 256))) % 256
        yield bytes(damaged)


def content_of(path):
    found = read_checkpoint(path)
    return found['meta'], found['optimizer'], found['state_dict']['w'].tolist()


def check_damage(folder, count):
    older, newer = save_run(folder, 1, 2)
    whole, data, refused = content_of(newer), newer.read_bytes(), 0
    for damaged in damaged_copies(data, count):
        newer.write_bytes(damaged)
        chosen = last_good_checkpoint(folder)
        assert chosen in (older, newer)
        assert chosen == older or content_of(newer) == whole
        refused += chosen == older
    assert refused > count / 2


def test_whatever_byte_is_damaged_the_older_checkpoint_is_taken_or_nothing_was_lost(
        tmp_path, warnings):
    check_damage(tmp_path, 2000)


@pytest.mark.fuzz
def test_many_damaged_bytes(tmp_path, warnings):
    check_damage(tmp_path, 100_000)


def test_an_entry_under_the_name_of_another_is_noticed(tmp_path, warnings):
    older, newer = save_run(tmp_path, 1, 2, more=torch.zeros(64))
    data = newer.read_bytes()
    directory = data.index(b'PK\x01\x02')
    place = data.index(b'/data/1', directory) + 6
    newer.write_bytes(data[:place] + b'0' + data[place + 1:])
    assert last_good_checkpoint(tmp_path) == older
    assert 'two entries have one name' in warnings[0]


@pytest.mark.parametrize('note', [b'\xff\xfe', b'epoch_1.pth\0', b''])
def test_a_damaged_note_of_the_last_checkpoint_stops_nothing(tmp_path, note):
    save_run(tmp_path, 1, 2)
    (tmp_path / 'last_checkpoint').write_bytes(note)
    assert last_good_checkpoint(tmp_path) == tmp_path / 'epoch_2.pth'
