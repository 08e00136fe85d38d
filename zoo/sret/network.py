"""The network, and its variables with the MLPs between passes as one stack."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.errors import UsageError
from zoo.layers.conv import Conv
from zoo.layers.dense import Dense
from zoo.layers.drop_path import DropPath
from zoo.layers.factory import Layers, ModuleFactory
from zoo.layers.head import linear_head
from zoo.layers.initializers import LECUN_UNIFORM, NORMAL_002
from zoo.layers.network import Network
from zoo.layers.norm import BatchNorm, LayerNorm
from zoo.sret.blocks import Between, Block, Stem
from zoo.sret.passes import Draws, Pass, loop, unroll


class SReT(Network):
    """Sliced recursive transformer for images of one size.

    Attributes:
        image_size: height and width of the input in pixels (one number for a square), to which
            the positions belong.
        stem_strides: steps of the stem's three convolutions.
        head_dims: channels of one head, per stage.
        heads: attention heads, per stage; a stage has `head_dims * heads` channels.
        shared_blocks: blocks with parameters of their own, per stage.
        recursions: passes in a row through each of these blocks, per stage.
        slices: slices of the attention in the first, third, ... pass of a stage, per stage.
        permuted_slices: the same in every second pass, of permuted tokens if more than one.
        mlp_ratio: hidden channels of a block's MLP, per channel.
        between_ratio: hidden channels of the MLPs between passes, per channel.
        permutation: maps the number of the draw and the number of tokens to a permutation; None
            for the random stream "permutation" in training, which is then required, and
            `fixed_permutation` in evaluation.
        drop_path: probability of leaving out a branch; grows from zero towards it with depth.
        num_classes: outputs of the head, or None for pooled features.
        norm: factory of the stem's normalisation.
        scan: the passes through a block are one loop, which compiles in the same time whatever
            their number. The MLPs between them are then stored as one stack: `stacked`.
        remat: recompute blocks in the backward pass instead of storing what is inside them.
        dtype: dtype of the computation; parameters are float32, logits at least float32.
    """

    image_size: int | Sequence[int] = 224
    stem_strides: Sequence[int] = (2, 2, 2)
    head_dims: Sequence[int] = (32, 32, 32)
    heads: Sequence[int] = (2, 4, 8)
    shared_blocks: Sequence[int] = (2, 5, 3)
    recursions: Sequence[int] = (2, 2, 2)
    slices: Sequence[int] = (8, 4, 1)
    permuted_slices: Sequence[int] = (2, 1, 1)
    mlp_ratio: float = 3.6
    between_ratio: float = 1.0
    permutation: Callable[[int, int], Any] | None = None
    drop_path: float = 0.0
    num_classes: int | None = 1000
    norm: ModuleFactory = BatchNorm
    scan: bool = False
    remat: bool = False
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.head = linear_head(self.num_classes, self.dtype)

    def __call__(self, images: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b out"]:
        """Maps normalised NHWC images to logits, or to pooled features without a head."""
        return self.head(self.features(images, train=train)["pooled"])

    @nn.compact
    def features(self, images: Float[Array, "b h w c"], *, train: bool) -> dict[str, Array]:
        """Output of the stem and of every stage, (b, h, w, c), and "pooled", (b, c)."""
        self._check((images.shape[1], images.shape[2]))
        layers = Layers(
            conv=partial(Conv, use_bias=True, kernel_init=LECUN_UNIFORM, dtype=self.dtype),
            dense=partial(Dense, kernel_init=LECUN_UNIFORM, dtype=self.dtype),
            norm=partial(LayerNorm, epsilon=1e-6, dtype=self.dtype),
        )
        of_stem = layers._replace(norm=partial(self.norm, train=train, dtype=self.dtype))
        widths = [d * h for d, h in zip(self.head_dims, self.heads, strict=True)]
        orders = Draws(self, self.permutation, train)

        x = images.astype(self.dtype)
        x = Stem(widths[0], self.stem_strides, of_stem, name="stem")(x)
        positions = self.param("positions", NORMAL_002, (1, *x.shape[1:]), jnp.float32)
        x = x + positions.astype(self.dtype)
        stages = {"stem": x}
        for s, width in enumerate(widths):
            if s > 0:
                groups = widths[s - 1]
                x = layers.conv(width, (3, 3), stride=2, groups=groups, name=f"pool{s - 1}")(x)
            tokens = jax.lax.collapse(x, 1, 3)
            x = self._stage(s, tokens, layers, orders, train).reshape(x.shape)
            stages[f"stage{s}"] = x
        return stages | {"pooled": layers.norm(name="final_norm")(x.mean(axis=(1, 2)))}

    def _stage(
        self, s: int, x: Float[Array, "b n d"], layers: Layers, orders: Any, train: bool
    ) -> Float[Array, "b n d"]:
        """Layers are numbered as they are met first: blocks are even, MLPs between them odd."""
        block_cls = nn.remat(Block, static_argnums=(2,)) if self.remat else Block
        between = partial(Between, self.between_ratio, layers)
        again = self.permuted_slices[s]
        kinds = Pass(self.slices[s], permuted=False), Pass(again, permuted=again > 1)
        depths = [b * r for b, r in zip(self.shared_blocks, self.recursions, strict=True)]
        for b in range(self.shared_blocks[s]):
            rate = self.drop_path * (sum(depths[:s]) + b) / sum(depths)
            own = layers._replace(drop_path=partial(DropPath, rate, train))
            positions = range(b * self.recursions[s], (b + 1) * self.recursions[s])
            name = f"stage{s}_layer{2 * positions[0]}"
            block = block_cls(self.heads[s], self.mlp_ratio, own, name=name)
            passes = {f"stage{s}_layer{2 * p + 1}": kinds[p % 2] for p in positions}
            x = (loop if self.scan else unroll)(block, between, x, passes, orders)
        return x

    def _check(self, size: tuple[int, int]) -> None:
        wanted = self.image_size
        height, width = (wanted, wanted) if isinstance(wanted, int) else tuple(wanted)
        if size != (height, width):
            raise UsageError(
                f"images of {size[0]}x{size[1]} pixels do not fit the positions of an SReT for "
                f"{height}x{width}; build it with `image_size=({size[0]}, {size[1]})`, or resize "
                f"them. The smallest size is {self._smallest()}."
            )
        if not self._divides(height, width):
            raise UsageError(
                f"the tokens of `image_size` {height}x{width} do not fall into equal slices in "
                f"each stage; the smallest size that does is {self._smallest()}."
            )

    def _divides(self, height: int, width: int) -> bool:
        """Whether every stage's tokens fall into equal slices."""
        step = math.prod(self.stem_strides)
        steps = [step * 2**s for s in range(len(self.heads))]
        sides = [(-(-height // n), -(-width // n)) for n in steps]
        return all(
            h * w > 0 and h * w % a == 0 and h * w % b == 0
            for (h, w), a, b in zip(sides, self.slices, self.permuted_slices, strict=True)
        )

    def _smallest(self) -> str:
        side = next(s for s in range(1, 1 << 16) if self._divides(s, s))
        return f"{side}x{side}"


def stacked(model: SReT, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Variables of the plain form as `scan=True` stores them.

    Args:
        model: the network in either form.
        variables: as of `scan=False`.
    """
    params = dict(variables["params"])
    for first, *others in _between_names(model):
        layers = [params[first], *map(params.pop, others)]
        params[first] = jax.tree.map(lambda *leaves: jnp.stack(leaves), *layers)
    return {**variables, "params": params}


def unstacked(model: SReT, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `stacked`, for instance before weights are exported."""
    params = dict(variables["params"])
    for names in _between_names(model):
        stack = params[names[0]]
        for k, name in enumerate(names):
            params[name] = jax.tree.map(lambda leaf, k=k: leaf[k], stack)
    return {**variables, "params": params}


def _between_names(model: SReT) -> Iterator[list[str]]:
    """Names of the MLPs after each pass through a block, block by block."""
    for s, (blocks, passes) in enumerate(zip(model.shared_blocks, model.recursions, strict=True)):
        for b in range(blocks):
            positions = range(b * passes, (b + 1) * passes)
            yield [f"stage{s}_layer{2 * p + 1}" for p in positions]
