"""Properties that hold for every family, on its smallest form."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from zoo.inception import AVG, Mixed, Pool, Residual, Unit, branches, conv, fork
from zoo.layers.group_norm import GroupNorm
from zoo.layers.local_attention import ela_l
from zoo.lssl import LSSL
from zoo.nasnet import NASNet
from zoo.resnet import BasicBlock, Bottleneck, ResNet
from zoo.sret import SReT
from zoo.tnt import TNT, PixelNormProjection, convolve_and_cut

SmallTNT = partial(
    TNT,
    image_size=(11, 14),
    patch_size=4,
    pixel_stride=2,
    width=16,
    inner_width=4,
    depth=2,
    heads=2,
    inner_heads=2,
    num_classes=5,
)
SmallSReT = partial(
    SReT,
    image_size=(32, 24),
    head_dims=(4, 4),
    heads=(1, 2),
    shared_blocks=(2, 1),
    recursions=(2, 2),
    slices=(3, 2),
    permuted_slices=(2, 1),
    num_classes=5,
)

SMALL = {"stage_sizes": (1, 2), "width": 8, "num_classes": 5}
SMALL_INCEPTION = (
    ("stem", (("conv1", conv(8, 3)),)),
    (
        "stage1",
        (
            ("mixed", Mixed(branches(a=conv(4), b=(conv(4), fork(4)), c=(AVG, conv(4))))),
            ("residual", Residual(branches(a=conv(4, 1, 7)))),
        ),
    ),
    ("stage2", (("reduction", Mixed(branches(a=Unit(8, (3, 3), 2), b=Pool("max", 2, 2)))),)),
)
# Every kind of operation and input of a cell: strided, projected, reduced, part of the output.
SMALL_NASNET = {
    "normal": {
        "blocks": [
            {"left": ["sep_3x3", 0], "right": ["identity", 1]},
            {"left": ["conv_1x3_3x1", 1], "right": ["avg_3x3", 2], "combine": "concat"},
        ],
        "outputs": [1, 3],
    },
    "reduction": {
        "blocks": [{"left": ["max_3x3", 0], "right": ["dilated_3x3", 1]}],
        "outputs": [0, 2],
    },
}
TINY = {
    "nasnet": (
        partial(
            NASNet, SMALL_NASNET, cells=(1, 1), filters=8, stem_width=4, stem_cells=1, num_classes=5
        ),
        (33, 26, 3),
    ),
    "inception": (
        partial(zoo.inception.Inception, SMALL_INCEPTION, smallest=2, num_classes=5),
        (32, 24, 3),
    ),
    "basic": (partial(ResNet, (1, 2), BasicBlock, width=8, num_classes=5), (32, 24, 3)),
    "bottleneck": (partial(ResNet, (1, 2), Bottleneck, width=4, num_classes=5), (32, 24, 3)),
    "deep": (
        partial(zoo.resnet.resnet18d, stage_sizes=(1, 2), width=8, num_classes=5),
        (32, 24, 3),
    ),
    "grouped": (
        partial(zoo.resnet.resnext50d_32x4d, **SMALL, groups=2, base_width=64),
        (32, 24, 3),
    ),
    "squeeze and excite": (partial(zoo.resnet.resnetrs50, **SMALL), (32, 24, 3)),
    "efficient channel attention": (partial(zoo.resnet.ecaresnet50t, **SMALL), (32, 24, 3)),
    "efficient local attention": (
        partial(zoo.resnet.resnet50, **SMALL, attention_cls=ela_l),
        (32, 24, 3),
    ),
    "group norm": (
        partial(zoo.resnet.resnet50_gn, **SMALL, norm=partial(GroupNorm, groups=4)),
        (32, 24, 3),
    ),
    "pre-activation": (partial(zoo.resnetv2.resnetv2_50, **SMALL), (32, 24, 3)),
    "deep pre-activation": (partial(zoo.resnetv2.resnetv2_18d, **SMALL), (32, 24, 3)),
    "standardized": (
        partial(zoo.resnetv2.resnetv2_50x1_bit, **SMALL, norm=partial(GroupNorm, groups=4)),
        (32, 24, 3),
    ),
    "small images": (partial(zoo.resnet.SmallResNet, stage_sizes=(1, 1), width=8), (8, 8, 1)),
    "tnt": (SmallTNT, (11, 14, 3)),
    "tnt, legacy": (
        partial(SmallTNT, embed=convolve_and_cut, project_cls=PixelNormProjection),
        (11, 14, 3),
    ),
    "sret": (SmallSReT, (32, 24, 3)),
    "lssl": (partial(LSSL, width=8, state_size=4, depth=2, channels=2, num_classes=5), (5, 4, 3)),
}
# A constant in front of a batch norm that subtracts the batch's mean: zero but for rounding.
WITHOUT_GRADIENT = [f"['stem']['conv{k}']['bias']" for k in (1, 2, 3)]


FAST = ("inception", "bottleneck", "pre-activation", "small images", "tnt", "sret", "lssl")


@pytest.fixture(params=[n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in TINY])
def case(request, key):
    """A builder, its variables moved away from their special initial values, and four images."""
    build, shape = TINY[request.param]
    images = jax.random.normal(jax.random.fold_in(key, 1), (4, *shape))
    variables = zoo.init_variables(build(), key, images)
    noise = lambda x: x + 0.1 * jnp.abs(jax.random.normal(key, x.shape))  # noqa: E731
    return build, jax.tree.map(noise, variables), images


def test_eager_equals_jit(case):
    build, variables, images = case
    forward = partial(build().apply, train=False)
    np.testing.assert_allclose(
        forward(variables, images), jax.jit(forward)(variables, images), rtol=1e-5, atol=1e-5
    )


def test_an_image_alone_equals_itself_in_a_batch(case):
    build, variables, images = case
    forward = jax.jit(partial(build().apply, train=False))
    together = forward(variables, images)
    alone = jnp.concatenate([forward(variables, image[None]) for image in images])
    np.testing.assert_allclose(alone, together, rtol=1e-5, atol=1e-5)


def test_bfloat16_is_close_and_logits_are_float32(case):
    build, variables, images = case
    exact, rough = (
        jax.jit(partial(build(dtype=dtype).apply, train=False))(variables, images)
        for dtype in (jnp.float32, jnp.bfloat16)
    )
    assert rough.dtype == jnp.float32
    assert np.abs(rough - exact).max() <= 0.03 * np.abs(exact).max()


def test_every_gradient_is_finite_and_not_zero(case):
    build, variables, images = case

    def loss(params):
        state = {**variables, "params": params}
        rngs = {"permutation": jax.random.key(1)}
        logits, _ = build().apply(state, images, train=True, mutable=["batch_stats"], rngs=rngs)
        return jnp.square(logits - jnp.arange(logits.shape[-1])[None]).mean()

    for path, gradient in jax.tree_util.tree_leaves_with_path(
        jax.jit(jax.grad(loss))(variables["params"])
    ):
        assert np.isfinite(gradient).all(), path
        vanishes = jax.tree_util.keystr(path) in WITHOUT_GRADIENT
        assert vanishes or np.abs(gradient).max() > 0, path


def test_statistics_change_in_training_only(case):
    build, variables, images = case
    for train in (True, False):
        rngs = {"permutation": jax.random.key(1)}
        _, updated = build().apply(
            variables, images, train=train, mutable=["batch_stats"], rngs=rngs
        )
        moved = [
            not np.array_equal(a, b)
            for a, b in zip(
                jax.tree.leaves(updated),
                jax.tree.leaves(variables.get("batch_stats", {})),
                strict=True,
            )
        ]
        assert all(moved) if train else not any(moved)


def test_remat_changes_nothing(case):
    build, variables, images = case
    plain, remat = (
        jax.jit(jax.grad(lambda v, m=m: m.apply(v, images, train=False).sum()))(variables)
        for m in (build(), build(remat=True))
    )
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5), plain, remat)


def test_features_are_a_pyramid_that_composes(case):
    build, variables, images = case
    pyramid = build().apply(variables, images, train=False, method="features")
    *stages, last = pyramid
    assert last == "pooled"
    shapes = [pyramid[stage].shape for stage in stages]
    assert all(len(shape) in (3, 4) and shape[0] == len(images) for shape in shapes)
    assert [s[1:-1] for s in shapes] == sorted([s[1:-1] for s in shapes], reverse=True)
    headless = build(num_classes=None).apply(variables, images, train=False)
    np.testing.assert_array_equal(headless, pyramid["pooled"])


def test_init_variables_has_the_tree_and_distributions_of_init(case, key):
    build, _, images = case
    drawn = zoo.init_variables(build(), key, images)
    plain = jax.jit(partial(build().init, train=False))(key, images)
    assert jax.tree.structure(drawn) == jax.tree.structure(plain)
    for ours, theirs in zip(jax.tree.leaves(drawn), jax.tree.leaves(plain), strict=True):
        assert ours.shape == theirs.shape
        assert ours.dtype == theirs.dtype
        if ours.size > 200:  # enough to compare spreads: the error of one is about 1 / sqrt(2 n)
            np.testing.assert_allclose(ours.std(), theirs.std(), rtol=6 / np.sqrt(2 * ours.size))
        if np.ptp(theirs) == 0:
            np.testing.assert_array_equal(ours, theirs)
