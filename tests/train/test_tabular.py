"""Estimators of small tables."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import train_test_split

import zoo
from train.tabular import (
    HopularClassifier,
    HopularRegressor,
    Settings,
    Table,
    corrupt,
    encode,
    hide,
    losses,
)

SIZES, DISCRETE = (1, 3, 2), (1, 2)
SMALL = {"width": 4, "depth": 1, "heads": 1, "random_state": 0}


@pytest.fixture
def table():
    values = np.array([[0.5, 2, 0], [np.nan, 0, 1], [-1.0, np.nan, 1], [2.0, 1, 0]])
    return Table(*map(jnp.asarray, encode(values, SIZES, DISCRETE)))


def test_rows_are_values_and_mask_bits(table):
    np.testing.assert_array_equal(table.rows[0], [0.5, 0, 0, 0, 1, 0, 1, 0, 0])
    np.testing.assert_array_equal(table.rows[1], [0, 0, 1, 0, 0, 0, 0, 1, 0])
    assert table.known.sum() == 10


def test_a_masked_attribute_is_zeros_and_a_bit(table):
    hidden = jnp.zeros((4, 3), bool).at[:, 1].set(True)
    rows = hide(table, hidden, SIZES)
    np.testing.assert_array_equal(rows[:, 2:6], [[0, 0, 0, 1]] * 4)
    np.testing.assert_array_equal(rows[:, :2], table.rows[:, :2])


def test_noise_hides_the_target_always_and_takes_values_from_other_rows(table):
    settings = Settings(0.1, 0.1, 0.9, 0.0, 1.0)
    rows = corrupt(table, 4, jax.random.key(0), SIZES, settings)
    np.testing.assert_array_equal(rows[:, 6:], [[0, 0, 1]] * 4)
    assert set(np.asarray(rows[:, 0]).tolist()) <= {0.5, 0.0, -1.0, 2.0}
    untouched = corrupt(
        table, 4, jax.random.key(0), SIZES, settings._replace(replace_probability=0.0)
    )
    np.testing.assert_array_equal(untouched[:, :6], table.rows[:, :6])


def test_losses_count_what_is_there(table):
    outputs = jnp.zeros((4, 6))
    features, target = losses(outputs, table, SIZES, DISCRETE)
    assert target == pytest.approx(np.log(2), rel=1e-5)
    assert features == pytest.approx(((0.25 + 1 + 4) / 3 + np.log(3)) / 2, rel=1e-5)


@pytest.mark.slow
def test_wine_is_told_apart():
    features, target = load_wine(return_X_y=True)
    known, asked, seen, truth = train_test_split(
        features, target, random_state=0, stratify=target, test_size=0.3
    )
    model = HopularClassifier(**SMALL, epochs=100).fit(known, seen)
    assert model.score(asked, truth) >= 0.9
    np.testing.assert_allclose(model.predict_proba(asked).sum(axis=1), 1)
    # Chunks are always of one size, so that a row does not depend on its company.
    np.testing.assert_array_equal(model.predict_proba(asked[:3]), model.predict_proba(asked)[:3])


@pytest.mark.slow
def test_missing_values_and_categories_are_taken_as_they_come():
    rng = np.random.default_rng(0)
    colour = rng.choice(["red", "green", None], 60)
    size = rng.normal(size=60)
    size[::7] = np.nan
    features = np.column_stack([colour, size.astype(object)])
    target = np.where(colour == "red", "warm", "cold")
    model = HopularClassifier(categorical=(0,), **SMALL, epochs=60).fit(features, target)
    assert model.score(features, target) >= 0.9
    assert model.predict(np.array([["never seen", 0.0]], object))[0] in ("warm", "cold")


def test_who_has_learned_nothing_says_so():
    for model in (HopularClassifier(), HopularRegressor()):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            model.predict(np.zeros((1, 2)))


def test_a_line_is_learned():
    features = np.random.default_rng(0).normal(size=(60, 2))
    target = 10 + 3 * features[:, 0]
    model = HopularRegressor(**SMALL, epochs=150).fit(features, target)
    assert model.score(features, target) >= 0.8


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"width": 0}, "`width` must be positive"),
        ({"categorical": (5,)}, "`categorical` must be indices of 2 columns"),
        ({"mask_probability": 0.9}, "together at most 1"),
    ],
)
def test_parameters_that_do_not_fit_are_a_sentence(parameters, words):
    with pytest.raises(zoo.UsageError, match=words):
        HopularClassifier(**SMALL | parameters).fit(np.zeros((4, 2)), [0, 1, 0, 1])
