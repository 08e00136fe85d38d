r"""The association of modern Hopfield networks as a layer, of which all their layers are made.

Ramsauer et al. 2020, "Hopfield Networks is All You Need", https://arxiv.org/abs/2008.02217,
section 3. Everything is batch first: stored patterns are (b, s, d), state patterns (b, t, d).

Where the authors' library has defects, the meaning is implemented instead: one `beta` per head
scales heads, not features; static patterns of several heads stay within their example; a row
without any allowed pattern reads out zeros instead of NaN; each example stops iterating by itself
(`stop="batch"` is the library's rule); `concat_bias_pattern`, which has no effect there, is left
out.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from zoo.errors import UsageError
from zoo.layers import association
from zoo.layers.initializers import NORMAL_002, ZEROS, Initializer
from zoo.layers.norm import LayerNorm

BoolMask = Bool[Array, "..."]
Association = Float[Array, "..."] | Bool[Array, "..."]


class Norm(NamedTuple):
    """Layer normalisation of patterns: with a learned scale and shift, or without."""

    affine: bool = True
    epsilon: float = 1e-5


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
        output_size: depth of the result; None for `input_size`.
        pattern_size: depth of what each head reads out; None for `hidden_size`.
        stored_size: depth of stored patterns; None for `input_size`.
        projection_size: depth of pattern projections; None for `input_size`.
        heads: associations side by side.
        beta: inverse temperature, one or one per head; None for `hidden_size ** -0.5`, or for 1
            where nothing is learned (all roles static, no output map, no norm in between).
        steps: updates of the states beyond the first softmax, one number or one per head; None
            iterates until nothing moves any more.
        max_steps: updates at most where `steps` is None; a dozen is usual.
        epsilon: a head stops when its associations move by no more than this (Frobenius norm).
        stop: whether each example stops by itself ("sample") or together with its batch ("batch").
        stored_norm, state_norm, projection_norm: norms of the inputs, or None.
        space_norm: one norm of queries and keys, shared by all heads, or None.
        static: roles that are used as they come, without a map, by every head.
        connected: projections go through the map of stored patterns first.
        activation: applied to the result, or None.
        dropout: probability of dropping an association in training.
        use_bias: the maps have biases.
        zero_association: states may also recall a pattern of zeros, which is never masked.
        use_out: heads are mixed by a last map; otherwise they stand side by side.
        kernel_init: distribution of the maps.
        dtype: dtype of the computation; associations are at least float32.

    Raises:
        UsageError: an option is out of range, or options or depths do not fit together.
    """

    input_size: int | None = None
    hidden_size: int | None = None
    output_size: int | None = None
    pattern_size: int | None = None
    stored_size: int | None = None
    projection_size: int | None = None
    heads: int = 1
    beta: float | Sequence[float] | None = None
    steps: int | Sequence[int | None] | None = 0
    max_steps: int = 64
    epsilon: float | Sequence[float] = 1e-4
    stop: Literal["sample", "batch"] = "sample"
    stored_norm: Norm | None = Norm()
    state_norm: Norm | None = Norm()
    projection_norm: Norm | None = Norm()
    space_norm: Norm | None = None
    static: Sequence[str] = ()
    connected: bool = False
    activation: Callable[[Array], Array] | None = None
    dropout: float = 0.0
    use_bias: bool = True
    zero_association: bool = False
    use_out: bool = True
    kernel_init: Initializer = NORMAL_002
    dtype: Any = jnp.float32

    def setup(self) -> None:
        check_options(self)
        dense = partial(
            nn.Dense,
            use_bias=self.use_bias,
            kernel_init=self.kernel_init,
            bias_init=ZEROS,
            dtype=self.dtype,
        )
        self.norm_stored = _norm(self.stored_norm, self.dtype)
        self.norm_state = _norm(self.state_norm, self.dtype)
        self.norm_projection = _norm(self.projection_norm, self.dtype)
        self.norm_space = _norm(self.space_norm, self.dtype)
        self.drop = nn.Dropout(self.dropout)
        if "state" not in self.static:
            self.query = dense(self.heads * self.hidden)
        if "stored" not in self.static:
            self.key = dense(self.heads * self.hidden)
        if "projection" not in self.static:
            self.value = dense(self.heads * self.pattern)
        elif self.use_bias and len(set(self.static)) < 3:  # never used: the library's trees have it
            self.unused_bias = self.param(
                "unused_bias", ZEROS, (self.heads * self.pattern,), jnp.float32
            )
        if self.use_out:
            self.out = dense(self.output_size or self.input_size or 1)

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
        self._check_depths(stored, state, projection)
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
        if self.connected and "stored" not in self.static:
            read = self.key(read)
            if "projection" in self.static:
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
        self._check_depths(stored, state, projection)
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
        self._check_depths(stored, state, projection)
        q = self._query(state)
        sizes = (q.shape[0], self.heads, q.shape[1], stored.shape[1])
        mask = association.merge_masks(padding_mask, association_mask, sizes)
        chunks = -(-stored.shape[1] // chunk)
        if mask.allowed is None and stored.shape[1] % chunk:
            mask = mask._replace(allowed=jnp.ones((1, 1, 1, stored.shape[1]), bool))
        cut = partial(_cut, chunks=chunks, chunk=chunk)
        parts = (
            cut(stored, axis=1),
            None if projection is None else cut(projection, axis=1),
            jax.tree.map(partial(cut, axis=3), mask),
        )
        reading = association.begin(q, self._width(stored, projection), self.zero_association)

        def read(layer: Hopfield, reading: Any, part: Any) -> tuple[Any, None]:
            stored, projection, mask = part
            k, v = layer.remember(stored, projection)
            drop = partial(layer.drop, deterministic=not train)
            return association.read_more(reading, q, k, v, layer._beta(q), mask, drop), None

        scan = nn.scan(
            nn.remat(read),
            variable_broadcast="params",
            split_rngs={"params": False, "dropout": True},
        )
        reading, _ = scan(self, reading, parts)
        return self._finish(association.end(reading).astype(self.dtype))

    def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Shapes with which the layer can be initialised."""
        any_depth = self.input_size or 1
        depths = (_depth(self, role) or any_depth for role in ("stored", "state", "projection"))
        return tuple(jax.ShapeDtypeStruct((1, 1, d), jnp.float32) for d in depths)

    @property
    def hidden(self) -> int:
        """Depth of the association in each head."""
        return self.hidden_size or (self.input_size or 0) // self.heads

    @property
    def pattern(self) -> int:
        """Depth of what each head reads out."""
        return self.pattern_size or self.hidden

    @property
    def updates(self) -> int:
        """Updates of the states at most."""
        return max(self._steps())

    def _steps(self) -> list[int]:
        return [self.max_steps if n is None else n for n in per_head(self.steps, self.heads)]

    def _beta(self, q: Array) -> Float[Array, " h"]:
        nothing_learned = learns_nothing(self)
        beta = (1.0 if nothing_learned else q.shape[-1] ** -0.5) if self.beta is None else self.beta
        return jnp.asarray(per_head(beta, self.heads), jnp.promote_types(q.dtype, jnp.float32))

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
        if role in self.static:
            return jnp.broadcast_to(x[:, :, None], (*x.shape[:2], self.heads, x.shape[-1]))
        return self._split(mapped()(x))

    def _split(self, x: Array) -> Float[Array, "b n h d"]:
        return x.reshape(*x.shape[:2], self.heads, x.shape[2] // self.heads)

    def _associate(self, q: Array, k: Array, mask: association.Mask) -> Float[Array, "b h t s"]:
        beta = self._beta(q)
        return association.iterate(
            q,
            k,
            beta,
            mask,
            steps=jnp.asarray(self._steps()),
            epsilon=jnp.asarray(per_head(self.epsilon, self.heads), beta.dtype),
            limit=self.updates,
            stop=self.stop,
        )

    def _width(self, stored: Array, projection: Array | None) -> int:
        """Depth of what each head reads out."""
        if "projection" not in self.static or (self.connected and "stored" not in self.static):
            return self.pattern
        return (stored if projection is None else projection).shape[-1]

    def _finish(self, read: Float[Array, "b t h e"]) -> Float[Array, "b t out"]:
        out = jax.lax.collapse(read, 2)
        out = self.out(out) if self.use_out else out
        return out if self.activation is None else self.activation(out)

    def _check_depths(self, stored: Array, state: Array, projection: Array | None) -> None:
        projection = stored if projection is None else projection
        for role, x in (("stored", stored), ("state", state), ("projection", projection)):
            depth = _depth(self, role) or x.shape[-1]
            if x.ndim != 3 or x.shape[-1] != depth:
                raise UsageError(
                    f"`{role}` patterns must have the shape (batch, patterns, {depth}), got "
                    f"{x.shape}; depths are set by `input_size` and `{role}_size`"
                )
        if stored.shape[:2] != projection.shape[:2] or stored.shape[0] not in (1, state.shape[0]):
            raise UsageError(
                "`stored` and `projection` must have the same number of patterns, and the batch "
                f"of `state` or 1; got {stored.shape}, {projection.shape} and {state.shape}"
            )
        unmapped = {"state", "stored"} <= set(self.static)
        if unmapped and state.shape[-1] != stored.shape[-1]:
            raise UsageError(
                "static `state` and `stored` patterns must be equally deep, "
                f"got {state.shape[-1]} and {stored.shape[-1]}"
            )


# Nothing is learned or normalised on the way: plain retrieval, as `retrieve`, with masks.
STATIC = partial(
    Hopfield,
    static=("stored", "state", "projection"),
    stored_norm=None,
    state_norm=None,
    projection_norm=None,
    use_out=False,
)


def learns_nothing(layer: Hopfield) -> bool:
    """Whether the patterns meet as they come: no map and no norm between them."""
    maps = layer.connected or layer.use_out or layer.space_norm is not None
    return len(set(layer.static)) == 3 and not maps


def per_head(value: Any, heads: int) -> list[Any]:
    """A number for each head."""
    return list(value) if isinstance(value, list | tuple) else [value] * heads


def check_options(layer: Hopfield) -> None:
    """Raises a UsageError for options that are out of range or contradict each other."""
    for name in ("beta", "steps", "epsilon"):
        found = per_head(getattr(layer, name), layer.heads)
        if len(found) != layer.heads:
            raise UsageError(f"`{name}` must be one number or {layer.heads}, got {found}")
    if any(n is not None and n < 0 for n in per_head(layer.steps, layer.heads)):
        raise UsageError(f"`steps` must be None or at least 0, got {layer.steps}")
    if layer.max_steps < 1:
        raise UsageError(f"`max_steps` must be at least 1, got {layer.max_steps}")
    if min(per_head(layer.epsilon, layer.heads)) <= 0:
        raise UsageError(f"`epsilon` must be positive, got {layer.epsilon}")
    if layer.stop not in ("sample", "batch"):
        raise UsageError(f"`stop` must be 'sample' or 'batch', got {layer.stop!r}")
    if unknown := set(layer.static) - {"stored", "state", "projection"}:
        raise UsageError(
            f"`static` takes 'stored', 'state' and 'projection', got {sorted(unknown)}"
        )
    if not 0 <= layer.dropout < 1:
        raise UsageError(f"`dropout` must be at least 0 and below 1, got {layer.dropout}")
    _check_sizes(layer)


def _check_sizes(layer: Hopfield) -> None:
    sizes = ("input_size", "hidden_size", "output_size", "pattern_size", "stored_size", "heads")
    for name in (*sizes, "projection_size"):
        value = getattr(layer, name)
        if value is not None and value < 1:
            raise UsageError(f"`{name}` must be at least 1, got {value}")
    if learns_nothing(layer):
        return
    if layer.input_size is None:
        raise UsageError("`input_size` is needed: the depth of the state patterns")
    if layer.hidden_size is None and layer.input_size % layer.heads:
        raise UsageError(
            f"`input_size` {layer.input_size} is not divisible by `heads` {layer.heads}; "
            "give `hidden_size`, the depth of each head"
        )
    if not layer.connected:
        return
    if layer.pattern != layer.hidden:
        raise UsageError(
            "`connected` needs `pattern_size` equal to `hidden_size`, "
            f"got {layer.pattern} and {layer.hidden}"
        )
    if _depth(layer, "stored", mapped=True) != _depth(layer, "projection", mapped=True):
        raise UsageError(
            "`connected` needs `stored_size` equal to `projection_size`, "
            f"got {layer.stored_size} and {layer.projection_size}"
        )


def _depth(layer: Hopfield, role: str, *, mapped: bool = False) -> int | None:
    """Depth that patterns of a role must have, or None if any will do."""
    through_key = role == "projection" and layer.connected and "stored" not in layer.static
    if role in layer.static and not mapped and not through_key:
        if learns_nothing(layer):
            return layer.hidden_size
        if role == "projection":
            return layer.pattern if layer.use_out else None
        return layer.hidden
    given = {"stored": layer.stored_size, "projection": layer.projection_size}.get(role)
    return given or layer.input_size


def needed_depth(layer: Hopfield, role: str) -> int:
    """Depth of learned patterns of a role."""
    depth = _depth(layer, role) or layer.input_size
    if depth is None:
        raise UsageError("`input_size` of the association is needed: the depth of its patterns")
    return depth


def _norm(norm: Norm | None, dtype: Any) -> Callable[[Array], Array]:
    if norm is None:
        return lambda x: x
    if norm.affine:
        return LayerNorm(norm.epsilon, dtype)
    return partial(_standardize, epsilon=norm.epsilon)


def _standardize(x: Array, epsilon: float) -> Array:
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    wide = wide - wide.mean(axis=-1, keepdims=True)
    variance = jnp.square(wide).mean(axis=-1, keepdims=True)
    return (wide * jax.lax.rsqrt(variance + epsilon)).astype(x.dtype)


def _cut(x: Array, axis: int, chunks: int, chunk: int) -> Array:
    """The chunks of one axis as a new first axis; the last one is filled up with zeros."""
    ends = [(0, 0)] * x.ndim
    ends[axis] = (0, chunks * chunk - x.shape[axis])
    x = jnp.pad(x, ends)
    x = x.reshape(*x.shape[:axis], chunks, chunk, *x.shape[axis + 1 :])
    return jnp.moveaxis(x, axis, 0)
