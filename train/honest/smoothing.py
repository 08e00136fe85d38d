r"""Randomised smoothing: answers that provably stay the same within a radius.

The smoothed network answers what the network says most often under Gaussian noise. If the
probability of that answer is at least \(\underline p > 1/2\), it stays the same within the radius
\(\sigma \Phi^{-1}(\underline p)\), in the Euclidean norm. Cohen et al. 2019,
https://arxiv.org/abs/1902.02918, theorem 1 and the procedures CERTIFY and PREDICT of section 3.2.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key
from scipy import stats

from zoo.errors import UsageError

ABSTAIN = -1


class Certificate(NamedTuple):
    """What is certain of each example.

    Attributes:
        answers: classes, or -1 where nothing is.
        radii: how far an input may move, in its own units; 0 where nothing is certain.
    """

    answers: Int[np.ndarray, " n"]
    radii: Float[np.ndarray, " n"]

    def certified(self, labels: Int[np.ndarray, " n"], radius: float) -> Bool[np.ndarray, " n"]:
        """Whether the right answer is certain at a radius."""
        return (self.answers == labels) & (self.radii >= radius)


def votes(
    answer: Callable[[Any], Int[Array, " b"]],
    inputs: Float[Array, "b ..."],
    key: Key[Array, ""],
    places: Int[Array, " b"],
    *,
    sigma: float | Float[Array, ""],
    count: int,
    classes: int,
) -> Int[Array, "b k"]:
    """How often each class is answered under noise.

    Args:
        answer: inputs -> classes.
        inputs: in the units of the noise.
        key: of the noise.
        places: of the examples in the data set: the noise of each depends on nothing else.
        sigma: standard deviation of the noise.
        count: of noisy inputs.
        classes: how many there are.
    """
    keys = jax.vmap(lambda place: jax.random.fold_in(key, place))(places)

    def add(total: Array, draw: Array) -> tuple[Array, None]:
        normal = lambda k: jax.random.normal(jax.random.fold_in(k, draw), inputs.shape[1:])  # noqa: E731
        said = answer(inputs + sigma * jax.vmap(normal)(keys).astype(inputs.dtype))
        return total + jax.nn.one_hot(said, classes, dtype=jnp.int32), None

    return jax.lax.scan(add, jnp.zeros((len(inputs), classes), jnp.int32), jnp.arange(count))[0]


def lower_bound(
    hits: Int[np.ndarray, " n"] | int, count: int, alpha: float
) -> Float[np.ndarray, " n"]:
    """One-sided bound of Clopper and Pearson: below the probability in all but `alpha` of cases.

    Args:
        hits: successes among `count` trials.
        count: trials.
        alpha: share of cases in which the bound may be wrong.

    Reference: https://doi.org/10.1093/biomet/26.4.404.
    """
    hits = np.atleast_1d(np.asarray(hits))
    bound = stats.beta.ppf(alpha, np.maximum(hits, 1), count - hits + 1)
    return np.where(hits > 0, bound, 0.0)


def certificate(
    first: Int[np.ndarray, "n k"], votes: Int[np.ndarray, "n k"], *, sigma: float, alpha: float
) -> Certificate:
    """What votes prove.

    Args:
        first: of a few noisy inputs, which choose the class.
        votes: of other ones, which count it. The first must not be among them.
        sigma: standard deviation of the noise.
        alpha: share of certificates that may be wrong.
    """
    chosen = first.argmax(axis=1)
    hits = np.take_along_axis(votes, chosen[:, None], axis=1)[:, 0]
    bound = lower_bound(hits, int(votes[0].sum()), alpha)
    sure = bound > 0.5
    radii = sigma * stats.norm.ppf(np.where(sure, bound, 0.5))
    return Certificate(np.where(sure, chosen, ABSTAIN), radii)


def predicted(votes: Int[np.ndarray, "n k"], *, alpha: float) -> Int[np.ndarray, " n"]:
    """The class that leads by more than chance allows, or -1: a two-sided binomial test.

    Args:
        votes: of noisy inputs.
        alpha: share of answers that may be wrong.
    """
    order = np.sort(votes, axis=1)
    first, second = order[:, -1], order[:, -2]
    tests = [
        stats.binomtest(int(a), int(a + b), 0.5).pvalue for a, b in zip(first, second, strict=True)
    ]
    return np.where(np.asarray(tests) <= alpha, votes.argmax(axis=1), ABSTAIN)


def check_noise(sigma: float, alpha: float, count: int) -> None:
    """Refuses what certifies nothing.

    Raises:
        UsageError: no noise, no draws, or an alpha that is no probability.
    """
    if not sigma > 0 or not 0 < alpha < 1 or count < 1:
        raise UsageError(
            "certificates need `sigma` above 0, `alpha` between 0 and 1 and `n` of at least 1, got "
            f"{sigma}, {alpha} and {count}"
        )
