import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from zoo.layers.average_down import average_down
from zoo.layers.channel_attention import EfficientChannelAttention, SqueezeExcite
from zoo.layers.conv import Conv
from zoo.layers.drop_path import DropPath
from zoo.layers.factory import Layers
from zoo.layers.group_norm import GroupNorm
from zoo.layers.initializers import HE_NORMAL_FAN_OUT, LECUN_UNIFORM, recording
from zoo.layers.local_attention import ela_b, ela_l, ela_s, ela_t
from zoo.layers.norm import BatchNorm
from zoo.layers.pool import avg_pool, max_pool
from zoo.layers.standardized_conv import StandardizedConv
from zoo.layers.windows import depthwise


def test_a_bundle_does_not_make_what_its_network_has_none_of():
    layers = Layers(conv=Conv)
    assert layers.conv(3, (1, 1)) == Conv(3, (1, 1))
    with pytest.raises(TypeError, match="not put into its `Layers`"):
        layers.norm(name="norm1")


@pytest.mark.parametrize("stride", [1, 2])
def test_pointwise_convolution_is_the_convolution(stride, key):
    x = jax.random.normal(key, (2, 7, 6, 3))
    conv = Conv(5, (1, 1), stride=stride)
    variables = conv.init(key, x)
    expected = jax.lax.conv_general_dilated(
        x,
        variables["params"]["kernel"],
        (stride, stride),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    np.testing.assert_allclose(conv.apply(variables, x), expected, rtol=1e-5, atol=1e-6)


def test_padding_is_symmetric_at_stride_two(key):
    image = jnp.zeros((1, 4, 4, 1)).at[0, 0, 0, 0].set(1.0)
    conv = Conv(1, (3, 3), stride=2)
    y = conv.apply({"params": {"kernel": jnp.ones((3, 3, 1, 1))}}, image)
    assert y[0, :, :, 0].tolist() == [[1, 0], [0, 0]]  # XLA's SAME would not see pixel (-1, -1)
    y = conv.apply({"params": {"kernel": jnp.ones((3, 3, 1, 1))}}, image[:, ::-1, ::-1])
    assert y[0, :, :, 0].tolist() == [[0, 0], [0, 1]]


@pytest.mark.parametrize(
    ("groups", "features", "kernel", "stride", "padding"),
    [(4, 4, (5, 3), 1, None), (4, 4, (5, 5), 2, "SAME"), (4, 8, (3, 3), 2, None)],
)
def test_depthwise_convolution_is_the_grouped_one(groups, features, kernel, stride, padding, key):
    conv = Conv(features, kernel, stride=stride, padding=padding, groups=groups)
    x = jax.random.normal(key, (2, 9, 8, groups))
    weights = conv.init(key, x)["params"]["kernel"]
    sides = [(k // 2, k // 2) for k in kernel] if padding is None else padding

    def grouped(x, weights):
        return jax.lax.conv_general_dilated(
            x,
            weights,
            (stride, stride),
            sides,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )

    y, vjp = jax.vjp(lambda x, w: conv.apply({"params": {"kernel": w}}, x), x, weights)
    expected, expected_vjp = jax.vjp(grouped, x, weights)
    pairs = zip((y, *vjp(y)), (expected, *expected_vjp(expected)), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * jnp.abs(theirs).max())


@pytest.mark.parametrize("rows", [7, 8])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_without_padding_and_its_gradients_are_those_of_xla(stride, rows, key):
    conv = Conv(4, (3, 3), stride=stride, padding=0)
    x = jax.random.normal(key, (2, rows, 9, 3))
    weights = conv.init(key, x)["params"]["kernel"]
    order = ("NHWC", "HWIO", "NHWC")
    steps = (stride, stride)
    xla = lambda x, w: jax.lax.conv_general_dilated(x, w, steps, "VALID", dimension_numbers=order)  # noqa: E731
    y, vjp = jax.vjp(lambda x, w: conv.apply({"params": {"kernel": w}}, x), x, weights)
    expected, expected_vjp = jax.vjp(xla, x, weights)
    for ours, theirs in zip((y, *vjp(y)), (expected, *expected_vjp(expected)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * jnp.abs(theirs).max())


def test_gradients_of_a_depthwise_convolution_have_derivatives(key):
    x, kernel = jax.random.normal(key, (1, 5, 5, 2)), jnp.full((3, 3, 1, 2), 0.5)

    def loss(kernel):
        return jnp.sum(depthwise(x, kernel, 1, ((1, 1), (1, 1))) ** 3)

    found = jax.jvp(jax.grad(loss), (kernel,), (kernel,))[1]
    np.testing.assert_allclose(found, 2 * jax.grad(loss)(kernel), rtol=1e-5)  # it is of degree 2


@pytest.mark.parametrize("stride", [1, 2])
def test_pools_and_their_gradients_are_those_of_xla(stride, key):
    x = jax.random.randint(key, (2, 9, 8, 3), 0, 4).astype(jnp.float32)  # with many ties
    sides = ((0, 0), (1, 1), (1, 1), (0, 0))
    window, strides = (1, 3, 3, 1), (1, stride, stride, 1)
    largest = lambda x: jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, strides, sides)  # noqa: E731
    total = lambda x: jax.lax.reduce_window(x, 0.0, jax.lax.add, window, strides, sides)  # noqa: E731
    for pool, reference in (
        (lambda x: max_pool(x, 3, stride, 1), largest),
        (lambda x: 9 * avg_pool(x, 3, stride, 1), total),
    ):
        y, vjp = jax.vjp(pool, x)
        expected, expected_vjp = jax.vjp(reference, x)
        np.testing.assert_allclose(y, expected, rtol=1e-6)
        np.testing.assert_allclose(vjp(y)[0], expected_vjp(y)[0], rtol=1e-6)


def test_max_pool_shows_what_is_not_a_number():
    x = jnp.ones((1, 4, 4, 1)).at[0, 1, 1, 0].set(jnp.nan)
    assert jnp.isnan(max_pool(x, 3, 2, 1)).all()


def test_max_pool_pads_with_minus_infinity():
    assert max_pool(-jnp.ones((1, 2, 2, 1)), 3, 2, 1).tolist() == [[[[-1.0]]]]


def test_batch_norm_normalises_and_keeps_the_unbiased_variance(key):
    x = 3 + 2 * jax.random.normal(key, (4, 2, 2, 5))
    norm = BatchNorm(train=True, momentum=0.0)
    y, updated = norm.apply(norm.init(key, x), x, mutable=["batch_stats"])
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), np.zeros(5), atol=1e-5)
    np.testing.assert_allclose(y.var(axis=(0, 1, 2)), np.ones(5), rtol=1e-4)
    expected = np.asarray(x).reshape(-1, 5).var(axis=0, ddof=1)
    np.testing.assert_allclose(updated["batch_stats"]["var"], expected, rtol=1e-5)


def test_batch_norm_groups_are_separate_batches(key):
    x = jax.random.normal(key, (6, 2, 2, 3)) * jnp.arange(1, 7)[:, None, None, None]
    whole, grouped = BatchNorm(train=True), BatchNorm(train=True, groups=2)
    variables = whole.init(key, x)
    together, _ = grouped.apply(variables, x, mutable=["batch_stats"])
    halves = [whole.apply(variables, h, mutable=["batch_stats"])[0] for h in (x[:3], x[3:])]
    np.testing.assert_allclose(together, jnp.concatenate(halves), rtol=1e-5, atol=1e-6)


def test_batch_norm_in_training_wants_mutable_statistics(key):
    model = zoo.create_model("resnet8", stage_sizes=(1,), width=4)
    images = jnp.ones((2, 8, 8, 1))
    variables = zoo.init_variables(model, key, images)
    with pytest.raises(zoo.UsageError, match=r"mutable=\['batch_stats'\]"):
        model.apply(variables, images, train=True)


def test_batch_norm_in_float64_stays_float64(key):
    with jax.enable_x64(True):
        x = jnp.ones((2, 2, 2, 3), jnp.float64)
        norm = BatchNorm(train=True, dtype=jnp.float64)
        assert norm.apply(norm.init(key, x), x, mutable=["batch_stats"])[0].dtype == jnp.float64


def test_group_norm_normalises_runs_of_channels_of_one_example(key):
    x = 3 + 2 * jax.random.normal(key, (2, 4, 4, 6))
    norm = GroupNorm(groups=3)
    y = norm.apply(norm.init(key, x), x).reshape(2, 16, 3, 2)
    np.testing.assert_allclose(y.mean(axis=(1, 3)), np.zeros((2, 3)), atol=1e-5)
    np.testing.assert_allclose(y.var(axis=(1, 3)), np.ones((2, 3)), rtol=1e-4)


def test_averages_of_an_odd_side_count_real_pixels_only():
    x = jnp.arange(9.0).reshape(1, 3, 3, 1)
    assert average_down(x)[0, :, :, 0].tolist() == [[2.0, 3.5], [6.5, 8.0]]


@pytest.mark.parametrize(
    ("attention", "channels", "widths"),
    [
        (SqueezeExcite(), 256, {"squeeze": (256, 16), "excite": (16, 256)}),
        (SqueezeExcite(), 64, {"squeeze": (64, 8), "excite": (8, 64)}),
        (SqueezeExcite(ratio=1 / 4), 256, {"squeeze": (256, 64), "excite": (64, 256)}),
    ],
)
def test_squeezed_channels_are_a_multiple_of_eight(attention, channels, widths, key):
    params = attention.init(key, jnp.ones((1, 2, 2, channels)))["params"]
    assert {name: leaves["kernel"].shape[2:] for name, leaves in params.items()} == widths


@pytest.mark.parametrize(("channels", "length"), [(64, 3), (256, 5), (1024, 5), (2048, 7)])
def test_efficient_channel_attention_is_a_convolution_along_channels(channels, length, key):
    x = jax.random.normal(key, (2, 3, 2, channels))
    attention = EfficientChannelAttention()
    variables = attention.init(key, x)
    kernel = np.asarray(variables["params"]["kernel"])[:, 0, 0]
    assert kernel.shape == (length,)
    means = [np.convolve(row, kernel[::-1], "same") for row in np.asarray(x.mean(axis=(1, 2)))]
    expected = x * jax.nn.sigmoid(np.stack(means))[:, None, None]
    np.testing.assert_allclose(attention.apply(variables, x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("ela", "width"), [(ela_t, 1), (ela_b, 1), (ela_s, 8), (ela_l, 8)])
def test_efficient_local_attention_treats_rows_as_columns(ela, width, key):
    x = jax.random.normal(key, (2, 5, 4, 64))
    attention = ela()
    variables = attention.init(key, x)
    assert variables["params"]["kernel"].shape == (attention.kernel_size, width, 64)
    y = attention.apply(variables, x)
    assert (jnp.abs(y) < jnp.abs(x)).all()
    turned = attention.apply(variables, x.swapaxes(1, 2)).swapaxes(1, 2)
    np.testing.assert_allclose(turned, y, rtol=1e-5, atol=1e-6)


def test_drop_path_keeps_whole_examples_and_their_mean(key):
    x = jnp.ones((1000, 2, 3))
    y = DropPath(0.2, train=True).apply({}, x, rngs={"drop_path": key})
    assert set(np.unique(y).tolist()) == {0.0, 1.25}
    assert (y == y[:, :1, :1]).all()
    assert y.mean() == pytest.approx(1.0, abs=0.05)
    assert DropPath(0.2, train=False).apply({}, x) is x


def test_standardised_weights_ignore_scale_and_shift_of_the_kernel(key):
    x = jax.random.normal(key, (1, 5, 5, 3))
    conv = StandardizedConv(4, (3, 3))
    variables = conv.init(key, x)
    moved = jax.tree.map(lambda kernel: 3 * kernel + 2, variables)
    y = conv.apply(variables, x)
    np.testing.assert_allclose(conv.apply(moved, x), y, rtol=1e-3, atol=1e-4)
    kernel = variables["params"]["kernel"]
    standard = (kernel - kernel.mean((0, 1, 2))[None, None, None]) / kernel.std((0, 1, 2))[
        None, None, None
    ]
    expected = Conv(4, (3, 3)).apply({"params": {"kernel": standard}}, x)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_he_normal_has_its_variance(key):
    kernel = HE_NORMAL_FAN_OUT(key, (3, 3, 64, 128), jnp.float32)
    assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * 128)), rel=0.01)


def test_lecun_uniform_fills_its_interval(key):
    kernel = LECUN_UNIFORM(key, (64, 128), jnp.float32)
    assert np.abs(kernel).max() == pytest.approx(1 / 8, rel=0.01)


def test_a_recorded_initialiser_says_what_it_is(key):
    with recording():
        recipe = HE_NORMAL_FAN_OUT(key, (3, 3, 4, 8), jnp.float32)
    assert recipe.initializer is HE_NORMAL_FAN_OUT
    assert recipe.shape == (3, 3, 4, 8)
