"""The update, alone and on eight devices."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import train
import zoo

HOW = ("jit", "pmap", "shard_map")


@pytest.fixture(scope="module")
def model():
    return zoo.create_model("resnet8", stage_sizes=(1,), width=8)


@pytest.fixture
def variables(model, key):
    return zoo.init_variables(model, key, jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32))


@pytest.fixture(scope="module")
def batches():
    rng = np.random.default_rng(0)
    return [
        {
            "input": rng.normal(size=(16, 8, 8, 1)).astype(np.float32),
            "label": rng.integers(0, 10, 16).astype(np.int32),
        }
        for _ in range(4)
    ]


def losses(model, variables, batches, how, **options):
    """The loss curve and the state that `how` leads to."""
    optimizer = optax.adamw(1e-2)
    axis_name = None if how == "jit" else "data"
    average = options.pop("average", None)
    step = train.make_train_step(model, optimizer, axis_name=axis_name, **options)
    step = train.parallelize(step, how)
    state = train.create_state(variables, optimizer, key=jax.random.key(1), average=average)
    curve = []
    for batch in batches:
        state, metrics = step(state, batch, state.key)
        curve.append(float(metrics["loss"]))
    return curve, state


@pytest.mark.parametrize(
    "groups", [2, 8, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 16))]
)
def test_jit_pmap_and_shard_map_give_the_same_numbers(groups, model, variables, batches):
    assert jax.device_count() == 8
    curves, states = zip(
        *(losses(model, variables, batches, how, batch_norm_groups=groups) for how in HOW),
        strict=True,
    )
    for curve, state in zip(curves[1:], states[1:], strict=True):
        np.testing.assert_allclose(curve, curves[0], rtol=1e-5)
        for ours, jitted in zip(
            jax.tree.leaves(train.published(state)),
            jax.tree.leaves(train.published(states[0])),
            strict=True,
        ):
            np.testing.assert_allclose(ours, jitted, rtol=1e-4, atol=1e-5)


def test_groups_of_batch_norm_matter(model, variables, batches):
    one, many = (losses(model, variables, batches, "jit", batch_norm_groups=g)[0] for g in (1, 8))
    assert np.abs(np.subtract(one, many)).max() > 1e-3


def test_the_same_images_are_learnt(model, variables, batches):
    curve, state = losses(model, variables, batches[:1] * 100, "jit")
    assert curve[-1] < 0.5 * curve[0]
    assert int(state.step) == 100


@pytest.mark.parametrize(
    "how", ["jit", *(pytest.param(h, marks=pytest.mark.slow) for h in ("pmap", "shard_map"))]
)
def test_a_step_may_draw_from_the_key_of_its_state(how, key, batches):
    shape = jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32)
    curves = []
    for rate in (0.0, 0.9):
        model = zoo.create_model("resnet8", stage_sizes=(1, 1), width=8, drop_path=rate)
        curves.append(losses(model, zoo.init_variables(model, key, shape), batches, how)[0])
    assert np.isfinite(curves).all()
    assert curves[0][1:] != curves[1][1:]


def test_average_of_parameters_follows_its_formula(model, variables, batches):
    averaged = losses(model, variables, batches, "jit", average=0.2)[1]
    expected = variables["params"]
    for n, decay in enumerate((1 / 10, 2 / 11, 0.2, 0.2), start=1):  # warmed up: (1 + t) / (10 + t)
        plain = losses(model, variables, batches[:n], "jit")[1].trained
        expected = jax.tree.map(lambda a, p, d=decay: d * a + (1 - d) * p, expected, plain)
    for mean, by_hand in zip(
        jax.tree.leaves(averaged.average.params), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(mean, by_hand, rtol=1e-4, atol=1e-5)
    assert train.published(averaged)["params"] is averaged.average.params


def test_a_state_does_not_share_memory_with_the_variables(model, variables, batches):
    losses(model, variables, batches[:1], "jit")
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(variables))  # not donated


def test_steps_do_not_recompile(model, variables, batches):
    optimizer = optax.sgd(0.1)
    traces = []

    def loss(logits, labels):
        traces.append(None)
        return train.softmax_cross_entropy(logits, labels)

    step = train.parallelize(
        train.make_train_step(model, optimizer, objective=train.supervised(loss=loss)), "jit"
    )
    state = train.create_state(variables, optimizer, key=jax.random.key(0))
    for batch in batches:
        state, _ = step(state, batch, state.key)
    assert len(traces) == 1


def test_a_step_made_for_another_wrapper_is_refused(model):
    with pytest.raises(zoo.UsageError, match="'pmap' needs a step made with `axis_name='data'`"):
        train.parallelize(train.make_train_step(model, optax.sgd(0.1)), "pmap")
    with pytest.raises(zoo.UsageError, match="`how` must be one of jit, pmap, shard_map"):
        train.parallelize(train.make_train_step(model, optax.sgd(0.1)), "pjit")


def test_an_odd_batch_names_the_sizes_that_work():
    from train.parallel import check_divisible

    with pytest.raises(zoo.UsageError, match=r"divisible by the 8 devices, got 30; use 24 or 32"):
        check_divisible(30, 8)
    with pytest.raises(zoo.UsageError, match=r"got 3; use 8$"):
        check_divisible(3, 8)
