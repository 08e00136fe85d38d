r"""Losses for classes of unequal size: each class by a weight, or each example by its difficulty.

Balanced weights: \(w_k = n / (K n_k)\) for class k with \(n_k\) of \(n\) examples, so that every
class counts the same; King & Zeng 2001, section 4. Focal loss: \((1 - p_t)^\gamma\) times the
loss, where \(p_t\) is the probability of the label; Lin et al. 2017,
https://arxiv.org/abs/1708.02002, equation 4.

>>> weights = balanced_weights([0, 0, 0, 1], classes=2)
>>> objective = train.supervised(loss=class_weighted(train.softmax_cross_entropy, weights))
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from zoo.errors import UsageError
from zoo.layers.wide import wide

Loss = Callable[[Any, Any], Float[Array, " b"]]


def balanced_weights(labels: Sequence[int] | np.ndarray, classes: int) -> Float[np.ndarray, " k"]:
    """Weights of classes under which each counts the same; 1 for a class without examples.

    Args:
        labels: indices of all training examples.
        classes: how many there are, with or without examples.
    """
    counts = np.bincount(np.asarray(labels), minlength=classes)
    present = counts > 0
    weights = len(labels) / (present.sum() * np.maximum(counts, 1))
    return np.where(present, weights, 1.0).astype(np.float32)


def class_weighted(loss: Loss, weights: Float[np.ndarray, " k"]) -> Loss:
    """A loss of which each example's share is multiplied by the weight of its class.

    Args:
        loss: (outputs, labels) -> (b,).
        weights: of each class; a distribution over classes has the mean of theirs.
    """

    def weighted(outputs: Any, labels: Any) -> Float[Array, " b"]:
        return loss(outputs, labels) * (_shares(labels, len(weights)) @ jnp.asarray(weights))

    return weighted


def focal(loss: Loss, gamma: float = 2.0) -> Loss:
    r"""A loss that counts less for examples whose label is already likely.

    Args:
        loss: (logits, labels) -> (b,).
        gamma: \(\gamma\); 0 is the loss itself.

    Raises:
        UsageError: gamma is negative.
    """
    if gamma < 0:
        raise UsageError(f"`gamma` must be at least 0, got {gamma}")

    def modulated(logits: Any, labels: Any) -> Float[Array, " b"]:
        exact = logits.astype(wide(logits.dtype))
        others = jax.nn.softmax(exact) * (1 - _shares(labels, logits.shape[-1]))
        return others.sum(axis=-1) ** gamma * loss(logits, labels)

    return modulated


def _shares(labels: Any, classes: int) -> Float[Array, "b k"]:
    """Labels as distributions."""
    return labels if labels.ndim == 2 else jax.nn.one_hot(labels, classes)
