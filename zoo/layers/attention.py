"""Scaled dot-product attention over the tokens of a batch."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.layers.wide import wide


def attend(
    q: Float[Array, "b n d"], k: Float[Array, "b n d"], v: Float[Array, "b n d"], heads: int
) -> Float[Array, "b n d"]:
    r"""Every token becomes a mixture of the values of all tokens, in each head separately.

    .. math:: \mathrm{softmax}\left(Q K^\top / \sqrt{d / h}\right) V

    The softmax is computed in at least float32, and its division follows the product with V, where
    it concerns d / h numbers of a row instead of n. Vaswani et al. 2017, equation 1,
    https://arxiv.org/abs/1706.03762.
    """
    b, n, d = q.shape
    q, k, v = (x.reshape(b, n, heads, d // heads).swapaxes(1, 2) for x in (q, k, v))
    scores = (q * (d // heads) ** -0.5) @ k.swapaxes(2, 3)
    scores = scores.astype(wide(scores.dtype))
    weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True)))
    mixture = (weights.astype(v.dtype) @ v) / weights.sum(axis=-1, keepdims=True)
    return mixture.astype(v.dtype).swapaxes(1, 2).reshape(b, n, d)
