"""EfficientNet: one small network, scaled in width, depth and resolution together.

Tan & Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", 2019,
https://arxiv.org/abs/1905.11946. Its blocks are those of MobileNetV2 (Sandler et al. 2018,
https://arxiv.org/abs/1801.04381): wide inside, narrow outside, each channel filtered alone. The
Lite forms leave out what phones are slow at: no squeeze-and-excitation, ReLU6, stem and head of one
size (https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite).

Names with `tf_` are the networks as their authors trained them: padded as TensorFlow does, which
puts the odd pixel at the end, and with another epsilon in the norms.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.layers.activation import relu6, silu
from zoo.layers.channel_attention import NoAttention, SqueezeExcite
from zoo.layers.conv import Conv
from zoo.layers.drop_path import DropPath
from zoo.layers.factory import Layers
from zoo.layers.head import linear_head
from zoo.layers.initializers import HE_NORMAL_FAN_IN, Initializer
from zoo.layers.network import Network
from zoo.layers.norm import BatchNorm
from zoo.layers.size import require_size

HEAD_INIT = Initializer("uniform", fan="fan_out")


class Stage(NamedTuple):
    """A run of blocks, before scaling.

    Attributes:
        expansion: channels inside a block for each one at its entry.
        kernel: side of the depthwise convolution, in pixels.
        features: channels of its output.
        repeats: how many blocks; only the first has the stride.
        stride: step of the first block, in pixels.
    """

    expansion: int
    kernel: int
    features: int
    repeats: int
    stride: int


# Table 1 of the paper.
STAGES = (
    Stage(1, 3, 16, 1, 1),
    Stage(6, 3, 24, 2, 2),
    Stage(6, 5, 40, 2, 2),
    Stage(6, 3, 80, 3, 2),
    Stage(6, 5, 112, 3, 1),
    Stage(6, 5, 192, 4, 2),
    Stage(6, 3, 320, 1, 1),
)
STEM, TOP = 32, 1280  # channels before the first stage and after the last


class InvertedResidual(nn.Module):
    """Expand 1×1, filter each channel, weigh the channels, project 1×1; around it the identity.

    Sandler et al. 2018, table 1, with squeeze-and-excitation as in MnasNet
    (https://arxiv.org/abs/1807.11626, figure 7b). The identity is there where shapes agree.
    """

    features: int
    expansion: int
    kernel: int
    stride: int
    layers: Layers

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        layers, conv, norm = self.layers, self.layers.conv, self.layers.norm
        inner = x.shape[-1] * self.expansion
        y = x
        if self.expansion > 1:
            y = conv(inner, (1, 1), name="expand")(y)
            y = layers.activation(norm(name="expand_norm")(y))
        filters = partial(conv, groups=inner, kernel_init=HE_NORMAL_FAN_IN)
        y = filters(inner, (self.kernel, self.kernel), stride=self.stride, name="depthwise")(y)
        y = layers.activation(norm(name="depthwise_norm")(y))
        y = layers.attention(x.shape[-1], name="attention")(y)
        y = norm(name="project_norm")(conv(self.features, (1, 1), name="project")(y))
        return x + layers.drop_path()(y) if x.shape == y.shape else y


class EfficientNet(Network):
    """Seven stages of inverted residual blocks between a 3×3 stem and a 1×1 top.

    Attributes:
        width: factor of all channels, which are then rounded to multiples of 8.
        depth: factor of all repeats, which are then rounded up.
        stages: before scaling.
        squeeze: hidden channels of the attention for each channel at a block's entry; 0 for none.
        activation: after every norm but that of the projection.
        scaled_ends: whether the stem, the top and the repeats of the first and the last stage are
            scaled too.
        padding: "SAME" for TensorFlow's, or None for half a kernel on each side.
        epsilon: of the norms.
        drop_path: probability of leaving out the last block in training; it grows linearly from
            zero at the first. Needs the random stream "drop_path".
        drop_rate: dropout before the head; 0.2 for B0 to 0.5 for B7 in the paper (section 5.2).
            Needs the random stream "dropout".
        num_classes: outputs of the head, or None for pooled features.
        dtype: dtype of the computation; parameters are float32, logits at least float32.
    """

    width: float = 1.0
    depth: float = 1.0
    stages: Sequence[Stage] = STAGES
    squeeze: float = 0.25
    activation: Callable[[Array], Array] = silu
    scaled_ends: bool = True
    padding: Literal["SAME"] | None = None
    epsilon: float = 1e-5
    drop_path: float = 0.0
    drop_rate: float = 0.0
    num_classes: int | None = 1000
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.head = linear_head(self.num_classes, self.dtype, HEAD_INIT)
        self.dropout = nn.Dropout(self.drop_rate)

    def __call__(self, images: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b out"]:
        """Maps normalised NHWC images to logits, or to pooled features without a head."""
        pooled = self.features(images, train=train)["pooled"]
        return self.head(self.dropout(pooled, deterministic=not train))

    @nn.compact
    def features(self, images: Float[Array, "b h w c"], *, train: bool) -> dict[str, Array]:
        """Output of the stem, of every stage and of the top, and their mean, "pooled", (b, c)."""
        require_size(images, 1)
        layers = Layers(
            conv=partial(_conv, self.padding, self.dtype),
            norm=partial(BatchNorm, train=train, epsilon=self.epsilon, dtype=self.dtype),
            activation=self.activation,
            attention=partial(_attention, self.squeeze, self.activation, self.dtype),
        )
        stem, top = self.ends()
        stages = self.scaled()
        total = sum(stage.repeats for stage in stages)

        x = layers.conv(stem, (3, 3), stride=2, name="stem")(images.astype(self.dtype))
        x = self.activation(layers.norm(name="stem_norm")(x))
        pyramid, block = {"stem": x}, 0
        for s, stage in enumerate(stages, start=1):
            for b in range(stage.repeats):
                rate, stride = self.drop_path * block / total, stage.stride if b == 0 else 1
                own = layers._replace(drop_path=partial(DropPath, rate, train))
                sizes = stage.features, stage.expansion, stage.kernel, stride
                x = InvertedResidual(*sizes, own, name=f"stage{s}_block{b}")(x)
                block += 1
            pyramid[f"stage{s}"] = x
        x = layers.conv(top, (1, 1), name="top")(x)
        x = self.activation(layers.norm(name="top_norm")(x))
        return pyramid | {"top": x, "pooled": x.mean(axis=(1, 2))}

    def scaled(self) -> tuple[Stage, ...]:
        """The stages as they are built: channels times `width`, repeats times `depth`."""
        last = len(self.stages) - 1
        return tuple(
            stage._replace(
                features=rounded(stage.features * self.width),
                repeats=math.ceil(stage.repeats * self.depth)
                if self.scaled_ends or i not in (0, last)
                else stage.repeats,
            )
            for i, stage in enumerate(self.stages)
        )

    def ends(self) -> tuple[int, int]:
        """Channels of the stem and of the top."""
        if not self.scaled_ends:
            return STEM, TOP
        return rounded(STEM * self.width), rounded(TOP * self.width)


def rounded(channels: float) -> int:
    """The next multiple of 8 that is not more than a tenth below; at least 8."""
    found = max(8, int(channels + 4) // 8 * 8)
    return found if found >= 0.9 * channels else found + 8


def _conv(
    padding: Literal["SAME"] | None,
    dtype: Any,
    features: int,
    kernel: tuple[int, int],
    **fields: Any,
) -> Conv:
    """A convolution of the network; one of 1×1 has nothing to pad."""
    padding = None if kernel == (1, 1) else padding
    return Conv(features, kernel, padding=padding, dtype=dtype, **fields)


def _attention(
    squeeze: float, activation: Callable[[Array], Array], dtype: Any, channels: int, *, name: str
) -> nn.Module:
    """What weighs the channels of a block with so many at its entry."""
    if not squeeze:
        return NoAttention(dtype=dtype, name=name)
    hidden = round(channels * squeeze)
    return SqueezeExcite(hidden=hidden, activation=activation, dtype=dtype, name=name)


# Width and depth of the paper's networks, found on B0 and scaled by compound coefficients (section
# 3.3), from https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet.
efficientnet_b0 = partial(EfficientNet, width=1.0, depth=1.0)
efficientnet_b1 = partial(EfficientNet, width=1.0, depth=1.1)
efficientnet_b2 = partial(EfficientNet, width=1.1, depth=1.2)
efficientnet_b3 = partial(EfficientNet, width=1.2, depth=1.4)
efficientnet_b4 = partial(EfficientNet, width=1.4, depth=1.8)
efficientnet_b5 = partial(EfficientNet, width=1.6, depth=2.2)
efficientnet_b6 = partial(EfficientNet, width=1.8, depth=2.6)
efficientnet_b7 = partial(EfficientNet, width=2.0, depth=3.1)

Lite = partial(EfficientNet, squeeze=0.0, activation=relu6, scaled_ends=False)
efficientnet_lite0 = partial(Lite, width=1.0, depth=1.0)
efficientnet_lite1 = partial(Lite, width=1.0, depth=1.1)
efficientnet_lite2 = partial(Lite, width=1.1, depth=1.2)
efficientnet_lite3 = partial(Lite, width=1.2, depth=1.4)
efficientnet_lite4 = partial(Lite, width=1.4, depth=1.8)

TENSORFLOW = {"padding": "SAME", "epsilon": 1e-3}
tf_efficientnet_b0 = partial(efficientnet_b0, **TENSORFLOW)
tf_efficientnet_b1 = partial(efficientnet_b1, **TENSORFLOW)
tf_efficientnet_b2 = partial(efficientnet_b2, **TENSORFLOW)
tf_efficientnet_b3 = partial(efficientnet_b3, **TENSORFLOW)
tf_efficientnet_b4 = partial(efficientnet_b4, **TENSORFLOW)
tf_efficientnet_b5 = partial(efficientnet_b5, **TENSORFLOW)
tf_efficientnet_b6 = partial(efficientnet_b6, **TENSORFLOW)
tf_efficientnet_b7 = partial(efficientnet_b7, **TENSORFLOW)
tf_efficientnet_lite0 = partial(efficientnet_lite0, **TENSORFLOW)
tf_efficientnet_lite1 = partial(efficientnet_lite1, **TENSORFLOW)
tf_efficientnet_lite2 = partial(efficientnet_lite2, **TENSORFLOW)
tf_efficientnet_lite3 = partial(efficientnet_lite3, **TENSORFLOW)
tf_efficientnet_lite4 = partial(efficientnet_lite4, **TENSORFLOW)
