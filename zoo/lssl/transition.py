r"""Trainable forms of HiPPO systems: few numbers that span a matrix A and a vector B.

A `Transition` says which parameters there are, how they begin, and how \((A, B)\) of
\(x' = A x + B u\) follow from them. The stored parameters describe \(-A\), as in the authors'
repository, so that its weights fit.

Gu et al. 2021, https://arxiv.org/abs/2110.13985, section 4.2 and theorem 2.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from zoo.errors import UsageError
from zoo.layers import hippo
from zoo.layers.initializers import Initializer, constant
from zoo.lssl import tridiagonal
from zoo.lssl.discretization import Step

Matrices = tuple[Float[Array, "n n"], Float[Array, " n"]]
Parts = Mapping[str, Array]
Spec = tuple[tuple[int, ...], Initializer]


class Transition(NamedTuple):
    """A parametrised system.

    Attributes:
        system: from the parameters, by name, to `(A, B)`.
        parts: shape and initialiser of every parameter.
        bilinear: from the parameters, a step and alpha to what `generalized_bilinear` makes of
            `system(parts)`, where the form of A allows it in fewer operations; else None.
    """

    system: Callable[[Parts], Matrices]
    parts: Mapping[str, Spec]
    bilinear: Callable[..., Matrices] | None = None


def inverse_tridiagonal(parts: Parts) -> Matrices:
    r"""Inverse of a tridiagonal matrix, plus a diagonal, scaled from both sides.

    .. math:: A = -\mathrm{diag}(p_l) (T^{-1} + \mathrm{diag}(c)) \mathrm{diag}(p_r),\quad
              B = p_l \odot b,\quad T = \mathrm{tridiag}(d_l[1{:}N], d, d_u[1{:}N])

    `dl` and `du` have N + 1 entries, of which the first and the last are never used.
    """
    inverse = tridiagonal.solve(
        *_diagonals(parts), jnp.eye(len(parts["d"]), dtype=parts["d"].dtype)
    )
    inner = inverse + jnp.diag(parts["c"])
    return -parts["pl"][:, None] * inner * parts["pr"][None], parts["pl"] * parts["b"]


def inverse_tridiagonal_bilinear(parts: Parts, dt: Step, alpha: float = 0.5) -> Matrices:
    r"""`generalized_bilinear` of `inverse_tridiagonal` in N² instead of N³ operations.

    The resolvent \(x = (I - \alpha \Delta A)^{-1} e\) of a column is \(x = Q^{-1} T w\), where

    .. math:: \bigl((P^{-1} + \alpha \Delta C Q) Q^{-1} T + \alpha \Delta I\bigr) w = P^{-1} e

    with the diagonal matrices P, C and Q of \(p_l\), c and \(p_r\), and
    \(\bar A = \tfrac1\alpha R - \tfrac{1 - \alpha}\alpha I\) for the resolvent R of I: alpha must
    not be 0. Where no scale grows with n, as in `lagt`, the dense way is more exact for small
    steps.
    """
    lower, main, upper = _diagonals(parts)
    left, right, size = parts["pl"], parts["pr"], len(parts["d"])
    row = (1 / left + alpha * dt * parts["c"] * right) / right
    columns = jnp.concatenate([jnp.diag(1 / left), parts["b"][:, None]], axis=1)
    w = tridiagonal.solve(row * lower, row * main + alpha * dt, row * upper, columns)
    both = tridiagonal.multiply(lower, main, upper, w) / right[:, None]
    identity = jnp.eye(size, dtype=both.dtype)
    return both[:, :-1] / alpha - (1 - alpha) / alpha * identity, dt * both[:, -1]


def _diagonals(parts: Parts) -> tuple[Array, Array, Array]:
    return parts["dl"][:-1].at[0].set(0), parts["d"], parts["du"][1:].at[-1].set(0)


def cumulative(parts: Parts, size: int) -> Matrices:
    r"""Two numbers: \(A = -(\mathrm{tril}(1) + a I)\), and B = b everywhere."""
    ones = jnp.ones(size, parts["a"].dtype)
    return -(jnp.tril(jnp.outer(ones, ones)) + parts["a"] * jnp.diag(ones)), parts["b"] * ones


def toeplitz(parts: Parts) -> Matrices:
    r"""Lower triangular Toeplitz matrix in a scaled basis.

    .. math:: A = -\mathrm{diag}(c)\, \mathrm{toeplitz}(a)\, \mathrm{diag}(c)^{-1},\quad
              B = c \odot b
    """
    n = np.arange(parts["a"].shape[0])
    matrix = jnp.tril(parts["a"][np.abs(n[:, None] - n)])
    return -parts["c"][:, None] * matrix / parts["c"][None], parts["c"] * parts["b"]


def dense(parts: Parts) -> Matrices:
    """A and B themselves."""
    return parts["a"], parts["b"]


def legs(size: int, diag_scale: int = 2, diag_add: bool = True) -> Transition:
    r"""Scaled Legendre as `inverse_tridiagonal`, where \(T^{-1}\) is the lower triangle of ones.

    Args:
        size: N.
        diag_scale: scales are the roots of 2n + 1 (2), of n + 1 (1), or 1 (0).
        diag_add: the diagonal c is -n / (2n + 1), as LegS wants it; -1/2 otherwise.
    """
    n = np.arange(size)
    scales = {2: np.sqrt(2 * n + 1), 1: np.sqrt(n + 1), 0: np.ones(size)}
    if diag_scale not in scales:
        raise UsageError(f"`diag_scale` must be 0, 1 or 2, got {diag_scale}.")
    c = -n / (2 * n + 1) if diag_add else np.full(size, -0.5)
    return _tridiagonal(scales[diag_scale], constant(np.ones(size)), -1.0, 0.0, c)


def legt(size: int, corners: int = 3) -> Transition:
    r"""Translated Legendre (a window of length 1) as `inverse_tridiagonal`, with slight noise on d.

    Args:
        size: N.
        corners: where d begins at 1/2 and not 0: nowhere (0), first (1), last (2), both (3).
    """
    if corners not in range(4):
        raise UsageError(f"`corners` must be 0, 1, 2 or 3, got {corners}.")
    d = np.zeros(size)
    d[0] += 0.5 * (corners & 1)
    d[-1] += 0.25 * (corners & 2)
    scales = np.sqrt(2 * np.arange(size) + 1)
    return _tridiagonal(scales, _noisy(d, 1e-2), -0.5, 0.5, np.zeros(size))


def lagt(size: int) -> Transition:
    """Translated Laguerre as `inverse_tridiagonal`."""
    ones = np.ones(size)
    return _tridiagonal(ones, constant(ones), -1.0, 0.0, np.full(size, -0.5))


def jacobi(size: int, halve: bool = False, double_b: bool = True) -> Transition:
    """The authors' Jacobi variant of LegS as `inverse_tridiagonal`: scales √(2n + 2)."""
    scales, c = np.sqrt(2 * np.arange(size) + 2), np.full(size, -0.5 * halve)
    return _tridiagonal(scales, constant(np.ones(size)), -1.0, 0.0, c, b=1.0 + double_b)


def chebyshev(size: int) -> Transition:
    """Translated Chebyshev, of the first kind, as `inverse_tridiagonal`; d is slight noise.

    The second kind is the same but for entries of `dl` and `du` that are never used.
    """
    ones, zeros = np.ones(size), np.zeros(size)
    return _tridiagonal(ones, _noisy(zeros, 1e-3), -0.5, 0.5, zeros)


def lagt_sum(size: int, beta: float = 1.0) -> Transition:
    """Translated Laguerre as `cumulative`."""
    return _cumulative(size, -0.5, beta)


def tlagt_sum(size: int, beta: float = 1.0) -> Transition:
    """Tilted Laguerre as `cumulative`."""
    return _cumulative(size, -(1 - beta) / 2, beta)


def lagt_toeplitz(size: int) -> Transition:
    """Translated Laguerre as `toeplitz`."""
    return _toeplitz(0.5, np.ones(size), np.ones(size))


def glagt_toeplitz(size: int, alpha: float = 0.0, beta: float = 0.01) -> Transition:
    """Generalised Laguerre as `toeplitz`."""
    inverse, b = hippo.glagt_scales(size, alpha, beta)
    return _toeplitz((1 + beta) / 2, inverse, b)


def matrix(size: int, build: Callable[[int], hippo.System] = hippo.legs) -> Transition:
    """Any system of `zoo.layers.hippo` as `dense`."""
    a, b = build(size)
    return Transition(dense, {"a": (a.shape, constant(a)), "b": (b.shape, constant(b))})


def random(size: int) -> Transition:
    """Normal A of variance 1 / N², B of ones: what an LSSL without HiPPO begins with."""
    spec = {"a": ((size, size), Initializer("normal", gain=1 / size))}
    return Transition(dense, spec | {"b": ((size,), constant(np.ones(size)))})


def _tridiagonal(
    scales: np.ndarray,
    d: Initializer,
    below: float,
    above: float,
    c: np.ndarray,
    b: float = 1.0,
) -> Transition:
    size = len(scales)
    inside = np.pad(np.ones(size - 1), 1)
    parts = {"dl": constant(below * inside), "d": d, "du": constant(above * inside)}
    parts |= {"pl": constant(scales), "pr": constant(scales)}
    parts |= {"c": constant(c), "b": constant(np.full(size, b))}
    shapes = {name: (size + (name in ("dl", "du")),) for name in parts}
    specs = {name: (shapes[name], parts[name]) for name in parts}
    fast = inverse_tridiagonal_bilinear if scales[-1] > scales[0] else None
    return Transition(inverse_tridiagonal, specs, fast)


def _cumulative(size: int, a: float, b: float) -> Transition:
    parts = {"a": ((), constant(a)), "b": ((), constant(b))}
    return Transition(partial(cumulative, size=size), parts)


def _toeplitz(first: float, c: np.ndarray, b: np.ndarray) -> Transition:
    a = np.ones(len(c))
    a[0] = first
    parts = {"a": a, "c": c, "b": b}
    return Transition(toeplitz, {name: (v.shape, constant(v)) for name, v in parts.items()})


def _noisy(mean: np.ndarray, gain: float) -> Initializer:
    return Initializer("normal", mean=tuple(mean.tolist()), gain=gain)
