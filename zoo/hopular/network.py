"""The network: blocks over embedded rows, and the memory that they look up."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from zoo.errors import UsageError
from zoo.hopular.block import Block
from zoo.hopular.embedding import EPSILON, Embedding, columns
from zoo.layers.activation import gelu
from zoo.layers.chunks import scan_chunks
from zoo.layers.dense import UniformDense
from zoo.layers.hopfield import Association, Memory
from zoo.layers.norm import LayerNorm
from zoo.layers.wide import wide

ASSOCIATIONS = 2**24  # of rows with the memory at a time, over all heads and blocks

# True, or a number that is added to the scores, for each of n rows and m rows of the memory; or a
# function that gives this for rows with these indices, so that it need not exist as a whole.
RowMask = Association | Callable[[Int[Array, " n"]], Association]


class Hopular(nn.Module):
    """Predicts all attributes of rows from those that are not masked, and from a memory.

    Attributes:
        sizes: values of each attribute: 1 if numeric, else its number of classes.
        discrete: indices of the categorical attributes.
        width: channels of an attribute's embedding, e.
        hidden_size: depth of each head; None for its share of what it relates (d e or e).
        hidden_factor: times that depth.
        heads: associations side by side.
        scale: factor of the usual inverse temperature; the published range is 1 to 1000.
        depth: number of blocks.
        input_dropout, lookup_dropout, output_dropout: probabilities in training.
        dtype: dtype of the computation; parameters are float32, outputs at least float32.
        chunk: rows that are related to the memory at a time; None for all of them, or as many as
            make `ASSOCIATIONS`. The result is the same; the work of a chunk is done again in the
            backward pass, so that memory grows with the number of rows, not with its square.

    Raises:
        UsageError: an attribute has no size, or rows are not as long as the sizes say.
    """

    sizes: Sequence[int]
    discrete: Sequence[int] = ()
    width: int = 32
    hidden_size: int | None = None
    hidden_factor: float = 1.0
    heads: int = 8
    scale: float = 1.0
    depth: int = 8
    input_dropout: float = 0.1
    lookup_dropout: float = 0.1
    output_dropout: float = 0.01
    dtype: Any = jnp.float32
    chunk: int | None = None

    def setup(self) -> None:
        if not self.sizes or min(self.sizes) < 1:
            raise UsageError(f"`sizes` must be at least 1 for each attribute, got {self.sizes}")
        if any(not 0 <= j < len(self.sizes) for j in self.discrete):
            raise UsageError(
                f"`discrete` must be indices of {len(self.sizes)} attributes, got {self.discrete}"
            )
        if self.chunk is not None and self.chunk < 1:
            raise UsageError(f"`chunk` must be None or at least 1, got {self.chunk}")
        d = len(self.sizes)
        self.embeddings = Embedding(
            self.sizes, self.discrete, self.width, self.input_dropout, self.dtype
        )
        block = partial(
            Block,
            d,
            self.width,
            self.heads,
            self._hidden(d * self.width),
            self._hidden(self.width),
            self.scale,
            self.lookup_dropout,
            self.dtype,
        )
        self.blocks = [block(name=f"block{i}") for i in range(self.depth)]
        self.output_drop = nn.Dropout(self.output_dropout)
        self.output_norm = LayerNorm(EPSILON, wide(self.dtype))
        self.output = UniformDense(sum(self.sizes), dtype=wide(self.dtype))

    def __call__(
        self,
        rows: Float[Array, "n columns"],
        memory: Float[Array, "m columns"],
        *,
        mask: RowMask | None = None,
        train: bool,
    ) -> Float[Array, "n out"]:
        """Logits of categorical and values of numeric attributes, one after the other.

        Args:
            rows: with targets, and whatever else is to be predicted, masked.
            memory: the training set, targets visible.
            mask: True where a row must not see a row of the memory: itself, in training. Numbers
                are added to the scores: the logarithm of a weight. Or a function from indices of
                rows to their part of the mask.
            train: applies dropout.
        """
        remembered = self.remember(memory, train=train)
        return self.recall(rows, remembered, mask=mask, train=train)

    def remember(
        self, memory: Float[Array, "m columns"], *, train: bool = False
    ) -> tuple[Memory, ...]:
        """What each block looks up: embedded once, it serves any number of rows."""
        self._check(memory)
        embedded = self.embeddings(memory, train=train)
        return tuple(block.remember(embedded) for block in self.blocks)

    def recall(
        self,
        rows: Float[Array, "n columns"],
        remembered: Sequence[Memory],
        *,
        mask: RowMask | None = None,
        train: bool = False,
    ) -> Float[Array, "n out"]:
        """The same as a call, with a memory that is already embedded."""
        n, stored = rows.shape[0], remembered[0].keys.shape[1]
        chunk = self.chunk or max(1, ASSOCIATIONS // (stored * self.heads * self.depth))
        if n <= chunk:
            return self._answer(rows, remembered, mask, train)
        parts = -(-n // chunk)
        # The last part is filled up with the last row.
        index = np.minimum(np.arange(parts * -(-n // parts)), n - 1).reshape(parts, -1)
        look = mask if callable(mask) or mask is None else mask.__getitem__

        def answer(model: Hopular, _: None, index: Array) -> tuple[None, Array]:
            part = None if look is None else look(index)
            return None, model._answer(rows[index], remembered, part, train)

        _, answers = scan_chunks(answer)(self, None, jnp.asarray(index))
        return answers.reshape(-1, answers.shape[-1])[:n]

    def refined(
        self,
        rows: Float[Array, "n columns"],
        remembered: Sequence[Memory],
        *,
        mask: RowMask | None = None,
        train: bool = False,
    ) -> dict[str, Array]:
        """Rows as embedded and after each block, (n, d, e), and "pooled", (n, d * e)."""
        self._check(rows)
        mask = mask(jnp.arange(rows.shape[0])) if callable(mask) else mask
        x = embedded = self.embeddings(rows, train=train)
        stages = {"embedding": embedded}
        for i, (block, memory) in enumerate(zip(self.blocks, remembered, strict=True)):
            stages[f"block{i}"] = x = block(x, embedded, memory, mask, train=train)
        return stages | {"pooled": jax.lax.collapse(x, 1)}

    def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Shapes with which the network can be initialised: rows and a memory."""
        row = jax.ShapeDtypeStruct((1, columns(self.sizes)), jnp.float32)
        return row, row

    def _answer(
        self, rows: Array, remembered: Sequence[Memory], mask: RowMask | None, train: bool
    ) -> Float[Array, "n out"]:
        """Outputs for rows, all at once."""
        pooled = self.refined(rows, remembered, mask=mask, train=train)["pooled"]
        x = gelu(pooled.astype(self.output_norm.dtype))
        return self.output(self.output_norm(self.output_drop(x, deterministic=not train)))

    def _hidden(self, size: int) -> int:
        hidden = self.hidden_size or max(1, size // self.heads)
        return max(1, int(hidden * self.hidden_factor))

    def _check(self, rows: Array) -> None:
        if rows.ndim != 2 or rows.shape[1] != columns(self.sizes):
            raise UsageError(
                f"rows must have {columns(self.sizes)} columns, the values of each attribute and "
                f"its mask bit, got {rows.shape}"
            )
