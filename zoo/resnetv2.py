"""ResNetV2: norm and activation stand before each convolution, so that the shortcut stays clean.

He, Zhang, Ren & Sun, "Identity Mappings in Deep Residual Networks", 2016,
https://arxiv.org/abs/1603.05027. As usual since, a bottleneck takes its stride on the 3×3
convolution. BiT (Kolesnikov et al. 2019, https://arxiv.org/abs/1912.11370) is this network with
group norm and standardised weights.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from zoo.layers.average_down import average_down
from zoo.layers.conv import Conv
from zoo.layers.drop_path import DropPath
from zoo.layers.factory import Factory, Layers, ModuleFactory
from zoo.layers.group_norm import GroupNorm
from zoo.layers.head import linear_head
from zoo.layers.initializers import Initializer
from zoo.layers.network import Network
from zoo.layers.norm import BatchNorm
from zoo.layers.pool import max_pool
from zoo.layers.size import require_size
from zoo.layers.standardized_conv import StandardizedConv


class PreActivationBasic(nn.Module):
    """Two 3×3 convolutions, each after norm and ReLU; figure 4e with two layers."""

    width: int
    stride: int
    layers: Layers
    expansion = 1

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        layers, conv, norm = self.layers, self.layers.conv, self.layers.norm
        y = nn.relu(norm(name="norm1")(x))
        shortcut = layers.shortcut(self.width, self.stride, layers, name="shortcut")(x, y)
        y = conv(self.width, (3, 3), stride=self.stride, name="conv1")(y)
        y = conv(self.width, (3, 3), name="conv2")(nn.relu(norm(name="norm2")(y)))
        return shortcut + layers.drop_path()(y)


class PreActivationBottleneck(nn.Module):
    """1×1, 3×3, 1×1 convolutions, each after norm and ReLU; figure 4e with three layers."""

    width: int
    stride: int
    layers: Layers
    expansion = 4

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        layers, conv, norm = self.layers, self.layers.conv, self.layers.norm
        out = self.width * self.expansion
        y = nn.relu(norm(name="norm1")(x))
        shortcut = layers.shortcut(out, self.stride, layers, name="shortcut")(x, y)
        y = conv(self.width, (1, 1), name="conv1")(y)
        y = nn.relu(norm(name="norm2")(y))
        y = conv(self.width, (3, 3), stride=self.stride, name="conv2")(y)
        y = conv(out, (1, 1), name="conv3")(nn.relu(norm(name="norm3")(y)))
        return shortcut + layers.drop_path()(y)


class ProjectionShortcut(nn.Module):
    """The block's input where shapes agree, else a strided 1×1 convolution of its activation."""

    features: int
    stride: int
    layers: Layers

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], activated: Float[Array, "b h w c"]
    ) -> Float[Array, "b h2 w2 d"]:
        if self.stride == 1 and x.shape[-1] == self.features:
            return x
        return self.layers.conv(self.features, (1, 1), stride=self.stride, name="conv")(activated)


class AverageShortcut(nn.Module):
    """As `ProjectionShortcut`, but a 2×2 average takes the stride: no pixel is ignored."""

    features: int
    stride: int
    layers: Layers

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], activated: Float[Array, "b h w c"]
    ) -> Float[Array, "b h2 w2 d"]:
        if self.stride == 1 and x.shape[-1] == self.features:
            return x
        y = average_down(activated) if self.stride == 2 else activated
        return self.layers.conv(self.features, (1, 1), name="conv")(y)


class Stem(nn.Module):
    """A 7×7 convolution alone and 3×3 max pooling, both at stride 2.

    Attributes:
        zero_padding: the pooling sees a rim of zeros (BiT) and not of minus infinity. What it
            pools was not rectified, so this matters.
    """

    width: int
    layers: Layers
    zero_padding: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        x = self.layers.conv(self.width, (7, 7), stride=2, name="conv")(x)
        if not self.zero_padding:
            return max_pool(x, window=3, stride=2, padding=1)
        return max_pool(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), window=3, stride=2)


class DeepStem(nn.Module):
    """Three 3×3 convolutions, the last one alone, and 3×3 max pooling."""

    width: int
    layers: Layers

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        conv, norm = self.layers.conv, self.layers.norm
        x = conv(self.width // 2, (3, 3), stride=2, name="conv1")(x)
        x = conv(self.width // 2, (3, 3), name="conv2")(nn.relu(norm(name="norm1")(x)))
        x = conv(self.width, (3, 3), name="conv3")(nn.relu(norm(name="norm2")(x)))
        return max_pool(x, window=3, stride=2, padding=1)


class ResNetV2(Network):
    """Pre-activation residual network for images.

    Attributes:
        stage_sizes: blocks per stage; every stage but the first halves the resolution.
        block_cls: `PreActivationBasic` or `PreActivationBottleneck`.
        stem_cls: what stands before the first stage.
        shortcut_cls: what connects the ends of a block whose shapes differ.
        width: channels of the stem and inside the first stage; doubles with each stage.
        num_classes: outputs of the head, or None for pooled features.
        conv: factory of the convolutions, `Conv` or `StandardizedConv`.
        norm: factory of the normalisation.
        drop_path: probability of leaving out the last residual branch in training; it grows
            linearly from zero at the first block. Needs the random stream "drop_path".
        remat: recompute blocks in the backward pass instead of storing what is inside them.
        dtype: dtype of the computation; parameters are float32, logits at least float32.
    """

    stage_sizes: Sequence[int]
    block_cls: ModuleFactory = PreActivationBottleneck
    stem_cls: ModuleFactory = Stem
    shortcut_cls: ModuleFactory = ProjectionShortcut
    width: int = 64
    num_classes: int | None = 1000
    conv: ModuleFactory = Conv
    norm: ModuleFactory = BatchNorm
    drop_path: float = 0.0
    remat: bool = False
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.head = linear_head(self.num_classes, self.dtype, Initializer(gain=0.01))

    def __call__(self, images: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b out"]:
        """Maps normalised NHWC images to logits, or to pooled features without a head."""
        return self.head(self.features(images, train=train)["pooled"])

    @nn.compact
    def features(self, images: Float[Array, "b h w c"], *, train: bool) -> dict[str, Array]:
        """Output of the stem and of every stage, (b, h, w, c), neither normed nor rectified.

        "pooled", (b, c), is the mean of the last one after a final norm and ReLU.
        """
        require_size(images, 1)
        layers = Layers(
            conv=partial(self.conv, dtype=self.dtype),
            norm=partial(self.norm, train=train, dtype=self.dtype),
            shortcut=self.shortcut_cls,
        )
        block = nn.remat(self.block_cls) if self.remat else self.block_cls
        drop_rates = np.linspace(0, self.drop_path, sum(self.stage_sizes)).tolist()

        x = self.stem_cls(self.width, layers, name="stem")(images.astype(self.dtype))
        pyramid = {"stem": x}
        for s, size in enumerate(self.stage_sizes, start=1):
            for b in range(size):
                width, stride = self.width * 2 ** (s - 1), 2 if s > 1 and b == 0 else 1
                own = layers._replace(drop_path=partial(DropPath, drop_rates.pop(0), train))
                x = block(width, stride, own, name=f"stage{s}_block{b}")(x)
            pyramid[f"stage{s}"] = x
        pooled = nn.relu(layers.norm(name="final_norm")(x)).mean(axis=(1, 2))
        return pyramid | {"pooled": pooled}


# He et al. 2016; d as in He et al. 2018, https://arxiv.org/abs/1812.01187, figure 2.
ResNetV2D = partial(ResNetV2, stem_cls=DeepStem, shortcut_cls=AverageShortcut)
resnetv2_18 = partial(ResNetV2, stage_sizes=(2, 2, 2, 2), block_cls=PreActivationBasic)
resnetv2_18d = partial(ResNetV2D, stage_sizes=(2, 2, 2, 2), block_cls=PreActivationBasic)
resnetv2_34 = partial(ResNetV2, stage_sizes=(3, 4, 6, 3), block_cls=PreActivationBasic)
resnetv2_34d = partial(ResNetV2D, stage_sizes=(3, 4, 6, 3), block_cls=PreActivationBasic)
resnetv2_50 = partial(ResNetV2, stage_sizes=(3, 4, 6, 3))
resnetv2_50d_gn = partial(ResNetV2D, stage_sizes=(3, 4, 6, 3), norm=GroupNorm)
resnetv2_101 = partial(ResNetV2, stage_sizes=(3, 4, 23, 3))

# Kolesnikov et al. 2019, section 3: BiT-R50x1, R101x1 and R152x2.
BiT = partial(
    ResNetV2,
    stem_cls=Factory(Stem, zero_padding=True),
    conv=StandardizedConv,
    norm=GroupNorm,
)
resnetv2_50x1_bit = partial(BiT, stage_sizes=(3, 4, 6, 3))
resnetv2_101x1_bit = partial(BiT, stage_sizes=(3, 4, 23, 3))
resnetv2_152x2_bit = partial(BiT, stage_sizes=(3, 8, 36, 3), width=128)
