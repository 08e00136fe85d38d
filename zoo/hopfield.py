r"""Modern Hopfield networks: pooling, lookup, encoder and decoder blocks, and networks of them.

Ramsauer et al. 2020, "Hopfield Networks is All You Need", https://arxiv.org/abs/2008.02217.
Everything is batch first: stored patterns are (b, s, d), state patterns (b, t, d).

Which layer when: `Hopfield` relates two sets, or a set to itself, as attention does;
`HopfieldPooling` makes one vector of a set by asking it a learned question; `HopfieldLayer` looks
its input up in learned patterns. To *retrieve* stored patterns, nothing must be learned or
normalised on the way: that is `retrieve`, or the layer `STATIC`.
"""

import functools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from zoo.errors import UsageError
from zoo.layers.activation import relu
from zoo.layers.association import energy, retrieve
from zoo.layers.hopfield import STATIC, Association, BoolMask, Hopfield, Norm, needed_depth
from zoo.layers.initializers import LECUN_UNIFORM, NORMAL_002, ZEROS
from zoo.layers.norm import LayerNorm
from zoo.layers.squares import squares

__all__ = [
    "STATIC",
    "Hopfield",
    "HopfieldDecoderLayer",
    "HopfieldEncoder",
    "HopfieldEncoderLayer",
    "HopfieldLayer",
    "HopfieldLookup",
    "HopfieldMIL",
    "HopfieldPooling",
    "Norm",
    "energy",
    "hopfield_encoder_nano",
    "hopfield_lookup_nano",
    "hopfield_mil",
    "hopfield_mil_nano",
    "retrieve",
]


class HopfieldPooling(nn.Module):
    """A set as a fixed number of vectors: learned states recall from it.

    Without further steps it reads `chunk` instances at a time, so that the memory for bags of any
    size is that of one chunk. Section 3 and appendix C.2 of the paper.

    Attributes:
        hopfield: the association; its `input_size` is the depth of the states.
        quantity: learned states.
        trainable: whether they receive gradients.
        chunk: instances at a time where there are more; None for all at once.
    """

    hopfield: Hopfield
    quantity: int = 1
    trainable: bool = True
    chunk: int | None = 4096

    def setup(self) -> None:
        if self.quantity < 1:
            raise UsageError(f"`quantity` must be at least 1, got {self.quantity}")
        if self.chunk is not None and self.chunk < 1:
            raise UsageError(f"`chunk` must be None or at least 1, got {self.chunk}")
        shape = (self.quantity, needed_depth(self.hopfield, "state"))
        self.pooling_weights = self.param("pooling_weights", NORMAL_002, shape, jnp.float32)

    def __call__(
        self,
        stored: Float[Array, "b s d1"],
        projection: Float[Array, "b s d2"] | None = None,
        *,
        padding_mask: BoolMask | None = None,
        association_mask: Association | None = None,
        train: bool,
    ) -> Float[Array, "b out"]:
        """The vectors of all states side by side; arguments as those of `Hopfield`."""
        recall = self.hopfield
        chunk = self.chunk or stored.shape[1]
        if stored.shape[1] > chunk and not recall.updates and not self.is_initializing():
            recall = partial(recall.streamed, chunk=chunk)
        out = recall(
            stored,
            self._states(stored),
            projection,
            padding_mask=padding_mask,
            association_mask=association_mask,
            train=train,
        )
        return jax.lax.collapse(out, 1)

    def associations(
        self,
        stored: Float[Array, "b s d1"],
        projection: Float[Array, "b s d2"] | None = None,
        *,
        padding_mask: BoolMask | None = None,
        association_mask: Association | None = None,
    ) -> Float[Array, "b h q s2"]:
        """Weights of the instances for each learned state."""
        return self.hopfield.associations(
            stored,
            self._states(stored),
            projection,
            padding_mask=padding_mask,
            association_mask=association_mask,
        )

    def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Shapes with which the layer can be initialised."""
        stored, _, projection = self.hopfield.example_inputs()
        return stored, projection

    def _states(self, stored: Array) -> Float[Array, "b q d"]:
        states = _weights(self.pooling_weights, self.trainable)
        return jnp.broadcast_to(states[None], (stored.shape[0], *states.shape))


class HopfieldLayer(nn.Module):
    """Lookup in learned patterns: the input is the state, what is stored are parameters.

    Keys and values do not depend on the input and are computed once for the whole batch.
    Appendix C.3 of the paper.

    Attributes:
        hopfield: the association; its `stored_size` is the depth of the learned patterns.
        quantity: learned patterns.
        separate_targets: other parameters are read out than are compared with.
        trainable: whether the patterns receive gradients.
        trainable_targets: whether the targets do.
    """

    hopfield: Hopfield
    quantity: int = 1
    separate_targets: bool = False
    trainable: bool = True
    trainable_targets: bool = True

    def setup(self) -> None:
        if self.quantity < 1:
            raise UsageError(f"`quantity` must be at least 1, got {self.quantity}")
        depth = needed_depth(self.hopfield, "stored")
        shape = (self.quantity, depth)
        self.lookup_weights = self.param("lookup_weights", NORMAL_002, shape, jnp.float32)
        if self.separate_targets:
            shape = (self.quantity, self.hopfield.projection_size or depth)
            self.target_weights = self.param("target_weights", NORMAL_002, shape, jnp.float32)

    def __call__(
        self,
        state: Float[Array, "b t d"],
        *,
        padding_mask: BoolMask | None = None,
        association_mask: Association | None = None,
        train: bool,
    ) -> Float[Array, "b t out"]:
        """What the input recalls; arguments as those of `Hopfield`."""
        stored, targets = self._patterns()
        masks = {"padding_mask": padding_mask, "association_mask": association_mask}
        return self.hopfield(stored, state, targets, **masks, train=train)

    def associations(
        self,
        state: Float[Array, "b t d"],
        *,
        padding_mask: BoolMask | None = None,
        association_mask: Association | None = None,
    ) -> Float[Array, "b h t q"]:
        """Weights of the learned patterns for each state."""
        stored, targets = self._patterns()
        masks = {"padding_mask": padding_mask, "association_mask": association_mask}
        return self.hopfield.associations(stored, state, targets, **masks)

    def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Shapes with which the layer can be initialised."""
        return self.hopfield.example_inputs()[1:2]

    def _patterns(self) -> tuple[Array, Array | None]:
        stored = _weights(self.lookup_weights, self.trainable)[None]
        if not self.separate_targets:
            return stored, None
        return stored, _weights(self.target_weights, self.trainable_targets)[None]


def _weights(weights: Array, trainable: bool) -> Array:
    return weights if trainable else jax.lax.stop_gradient(weights)


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
    dense = partial(nn.Dense, kernel_init=LECUN_UNIFORM, bias_init=ZEROS, dtype=block.dtype)
    y = block.activation(dense(block.feedforward, name="linear_residual")(x))
    y = nn.Dropout(block.dropout, deterministic=not train)(y)
    return dense(x.shape[-1], name="linear_output")(y)


def feature_instances(bags: Float[Array, "b n d"]) -> tuple[Array, None]:
    """A bag of feature vectors as it is; none of them is padding."""
    if bags.ndim != 3:
        raise UsageError(
            f"bags must have the shape (batch, instances, features), got {bags.shape}; "
            "for bags of pictures build the network with `instances=tiles`"
        )
    return bags, None


def tiles(
    sheets: Float[Array, "b h w c"], side: int = 8
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


class HopfieldMIL(nn.Module):
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
        if self.num_classes is not None:
            self.head = _head(self.num_classes, self.dtype)

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
        return pooled if self.num_classes is None else self.head(pooled)

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
        dense = partial(nn.Dense, kernel_init=LECUN_UNIFORM, bias_init=ZEROS, dtype=self.dtype)
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


class HopfieldLookup(nn.Module):
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

    widths: Sequence[int] = (128,)
    stored: int = 16
    heads: int = 1
    beta: float | None = None
    dropout: float = 0.0
    num_classes: int | None = 2
    dtype: Any = jnp.float32

    def setup(self) -> None:
        if self.num_classes is not None:
            self.head = _head(self.num_classes, self.dtype)

    def __call__(self, inputs: Float[Array, "b ..."], *, train: bool) -> Float[Array, "b out"]:
        """Maps vectors (or anything, flattened) to logits, or to what they recall."""
        pooled = self.features(inputs, train=train)["pooled"]
        return pooled if self.num_classes is None else self.head(pooled)

    @nn.compact
    def features(self, inputs: Float[Array, "b ..."], *, train: bool) -> dict[str, Array]:
        """The "embedded" input, (b, d), and "pooled", what it recalls, (b, d)."""
        x = jax.lax.collapse(inputs, 1).astype(self.dtype)
        dense = partial(nn.Dense, kernel_init=LECUN_UNIFORM, bias_init=ZEROS, dtype=self.dtype)
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


class HopfieldEncoder(nn.Module):
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
        if self.num_classes is not None:
            self.head = _head(self.num_classes, self.dtype)

    def __call__(self, inputs: Float[Array, "b ..."], *, train: bool) -> Float[Array, "b out"]:
        """Maps sequences (b, t, c), or images, to logits, or to pooled features."""
        pooled = self.features(inputs, train=train)["pooled"]
        return pooled if self.num_classes is None else self.head(pooled)

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
        dense = partial(nn.Dense, kernel_init=LECUN_UNIFORM, bias_init=ZEROS, dtype=self.dtype)
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


def _head(classes: int, dtype: Any) -> nn.Dense:
    dtype = jnp.promote_types(dtype, jnp.float32)
    return nn.Dense(classes, kernel_init=LECUN_UNIFORM, bias_init=ZEROS, dtype=dtype)


# One point of the grids in appendix A.2, for bags of 230 features.
hopfield_mil = partial(HopfieldMIL)
# Bags of pictures of 8×8 pixels on one sheet.
hopfield_mil_nano = partial(
    HopfieldMIL, instances=tiles, widths=(64, 32), heads=4, hidden_size=8, beta=None
)
hopfield_lookup_nano = partial(HopfieldLookup, widths=(64,), stored=16)
hopfield_encoder_nano = partial(HopfieldEncoder, width=32, feedforward=64)
