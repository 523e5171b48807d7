"""What the original ChangeCLIP code computed, for tests that compare with it."""
import functools
import json
from types import SimpleNamespace

import torch
from recordings import recording, tensors

EXACT = dict(atol=1e-4, rtol=1e-4)


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
    """Compare every output for both dates, which go in together."""
    arrays = record.arrays
    with torch.no_grad():
        features = encoder.eval()(arrays['inputs'].unflatten(1, (2, 3)))
    for index, date in enumerate('AB'):
        prefix = f'backbone_{date}_'
        levels = {name: value for name, value in below(arrays, prefix).items() if name.isdigit()}
        assert len(levels) == len(features.maps)
        for level, expected in levels.items():
            torch.testing.assert_close(features.maps[int(level)][:, index], expected, **EXACT)
        torch.testing.assert_close(features.pooled[:, index], arrays[f'{prefix}global'], **EXACT)
        dense = features.tokens[:, index].transpose(1, 2).unflatten(2, features.token_grid)
        torch.testing.assert_close(dense, arrays[f'{prefix}local'], **EXACT)
