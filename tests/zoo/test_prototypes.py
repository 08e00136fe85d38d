"""Prototypes: distances as written, pictures of them, and the loss that makes them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import checkpoints
import train
import zoo
from train.methods.prototypes import prototypes
from zoo.errors import UsageError
from zoo.prototypenet import PrototypeNet

SMALL = PrototypeNet(image_size=(7, 5), widths=(4, 3), prototypes=6, num_classes=2)


@pytest.fixture
def variables(key):
    return SMALL.init(key, jnp.zeros((1, 7, 5, 1)), train=False)


def images(count):
    return jax.random.uniform(jax.random.key(1), (count, 7, 5, 1))


def test_logits_are_weighted_squared_distances(variables):
    x = images(4)
    code = SMALL.apply(variables, x, train=False, method="features")["pooled"]
    params = variables["params"]
    away = np.square(np.asarray(code)[:, None] - np.asarray(params["prototypes"])).sum(-1)
    found = SMALL.apply(variables, x, train=False)
    np.testing.assert_allclose(found, away @ params["head"]["kernel"], rtol=1e-5)


def test_prototypes_and_images_of_odd_sides_are_drawn(variables):
    pictures = SMALL.apply(variables, method="pictures")
    assert pictures.shape == (6, 7, 5, 1)
    assert ((pictures > 0) & (pictures < 1)).all()
    with pytest.raises(UsageError, match=r"image_size=\(8, 5\), channels=1"):
        SMALL.apply(variables, jnp.zeros((1, 8, 5, 1)), train=False)


def test_the_loss_is_that_of_the_paper(variables):
    batch = {"input": 2 * images(8) - 1, "label": jnp.arange(8) % 2}
    logits, away, drawn = SMALL.apply(
        variables, batch["input"], train=False, method="with_reconstruction"
    )
    expected = (
        3 * train.softmax_cross_entropy(logits, batch["label"]).mean()
        + jnp.square(drawn - images(8)).sum((1, 2, 3)).mean()
        + away.min(axis=0).mean()
        + away.min(axis=1).mean()
    )
    objective = prototypes(weight=3.0, mean=0.5, std=0.5)
    forward = train.Forward(SMALL, {}, jax.random.key(0))
    losses, _ = objective.loss(forward, variables["params"], None, batch, None)
    np.testing.assert_allclose(losses.mean(), expected, rtol=1e-5)


def test_shipped_prototypes_are_drawn_as_digits_of_their_class():
    loaded = checkpoints.load("prototypes_nano.digits")
    pictures = loaded.model.apply(loaded.variables, method="pictures")
    (mean,), (std,) = loaded.preprocess.mean, loaded.preprocess.std
    inputs = (pictures - mean) / std
    answers = loaded.model.apply(loaded.variables, inputs, train=False).argmax(axis=-1)
    # The class that a short distance speaks for has the most negative weight.
    classes = loaded.variables["params"]["head"]["kernel"].argmin(axis=-1)
    assert len(np.unique(classes[answers == classes])) == 10
    assert zoo.model_info("prototypes_nano").family == "prototypenet"
