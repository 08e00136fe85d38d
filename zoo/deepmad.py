"""DeepMAD: convolutional networks whose depths and widths a mathematical programme chose.

Shen, Wang, Lin, Chen, Sun, Jin & Li, "DeepMAD: Mathematical Architecture Design for Deep
Convolutional Neural Network", 2023, https://arxiv.org/abs/2303.02165. The structures are those that
the authors published, github.com/alibaba/lightweight-neural-architecture-search, in
`configs/classification/models`; what they call 11.69 M parameters was the budget of the search.

R18 to R50 are of residual bottlenecks, 29M to 89M of separable ones with squeeze-and-excitation.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from zoo.layers.activation import silu
from zoo.layers.average_down import average_down
from zoo.layers.conv import Conv
from zoo.layers.drop_path import DropPath
from zoo.layers.factory import Layers, ModuleFactory
from zoo.layers.head import linear_head
from zoo.layers.network import Network
from zoo.layers.norm import BatchNorm
from zoo.layers.size import require_size


class Stage(NamedTuple):
    """A run of equal blocks.

    Attributes:
        features: channels of its output.
        kernel: side of the middle convolutions, in pixels.
        stride: step of the first block, in pixels.
        repeats: how many blocks.
        inner: channels inside a block.
    """

    features: int
    kernel: int
    stride: int
    repeats: int
    inner: int


class Bottleneck(nn.Module):
    """1×1, k×k, 1×1 convolutions with ReLU, beside the identity or, in a first block, a projection.

    The projection is there in *every* first block, whether shapes differ or not.
    """

    stage: Stage
    first: bool
    layers: Layers

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        stage, layers, norm = self.stage, self.layers, self.layers.norm
        stride, kernel = stage.stride if self.first else 1, (stage.kernel, stage.kernel)
        y = nn.relu(norm(name="norm1")(layers.conv(stage.inner, (1, 1), name="conv1")(x)))
        y = layers.conv(stage.inner, kernel, stride=stride, name="conv2")(y)
        y = nn.relu(norm(name="norm2")(y))
        y = norm(name="norm3")(layers.conv(stage.features, (1, 1), name="conv3")(y))
        if self.first:
            x = Projection(stage.features, stride, layers, name="shortcut")(x)
        return nn.relu(layers.drop_path()(y) + x)


class Projection(nn.Module):
    """The mean of 2×2 pixels at stride 2, then a 1×1 convolution and its norm."""

    features: int
    stride: int
    layers: Layers

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        x = average_down(x) if self.stride == 2 else x
        x = self.layers.conv(self.features, (1, 1), name="conv")(x)
        return self.layers.norm(name="norm")(x)


class Separable(nn.Module):
    """1×1, k×k for each channel alone, channel attention, 1×1, with SiLU.

    Beside it is the identity, averaged at stride 2; where channels change there is nothing.
    """

    stage: Stage
    first: bool
    layers: Layers

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        stage, layers, norm = self.stage, self.layers, self.layers.norm
        stride, kernel = stage.stride if self.first else 1, (stage.kernel, stage.kernel)
        y = silu(norm(name="norm1")(layers.conv(stage.inner, (1, 1), name="conv1")(x)))
        y = layers.conv(stage.inner, kernel, stride=stride, groups=stage.inner, name="conv2")(y)
        y = silu(norm(name="norm2")(y))
        y = NormalizedSqueezeExcite(layers, name="attention")(y)
        y = norm(name="norm3")(layers.conv(stage.features, (1, 1), name="conv3")(y))
        if x.shape[-1] == stage.features:
            y = layers.drop_path()(y) + (average_down(x) if stride == 2 else x)
        return silu(y)


class NormalizedSqueezeExcite(nn.Module):
    """Squeeze-and-excitation with a batch norm after each of its two maps.

    These norms see one number of each example and channel: their statistics need large batches.
    """

    layers: Layers

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        conv, norm, channels = self.layers.conv, self.layers.norm, x.shape[-1]
        hidden = max(1, round(channels / 4) // 8) * 8
        y = x.mean(axis=(1, 2), keepdims=True)
        y = silu(norm(name="squeeze_norm")(conv(hidden, (1, 1), name="squeeze")(y)))
        return x * nn.sigmoid(norm(name="excite_norm")(conv(channels, (1, 1), name="excite")(y)))


class DeepMAD(Network):
    """A 3×3 stem at stride 2, stages of blocks, a 1×1 top or none.

    Attributes:
        stages: as they were found.
        block_cls: `Bottleneck` or `Separable`.
        stem: channels before the first stage.
        top: channels after the last stage, or None for no further convolution.
        drop_path: probability of leaving out the last residual branch in training; it grows
            linearly from zero at the first block. Needs the random stream "drop_path".
        num_classes: outputs of the head, or None for pooled features.
        norm: factory of the normalisation.
        remat: recompute blocks in the backward pass instead of storing what is inside them.
        dtype: dtype of the computation; parameters are float32, logits at least float32.
    """

    stages: Sequence[Stage | Sequence[int]]
    block_cls: ModuleFactory = Bottleneck
    stem: int = 32
    top: int | None = None
    drop_path: float = 0.0
    num_classes: int | None = 1000
    norm: ModuleFactory = BatchNorm
    remat: bool = False
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.head = linear_head(self.num_classes, self.dtype)

    def __call__(self, images: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b out"]:
        """Maps normalised NHWC images to logits, or to pooled features without a head."""
        return self.head(self.features(images, train=train)["pooled"])

    @nn.compact
    def features(self, images: Float[Array, "b h w c"], *, train: bool) -> dict[str, Array]:
        """Output of the stem, of every stage and of the top, and their mean, "pooled", (b, c)."""
        require_size(images, 1)
        norm = partial(self.norm, train=train, dtype=self.dtype)
        layers = Layers(conv=partial(Conv, dtype=self.dtype), norm=norm)
        block = nn.remat(self.block_cls) if self.remat else self.block_cls
        stages = [Stage(*stage) for stage in self.stages]
        drop_rates = np.linspace(0, self.drop_path, sum(stage.repeats for stage in stages)).tolist()

        x = layers.conv(self.stem, (3, 3), stride=2, name="stem")(images.astype(self.dtype))
        x = nn.relu(norm(name="stem_norm")(x))
        pyramid = {"stem": x}
        for s, stage in enumerate(stages, start=1):
            for b in range(stage.repeats):
                own = layers._replace(drop_path=partial(DropPath, drop_rates.pop(0), train))
                x = block(stage, b == 0, own, name=f"stage{s}_block{b}")(x)
            pyramid[f"stage{s}"] = x
        if self.top is not None:
            x = nn.relu(norm(name="top_norm")(layers.conv(self.top, (1, 1), name="top")(x)))
            pyramid["top"] = x
        return pyramid | {"pooled": x.mean(axis=(1, 2))}


def _found(*stages: tuple[int, int, int, int, int]) -> tuple[Stage, ...]:
    return tuple(Stage(*stage) for stage in stages)


# Channels, kernel, stride, blocks, channels inside.
_R18 = _found(
    (96, 5, 2, 1, 40), (384, 5, 2, 6, 40), (384, 5, 2, 9, 64), (1024, 3, 1, 10, 104),
    (672, 5, 2, 12, 104),
)  # fmt: skip
_R34 = _found(
    (128, 5, 2, 1, 24), (512, 5, 2, 10, 48), (896, 5, 2, 13, 88), (1024, 5, 1, 11, 104),
    (616, 5, 2, 14, 128),
)  # fmt: skip
_R50 = _found(
    (128, 5, 2, 1, 40), (512, 5, 2, 11, 48), (872, 5, 2, 12, 88), (1024, 5, 1, 13, 104),
    (1232, 5, 2, 15, 120),
)  # fmt: skip
_29M_224 = _found(
    (40, 5, 1, 2, 240), (85, 5, 2, 4, 512), (134, 5, 2, 6, 800), (201, 5, 2, 6, 1208),
    (312, 5, 2, 5, 1872),
)  # fmt: skip
_29M_288 = _found(
    (61, 5, 2, 4, 368), (96, 5, 2, 4, 576), (145, 5, 2, 5, 872), (217, 5, 1, 6, 1304),
    (328, 5, 2, 4, 1968),
)  # fmt: skip
_50M = _found(
    (112, 5, 2, 7, 672), (168, 5, 2, 9, 1008), (252, 5, 2, 7, 1512), (378, 5, 2, 3, 2272),
    (576, 3, 1, 1, 3456),
)  # fmt: skip
_89M = _found(
    (136, 5, 2, 10, 816), (204, 5, 2, 9, 1224), (326, 5, 2, 7, 1952), (490, 5, 2, 4, 2944),
    (744, 3, 1, 1, 4464),
)  # fmt: skip

# Table 1 of the paper: as ResNets of the same cost.
deepmad_r18 = partial(DeepMAD, stages=_R18, stem=32)
deepmad_r34 = partial(DeepMAD, stages=_R34, stem=24)
deepmad_r50 = partial(DeepMAD, stages=_R50, stem=32)

# Table 2: as transformers of the same size.
_Separable = partial(DeepMAD, block_cls=Separable)
deepmad_29m_224 = partial(_Separable, stages=_29M_224, stem=40, top=1792)
deepmad_29m_288 = partial(_Separable, stages=_29M_288, stem=40, top=1792)
deepmad_50m = partial(_Separable, stages=_50M, stem=48, top=2048)
deepmad_89m = partial(_Separable, stages=_89M, stem=56, top=2560)
