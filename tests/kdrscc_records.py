"""A KD-RSCC model in miniature, under the names that the original gives its tensors."""
import torch

WIDTHS = 4  # of the first stage of the ResNet-18 that stands for ResNet-101


def linear(name, leaving, entering, bias=True):
    state = {f'{name}.weight': torch.randn(leaving, entering) / entering**0.5}
    return state | ({f'{name}.bias': torch.randn(leaving) / 10} if bias else {})


def norm(name, width):
    return {f'{name}.weight': torch.rand(width) + 0.5, f'{name}.bias': torch.randn(width) / 10}


def batch_norm(name, width):
    return norm(name, width) | {f'{name}.running_mean': torch.randn(width) / 10,
                                f'{name}.running_var': torch.rand(width) + 0.5,
                                f'{name}.num_batches_tracked': torch.tensor(3)}


def resnet():
    """Three stages of a narrow ResNet-18 as ``img_embedding.net``."""
    state = {'0.weight': torch.randn(WIDTHS, 3, 7, 7) / 12} | batch_norm('1', WIDTHS)
    entering = WIDTHS
    for stage in (4, 5, 6):
        width = WIDTHS * 2**(stage - 4)
        for block in (0, 1):
            for number, channels in ((1, entering), (2, width)):
                state[f'{stage}.{block}.conv{number}.weight'] = (
                    torch.randn(width, channels, 3, 3) / (9 * channels)**0.5)
                state |= batch_norm(f'{stage}.{block}.bn{number}', width)
            if entering != width:
                state[f'{stage}.{block}.downsample.0.weight'] = torch.randn(width, entering, 1, 1)
                state |= batch_norm(f'{stage}.{block}.downsample.1', width)
            entering = width
    return {f'img_embedding.net.{name}': value for name, value in state.items()}


def kd_rscc(vocab_size, hidden=16, channels=4, layers=2, positions=12, seed=0):
    """Return the state dict of a model whose image features are ``4 * WIDTHS`` wide."""
    torch.manual_seed(seed)
    state = {'word_embedding.weight': torch.randn(vocab_size, channels),
             'lm_head.bias': torch.randn(vocab_size) / 10,
             'position_ids': torch.arange(positions)[None],
             'position_embeddings.weight': torch.randn(positions, hidden) / 4,
             'time_emb.weight': torch.randn(hidden // 2, 1)}
    state['lm_head.weight'] = state['word_embedding.weight']
    state |= linear('time_in_proj', hidden, hidden, bias=False)
    state |= linear('input_up_proj.0', hidden, channels) | linear('input_up_proj.2', hidden, hidden)
    state |= linear('output_down_proj.0', hidden, hidden)
    state |= linear('output_down_proj.2', channels, hidden)
    for name, entering in (('wq', hidden), ('wk', 4 * WIDTHS), ('wv', 4 * WIDTHS)):
        state |= linear(f'attention.{name}', 24, entering)
    state |= linear('attention.reversion', hidden, 24)
    state |= linear('attention.feedforward.0', 5, hidden)
    state |= linear('attention.feedforward.2', hidden, 5)
    state |= norm('attention.norm2', hidden) | norm('LayerNorm', hidden)
    for layer in range(layers):
        inside = {}
        for part in ('query', 'key', 'value'):
            inside |= linear(f'attention.self.{part}', hidden, hidden)
        inside |= linear('attention.output.dense', hidden, hidden)
        inside |= norm('attention.output.LayerNorm', hidden) | norm('output.LayerNorm', hidden)
        inside |= linear('intermediate.dense', 32, hidden) | linear('output.dense', hidden, 32)
        state |= {f'input_transformers.layer.{layer}.{name}': value
                  for name, value in inside.items()}
    return state | resnet()
