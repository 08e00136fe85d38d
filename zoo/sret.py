"""SReT: a pyramid of transformer blocks that are applied twice, with attention in slices.

Shen, Liu & Xing, "Sliced Recursive Transformer", 2022, https://arxiv.org/abs/2111.05297. A shared
block runs several times in a row, each time followed by a small MLP of its own (section 3.2).
Attention stays inside consecutive slices of the tokens, fewer in every second pass; where those
are more than one, the tokens are permuted first, so that slices exchange information (section
3.4). The published model draws a new permutation in each forward pass, evaluation included; here
evaluation uses a fixed one.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.core import meta
from jaxtyping import Array, Float, Int, Key

from zoo.errors import UsageError
from zoo.layers.attention import attend
from zoo.layers.conv import Conv
from zoo.layers.dense import Dense
from zoo.layers.drop_path import DropPath
from zoo.layers.head import linear_head
from zoo.layers.initializers import LECUN_UNIFORM, NORMAL_002, ONES
from zoo.layers.mlp import Mlp
from zoo.layers.network import Network
from zoo.layers.norm import BatchNorm, LayerNorm

ModuleFactory = Callable[..., Any]
Order = Int[Array, " n"] | Int[np.ndarray, " n"]
Orders = Int[Array, "draws n"]


class Pass(NamedTuple):
    """One application of a block: slices of its attention, and whether tokens are permuted."""

    slices: int
    permuted: bool


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
        qkv = self.dense(3 * d, name="qkv")(x).reshape(b, slices, n // slices, 3 * d)
        q, k, v = jnp.split(jax.lax.collapse(qkv, 0, 2), 3, axis=-1)
        x = attend(q, k, v, self.heads).reshape(b, slices, n // slices, d).reshape(b, n, d)
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
    """Three 3×3 convolutions with batch norm, each of which may halve the resolution."""

    width: int
    strides: Sequence[int]
    conv: ModuleFactory
    norm: ModuleFactory

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        widths = (self.width // 2, self.width, self.width)
        for k, (width, stride) in enumerate(zip(widths, self.strides, strict=True), start=1):
            x = self.conv(width, (3, 3), stride=stride, name=f"conv{k}")(x)
            x = nn.relu(self.norm(name=f"norm{k}")(x))
        return x


def fixed_permutation(draw: int, tokens: int) -> Int[np.ndarray, " n"]:
    """The permutation of a forward pass's `draw`-th permuted attention in evaluation."""
    return np.argsort(np.random.Philox(key=draw).random_raw(tokens), kind="stable")


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
        conv = partial(Conv, use_bias=True, kernel_init=LECUN_UNIFORM, dtype=self.dtype)
        norm = partial(LayerNorm, epsilon=1e-6, dtype=self.dtype)
        batch_norm = partial(self.norm, train=train, dtype=self.dtype)
        widths = [d * h for d, h in zip(self.head_dims, self.heads, strict=True)]
        orders = _Orders(self, train)

        x = images.astype(self.dtype)
        x = Stem(widths[0], self.stem_strides, conv, batch_norm, name="stem")(x)
        positions = self.param("positions", NORMAL_002, (1, *x.shape[1:]), jnp.float32)
        x = x + positions.astype(self.dtype)
        stages = {"stem": x}
        for s, width in enumerate(widths):
            if s > 0:
                groups = widths[s - 1]
                x = conv(width, (3, 3), stride=2, groups=groups, name=f"pool{s - 1}")(x)
            tokens = jax.lax.collapse(x, 1, 3)
            x = self._stage(s, tokens, norm, orders, train).reshape(x.shape)
            stages[f"stage{s}"] = x
        return stages | {"pooled": norm(name="final_norm")(x.mean(axis=(1, 2)))}

    def _stage(
        self, s: int, x: Float[Array, "b n d"], norm: ModuleFactory, orders: Any, train: bool
    ) -> Float[Array, "b n d"]:
        """Layers are numbered as they are met first: blocks are even, MLPs between them odd."""
        dense = partial(Dense, kernel_init=LECUN_UNIFORM, dtype=self.dtype)
        block_cls = nn.remat(Block, static_argnums=(2,)) if self.remat else Block
        between = partial(Between, self.between_ratio, dense, norm)
        again = self.permuted_slices[s]
        kinds = Pass(self.slices[s], permuted=False), Pass(again, permuted=again > 1)
        depths = [b * r for b, r in zip(self.shared_blocks, self.recursions, strict=True)]
        for b in range(self.shared_blocks[s]):
            rate = self.drop_path * (sum(depths[:s]) + b) / sum(depths)
            drop = partial(DropPath, rate, train)
            positions = range(b * self.recursions[s], (b + 1) * self.recursions[s])
            name = f"stage{s}_layer{2 * positions[0]}"
            block = block_cls(self.heads[s], self.mlp_ratio, dense, norm, drop, name=name)
            passes = {f"stage{s}_layer{2 * p + 1}": kinds[p % 2] for p in positions}
            x = (_loop if self.scan else _unroll)(block, between, x, passes, orders)
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


class _Orders:
    """Hands out one permutation after the other within a forward pass."""

    def __init__(self, model: SReT, train: bool) -> None:
        self.model, self.draws, self.key = model, 0, None
        self.random = train and model.permutation is None and not model.is_initializing()

    def __call__(self, tokens: int, count: int) -> Orders:
        """The next `count` permutations."""
        draws = np.arange(self.draws, self.draws + count)
        self.draws += count
        if not self.random:
            permutation = self.model.permutation or fixed_permutation
            return jnp.stack([jnp.asarray(permutation(int(draw), tokens)) for draw in draws])
        key = self._stream()
        draw = lambda n: jax.random.permutation(jax.random.fold_in(key, n), tokens)  # noqa: E731
        return jax.vmap(draw)(jnp.asarray(draws))

    def _stream(self) -> Key[Array, ""]:
        if not self.model.has_rng("permutation"):
            raise UsageError(
                "an SReT with permuted slices draws permutations in training, and `rngs` has no "
                "stream for it; pass `rngs={'permutation': key}`, or build the model with "
                "`permutation=zoo.sret.fixed_permutation`."
            )
        self.key = self.model.make_rng("permutation") if self.key is None else self.key
        return self.key


def _unroll(
    block: Block,
    between: partial[Between],
    x: Float[Array, "b n d"],
    passes: Mapping[str, Pass],
    orders: _Orders,
) -> Float[Array, "b n d"]:
    """The passes through a block one after the other; names are those of the MLPs after each."""
    for name, (slices, permuted) in passes.items():
        x = block(x, slices, orders(x.shape[1], 1)[0] if permuted else None)
        x = between(name=name)(x)
    return x


def _loop(
    block: Block,
    between: partial[Between],
    x: Float[Array, "b n d"],
    passes: Mapping[str, Pass],
    orders: _Orders,
) -> Float[Array, "b n d"]:
    """As `_unroll`, but two passes at a time in a loop, and the last of an odd number after it.

    The MLPs' parameters are one stack, under the first name.
    """
    name, kinds = next(iter(passes)), list(passes.values())
    stack = _stack(between, len(kinds), x.shape[-1], name)

    def step(kinds: Sequence[Pass], block: Block, x: Any, inputs: tuple[Any, Any]) -> Any:
        order, params = inputs
        for k, (slices, permuted) in enumerate(kinds):
            x = block(x, slices, order if permuted else None)
            layer = jax.tree.map(lambda leaf, k=k: leaf[k], params)
            x = between(parent=None).apply({"params": layer}, x)
        return x, None

    def draw(kinds: Sequence[Pass], count: int) -> Orders | None:
        return orders(x.shape[1], count) if any(kind.permuted for kind in kinds) else None

    if pairs := len(kinds) // 2:
        paired = jax.tree.map(
            lambda leaf: leaf[: 2 * pairs].reshape(pairs, 2, *leaf.shape[1:]), stack
        )
        streams: dict[Any, bool] = {"params": False, "drop_path": True}
        loop = nn.scan(partial(step, kinds[:2]), variable_broadcast="params", split_rngs=streams)
        x, _ = loop(block, x, (draw(kinds[:2], pairs), paired))
    if len(kinds) % 2:
        order = draw(kinds[-1:], 1)
        last = jax.tree.map(lambda leaf: leaf[-1:], stack)
        x, _ = step(kinds[-1:], block, x, (order if order is None else order[0], last))
    return x


def _stack(between: partial[Between], count: int, width: int, name: str) -> Any:
    """The parameters of `count` MLPs as one tree of stacked leaves."""
    layers = nn.vmap(
        between.func, variable_axes={"params": 0}, split_rngs={"params": True}, axis_size=count
    )(*between.args, name=name)
    if layers.is_initializing():
        layers(jnp.zeros((count, 1, 1, width)))
    return meta.unbox(layers.variables["params"])


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

# Not of the paper: for images of 8 to 32 pixels, whose sides a fixed `image_size` must match.
sret_nano = partial(
    SReT,
    image_size=32,
    stem_strides=(1, 1, 1),
    head_dims=(16, 16, 16),
    heads=(1, 2, 4),
    shared_blocks=(1, 1, 1),
    slices=(4, 1, 1),
    permuted_slices=(2, 1, 1),
    mlp_ratio=2.0,
    num_classes=10,
)

# The same networks, trained with soft labels.
sret_t_distill, sret_lt_distill, sret_s_distill = sret_t, sret_lt, sret_s
sret_t_wo_slice_distill = sret_t_wo_slice
sret_lt_wo_slice_distill = sret_lt_wo_slice
sret_s_wo_slice_distill = sret_s_wo_slice
