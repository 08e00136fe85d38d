"""The operations of the NASNet search space, each from a hidden state to one of a given width.

Zoph et al. 2018, https://arxiv.org/abs/1707.07012, section 3.1, and appendix A.4: every convolution
is ReLU, convolution, norm; a separable convolution is applied twice; where widths or resolutions
do not match, a 1×1 convolution is inserted.
"""

from collections.abc import Callable, Mapping
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.layers.factory import Layers
from zoo.layers.initializers import HE_NORMAL_FAN_IN
from zoo.layers.pool import avg_pool
from zoo.layers.windows import window_max, window_sum


def pool(
    kind: str, x: Array, window: int, stride: int, *, border: float, count_padding: bool
) -> Float[Array, "b h2 w2 c"]:
    """Largest value ("max") or mean ("avg") of windows that cover the map as TensorFlow's "SAME".

    The sources disagree at stride 2 only.

    Args:
        kind: "max" or "avg".
        x: map, (b, h, w, c).
        window: side of the window, in pixels.
        stride: step of the window, in pixels.
        border: what lies around the map for a strided maximum.
        count_padding: zeros around the map count in a strided mean.
    """
    sizes, strides = (1, window, window, 1), (1, stride, stride, 1)
    pads = jax.lax.padtype_to_pads(x.shape, sizes, strides, "SAME")
    around = (pads[1], pads[2])
    if kind == "max" and (stride == 1 or border == -jnp.inf):
        return window_max(x, window, stride, around)
    if kind == "max":
        return window_max(jnp.pad(x, pads, constant_values=border), window, stride)
    if stride == 1:
        return avg_pool(x, window, 1, window // 2, count_padding=False)
    sums = window_sum(x, window, stride, around)
    if count_padding:
        return sums / window**2
    return sums / window_sum(jnp.ones((1, *x.shape[1:3], 1), x.dtype), window, stride, around)


def separable(
    x: Array, layers: Layers, features: int, stride: int, *, kernel: int
) -> Float[Array, "b h2 w2 d"]:
    """Twice: ReLU, depthwise convolution, pointwise convolution, norm."""
    for i in (1, 2):
        depthwise = layers.conv(
            x.shape[-1],
            (kernel, kernel),
            stride=stride if i == 1 else 1,
            padding="SAME",
            groups=x.shape[-1],
            kernel_init=HE_NORMAL_FAN_IN,
            name=f"depthwise{i}",
        )
        x = layers.conv(features, (1, 1), name=f"pointwise{i}")(depthwise(nn.relu(x)))
        x = layers.norm(name=f"norm{i}")(x)
    return x


def convolutions(
    x: Array,
    layers: Layers,
    features: int,
    stride: int,
    *,
    kernels: tuple[tuple[int, int], ...],
    dilation: int = 1,
) -> Float[Array, "b h2 w2 d"]:
    """For each kernel: ReLU, convolution, norm; the first one strides."""
    for i, kernel in enumerate(kernels, 1):
        conv = layers.conv(
            features,
            kernel,
            stride=stride if i == 1 else 1,
            padding=None if kernel == (1, 1) else "SAME",
            dilation=dilation,
            name=f"conv{i}",
        )
        x = layers.norm(name=f"norm{i}")(conv(nn.relu(x)))
    return x


def pooling(
    x: Array, layers: Layers, features: int, stride: int, *, kind: str, window: int
) -> Float[Array, "b h2 w2 d"]:
    """Pooling, then a projection if the width is another."""
    x = layers.pool(kind, x, window, stride)
    return x if x.shape[-1] == features else project(x, layers, features)


def identity(x: Array, layers: Layers, features: int, stride: int) -> Float[Array, "b h2 w2 d"]:
    """The state itself, or ReLU and a projection if the width or resolution is another."""
    if stride == 1 and x.shape[-1] == features:
        return x
    return project(nn.relu(x), layers, features, stride)


def project(x: Array, layers: Layers, features: int, stride: int = 1) -> Float[Array, "b h2 w2 d"]:
    """1×1 convolution and norm."""
    x = layers.conv(features, (1, 1), stride=stride, name="conv")(x)
    return layers.norm(name="norm")(x)


Operation = Callable[[Array, Layers, int, int], Array]
OPERATIONS: Mapping[str, Operation] = {
    "identity": identity,
    "conv_1x1": partial(convolutions, kernels=((1, 1),)),
    "conv_3x3": partial(convolutions, kernels=((3, 3),)),
    "conv_1x3_3x1": partial(convolutions, kernels=((1, 3), (3, 1))),
    "conv_1x7_7x1": partial(convolutions, kernels=((1, 7), (7, 1))),
    "dilated_3x3": partial(convolutions, kernels=((3, 3),), dilation=2),
    "sep_3x3": partial(separable, kernel=3),
    "sep_5x5": partial(separable, kernel=5),
    "sep_7x7": partial(separable, kernel=7),
    "avg_3x3": partial(pooling, kind="avg", window=3),
    "max_3x3": partial(pooling, kind="max", window=3),
    "max_5x5": partial(pooling, kind="max", window=5),
    "max_7x7": partial(pooling, kind="max", window=7),
}
