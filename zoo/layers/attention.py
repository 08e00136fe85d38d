"""Scaled dot-product attention over the tokens of a batch."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def attend(
    q: Float[Array, "b n d"], k: Float[Array, "b n d"], v: Float[Array, "b n d"], heads: int
) -> Float[Array, "b n d"]:
    r"""Every token becomes a mixture of the values of all tokens, in each head separately.

    .. math:: \mathrm{softmax}\left(Q K^\top / \sqrt{d / h}\right) V

    The softmax is computed in at least float32. Vaswani et al. 2017, equation 1,
    https://arxiv.org/abs/1706.03762.
    """
    b, n, d = q.shape
    q, k, v = (x.reshape(b, n, heads, d // heads) for x in (q, k, v))
    scores = jnp.einsum("bqhd,bkhd->bhqk", q * (d // heads) ** -0.5, k)
    weights = jax.nn.softmax(scores.astype(jnp.promote_types(scores.dtype, jnp.float32)))
    return jnp.einsum("bhqk,bkhd->bqhd", weights.astype(v.dtype), v).reshape(b, n, d)
