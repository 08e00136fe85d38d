"""Curves under attack and certificates: laws that hold, bounds that cover, signs of masking."""

import dataclasses
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image
from scipy import stats
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import checkpoints
import train
import zoo
from checkpoints.preprocess import Preprocess
from jax_functional_zoo.__main__ import main
from train.cli.robust import certify_options
from train.honest import curves, smoothing
from train.honest.robustness import (
    Case,
    eps_range,
    first_order_radius,
    margin,
    masking,
    power_law,
    withstood,
)
from train.methods.entropy import entropy_penalty
from train.methods.noise import gaussian_noise
from zoo.errors import UsageError

POINTS, SIZES = 200_000, np.geomspace(0.001, 0.03, 8)
EVERYWHERE = {"low": -np.inf, "high": np.inf}


def gaussian(score, points):
    """Gaussian points, labelled by the network itself."""
    inputs = jax.random.normal(jax.random.key(0), (points, 10))
    labels = score(inputs).argmax(axis=-1)
    return Case(score, inputs, labels, jax.random.key(1), **EVERYWHERE)


def errors(case, name):
    run = jax.jit(lambda eps: withstood(case, name, eps))
    return np.array([1 - float(run(jnp.float32(eps)).mean()) for eps in SIZES])


def linear(x):
    weights = jax.random.normal(jax.random.key(2), (10, 3))
    return x @ weights


def deep(x):
    for i, width in enumerate((32, 32, 3)):
        kernel = jax.random.normal(jax.random.key(10 + i), (x.shape[-1], width))
        x = (jax.nn.relu(x) if i else x) @ kernel / np.sqrt(x.shape[-1])
    return x


def test_the_error_of_a_linear_network_grows_linearly_and_is_its_margins_share():
    case = gaussian(linear, POINTS)
    found = errors(case, "fgsm")
    law = power_law(SIZES, found)
    assert 0.9 <= law.slope <= 1.1
    assert law.r2 >= 0.995
    few = case._replace(inputs=case.inputs[:2000], labels=case.labels[:2000])
    radii = np.asarray(first_order_radius(few))
    for eps in (0.01, 0.2):
        broken = ~np.asarray(withstood(few, "pgd", jnp.float32(eps)))
        # One step goes up the loss, which is towards the nearest class for most points only.
        assert (broken <= (radii <= eps * (1 + 1e-5))).all()
        assert abs(broken.mean() - (radii <= eps).mean()) <= 0.01


def test_of_two_classes_it_is_the_share_exactly():
    case = gaussian(lambda x: linear(x)[:, :2], 2000)
    radii = np.asarray(first_order_radius(case))
    for name in ("fgsm", "pgd"):
        broken = ~np.asarray(withstood(case, name, jnp.float32(0.1)))
        near = np.abs(radii - 0.1) < 1e-5  # a matter of rounding
        np.testing.assert_array_equal(broken[~near], (radii <= 0.1)[~near])


def test_the_error_of_a_random_deep_network_grows_linearly_at_first():
    law = power_law(SIZES, errors(gaussian(deep, POINTS), "fgsm"))
    assert 0.9 <= law.slope <= 1.1
    assert law.r2 >= 0.995


def test_a_power_law_is_recovered():
    law = power_law([0.0, 0.1, 0.2, 0.4], [0.0, 3 * 0.1**1.5, 3 * 0.2**1.5, 3 * 0.4**1.5])
    np.testing.assert_allclose(law, (1.5, 3, 1))
    assert power_law([0.1, 0.2, 0.4], [0.0, 0.1, 0.2]) is None


class Fixed(nn.Module):
    """The same logits for every input."""

    classes: int

    @nn.compact
    def __call__(self, x, *, train):
        return self.param("logits", nn.initializers.zeros, (1, self.classes)) * x[:, :1]


class Logistic(nn.Module):
    """Logistic regression on pixels: small enough for thousands of passes."""

    @nn.compact
    def __call__(self, x, *, train):
        return nn.Dense(10)(x.reshape(len(x), -1))


@pytest.fixture(scope="module")
def digits():
    pixels, labels = load_digits(return_X_y=True)
    pixels = (pixels / 16).astype(np.float32)
    fitted = LogisticRegression(C=0.1, max_iter=500).fit(pixels[:1500] * 2 - 1, labels[:1500])
    weights = {"kernel": fitted.coef_.T, "bias": fitted.intercept_}
    variables = {"params": {"Dense_0": jax.tree.map(jnp.float32, weights)}}
    preprocess = Preprocess(image_size=8, crop_pct=1.0, mean=(0.5,), std=(0.5,))
    images = pixels[-96:].reshape(-1, 8, 8, 1)
    return curves.Examples(Logistic(), variables, preprocess, images, labels[-96:])


def curve(given, name, eps=(0.05, 0.15), size=48):
    return curves.curve(given, name, eps, batch_size=size, advance=lambda passes: None)


def test_twenty_steps_are_never_above_one_and_nothing_is_without_eps(digits):
    one, many = curve(digits, "fgsm"), curve(digits, "pgd")
    assert (many.accuracy <= one.accuracy).all()
    assert many.accuracy[0] == one.accuracy[0] > 0.85
    assert many.accuracy[2] < one.accuracy[2] < one.accuracy[0]
    assert (one.low < one.accuracy).all()
    assert (one.high[1:] > one.accuracy[1:]).all()


def test_gradients_at_the_examples_predict_the_error_of_a_linear_network(digits):
    eps = (0.02, 0.05)
    predicted = curves.predicted_error(digits, eps, 48)
    np.testing.assert_allclose(1 - curve(digits, "pgd", eps).accuracy[1:], predicted, atol=0.05)


def test_padding_of_the_last_batch_counts_for_nothing(digits):
    np.testing.assert_array_equal(
        curve(digits, "fgsm", size=40).accuracy, curve(digits, "fgsm").accuracy
    )


def test_masked_gradients_are_found_out():
    """A network whose logits have steps has no gradient, and falls to queries."""
    inputs = jax.random.normal(jax.random.key(0), (200, 10))
    stairs = lambda x: jnp.round(linear(x) * 1e4)  # noqa: E731
    case = Case(stairs, inputs, linear(inputs).argmax(-1), jax.random.key(1), **EVERYWHERE)
    for score, sound in ((stairs, False), (linear, True)):
        found = {
            name: np.array([withstood(case._replace(score=score), name, 0.3).mean()])
            for name in ("fgsm", "pgd", "queries", "noise")
        }
        wide = withstood(case._replace(score=score), "pgd", 100.0).mean()
        checks = masking(found, float(wide))
        assert all(checks.values()) == sound, checks


def test_margins_are_negative_where_the_answer_is_wrong():
    logits = jnp.array([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [2.0, 2.0, 0.0]])
    np.testing.assert_array_equal(margin(logits, jnp.array([0, 2, 0])), [1, -1, 0])


@pytest.mark.parametrize("hits", [0, 1, 57, 99, 100])
def test_the_bound_is_that_of_clopper_and_pearson(hits):
    exact = stats.binomtest(hits, 100, alternative="greater").proportion_ci(0.999, "exact").low
    np.testing.assert_allclose(smoothing.lower_bound(hits, 100, 0.001), exact, rtol=1e-12)


def test_the_bound_is_below_the_probability_as_often_as_promised():
    random, alpha = np.random.default_rng(0), 0.05
    for p in (0.5, 0.8, 0.99):
        bound = smoothing.lower_bound(random.binomial(100, p, size=1000), 100, alpha)
        assert (bound <= p).mean() >= 1 - alpha - 3 * np.sqrt(alpha * (1 - alpha) / 1000)


def test_of_a_linear_network_the_radius_is_the_distance_to_the_border():
    normal = jnp.asarray([0.6, 0.8])
    answer = lambda x: (x @ normal > 0).astype(jnp.int32)  # noqa: E731
    inputs = jnp.asarray([[0.06, 0.08], [-0.3, -0.4], [0.0, 0.0], [3.0, 4.0]])
    options = {"sigma": 0.25, "classes": 2}
    counts = [
        np.asarray(
            smoothing.votes(answer, inputs, jax.random.key(i), jnp.arange(4), count=n, **options)
        )
        for i, n in enumerate((100, 20_000))
    ]
    assert (counts[1].sum(axis=1) == 20_000).all()
    proof = smoothing.certificate(*counts, sigma=0.25, alpha=0.001)
    np.testing.assert_array_equal(proof.answers[[0, 1, 3]], [1, 0, 1])
    np.testing.assert_allclose(proof.radii[:2], [0.1, 0.5], atol=0.03)
    assert (proof.radii <= np.array([0.1, 0.5, 0.02, 5])).all()
    np.testing.assert_array_equal(smoothing.predicted(counts[1], alpha=1e-6), [1, 0, -1, 1])
    assert proof.certified(np.array([1, 1, 0, 1]), 0.05).tolist() == [True, False, False, True]
    alone = smoothing.votes(
        answer, inputs[1:2], jax.random.key(0), jnp.arange(1, 2), count=100, **options
    )
    np.testing.assert_array_equal(alone, counts[0][1:2])  # noise belongs to the example


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.1", (0.1,)), ("0.1,0.3", (0.1, 0.3)), ("0.01:0.04:3", (0.01, 0.02, 0.04))],
)
def test_sizes_are_written_as_numbers_or_ranges(text, expected):
    np.testing.assert_allclose(eps_range(text), expected)


@pytest.mark.parametrize("text", ["", "a", "0", "0.1,-1", "0:1", "0.1:0.2:1", "1:2:3:4", "nan"])
def test_sizes_that_are_none_are_refused(text):
    with pytest.raises(UsageError, match="`eps` must be positive sizes"):
        eps_range(text)


def test_options_of_certificates():
    found = certify_options("sigma=0.5,n=200")
    assert found == {"sigma": 0.5, "radius": 0.5, "n": 200, "n0": 100, "alpha": 0.001}
    for text in ("radius=1", "sigma=x", "sigma=0.5,k=3", "sigma=0", "sigma=1,alpha=2"):
        with pytest.raises(UsageError, match="sigma"):
            certify_options(text)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A network of a few hundred parameters, fresh, as a checkpoint."""
    loaded = checkpoints.load("resnet8.digits")
    fields = {"stage_sizes": [1], "width": 2}
    model = zoo.create_model("resnet8", **fields)
    images = jnp.zeros((1, *loaded.preprocess.shape))
    card = dataclasses.replace(loaded.card, overrides=fields, metrics={}, fingerprint=None)
    folder = tmp_path_factory.mktemp("weights") / "tiny"
    checkpoints.save(folder, zoo.init_variables(model, jax.random.key(0), images), card)
    return str(folder)


def test_the_command_draws_curves_and_certifies(tiny, tmp_path, capsys):
    options = ["--attacks", "fgsm", "--eps", "0.05,0.1,0.2", "--limit", "8", "--batch-size", "8"]
    options += ["--certify", "sigma=0.1,n=50,n0=20,alpha=0.01", "--dataset", "zoo_digits"]
    plot = tmp_path / "curve.png"
    assert main(["robust", "--weights", tiny, *options, "--plot", str(plot), "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["count"] == 8
    attacked = found["attacks"]["fgsm"]
    assert attacked["eps"] == [0, 0.05, 0.1, 0.2]
    assert attacked["accuracy"] == sorted(attacked["accuracy"], reverse=True)
    assert len(found["checks"]) == 3
    assert found["certified"]["radius"] == 0.1
    assert "passes of one example through the network" in said.err
    with Image.open(plot) as picture:
        assert picture.size[0] > 800


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--attacks", "fgms"], "did you mean 'fgsm'?"),
        (["--attacks", ","], "`--attacks` must name some of noise"),
        (["--plot", "curve.txt"], "`--plot` must be a file that ends in .png"),
        (["--limit", "0"], "`--limit` must be at least 1"),
        (["--dataset", "zoo_digit_bags"], "classes"),
    ],
)
def test_what_cannot_be_measured_is_refused(options, said, capsys):
    assert main(["robust", "--weights", "resnet8.digits", *options]) == 2
    assert said in capsys.readouterr().err


def test_noise_and_entropy_are_added_in_training():
    batch = {"input": jnp.zeros((512, 4, 4, 2)), "label": jnp.zeros(512, jnp.int32)}
    sigma = np.array([0.5, 2.0], np.float32)
    noisy = gaussian_noise(sigma)(batch, batch, jax.random.key(0))["input"]
    np.testing.assert_allclose(noisy.std((0, 1, 2)), sigma, rtol=0.05)
    with pytest.raises(UsageError, match="`sigma` must be positive"):
        gaussian_noise(0.0)
    logits = jnp.log(jnp.array([[0.5, 0.25, 0.25]]))
    state = train.create_state(
        {"params": {"logits": logits}}, optax.sgd(0.0), key=jax.random.key(0)
    )
    step = train.make_train_step(Fixed(3), optax.sgd(0.0), objective=entropy_penalty(weight=2.0))
    one = {"input": jnp.ones((1, 1)), "label": jnp.array([0])}
    _, metrics = step(state, one, jax.random.key(0))
    np.testing.assert_allclose(metrics["entropy"], 1.5 * np.log(2), rtol=1e-6)
    np.testing.assert_allclose(metrics["loss"], np.log(2) + 3 * np.log(2), rtol=1e-6)
