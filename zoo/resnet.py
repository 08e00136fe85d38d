"""ResNet and its relatives: blocks that learn what to add to their input.

He, Zhang, Ren & Sun, "Deep Residual Learning for Image Recognition", 2015,
https://arxiv.org/abs/1512.03385. Two departures from the paper, both usual: a bottleneck takes its
stride on the 3×3 convolution ("v1.5"), and the last norm of each residual branch starts at zero
(Goyal et al. 2017, https://arxiv.org/abs/1706.02677), so that a new block is the identity.

The relatives replace a part each: the stem and the shortcut (c, d, s, t), the 3×3 convolution
(ResNeXt, Wide), the norm, or they weigh the channels of each branch (SE, ECA, ResNet-RS).
Their papers stand above the variants.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from zoo.layers.average_down import average_down
from zoo.layers.channel_attention import EfficientChannelAttention, NoAttention, SqueezeExcite
from zoo.layers.conv import Conv
from zoo.layers.drop_path import DropPath
from zoo.layers.factory import Factory, Layers, ModuleFactory
from zoo.layers.group_norm import GroupNorm
from zoo.layers.head import linear_head
from zoo.layers.initializers import ZEROS
from zoo.layers.network import Network
from zoo.layers.norm import BatchNorm
from zoo.layers.pool import max_pool
from zoo.layers.size import require_size
from zoo.layers.windows import strided


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut; figure 5, left."""

    width: int
    stride: int
    layers: Layers
    groups: int = 1
    base_width: int = 64
    expansion = 1

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        layers, norm = self.layers, self.layers.norm
        inner = self.width * self.base_width // 64 * self.groups
        conv = partial(layers.conv, kernel_size=(3, 3), groups=self.groups)
        y = nn.relu(norm(name="norm1")(conv(inner, stride=self.stride, name="conv1")(x)))
        y = norm(name="norm2", scale_init=ZEROS)(conv(self.width, name="conv2")(y))
        y = layers.drop_path()(layers.attention(name="attention")(y))
        return nn.relu(y + layers.shortcut(self.width, self.stride, layers, name="shortcut")(x))


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 convolutions, four times as wide outside as inside; figure 5, right.

    In `groups` with `base_width` channels each (of 64 in the plain first stage), it is the block
    of ResNeXt (figure 3c there); one group of twice the width is that of Wide ResNet-50-2.
    """

    width: int
    stride: int
    layers: Layers
    groups: int = 1
    base_width: int = 64
    expansion = 4

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        layers, norm = self.layers, self.layers.norm
        inner = self.width * self.base_width // 64 * self.groups
        out = self.width * self.expansion
        conv = partial(layers.conv, stride=self.stride, groups=self.groups)
        y = nn.relu(norm(name="norm1")(layers.conv(inner, (1, 1), name="conv1")(x)))
        y = nn.relu(norm(name="norm2")(conv(inner, (3, 3), name="conv2")(y)))
        y = norm(name="norm3", scale_init=ZEROS)(layers.conv(out, (1, 1), name="conv3")(y))
        y = layers.drop_path()(layers.attention(name="attention")(y))
        return nn.relu(y + layers.shortcut(out, self.stride, layers, name="shortcut")(x))


class ProjectionShortcut(nn.Module):
    """The identity where shapes agree, else a strided 1×1 convolution (option B of the paper)."""

    features: int
    stride: int
    layers: Layers

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        if self.stride == 1 and x.shape[-1] == self.features:
            return x
        x = self.layers.conv(self.features, (1, 1), stride=self.stride, name="conv")(x)
        return self.layers.norm(name="norm")(x)


class AverageShortcut(nn.Module):
    """As `ProjectionShortcut`, but a 2×2 average takes the stride: no pixel is ignored.

    He et al. 2018, https://arxiv.org/abs/1812.01187, figure 2c.
    """

    features: int
    stride: int
    layers: Layers

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        if self.stride == 1 and x.shape[-1] == self.features:
            return x
        x = average_down(x) if self.stride == 2 else x
        x = self.layers.conv(self.features, (1, 1), name="conv")(x)
        return self.layers.norm(name="norm")(x)


class PaddedShortcut(nn.Module):
    """Every `stride`-th pixel, new channels zero: no parameters (option A, section 4.2)."""

    features: int
    stride: int
    layers: Layers

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        x = strided(x, self.stride)
        return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, self.features - x.shape[-1])))


class ImageNetStem(nn.Module):
    """7×7 convolution and 3×3 max pooling, both at stride 2: a quarter of each side is left."""

    width: int
    layers: Layers

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        x = self.layers.conv(self.width, (7, 7), stride=2, name="conv")(x)
        x = nn.relu(self.layers.norm(name="norm")(x))
        return max_pool(x, window=3, stride=2, padding=1)


class DeepStem(nn.Module):
    """Three 3×3 convolutions and 3×3 max pooling, the first and the last at stride 2.

    He et al. 2018, https://arxiv.org/abs/1812.01187, figure 2b.

    Attributes:
        eighths: channels of the convolutions, in eighths of `width`.
        learned_pool: a fourth 3×3 convolution halves the sides instead of the pooling
            (Bello et al. 2021, https://arxiv.org/abs/2103.07579, section 4.3).
    """

    width: int
    layers: Layers
    eighths: Sequence[int] = (4, 4, 8)
    learned_pool: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        conv, norm = self.layers.conv, self.layers.norm
        first, second, third = (self.width * n // 8 for n in self.eighths)
        x = conv(first, (3, 3), stride=2, name="conv1")(x)
        x = conv(second, (3, 3), name="conv2")(nn.relu(norm(name="norm1")(x)))
        x = conv(third, (3, 3), name="conv3")(nn.relu(norm(name="norm2")(x)))
        x = nn.relu(norm(name="norm3")(x))
        if not self.learned_pool:
            return max_pool(x, window=3, stride=2, padding=1)
        return nn.relu(norm(name="norm4")(conv(third, (3, 3), stride=2, name="conv4")(x)))


class SmallImageStem(nn.Module):
    """One 3×3 convolution that keeps the resolution (section 4.2)."""

    width: int
    layers: Layers

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w d"]:
        x = self.layers.conv(self.width, (3, 3), name="conv")(x)
        return nn.relu(self.layers.norm(name="norm")(x))


class ResNet(Network):
    """Residual network for images.

    Attributes:
        stage_sizes: blocks per stage; every stage but the first halves the resolution.
        block_cls: `BasicBlock` or `Bottleneck`.
        stem_cls: what stands before the first stage.
        shortcut_cls: what connects the ends of a block whose shapes differ.
        attention_cls: what weighs a residual branch before it is added: `NoAttention`,
            `SqueezeExcite`, `EfficientChannelAttention`, or `EfficientLocalAttention` of
            `zoo.layers.local_attention`.
        width: channels of the stem and inside the first stage; doubles with each stage.
        groups: channel groups of the 3×3 convolutions of a block (cardinality in ResNeXt).
        base_width: channels of one such group, where an ordinary block has 64.
        drop_path: probability of leaving out the last residual branch in training; it grows
            linearly from zero at the first block. Needs the random stream "drop_path".
        drop_rate: dropout before the head; 0.25 for ResNet-RS. Needs the random stream "dropout".
        num_classes: outputs of the head, or None for pooled features.
        norm: factory of the normalisation.
        remat: recompute blocks in the backward pass instead of storing what is inside them.
        dtype: dtype of the computation; parameters are float32, logits at least float32.
    """

    stage_sizes: Sequence[int]
    block_cls: ModuleFactory
    stem_cls: ModuleFactory = ImageNetStem
    shortcut_cls: ModuleFactory = ProjectionShortcut
    attention_cls: ModuleFactory = NoAttention
    width: int = 64
    groups: int = 1
    base_width: int = 64
    drop_path: float = 0.0
    drop_rate: float = 0.0
    num_classes: int | None = 1000
    norm: ModuleFactory = BatchNorm
    remat: bool = False
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.dropout = nn.Dropout(self.drop_rate)
        self.head = linear_head(self.num_classes, self.dtype)

    def __call__(self, images: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b out"]:
        """Maps normalised NHWC images to logits, or to pooled features without a head."""
        pooled = self.features(images, train=train)["pooled"]
        return self.head(self.dropout(pooled, deterministic=not train))

    @nn.compact
    def features(self, images: Float[Array, "b h w c"], *, train: bool) -> dict[str, Array]:
        """Output of the stem and of every stage, (b, h, w, c), and their mean, "pooled", (b, c)."""
        require_size(images, 1)
        layers = Layers(
            conv=partial(Conv, dtype=self.dtype),
            norm=partial(self.norm, train=train, dtype=self.dtype),
            attention=partial(self.attention_cls, dtype=self.dtype),
            shortcut=self.shortcut_cls,
        )
        block = nn.remat(self.block_cls) if self.remat else self.block_cls
        block = partial(block, groups=self.groups, base_width=self.base_width)
        drop_rates = np.linspace(0, self.drop_path, sum(self.stage_sizes)).tolist()

        x = self.stem_cls(self.width, layers, name="stem")(images.astype(self.dtype))
        pyramid = {"stem": x}
        for s, size in enumerate(self.stage_sizes, start=1):
            for b in range(size):
                width, stride = self.width * 2 ** (s - 1), 2 if s > 1 and b == 0 else 1
                own = layers._replace(drop_path=partial(DropPath, drop_rates.pop(0), train))
                x = block(width, stride, own, name=f"stage{s}_block{b}")(x)
            pyramid[f"stage{s}"] = x
        return pyramid | {"pooled": x.mean(axis=(1, 2))}


# Table 1 of the paper.
resnet18 = partial(ResNet, stage_sizes=(2, 2, 2, 2), block_cls=BasicBlock)
resnet26 = partial(ResNet, stage_sizes=(2, 2, 2, 2), block_cls=Bottleneck)
resnet34 = partial(ResNet, stage_sizes=(3, 4, 6, 3), block_cls=BasicBlock)
resnet50 = partial(ResNet, stage_sizes=(3, 4, 6, 3), block_cls=Bottleneck)
resnet101 = partial(ResNet, stage_sizes=(3, 4, 23, 3), block_cls=Bottleneck)
resnet152 = partial(ResNet, stage_sizes=(3, 8, 36, 3), block_cls=Bottleneck)

# He et al. 2018, "Bag of Tricks for Image Classification", https://arxiv.org/abs/1812.01187,
# figure 2: c has a deep stem, d averages in the shortcut too. Two stems from practice: s is twice
# as wide, t grows in three steps; t is otherwise d.
ResNetD = partial(ResNet, stem_cls=DeepStem, shortcut_cls=AverageShortcut)
ResNetT = partial(ResNetD, stem_cls=Factory(DeepStem, eighths=(3, 4, 8)))
resnet10t = partial(ResNetT, stage_sizes=(1, 1, 1, 1), block_cls=BasicBlock)
resnet14t = partial(ResNetT, stage_sizes=(1, 1, 1, 1), block_cls=Bottleneck)
resnet18d = partial(ResNetD, stage_sizes=(2, 2, 2, 2), block_cls=BasicBlock)
resnet26d = partial(ResNetD, stage_sizes=(2, 2, 2, 2), block_cls=Bottleneck)
resnet26t = partial(ResNetT, stage_sizes=(2, 2, 2, 2), block_cls=Bottleneck)
resnet34d = partial(ResNetD, stage_sizes=(3, 4, 6, 3), block_cls=BasicBlock)
resnet50c = partial(resnet50, stem_cls=DeepStem)
resnet50d = partial(ResNetD, stage_sizes=(3, 4, 6, 3), block_cls=Bottleneck)
resnet50s = partial(resnet50, stem_cls=Factory(DeepStem, eighths=(8, 8, 16)))
resnet101d = partial(ResNetD, stage_sizes=(3, 4, 23, 3), block_cls=Bottleneck)
resnet152d = partial(ResNetD, stage_sizes=(3, 8, 36, 3), block_cls=Bottleneck)
resnet200d = partial(ResNetD, stage_sizes=(3, 24, 36, 3), block_cls=Bottleneck)

# Wu & He 2018, "Group Normalization", https://arxiv.org/abs/1803.08494.
resnet50_gn = partial(resnet50, norm=GroupNorm)

# Xie et al. 2016, "Aggregated Residual Transformations", https://arxiv.org/abs/1611.05431, table 1.
resnext50_32x4d = partial(resnet50, groups=32, base_width=4)
resnext50d_32x4d = partial(resnet50d, groups=32, base_width=4)
resnext101_32x4d = partial(resnet101, groups=32, base_width=4)
resnext101_32x8d = partial(resnet101, groups=32, base_width=8)
resnext101_64x4d = partial(resnet101, groups=64, base_width=4)

# Zagoruyko & Komodakis 2016, "Wide Residual Networks", https://arxiv.org/abs/1605.07146, table 8.
wide_resnet50_2 = partial(resnet50, base_width=128)
wide_resnet101_2 = partial(resnet101, base_width=128)

# Hu et al. 2017, "Squeeze-and-Excitation Networks", https://arxiv.org/abs/1709.01507, table 1.
seresnet50 = partial(resnet50, attention_cls=SqueezeExcite)
seresnet152d = partial(resnet152d, attention_cls=SqueezeExcite)
seresnext50_32x4d = partial(resnext50_32x4d, attention_cls=SqueezeExcite)

# Wang et al. 2019, "ECA-Net", https://arxiv.org/abs/1910.03151.
ecaresnet26t = partial(resnet26t, attention_cls=EfficientChannelAttention)
ecaresnet50d = partial(resnet50d, attention_cls=EfficientChannelAttention)
ecaresnet50t = partial(ecaresnet26t, stage_sizes=(3, 4, 6, 3))
ecaresnet101d = partial(resnet101d, attention_cls=EfficientChannelAttention)
ecaresnet269d = partial(ecaresnet101d, stage_sizes=(3, 30, 48, 8))

# Bello et al. 2021, "Revisiting ResNets", https://arxiv.org/abs/2103.07579, table 7.
ResNetRS = partial(
    ResNet,
    block_cls=Bottleneck,
    stem_cls=Factory(DeepStem, learned_pool=True),
    shortcut_cls=AverageShortcut,
    attention_cls=Factory(SqueezeExcite, ratio=1 / 4),
)
resnetrs50 = partial(ResNetRS, stage_sizes=(3, 4, 6, 3))
resnetrs101 = partial(ResNetRS, stage_sizes=(3, 4, 23, 3))
resnetrs152 = partial(ResNetRS, stage_sizes=(3, 8, 36, 3))
resnetrs200 = partial(ResNetRS, stage_sizes=(3, 24, 36, 3))

# He et al. 2015, section 4.2: 6n + 2 layers for images of 32 pixels; 8 layers do for 8 pixels.
SmallResNet = partial(
    ResNet,
    block_cls=BasicBlock,
    stem_cls=SmallImageStem,
    shortcut_cls=PaddedShortcut,
    width=16,
    num_classes=10,
)
resnet8 = partial(SmallResNet, stage_sizes=(1, 1, 1))
resnet20 = partial(SmallResNet, stage_sizes=(3, 3, 3))
resnet32 = partial(SmallResNet, stage_sizes=(5, 5, 5))
resnet44 = partial(SmallResNet, stage_sizes=(7, 7, 7))
resnet56 = partial(SmallResNet, stage_sizes=(9, 9, 9))
resnet110 = partial(SmallResNet, stage_sizes=(18, 18, 18))
