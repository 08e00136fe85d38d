"""SimpleNet: a column of 3×3 convolutions, without shortcuts, branches or attention.

Hasanpour, Rouhani, Fayyaz & Sabokrou, "Lets keep it simple, Using simple architectures to
outperform deeper and more complex architectures", 2016, https://arxiv.org/abs/1608.06037, as the
authors' code has it, https://github.com/Coderx7/SimpleNet_Pytorch: every convolution has a bias,
and what reaches the head of each channel is its *largest* value.

The networks for ImageNet take strides in the first convolutions, so that a column made for images
of 32 pixels is not too slow at 224.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.errors import UsageError
from zoo.layers.conv import Conv
from zoo.layers.factory import Layers
from zoo.layers.head import linear_head
from zoo.layers.initializers import Initializer
from zoo.layers.network import Network
from zoo.layers.norm import BatchNorm
from zoo.layers.pool import global_max_pool, max_pool
from zoo.layers.size import require_size

XAVIER_RELU = Initializer("uniform", gain=math.sqrt(6), fan="fan_avg")  # Xavier's times √2


class Unit(NamedTuple):
    """One convolution, its norm and ReLU.

    Attributes:
        features: channels of its output, before scaling.
        kernel: side of the convolution, in pixels.
        drop_rate: probability of leaving out a channel of its output in training; None where the
            authors' code has no dropout, because that of a pool follows.
    """

    features: int
    kernel: int = 3
    drop_rate: float | None = 0.0


class Block(nn.Module):
    """A convolution with bias, a batch norm, ReLU."""

    features: int
    kernel: int
    stride: int
    layers: Layers

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        kernel = (self.kernel, self.kernel)
        x = self.layers.conv(self.features, kernel, stride=self.stride, name="conv")(x)
        return nn.relu(self.layers.norm(name="norm")(x))


class SimpleNet(Network):
    """Stages of convolutions with 2×2 max pooling between them.

    Attributes:
        stages: the units of every stage, as `Unit` or as lists of their fields.
        strides: of the first stage's convolutions, in pixels; the others have 1.
        scale: factor of all channels, which are then rounded.
        drop_rates: names and probabilities of leaving out a channel in training, where they are not
            the units' own: "stage2_block0", "stage2_pool" for the pool after that stage, "head".
            They need the random stream "dropout".
        num_classes: outputs of the head, or None for pooled features.
        remat: recompute blocks in the backward pass instead of storing what is inside them.
        dtype: dtype of the computation; parameters are float32, logits at least float32.
    """

    stages: Sequence[Sequence[Unit | Sequence[Any]]]
    strides: Sequence[int] = ()
    scale: float = 1.0
    drop_rates: Sequence[tuple[str, float]] = ()
    num_classes: int | None = 1000
    remat: bool = False
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.head = linear_head(self.num_classes, self.dtype)
        self.dropout = nn.Dropout(dict(self.drop_rates).get("head", 0.0))

    def __call__(self, images: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b out"]:
        """Maps normalised NHWC images to logits, or to pooled features without a head."""
        pooled = self.features(images, train=train)["pooled"]
        return self.head(self.dropout(pooled, deterministic=not train))

    @nn.compact
    def features(self, images: Float[Array, "b h w c"], *, train: bool) -> dict[str, Array]:
        """Output of every stage, (b, h, w, c), and the last one's maximum, "pooled", (b, c)."""
        require_size(images, self.smallest())
        self._require_places()
        layers = Layers(
            conv=partial(Conv, use_bias=True, kernel_init=XAVIER_RELU, dtype=self.dtype),
            norm=partial(BatchNorm, train=train, momentum=0.95, dtype=self.dtype),
        )
        block = nn.remat(Block) if self.remat else Block
        drop = partial(self._dropout, train)

        x, pyramid, strides = images.astype(self.dtype), {}, list(self.strides)
        for s, stage in enumerate(self.scaled(), start=1):
            x = drop(f"stage{s - 1}_pool")(max_pool(x, window=2, stride=2)) if s > 1 else x
            for b, unit in enumerate(stage):
                name, stride = f"stage{s}_block{b}", strides.pop(0) if s == 1 and strides else 1
                x = block(unit.features, unit.kernel, stride, layers, name=name)(x)
                x = drop(name, unit.drop_rate or 0.0)(x)
            pyramid[f"stage{s}"] = x
        return pyramid | {"pooled": global_max_pool(x)}

    def scaled(self) -> tuple[tuple[Unit, ...], ...]:
        """The stages as they are built: channels times `scale`."""
        return tuple(
            tuple(u._replace(features=round(u.features * self.scale)) for u in map(_unit, stage))
            for stage in self.stages
        )

    def smallest(self) -> int:
        """The smallest side of an image of which every pool has a window left, in pixels."""
        stride = math.prod(self.strides[: len(self.stages[0])])
        return stride * (2 ** (len(self.stages) - 1) - 1) + 1

    def places(self) -> tuple[str, ...]:
        """Names that `drop_rates` may have, in the order of the network."""
        names: list[str] = []
        for s, stage in enumerate(self.stages, start=1):
            names += [f"stage{s - 1}_pool"] if s > 1 else []
            names += [f"stage{s}_block{b}" for b in range(len(stage))]
        return (*names, "head")

    def _require_places(self) -> None:
        unknown = sorted({name for name, _ in self.drop_rates} - set(self.places()))
        if unknown:
            known = ", ".join(self.places())
            raise UsageError(f"`drop_rates` has {unknown[0]!r}; the network has {known}")

    def _dropout(self, train: bool, name: str, rate: float = 0.0) -> nn.Module:
        """What leaves out whole channels after one place of the network."""
        rate = dict(self.drop_rates).get(name, rate)
        return nn.Dropout(rate, broadcast_dims=(1, 2), deterministic=not train, name=f"{name}_drop")


def _unit(fields: Sequence[Any]) -> Unit:
    """A unit, also of what JSON makes of one."""
    return Unit(*fields)


# Strides of the authors' ImageNet networks by their number: the later a side is halved, the more
# accurate and the slower. None for small images.
STRIDES = ((), (2, 2, 2), (2, 2, 1, 2), (2, 2, 1, 1, 2), (2, 1, 2, 1, 2, 1))

SIMPLENET = (
    (Unit(64), *(Unit(128),) * 5),
    (*(Unit(256),) * 3, Unit(512)),
    (Unit(2048, 1), Unit(256, 1), Unit(256)),
)
WIDE = (
    (Unit(128), *(Unit(192),) * 5),
    (*(Unit(320),) * 3, Unit(640)),
    (Unit(2560, 1), Unit(320, 1), Unit(320)),
)
simplenetv1_small_m1_05 = partial(SimpleNet, stages=SIMPLENET, strides=STRIDES[1], scale=0.5)
simplenetv1_small_m2_05 = partial(SimpleNet, stages=SIMPLENET, strides=STRIDES[2], scale=0.5)
simplenetv1_small_m1_075 = partial(SimpleNet, stages=SIMPLENET, strides=STRIDES[1], scale=0.75)
simplenetv1_small_m2_075 = partial(SimpleNet, stages=SIMPLENET, strides=STRIDES[2], scale=0.75)
simplenetv1_5m_m1 = partial(SimpleNet, stages=SIMPLENET, strides=STRIDES[1])
simplenetv1_5m_m2 = partial(SimpleNet, stages=SIMPLENET, strides=STRIDES[2])
simplenetv1_9m_m1 = partial(SimpleNet, stages=WIDE, strides=STRIDES[1])
simplenetv1_9m_m2 = partial(SimpleNet, stages=WIDE, strides=STRIDES[2])


# The paper's networks for 32 pixels, and the first one as an early version of the code had it, with
# one pool too many. What is called 460k has 385,790 parameters.
_last = partial(Unit, drop_rate=None)
CIFAR_5M = (
    (Unit(64), Unit(128), Unit(128), _last(128)),
    (Unit(128), Unit(128), _last(256)),
    (Unit(256), _last(256)),
    (Unit(512), Unit(2048, 1), _last(256, 1)),
    (_last(256),),
)
CIFAR_310K = (
    (Unit(64), Unit(32), Unit(32), _last(32)),
    (Unit(32), Unit(32), _last(64)),
    (Unit(64), _last(64)),
    (Unit(128), Unit(256, 1), _last(64, 1)),
    (_last(64),),
)
CIFAR_460K = (
    (Unit(32), Unit(32), Unit(32), _last(64)),
    (Unit(64), Unit(64), _last(64)),
    (Unit(64), _last(64)),
    (Unit(96), Unit(96, 1), _last(96, 1)),
    (_last(100),),
)
EXTRA_POOL = (*CIFAR_5M[:3], (Unit(512),), CIFAR_5M[3][1:], CIFAR_5M[4])
simplenet_cifar_5m = partial(SimpleNet, stages=CIFAR_5M, num_classes=10)
simplenet_cifar_5m_extra_pool = partial(SimpleNet, stages=EXTRA_POOL, num_classes=10)
simplenet_cifar_310k = partial(SimpleNet, stages=CIFAR_310K, num_classes=10)
simplenet_cifar_460k = partial(SimpleNet, stages=CIFAR_460K, num_classes=10)

# Not of the paper: an eighth of the channels, for images of 8 to 32 pixels.
simplenet_nano = partial(SimpleNet, stages=SIMPLENET, scale=0.125, num_classes=10)
