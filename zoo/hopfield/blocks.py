"""Encoder and decoder blocks of transformers whose attention is an association."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.layers.activation import relu
from zoo.layers.dense import UniformDense
from zoo.layers.hopfield import Association, BoolMask, Hopfield
from zoo.layers.norm import LayerNorm


class HopfieldEncoderLayer(nn.Module):
    r"""Self-association, then a feed-forward map, each followed by a norm.

    .. math:: y = \mathrm{LN}(x + H(x)), \qquad z = \mathrm{LN}(y + W_2\, \phi(W_1 y))

    Attributes:
        association: H; its own input norms make the block pre-norm and post-norm at once.
        feedforward: channels between the two maps.
        dropout: probability of dropping a channel of each branch in training.
        activation: the function between the two maps.
        dtype: dtype of the computation.
    """

    association: Hopfield
    feedforward: int = 2048
    dropout: float = 0.1
    activation: Callable[[Array], Array] = relu
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b t d"],
        *,
        padding_mask: BoolMask | None = None,
        association_mask: Association | None = None,
        train: bool,
    ) -> Float[Array, "b t d"]:
        """The encoded tokens; masks as those of `Hopfield`."""
        masks = {"padding_mask": padding_mask, "association_mask": association_mask}
        add = partial(_add_and_norm, dropout=self.dropout, train=train, dtype=self.dtype)
        x = add(x, self.association(x, **masks, train=train), name="norm_residual")
        y = _feed_forward(self, x, train=train)
        return add(x, y, name="norm_output")

    def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Shapes with which the layer can be initialised."""
        return self.association.example_inputs()[:1]


class HopfieldDecoderLayer(nn.Module):
    """Self-association, association with a memory, feed-forward map, each followed by a norm.

    Attributes:
        self_association: relates the targets to each other.
        cross_association: its states are the targets, what is stored and read out is the memory.
        feedforward, dropout, activation, dtype: as in `HopfieldEncoderLayer`.
    """

    self_association: Hopfield
    cross_association: Hopfield
    feedforward: int = 2048
    dropout: float = 0.1
    activation: Callable[[Array], Array] = relu
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b t d"],
        memory: Float[Array, "b s d2"],
        *,
        padding_mask: BoolMask | None = None,
        association_mask: Association | None = None,
        memory_padding_mask: BoolMask | None = None,
        memory_association_mask: Association | None = None,
        train: bool,
    ) -> Float[Array, "b t d"]:
        """The decoded tokens; masks as those of `Hopfield`, for the targets and for the memory."""
        masks = {"padding_mask": padding_mask, "association_mask": association_mask}
        add = partial(_add_and_norm, dropout=self.dropout, train=train, dtype=self.dtype)
        x = add(x, self.self_association(x, **masks, train=train), name="norm_residual_self")
        masks = {"padding_mask": memory_padding_mask, "association_mask": memory_association_mask}
        y = self.cross_association(memory, x, memory, **masks, train=train)
        x = add(x, y, name="norm_residual_cross")
        y = _feed_forward(self, x, train=train)
        return add(x, y, name="norm_output")

    def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Shapes with which the layer can be initialised."""
        memory, x, _ = self.cross_association.example_inputs()
        return x, memory


def _add_and_norm(
    x: Array, y: Array, *, dropout: float, train: bool, dtype: Any, name: str
) -> Array:
    y = nn.Dropout(dropout, deterministic=not train)(y)
    return LayerNorm(dtype=dtype, name=name)(x + y)


def _feed_forward(
    block: HopfieldEncoderLayer | HopfieldDecoderLayer, x: Array, *, train: bool
) -> Array:
    dense = partial(UniformDense, dtype=block.dtype)
    y = block.activation(dense(block.feedforward, name="linear_residual")(x))
    y = nn.Dropout(block.dropout, deterministic=not train)(y)
    return dense(x.shape[-1], name="linear_output")(y)
