import numpy as np
import pytest
from models.diffusion.gaussian import sample

from rscc.models.diffusion.samplers.lms import adams_weights


@pytest.mark.parametrize(('order', 'weights'), [
    (1, [1]), (2, [-1 / 2, 3 / 2]), (3, [5 / 12, -16 / 12, 23 / 12]),
    (4, [-9 / 24, 37 / 24, -59 / 24, 55 / 24])])
def test_even_steps_have_the_weights_of_adams_and_bashforth(order, weights):
    assert adams_weights(list(range(order)), order) == pytest.approx(weights)


def test_weights_integrate_every_polynomial_of_their_degree():
    nodes, end = [9.0, 4.0, 1.5, 1.0], 0.2
    polynomial = np.polynomial.Polynomial([0.3, -1.0, 2.0, 0.7])
    integral = polynomial.integ()
    total = sum(weight * polynomial(node)
                for weight, node in zip(adams_weights(nodes, end), nodes, strict=True))
    assert total == pytest.approx(integral(end) - integral(nodes[-1]))


def test_order_below_one_is_an_error():
    with pytest.raises(ValueError, match='order=0: a multistep method needs at least 1 slope'):
        sample(dict(type='lms', order=0))
