r"""Discrete state spaces: their kernel and their recurrence.

.. math:: x_k = \bar A x_{k-1} + \bar B u_k,\quad y_k = C x_k

The impulse response \(K_l = C \bar A^l \bar B\) for l < L is built on two levels. With
\(s \approx \sqrt L\), a power of two,

.. math:: X = [\bar A^i \bar B]_{i < s},\quad Y = [C \bar A^{s j}]_{j < L / s},\quad
          K_{i + s j} = Y_j X_i

so that only about 2 √L vectors of size N exist where doubling has L of them. Powers of
\(\bar A\) come from log₂ L squarings. Functions are of one feature; matrices are (n, n).

Gu et al. 2021, https://arxiv.org/abs/2110.13985. Every product is in full float32 (or float64):
with the TensorFloat-32 or bfloat16 of accelerators a long kernel has errors of 1 to 10 per cent.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

matmul = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def krylov(
    a: Float[Array, "n n"], start: Float[Array, "n r"], count: int
) -> tuple[Float[Array, "c n r"], Float[Array, "n n"]]:
    """`[start, A start, ..., A^(c-1) start]` by doubling, and A^c, for c a power of two."""
    found = start[None]
    for _ in range(count.bit_length() - 1):
        found = jnp.concatenate([found, matmul(a[None], found)])
        a = matmul(a, a)
    return found, a


def stride(length: int) -> int:
    """The power of two from √length on."""
    return 2 ** math.ceil(math.log2(math.sqrt(length)))


def impulse_response(
    a: Float[Array, "n n"], start: Float[Array, "n r"], c: Float[Array, "m n"], length: int
) -> Float[Array, "m r l"]:
    r"""\(C A^l x\) for every column x of `start` and l = 0, ..., length - 1."""
    inner = stride(length)
    outer = 2 ** math.ceil(math.log2(math.ceil(length / inner)))
    columns, power = krylov(a, start, inner)
    rows, _ = krylov(power.T, c.T, outer)
    table = jnp.einsum("jnm,inr->mrji", rows, columns, precision=jax.lax.Precision.HIGHEST)
    return table.reshape(*table.shape[:2], outer * inner)[..., :length]


def final_state(
    a: Float[Array, "n n"], b: Float[Array, " n"], u: Float[Array, "b l"], x: Float[Array, "b n"]
) -> Float[Array, "b n"]:
    r"""The state after all of `u` from the state x before it: a Horner scheme over chunks.

    A chunk of s inputs adds \(\sum_i \bar A^{s-1-i} \bar B u_i\); between chunks the state is
    multiplied by \(\bar A^s\).
    """
    size = stride(u.shape[1])
    columns, power = krylov(a, b[:, None], size)
    chunks = jnp.pad(u, ((0, 0), (-u.shape[1] % size, 0)))  # zeros before the beginning
    whole, rest = divmod(u.shape[1], size)
    chunks = chunks.reshape(u.shape[0], whole + bool(rest), size)
    added = matmul(chunks[..., ::-1], columns[..., 0])
    first = x if not rest else advance(a, x, rest)

    def join(state: Array, chunk: Array) -> tuple[Array, None]:
        return matmul(state, power.T) + chunk, None

    begin, later = (first + added[:, 0], added[:, 1:]) if rest else (first, added)
    return jax.lax.scan(join, begin, later.swapaxes(0, 1))[0]


def advance(a: Float[Array, "n n"], x: Float[Array, "b n"], steps: int) -> Float[Array, "b n"]:
    """A^steps applied to every row of x."""
    while steps:
        x = matmul(x, a.T) if steps & 1 else x
        a, steps = (matmul(a, a) if steps > 1 else a), steps >> 1
    return x


def update(
    a: Float[Array, "h n n"],
    b: Float[Array, "h n"],
    x: Float[Array, "b h n"],
    u: Float[Array, "b h"],
) -> Float[Array, "b h n"]:
    """One step of the recurrence for every feature."""
    moved = jnp.einsum("hij,bhj->bhi", a, x, precision=jax.lax.Precision.HIGHEST)
    return moved + b[None] * u[..., None]


def read(c: Float[Array, "h m n"], x: Float[Array, "b h n"]) -> Float[Array, "b h m"]:
    """What the channels see of the state."""
    return jnp.einsum("hmn,bhn->bhm", c, x, precision=jax.lax.Precision.HIGHEST)
