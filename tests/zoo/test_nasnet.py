"""What is particular to NASNet: cells as data, and the auxiliary head."""

import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from zoo.layers.drop_path import DropPath
from zoo.nasnet import genotype_from_json, genotype_to_json, random_genotype


def shapes(model, side, method=None):
    images = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
    call = lambda i: model.init_with_output(jax.random.key(0), i, train=False, method=method)  # noqa: E731
    return jax.tree.map(lambda x: x.shape, jax.eval_shape(call, images)[0])


def test_random_genotypes_are_valid_and_a_function_of_the_key():
    drawn = [random_genotype(jax.random.key(i)) for i in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    for genotype in drawn[1:]:
        value = json.loads(json.dumps(genotype_to_json(genotype)))
        assert genotype_from_json(value) == genotype
        assert shapes(zoo.create_model("nasnet_nano", genotype=value), 8) == (2, 10)


def test_a_genotype_that_is_none_is_refused_with_its_place():
    value = genotype_to_json(random_genotype(jax.random.key(0)))
    value["normal"]["blocks"][0]["left"] = ["sep_3x4", 0]
    with pytest.raises(zoo.UsageError, match=r"normal.blocks\[0\].left.*sep_3x3"):
        zoo.create_model("nasnet_nano", genotype=value)


def test_the_auxiliary_head_and_its_smallest_image():
    model = zoo.create_model("nasnet_nano", aux_heads=True)
    assert shapes(model, 9, "with_auxiliary") == ((2, 10), (2, 10))
    with pytest.raises(zoo.UsageError, match="at least 9x9"):
        shapes(model, 8, "with_auxiliary")


def test_drop_path_grows_with_depth_and_spares_identities():
    model = zoo.create_model("nasnet_nano", drop_path=0.5)
    rates = {}

    def note(call, arguments, options, context):
        if isinstance(context.module, DropPath):
            cell, edge = context.module.path
            rates.setdefault(cell, {})[edge] = context.module.rate, arguments[1]
        return call(*arguments, **options)

    def forward(images):
        return model.init_with_output(jax.random.key(0), images, train=False, progress=0.25)[0]

    with nn.intercept_methods(note):
        jax.eval_shape(forward, jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32))
    cells = ("cell0", "reduction0", "cell1", "reduction1", "cell2")
    assert tuple(rates) == cells
    for cell, expected in zip(cells, (0.1, 0.2, 0.3, 0.4, 0.5), strict=True):
        found = rates[cell].values()
        assert len(found) == (9 if cell.startswith("reduction") else 8)
        assert all(pair == (pytest.approx(expected), 0.25) for pair in found)


@pytest.mark.parametrize("progress", [0.0, 0.25, 0.5, 1.0])
def test_drop_path_grows_with_progress_and_keeps_the_mean(progress):
    x = jnp.ones((4000, 1))
    rngs = {"drop_path": jax.random.key(2)}
    y = np.asarray(DropPath(0.4, train=True).apply({}, x, jnp.float32(progress), rngs=rngs))
    rate = 0.4 * progress
    assert (y == 0).mean() == pytest.approx(rate, abs=0.03)
    np.testing.assert_allclose(y[y > 0], 1 / (1 - rate), rtol=1e-6)
    still = DropPath(0.4, train=False).apply({}, x, progress)
    np.testing.assert_array_equal(still, x)
