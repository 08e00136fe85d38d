"""Head and tail of a split network are the network, and what is sent are so many bytes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import train
import zoo
from train.methods.distillation import distillation
from train.methods.matching import matching
from zoo.parameters.frozen import frozen
from zoo.split import Split

NETWORK = zoo.create_model("resnet8", stage_sizes=(1, 1), width=8, num_classes=3)
SPLIT = Split(NETWORK, "stage1_block0", inputs=(8, 8, 1), shape=(8, 8, 8), width=8)


def made():
    images = jax.random.normal(jax.random.key(1), (6, 8, 8, 1))
    return images, SPLIT.init(jax.random.key(0), images, train=False)


def test_head_and_tail_are_the_network():
    images, variables = made()
    sent = SPLIT.apply(variables, images, method="head")
    assert sent.dtype == jnp.uint8
    assert sent.nbytes == 6 * 12 <= 0.23 * 6 * 64
    whole = SPLIT.apply(variables, images, train=False)
    answer = SPLIT.apply(variables, sent, method="tail")
    np.testing.assert_allclose(answer, whole, atol=1e-6 * np.abs(whole).max())


def test_the_tail_reads_nothing_of_the_image_but_what_was_sent():
    images, variables = made()
    ours = variables["params"]
    other = {
        **ours,
        "network": {
            **ours["network"],
            "stem": jax.tree.map(jnp.zeros_like, ours["network"]["stem"]),
        },
    }
    before, after = (
        SPLIT.apply({**variables, "params": p}, images, train=False) for p in (ours, other)
    )
    np.testing.assert_array_equal(before, after)
    slope = jax.grad(lambda x: SPLIT.apply(variables, x, train=False).sum())(images)
    assert np.abs(slope).max() > 0


def test_the_bottleneck_learns_the_stages_and_then_the_answers():
    images, variables = made()
    teacher = zoo.init_variables(NETWORK, jax.random.key(2), images)
    variables = {name: {**tree, "network": teacher[name]} for name, tree in variables.items()}
    batch = {"input": images, "label": jnp.arange(6) % 3}
    runs = (
        (matching(NETWORK, teacher, ["stage1", "stage2"]), frozen("^network/")),
        (distillation(NETWORK, teacher, weight=0.2), frozen("^encoder/")),
    )
    for objective, parameters in runs:
        both = {"objective": objective, "parameters": parameters}
        optimizer = optax.adam(0.01)
        state = train.create_state(variables, optimizer, key=jax.random.key(0), **both)
        step, losses = jax.jit(train.make_train_step(SPLIT, optimizer, **both)), []
        for _ in range(16):
            state, metrics = step(state, batch, state.key)
            losses.append(float(metrics["loss"]))
        assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])
        variables = train.published(state, parameters)
