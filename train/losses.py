"""Losses per example, in float32 or better."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from zoo.layers.wide import wide


def softmax_cross_entropy(
    logits: Float[Array, "b k"],
    labels: Int[Array, " b"] | Float[Array, "b k"],
    *,
    smoothing: float = 0.0,
) -> Float[Array, " b"]:
    r"""Cross entropy \(-\sum_k q_k \log \mathrm{softmax}(z)_k\) of each example.

    Args:
        logits: unnormalised log probabilities z.
        labels: class indices, or the target distribution q itself (mixup).
        smoothing: share of q that is spread evenly over all classes; Szegedy et al. 2016,
            https://arxiv.org/abs/1512.00567, section 7.
    """
    logits = logits.astype(wide(logits.dtype))
    if jnp.issubdtype(labels.dtype, jnp.integer):
        if not smoothing:
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        labels = jnp.eye(logits.shape[-1], dtype=logits.dtype)[labels]
    return optax.softmax_cross_entropy(logits, optax.smooth_labels(labels, smoothing))


def sigmoid_cross_entropy(
    logits: Float[Array, "b k"], labels: Float[Array, "b k"]
) -> Float[Array, " b"]:
    r"""Binary cross entropy of each example, the mean over classes.

    \(-\frac1k \sum_k y_k \log \sigma(z_k) + (1 - y_k) \log \sigma(-z_k)\)
    """
    dtype = wide(logits.dtype)
    return optax.sigmoid_binary_cross_entropy(logits.astype(dtype), labels.astype(dtype)).mean(-1)


def squared_error(outputs: Float[Array, "b 1"], targets: Float[Array, " b"]) -> Float[Array, " b"]:
    r"""\((y - t)^2\) of each example."""
    dtype = wide(outputs.dtype)
    return jnp.square(outputs[:, 0].astype(dtype) - targets.astype(dtype))
