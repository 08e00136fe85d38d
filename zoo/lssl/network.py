"""The network: a stack of blocks, run over whole sequences or step by step."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from zoo.errors import UsageError
from zoo.layers.factory import ModuleFactory
from zoo.layers.head import linear_head
from zoo.layers.initializers import LECUN_UNIFORM, Initializer
from zoo.layers.network import Network
from zoo.layers.norm import LayerNorm
from zoo.layers.sequences import Lengths, as_sequence, over_time, require_pool
from zoo.layers.wide import wide
from zoo.lssl.block import Block
from zoo.lssl.linear_state_space import LinearStateSpace, System
from zoo.lssl.transition import Transition, legs


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


class LSSL(Network):
    """Deep LSSL for classification (or regression, with one class) of sequences and images.

    Attributes:
        width: features H.
        state_size: states N of each feature.
        depth: number of blocks.
        channels: outputs M of each feature's state space.
        transition: the form of A and B, from `zoo.lssl.transition`.
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

    input_axes = (3, 4)

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
        require_pool(self.pool)
        if self.depth < 1:
            raise UsageError(f"`depth` must be at least 1, got {self.depth}.")
        # Without a bias, one channel would leave nothing but its sign behind the first norm.
        bias = Initializer("uniform")
        self.encoder = nn.Dense(
            self.width, kernel_init=LECUN_UNIFORM, bias_init=bias, dtype=self.dtype, name="encoder"
        )
        norm = partial(self.norm, epsilon=1e-5, dtype=self.dtype)
        block = nn.remat(Block, static_argnums=(2,)) if self.remat else Block
        self.blocks = [
            block(self._layer(), norm, self.prenorm, self.dropout, name=f"block{i}")
            for i in range(self.depth)
        ]
        if self.prenorm:
            self.final_norm = norm(name="final_norm")
        self.head = linear_head(self.num_classes, self.dtype)

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
        self._require_own_order(lengths)
        x = self.encoder(self.sequence(images).astype(self.dtype))
        stages = {"stem": x}
        for i, block in enumerate(self.blocks):
            stages[f"block{i}"] = x = block(x, train)
        x = self._normalized(x)
        return stages | {"pooled": over_time(x, self.pool, lengths)}

    def sequence(self, images: Float[Array, "b *space c"]) -> Float[Array, "b l c"]:
        """Images as sequences of pixels, in the order in which the network reads them."""
        x = as_sequence(images)
        if self.permutation_seed is None:
            return x
        return x[:, np.random.default_rng(self.permutation_seed).permutation(x.shape[1])]

    def systems(self) -> tuple[System, ...]:
        """Every block's recurrence, to be computed once before streaming."""
        return tuple(block.system() for block in self.blocks)

    def begin(self, batch: int) -> Stream:
        """Before the first step."""
        states = tuple(block.initial_state(batch) for block in self.blocks)
        return Stream(
            states, jnp.zeros((batch, self.width), wide(self.dtype)), jnp.zeros((), jnp.int32)
        )

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

    def _require_own_order(self, lengths: Lengths | None) -> None:
        if lengths is not None and self.permutation_seed is not None:
            raise UsageError(
                "`lengths` are of sequences in their own order: a permutation would move what they "
                "are filled up with; leave them out, or build the network with "
                "`permutation_seed=None`."
            )

    def _normalized(self, x: Array) -> Array:
        return self.final_norm(x) if self.prenorm else x

    def _read_out(self, pooled: Array) -> Array:
        return self.head(pooled)
