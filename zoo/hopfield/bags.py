"""Classifiers of bags of instances; appendix A.2 of the paper."""

import functools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from zoo.errors import UsageError
from zoo.hopfield.layers import HopfieldPooling
from zoo.layers.activation import relu
from zoo.layers.dense import UniformDense
from zoo.layers.head import linear_head
from zoo.layers.hopfield import BoolMask, Hopfield
from zoo.layers.network import Network
from zoo.layers.squares import squares


def feature_instances(bags: Float[Array, "b n d"]) -> tuple[Array, None]:
    """A bag of feature vectors as it is; none of them is padding."""
    if bags.ndim != 3:
        raise UsageError(
            f"bags must have the shape (batch, instances, features), got {bags.shape}; "
            "for bags of pictures build the network with `instances=tiles`"
        )
    return bags, None


def tiles(
    sheets: Float[Array, "b ..."], side: int = 8
) -> tuple[Float[Array, "b n d"], Bool[Array, "b n"]]:
    """The squares of each sheet, row by row, and which of them are blank: padding.

    A square is blank if all its pixels are equal.

    Raises:
        UsageError: the sheet is not made of whole squares.
    """
    if sheets.ndim != 4 or sheets.shape[1] % side or sheets.shape[2] % side:
        raise UsageError(
            f"sheets must have the shape (batch, height, width, channels), height and width "
            f"multiples of {side} pixels, got {sheets.shape}"
        )
    grid = sheets.shape[1] // side, sheets.shape[2] // side
    x = jax.lax.collapse(jax.lax.collapse(squares(sheets, side, grid), 3), 1, 3)
    return x, x.max(axis=-1) == x.min(axis=-1)


class HopfieldMIL(Network):
    """Multiple-instance classifier: embeds each instance, pools the bag, classifies the result.

    Appendix A.2 of the paper (Elephant, Fox, Tiger, UCSB).

    Attributes:
        instances: from a batch of inputs to instances (b, n, d) and their padding (b, n) or None.
        widths: channels of the maps with ReLU that embed an instance.
        heads, hidden_size, beta: those of the pooling association; beta None for the usual.
        dropout: probability of dropping an instance from the association in training.
        quantity: vectors that the bag is pooled to.
        association_cls: factory of the association, for any other option of it.
        readout: applied to the pooled vector before the head.
        num_classes: outputs of the head, or None for pooled features.
        dtype: dtype of the computation; parameters are float32, logits at least float32.
    """

    input_axes = None  # `instances` knows

    instances: Callable[[Any], tuple[Array, Array | None]] = feature_instances
    widths: Sequence[int] = (128, 128)
    heads: int = 8
    hidden_size: int | None = 32
    beta: float | None = 0.1
    dropout: float = 0.0
    quantity: int = 1
    association_cls: Callable[..., Hopfield] = Hopfield
    readout: Callable[[Array], Array] = relu
    num_classes: int | None = 2
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.head = linear_head(self.num_classes, self.dtype)

    def __call__(
        self, bags: Float[Array, "b ..."], *, padding_mask: BoolMask | None = None, train: bool
    ) -> Float[Array, "b out"]:
        """Maps bags to logits, or to pooled features without a head.

        Args:
            bags: what `instances` takes.
            padding_mask: (b, n), True for instances that are not there, beside those that
                `instances` finds.
            train: applies dropout.
        """
        pooled = self.features(bags, padding_mask=padding_mask, train=train)["pooled"]
        return self.head(pooled)

    def features(
        self, bags: Float[Array, "b ..."], *, padding_mask: BoolMask | None = None, train: bool
    ) -> dict[str, Array]:
        """The embedded "instances", (b, n, d), and "pooled", (b, d)."""
        x, padding, pool = self._embedded(bags, padding_mask)
        pooled = pool(x, padding_mask=padding, train=train)
        return {"instances": x, "pooled": self.readout(pooled)}

    def associations(
        self, bags: Float[Array, "b ..."], *, padding_mask: BoolMask | None = None
    ) -> Float[Array, "b h q n"]:
        """The attention over a bag's instances: of each head, for each pooled vector, sum 1.

        Padding has none, and so has a bag without any instance. Arguments as those of a call.
        """
        x, padding, pool = self._embedded(bags, padding_mask)
        return pool.associations(x, padding_mask=padding)

    @nn.compact
    def _embedded(
        self, bags: Float[Array, "b ..."], padding_mask: BoolMask | None
    ) -> tuple[Float[Array, "b n d"], BoolMask | None, HopfieldPooling]:
        """The embedded instances, which of them are padding, and what pools them."""
        x, padding = self.instances(bags)
        masks = [mask for mask in (padding, padding_mask) if mask is not None]
        padding = functools.reduce(jnp.logical_or, masks) if masks else None
        x = x.astype(self.dtype)
        dense = partial(UniformDense, dtype=self.dtype)
        for i, width in enumerate(self.widths):
            x = nn.relu(dense(width, name=f"embed{i}")(x))
        association = self.association_cls(
            input_size=x.shape[-1],
            hidden_size=self.hidden_size,
            heads=self.heads,
            beta=self.beta,
            dropout=self.dropout,
            dtype=self.dtype,
            parent=None,
        )
        return x, padding, HopfieldPooling(association, self.quantity, name="pool")


# One point of the grids in appendix A.2, for bags of 230 features.
hopfield_mil = partial(HopfieldMIL)

# Bags of pictures of 8×8 pixels on one sheet.
hopfield_mil_nano = partial(
    HopfieldMIL, instances=tiles, widths=(64, 32), heads=4, hidden_size=8, beta=None
)
