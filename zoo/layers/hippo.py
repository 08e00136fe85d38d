r"""HiPPO matrices: the linear systems \(x' = A x + B u\) whose state remembers a signal.

\(x(t)\) are the coefficients of the past of \(u\) in a basis of orthogonal polynomials (or of
Fourier modes) under a measure that moves with time. Indices \(n, k\) count from zero.

Gu, Dao, Ermon, Rudra & Ré 2020, https://arxiv.org/abs/2008.07669, appendix D, and Gu et al. 2021,
https://arxiv.org/abs/2110.13985, appendix B. All functions compute in float64 with NumPy and
return `(A, B)` of shapes (N, N) and (N,).
"""

import math

import numpy as np
from jaxtyping import Float

from zoo.errors import UsageError

System = tuple[Float[np.ndarray, "n n"], Float[np.ndarray, " n"]]


def legs(size: int) -> System:
    r"""Scaled Legendre: the whole past, uniformly.

    .. math:: A_{nk} = -\sqrt{(2n+1)(2k+1)}\ (n > k),\quad A_{nn} = -(n+1),\quad B_n = \sqrt{2n+1}
    """
    n = _indices(size)
    root = np.sqrt(2 * n + 1)
    return -np.tril(np.outer(root, root), -1) - np.diag(n + 1), root


def legt(size: int) -> System:
    r"""Translated Legendre: a window of length 2, uniformly.

    .. math:: A_{nk} = -\tfrac12 \sqrt{(2n+1)(2k+1)}\,\{1\ (n \ge k);\ (-1)^{n-k}\ (n < k)\},
              \quad B_n = \tfrac12 \sqrt{2n+1}
    """
    n = _indices(size)
    root = np.sqrt(2 * n + 1)
    signs = np.where(n[:, None] < n, _alternating(size), 1.0)
    return -0.5 * np.outer(root, root) * signs, 0.5 * root


def lagt(size: int, beta: float = 1.0) -> System:
    r"""Translated Laguerre: the past, fading exponentially.

    .. math:: A_{nk} = -\{1\ (n > k);\ \tfrac12\ (n = k)\},\quad B_n = \beta
    """
    return 0.5 * np.eye(size) - np.tril(np.ones((size, size))), np.full(size, float(beta))


def tlagt(size: int, beta: float = 1.0) -> System:
    r"""Tilted Laguerre.

    .. math:: A_{nk} = -\{1\ (n > k);\ \tfrac{1+\beta}2\ (n = k)\},\quad B_n = \beta
    """
    lower = np.tril(np.ones((size, size)))
    return (1 - beta) / 2 * np.eye(size) - lower, np.full(size, float(beta))


def glagt(size: int, alpha: float = 0.0, beta: float = 0.01) -> System:
    r"""Generalised Laguerre, with \(L_n = \sqrt{\Gamma(n+\alpha+1) / \Gamma(n+1)}\).

    .. math:: A = L^{-1} \bigl(-\tfrac{1+\beta}2 I - \mathrm{tril}(1, -1)\bigr) L,\quad
              B_n = L_n^{-1} \tbinom{\alpha+n}{n} \Gamma(1-\alpha)^{-1/2} \beta^{(1-\alpha)/2}

    Raises:
        UsageError: alpha is not in (-1, 1), or beta is not positive.
    """
    inverse, weights = glagt_scales(size, alpha, beta)
    matrix = -(1 + beta) / 2 * np.eye(size) - np.tril(np.ones((size, size)), -1)
    return inverse[:, None] * matrix / inverse, inverse * weights


def glagt_scales(
    size: int, alpha: float, beta: float
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """The diagonal of L⁻¹, and L B, of the generalised Laguerre system."""
    if not -1 < alpha < 1 or not beta > 0:
        raise UsageError(
            f"`alpha` must be in (-1, 1) and `beta` positive for a measure to exist, got {alpha} "
            f"and {beta}; the usual values are 0.0 and 0.01."
        )
    gamma = np.array([math.lgamma(n + alpha + 1) - math.lgamma(n + 1) for n in range(size)])
    binomial = np.exp(gamma - math.lgamma(alpha + 1))  # of alpha + n over n
    factor = math.exp(-0.5 * math.lgamma(1 - alpha)) * beta ** ((1 - alpha) / 2)
    return np.exp(-0.5 * gamma), binomial * factor


def lmu(size: int) -> System:
    r"""The Legendre memory unit's form of LegT (Voelker et al. 2019), window of length 1.

    .. math:: A_{nk} = (2n+1) \{-1\ (n < k);\ (-1)^{n-k+1}\ (n \ge k)\},\quad B_n = (-1)^n (2n+1)
    """
    n = _indices(size)
    scale = 2 * n + 1
    signs = np.where(n[:, None] < n, -1.0, -_alternating(size))
    return scale[:, None] * signs, scale * (-1.0) ** n


def chebyshev(size: int) -> System:
    r"""Translated Chebyshev polynomials of the first kind, the weight of LSSL's ablations.

    .. math:: A = -T^{-1},\quad T = \mathrm{tridiag}(-\tfrac12, 0, \tfrac12),\quad B_n = 1

    Raises:
        UsageError: the size is odd, for which T is singular.
    """
    if size % 2:
        raise UsageError(f"`size` of the Chebyshev system must be even, got {size}.")
    off = np.full(size - 1, 0.5)
    return -np.linalg.inv(np.diag(off, 1) - np.diag(off, -1)), np.ones(size)


def fourier(size: int) -> System:
    r"""Translated Fourier modes: a window of length 1 whose far end is forgotten (FouT).

    .. math:: A = \pi R - B B^\top,\quad R_{2j+1,2j} = j = -R_{2j,2j+1},\quad
              B = (1, 0, \sqrt2, 0, \sqrt2, 0, \dots)

    An odd size is that system without its last sine.
    """
    rotation, ends = _rotation(size)
    return math.pi * rotation - np.outer(ends, ends), ends


def fourier_diagonal(size: int) -> System:
    r"""Fourier modes that all decay alike: \(A = 2 \pi R - I / 2\), R and B as `fourier`'s."""
    rotation, ends = _rotation(size)
    return 2 * math.pi * rotation - 0.5 * np.eye(size), ends


def _rotation(size: int) -> System:
    """Frequencies 0, 1, ... as 2×2 blocks on the diagonal, and the value of each mode at zero."""
    frequencies = np.zeros(size - 1)
    frequencies[::2] = np.arange(size // 2)
    ends = np.zeros(size)
    ends[::2] = math.sqrt(2)
    ends[0] = 1.0
    return np.diag(frequencies, -1) - np.diag(frequencies, 1), ends


def _indices(size: int) -> Float[np.ndarray, " n"]:
    return np.arange(size, dtype=np.float64)


def _alternating(size: int) -> Float[np.ndarray, "n n"]:
    """(-1)^(n - k)."""
    n = _indices(size)
    return (-1.0) ** (n[:, None] - n)


HIPPO = {
    "legs": legs,
    "legt": legt,
    "lagt": lagt,
    "tlagt": tlagt,
    "glagt": glagt,
    "lmu": lmu,
    "chebyshev": chebyshev,
    "fourier": fourier,
    "fourier_diagonal": fourier_diagonal,
}
