"""Classifiers of sequences: encoder blocks, then pooling."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.errors import UsageError
from zoo.hopfield.blocks import HopfieldEncoderLayer
from zoo.hopfield.layers import HopfieldPooling
from zoo.layers.dense import UniformDense
from zoo.layers.head import linear_head
from zoo.layers.hopfield import Hopfield
from zoo.layers.initializers import NORMAL_002
from zoo.layers.network import Network


class HopfieldEncoder(Network):
    """Classifier of sequences: encoder blocks over embedded steps, then pooling.

    Attributes:
        length: steps of a sequence; an image is read row by row, pixel by pixel.
        width: channels. depth: blocks. heads: associations of each block.
        steps: updates of each association beyond the first softmax.
        feedforward: channels inside the feed-forward maps.
        dropout: probability of dropping a channel in training.
        num_classes: outputs of the head, or None for pooled features.
        remat: recompute blocks in the backward pass instead of storing what is inside them.
        dtype: dtype of the computation; parameters are float32, logits at least float32.
    """

    input_axes = (3, 4)

    length: int = 64
    width: int = 64
    depth: int = 2
    heads: int = 4
    steps: int = 0
    feedforward: int = 128
    dropout: float = 0.1
    num_classes: int | None = 10
    remat: bool = False
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.head = linear_head(self.num_classes, self.dtype)

    def __call__(self, inputs: Float[Array, "b ..."], *, train: bool) -> Float[Array, "b out"]:
        """Maps sequences (b, t, c), or images, to logits, or to pooled features."""
        return self.head(self.features(inputs, train=train)["pooled"])

    @nn.compact
    def features(self, inputs: Float[Array, "b ..."], *, train: bool) -> dict[str, Array]:
        """Steps after the embedding and after each block, (b, t, d), and "pooled", (b, d)."""
        x = jax.lax.collapse(inputs, 1, -1).astype(self.dtype)
        if x.shape[1] != self.length:
            raise UsageError(
                f"`length` is {self.length}, got inputs of {x.shape[1]} steps; "
                f"build the network with `length={x.shape[1]}`"
            )
        shape = (self.length, self.width)
        positions = self.param("positions", NORMAL_002, shape, jnp.float32)
        dense = partial(UniformDense, dtype=self.dtype)
        x = dense(self.width, name="embed")(x) + positions[None].astype(self.dtype)
        association = partial(Hopfield, self.width, heads=self.heads, dtype=self.dtype, parent=None)
        block = partial(
            HopfieldEncoderLayer,
            feedforward=self.feedforward,
            dropout=self.dropout,
            dtype=self.dtype,
        )
        encode = lambda block, x: block(x, train=train)  # noqa: E731
        encode = nn.remat(encode) if self.remat else encode
        stages = {"embedded": x}
        for i in range(self.depth):
            x = encode(block(association(steps=self.steps), name=f"block{i}"), x)
            stages[f"block{i}"] = x
        pooled = HopfieldPooling(association(), name="pool")(x, train=train)
        return stages | {"pooled": pooled}


hopfield_encoder_nano = partial(HopfieldEncoder, width=32, feedforward=64)
