"""What is special to TNT."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from zoo.layers.drop_path import DropPath
from zoo.tnt import TNT, convolve_and_cut, cut, cut_and_convolve

Small = partial(
    TNT, image_size=16, patch_size=8, width=8, inner_width=4, depth=2, heads=2, inner_heads=2
)


def test_cut_is_row_major_and_leaves_the_rest_out():
    images = jnp.arange(2 * 5 * 7).reshape(2, 5, 7, 1).astype(jnp.float32)
    patches = cut(images, 2, (2, 3))
    assert patches.shape == (12, 2, 2, 1)
    np.testing.assert_array_equal(patches[4], images[0, 2:4, 2:4])
    np.testing.assert_array_equal(patches[6], images[1, :2, :2])


@pytest.mark.parametrize(("embed", "alone"), [(cut_and_convolve, True), (convolve_and_cut, False)])
def test_whether_a_patch_sees_its_neighbours(embed, alone, key):
    model = Small(embed=embed, depth=0, num_classes=3)
    images = jax.random.normal(key, (1, 16, 16, 3))
    variables = zoo.init_variables(model, key, images)
    stem = lambda x: model.apply(variables, x, train=False, method="features")["stem"]  # noqa: E731
    moved = np.abs(stem(images.at[:, :, :8].add(1.0)) - stem(images)).max(axis=(0, 3)) > 1e-6
    assert moved[:, 0].all()
    assert moved[:, 1].any() != alone


@pytest.mark.parametrize(
    ("fields", "side", "words"),
    [
        ({}, 32, r"32x32 pixels do not fit .* 16x16.*image_size=\(32, 32\)"),
        ({"image_size": (16, 7)}, 16, r"16x7 is smaller than one patch; the smallest is 8x8"),
    ],
)
def test_a_wrong_size_is_an_error_with_the_next_step(fields, side, words, key):
    with pytest.raises(zoo.UsageError, match=words):
        zoo.init_variables(Small(**fields), key, jnp.zeros((1, side, side, 3)))


def test_drop_path_drops_examples_and_keeps_the_mean(key):
    x = jnp.ones((2000, 3, 2))
    y = DropPath(0.25, train=True).apply({}, x, rngs={"drop_path": key})
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.75)}
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1, :1], y.shape))
    assert abs(y.mean() - 1) < 0.05
    np.testing.assert_array_equal(DropPath(0.25, train=False).apply({}, x), x)


@pytest.mark.slow
def test_drop_path_grows_from_zero_with_depth(key):
    model = Small(drop_path=1 - 1e-6, num_classes=None)  # the last block loses both branches
    images = jax.random.normal(key, (2, 16, 16, 3))
    variables = zoo.init_variables(model, key, images)
    dropped = model.apply(variables, images, train=True, method="features", rngs={"drop_path": key})
    whole = model.apply(variables, images, train=False, method="features")
    np.testing.assert_allclose(dropped["block0"], whole["block0"], rtol=1e-5, atol=1e-6)
    assert np.abs(dropped["block1"] - whole["block1"]).max() > 1e-5
