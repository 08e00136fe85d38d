import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import checkpoints
import train
import zoo
from train.task import top_k_hits
from train.update_rules import decayed


def test_cross_entropy_of_indices_and_of_distributions_agree():
    logits, labels = jnp.array([[2.0, 1.0, -1.0], [0.0, 3.0, 0.5]]), jnp.array([0, 2])
    expected = -np.log(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))[[0, 1], labels]
    np.testing.assert_allclose(train.softmax_cross_entropy(logits, labels), expected, rtol=1e-6)
    soft = train.softmax_cross_entropy(logits, jnp.eye(3)[labels])
    np.testing.assert_allclose(soft, expected, rtol=1e-6)


def test_label_smoothing_mixes_in_the_uniform_distribution():
    logits, labels = jnp.array([[2.0, 1.0, -1.0]]), jnp.array([0])
    target = 0.9 * jnp.eye(3)[labels] + 0.1 / 3
    found = train.softmax_cross_entropy(logits, labels, smoothing=0.1)
    np.testing.assert_allclose(found, optax.softmax_cross_entropy(logits, target), rtol=1e-6)


def test_the_loss_of_bfloat16_logits_is_float32():
    loss = train.softmax_cross_entropy(jnp.ones((2, 3), jnp.bfloat16), jnp.array([0, 1]))
    assert loss.dtype == jnp.float32


def test_equal_logits_are_no_hit():
    logits = jnp.array([[1.0, 1.0, 0.0], [0.0, 2.0, 1.0]])
    assert top_k_hits(logits, jnp.array([0, 1]), 1).tolist() == [0, 1]
    assert top_k_hits(logits, jnp.array([0, 0]), 2).tolist() == [1, 0]
    assert top_k_hits(logits, jnp.array([2, 0]), 5).tolist() == [1, 1]


def test_a_network_that_has_diverged_hits_nothing():
    logits = jnp.array([[jnp.nan] * 3, [1.0, jnp.nan, 3.0], [1.0, 2.0, jnp.nan]])
    assert top_k_hits(logits, jnp.array([0, 2, 2]), 1).tolist() == [0, 0, 0]
    assert top_k_hits(logits, jnp.array([0, 2, 2]), 2).tolist() == [0, 1, 0]


@pytest.fixture(scope="module")
def digits():
    return train.load_dataset("zoo_digits", "validation")


@pytest.fixture(scope="module")
def untrained():
    """A model whose answers are arbitrary but fixed, and its preprocessing."""
    import jax

    model = zoo.create_model("resnet8", stage_sizes=(1,), width=8)
    images = jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32)
    preprocess = checkpoints.Preprocess(image_size=8, crop_pct=1.0, mean=(0.5,), std=(0.5,))
    return model, zoo.init_variables(model, jax.random.key(0), images), preprocess


def test_evaluation_counts_every_example_once_whatever_the_batch(digits, untrained):
    model, variables, preprocess = untrained
    images = np.stack([preprocess(digits[i]["input"]) for i in range(len(digits))])
    labels = np.array([digits[i]["label"] for i in range(len(digits))])
    logits = np.asarray(model.apply(variables, jnp.asarray(images), train=False))
    expected = (logits.argmax(-1) == labels).mean()
    for batch_size in (64, 104, 360, 1000):
        found = train.evaluate(
            model, variables, digits, preprocess=preprocess, batch_size=batch_size
        )
        assert found["count"] == len(digits) == 360
        assert found["top1"] == pytest.approx(expected, abs=1e-9)
        loss = np.asarray(train.softmax_cross_entropy(jnp.array(logits), jnp.array(labels)))
        assert found["loss"] == pytest.approx(loss.mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "shape", "spared"),
    [
        ("tnt_nano", (32, 32, 3), {"class_token", "pixel_positions", "patch_positions"}),
        ("sret_nano", (32, 32, 3), {"positions"}),
        ("lssl_nano", (8, 8, 1), {"C", "D"}),
        ("hopfield_encoder_nano", (8, 8, 1), {"pooling_weights", "positions"}),
        ("hopfield_lookup_nano", (1, 30), {"lookup_weights"}),
        ("hopfield_mil_nano", (32, 32, 1), {"pooling_weights"}),
        ("resnet18", (32, 32, 3), set()),
    ],
)
def test_decay_spares_what_is_no_kernel(name, shape, spared):
    images = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    model = zoo.create_model(name)
    params = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), images)
    leaves = jax.tree_util.tree_leaves_with_path(params["params"])
    matrices = {path[-1].key for path, leaf in leaves if leaf.ndim > 1}
    reached = jax.tree_util.tree_leaves_with_path(decayed(params["params"]))
    assert {path[-1].key for path, leaf in reached if leaf} == {"kernel"}
    assert matrices == {"kernel"} | spared
