"""TNT: a transformer over patches with a smaller transformer inside every patch.

Han, Xiao, Wu, Guo, Xu & Wang, "Transformer in Transformer", 2021,
https://arxiv.org/abs/2103.00112. A patch ("sentence") of 16×16 pixels is one token of the outer
transformer and sixteen tokens ("words", here: pixels) of the inner one, which sees one patch at a
time. Each block mixes the pixels of every patch, adds their projection to the patch, then mixes
the patches. All patches of a batch go through the inner transformer together.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.errors import UsageError
from zoo.layers.attention import attend
from zoo.layers.conv import Conv
from zoo.layers.dense import Dense
from zoo.layers.drop_path import DropPath
from zoo.layers.factory import Layers, ModuleFactory
from zoo.layers.head import linear_head
from zoo.layers.initializers import LECUN_UNIFORM, NORMAL_002
from zoo.layers.mlp import Mlp
from zoo.layers.network import Network
from zoo.layers.norm import LayerNorm
from zoo.layers.squares import squares


class Attention(nn.Module):
    """Multi-head self-attention; one map makes queries and keys, a second one the values."""

    heads: int
    dense: ModuleFactory

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        width = x.shape[-1]
        q, k = jnp.split(self.dense(2 * width, use_bias=False, name="qk")(x), 2, axis=-1)
        v = self.dense(width, use_bias=False, name="v")(x)
        return self.dense(width, name="out")(attend(q, k, v, self.heads))


class Layer(nn.Module):
    """Attention and MLP, each after a norm and beside a shortcut; equations 1 and 2."""

    heads: int
    mlp_ratio: float
    layers: Layers

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        layers = self.layers
        y = Attention(self.heads, layers.dense, name="attention")(layers.norm(name="norm1")(x))
        x = x + layers.drop_path(name="drop1")(y)
        width = int(x.shape[-1] * self.mlp_ratio)
        y = Mlp(width, layers.dense, name="mlp")(layers.norm(name="norm2")(x))
        return x + layers.drop_path(name="drop2")(y)


class PatchNormProjection(nn.Module):
    """All pixels of a patch side by side: norm, linear, norm."""

    width: int
    layers: Layers
    use_bias: bool = False

    @nn.compact
    def __call__(self, pixels: Float[Array, "b n p c"]) -> Float[Array, "b n d"]:
        x = self.layers.norm(name="norm1")(jax.lax.collapse(pixels, 2))
        x = self.layers.dense(self.width, use_bias=self.use_bias, name="linear")(x)
        return self.layers.norm(name="norm2")(x)


class PixelNormProjection(nn.Module):
    """A norm on each pixel alone, then a linear map of all pixels of a patch side by side."""

    width: int
    layers: Layers

    @nn.compact
    def __call__(self, pixels: Float[Array, "b n p c"]) -> Float[Array, "b n d"]:
        x = self.layers.norm(name="norm1")(pixels)
        return self.layers.dense(self.width, name="linear")(jax.lax.collapse(x, 2))


class Block(nn.Module):
    """Pixels attend to the pixels of their patch, then patches to each other; equations 5 to 8."""

    heads: int
    inner_heads: int
    mlp_ratio: float
    project_cls: ModuleFactory
    layers: Layers

    @nn.compact
    def __call__(
        self, pixels: Float[Array, "m p c"], tokens: Float[Array, "b n d"]
    ) -> tuple[Float[Array, "m p c"], Float[Array, "b n d"]]:
        layer = partial(Layer, mlp_ratio=self.mlp_ratio, layers=self.layers)
        pixels = layer(self.inner_heads, name="inner")(pixels)
        project = self.project_cls(tokens.shape[-1], self.layers, name="project")
        patches = tokens.shape[1] - 1
        update = project(pixels.reshape(tokens.shape[0], patches, *pixels.shape[1:]))
        tokens = tokens + jnp.pad(update, ((0, 0), (1, 0), (0, 0)))  # not to the class token
        return pixels, layer(self.heads, name="outer")(tokens)


def cut(x: Float[Array, "b h w c"], size: int, grid: tuple[int, int]) -> Float[Array, "m s s c"]:
    """The squares of a `grid` on each image, row by row; the rest of the image is left out."""
    return jax.lax.collapse(squares(x, size, grid), 0, 3)


def cut_and_convolve(
    images: Float[Array, "b h w c"], conv: Conv, patch_size: int, grid: tuple[int, int]
) -> Float[Array, "m s s d"]:
    """Pixels of each patch, which sees zeros around it."""
    return conv(cut(images, patch_size, grid))


def convolve_and_cut(
    images: Float[Array, "b h w c"], conv: Conv, patch_size: int, grid: tuple[int, int]
) -> Float[Array, "m s s d"]:
    """Pixels of each patch, which sees its neighbours where the kernel reaches over its edge."""
    return cut(conv(images), -(-patch_size // conv.stride), grid)


class TNT(Network):
    """Transformer in transformer for images of one size.

    Attributes:
        image_size: height and width of the input in pixels (one number for a square), to which
            the patch positions belong.
        patch_size: side of a patch in pixels.
        pixel_stride: step of the 7×7 convolution that makes the inner tokens.
        width: channels of the outer tokens.
        inner_width: channels of the inner tokens.
        depth: number of blocks.
        heads: attention heads of the outer transformer.
        inner_heads: attention heads of the inner transformer.
        mlp_ratio: hidden channels of both MLPs, per channel.
        embed: how pixels come about, `cut_and_convolve` or `convolve_and_cut`.
        project_cls: how pixels are added to patches in a block.
        drop_path: probability of leaving out a branch of the last block; grows linearly from zero.
        num_classes: outputs of the head, or None for pooled features.
        norm: factory of the normalisation.
        remat: recompute blocks in the backward pass instead of storing what is inside them.
        dtype: dtype of the computation; parameters are float32, logits at least float32.
    """

    image_size: int | Sequence[int] = 224
    patch_size: int = 16
    pixel_stride: int = 4
    width: int = 384
    inner_width: int = 24
    depth: int = 12
    heads: int = 6
    inner_heads: int = 4
    mlp_ratio: float = 4.0
    embed: Callable[..., Any] = cut_and_convolve
    project_cls: ModuleFactory = PatchNormProjection
    drop_path: float = 0.0
    num_classes: int | None = 1000
    norm: ModuleFactory = LayerNorm
    remat: bool = False
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.head = linear_head(self.num_classes, self.dtype, NORMAL_002)

    def __call__(self, images: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b out"]:
        """Maps normalised NHWC images to logits, or to pooled features without a head."""
        return self.head(self.features(images, train=train)["pooled"])

    @nn.compact
    def features(self, images: Float[Array, "b h w c"], *, train: bool) -> dict[str, Array]:
        """Patch tokens after the embedding and each block, (b, h, w, c), and "pooled", (b, c).

        "pooled" is the class token after the last norm.
        """
        grid = self._grid((images.shape[1], images.shape[2]))
        layers = Layers(
            dense=partial(Dense, kernel_init=NORMAL_002, dtype=self.dtype),
            norm=partial(self.norm, epsilon=1e-5, dtype=self.dtype),
        )
        block = nn.remat(Block) if self.remat else Block
        block = partial(block, self.heads, self.inner_heads, self.mlp_ratio, self.project_cls)

        pixels = self._pixels(images.astype(self.dtype), grid)
        project = PatchNormProjection(self.width, layers, use_bias=True, name="project")
        shape = (images.shape[0], grid[0] * grid[1], *pixels.shape[1:])
        patches = project(pixels.reshape(shape))
        tokens = self._tokens(patches)
        stages = {"stem": _map(tokens, grid)}
        for b in range(self.depth):
            rate = self.drop_path * b / max(self.depth - 1, 1)
            own = layers._replace(drop_path=partial(DropPath, rate, train))
            pixels, tokens = block(own, name=f"block{b}")(pixels, tokens)
            stages[f"block{b}"] = _map(tokens, grid)
        return stages | {"pooled": layers.norm(name="final_norm")(tokens[:, 0])}

    def _pixels(self, images: Array, grid: tuple[int, int]) -> Array:
        """The embedded pixels of all patches of all images, (patches, pixels, channels)."""
        conv = Conv(
            self.inner_width,
            (7, 7),
            stride=self.pixel_stride,
            use_bias=True,
            kernel_init=LECUN_UNIFORM,
            dtype=self.dtype,
            name="pixel_embed",
        )
        pixels = self.embed(images, conv, self.patch_size, grid)
        positions = self.param("pixel_positions", NORMAL_002, (1, *pixels.shape[1:]), jnp.float32)
        pixels = pixels + positions.astype(self.dtype)
        return jax.lax.collapse(pixels, 1, 3)

    def _tokens(self, patches: Float[Array, "b n d"]) -> Float[Array, "b n2 d"]:
        """The class token, then the patches, all with their positions."""
        shape = (1, patches.shape[1] + 1, self.width)
        first = self.param("class_token", NORMAL_002, (1, 1, self.width), jnp.float32)
        positions = self.param("patch_positions", NORMAL_002, shape, jnp.float32)
        rest = jnp.pad(first.astype(self.dtype), ((0, 0), (0, patches.shape[1]), (0, 0)))
        # Patches are shifted, not joined to copies of the class token, which no mesh has spread.
        patches = jnp.pad(patches, ((0, 0), (1, 0), (0, 0)))
        return patches + (rest + positions.astype(self.dtype))

    def _grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of patches."""
        wanted = self.image_size
        height, width = (wanted, wanted) if isinstance(wanted, int) else tuple(wanted)
        if min(height, width) < self.patch_size:
            raise UsageError(
                f"`image_size` {height}x{width} is smaller than one patch; "
                f"the smallest is {self.patch_size}x{self.patch_size} pixels."
            )
        if size != (height, width):
            raise UsageError(
                f"images of {size[0]}x{size[1]} pixels do not fit the positions of a TNT for "
                f"{height}x{width}; build it with `image_size=({size[0]}, {size[1]})` (at least "
                f"{self.patch_size}x{self.patch_size}), or resize them."
            )
        return height // self.patch_size, width // self.patch_size


def _map(tokens: Float[Array, "b n d"], grid: tuple[int, int]) -> Float[Array, "b h w d"]:
    """Tokens of the patches as an image, without the class token."""
    return tokens[:, 1:].reshape(tokens.shape[0], *grid, tokens.shape[-1])


# Table 1 of the paper.
tnt_ti_patch16_224 = partial(TNT, width=192, inner_width=12, heads=3, inner_heads=2)
tnt_s_patch16_224 = partial(TNT, width=384, inner_width=24, heads=6, inner_heads=4)
tnt_b_patch16_224 = partial(TNT, width=640, inner_width=40, heads=10, inner_heads=4)

# Not of the paper: for images of 8 to 32 pixels, whose sides a fixed `image_size` must match.
tnt_nano = partial(
    TNT,
    image_size=32,
    patch_size=4,
    pixel_stride=1,
    width=64,
    inner_width=16,
    depth=3,
    heads=4,
    inner_heads=2,
    num_classes=10,
)

# The first published form, which weights under this name expect.
tnt_s_legacy_patch16_224 = partial(
    tnt_s_patch16_224, embed=convolve_and_cut, project_cls=PixelNormProjection
)
