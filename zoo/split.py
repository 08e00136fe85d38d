"""Split computing: a device runs the head and sends a few bytes, a server runs the tail.

The first stages of a network give way to a narrow encoder and a decoder, with numbers of eight bits
between them. Matsubara et al. 2022, "BottleFit", https://arxiv.org/abs/2201.02693.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from zoo.layers.conv import Conv
from zoo.layers.network import Network
from zoo.layers.norm import BatchNorm

LEVELS = 255  # of a byte, above zero


class Encoder(nn.Module):
    """What the device runs: convolutions of stride 2, and numbers from 0 to 1 at the end."""

    channels: int
    width: int
    halvings: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 d"]:
        for n in range(self.halvings):
            x = Conv(self.width, (3, 3), stride=2, name=f"conv{n}")(x)
            x = nn.relu(BatchNorm(train=train, name=f"norm{n}")(x))
        return nn.sigmoid(Conv(self.channels, (1, 1), use_bias=True, name="last")(x))


class Decoder(nn.Module):
    """From what was sent to the map of a stage: widened, enlarged, smoothed."""

    shape: Sequence[int]
    width: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 d"]:
        height, width, channels = self.shape
        x = Conv(4 * self.width, (1, 1), name="conv0")(x - 0.5)
        x = nn.relu(BatchNorm(train=train, name="norm0")(x))
        x = jax.image.resize(x, (len(x), height, width, x.shape[-1]), "bilinear")
        x = nn.relu(BatchNorm(train=train, name="norm1")(Conv(self.width, (3, 3), name="conv1")(x)))
        return BatchNorm(train=train, name="norm2")(Conv(channels, (3, 3), name="conv2")(x))


class Split(Network):
    """A network in which everything up to a module gives way to a bottleneck.

    Its variables are those of "encoder", of "decoder", and of "network" without that module; what
    the network has before it is still there, and nothing reads it.

    >>> split = Split(loaded.model, "stage1_block0", inputs=(8, 8, 1), shape=(8, 8, 16))
    >>> sent = split.apply(variables, images, method="head")  # uint8, on the device
    >>> logits = split.apply(variables, sent, method="tail")  # on the server

    Attributes:
        network: the network, which may be pretrained.
        stage: path of the module in whose place the decoder's output stands.
        inputs: height, width and channels of an image.
        shape: the same of what the module puts out.
        channels: bytes that are sent of each place.
        halvings: how often the encoder halves both sides.
        width: channels inside the encoder and the decoder.
    """

    network: nn.Module
    stage: str
    inputs: tuple[int, int, int]
    shape: tuple[int, int, int]
    channels: int = 3
    halvings: int = 2
    width: int = 16

    def setup(self) -> None:
        self.encoder = Encoder(self.channels, self.width, self.halvings)
        self.decoder = Decoder(self.shape, self.width)

    def __call__(self, images: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b out"]:
        """Logits; what would be sent is rounded, and has the gradient of what is not."""
        return self._decoded(self._sent(images, train), train, self.network)

    def features(self, images: Float[Array, "b h w c"], *, train: bool) -> dict[str, Array]:
        """What the stages of the network put out; those before the bottleneck mean nothing."""
        network: Any = self.network
        return self._decoded(self._sent(images, train), train, network.features)

    def head(self, images: Float[Array, "b h w c"]) -> UInt8[Array, "b h2 w2 d"]:
        """What is sent of each image: its payload is as many bytes as this has numbers."""
        return jnp.round(self.encoder(images, train=False) * LEVELS).astype(jnp.uint8)

    def tail(self, sent: UInt8[Array, "b h w d"]) -> Float[Array, "b out"]:
        """Logits from what was sent."""
        return self._decoded(sent.astype(jnp.float32) / LEVELS, False, self.network)

    def _sent(self, images: Array, train: bool) -> Array:
        z = self.encoder(images, train=train)
        return z + jax.lax.stop_gradient(jnp.round(z * LEVELS) / LEVELS - z)

    def _decoded(self, sent: Array, train: bool, method: Any) -> Any:
        """What a method of the network gives with the decoder's output in place of the module's."""
        place = (*self.network.path, *self.stage.split("/"))

        def replace(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
            if context.module.path == place and context.method_name == "__call__":
                return self.decoder(sent, train=train)
            return call(*args, **kwargs)

        with nn.intercept_methods(replace):
            return method(jnp.zeros((len(sent), *self.inputs)), train=train)
