r"""PrototypeNet: an image is what it is like, and what it is like can be drawn.

Images are coded by strided convolutions, and a class is told from the squared distances of the code
\(f(x)\) to learned prototypes \(p_j\) alone:

.. math:: \mathrm{logits}_k = \sum_j w_{jk}\, |f(x) - p_j|^2

A decoder, trained beside it, turns codes into images, and so shows what the prototypes are.

Li, Liu, Chen & Rudin 2018, "Deep Learning for Case-Based Reasoning through Prototypes",
https://arxiv.org/abs/1710.04806, section 3, with the sizes of its MNIST network, section 4.1.
What is minimised is in `train.methods.prototypes`.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.errors import UsageError
from zoo.layers.conv import Conv
from zoo.layers.dense import Dense
from zoo.layers.initializers import HE_NORMAL_FAN_IN, ZEROS, Initializer
from zoo.layers.network import Network
from zoo.layers.wide import wide

UNIFORM_01 = Initializer("uniform", mean=0.5, gain=0.5)


class PrototypeNet(Network):
    """An encoder, prototypes among its codes, and a decoder that draws both.

    Attributes:
        image_size: height and width of the input in pixels, or one number for a square.
        channels: of an image.
        widths: channels of the encoder's convolutions, each of which halves the sides.
        prototypes: how many there are, for all classes together.
        num_classes: logits of one image; None for the code itself.
        remat: recompute convolutions in the backward pass instead of storing what is inside them.
        dtype: dtype of the convolutions; distances and logits are at least float32.
    """

    image_size: int | Sequence[int] = 28
    channels: int = 1
    widths: Sequence[int] = (32, 32, 32, 10)
    prototypes: int = 15
    num_classes: int | None = 10
    remat: bool = False
    dtype: Any = jnp.float32

    def setup(self) -> None:
        wrap = nn.remat if self.remat else lambda block: block
        down = partial(
            wrap(Conv), kernel_size=(3, 3), stride=2, padding="SAME", use_bias=True,
            kernel_init=HE_NORMAL_FAN_IN, dtype=self.dtype,
        )  # fmt: skip
        up = partial(
            wrap(nn.ConvTranspose), kernel_size=(3, 3), strides=(2, 2), padding="SAME",
            kernel_init=HE_NORMAL_FAN_IN, bias_init=ZEROS, dtype=self.dtype,
        )  # fmt: skip
        self.encoder = [down(width) for width in self.widths]
        self.decoder = [up(width) for width in (*self.widths[-2::-1], self.channels)]
        shape = (self.prototypes, math.prod(self._sides()[-1]) * self.widths[-1])
        self.points = self.param("prototypes", UNIFORM_01, shape, jnp.float32)
        if self.num_classes is not None:
            self.head = Dense(self.num_classes, use_bias=False, kernel_init=UNIFORM_01)

    def __call__(self, images: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b out"]:
        """Maps normalised NHWC images to logits, or to their codes without classes."""
        code = self.features(images, train=train)["pooled"]
        if self.is_initializing():
            self.decode(code)
        return code if self.num_classes is None else self.head(self.distances(code))

    def features(self, images: Float[Array, "b h w c"], *, train: bool) -> dict[str, Array]:
        """Output of every convolution, (b, h, w, c), and the code, which is the last, "pooled"."""
        del train
        self._require_shape(images)
        x, pyramid = images.astype(self.dtype), {}
        for s, conv in enumerate(self.encoder, start=1):
            x = pyramid[f"stage{s}"] = nn.relu(conv(x))
        return pyramid | {"pooled": x.reshape(x.shape[0], math.prod(x.shape[1:]))}

    def distances(self, code: Float[Array, "b d"]) -> Float[Array, "b m"]:
        """Squared distances of codes to all prototypes."""
        code = code.astype(wide(self.dtype))
        return jnp.square(code[:, None] - self.points[None]).sum(axis=-1)

    def decode(self, code: Float[Array, "b d"]) -> Float[Array, "b h w c"]:
        """Images of codes, from 0, black, to 1, white, whatever inputs are normalised by."""
        *sides, smallest = self._sides()
        x = code.astype(self.dtype).reshape(code.shape[0], *smallest, self.widths[-1])
        for conv, (height, width) in zip(self.decoder, sides[::-1], strict=True):
            x = conv(x if conv is self.decoder[0] else nn.relu(x))[:, :height, :width]
        return nn.sigmoid(x.astype(wide(self.dtype)))

    def with_reconstruction(
        self, images: Float[Array, "b h w c"], *, train: bool
    ) -> tuple[Float[Array, "b k"], Float[Array, "b m"], Float[Array, "b h w c"]]:
        """Logits, squared distances to the prototypes, and the images that the decoder draws."""
        code = self.features(images, train=train)["pooled"]
        distances = self.distances(code)
        return self.head(distances), distances, self.decode(code)

    def pictures(self) -> Float[Array, "m h w c"]:
        """What every prototype looks like, from 0 to 1.

        >>> images = model.apply(variables, method="pictures")
        """
        return self.decode(self.points)

    def _sides(self) -> list[tuple[int, int]]:
        """Height and width of the image, and of every convolution's output."""
        size = self.image_size
        height, width = (size, size) if isinstance(size, int) else size
        halvings = range(len(self.widths) + 1)
        return [(-(-height // 2**n), -(-width // 2**n)) for n in halvings]

    def _require_shape(self, images: Array) -> None:
        wanted = (*self._sides()[0], self.channels)
        if images.shape[1:] != wanted:
            height, width, channels = images.shape[1:]
            raise UsageError(
                f"`images` must be {wanted[0]}x{wanted[1]} with {wanted[2]} channels, got "
                f"{height}x{width} with {channels}; build the network with "
                f"`image_size=({height}, {width}), channels={channels}`"
            )


prototypes_mnist = PrototypeNet

# Not of the paper: two convolutions, for digits of 8 pixels.
prototypes_nano = partial(PrototypeNet, image_size=8, widths=(32, 10))
