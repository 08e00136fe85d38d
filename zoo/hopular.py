r"""Hopular: modern Hopfield networks for tables.

Schäfl, Gruber, Bitto-Nemling & Hochreiter 2022, "Hopular: Modern Hopfield Networks for Tabular
Data", https://arxiv.org/abs/2206.00664. The training set is a memory that every block looks up.
Each of d attributes, targets included, is embedded with e channels; a block relates the row
to all rows of the memory, then the attributes of the row to each other:

.. math::
    a = \mathrm{LN}_s(\xi), \quad a \leftarrow a + H_s(\mathrm{LN}_s(E(M)), a), \qquad
    f = \mathrm{LN}_f(a), \quad \xi \leftarrow f + H_f(\mathrm{LN}_f(E(x)), f)

(the shortcuts carry the *normalised* values, as in the authors' code; the paper writes
\(\xi + H(\xi)\)). The output is a linear map to logits and values of all attributes.

A row is the concatenation over attributes of [values, mask bit]: a numeric attribute has one
standardised value, a categorical one a one-hot vector. A masked attribute is zeros and a mask bit
of 1, a missing one is zeros and 0.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from zoo.errors import UsageError
from zoo.layers.activation import gelu
from zoo.layers.chunks import scan_chunks
from zoo.layers.dense import UniformDense
from zoo.layers.hopfield import Association, Hopfield, Memory
from zoo.layers.hopfield_options import NO_NORMS, Maps
from zoo.layers.initializers import LECUN_UNIFORM, ONES, ZEROS, Initializer
from zoo.layers.norm import LayerNorm, standardize
from zoo.layers.wide import wide

EPSILON = 1e-12  # of all norms
ASSOCIATIONS = 2**24  # of rows with the memory at a time, over all heads and blocks

# True, or a number that is added to the scores, for each of n rows and m rows of the memory; or a
# function that gives this for rows with these indices, so that it need not exist as a whole.
RowMask = Association | Callable[[Int[Array, " n"]], Association]


class Embedding(nn.Module):
    """Rows as d attributes of e channels, each through maps and a norm of its own.

    Attributes:
        sizes: values of each attribute, without its mask bit.
        discrete: indices of the categorical attributes.
        width: e.
        dropout: probability of dropping a channel in training.
        dtype: dtype of the computation.
    """

    sizes: Sequence[int]
    discrete: Sequence[int]
    width: int
    dropout: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, rows: Float[Array, "n columns"], *, train: bool) -> Float[Array, "n d e"]:
        d, e = len(self.sizes), self.width
        param = lambda name, init, *shape: self.param(name, init, shape, jnp.float32)  # noqa: E731
        inside = Initializer("uniform", gain=e**-0.5)
        # A numeric attribute has two inputs, its value and its mask bit.
        kernel = param("kernel", Initializer("uniform", gain=2**-0.5), columns(self.sizes), e)
        types = param("types", inside, 2, e)
        positions = param("positions", inside, d, e)
        x = self._per_attribute(rows.astype(self.dtype), kernel.astype(self.dtype))
        x = x + self._row(param("bias", ZEROS, d, e) + positions)
        x = x + self._row(types[np.isin(np.arange(d), self.discrete).astype(int)])
        x = gelu(x)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = standardize(x, EPSILON) * self._row(param("norm_scale", ONES, d, e))
        x = x + self._row(param("norm_bias", ZEROS, d, e))
        mixer = param("projection_kernel", inside, d, e, e).astype(self.dtype)
        return jnp.einsum("nde,def->ndf", x, mixer) + self._row(
            param("projection_bias", ZEROS, d, e)
        )

    def _per_attribute(self, rows: Array, kernel: Array) -> Float[Array, "n d e"]:
        """Every attribute's columns times its rows of the kernel, as one product."""
        d, owner = len(self.sizes), np.repeat(np.arange(len(self.sizes)), np.add(self.sizes, 1))
        mine = jnp.asarray(owner[:, None] == np.arange(d)[None], kernel.dtype)
        return jnp.einsum("nc,cde->nde", rows, kernel[:, None] * mine[:, :, None])

    def _row(self, x: Array) -> Array:
        return x[None].astype(self.dtype)


class Block(nn.Module):
    """A row looks up the rows of the memory, then its attributes each other.

    Attributes:
        attributes: d.
        width: e.
        heads: associations side by side, of both kinds.
        sample_size, feature_size: depth of each head of the two kinds.
        scale: factor of the usual inverse temperature of both kinds.
        dropout: probability of dropping an association in training.
        dtype: dtype of the computation.
    """

    attributes: int
    width: int
    heads: int
    sample_size: int
    feature_size: int
    scale: float
    dropout: float
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.sample_norm = LayerNorm(EPSILON, self.dtype)
        self.sample = self._association(self.attributes * self.width, self.sample_size)
        self.feature_norm = LayerNorm(EPSILON, self.dtype)
        self.feature = self._association(self.width, self.feature_size)

    def remember(self, memory: Float[Array, "m d e"]) -> Memory:
        """What the block looks up in the embedded memory."""
        return self.sample.remember(self.sample_norm(jax.lax.collapse(memory, 1)[None]))

    def __call__(
        self,
        x: Float[Array, "n d e"],
        rows: Float[Array, "n d e"],
        memory: Memory,
        mask: Association | None,
        *,
        train: bool,
    ) -> Float[Array, "n d e"]:
        """The refined rows; `rows` are as embedded, `mask` is True where a lookup is forbidden."""
        a = self.sample_norm(jax.lax.collapse(x, 1)[None])
        a = a + self.sample.recall(a, memory, association_mask=mask, train=train)
        f = self.feature_norm(a.reshape(x.shape))
        return f + self.feature(self.feature_norm(rows), f, train=train)

    def _association(self, size: int, hidden: int) -> Hopfield:
        return Hopfield(
            size,
            hidden_size=hidden,
            heads=self.heads,
            beta=self.scale * hidden**-0.5,
            norms=NO_NORMS,
            maps=Maps(kernel_init=LECUN_UNIFORM),
            dropout=self.dropout,
            dtype=self.dtype,
        )


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


def columns(sizes: Sequence[int]) -> int:
    """Length of an encoded row."""
    return sum(sizes) + len(sizes)
