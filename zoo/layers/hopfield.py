r"""The association of modern Hopfield networks as a layer, of which all their layers are made.

Ramsauer et al. 2020, "Hopfield Networks is All You Need", https://arxiv.org/abs/2008.02217,
section 3. Everything is batch first: stored patterns are (b, s, d), state patterns (b, t, d).

Where the authors' library has defects, the meaning is implemented instead: one `beta` per head
scales heads, not features; static patterns of several heads stay within their example; a row
without any allowed pattern reads out zeros instead of NaN; each example stops iterating by itself
(`Convergence(stop="batch")` is the library's rule); `concat_bias_pattern`, which has no effect
there, is left out.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from zoo.errors import UsageError
from zoo.layers import association
from zoo.layers.chunks import cut, scan_chunks
from zoo.layers.hopfield_options import (
    NO_NORMS,
    ROLES,
    Convergence,
    Depths,
    Maps,
    Norm,
    Norms,
    Sizes,
    check_options,
    check_patterns,
    depths_of,
    learns_nothing,
    per_head,
)
from zoo.layers.initializers import ZEROS
from zoo.layers.norm import LayerNorm, standardize
from zoo.layers.wide import wide

BoolMask = Bool[Array, "..."]
Association = Float[Array, "..."] | Bool[Array, "..."]


class Memory(NamedTuple):
    """Stored patterns and their projections as each head sees them."""

    keys: Float[Array, "b s h d"]
    values: Float[Array, "b s h e"]


class Hopfield(nn.Module):
    r"""Association of state patterns R with stored patterns Y, reading out projections V of them.

    .. math::
        Q = R W_Q,\; K = Y W_K,\; P = \mathrm{softmax}(\beta Q K^\top), \qquad
        Q \leftarrow P K \text{ (repeated)}, \qquad \mathrm{out} = P\, V W_V W_O

    in each head, with layer norms before the maps and biases. Equation 10 of the paper.

    Attributes:
        input_size: depth of state patterns; needed unless all three roles are static.
        hidden_size: depth of the association in each head; None for `input_size / heads`.
        heads: associations side by side.
        beta: inverse temperature, one or one per head; None for `hidden_size ** -0.5`, or for 1
            where nothing is learned (all roles static, no output map, no norm in between).
        steps: updates of the states beyond the first softmax, one number or one per head; None
            iterates until nothing moves any more.
        convergence: when that is, and how many updates at most.
        sizes: depths of other patterns, where they are not the usual ones.
        norms: where patterns are normalised.
        maps: which linear maps there are, and how they begin.
        zero_association: states may also recall a pattern of zeros, which is never masked.
        activation: applied to the result, or None.
        dropout: probability of dropping an association in training.
        dtype: dtype of the computation; associations are at least float32.

    Raises:
        UsageError: an option is out of range, or options or depths do not fit together.
    """

    input_size: int | None = None
    hidden_size: int | None = None
    heads: int = 1
    beta: float | Sequence[float] | None = None
    steps: int | Sequence[int | None] | None = 0
    convergence: Convergence = Convergence()
    sizes: Sizes = Sizes()
    norms: Norms = Norms()
    maps: Maps = Maps()
    zero_association: bool = False
    activation: Callable[[Array], Array] | None = None
    dropout: float = 0.0
    dtype: Any = jnp.float32

    def setup(self) -> None:
        depths, maps = self.depths, self.maps
        check_options(self.heads, self.beta, self.steps, self.convergence, self.dropout)
        dense = partial(
            nn.Dense,
            use_bias=maps.use_bias,
            kernel_init=maps.kernel_init,
            bias_init=ZEROS,
            dtype=self.dtype,
        )
        self.norm_stored = _norm(self.norms.stored, self.dtype)
        self.norm_state = _norm(self.norms.state, self.dtype)
        self.norm_projection = _norm(self.norms.projection, self.dtype)
        self.norm_space = _norm(self.norms.space, self.dtype)
        self.drop = nn.Dropout(self.dropout)
        if "state" not in maps.static:
            self.query = dense(self.heads * depths.hidden)
        if "stored" not in maps.static:
            self.key = dense(self.heads * depths.hidden)
        if "projection" not in maps.static:
            self.value = dense(self.heads * depths.pattern)
        elif maps.use_bias and len(set(maps.static)) < 3:  # never used: the library's trees have it
            self.unused_bias = self.param(
                "unused_bias", ZEROS, (self.heads * depths.pattern,), jnp.float32
            )
        if maps.use_out:
            self.out = dense(self.sizes.output or self.input_size or 1)

    def __call__(
        self,
        stored: Float[Array, "b1 s d1"],
        state: Float[Array, "b t d2"] | None = None,
        projection: Float[Array, "b1 s d3"] | None = None,
        *,
        padding_mask: BoolMask | None = None,
        association_mask: Association | None = None,
        train: bool,
    ) -> Float[Array, "b t out"]:
        """What the states recall.

        Args:
            stored: stored patterns; a batch of one serves all states.
            state: state patterns; None associates the stored patterns with each other.
            projection: what is read out in place of each stored pattern; None for themselves.
            padding_mask: True for stored patterns that are not there.
            association_mask: (t, s), (b * heads, t, s) or (b, heads, t, s); True forbids, numbers
                are added to the scores.
            train: applies dropout.

        Raises:
            UsageError: shapes do not fit.
        """
        state = stored if state is None else state
        check_patterns(self.depths, self.maps.static, stored, state, projection)
        return self.recall(
            state,
            self.remember(stored, projection),
            padding_mask=padding_mask,
            association_mask=association_mask,
            train=train,
        )

    def remember(
        self, stored: Float[Array, "b1 s d1"], projection: Float[Array, "b1 s d2"] | None = None
    ) -> Memory:
        """Keys and values of stored patterns, which do not depend on any state: for `recall`."""
        read = stored if projection is None else projection
        read = self.norm_projection(read.astype(self.dtype))
        k = self._heads("stored", self.norm_stored(stored.astype(self.dtype)), lambda: self.key)
        if self.maps.through_key:
            read = self.key(read)
            if "projection" in self.maps.static:
                return Memory(self.norm_space(k), self._split(read))
        v = self._heads("projection", read, lambda: self.value)
        return Memory(self.norm_space(k), v)

    def recall(
        self,
        state: Float[Array, "b t d"],
        memory: Memory,
        *,
        padding_mask: BoolMask | None = None,
        association_mask: Association | None = None,
        train: bool,
    ) -> Float[Array, "b t out"]:
        """What the states recall from keys and values; see `__call__`."""
        q, k, v, mask = self._prepare(state, memory, padding_mask, association_mask)
        if self.updates == 0 and not (train and self.dropout):
            return self._finish(association.read_at_once(q, k, v, self._beta(q), mask))
        p = self.drop(self._associate(q, k, mask), deterministic=not train)
        return self._finish(jnp.einsum("bhts,bshe->bthe", p.astype(v.dtype), v))

    def associations(
        self,
        stored: Float[Array, "b1 s d1"],
        state: Float[Array, "b t d2"] | None = None,
        projection: Float[Array, "b1 s d3"] | None = None,
        *,
        padding_mask: BoolMask | None = None,
        association_mask: Association | None = None,
    ) -> Float[Array, "b h t s2"]:
        """Weights of the stored patterns for each state; the zero association is the last."""
        state = stored if state is None else state
        check_patterns(self.depths, self.maps.static, stored, state, projection)
        memory = self.remember(stored, projection)
        q, k, _, mask = self._prepare(state, memory, padding_mask, association_mask)
        return self._associate(q, k, mask)

    def streamed(
        self,
        stored: Float[Array, "b1 s d1"],
        state: Float[Array, "b t d2"],
        projection: Float[Array, "b1 s d3"] | None = None,
        *,
        padding_mask: BoolMask | None = None,
        association_mask: Association | None = None,
        train: bool,
        chunk: int = 4096,
    ) -> Float[Array, "b t out"]:
        """The same as a call without further steps, `chunk` stored patterns at a time.

        Keys, values and associations exist for one chunk only, in the backward pass too: the
        memory beyond the input and its gradient does not grow with the number of patterns.

        Raises:
            UsageError: the layer iterates, or shapes do not fit.
        """
        if self.updates:
            raise UsageError(f"only `steps=0` can be streamed, got {self.steps}")
        check_patterns(self.depths, self.maps.static, stored, state, projection)
        q = self._query(state)
        sizes = (q.shape[0], self.heads, q.shape[1], stored.shape[1])
        mask = association.merge_masks(padding_mask, association_mask, sizes)
        if mask.allowed is None and stored.shape[1] % chunk:
            mask = mask._replace(allowed=jnp.ones((1, 1, 1, stored.shape[1]), bool))
        parts = (
            cut(stored, 1, chunk),
            None if projection is None else cut(projection, 1, chunk),
            jax.tree.map(partial(cut, axis=3, chunk=chunk), mask),
        )
        reading = association.begin(q, self._width(stored, projection), self.zero_association)

        def read(layer: Hopfield, reading: Any, part: Any) -> tuple[Any, None]:
            stored, projection, mask = part
            k, v = layer.remember(stored, projection)
            drop = partial(layer.drop, deterministic=not train)
            return association.read_more(reading, q, k, v, layer._beta(q), mask, drop), None

        reading, _ = scan_chunks(read)(self, reading, parts)
        return self._finish(association.end(reading).astype(self.dtype))

    def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Shapes with which the layer can be initialised."""
        depths, any_depth = self.depths, self.input_size or 1
        of_roles = (depths.stored, depths.state, depths.projection)
        return tuple(jax.ShapeDtypeStruct((1, 1, d or any_depth), jnp.float32) for d in of_roles)

    @property
    def depths(self) -> Depths:
        """Depths that the options imply."""
        return depths_of(
            self.input_size, self.hidden_size, self.heads, self.sizes, self.norms, self.maps
        )

    @property
    def updates(self) -> int:
        """Updates of the states at most."""
        return max(self._limits())

    def _limits(self) -> list[int]:
        return self.convergence.limits(self.steps, self.heads)

    def _beta(self, q: Array) -> Float[Array, " h"]:
        beta = self.beta
        if beta is None:
            beta = 1.0 if learns_nothing(self.norms, self.maps) else q.shape[-1] ** -0.5
        beta = per_head("beta", beta, self.heads)
        return jnp.asarray(beta, wide(q.dtype))

    def _prepare(
        self,
        state: Array,
        memory: Memory,
        padding_mask: Array | None,
        association_mask: Array | None,
    ) -> tuple[Array, Array, Array, association.Mask]:
        """Queries, keys, values and masks of all heads, with the zero association if there is one.

        Keys and values get the batch of the queries.
        """
        q = self._query(state)
        k, v = (jnp.broadcast_to(x, (q.shape[0], *x.shape[1:])) for x in memory)
        sizes = (q.shape[0], self.heads, q.shape[1], k.shape[1])
        mask = association.merge_masks(padding_mask, association_mask, sizes)
        if self.zero_association:
            k, v = (jnp.pad(x, ((0, 0), (0, 1), (0, 0), (0, 0))) for x in (k, v))
            mask = association.add_column(mask)
        return q, k, v, mask

    def _query(self, state: Array) -> Float[Array, "b t h d"]:
        state = self.norm_state(state.astype(self.dtype))
        return self.norm_space(self._heads("state", state, lambda: self.query))

    def _heads(self, role: str, x: Array, mapped: Callable[[], Any]) -> Float[Array, "b n h d"]:
        """The patterns of a role in each head: mapped, or the same for all if it is static."""
        if role in self.maps.static:
            return jnp.broadcast_to(x[:, :, None], (*x.shape[:2], self.heads, x.shape[-1]))
        return self._split(mapped()(x))

    def _split(self, x: Array) -> Float[Array, "b n h d"]:
        return x.reshape(*x.shape[:2], self.heads, x.shape[2] // self.heads)

    def _associate(self, q: Array, k: Array, mask: association.Mask) -> Float[Array, "b h t s"]:
        beta, epsilon = self._beta(q), per_head("epsilon", self.convergence.epsilon, self.heads)
        return association.iterate(
            q,
            k,
            beta,
            mask,
            steps=jnp.asarray(self._limits()),
            epsilon=jnp.asarray(epsilon, beta.dtype),
            limit=self.updates,
            stop=self.convergence.stop,
        )

    def _width(self, stored: Array, projection: Array | None) -> int:
        """Depth of what each head reads out."""
        if "projection" not in self.maps.static or self.maps.through_key:
            return self.depths.pattern
        return (stored if projection is None else projection).shape[-1]

    def _finish(self, read: Float[Array, "b t h e"]) -> Float[Array, "b t out"]:
        out = jax.lax.collapse(read, 2)
        out = self.out(out) if self.maps.use_out else out
        return out if self.activation is None else self.activation(out)


# Nothing is learned or normalised on the way: plain retrieval, as `retrieve`, with masks.
STATIC = partial(Hopfield, norms=NO_NORMS, maps=Maps(static=ROLES, use_out=False))


def _norm(norm: Norm | None, dtype: Any) -> Callable[[Array], Array]:
    if norm is None:
        return lambda x: x
    if norm.affine:
        return LayerNorm(norm.epsilon, dtype)
    return partial(standardize, epsilon=norm.epsilon)
