"""Layer-normalised LSTM: a recurrent network for series, and for images pixel by pixel.

Ba, Kiros & Hinton 2016, "Layer Normalization", https://arxiv.org/abs/1607.06450. It normalises over
features and not over examples, so that a batch of one trains as any other, and evaluation computes
what training does.
"""

from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.errors import UsageError
from zoo.layers.head import linear_head
from zoo.layers.initializers import LECUN_UNIFORM, Initializer
from zoo.layers.network import Network
from zoo.layers.recurrent import LayerNormLSTM
from zoo.layers.sequences import Lengths, as_sequence, over_time, require_pool


class LNLSTM(Network):
    """Layers of `LayerNormLSTM`, one upon the other, over sequences.

    Attributes:
        width: features H.
        depth: number of layers.
        carry: "raw" carries cells on as they are, as the paper does; "normalised" after their norm,
            as PyTorch's benchmark does.
        pool: "mean" or "sum" over time, or "first" or "last" step.
        dropout: probability of dropping a feature of a layer's output, for each step. Needs the
            random stream "dropout".
        num_classes: outputs of the head, or None for pooled features.
        remat: recompute layers in the backward pass instead of storing what is inside them.
        dtype: dtype of the computation; parameters are float32, cells and logits at least.
    """

    input_axes = (3, 4)

    width: int = 128
    depth: int = 1
    carry: Literal["raw", "normalised"] = "raw"
    pool: str = "last"
    dropout: float = 0.0
    num_classes: int | None = 10
    remat: bool = False
    dtype: Any = jnp.float32

    def setup(self) -> None:
        require_pool(self.pool)
        if self.depth < 1:
            raise UsageError(f"`depth` must be at least 1, got {self.depth}.")
        self.head = linear_head(self.num_classes, self.dtype)

    def __call__(
        self, images: Float[Array, "b *space c"], *, lengths: Lengths | None = None, train: bool
    ) -> Float[Array, "b out"]:
        """Maps sequences (b, l, c), or images (b, h, w, c), to logits or pooled features.

        Args:
            images: the sequences or images.
            lengths: steps of each sequence, from 1 to l, where shorter ones are filled up at their
                end: what is there does not matter. None if all are equally long.
            train: applies dropout.

        Raises:
            UsageError: shapes do not fit.
        """
        return self.head(self.features(images, lengths=lengths, train=train)["pooled"])

    @nn.compact
    def features(
        self, images: Float[Array, "b *space c"], *, lengths: Lengths | None = None, train: bool
    ) -> dict[str, Array]:
        """The sequence after the encoder and each layer, (b, l, h), and "pooled", (b, h)."""
        x = as_sequence(images).astype(self.dtype)
        # Without a bias, one channel would leave nothing but its sign behind the first norm.
        encoder = partial(nn.Dense, kernel_init=LECUN_UNIFORM, bias_init=Initializer("uniform"))
        x = encoder(self.width, dtype=self.dtype, name="encoder")(x)
        stages = {"stem": x}
        read = partial(_outputs, train)
        read = nn.remat(read) if self.remat else read
        for i in range(self.depth):
            options = self.carry, self.dropout, self.dtype
            x = read(LayerNormLSTM(self.width, *options, name=f"block{i}"), x)
            stages[f"block{i}"] = x
        return stages | {"pooled": over_time(x, self.pool, lengths)}


def _outputs(train: bool, layer: LayerNormLSTM, x: Float[Array, "b l d"]) -> Float[Array, "b l h"]:
    """What a layer makes of whole sequences."""
    return layer(x, train=train)[1]


# Not of the paper: small images, pixel by pixel.
lnlstm_nano = partial(LNLSTM, width=64, pool="mean")
