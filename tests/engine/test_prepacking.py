"""Weights laid out once for few rows: the same answers, never an outdated weight."""
import copy
import io

import pytest
import torch
from testers import batch
from tiny_models import BILINGUAL, BLIP, GPT, JOINT, LSTM
from torch import nn
from torch.nn import functional

from rscc.compat import prepare_torchvision
from rscc.engine import prepacking
from rscc.engine.prepacking import prepack_linear, prepare_weights
from rscc.registry import MODELS

pytestmark = pytest.mark.skipif(not prepacking._available(), reason='no oneDNN product for x86')


@pytest.fixture(autouse=True)
def of_any_size(monkeypatch):
    monkeypatch.setattr(prepacking, 'LEAST_ELEMENTS', 1)


class Captioner(nn.Module):
    """A model whose caption head is one layer."""

    def __init__(self, layer=None):
        super().__init__()
        torch.manual_seed(0)
        self.caption_head = layer or nn.Linear(32, 48)


@pytest.fixture
def layer():
    model = Captioner()
    assert prepack_linear(model) == 1
    return model.caption_head


ROWS = torch.randn(3, 1, 32, generator=torch.Generator().manual_seed(1))


def product(layer, rows=ROWS):
    with torch.inference_mode():
        return layer(rows)


def close(found, layer, rows=ROWS):
    expected = functional.linear(rows, layer.weight, layer.bias).detach()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_few_rows_are_multiplied_by_the_layout(layer):
    close(product(layer), layer)
    assert layer._layout is not None
    assert isinstance(layer, nn.Linear) and type(layer).__name__ == 'Linear'


def test_gpt2_s_linear_layer_counts_as_one():
    from transformers.pytorch_utils import Conv1D
    model = Captioner(Conv1D(48, 32))
    prepack_linear(model)
    layer = model.caption_head
    found = product(layer)
    assert layer._layout is not None
    torch.testing.assert_close(found, (ROWS @ layer.weight + layer.bias).detach(),
                               rtol=1e-5, atol=1e-5)


def double_in_place(layer):
    with torch.no_grad():
        layer.weight.mul_(2)


def load_others(layer):
    layer.load_state_dict(Captioner(nn.Linear(32, 48).double()).caption_head.state_dict())


def replace_data(layer):
    layer.weight.data = layer.weight.data * 3


def assign_others(layer):
    layer.load_state_dict(Captioner(nn.Linear(32, 48)).caption_head.state_dict(), assign=True)


def new_parameter(layer):
    layer.weight = None  # its memory is free, and the next tensor may get its address
    layer.weight = nn.Parameter(torch.randn(48, 32))


def there_and_back(layer):
    layer.bfloat16().float()


@pytest.mark.parametrize('change', [double_in_place, load_others, replace_data, assign_others,
                                    new_parameter, there_and_back])
def test_a_weight_that_changed_is_laid_out_anew(layer, change):
    for _ in range(4):
        before = product(layer)
        torch.manual_seed(int(before.abs().sum() * 1e3))
        change(layer)
        close(product(layer), layer)


def test_a_weight_of_inference_mode_which_tells_no_changes_is_not_laid_out(layer):
    with torch.inference_mode():
        layer.weight = nn.Parameter(torch.randn(48, 32), requires_grad=False)
        layer(ROWS)
        layer.weight.mul_(2)
        close(layer(ROWS), layer)
    assert layer._layout is None


@pytest.mark.parametrize('kind', ['Linear', 'Conv1D'])
def test_adapters_are_computed_too(kind):
    prepare_torchvision()
    import peft
    from transformers.pytorch_utils import Conv1D
    torch.manual_seed(0)
    base = nn.Linear(32, 48) if kind == 'Linear' else Conv1D(48, 32)
    model = Captioner(nn.Sequential(base))
    peft.inject_adapter_in_model(peft.LoraConfig(
        r=4, target_modules=['0'], init_lora_weights=False, fan_in_fan_out=kind == 'Conv1D'), model)
    expected = product(model.caption_head)
    assert not torch.allclose(expected, product(base), atol=1e-3)
    assert prepack_linear(model) > 0
    torch.testing.assert_close(product(model.caption_head), expected, rtol=1e-5, atol=1e-5)


def test_other_calls_and_wrong_widths_are_as_ever(layer):
    with torch.no_grad():
        assert torch.equal(layer(input=ROWS), functional.linear(ROWS, layer.weight, layer.bias))
        for width in (0, 31):
            with pytest.raises(RuntimeError, match='shapes cannot be multiplied'):
                layer(torch.ones(3, width))


@pytest.mark.parametrize('rows', [ROWS[:1], torch.ones(49, 32), torch.ones(0, 32)])
def test_one_row_and_many_are_multiplied_as_ever(layer, rows):
    assert torch.equal(product(layer, rows), functional.linear(rows, layer.weight, layer.bias))
    assert layer._layout is None


def reduced(layer, rows=ROWS, dtype=torch.bfloat16):
    with torch.no_grad(), torch.autocast('cpu', dtype=dtype):
        return layer(rows)


def plain_layer(kind):
    from transformers.pytorch_utils import Conv1D
    torch.manual_seed(0)
    return nn.Linear(32, 48) if kind == 'Linear' else Conv1D(48, 32)


in_bfloat16 = pytest.mark.skipif(
    not (prepacking._available() and prepacking._multiplies_bfloat16()),
    reason='oneDNN lays out no bfloat16 on this CPU')


def test_without_bfloat16_in_the_processor_autocast_is_as_ever(layer, monkeypatch):
    monkeypatch.setattr(prepacking, '_multiplies_bfloat16', lambda: False)
    rows = torch.randn(4, 32)
    assert torch.equal(reduced(layer, rows), reduced(plain_copy(layer), rows))
    assert layer._layout is None
    assert prepack_linear(Captioner(), reduced=True) == 0
    close(product(layer), layer)


def plain_copy(layer):
    twin = copy.deepcopy(layer)
    assert type(twin) is nn.Linear
    return twin


@in_bfloat16
@pytest.mark.parametrize('kind', ['Linear', 'Conv1D'])
@pytest.mark.parametrize('cast', [True, False])
@pytest.mark.parametrize('shape', [(1, ), (3, 1), (2, 150)])
def test_any_number_of_rows_is_multiplied_in_bfloat16(kind, cast, shape):
    rows = torch.randn(*shape, 32)
    model = nn.Sequential(plain_layer(kind))  # no caption head: encoders answer so as well
    expected = reduced(model, rows)
    prepare_weights(model, torch.bfloat16) if cast else prepack_linear(model, reduced=True)
    found = reduced(model, rows)
    assert found.dtype is torch.bfloat16 and found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)
    assert model[0]._layout[2].dtype is torch.bfloat16
    torch.testing.assert_close(reduced(model, rows.bfloat16()), found, rtol=2e-2, atol=2e-2)


@in_bfloat16
def test_a_layout_is_of_the_precision_of_the_call(layer):
    for _ in range(2):
        close(product(layer), layer)
        torch.testing.assert_close(reduced(layer).float(), product(layer), rtol=2e-2, atol=2e-2)
    double_in_place(layer)
    torch.testing.assert_close(reduced(layer).float(), product(layer), rtol=2e-2, atol=2e-2)


@in_bfloat16
def test_a_frozen_table_of_words_is_cast_once(layer):
    table = nn.Embedding(48, 32)
    layer.weight = table.weight.requires_grad_(False)  # scores words: cast_weights leaves it
    model = nn.ModuleDict(dict(words=table, caption_head=layer))
    prepare_weights(model, torch.bfloat16)
    assert layer.weight.dtype is torch.float32
    reduced(layer)
    layout = layer._layout[2]
    reduced(layer)
    assert layer._layout[2] is layout


@in_bfloat16
def test_preparing_twice_changes_nothing():
    model = nn.Sequential(plain_layer('Linear'), plain_layer('Conv1D'))
    for _ in range(2):
        assert prepack_linear(model, reduced=True) == 2
    assert [type(layer).__name__ for layer in model] == ['Linear', 'Conv1D']


def test_training_float16_and_switched_off_onednn_are_as_ever(layer, monkeypatch):
    layer(ROWS).sum().backward()
    assert layer.weight.grad is not None
    with torch.autocast('cpu', dtype=torch.bfloat16):
        layer(ROWS).sum().backward()
    assert reduced(layer, dtype=torch.float16).dtype is torch.float16
    monkeypatch.setattr(torch.backends.mkldnn, 'enabled', False)
    assert torch.equal(product(layer), functional.linear(ROWS, layer.weight, layer.bias))
    assert layer._layout is None


def test_exports_hold_the_plain_product(layer):
    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, rows):
            return self.layer(rows)

    with torch.no_grad():
        exported = torch.export.export(Whole(), (ROWS, ))
        traced = torch.jit.trace(Whole(), ROWS)
    assert 'mkldnn' not in str(exported.graph) + str(traced.inlined_graph)
    close(traced(ROWS).detach(), layer)


def test_copies_and_checkpoints_know_nothing_of_it(layer):
    product(layer)
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    for twin in (copy.deepcopy(layer), torch.load(file, weights_only=False)):
        assert type(twin) is nn.Linear and '_layout' not in vars(twin)
        double_in_place(twin)
        close(product(twin), twin)
    close(product(layer), layer)
    assert list(layer.state_dict()) == ['weight', 'bias']


def test_large_heads_small_weights_and_other_models_are_left_alone(monkeypatch):
    assert prepack_linear(nn.Linear(32, 48)) == 0
    monkeypatch.setattr(prepacking, 'LEAST_ELEMENTS', 32 * 48 + 1)
    assert prepack_linear(Captioner()) == 0
    monkeypatch.setattr(prepacking, 'LEAST_ELEMENTS', 1)
    monkeypatch.setattr(prepacking, 'MOST_BYTES', 4 * 32 * 48 - 1)
    assert prepack_linear(Captioner()) == 0
    monkeypatch.setattr(prepacking, '_multiplies_bfloat16', lambda: True)
    assert prepack_linear(Captioner(), reduced=True) == 1  # two bytes a weight
    monkeypatch.setattr(prepacking, 'MOST_BYTES', 2 * 32 * 48 - 1)
    assert prepack_linear(Captioner(), reduced=True) == 0


def test_weights_in_bfloat16_do_not_count_where_the_model_answers_in_float32(monkeypatch):
    model = Captioner(nn.Sequential(nn.Linear(32, 48), nn.Linear(48, 640).bfloat16()))
    monkeypatch.setattr(prepacking, 'MOST_BYTES', 4 * 32 * 48)
    assert prepack_linear(model) == 1


KINDS = {'BLIP': BLIP, 'two languages': BILINGUAL, 'GPT-2': GPT, 'LSTM': LSTM}


@pytest.mark.parametrize('kind', KINDS)
def test_every_kind_of_search_writes_the_same(kind):
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy(dict(JOINT, caption_head=KINDS[kind]))).eval()
    head = model.caption_head
    head.decoding = head.decoding.updated(dict(num_beams=3))
    twin = copy.deepcopy(model)
    prepack_linear(twin)
    with torch.inference_mode():
        plain, packed = model.test_step(batch(2)), twin.test_step(batch(2))
    for one, other in zip(plain, packed, strict=True):
        assert one.pred_caption == other.pred_caption
        assert one.pred_caption_score == pytest.approx(other.pred_caption_score, abs=1e-4)
    kept = [layer for layer in twin.caption_head.modules()
            if getattr(layer, '_layout', None) is not None]
    assert kept or kind == 'LSTM'
