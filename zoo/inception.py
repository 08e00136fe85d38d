"""Inception: networks whose blocks look at an image through several branches at once.

- GoogLeNet (v1): Szegedy et al., "Going Deeper with Convolutions", 2014,
  https://arxiv.org/abs/1409.4842, with batch norm as everywhere today.
- Inception-v3: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2015,
  https://arxiv.org/abs/1512.00567.
- Inception-v4, Inception-ResNet-v1 and v2: Szegedy et al., "Inception-v4, Inception-ResNet and the
  Impact of Residual Connections on Learning", 2016, https://arxiv.org/abs/1602.07261.

Blocks are *data*, as in the papers' figures: a block is a list of branches, a branch a list of
convolutions and pools. One generic network builds them all.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.errors import UsageError
from zoo.layers.conv import Conv
from zoo.layers.factory import Factory
from zoo.layers.head import linear_head
from zoo.layers.initializers import LECUN_UNIFORM, ZEROS
from zoo.layers.norm import BatchNorm
from zoo.layers.pool import adaptive_avg_pool, avg_pool, max_pool
from zoo.layers.size import require_size

ModuleFactory = Callable[..., Any]


class Unit(NamedTuple):
    """Convolution, norm, ReLU. `padded` keeps the resolution at stride 1."""

    features: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padded: bool = True


class Fork(NamedTuple):
    """Units beside each other at the end of a branch, concatenated."""

    units: tuple[Unit, ...]


class Pool(NamedTuple):
    """Pooling over a square window: `kind` is "avg" or "max"."""

    kind: str
    window: int = 3
    stride: int = 1
    padding: int = 0
    ceil: bool = False


class Branch(NamedTuple):
    """One way through a block."""

    name: str
    ops: tuple[Unit | Fork | Pool, ...]


class Mixed(NamedTuple):
    """Branches from one input, concatenated."""

    branches: tuple[Branch, ...]


class Residual(NamedTuple):
    """Branches whose projection is added to their input.

    Attributes:
        branches: as in `Mixed`.
        scale: factor of what is added; None for the one of the network's stage.
        activate: whether a ReLU follows the sum.
    """

    branches: tuple[Branch, ...]
    scale: float | None = None
    activate: bool = True


Op = Unit | Pool | Mixed | Residual
Stages = Sequence[tuple[str, Sequence[tuple[str, Op]]]]  # stage name, (layer name, what it does)


def units_of(branch: Branch) -> Iterator[tuple[str, Unit | Fork | Pool]]:
    """A branch's steps and their names: units count from 1, unless there is only one."""
    alone = sum(not isinstance(op, Pool) for op in branch.ops) == 1
    count = 0
    for op in branch.ops:
        count += not isinstance(op, Pool)
        yield branch.name if alone else f"{branch.name}_{count}", op


class ConvUnit(nn.Module):
    """Convolution without bias, norm, ReLU."""

    spec: Unit
    conv: ModuleFactory
    norm_cls: ModuleFactory

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        features, kernel, stride, padded = self.spec
        padding = None if padded else 0
        x = self.conv(features, kernel, stride=stride, padding=padding, name="conv")(x)
        return nn.relu(self.norm_cls(name="norm")(x))


class MixedBlock(nn.Module):
    """Every branch's view of one input, concatenated."""

    branches: Sequence[Branch]
    unit: ModuleFactory
    pool: Callable[[Pool, Array], Array]

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        return _concatenated(self.branches, x, self.unit, self.pool)


class ResidualBlock(nn.Module):
    """A scaled linear projection of the concatenated branches, added to the input; section 3.3."""

    branches: Sequence[Branch]
    scale: float
    activate: bool
    conv: ModuleFactory
    unit: ModuleFactory
    pool: Callable[[Pool, Array], Array]

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        y = _concatenated(self.branches, x, self.unit, self.pool)
        y = self.conv(x.shape[-1], (1, 1), use_bias=True, name="up")(y)
        x = x + self.scale * y
        return nn.relu(x) if self.activate else x


def _concatenated(branches: Sequence[Branch], x: Array, unit: Any, pool: Any) -> Array:
    return jnp.concatenate([_through(branch, x, unit, pool) for branch in branches], axis=-1)


def _through(branch: Branch, x: Array, unit: ModuleFactory, pool: Any) -> Array:
    for name, op in units_of(branch):
        if isinstance(op, Pool):
            x = pool(op, x)
        elif isinstance(op, Unit):
            x = unit(op, name=name)(x)
        else:
            named = zip("abcd", op.units, strict=False)
            x = jnp.concatenate([unit(u, name=name + letter)(x) for letter, u in named], axis=-1)
    return x


def _pool(spec: Pool, x: Array, *, count_padding: bool) -> Array:
    kind, window, stride, padding, ceil = spec
    if kind == "max":
        return max_pool(x, window, stride, padding, ceil=ceil)
    return avg_pool(x, window, stride, padding, count_padding=count_padding)


class GoogLeNetAuxiliary(nn.Module):
    """Classifier on an inner map, for training; section 5 of the first paper."""

    num_classes: int
    norm_cls: ModuleFactory
    drop_rate: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b k"]:
        unit, dense = _factories(self.norm_cls, train, self.dtype)
        x = unit(Unit(128), name="unit")(adaptive_avg_pool(x, 4))
        x = jax.lax.collapse(jnp.moveaxis(x, -1, 1), 1)  # channels first, as the weights have it
        x = nn.relu(dense(1024, name="hidden")(x))
        x = nn.Dropout(self.drop_rate)(x, deterministic=not train)
        return dense(self.num_classes, name="head")(x)


class InceptionV3Auxiliary(nn.Module):
    """Classifier on the last 17×17 map, for training; figure 8 of the second paper."""

    num_classes: int
    norm_cls: ModuleFactory
    drop_rate: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b k"]:
        unit, dense = _factories(self.norm_cls, train, self.dtype)
        x = unit(Unit(128), name="unit1")(avg_pool(x, window=5, stride=3))
        x = unit(Unit(768, (5, 5), padded=False), name="unit2")(x).mean(axis=(1, 2))
        return dense(self.num_classes, name="head")(x)


def _factories(norm: ModuleFactory, train: bool, dtype: Any) -> tuple[ModuleFactory, ModuleFactory]:
    """Units and dense layers for one mode and dtype; dense layers are at least float32."""
    norm = partial(norm, train=train, dtype=dtype)
    unit = partial(ConvUnit, conv=partial(Conv, dtype=dtype), norm_cls=norm)
    wide = jnp.promote_types(dtype, jnp.float32)
    return unit, partial(nn.Dense, kernel_init=LECUN_UNIFORM, bias_init=ZEROS, dtype=wide)


class Inception(nn.Module):
    """Inception network for images.

    Attributes:
        stages: name and layers of every stage.
        smallest: least height and width of an image, in pixels.
        count_padding: zeros around a map count in average pools (as in PyTorch's Inception-v3)
            or are left out of the mean (TensorFlow, Keras, and the later networks).
        residual_scales: factors of the residual branches of stages 1, 2 and 3; section 3.3.
        aux_heads: has auxiliary classifiers, whose logits `with_auxiliary` returns.
        aux_cls: kind of an auxiliary classifier, or None if the network knows none.
        aux_taps: layers that auxiliary classifiers read.
        aux_smallest: least height and width for which there are auxiliary logits.
        drop_rate: dropout before the head. The papers have 0.4 (v1) and 0.2 (v3, v4).
        aux_drop_rate: dropout inside auxiliary classifiers; 0.7 in the first paper.
        num_classes: outputs of the head, or None for pooled features.
        norm: factory of the normalisation.
        remat: recompute blocks in the backward pass instead of storing what is inside them.
        dtype: dtype of the computation; parameters are float32, logits at least float32.
    """

    stages: Stages
    smallest: int = 75
    count_padding: bool = False
    residual_scales: Sequence[float] = (0.17, 0.10, 0.20)
    aux_heads: bool = False
    aux_cls: ModuleFactory | None = None
    aux_taps: Sequence[str] = ()
    aux_smallest: int = 75
    drop_rate: float = 0.0
    aux_drop_rate: float = 0.0
    num_classes: int | None = 1000
    norm: ModuleFactory = Factory(BatchNorm, epsilon=1e-3)
    remat: bool = False
    dtype: Any = jnp.float32

    def setup(self) -> None:
        if self.aux_heads and self.aux_cls is None:
            raise UsageError("`aux_heads=True`, but this network knows none; leave it out.")
        self.dropout = nn.Dropout(self.drop_rate)
        self.head = linear_head(self.num_classes, self.dtype)
        if self.aux_heads and self.aux_cls is not None and self.num_classes is not None:
            self.auxiliary = [
                self.aux_cls(self.num_classes, self.norm, self.aux_drop_rate, self.dtype)
                for _ in self.aux_taps
            ]

    def __call__(self, images: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b out"]:
        """Maps normalised NHWC images to logits, or to pooled features without a head."""
        pyramid = self.features(images, train=train)
        if self.num_classes is None:
            return pyramid["pooled"]
        if self.is_initializing() and self.aux_heads:
            self._auxiliary(pyramid, train)
        return self._classify(pyramid, train)

    def with_auxiliary(
        self, images: Float[Array, "b h w c"], *, train: bool
    ) -> tuple[Float[Array, "b k"], ...]:
        """Logits, then those of every auxiliary head, first tap first.

        Raises:
            UsageError: the network has no auxiliary heads, or the images are too small for them.
        """
        if not self.aux_heads or self.num_classes is None:
            raise UsageError(
                "no auxiliary logits: build the model with `aux_heads=True` and classes"
            )
        require_size(images, self.aux_smallest, "auxiliary heads")
        pyramid = self.features(images, train=train)
        return self._classify(pyramid, train), *self._auxiliary(pyramid, train)

    @nn.compact
    def features(self, images: Float[Array, "b h w c"], *, train: bool) -> dict[str, Array]:
        """Output of the stem, of every stage and tap, (b, h, w, c), and "pooled", (b, c)."""
        require_size(images, self.smallest)
        conv, unit = partial(Conv, dtype=self.dtype), _factories(self.norm, train, self.dtype)[0]
        pool = partial(_pool, count_padding=self.count_padding)
        wrap = nn.remat if self.remat else lambda block: block
        mixed, residual = wrap(MixedBlock), wrap(ResidualBlock)

        x, pyramid = images.astype(self.dtype), {}
        for s, (stage, layers) in enumerate(self.stages):
            for name, op in layers:
                if isinstance(op, Pool):
                    x = pool(op, x)
                elif isinstance(op, Unit):
                    x = unit(op, name=name)(x)
                elif isinstance(op, Mixed):
                    x = mixed(op.branches, unit, pool, name=name)(x)
                else:
                    scale = self.residual_scales[s - 1] if op.scale is None else op.scale
                    x = residual(op.branches, scale, op.activate, conv, unit, pool, name=name)(x)
                if self.aux_heads and name in self.aux_taps:
                    pyramid[name] = x
            pyramid[stage] = x
        return pyramid | {"pooled": x.mean(axis=(1, 2))}

    def _classify(self, pyramid: dict[str, Array], train: bool) -> Array:
        return self.head(self.dropout(pyramid["pooled"], deterministic=not train))

    def _auxiliary(self, pyramid: dict[str, Array], train: bool) -> list[Array]:
        heads = zip(self.auxiliary, self.aux_taps, strict=True)
        return [head(pyramid[tap], train=train) for head, tap in heads]


# The notation of the tables below.


def conv(features: int, *kernel: int) -> Unit:
    """Resolution-keeping unit: `conv(64)` is 1×1, `conv(64, 3)` is 3×3, `conv(64, 1, 7)` is 1×7."""
    height, width = (kernel * 2)[:2] if kernel else (1, 1)
    return Unit(features, (height, width))


def valid(features: int, kernel: int = 3, stride: int = 1) -> Unit:
    """Unit without padding ("V" in the figures)."""
    return Unit(features, (kernel, kernel), stride, padded=False)


def branches(**ops: Unit | Pool | tuple[Unit | Fork | Pool, ...]) -> tuple[Branch, ...]:
    """Branches by name; one step needs no brackets."""
    return tuple(
        Branch(name, (steps,) if isinstance(steps, Unit | Pool) else steps)
        for name, steps in ops.items()
    )


AVG = Pool("avg", padding=1)
MAX = Pool("max", stride=2)


def fork(features: int) -> Fork:
    """1×3 beside 3×1."""
    return Fork((conv(features, 1, 3), conv(features, 3, 1)))


# Inception-v3, https://arxiv.org/abs/1512.00567, table 1.


def _v3_a(pool: int) -> Mixed:
    """Figure 5, with one 5×5 left as it is."""
    return Mixed(
        branches(
            branch1x1=conv(64),
            branch5x5=(conv(48), conv(64, 5)),
            branch3x3dbl=(conv(64), conv(96, 3), conv(96, 3)),
            branch_pool=(AVG, conv(pool)),
        )
    )


def _v3_b(n: int) -> Mixed:
    """Figure 6: 7×7 as 1×7 and 7×1."""
    double = (conv(n), conv(n, 7, 1), conv(n, 1, 7), conv(n, 7, 1), conv(192, 1, 7))
    return Mixed(
        branches(
            branch1x1=conv(192),
            branch7x7=(conv(n), conv(n, 1, 7), conv(192, 7, 1)),
            branch7x7dbl=double,
            branch_pool=(AVG, conv(192)),
        )
    )


_V3_REDUCTION_A = Mixed(  # figure 10
    branches(
        branch3x3=valid(384, stride=2),
        branch3x3dbl=(conv(64), conv(96, 3), valid(96, stride=2)),
        branch_pool=MAX,
    )
)
_V3_REDUCTION_B = Mixed(
    branches(
        branch3x3=(conv(192), valid(320, stride=2)),
        branch7x7x3=(conv(192), conv(192, 1, 7), conv(192, 7, 1), valid(192, stride=2)),
        branch_pool=MAX,
    )
)
_V3_C = Mixed(  # figure 7
    branches(
        branch1x1=conv(320),
        branch3x3=(conv(384), fork(384)),
        branch3x3dbl=(conv(448), conv(384, 3), fork(384)),
        branch_pool=(AVG, conv(192)),
    )
)
_STEM = (
    ("conv2d_1a", valid(32, stride=2)),
    ("conv2d_2a", valid(32)),
    ("conv2d_2b", conv(64, 3)),
    ("pool1", MAX),
    ("conv2d_3b", conv(80)),
    ("conv2d_4a", valid(192)),
)
INCEPTION_V3 = (
    ("stem", (*_STEM, ("pool2", MAX))),
    ("stage1", (("mixed_5b", _v3_a(32)), ("mixed_5c", _v3_a(64)), ("mixed_5d", _v3_a(64)))),
    (
        "stage2",
        (
            ("mixed_6a", _V3_REDUCTION_A),
            ("mixed_6b", _v3_b(128)),
            ("mixed_6c", _v3_b(160)),
            ("mixed_6d", _v3_b(160)),
            ("mixed_6e", _v3_b(192)),
        ),
    ),
    ("stage3", (("mixed_7a", _V3_REDUCTION_B), ("mixed_7b", _V3_C), ("mixed_7c", _V3_C))),
)
inception_v3 = partial(
    Inception,
    stages=INCEPTION_V3,
    count_padding=True,
    aux_cls=InceptionV3Auxiliary,
    aux_taps=("mixed_6e",),
    aux_smallest=299,
)
# Keras: no gamma, biased running variance, average pools without padding.
KerasBatchNorm = Factory(BatchNorm, epsilon=1e-3, momentum=0.99, unbiased=False, use_scale=False)
inception_v3_keras = partial(Inception, stages=INCEPTION_V3, norm=KerasBatchNorm)


# Inception-v4, https://arxiv.org/abs/1602.07261, figures 3 to 9.
_V4_STEM_END = (
    ("mixed_3a", Mixed(branches(branch0=MAX, branch1=valid(96, stride=2)))),
    (
        "mixed_4a",
        Mixed(
            branches(
                branch0=(conv(64), valid(96)),
                branch1=(conv(64), conv(64, 1, 7), conv(64, 7, 1), valid(96)),
            )
        ),
    ),
    ("mixed_5a", Mixed(branches(branch0=valid(192, stride=2), branch1=MAX))),
)
_V4_A = Mixed(
    branches(
        branch0=conv(96),
        branch1=(conv(64), conv(96, 3)),
        branch2=(conv(64), conv(96, 3), conv(96, 3)),
        branch3=(AVG, conv(96)),
    )
)
_V4_B = Mixed(
    branches(
        branch0=conv(384),
        branch1=(conv(192), conv(224, 1, 7), conv(256, 7, 1)),
        branch2=(conv(192), conv(192, 7, 1), conv(224, 1, 7), conv(224, 7, 1), conv(256, 1, 7)),
        branch3=(AVG, conv(128)),
    )
)
_V4_C = Mixed(
    branches(
        branch0=conv(256),
        branch1=(conv(384), fork(256)),
        branch2=(conv(384), conv(448, 3, 1), conv(512, 1, 3), fork(256)),
        branch3=(AVG, conv(256)),
    )
)
_V4_REDUCTION_B = Mixed(
    branches(
        branch0=(conv(192), valid(192, stride=2)),
        branch1=(conv(256), conv(256, 1, 7), conv(320, 7, 1), valid(320, stride=2)),
        branch2=MAX,
    )
)


def _reduction_a(k: int, m: int, n: int, features: int) -> Mixed:
    """Figure 7, whose widths table 1 lists."""
    return Mixed(
        branches(
            branch0=valid(features, stride=2),
            branch1=(conv(k), conv(m, 3), valid(n, stride=2)),
            branch2=MAX,
        )
    )


def _times(name: str, op: Op, count: int) -> tuple[tuple[str, Op], ...]:
    return tuple((f"{name}_{i}", op) for i in range(1, count + 1))


INCEPTION_V4 = (
    ("stem", (*_STEM[:3], *_V4_STEM_END)),
    ("stage1", _times("block_a", _V4_A, 4)),
    ("stage2", (("reduction_a", _reduction_a(192, 224, 256, 384)), *_times("block_b", _V4_B, 7))),
    ("stage3", (("reduction_b", _V4_REDUCTION_B), *_times("block_c", _V4_C, 3))),
)
inception_v4 = partial(Inception, stages=INCEPTION_V4)


# Inception-ResNet-v1, same paper, figures 10 to 14; v2 as released, which is wider than figure 15.
_RESNET_V1_A = Residual(
    branches(
        branch0=conv(32),
        branch1=(conv(32), conv(32, 3)),
        branch2=(conv(32), conv(32, 3), conv(32, 3)),
    )
)
_RESNET_V1_B = Residual(
    branches(branch0=conv(128), branch1=(conv(128), conv(128, 1, 7), conv(128, 7, 1)))
)
_RESNET_V1_C = Residual(
    branches(branch0=conv(192), branch1=(conv(192), conv(192, 1, 3), conv(192, 3, 1)))
)
_RESNET_V2_A = Residual(
    branches(
        branch0=conv(32),
        branch1=(conv(32), conv(32, 3)),
        branch2=(conv(32), conv(48, 3), conv(64, 3)),
    )
)
_RESNET_V2_B = Residual(
    branches(branch0=conv(192), branch1=(conv(128), conv(160, 1, 7), conv(192, 7, 1)))
)
_RESNET_V2_C = Residual(
    branches(branch0=conv(192), branch1=(conv(192), conv(224, 1, 3), conv(256, 3, 1)))
)
_RESNET_V2_MIXED_5B = Mixed(
    branches(
        branch0=conv(96),
        branch1=(conv(48), conv(64, 5)),
        branch2=(conv(64), conv(96, 3), conv(96, 3)),
        branch3=(AVG, conv(64)),
    )
)


def _resnet_reduction_b(first: int, second: int, third: int) -> Mixed:
    """Figures 12 and 18."""
    return Mixed(
        branches(
            branch0=(conv(256), valid(384, stride=2)),
            branch1=(conv(256), valid(first, stride=2)),
            branch2=(conv(256), conv(second, 3), valid(third, stride=2)),
            branch3=MAX,
        )
    )


INCEPTION_RESNET_V1 = (
    ("stem", (*_STEM, ("conv2d_4b", valid(256, stride=2)))),
    ("stage1", _times("block35", _RESNET_V1_A, 5)),
    (
        "stage2",
        (("mixed_6a", _reduction_a(192, 192, 256, 384)), *_times("block17", _RESNET_V1_B, 10)),
    ),
    (
        "stage3",
        (("mixed_7a", _resnet_reduction_b(256, 256, 256)), *_times("block8", _RESNET_V1_C, 5)),
    ),
)
INCEPTION_RESNET_V2 = (
    ("stem", (*_STEM, ("pool2", MAX))),
    ("stage1", (("mixed_5b", _RESNET_V2_MIXED_5B), *_times("block35", _RESNET_V2_A, 10))),
    (
        "stage2",
        (("mixed_6a", _reduction_a(256, 256, 384, 384)), *_times("block17", _RESNET_V2_B, 20)),
    ),
    (
        "stage3",
        (
            ("mixed_7a", _resnet_reduction_b(288, 288, 320)),
            *_times("block8", _RESNET_V2_C, 9),
            ("block8_10", _RESNET_V2_C._replace(scale=1.0, activate=False)),
            ("conv2d_7b", conv(1536)),
        ),
    ),
)
inception_resnet_v1 = partial(Inception, stages=INCEPTION_RESNET_V1)
inception_resnet_v2 = partial(Inception, stages=INCEPTION_RESNET_V2)
inception_resnet_v2_keras = partial(Inception, stages=INCEPTION_RESNET_V2, norm=KerasBatchNorm)


# GoogLeNet, https://arxiv.org/abs/1409.4842, table 1, with two departures that its published
# weights have: the "5×5" branch is a 3×3, and pools round their output's size up.
_CEIL = Pool("max", stride=2, ceil=True)


def _v1(w1: int, in3: int, w3: int, in5: int, w5: int, pool: int) -> Mixed:
    """Figure 2b; the numbers are columns 5 to 10 of the table."""
    return Mixed(
        branches(
            branch1=conv(w1),
            branch2=(conv(in3), conv(w3, 3)),
            branch3=(conv(in5), conv(w5, 3)),
            branch4=(Pool("max", padding=1), conv(pool)),
        )
    )


GOOGLENET = (
    (
        "stem",
        (
            ("conv1", Unit(64, (7, 7), stride=2)),
            ("pool1", _CEIL),
            ("conv2", conv(64)),
            ("conv3", conv(192, 3)),
            ("pool2", _CEIL),
        ),
    ),
    (
        "stage1",
        (
            ("inception3a", _v1(64, 96, 128, 16, 32, 32)),
            ("inception3b", _v1(128, 128, 192, 32, 96, 64)),
        ),
    ),
    (
        "stage2",
        (
            ("pool3", _CEIL),
            ("inception4a", _v1(192, 96, 208, 16, 48, 64)),
            ("inception4b", _v1(160, 112, 224, 24, 64, 64)),
            ("inception4c", _v1(128, 128, 256, 24, 64, 64)),
            ("inception4d", _v1(112, 144, 288, 32, 64, 64)),
            ("inception4e", _v1(256, 160, 320, 32, 128, 128)),
        ),
    ),
    (
        "stage3",
        (
            ("pool4", Pool("max", window=2, stride=2, ceil=True)),
            ("inception5a", _v1(256, 160, 320, 32, 128, 128)),
            ("inception5b", _v1(384, 192, 384, 48, 128, 128)),
        ),
    ),
)
googlenet = partial(
    Inception,
    stages=GOOGLENET,
    smallest=15,
    aux_cls=GoogLeNetAuxiliary,
    aux_taps=("inception4a", "inception4d"),
    aux_smallest=15,
)


# Not of the papers: GoogLeNet's blocks for images of 8 to 32 pixels.
_HALF = Pool("max", window=2, stride=2, ceil=True)
INCEPTION_NANO = (
    ("stem", (("conv1", conv(32, 3)),)),
    ("stage1", (("mixed_1a", _v1(16, 16, 24, 8, 16, 8)), ("mixed_1b", _v1(24, 24, 32, 8, 16, 8)))),
    (
        "stage2",
        (
            ("pool1", _HALF),
            ("mixed_2a", _v1(32, 32, 48, 8, 24, 24)),
            ("mixed_2b", _v1(32, 32, 64, 16, 32, 32)),
        ),
    ),
    ("stage3", (("pool2", _HALF), ("mixed_3a", _v1(48, 48, 96, 16, 32, 32)))),
)
inception_nano = partial(Inception, stages=INCEPTION_NANO, smallest=1, num_classes=10)
