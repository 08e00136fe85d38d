"""Convolution with symmetric padding, NHWC, whose 1×1 form is the matrix product it is."""

from collections.abc import Sequence
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.layers.dense import linear
from zoo.layers.initializers import HE_NORMAL_FAN_OUT, ZEROS, Initializer
from zoo.layers.windows import NHWC, depthwise, strided, unpadded


class Conv(nn.Module):
    """Two-dimensional cross-correlation, `kernel` of shape (kh, kw, c_in / groups, c_out).

    Both sides of an axis are padded alike, by `padding` (default: half the kernel), as
    PyTorch does. `"SAME"` is that of TensorFlow, which pads an even axis unevenly at stride 2.

    Attributes:
        features: output channels.
        kernel_size: height and width of the kernel, in pixels.
        stride: step of the window, in pixels.
        padding: zeros on each side; None for `(kernel_size - 1) // 2`; or "SAME".
        dilation: distance of neighbouring kernel entries, in pixels; with "SAME" only.
        groups: channel groups that do not see each other.
        use_bias: adds one number per output channel.
        dtype: dtype of the computation; parameters are float32.
    """

    features: int
    kernel_size: tuple[int, int]
    stride: int = 1
    padding: int | Literal["SAME"] | None = None
    dilation: int = 1
    groups: int = 1
    use_bias: bool = False
    kernel_init: Initializer = HE_NORMAL_FAN_OUT
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        shape = (*self.kernel_size, x.shape[-1] // self.groups, self.features)
        kernel = self.effective(self.param("kernel", self.kernel_init, shape, jnp.float32))
        x, kernel = jnp.asarray(x, self.dtype), jnp.asarray(kernel, self.dtype)
        if self.kernel_size == (1, 1) and self.groups == 1 and not self.padding:
            y = linear(strided(x, self.stride), kernel[0, 0])
        else:
            y = self._convolve(x, kernel)
        if self.use_bias:
            bias = self.param("bias", ZEROS, (self.features,), jnp.float32)
            y = y + jnp.asarray(bias, self.dtype)[None, None, None]
        return y

    def effective(self, kernel: Float[Array, "kh kw c d"]) -> Float[Array, "kh kw c d"]:
        """What is applied in place of the stored kernel; a hook for reparametrised forms."""
        return kernel

    def _convolve(self, x: Array, kernel: Array) -> Array:
        if self.groups == x.shape[-1] and self.dilation == 1:
            return self._depthwise(x, kernel)
        pads = self._pads()
        if self.groups == self.dilation == 1 and pads == [(0, 0), (0, 0)]:
            return unpadded(x, kernel, self.stride)
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            window_strides=(self.stride, self.stride),
            padding=pads,
            rhs_dilation=(self.dilation, self.dilation),
            dimension_numbers=NHWC,
            feature_group_count=self.groups,
        )

    def _depthwise(self, x: Array, kernel: Array) -> Array:
        """Every channel alone, or repeated if there are more of output than of input."""
        pads = self._pads()
        if isinstance(pads, str):
            strides = (self.stride, self.stride)
            pads = jax.lax.padtype_to_pads(x.shape[1:3], self.kernel_size, strides, pads)
        copies = (*x.shape, self.features // self.groups)
        x = jax.lax.collapse(jnp.broadcast_to(x[..., None], copies), 3)
        return depthwise(x, kernel, self.stride, (pads[0], pads[1]))

    def _pads(self) -> str | Sequence[tuple[int, int]]:
        if isinstance(self.padding, str):
            return self.padding
        pads = [(k - 1) // 2 if self.padding is None else self.padding for k in self.kernel_size]
        return [(p, p) for p in pads]
