"""SReT: a pyramid of transformer blocks that are applied twice, with attention in slices.

Shen, Liu & Xing, "Sliced Recursive Transformer", 2022, https://arxiv.org/abs/2111.05297. A shared
block runs several times in a row, each time followed by a small MLP of its own (section 3.2).
Attention stays inside consecutive slices of the tokens, fewer in every second pass; where those
are more than one, the tokens are permuted first, so that slices exchange information (section
3.4). The published model draws a new permutation in each forward pass, evaluation included; here
evaluation uses a fixed one.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from zoo.errors import UsageError
from zoo.layers.attention import attend
from zoo.layers.conv import Conv
from zoo.layers.drop_path import DropPath
from zoo.layers.initializers import LECUN_UNIFORM, NORMAL_002, ONES, ZEROS
from zoo.layers.mlp import Mlp
from zoo.layers.norm import BatchNorm, LayerNorm

ModuleFactory = Callable[..., Any]
Order = Int[Array, " n"] | Int[np.ndarray, " n"]


class SlicedAttention(nn.Module):
    """Multi-head self-attention inside consecutive slices of the (permuted) tokens."""

    heads: int
    dense: ModuleFactory

    @nn.compact
    def __call__(
        self, x: Float[Array, "b n d"], slices: int, order: Order | None
    ) -> Float[Array, "b n d"]:
        b, n, d = x.shape
        x = x if order is None else jnp.take(x, order, axis=1)
        qkv = self.dense(3 * d, name="qkv")(x).reshape(b * slices, n // slices, 3 * d)
        q, k, v = jnp.split(qkv, 3, axis=-1)
        x = attend(q, k, v, self.heads).reshape(b, n, d)
        x = x if order is None else jnp.take(x, jnp.argsort(order), axis=1)
        return self.dense(d, name="out")(x)


class WeightedSum(nn.Module):
    """`a x + b y` with two learned numbers, both one at first."""

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"], y: Float[Array, "b n d"]) -> Array:
        a = self.param("coefficient1", ONES, (1,), jnp.float32).astype(x.dtype)
        b = self.param("coefficient2", ONES, (1,), jnp.float32).astype(x.dtype)
        return a[None, None] * x + b[None, None] * y


class Block(nn.Module):
    """Attention and MLP, each after a norm and in a weighted sum with its input; equation 4."""

    heads: int
    mlp_ratio: float
    dense: ModuleFactory
    norm: ModuleFactory
    drop: ModuleFactory

    @nn.compact
    def __call__(
        self, x: Float[Array, "b n d"], slices: int, order: Order | None
    ) -> Float[Array, "b n d"]:
        attention = SlicedAttention(self.heads, self.dense, name="attention")
        y = attention(self.norm(name="norm1")(x), slices, order)
        x = WeightedSum(name="sum1")(x, self.drop(name="drop1")(y))
        width = int(x.shape[-1] * self.mlp_ratio)
        y = Mlp(width, self.dense, name="mlp")(self.norm(name="norm2")(x))
        return WeightedSum(name="sum2")(x, self.drop(name="drop2")(y))


class Between(nn.Module):
    """The MLP that follows each pass through a block and is never shared; equation 5."""

    mlp_ratio: float
    dense: ModuleFactory
    norm: ModuleFactory

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        width = int(x.shape[-1] * self.mlp_ratio)
        y = Mlp(width, self.dense, name="mlp")(self.norm(name="norm1")(x))
        return WeightedSum(name="sum1")(x, y)


class Stem(nn.Module):
    """Three 3×3 convolutions with batch norm, each of which halves the resolution."""

    width: int
    conv: ModuleFactory
    norm: ModuleFactory

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        for k, width in enumerate((self.width // 2, self.width, self.width), start=1):
            x = self.conv(width, (3, 3), stride=2, name=f"conv{k}")(x)
            x = nn.relu(self.norm(name=f"norm{k}")(x))
        return x


def fixed_permutation(draw: int, tokens: int) -> Int[np.ndarray, " n"]:
    """The permutation of a forward pass's `draw`-th permuted attention in evaluation."""
    return np.argsort(np.random.Philox(key=draw).random_raw(tokens), kind="stable")


class SReT(nn.Module):
    """Sliced recursive transformer for images of one size.

    Attributes:
        image_size: height and width of the input in pixels (one number for a square), to which
            the positions belong.
        head_dims: channels of one head, per stage.
        heads: attention heads, per stage; a stage has `head_dims * heads` channels.
        depth: passes through blocks, per stage.
        shared_blocks: blocks among which the passes of a stage are divided evenly.
        slices: slices of the attention in the first, third, ... pass of a stage, per stage.
        permuted_slices: the same in every second pass, of permuted tokens if more than one.
        mlp_ratio: hidden channels of a block's MLP, per channel.
        between_ratio: hidden channels of the MLPs between passes, per channel.
        permutation: maps the number of the draw and the number of tokens to a permutation; None
            for the stream "permutation" in training, if there is one, else `fixed_permutation`.
        drop_path: probability of leaving out a branch; grows from zero towards it with depth.
        num_classes: outputs of the head, or None for pooled features.
        norm: factory of the stem's normalisation.
        remat: recompute blocks in the backward pass instead of storing what is inside them.
        dtype: dtype of the computation; parameters are float32, logits at least float32.
    """

    image_size: int | Sequence[int] = 224
    head_dims: Sequence[int] = (32, 32, 32)
    heads: Sequence[int] = (2, 4, 8)
    depth: Sequence[int] = (4, 10, 6)
    shared_blocks: Sequence[int] = (2, 5, 3)
    slices: Sequence[int] = (8, 4, 1)
    permuted_slices: Sequence[int] = (2, 1, 1)
    mlp_ratio: float = 3.6
    between_ratio: float = 1.0
    permutation: Callable[[int, int], Any] | None = None
    drop_path: float = 0.0
    num_classes: int | None = 1000
    norm: ModuleFactory = BatchNorm
    remat: bool = False
    dtype: Any = jnp.float32

    def setup(self) -> None:
        if self.num_classes is not None:
            self.head = nn.Dense(
                self.num_classes,
                kernel_init=LECUN_UNIFORM,
                bias_init=ZEROS,
                dtype=jnp.promote_types(self.dtype, jnp.float32),
            )

    def __call__(self, images: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b out"]:
        """Maps normalised NHWC images to logits, or to pooled features without a head."""
        pooled = self.features(images, train=train)["pooled"]
        return pooled if self.num_classes is None else self.head(pooled)

    @nn.compact
    def features(self, images: Float[Array, "b h w c"], *, train: bool) -> dict[str, Array]:
        """Output of the stem and of every stage, (b, h, w, c), and "pooled", (b, c)."""
        self._check((images.shape[1], images.shape[2]))
        conv = partial(Conv, use_bias=True, kernel_init=LECUN_UNIFORM, dtype=self.dtype)
        norm = partial(LayerNorm, epsilon=1e-6, dtype=self.dtype)
        batch_norm = partial(self.norm, train=train, dtype=self.dtype)
        widths = [d * h for d, h in zip(self.head_dims, self.heads, strict=True)]
        order = _Orders(self, train)

        x = Stem(widths[0], conv, batch_norm, name="stem")(images.astype(self.dtype))
        positions = self.param("positions", NORMAL_002, (1, *x.shape[1:]), jnp.float32)
        x = x + positions.astype(self.dtype)
        stages = {"stem": x}
        for s, width in enumerate(widths):
            if s > 0:
                groups = widths[s - 1]
                x = conv(width, (3, 3), stride=2, groups=groups, name=f"pool{s - 1}")(x)
            tokens = x.reshape(x.shape[0], -1, width)
            x = self._stage(s, tokens, norm, order, train).reshape(x.shape)
            stages[f"stage{s}"] = x
        return stages | {"pooled": norm(name="final_norm")(x.mean(axis=(1, 2)))}

    def _stage(
        self, s: int, x: Float[Array, "b n d"], norm: ModuleFactory, order: Any, train: bool
    ) -> Float[Array, "b n d"]:
        """Layers are numbered as they are met first: blocks are even, MLPs between them odd."""
        dense = partial(nn.Dense, kernel_init=LECUN_UNIFORM, bias_init=ZEROS, dtype=self.dtype)
        block_cls = nn.remat(Block, static_argnums=(2,)) if self.remat else Block
        recursions = self.depth[s] // self.shared_blocks[s]
        for b in range(self.shared_blocks[s]):
            rate = self.drop_path * (sum(self.depth[:s]) + b) / sum(self.depth)
            drop = partial(DropPath, rate, train)
            name = f"stage{s}_layer{2 * b * recursions}"
            block = block_cls(self.heads[s], self.mlp_ratio, dense, norm, drop, name=name)
            for p in range(b * recursions, (b + 1) * recursions):
                slices = self.permuted_slices[s] if p % 2 else self.slices[s]
                x = block(x, slices, order(x.shape[1]) if p % 2 and slices > 1 else None)
                name = f"stage{s}_layer{2 * p + 1}"
                x = Between(self.between_ratio, dense, norm, name=name)(x)
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
        sides = [(-(-height // 2**k), -(-width // 2**k)) for k in range(3, 3 + len(self.heads))]
        return all(
            h * w > 0 and h * w % a == 0 and h * w % b == 0
            for (h, w), a, b in zip(sides, self.slices, self.permuted_slices, strict=True)
        )

    def _smallest(self) -> str:
        side = next(s for s in range(8, 1 << 16, 8) if self._divides(s, s))
        return f"{side}x{side}"


class _Orders:
    """Hands out one permutation after the other within a forward pass."""

    def __init__(self, model: SReT, train: bool) -> None:
        self.model, self.draws = model, 0
        self.random = train and model.permutation is None and model.has_rng("permutation")

    def __call__(self, tokens: int) -> Order:
        draw, self.draws = self.draws, self.draws + 1
        if self.random:
            return jax.random.permutation(self.model.make_rng("permutation"), tokens)
        return (self.model.permutation or fixed_permutation)(draw, tokens)


# The authors' table: github.com/szq0214/SReT. Depth, heads and slices of T are the defaults.
sret_t = partial(SReT, mlp_ratio=3.6)
sret_lt = partial(SReT, mlp_ratio=4.0)
sret_lt_16_14_1 = partial(sret_lt, slices=(16, 14, 1), permuted_slices=(1, 1, 1))
sret_s = partial(SReT, head_dims=(42, 42, 42), heads=(3, 6, 12), mlp_ratio=3.0, between_ratio=2.0)

# Without slices: the same parameters, attention among all tokens of a stage.
Unsliced = partial(SReT, slices=(1, 1, 1), permuted_slices=(1, 1, 1))
sret_t_wo_slice = partial(Unsliced, mlp_ratio=3.6)
sret_lt_wo_slice = partial(Unsliced, mlp_ratio=4.0)
sret_s_wo_slice = partial(
    Unsliced, head_dims=(42, 42, 42), heads=(3, 6, 12), mlp_ratio=3.0, between_ratio=2.0
)
sret_t_wo_slice_finetune_384 = partial(sret_t_wo_slice, image_size=384)
sret_s_wo_slice_finetune_384 = partial(sret_s_wo_slice, image_size=384)
sret_s_wo_slice_finetune_512 = partial(sret_s_wo_slice, image_size=512)

# The same networks, trained with soft labels.
sret_t_distill, sret_lt_distill, sret_s_distill = sret_t, sret_lt, sret_s
sret_t_wo_slice_distill = sret_t_wo_slice
sret_lt_wo_slice_distill = sret_lt_wo_slice
sret_s_wo_slice_distill = sret_s_wo_slice
