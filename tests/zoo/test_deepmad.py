"""DeepMAD's own: which blocks have a shortcut, and how wide its squeeze is."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

import zoo
from zoo.deepmad import DeepMAD, Separable

STAGES = ((16, 3, 1, 2, 8), (16, 5, 2, 2, 40))


def blocks(name, **overrides):
    """Parameters of each block, abstractly."""
    model = zoo.create_model(name, **overrides)
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    init = partial(model.init, train=False)
    return jax.eval_shape(init, jax.random.key(0), images)["params"]


def test_every_first_bottleneck_has_a_projection_even_where_channels_agree():
    params = blocks("deepmad_r18", stages=STAGES, stem=16)
    assert [name for name, block in params.items() if "shortcut" in block] == [
        *("stage1_block0", "stage2_block0")
    ]


def test_separable_blocks_have_none_and_their_squeeze_counts_in_eights():
    params = blocks("deepmad_29m_224", stages=STAGES, stem=16, top=None)
    assert not [name for name, block in params.items() if "shortcut" in block]
    widths = {
        name: block["attention"]["squeeze"]["kernel"].shape[-1]
        for name, block in params.items()
        if "attention" in block
    }
    assert widths == dict.fromkeys(("stage1_block0", "stage1_block1"), 8) | dict.fromkeys(
        ("stage2_block0", "stage2_block1"), 8
    )


@pytest.mark.parametrize(("features", "identity"), [(4, True), (6, False)])
def test_a_separable_block_adds_its_input_only_where_channels_agree(features, identity, key):
    model = DeepMAD(((features, 3, 1, 1, 8),), block_cls=Separable, stem=4, num_classes=None)
    images = jax.random.normal(key, (2, 8, 8, 3))
    variables = zoo.init_variables(model, key, images)
    inside = variables["params"]["stage1_block0"]["norm3"]
    silent = jax.tree.map(jnp.zeros_like, inside)  # what the block computes becomes zero
    variables["params"]["stage1_block0"]["norm3"] = silent
    pyramid = model.apply(variables, images, train=False, method="features")
    expected = jax.nn.silu(pyramid["stem"]) if identity else jnp.zeros_like(pyramid["stage1"])
    assert jnp.allclose(pyramid["stage1"], expected, atol=1e-6)
