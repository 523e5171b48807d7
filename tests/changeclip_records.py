"""What the original ChangeCLIP code computed, for tests that compare with it."""
import functools
import json
from types import SimpleNamespace

import torch
from recordings import assert_recorded, recorded_names, recording, tensors
from rounding import products_of, rounding

# For what a test computes in float32 as well: 10,000 products in a row are more than a tower has.
EXACT = dict(atol=rounding(10_000), rtol=rounding(10_000))
IMAGENET = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
# Options that make the project's model as small as the recorded ones.
TINY = {
    'rn50_tiny': ['model.encoder.width=8', 'model.encoder.layers=(1,1,1,1)',
                  'model.fusion.in_channels=(32,64,128,256)'],
    'vit_tiny': ['model.encoder.width=32', 'model.encoder.layers=4', 'model.encoder.heads=4',
                 'model.encoder.out_indices=(0,1,2,3)', 'model.fusion.in_channels=(32,32,32,32)']}
SHARED = ['model.encoder.output_dim=32', 'model.encoder.input_resolution=64',
          'model.fusion.text_channels=32', 'model.change_head.text_channels=32',
          'model.fusion.context_decoder.width=32', 'model.fusion.context_decoder.heads=4',
          'model.fusion.context_decoder.layers=2',
          *(f'model.fusion.prompt_encoder.text_encoder.{name}={value}' for name, value in
            dict(width=32, heads=4, layers=2, embed_dim=32).items())]


def records(name):
    """Return a path among the records; the test is skipped where they are absent."""
    return recording(f'changeclip/{name}')


@functools.cache
def recorded_model(name):
    """Return a tiny model: ``config`` in the original's words, its ``weights``, its ``arrays``."""
    folder = records(name)
    return SimpleNamespace(
        config=json.loads((folder / 'config.json').read_text())['model'],
        weights=tensors(folder / 'weights.npz'), arrays=tensors(folder / 'io.npz'))


def below(weights, prefix):
    """Return the entries whose names start with ``prefix``, which is taken off."""
    return {name.removeprefix(prefix): value for name, value in weights.items()
            if name.startswith(prefix)}


def as_encoder(weights):
    """Return a backbone's entries under the names of our encoders."""
    renamed = {}
    for name, value in below(weights, 'backbone.').items():
        level, _, rest = name.partition('.')
        renamed[f'pyramid.{int(level[3:]) - 1}.{rest}' if level.startswith('fpn')
                else f'visual.{name}'] = value
    return renamed


def full_size(name):
    """Return name -> shape of a full-size original model."""
    return {key: tuple(shape) for key, shape in json.loads(records(name).read_text()).items()}


def shapes(module):
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def assert_backbone_is_reproduced(encoder, record):
    """Compare every output for both dates, which go in together; ``encoder`` becomes float64."""
    arrays, share = record.arrays, rounding(products_of(encoder.state_dict()))
    mean, std = (torch.tensor(IMAGENET[name], dtype=torch.float64).view(3, 1, 1)
                 for name in ('mean', 'std'))
    with torch.no_grad():
        features = encoder.double().eval()(
            (arrays['inputs_raw'].double().unflatten(1, (2, 3)) / 255 - mean) / std)
    for index, date in enumerate('AB'):
        prefix = f'backbone_{date}_'
        levels = {name for name in recorded_names(below(arrays, prefix)) if name.isdigit()}
        assert levels == set(map(str, range(len(features.maps))))
        for level, ours in enumerate(features.maps):
            assert_recorded(ours[:, index], arrays, f'{prefix}{level}', share)
        assert_recorded(features.pooled[:, index], arrays, f'{prefix}global', share)
        dense = features.tokens[:, index].transpose(1, 2).unflatten(2, features.token_grid)
        assert_recorded(dense, arrays, f'{prefix}local', share)
