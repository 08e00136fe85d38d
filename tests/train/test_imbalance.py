"""Classes of unequal size: the weights, and what they are worth on two rare digits."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.datasets import load_digits
from sklearn.utils.class_weight import compute_class_weight

import train
from train.config import Config
from train.methods.imbalance import balanced_weights, class_weighted, focal
from train.run_task import run_task
from zoo.errors import UsageError

RARE = (8, 9)


def test_balanced_weights_are_those_of_scikit_learn():
    labels = np.random.default_rng(0).integers(0, 5, 100) ** 2 // 4
    present = np.unique(labels)
    expected = compute_class_weight("balanced", classes=present, y=labels)
    found = balanced_weights(labels, 6)
    np.testing.assert_allclose(found[present], expected, rtol=1e-6)
    assert found[5] == 1


def test_a_weighted_loss_is_its_formula_for_indices_and_distributions():
    logits, labels = jnp.array([[1.0, 0.0], [0.5, 2.0], [0.0, 0.0]]), jnp.array([0, 1, 1])
    plain = train.softmax_cross_entropy(logits, labels)
    weighted = class_weighted(train.softmax_cross_entropy, np.array([2.0, 0.5], np.float32))
    np.testing.assert_allclose(weighted(logits, labels), plain * jnp.array([2, 0.5, 0.5]))
    whole = weighted(logits, jnp.eye(2)[labels])
    np.testing.assert_allclose(whole, weighted(logits, labels), rtol=1e-5)
    likely = jnp.exp(-plain)
    modulated = focal(train.softmax_cross_entropy, gamma=3.0)(logits, labels)
    np.testing.assert_allclose(modulated, (1 - likely) ** 3 * plain, rtol=1e-5)
    with pytest.raises(UsageError, match="`gamma` must be at least 0"):
        focal(train.softmax_cross_entropy, gamma=-1.0)


class Layers64(nn.Module):
    """A network of one's own: 64 pixels, 64 units, 10 classes."""

    @nn.compact
    def __call__(self, images, *, train):
        del train
        x = jax.lax.collapse(images, 1)
        return nn.Dense(10, name="head")(nn.relu(nn.Dense(64, name="hidden")(x)))


def digits_with_rare_ones():
    """Training digits with ten images of each rare class, and test digits."""
    pixels, labels = load_digits(return_X_y=True)
    pixels = (pixels / 16).reshape(-1, 8, 8, 1).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(labels))
    test, rest = order[:500], order[500:]
    few = [rest[labels[rest] == k][: 10 if k in RARE else None] for k in range(10)]
    chosen = np.concatenate(few)
    return (pixels[chosen], labels[chosen]), (pixels[test], labels[test])


def predictions(loss, seed, data, images):
    model, (pixels, labels) = Layers64(), data
    variables = model.init(jax.random.key(seed), pixels[:1], train=False)
    optimizer = optax.sgd(0.1, momentum=0.9)
    state = train.create_state(variables, optimizer, key=jax.random.key(seed))
    step = jax.jit(train.make_train_step(model, optimizer, objective=train.supervised(loss=loss)))
    draw = np.random.default_rng(seed)
    for _ in range(100):
        chosen = draw.integers(0, len(labels), 64)
        batch = {"input": jnp.asarray(pixels[chosen]), "label": jnp.asarray(labels[chosen])}
        state, _ = step(state, batch, state.key)
    return np.asarray(model.apply(train.published(state), images, train=False).argmax(axis=-1))


def test_balancing_finds_rare_digits():
    """Mean recall of two digits with ten images each, over three seeds, and all digits' accuracy.

    The rare ones gain more than 15 points, and the others do not pay for it.
    """
    data, (images, labels) = digits_with_rare_ones()
    weights = balanced_weights(data[1], 10)
    plain = train.softmax_cross_entropy
    gains = []
    for seed in range(3):
        figures = []
        for loss in (plain, class_weighted(plain, weights)):
            right = predictions(loss, seed, data, images) == labels
            figures.append((np.mean([right[labels == k].mean() for k in RARE]), right.mean()))
        gains.append(np.subtract(figures[1], figures[0]))
    recall, accuracy = np.mean(gains, axis=0)
    assert recall >= 0.15
    assert accuracy >= 0


def test_a_run_weighs_its_classes():
    data = train.load_dataset("zoo_digits")
    weighted = run_task(Config(class_weights="balanced"), data).loss
    logits, labels = jnp.zeros((10, 10)), jnp.arange(10)
    expected = np.log(10) * balanced_weights([data[i]["label"] for i in range(len(data))], 10)
    np.testing.assert_allclose(weighted(logits, labels), expected, rtol=1e-5)
