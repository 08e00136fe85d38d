r"""LSSL: a deep network of linear state-space layers for long sequences.

Gu, Johnson, Goel, Saab, Dao, Rudra & Ré, "Combining Recurrent, Convolutional, and Continuous-time
Models with Linear State-Space Layers", 2021, https://arxiv.org/abs/2110.13985. Each block adds what
a layer makes of the normalised sequence; the mean over time, or the last step, goes to the head.
The layer itself, in its three forms, is `zoo.layers.linear_state_space`.

An image is read as a sequence of its pixels, row by row; sequences are (batch, length, channels).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from zoo.errors import UsageError
from zoo.layers.initializers import LECUN_UNIFORM, ZEROS, Initializer
from zoo.layers.linear_state_space import LinearStateSpace, System
from zoo.layers.norm import LayerNorm
from zoo.layers.transition import Transition, legs

ModuleFactory = Callable[..., Any]
Lengths = Int[Array, " n"] | Int[np.ndarray, " n"]
POOLS: dict[str, Callable[[Array], Array]] = {  # of sequences (b, l, h)
    "mean": lambda x: x.mean(axis=1),
    "sum": lambda x: x.sum(axis=1),
    "first": lambda x: x[:, 0],
    "last": lambda x: x[:, -1],
}
POOLS_TO_LENGTH: dict[str, Callable[[Array, Array], Array]] = {  # of as many steps of each
    "mean": lambda x, lengths: (_total(x, lengths) / lengths[:, None]).astype(x.dtype),
    "sum": lambda x, lengths: _total(x, lengths).astype(x.dtype),
    "first": lambda x, lengths: x[:, 0],
    "last": lambda x, lengths: jnp.take_along_axis(x, lengths[:, None, None] - 1, axis=1)[:, 0],
}


def _total(x: Float[Array, "b l h"], lengths: Lengths) -> Float[Array, "b h"]:
    """Sums over as many steps of each sequence, in at least float32."""
    there = jnp.arange(x.shape[1])[None] < lengths[:, None]
    wide = jnp.promote_types(x.dtype, jnp.float32)
    return jnp.where(there[..., None], x, 0).sum(axis=1, dtype=wide)


class Block(nn.Module):
    """`x + layer(norm(x))`, or `norm(x + layer(x))`.

    Attributes:
        layer: factory of the state-space layer.
        norm: factory of the normalisation.
        prenorm: the first of the two.
        dropout: probability of dropping a feature of the branch, for all times at once.
    """

    layer: ModuleFactory
    norm: ModuleFactory
    prenorm: bool
    dropout: float

    def setup(self) -> None:
        self.state_space = self.layer(name="layer")
        self.normalize = self.norm(name="norm")
        self.drop = nn.Dropout(self.dropout, broadcast_dims=(1,))

    def __call__(self, x: Float[Array, "b l h"], train: bool) -> Float[Array, "b l h"]:
        branch = self.state_space(self._before(x), train=train)
        return self._after(x + self.drop(branch, deterministic=not train))

    def system(self) -> System:
        return self.state_space.system()

    def initial_state(self, batch: int) -> Float[Array, "b h n"]:
        return self.state_space.initial_state(batch)

    def step(
        self, system: System, state: Float[Array, "b h n"], x: Float[Array, "b h"]
    ) -> tuple[Float[Array, "b h n"], Float[Array, "b h"]]:
        state, branch = self.state_space.step(system, state, self._before(x))
        return state, self._after(x + branch)

    def _before(self, x: Array) -> Array:
        return self.normalize(x) if self.prenorm else x

    def _after(self, x: Array) -> Array:
        return x if self.prenorm else self.normalize(x)


class Stream(NamedTuple):
    """What a network remembers of a sequence that it reads step by step.

    Attributes:
        states: that of every block.
        summary: what is pooled so far: a sum over time, or one step, in at least float32.
        steps: how many there were.
    """

    states: tuple[Float[Array, "b h n"], ...]
    summary: Float[Array, "b h"]
    steps: Int[Array, ""]


class LSSL(nn.Module):
    """Deep LSSL for classification (or regression, with one class) of sequences and images.

    Attributes:
        width: features H.
        state_size: states N of each feature.
        depth: number of blocks.
        channels: outputs M of each feature's state space.
        transition: the form of A and B, from `zoo.layers.transition`.
        learn: "none" keeps A and B as they begin (LSSL-f), "shared" trains one pair in each block,
            "per_feature" one for each feature.
        learn_dt: train the time steps.
        dt_range: smallest and largest initial time step.
        rate: sampling interval relative to the one trained for: 2.0 for every second sample.
        rescale_input: apply `rate` to B as well as to A; the authors' code forgets B.
        prenorm: norm before each layer and at the end, or after each addition.
        pool: "mean" or "sum" over time, or "first" or "last" step.
        dropout: probability of dropping a feature, for all times at once, in layers and branches.
        permutation_seed: reads the steps in a fixed random order, as in permuted MNIST; None for
            their own order.
        num_classes: outputs of the head, or None for pooled features.
        layer_cls: factory of the layer, for its further options.
        norm: factory of the normalisation.
        remat: recompute blocks in the backward pass instead of storing what is inside them.
        dtype: dtype of the computation; parameters are float32, kernels and logits at least.
    """

    width: int = 128
    state_size: int = 128
    depth: int = 6
    channels: int = 1
    transition: Callable[[int], Transition] = legs
    learn: str = "shared"
    learn_dt: bool = True
    dt_range: tuple[float, float] = (1e-3, 1e-1)
    rate: float = 1.0
    rescale_input: bool = True
    prenorm: bool = True
    pool: str = "mean"
    dropout: float = 0.0
    permutation_seed: int | None = None
    num_classes: int | None = 10
    layer_cls: ModuleFactory = LinearStateSpace
    norm: ModuleFactory = LayerNorm
    remat: bool = False
    dtype: Any = jnp.float32

    def setup(self) -> None:
        if self.pool not in POOLS:
            raise UsageError(f"`pool` must be one of {', '.join(POOLS)}; got {self.pool!r}.")
        if self.depth < 1:
            raise UsageError(f"`depth` must be at least 1, got {self.depth}.")
        dense = partial(nn.Dense, kernel_init=LECUN_UNIFORM)
        # Without a bias, one channel would leave nothing but its sign behind the first norm.
        bias_init = Initializer("uniform")
        self.encoder = dense(self.width, bias_init=bias_init, dtype=self.dtype, name="encoder")
        norm = partial(self.norm, epsilon=1e-5, dtype=self.dtype)
        block = nn.remat(Block, static_argnums=(2,)) if self.remat else Block
        self.blocks = [
            block(self._layer(), norm, self.prenorm, self.dropout, name=f"block{i}")
            for i in range(self.depth)
        ]
        if self.prenorm:
            self.final_norm = norm(name="final_norm")
        if self.num_classes is not None:
            dtype = jnp.promote_types(self.dtype, jnp.float32)
            self.head = dense(self.num_classes, bias_init=ZEROS, dtype=dtype, name="head")

    def _layer(self) -> ModuleFactory:
        return partial(
            self.layer_cls,
            width=self.width,
            state_size=self.state_size,
            channels=self.channels,
            transition=self.transition,
            learn=self.learn,
            learn_dt=self.learn_dt,
            dt_range=self.dt_range,
            rate=self.rate,
            rescale_input=self.rescale_input,
            dropout=self.dropout,
            dtype=self.dtype,
        )

    def __call__(
        self, images: Float[Array, "b *space c"], *, lengths: Lengths | None = None, train: bool
    ) -> Float[Array, "b out"]:
        """Maps sequences (b, l, c), or images (b, h, w, c), to logits or pooled features.

        Args:
            images: the sequences or images.
            lengths: steps of each sequence, from 1 to l, where shorter ones are filled up at their
                end: what is there does not matter. None if all are equally long.
            train: applies dropout.

        Raises:
            UsageError: shapes do not fit, or sequences with lengths are to be permuted.
        """
        return self._read_out(self.features(images, lengths=lengths, train=train)["pooled"])

    def features(
        self, images: Float[Array, "b *space c"], *, lengths: Lengths | None = None, train: bool
    ) -> dict[str, Array]:
        """The sequence after the encoder and each block, (b, l, h), and "pooled", (b, h)."""
        x = self.encoder(self.sequence(images).astype(self.dtype))
        stages = {"stem": x}
        for i, block in enumerate(self.blocks):
            stages[f"block{i}"] = x = block(x, train)
        x = self._normalized(x)
        if lengths is None:
            return stages | {"pooled": POOLS[self.pool](x)}
        lengths = self._checked(lengths, x)
        return stages | {"pooled": POOLS_TO_LENGTH[self.pool](x, lengths)}

    def sequence(self, images: Float[Array, "b *space c"]) -> Float[Array, "b l c"]:
        """Images as sequences of pixels, in the order in which the network reads them."""
        if images.ndim not in (3, 4) or 0 in images.shape[1:]:
            raise UsageError(
                "inputs must be sequences (batch, length, channels) or images (batch, height, "
                f"width, channels) with at least one step, got {images.shape}."
            )
        x = jax.lax.collapse(images, 1, -1)
        if self.permutation_seed is None:
            return x
        return x[:, np.random.default_rng(self.permutation_seed).permutation(x.shape[1])]

    def systems(self) -> tuple[System, ...]:
        """Every block's recurrence, to be computed once before streaming."""
        return tuple(block.system() for block in self.blocks)

    def begin(self, batch: int) -> Stream:
        """Before the first step."""
        states = tuple(block.initial_state(batch) for block in self.blocks)
        wide = jnp.promote_types(self.dtype, jnp.float32)
        return Stream(states, jnp.zeros((batch, self.width), wide), jnp.zeros((), jnp.int32))

    def step(
        self, systems: tuple[System, ...], stream: Stream, u: Float[Array, "b c"]
    ) -> tuple[Stream, Float[Array, "b out"]]:
        """Reads one step; returns what the network says of all steps so far.

        The steps come in the order of `sequence`. A step costs the same whatever the past.
        """
        x, states = self.encoder(u.astype(self.dtype)), []
        for block, system, before in zip(self.blocks, systems, stream.states, strict=True):
            after, x = block.step(system, before, x)
            states.append(after)
        x, steps = self._normalized(x), stream.steps + 1
        x = x.astype(stream.summary.dtype)
        summaries = {
            "mean": stream.summary + x,
            "sum": stream.summary + x,
            "first": jnp.where(stream.steps > 0, stream.summary, x),
            "last": x,
        }
        summary = summaries[self.pool]
        pooled = summary / steps if self.pool == "mean" else summary
        return Stream(tuple(states), summary, steps), self._read_out(pooled.astype(self.dtype))

    def _checked(self, lengths: Lengths, x: Float[Array, "b l h"]) -> Array:
        batch, length = x.shape[:2]
        if lengths.shape != (batch,):
            raise UsageError(
                f"`lengths` must be one number for each of {batch} sequences, got the shape "
                f"{lengths.shape}."
            )
        if self.permutation_seed is not None:
            raise UsageError(
                "`lengths` are of sequences in their own order: a permutation would move what they "
                "are filled up with; leave them out, or build the network with "
                "`permutation_seed=None`."
            )
        if not isinstance(lengths, Tracer):
            outside = np.flatnonzero((np.asarray(lengths) < 1) | (np.asarray(lengths) > length))
            if outside.size:
                raise UsageError(
                    f"`lengths` must be from 1 to {length}, the steps of the longest sequence, got "
                    f"{int(lengths[outside[0]])} for sequence {outside[0]}."
                )
        return jnp.asarray(lengths)

    def _normalized(self, x: Array) -> Array:
        return self.final_norm(x) if self.prenorm else x

    def _read_out(self, pooled: Array) -> Array:
        return pooled if self.num_classes is None else self.head(pooled)


# Tables 1, 2, 4 and 11: width H, states N, channels M, blocks, dropout.
lssl_smnist = partial(LSSL, width=128, state_size=128, depth=6, dropout=0.2)
lssl_pmnist = partial(lssl_smnist, permutation_seed=0)
lssl_scifar = partial(LSSL, width=256, state_size=256, depth=4, channels=4, dropout=0.3)
lssl_speech = partial(LSSL, width=256, state_size=128, depth=4, channels=2, dropout=0.2)
lssl_bidmc = partial(LSSL, width=128, state_size=128, depth=6, num_classes=1, dropout=0.1)

# "LSSL-f": A, B and the time steps stay as they begin.
lssl_smnist_f = partial(lssl_smnist, learn="none", learn_dt=False)
lssl_pmnist_f = partial(lssl_pmnist, learn="none", learn_dt=False)
lssl_scifar_f = partial(lssl_scifar, learn="none", learn_dt=False)
lssl_speech_f = partial(lssl_speech, learn="none", learn_dt=False)
lssl_bidmc_f = partial(lssl_bidmc, learn="none", learn_dt=False)

# Small images, pixel by pixel.
lssl_nano = partial(LSSL, width=64, state_size=32, depth=4, dt_range=(1e-2, 0.5))
