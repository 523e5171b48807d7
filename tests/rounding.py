"""How far a float32 computation may lie from the exact one, and comparing within that.

A float32 sum has other last bits on every processor. So the tests compute in float64
(``tests/parity/conftest.py``): what remains is the rounding of the recording, made once and the
same everywhere. What is allowed follows from the sizes of the recorded model, never from what one
processor gave.
"""
import contextlib

import torch

# Rounding to the 24 bits of float32 adds or takes away at most this share of a result.
UNIT = 2.0**-24
# Compared are up to 100,000 numbers at once: the largest of as many normal errors is 4.4 standard
# deviations. Layers that take differences make what is off larger, as much as twice: 8 in all.
LARGEST = 8
# A formula without sums rounds after each of its operations, at most 32 of them here. An exponent
# or a power multiplies what is off by up to 16, as exp(t) does with |t| < 16 (sigma from 1e-6 on).
FORMULA = 32 * 16 * UNIT
# Simulated roundings are so many times larger than real ones. A gate that a real one passes is then
# passed by one of the two signs in nine of ten draws, and other gates of the layer in the tenth.
SIMULATED = 8


def deviation(products):
    """Return the standard deviation of a float32 sum of so many products, as a share of its size.

    Each addition is off by anything up to ``UNIT`` of the sum so far to either side, in root mean
    square by ``UNIT`` / sqrt(3). Over n of them, while the sum grows as sqrt(n), that makes
    sqrt(n / 6).
    """
    return UNIT * (max(products, 1) / 6)**0.5


def rounding(products):
    """Return how far float32 may be off after so many products in a row, as a share of the largest.

    Sums in a row add up their errors as one sum does, so that all their products count together.
    The share is of the largest value of an array, because what is rounded are the terms of a sum,
    which may be much larger than the sum itself.
    """
    return LARGEST * deviation(products)


def products_of(state):
    """Count the products that make one answer of a model: row lengths of its matrices, added up."""
    return sum(map(products_of_row, state.values()))


def products_of_row(matrix):
    """Count the products of one row; nothing is summed over a vector or over whole numbers."""
    return matrix[0].numel() if matrix.ndim > 1 and matrix.is_floating_point() else 0


def assert_within(ours, expected, share, name='', more=0.0):
    """Compare two tensors, allowing a share of the largest value, and ``more``, everywhere."""
    torch.testing.assert_close(
        ours.detach().double(), expected.double(), rtol=0,
        atol=share * float(expected.abs().max()) + more, msg=lambda text: f'{name}: {text}')


class Rounding:
    """Simulated float32 rounding of results, ``SIMULATED`` times larger than real.

    The same draws come again in a second run: with the other ``sign`` everything is off to the
    other side.
    """

    def __init__(self, sign):
        self.sign = sign
        self.draws = torch.Generator().manual_seed(0)

    def __call__(self, result, products):
        """Return a result that comes from sums of ``products`` with its simulated rounding."""
        size = SIMULATED * deviation(products) * result.detach().square().mean().sqrt()
        return result + self.sign * size * torch.randn(result.shape, generator=self.draws)

    @contextlib.contextmanager
    def of(self, model):
        """Round what every module of a model returns that computes by itself."""
        def shift(module, _inputs, output):
            if not isinstance(output, torch.Tensor) or not output.is_floating_point():
                return None
            rows = [products_of_row(value) for value in module.parameters(recurse=False)]
            return self(output, max(rows, default=0))

        handles = [module.register_forward_hook(shift) for module in model.modules()
                   if not any(True for _ in module.children()) or module._parameters]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def moves_of(compute):
    """Return how far simulated rounding moves each tensor of ``compute(rounding)``, as norms.

    No share bounds what jumps: a gradient where rounding opens or shuts the gate of a ReLU or makes
    another value the largest of a pool, a trajectory between two centres. Both signs are tried,
    because what lies just beside such a place passes it in only one of them.

    Args:
        compute: Function of a ``Rounding``, or of None, that returns tensors by name.

    Returns:
        What it computed without rounding, and twice the larger move of each tensor, as a 2-norm.
    """
    exact = compute(None)
    moved = [compute(Rounding(sign)) for sign in (1, -1)]
    return exact, {name: 2 * max(float((other[name] - value).norm()) for other in moved)
                   for name, value in exact.items()}


def gradients_and_errors(model, loss, leaves=None):
    """Return the gradients of ``loss()`` and how far float32 may put each, as a 2-norm, by name.

    A gradient whose terms cancel is off by a share of those: of the largest of its module.

    Args:
        model: Module in float64, in evaluation mode.
        loss: Function without arguments that returns a scalar.
        leaves: Tensors by name besides the parameters that are trained.
    """
    leaves = {**dict(model.named_parameters()), **(leaves or {})}
    leaves = {name: value for name, value in leaves.items() if value.requires_grad}

    def compute(rounded):
        with contextlib.nullcontext() if rounded is None else rounded.of(model):
            value = loss()
        return dict(zip(leaves, torch.autograd.grad(value, list(leaves.values())), strict=True))

    gradients, moves = moves_of(compute)
    largest = {}
    for name, value in gradients.items():
        module = name.rpartition('.')[0]
        largest[module] = max(largest.get(module, 0.0), float(value.norm()))
    # Forth, back, and from there to the weights.
    share = rounding(3 * products_of(model.state_dict()))
    return gradients, {name: share * largest[name.rpartition('.')[0]] + move
                       for name, move in moves.items()}
