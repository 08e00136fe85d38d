r"""Systems of linear equations whose matrix is tridiagonal.

By Givens rotations, which need no pivoting: one program serves every device, and `jax.vmap`
solves many systems side by side. (LAPACK's batched solvers, as jaxlib calls them, wait in a thread
of XLA's pool for other threads of the same pool: two at a time may wait for each other for ever.)
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Diagonal = Float[Array, " n"]


def solve(
    lower: Diagonal, main: Diagonal, upper: Diagonal, right: Float[Array, "n k"]
) -> Float[Array, "n k"]:
    r"""The x of \(l_i x_{i-1} + d_i x_i + u_i x_{i+1} = r_i\); l_0 and the last u must be 0."""
    across = jnp.roll(upper, 1), main, jnp.roll(lower, -1)  # the transposed matrix
    return jax.lax.custom_linear_solve(
        lambda x: multiply(lower, main, upper, x),
        right,
        lambda _, right: _rotate_and_substitute(lower, main, upper, right),
        lambda _, right: _rotate_and_substitute(*across, right),
    )


def _rotate_and_substitute(
    lower: Diagonal, main: Diagonal, upper: Diagonal, right: Float[Array, "n k"]
) -> Float[Array, "n k"]:
    """Golub & Van Loan, "Matrix Computations", section 5.2.5: 14 n + 9 n k operations."""
    below = lower[1:], main[1:], upper[1:], right[1:]

    def rotate(row: tuple, next_row: tuple) -> tuple[tuple, tuple]:
        diagonal, above, r = row
        left, d, u, r2 = next_row
        length = jnp.sqrt(diagonal * diagonal + left * left)
        c, s = diagonal / length, left / length
        done = length, c * above + s * d, s * u, c * r + s * r2
        return (c * d - s * above, c * u, c * r2 - s * r), done

    def substitute(x: tuple, row: tuple) -> tuple[tuple, Array]:
        diagonal, above, second, r = row
        now = (r - above * x[0] - second * x[1]) / diagonal
        return (now, x[0]), now

    zeros = jnp.zeros_like(right[0])
    (diagonal, _, r), rows = jax.lax.scan(rotate, (main[0], upper[0], right[0]), below)
    last = r / diagonal
    x = jax.lax.scan(substitute, (last, zeros), rows, reverse=True)[1]
    return jnp.concatenate([x, last[None]])


def multiply(
    lower: Diagonal, main: Diagonal, upper: Diagonal, x: Float[Array, "n k"]
) -> Float[Array, "n k"]:
    """The right side that `solve` would bring back to x."""
    none = jnp.zeros_like(x[:1])  # where an entry of `lower` or `upper` is not in the matrix
    before, after = jnp.concatenate([none, x[:-1]]), jnp.concatenate([x[1:], none])
    return lower[:, None] * before + main[:, None] * x + upper[:, None] * after
