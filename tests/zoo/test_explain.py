"""Explanations: identities of linear networks, sums that must come out, and what is refused."""

import itertools
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from zoo import explain
from zoo.errors import UsageError

RANDOM = np.random.default_rng(0)
WEIGHTS = jnp.asarray(RANDOM.normal(size=(4 * 4 * 2, 3)), jnp.float32)
IMAGES = jnp.asarray(RANDOM.normal(size=(2, 4, 4, 2)), jnp.float32)
BASELINE = np.array([0.5, -0.25], np.float32)
TARGET = np.array([2, 0])
OF_TARGET = WEIGHTS.T[TARGET].reshape(IMAGES.shape)
WHOLE = {"linear": OF_TARGET, "times": (np.asarray(IMAGES) - BASELINE) * OF_TARGET}


def linear(x):
    return x.reshape(len(x), -1) @ WEIGHTS


def assert_close(found, expected, tolerance=1e-5):
    expected = np.asarray(expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


class Small(nn.Module):
    """Every operation that a rule has a case for: bent ones, products, quotients, choices."""

    bias: bool = True

    @nn.compact
    def __call__(self, x, *, train):
        return nn.Dense(3, use_bias=self.bias)(self.features(x, train=train)["pooled"])

    @nn.compact
    def features(self, x, *, train):
        x = nn.relu(nn.Conv(6, (3, 3), use_bias=self.bias)(x))
        if self.bias:
            x = nn.silu(nn.LayerNorm(epsilon=0.1)(x)) * jax.nn.sigmoid(
                x.mean((1, 2), keepdims=True)
            )
            x = jnp.where(x > 0.1, x, jnp.tanh(x) + 0.1 - jnp.tanh(0.1)) / (1 + jnp.square(x))
            flat = x.reshape(len(x), -1, 6)
            x = (jax.nn.softmax(flat @ flat.swapaxes(1, 2)) @ flat).reshape(x.shape)
        x = jnp.maximum(x[..., :3], x[..., 3:])
        return {"stage1": x, "pooled": x.reshape(len(x), -1)}


@pytest.fixture(scope="module")
def small():
    return made(Small())


def made(model):
    variables = model.init(jax.random.key(1), IMAGES, train=False)
    return model, variables, partial(model.apply, variables, train=False)


def difference(score, inputs=IMAGES, baseline=BASELINE):
    moved = score(inputs) - score(jnp.asarray(np.broadcast_to(baseline, inputs.shape)))
    return np.asarray(moved)[np.arange(len(inputs)), TARGET]


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (explain.saliency, "linear"),
        (partial(explain.smooth_grad, key=jax.random.key(0)), "linear"),
        (partial(explain.input_times_gradient, baseline=BASELINE), "times"),
        (partial(explain.integrated_gradients, baseline=BASELINE, steps=3), "times"),
        (partial(explain.deep_lift, baseline=BASELINE), "times"),
    ],
)
def test_of_a_linear_network_they_are_its_weights_or_what_each_number_adds(method, expected):
    assert_close(method(linear, IMAGES, TARGET), WHOLE[expected])


def test_relevance_of_a_linear_network_is_input_times_weight():
    assert_close(explain.relevance(linear, IMAGES, TARGET), IMAGES * OF_TARGET)


def test_what_is_hidden_from_a_linear_network_is_what_it_adds():
    fall = explain.occlusion(linear, IMAGES, TARGET, window=1, baseline=BASELINE)
    assert_close(fall, WHOLE["times"].sum(axis=-1))
    segments = explain.grid((4, 4), 2)
    quarters = WHOLE["times"].sum(axis=-1).reshape(2, 2, 2, 2, 2).sum((2, 4)).reshape(2, 4)
    hidden = {"segments": segments, "baseline": BASELINE}
    assert_close(explain.shapley(linear, IMAGES, TARGET, **hidden), quarters)
    some = explain.shapley(linear, IMAGES, TARGET, jax.random.key(0), orders=2, **hidden)
    assert_close(some, quarters)
    surrogate = explain.lime(linear, IMAGES, TARGET, jax.random.key(0), ridge=1e-7, **hidden)
    assert_close(surrogate, quarters, 1e-3)
    assert_close(explain.painted(quarters, segments)[:, ::2, ::2].reshape(2, 4), quarters, 0)


def test_shapley_values_of_four_segments_are_those_of_the_formula(small):
    _, _, score = small
    segments, worth = explain.grid((4, 4), 2), {}
    for shown in itertools.product((0, 1), repeat=4):
        mask = np.asarray(shown)[segments][None, ..., None]
        logits = score(jnp.asarray(np.where(mask, IMAGES, BASELINE)))
        worth[shown] = np.asarray(logits, np.float64)[np.arange(2), TARGET]
    expected = np.zeros((2, 4))
    for i, shown in itertools.product(range(4), worth):
        if not shown[i]:
            weight = 1 / (4 * [1, 3, 3, 1][sum(shown)])
            with_i = tuple(1 if j == i else s for j, s in enumerate(shown))
            expected[:, i] += weight * (worth[with_i] - worth[shown])
    found = explain.shapley(score, IMAGES, TARGET, segments=segments, baseline=BASELINE)
    assert_close(found, expected)


def test_integrated_gradients_and_deep_lift_add_up_to_the_difference(small):
    _, _, score = small
    wanted = difference(score)
    for method in (partial(explain.integrated_gradients, steps=400), explain.deep_lift):
        explained = lambda x, m=method: m(score, x, TARGET, baseline=BASELINE)  # noqa: E731
        found = jax.jit(explained)(IMAGES)
        assert_close(found.sum((1, 2, 3)), wanted, 1e-3)
    assert np.abs(explain.saliency(score, IMAGES, TARGET) * IMAGES - found).max() > 1e-3


def test_relevance_without_biases_hands_back_the_whole_score():
    _, _, score = made(Small(bias=False))
    found = explain.relevance(score, IMAGES, TARGET, epsilon=1e-9)
    assert_close(found.sum((1, 2, 3)), np.asarray(score(IMAGES))[[0, 1], TARGET], 1e-4)
    less = explain.relevance(score, IMAGES, TARGET, epsilon=10.0)
    assert np.abs(less).sum() < 0.5 * np.abs(found).sum()


def test_guided_backpropagation_lets_positive_gradients_pass():
    def score(x):  # of the two rectified numbers one has a negative weight
        return jax.nn.relu(x[:, :2]) @ jnp.array([[1.0], [-1.0]]) + jax.nn.relu6(x[:, 2:])

    inputs = jnp.array([[1.0, 1.0, 1.0], [-1.0, 1.0, 7.0]])
    found = jax.jit(lambda x: explain.guided_backpropagation(score, x, 0))(inputs)
    np.testing.assert_array_equal(found, [[1, 0, 1], [0, 0, 0]])
    with pytest.raises(UsageError, match="the network has none"):
        explain.guided_backpropagation(linear, IMAGES, TARGET)


def test_gradcam_weighs_the_channels_of_a_stage_by_their_mean_gradient(small):
    model, variables, _ = small
    stage = model.apply(variables, IMAGES, train=False, method="features")["stage1"]
    dense = variables["params"]["Dense_0"]["kernel"]
    gradient = dense.T[TARGET].reshape(stage.shape)
    expected = np.maximum((gradient.mean((1, 2), keepdims=True) * stage).sum(-1), 0)
    assert_close(explain.gradcam(model, variables, IMAGES, TARGET, stage="stage1"), expected)
    assert explain.stage_names(model, variables, IMAGES) == ("stage1",)
    traced = jax.jit(lambda x: explain.gradcam(model, variables, x, TARGET))(IMAGES)
    assert_close(traced, expected)
    with pytest.raises(UsageError, match="'stage9'"):
        explain.gradcam(model, variables, IMAGES, TARGET, stage="stage9")


@pytest.fixture(scope="module")
def transformer():
    sizes = {"image_size": 8, "patch_size": 2, "width": 16, "inner_width": 4, "heads": 2}
    model = zoo.create_model("tnt_nano", depth=2, num_classes=3, **sizes)
    images = jax.random.normal(jax.random.key(2), (2, 8, 8, 3))
    return model, zoo.init_variables(model, jax.random.key(0), images), images


def test_gradcam_reads_the_last_stage_as_the_logits_do_normed_and_rectified():
    model = zoo.create_model("resnetv2_18", stage_sizes=(1,), width=4, num_classes=3)
    images = jnp.asarray(RANDOM.normal(size=(2, 32, 32, 3)), jnp.float32)
    variables = zoo.init_variables(model, jax.random.key(0), images)
    stage = model.apply(variables, images, train=False, method="features")["stage1"]
    shown = nn.relu(stage / np.sqrt(1 + 1e-5))  # a fresh norm
    of_target = variables["params"]["head"]["kernel"].T[TARGET] / (8 * 8)
    evidence = nn.relu((shown * of_target[:, None, None]).sum(axis=-1))
    expected = jax.image.resize(evidence, (2, 32, 32), "bilinear")
    assert_close(explain.gradcam(model, variables, images, TARGET), expected)


def test_where_logits_read_a_class_token_gradcam_takes_the_input_of_the_last_block(transformer):
    model, variables, images = transformer
    found = explain.gradcam(model, variables, images, 0)
    before = explain.gradcam(model, variables, images, 0, stage="block0")
    np.testing.assert_array_equal(found, before)
    assert found.shape == (2, 8, 8)
    with pytest.raises(UsageError, match="zero everywhere: `stage` block1"):
        explain.gradcam(model, variables, images, 0, stage="block1")


def test_rollout_is_the_product_of_the_layers_attention(transformer):
    model, variables, images = transformer
    found = explain.attention_rollout(model, variables, images)
    assert found.shape == (2, 8, 8)
    # Rows of a rollout sum to 1, and half of the class token's stays with itself in each layer.
    coarse = np.asarray(found)[:, ::2, ::2]  # centres of cells are not on pixels: about
    assert ((coarse.sum((1, 2)) > 0.5) & (coarse.sum((1, 2)) < 0.8)).all()
    with pytest.raises(UsageError, match="for transformers"):
        explain.attention_rollout(*made(Small(bias=False))[:2], IMAGES)


def test_series_have_maps_over_time():
    score = lambda x: x.sum(axis=1) @ jnp.ones((2, 3))  # noqa: E731
    series = jnp.asarray(RANDOM.normal(size=(2, 6, 2)), jnp.float32)
    fall = explain.occlusion(score, series, 0, window=2, stride=2)
    pairs = np.asarray(series).sum(-1).reshape(2, 3, 2).sum(-1)
    assert_close(fall, np.repeat(pairs, 2, axis=1))


@pytest.mark.parametrize("options", [{"window": 5}, {"window": 0}, {"window": 2, "stride": 3}])
def test_windows_that_do_not_fit_are_refused(options):
    with pytest.raises(UsageError, match=r"`(window|stride)` must be from 1"):
        explain.occlusion(linear, IMAGES, TARGET, **options)


def test_other_requests_that_cannot_be_met_are_refused():
    many = {"segments": explain.grid((4, 4), 4)}
    with pytest.raises(UsageError, match="all orders of 16 segments"):
        explain.shapley(linear, IMAGES, TARGET, **many)
    with pytest.raises(UsageError, match="need a `key`"):
        explain.shapley(linear, IMAGES, TARGET, orders=3, **many)
    with pytest.raises(UsageError, match="`steps` must be at least 1"):
        explain.integrated_gradients(linear, IMAGES, TARGET, steps=0)
    headless = zoo.create_model("hopfield_mil_nano")
    bags = jnp.ones((1, *zoo.model_info("hopfield_mil_nano").input_shape))
    with pytest.raises(UsageError, match="needs stages with places"):
        explain.gradcam(headless, zoo.init_variables(headless, jax.random.key(0), bags), bags, 0)


def test_deletion_and_insertion_are_areas_under_the_probability():
    def score(x):  # the first place alone decides
        return jnp.stack([50 * x[:, 0, 0, 0] - 25, jnp.zeros(len(x))], axis=-1)

    inputs, right = jnp.ones((1, 4, 5, 1)), jnp.arange(20.0)[::-1].reshape(1, 4, 5)
    at_first = explain.deletion(score, inputs, right, 0, steps=20)
    assert_close(at_first, [0.5 / 20], 1e-4)  # one half of the first share
    assert_close(explain.insertion(score, inputs, right, 0, steps=20), [1 - 0.5 / 20], 1e-4)
    assert explain.deletion(score, inputs, -right, 0)[0] > 0.95
    assert explain.insertion(score, inputs, -right, 0)[0] < 0.05


def test_pointing_entropy_and_sensitivity():
    maps = jnp.array([[[0.0, 2.0], [2.0, 1.0]], [[0.0, 0.0], [0.0, -3.0]]])
    inside = jnp.array([[[True, True], [False, False]]] * 2)
    np.testing.assert_allclose(explain.pointing_game(maps, inside), [0.5, 2 / 3])
    assert_close(explain.entropy(maps), [1.5 * np.log(5) - np.log(5) / 2 - 0.8 * np.log(2), 0])
    steady = explain.max_sensitivity(
        lambda x: x * 0 + OF_TARGET, IMAGES, jax.random.key(0), radius=0.1
    )
    np.testing.assert_array_equal(steady, [0, 0])
    moving = explain.max_sensitivity(lambda x: x, jnp.ones((1, 2)), jax.random.key(0), radius=0.1)
    assert 0.04 < moving[0] <= 0.1
