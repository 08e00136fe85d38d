"""Classifiers of small tables by lookup in learned patterns; appendix A.3 of the paper."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.hopfield.layers import HopfieldLayer
from zoo.layers.dense import UniformDense
from zoo.layers.head import linear_head
from zoo.layers.hopfield import Hopfield
from zoo.layers.network import Network


class HopfieldLookup(Network):
    """Classifier of vectors that looks them up in learned patterns; for small tables.

    Appendix A.3 of the paper (UCI data sets of less than 1,000 examples).

    Attributes:
        widths: channels of the maps with SELU in front of the lookup.
        stored: learned patterns; the paper has 1 or 8 of each class.
        heads, beta: those of the association; beta None for the usual.
        dropout: probability of dropping a pattern from the association in training.
        num_classes: outputs of the head, or None for what is recalled.
        dtype: dtype of the computation; parameters are float32, logits at least float32.
    """

    input_axes = None

    widths: Sequence[int] = (128,)
    stored: int = 16
    heads: int = 1
    beta: float | None = None
    dropout: float = 0.0
    num_classes: int | None = 2
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.head = linear_head(self.num_classes, self.dtype)

    def __call__(self, inputs: Float[Array, "b ..."], *, train: bool) -> Float[Array, "b out"]:
        """Maps vectors (or anything, flattened) to logits, or to what they recall."""
        return self.head(self.features(inputs, train=train)["pooled"])

    @nn.compact
    def features(self, inputs: Float[Array, "b ..."], *, train: bool) -> dict[str, Array]:
        """The "embedded" input, (b, d), and "pooled", what it recalls, (b, d)."""
        x = jax.lax.collapse(inputs, 1).astype(self.dtype)
        dense = partial(UniformDense, dtype=self.dtype)
        for i, width in enumerate(self.widths):
            x = nn.selu(dense(width, name=f"embed{i}")(x))
        association = Hopfield(
            x.shape[-1],
            heads=self.heads,
            beta=self.beta,
            dropout=self.dropout,
            dtype=self.dtype,
            parent=None,
        )
        lookup = HopfieldLayer(association, quantity=self.stored, name="lookup")
        return {"embedded": x, "pooled": lookup(x[:, None], train=train)[:, 0]}


hopfield_lookup_nano = partial(HopfieldLookup, widths=(64,), stored=16)
