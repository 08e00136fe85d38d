"""Attacks: what they reach on networks for which the worst input is known, and what they keep."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zoo import attack
from zoo.errors import UsageError

RANDOM = np.random.default_rng(0)
WEIGHTS = jnp.asarray(RANDOM.normal(size=6), jnp.float32)
INPUTS = jnp.asarray(RANDOM.uniform(0.3, 0.7, size=(5, 2, 3)), jnp.float32)
BOX = {"low": 0.0, "high": 1.0}


def linear(x):
    return x.reshape(len(x), -1) @ WEIGHTS


def scores(x):
    flat = x.reshape(len(x), -1)
    return jnp.stack([flat @ WEIGHTS, 5 - flat @ WEIGHTS, flat[:, 0] - 9], axis=-1)


def test_one_step_goes_along_the_signs():
    signs = np.sign(np.asarray(WEIGHTS)).reshape(1, 2, 3)
    found = attack.fgsm(linear, INPUTS, eps=0.1)
    np.testing.assert_allclose(found, INPUTS + 0.1 * signs, rtol=1e-6)
    cut = attack.fgsm(linear, INPUTS, eps=np.float32([0.9, 0, 0.1]), **BOX)
    expected = np.clip(np.asarray(INPUTS) + np.float32([0.9, 0, 0.1]) * signs, 0, 1)
    np.testing.assert_allclose(cut, expected, rtol=1e-6)


def test_the_least_likely_class_becomes_likelier():
    found = attack.least_likely(scores, INPUTS, eps=0.05, **BOX)
    before, after = (jax.nn.log_softmax(scores(x))[:, 2] for x in (INPUTS, found))
    assert (after > before).all()
    assert np.abs(found - INPUTS).max() <= 0.05 + 1e-6


@pytest.mark.parametrize("key", [None, jax.random.key(0)])
def test_in_the_euclidean_norm_a_linear_network_is_moved_along_its_weights(key):
    found = attack.pgd_l2(linear, INPUTS, key, eps=0.2, step=0.1, steps=20)
    direction = np.asarray(WEIGHTS / jnp.linalg.norm(WEIGHTS)).reshape(1, 2, 3)
    np.testing.assert_allclose(found, INPUTS + 0.2 * direction, atol=2e-3)
    valid = np.asarray(attack.pgd_l2(linear, INPUTS, key, eps=3.0, step=1.0, steps=5, **BOX))
    assert valid.min() >= 0
    assert valid.max() <= 1
    distance = np.sqrt(np.square(valid - INPUTS).sum((1, 2)))
    assert (distance <= 3 + 1e-5).all()
    assert (linear(jnp.asarray(valid)) >= linear(found)).all()


def test_each_example_may_have_its_own_distance():
    eps = np.linspace(0, 0.4, 5, dtype=np.float32).reshape(5, 1, 1)
    found = attack.pgd_l2(linear, INPUTS, eps=eps, step=0.2, steps=5)
    distance = np.sqrt(np.square(np.asarray(found - INPUTS)).sum((1, 2)))
    np.testing.assert_allclose(distance, eps.ravel(), atol=1e-5)


def test_queries_alone_give_the_gradient_of_a_quadratic():
    matrix = jnp.asarray(RANDOM.normal(size=(6, 6)), jnp.float32)
    square = lambda x: jax.vmap(lambda v: v @ matrix @ v)(x.reshape(len(x), -1))  # noqa: E731
    hidden = lambda x: jax.lax.stop_gradient(square(x))  # noqa: E731
    exact = jax.grad(lambda x: square(x).sum())(INPUTS)
    assert not np.asarray(jax.grad(lambda x: hidden(x).sum())(INPUTS)).any()
    size = np.abs(exact).max()
    estimate = jax.grad(lambda x: attack.queried(hidden)(x).sum())(INPUTS)
    np.testing.assert_allclose(estimate, exact, atol=0.01 * size)
    asked = attack.queried(hidden, jax.random.key(0), directions=20_000)
    np.testing.assert_allclose(jax.grad(lambda x: asked(x).sum())(INPUTS), exact, atol=0.1 * size)
    np.testing.assert_array_equal(asked(INPUTS), hidden(INPUTS))


def test_attacks_without_gradients_get_as_far():
    blind = attack.queried(lambda x: jax.lax.stop_gradient(linear(x)))
    options = {"eps": 0.1, "step": 0.05, "steps": 4}
    found = attack.pgd(blind, INPUTS, **options)
    np.testing.assert_allclose(found, attack.pgd(linear, INPUTS, **options), rtol=1e-5)


def test_requests_that_attack_nothing_are_refused():
    with pytest.raises(UsageError, match="`steps` must be at least 1, got 0"):
        attack.pgd_l2(linear, INPUTS, eps=0.1, step=0.1, steps=0)
    with pytest.raises(UsageError, match="`directions` must be at least 1"):
        attack.queried(linear, directions=3)
    with pytest.raises(UsageError, match="`mu` must be positive"):
        attack.queried(linear, mu=0.0)
