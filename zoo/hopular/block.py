"""One block: a row looks up the rows of the memory, then its attributes each other."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.hopular.embedding import EPSILON
from zoo.layers.hopfield import Association, Hopfield, Memory
from zoo.layers.hopfield_options import NO_NORMS, Maps
from zoo.layers.initializers import LECUN_UNIFORM
from zoo.layers.norm import LayerNorm


class Block(nn.Module):
    """A row looks up the rows of the memory, then its attributes each other.

    Attributes:
        attributes: d.
        width: e.
        heads: associations side by side, of both kinds.
        sample_size, feature_size: depth of each head of the two kinds.
        scale: factor of the usual inverse temperature of both kinds.
        dropout: probability of dropping an association in training.
        dtype: dtype of the computation.
    """

    attributes: int
    width: int
    heads: int
    sample_size: int
    feature_size: int
    scale: float
    dropout: float
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.sample_norm = LayerNorm(EPSILON, self.dtype)
        self.sample = self._association(self.attributes * self.width, self.sample_size)
        self.feature_norm = LayerNorm(EPSILON, self.dtype)
        self.feature = self._association(self.width, self.feature_size)

    def remember(self, memory: Float[Array, "m d e"]) -> Memory:
        """What the block looks up in the embedded memory."""
        return self.sample.remember(self.sample_norm(jax.lax.collapse(memory, 1)[None]))

    def __call__(
        self,
        x: Float[Array, "n d e"],
        rows: Float[Array, "n d e"],
        memory: Memory,
        mask: Association | None,
        *,
        train: bool,
    ) -> Float[Array, "n d e"]:
        """The refined rows; `rows` are as embedded, `mask` is True where a lookup is forbidden."""
        a = self.sample_norm(jax.lax.collapse(x, 1)[None])
        a = a + self.sample.recall(a, memory, association_mask=mask, train=train)
        f = self.feature_norm(a.reshape(x.shape))
        return f + self.feature(self.feature_norm(rows), f, train=train)

    def _association(self, size: int, hidden: int) -> Hopfield:
        return Hopfield(
            size,
            hidden_size=hidden,
            heads=self.heads,
            beta=self.scale * hidden**-0.5,
            norms=NO_NORMS,
            maps=Maps(kernel_init=LECUN_UNIFORM),
            dropout=self.dropout,
            dtype=self.dtype,
        )
