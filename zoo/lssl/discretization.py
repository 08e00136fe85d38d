r"""From a continuous system to a recurrence.

.. math:: x' = A x + B u \quad\to\quad x_k = \bar A x_{k-1} + \bar B u_k

Every function takes one system, A (n, n) and B (n,), and a step `dt` in units of time, and returns
\((\bar A, \bar B)\); use `jax.vmap` for several. Products are taken in full float32 on every
device: TensorFloat-32 or bfloat16 would cost two to four digits of a kernel of some hundred steps.

Gu et al. 2021, https://arxiv.org/abs/2110.13985, section 2 and appendix C.
"""

import jax
import jax.numpy as jnp
from jax.scipy.linalg import expm
from jaxtyping import Array, Float

Matrix = Float[Array, "n n"]
Vector = Float[Array, " n"]
Step = Float[Array, ""] | float
MAX_SQUARINGS = 20  # of a matrix of norm 2 million


def generalized_bilinear(
    a: Matrix, b: Vector, dt: Step, alpha: float = 0.5
) -> tuple[Matrix, Vector]:
    r"""Generalised bilinear transform: 0 is forward Euler, 1/2 bilinear, 1 backward Euler.

    .. math:: \bar A = (I - \alpha \Delta A)^{-1} (I + (1 - \alpha) \Delta A),\quad
              \bar B = (I - \alpha \Delta A)^{-1} \Delta B
    """
    identity = jnp.eye(len(b), dtype=a.dtype)
    right = jnp.concatenate([identity + (1 - alpha) * dt * a, dt * b[:, None]], axis=1)
    with jax.default_matmul_precision("highest"):
        both = solve(identity - alpha * dt * a, right)
    return both[:, :-1], both[:, -1]


def solve(a: Matrix, right: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """The x of `a @ x = right`; on a CPU under `vmap`, one system after the other.

    jaxlib's batched LU decomposition waits in a thread of XLA's pool for other threads of the same
    pool. Two at the same time, as in the gradients of two layers, may wait for each other for ever.
    """
    times = lambda x: jnp.matmul(a, x, precision=jax.lax.Precision.HIGHEST)  # noqa: E731
    return jax.lax.custom_linear_solve(
        times, right, lambda _, b: _solve(a, b), lambda _, b: _solve(a.T, b)
    )


def _solve(a: Matrix, right: Float[Array, "n k"]) -> Float[Array, "n k"]:
    return jax.lax.platform_dependent(a, right, cpu=_solve_in_turn, default=jnp.linalg.solve)


@jax.custom_batching.sequential_vmap
def _solve_in_turn(a: Matrix, right: Float[Array, "n k"]) -> Float[Array, "n k"]:
    return jnp.linalg.solve(a, right)


def zero_order_hold(a: Matrix, b: Vector, dt: Step) -> tuple[Matrix, Vector]:
    r"""The exact solution for an input that is constant within each step.

    .. math:: \exp\left(\Delta \begin{bmatrix} A & B \\ 0 & 0 \end{bmatrix}\right)
              = \begin{bmatrix} \bar A & \bar B \\ 0 & 1 \end{bmatrix}
    """
    joint = jnp.concatenate([a, b[:, None]], axis=1)
    joint = jnp.pad(joint, ((0, 1), (0, 0)))
    with jax.default_matmul_precision("highest"):
        solution = exponential(dt * joint)
    return solution[:-1, :-1], solution[:-1, -1]


def exponential(x: Matrix) -> Matrix:
    """Matrix exponential by scaling and squaring.

    `jax.scipy.linalg.expm` lets the scaled norm grow to twice of what its approximant is made
    for, which costs float32 two digits; here it is scaled to norms of at most 2 beforehand. A norm
    beyond two million gives NaN.
    """
    norm = jnp.abs(jax.lax.stop_gradient(x)).sum(axis=0).max()
    squarings = jnp.ceil(jnp.log2(jnp.maximum(norm / 2, 1)))

    def square(x: Matrix, k: Array) -> tuple[Matrix, None]:
        return jnp.where(k < squarings, x @ x, x), None

    small = expm(x * jnp.exp2(-squarings), max_squarings=1)
    power = jax.lax.scan(square, small, jnp.arange(MAX_SQUARINGS))[0]
    return jnp.where(squarings > MAX_SQUARINGS, jnp.nan, power)
