"""The network that specified stages become."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.errors import UsageError
from zoo.inception.blocks import ConvUnit, MixedBlock, ResidualBlock, pool_over
from zoo.inception.specification import Mixed, Pool, Stages, Unit
from zoo.layers.conv import Conv
from zoo.layers.dense import UniformDense
from zoo.layers.factory import Factory, Layers, ModuleFactory
from zoo.layers.head import linear_head
from zoo.layers.network import Network
from zoo.layers.norm import BatchNorm
from zoo.layers.size import require_size
from zoo.layers.wide import wide


class Inception(Network):
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
                self.aux_cls(self.num_classes, self.aux_drop_rate) for _ in self.aux_taps
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
        layers = self._layers(train)
        wrap = nn.remat if self.remat else lambda block: block
        mixed, residual = wrap(MixedBlock), wrap(ResidualBlock)

        x, pyramid = images.astype(self.dtype), {}
        for s, (stage, ops) in enumerate(self.stages):
            for name, op in ops:
                if isinstance(op, Pool):
                    x = layers.pool(op, x)
                elif isinstance(op, Unit):
                    x = ConvUnit(op, layers, name=name)(x)
                elif isinstance(op, Mixed):
                    x = mixed(op.branches, layers, name=name)(x)
                else:
                    scale = self.residual_scales[s - 1] if op.scale is None else op.scale
                    x = residual(op.branches, scale, op.activate, layers, name=name)(x)
                if self.aux_heads and name in self.aux_taps:
                    pyramid[name] = x
            pyramid[stage] = x
        return pyramid | {"pooled": x.mean(axis=(1, 2))}

    def _layers(self, train: bool) -> Layers:
        return Layers(
            conv=partial(Conv, dtype=self.dtype),
            dense=partial(UniformDense, dtype=wide(self.dtype)),
            norm=partial(self.norm, train=train, dtype=self.dtype),
            pool=partial(pool_over, count_padding=self.count_padding),
        )

    def _classify(self, pyramid: dict[str, Array], train: bool) -> Array:
        return self.head(self.dropout(pyramid["pooled"], deterministic=not train))

    def _auxiliary(self, pyramid: dict[str, Array], train: bool) -> list[Array]:
        heads, layers = zip(self.auxiliary, self.aux_taps, strict=True), self._layers(train)
        return [head(pyramid[tap], layers, train=train) for head, tap in heads]


# Keras: no gamma, biased running variance, average pools without padding.
KerasBatchNorm = Factory(BatchNorm, epsilon=1e-3, momentum=0.99, unbiased=False, use_scale=False)
