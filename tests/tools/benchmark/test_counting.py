"""Operations, encoder calls and texts are counted where they happen."""
import pytest
import torch
from torch import nn

from tools.benchmark.benchmarked_model import load_model
from tools.benchmark.counting import CallCount, gflop
from tools.benchmark.steps import variant


@pytest.fixture
def tiny(light):
    return load_model(light, random_weights=True, size=32)


def test_operations_of_attention_and_linear_layers_are_counted(tiny):
    once = gflop(tiny)
    assert once > 0
    assert gflop(tiny, batch_size=2) == pytest.approx(once, rel=0.2)  # per sample
    four_times_the_pixels = load_model(tiny.cfg.filename, random_weights=True, size=64)
    assert 1.5 < gflop(four_times_the_pixels) / once < 4.5


def test_attention_counts_like_its_matrix_products(blip, narrow):
    found = load_model(blip, random_weights=True, size=32, cfg_options=narrow)
    blocks = found.network.encoder.vision_model.encoder.layers
    full, tokens, width = gflop(found), 5, 48
    for block in list(blocks)[1:]:
        blocks.remove(block) if hasattr(blocks, 'remove') else blocks.__delitem__(1)
    found.network.encoder.vision_model.config.num_hidden_layers = 1
    layer = 4 * tokens * width**2 + 2 * tokens**2 * width + 2 * tokens * width * 64
    assert (full - gflop(found)) * 1e9 == pytest.approx(2 * 2 * layer)  # multiply-add, two dates


def test_texts_are_counted_whether_or_not_they_are_remembered(detector):
    found = load_model(detector, random_weights=True)
    once = gflop(found)
    assert gflop(found) == once  # nothing came from the first count's cache
    plain, texts, full = variant(found, plain_text=True), 4, 77
    encoder = found.prompt_encoder.text_encoder
    width, layers = encoder.width, len(encoder.transformer.resblocks)

    def operations(count, length):  # of matrix products: projections, MLP, attention, read-out
        block = 12 * length * width**2 + 2 * length**2 * width
        return 2 * count * (layers * block + width * encoder.embed_dim)

    count = CallCount()
    found.prompt_encoder.clear_cache()
    with count.watch(encoder.transformer), torch.no_grad():
        found.network.eval().test_step(found.batch())
    number, positions = map(int, count.texts.split(' x '))
    assert number == 3  # the background is that of both dates
    more = operations(texts, full) - operations(number, positions)
    assert (gflop(plain) - once) * 1e9 == pytest.approx(more, rel=1e-3)


def test_attention_in_a_fused_kernel_is_counted_all_the_same(tiny, monkeypatch):
    """PyTorch's attention layer takes a kernel in evaluation that the counter does not know."""
    layer = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    tokens = torch.zeros(1, 5, 8)
    monkeypatch.setattr(tiny.network, 'forward', lambda **_: layer(tokens, tokens, tokens))
    assert gflop(tiny) * 1e9 == 2 * (4 * 5 * 8**2 + 2 * 5**2 * 8)
    assert torch.backends.mha.get_fastpath_enabled()


def test_frames_of_all_calls_add_up():
    encoder, count = nn.Identity(), CallCount()
    with count.watch(encoder):
        encoder(torch.zeros(3, 2, 1))
        encoder(torch.zeros(1, 2, 1))
    encoder(torch.zeros(1, 2, 1))
    assert (count.calls, count.frames) == (2, 8)


def test_texts_are_added_up_and_no_texts_are_zero():
    count = CallCount()
    assert count.texts == '0'
    encoder = nn.Identity()
    with count.watch(encoder):
        encoder(torch.zeros(3, 77, 1))
        encoder(torch.zeros(1, 5, 1))
    assert count.texts == '4 x 77'


def test_learned_queries_are_counted_and_go_on_learning(light):
    resampler = dict(type='QueryResampler', channels=128, num_queries=4, _delete_=True,
                     fusion=dict(type='DifferenceFusion', channels=128))
    model = load_model(light, size=64, random_weights=True, cfg_options={'model.fusion': resampler})
    assert gflop(model) > 0
    assert all(weight.requires_grad for weight in model.network.parameters())
