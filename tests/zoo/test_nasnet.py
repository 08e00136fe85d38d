"""What is particular to NASNet: cells as data, and the auxiliary head."""

import json

import jax
import jax.numpy as jnp
import pytest

import zoo
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
