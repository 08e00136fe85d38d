"""Properties that hold for every row of the image families, on its smallest form."""

import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from tests.zoo import tiny
from zoo.inception import AVG, Mixed, Pool, Residual, Unit, branches, conv, fork
from zoo.layers.local_attention import ela_l
from zoo.lnlstm import LNLSTM
from zoo.lssl import LSSL
from zoo.nasnet import NASNet

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
PARTS = {  # what no row shows alone, and a sequence
    "nasnet's operations": (
        partial(
            NASNet, SMALL_NASNET, cells=(1, 1), filters=8, stem_width=4, stem_cells=1, num_classes=5
        ),
        (33, 26, 3),
    ),
    "inception's blocks": (
        partial(zoo.inception.Inception, SMALL_INCEPTION, smallest=2, num_classes=5),
        (32, 24, 3),
    ),
    "efficient local attention": (
        partial(zoo.resnet.resnet50, **SMALL, attention_cls=ela_l),
        (32, 24, 3),
    ),
    "lnlstm": (partial(LNLSTM, width=8, depth=2, num_classes=5), (5, 4, 3)),
    "lssl": (partial(LSSL, width=8, state_size=4, depth=2, channels=2, num_classes=5), (5, 4, 3)),
}
ROWS = tiny.structures()
FAST = ("resnet26", "resnet8", "resnetv2_50", "tnt_ti_patch16_224")
FAST += ("simplenetv1_small_m1_05", "inception's blocks", "lssl")
# A constant in front of a batch norm that subtracts the batch's mean: zero but for rounding.
WITHOUT_GRADIENT = tuple(f"['conv{k}']['bias']" for k in ("", 1, 2, 3))
DRAWS = "['decoder"  # what draws has no part in the logits


class Case:
    """A small network, its variables moved away from their special initial values, four images."""

    def __init__(self, build, shape):
        random = np.random.default_rng(0)
        self.build = build
        self.images = jnp.asarray(random.normal(size=(4, *shape)), jnp.float32)
        fresh = zoo.init_variables(build(), jax.random.key(0), self.images)
        noise = lambda x: x + 0.1 * np.float32(random.normal(size=x.shape)) if x.ndim < 2 else x  # noqa: E731
        self.variables = jax.tree.map(noise, fresh)
        self.forward = jax.jit(partial(build().apply, train=False))

    @functools.cached_property
    def logits(self):
        return self.forward(self.variables, self.images)

    @functools.cached_property
    def gradients(self):
        return self.gradients_of(self.build())

    def gradients_of(self, model):
        def loss(params):
            state = {**self.variables, "params": params}
            rngs = {"permutation": jax.random.key(1)}
            logits, _ = model.apply(
                state, self.images, train=True, mutable=["batch_stats"], rngs=rngs
            )
            return jnp.square(logits - jnp.arange(logits.shape[-1])[None]).mean()

        return jax.jit(jax.grad(loss))(self.variables["params"])


@functools.cache
def made(name):
    return Case(*(PARTS[name] if name in PARTS else tiny.tiny(name)))


def parameters(names):
    return [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in names]


@pytest.fixture(scope="module", params=parameters([*PARTS, *ROWS]))
def case(request):
    """Every row of the image families, once for those that differ only in size.

    The tests of a row follow each other, so that it is compiled once.
    """
    return made(request.param)


@pytest.fixture(params=parameters([*PARTS, *(name for name in FAST if name in ROWS)]))
def family(request):
    """One of each family, for what their rows share."""
    return made(request.param)


def assert_close(found, expected, tolerance=1e-5):
    """Differences are relative to the largest magnitude."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


def test_eager_equals_jit(case):
    assert_close(case.build().apply(case.variables, case.images, train=False), case.logits)


def test_an_image_alone_equals_itself_in_a_batch(case):
    alone = [case.forward(case.variables, image[None]) for image in case.images]
    assert_close(jnp.concatenate(alone), case.logits)


def test_bfloat16_is_close_and_logits_are_float32(case):
    rough = jax.jit(partial(case.build(dtype=jnp.bfloat16).apply, train=False))
    logits = rough(case.variables, case.images)
    assert logits.dtype == jnp.float32
    assert_close(logits, case.logits, 0.05)  # eight bits, through up to fifty layers


def test_every_gradient_is_finite_and_not_zero(case):
    for path, gradient in jax.tree_util.tree_leaves_with_path(case.gradients):
        assert np.isfinite(gradient).all(), path
        where = jax.tree_util.keystr(path)
        vanishes = where.endswith(WITHOUT_GRADIENT) or where.startswith(DRAWS)
        assert vanishes or np.abs(gradient).max() > 0, path


def test_features_are_a_pyramid(case):
    order = []

    def features(variables, images):
        pyramid = case.build().apply(variables, images, train=False, method="features")
        order.extend(pyramid)
        return pyramid

    pyramid = jax.eval_shape(features, case.variables, case.images)
    headless = partial(case.build(num_classes=None).apply, train=False)
    assert order.pop() == "pooled"
    assert pyramid["pooled"] == jax.eval_shape(headless, case.variables, case.images)
    shapes = [pyramid[stage].shape for stage in order]
    assert all(len(shape) in (3, 4) and shape[0] == len(case.images) for shape in shapes)
    sides = [shape[1:-1] for shape in shapes]
    assert sides == sorted(sides, reverse=True)


def test_remat_changes_nothing(family):
    remat = family.gradients_of(family.build(remat=True))
    largest = max(float(np.abs(g).max()) for g in jax.tree.leaves(family.gradients))
    close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5 * largest)
    jax.tree.map(close, remat, family.gradients)


def test_without_classes_a_network_gives_its_pooled_features(family):
    pyramid = family.build().apply(family.variables, family.images, train=False, method="features")
    headless = family.build(num_classes=None).apply(family.variables, family.images, train=False)
    np.testing.assert_array_equal(headless, pyramid["pooled"])


def test_statistics_change_in_training_only(family):
    before = jax.tree.leaves(family.variables.get("batch_stats", {}))
    for train in (True, False):
        _, updated = family.build().apply(
            family.variables,
            family.images,
            train=train,
            mutable=["batch_stats"],
            rngs={"permutation": jax.random.key(1)},
        )
        after = jax.tree.leaves(updated)
        moved = [not np.array_equal(a, b) for a, b in zip(after, before, strict=True)]
        assert all(moved) if train else not any(moved)


def test_init_variables_has_the_tree_and_distributions_of_init(family, key):
    build, images = family.build, family.images
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
