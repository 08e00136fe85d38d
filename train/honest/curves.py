"""Robustness of weights on a data set: accuracy by eps, signs of masking, certified accuracy."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from checkpoints.preprocess import Preprocess
from checkpoints.pretrained import Pretrained
from train.data.dataset import Dataset, label, task_name
from train.honest import smoothing
from train.honest.robustness import (
    ATTACKS,
    Case,
    PowerLaw,
    bounds,
    first_order_radius,
    masking,
    on_raw,
    power_law,
    raw_inputs,
    withstood,
)
from zoo.errors import UsageError

CONFIDENCE = 0.95
CHECKED = "noise", "fgsm", "pgd", "queries"  # attacks that the check for masking compares
MOST_CHECKED = 64  # examples: queries are dear
Advance = Callable[[int], None]


class Examples(NamedTuple):
    """Examples in the units of attacks, and the network that reads them.

    Attributes:
        model: the network.
        variables: its weights.
        preprocess: what stands before it.
        inputs: (n, ...).
        labels: (n,).
    """

    model: nn.Module
    variables: Any
    preprocess: Preprocess
    inputs: np.ndarray
    labels: Int[np.ndarray, " n"]

    def first(self, count: int) -> "Examples":
        """Only the first ones."""
        return self._replace(inputs=self.inputs[:count], labels=self.labels[:count])


class Curve(NamedTuple):
    """Accuracy by eps, the first of which is 0, with intervals of Wilson, and the excess's fit."""

    eps: tuple[float, ...]
    accuracy: Float[np.ndarray, " n"]
    low: Float[np.ndarray, " n"]
    high: Float[np.ndarray, " n"]
    law: PowerLaw | None


def examples(loaded: Pretrained, data: Dataset, limit: int | None) -> Examples:
    """The first examples of a data set of classes.

    Raises:
        UsageError: the data set is none of classes.
    """
    if task_name(data) != "classes":
        raise UsageError(f"robustness is measured on classes, and {data.name} holds other labels")
    indices = range(len(data) if limit is None else min(limit, len(data)))
    labels = np.array([int(label(data, i)) for i in indices])
    inputs = raw_inputs(loaded.preprocess, data, indices)
    return Examples(loaded.model, loaded.variables, loaded.preprocess, inputs, labels)


def curve(
    given: Examples, name: str, eps: Sequence[float], *, batch_size: int, advance: Advance
) -> Curve:
    """Accuracy under one attack at each eps.

    Args:
        given: what is attacked.
        name: of the attack, in `ATTACKS`.
        eps: sizes, in the units of the inputs.
        batch_size: examples at a time.
        advance: called with the number of passes through the network that are done.
    """
    passes, every = ATTACKS[name][1], (0.0, *eps)
    hits = np.zeros(len(every), int)
    run = _compiled(given.model, given.preprocess, name)
    for number, (inputs, labels, real) in enumerate(_batches(given, batch_size)):
        key = jax.random.fold_in(jax.random.key(0), number)
        for i, size in enumerate(every):
            right = run(given.variables, inputs, labels, key, jnp.float32(size))
            hits[i] += int(np.asarray(right)[:real].sum())
            advance(passes * real)
    count = len(given.labels)
    intervals = [stats.binomtest(int(h), count).proportion_ci(CONFIDENCE, "wilson") for h in hits]
    accuracy = hits / count
    law = power_law(eps, accuracy[0] - accuracy[1:])
    low, high = (np.array([getattr(i, side) for i in intervals]) for side in ("low", "high"))
    return Curve(every, accuracy, low, high, law)


def predicted_error(given: Examples, eps: Sequence[float], batch_size: int) -> np.ndarray:
    """The error that gradients at the examples alone predict at each eps."""
    run = _first_order(given.model, given.preprocess)
    radii = [
        np.asarray(run(given.variables, inputs, labels))[:real]
        for inputs, labels, real in _batches(given, batch_size)
    ]
    return np.array([(np.concatenate(radii) <= size).mean() for size in eps])


def masking_check(
    given: Examples, eps: Sequence[float], *, batch_size: int, advance: Advance
) -> dict[str, bool]:
    """Signs that gradients are masked, on a few examples; True is what should be."""
    few, middle = given.first(MOST_CHECKED), sorted(eps)[len(eps) // 2]
    size = min(batch_size, len(few.labels))
    found = {
        name: curve(few, name, [middle], batch_size=size, advance=advance).accuracy[1:]
        for name in CHECKED
    }
    widest = 1.0 if np.isfinite(bounds(given.preprocess)[1]) else 100 * max(eps)
    whole = curve(few, "pgd", [widest], batch_size=size, advance=advance)
    return masking(found, float(whole.accuracy[1]))


def checking_passes(count: int) -> int:
    """Passes through the network that `masking_check` takes."""
    each = sum(ATTACKS[name][1] for name in (*CHECKED, "pgd"))
    return 2 * each * min(count, MOST_CHECKED)


def certified(
    given: Examples,
    *,
    sigma: float,
    n: int = 1000,
    n0: int = 100,
    alpha: float = 0.001,
    batch_size: int = 128,
    advance: Advance = lambda passes: None,
) -> smoothing.Certificate:
    """Certificates of the smoothed network for every example.

    Args:
        given: what is certified.
        sigma: standard deviation of the noise, in the units of the inputs.
        n: noisy inputs that count the class.
        n0: noisy inputs that choose it.
        alpha: share of certificates that may be wrong.
        batch_size: examples at a time.
        advance: called with the number of passes through the network that are done.

    Raises:
        UsageError: a value that certifies nothing.
    """
    smoothing.check_noise(sigma, alpha, min(n, n0))
    run = _voting(given.model, given.preprocess)
    first, second, place = [], [], 0
    for inputs, _, real in _batches(given, batch_size):
        places = place + jnp.arange(len(inputs))
        for number, (count, kept) in enumerate(((n0, first), (n, second))):
            key = jax.random.key(number)
            found = run(given.variables, inputs, key, places, jnp.float32(sigma), count)
            kept.append(np.asarray(found)[:real])
            advance(count * real)
        place += len(inputs)
    both = (np.concatenate(kept) for kept in (first, second))
    return smoothing.certificate(*both, sigma=sigma, alpha=alpha)


def _batches(given: Examples, size: int) -> Iterator[tuple[Any, Any, int]]:
    """Inputs and labels of one shape, and how many of them are no padding."""
    for start in range(0, len(given.labels), size):
        inputs, labels = (x[start : start + size] for x in (given.inputs, given.labels))
        missing = size - len(labels)
        pad = lambda x, m=missing: np.concatenate([x, np.repeat(x[:1], m, axis=0)])  # noqa: E731
        yield jnp.asarray(pad(inputs)), jnp.asarray(pad(labels)), len(labels)


def _score(model: nn.Module, variables: Any, preprocess: Preprocess) -> Any:
    """Logits of inputs in the units of attacks."""
    network: Any = functools.partial(model.apply, variables, train=False)
    return on_raw(network, preprocess)


@functools.lru_cache(maxsize=32)
def _compiled(model: nn.Module, preprocess: Preprocess, name: str) -> Any:
    low, high = bounds(preprocess)

    def run(variables: Any, inputs: Any, labels: Any, key: Any, eps: Any) -> Any:
        score = _score(model, variables, preprocess)
        return withstood(Case(score, inputs, labels, key, low, high), name, eps)

    return jax.jit(run)


@functools.lru_cache(maxsize=8)
def _first_order(model: nn.Module, preprocess: Preprocess) -> Any:
    def run(variables: Any, inputs: Any, labels: Any) -> Any:
        score = _score(model, variables, preprocess)
        return first_order_radius(Case(score, inputs, labels, jax.random.key(0), 0.0, 1.0))

    return jax.jit(run)


@functools.lru_cache(maxsize=8)
def _voting(model: nn.Module, preprocess: Preprocess) -> Any:
    def run(variables: Any, inputs: Any, key: Any, places: Any, sigma: Any, count: int) -> Any:
        score = _score(model, variables, preprocess)
        classes = jax.eval_shape(score, inputs).shape[-1]
        answer = lambda x: score(x).argmax(axis=-1)  # noqa: E731
        options = {"sigma": sigma, "count": count, "classes": classes}
        return smoothing.votes(answer, inputs, key, places, **options)

    return jax.jit(run, static_argnums=5)
