"""Options of the association of modern Hopfield networks: groups, checks, and depths they imply.

Patterns have three roles: stored patterns are compared with, states recall, and projections are
what is read out.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from jaxtyping import Array

from zoo.errors import UsageError
from zoo.layers.initializers import NORMAL_002, Initializer

ROLES = ("stored", "state", "projection")


class Norm(NamedTuple):
    """Layer normalisation of patterns: with a learned scale and shift, or without."""

    affine: bool = True
    epsilon: float = 1e-5


class Norms(NamedTuple):
    """Where patterns are normalised; None where they are not.

    Attributes:
        stored, state, projection: of the inputs.
        space: one norm of queries and keys, shared by all heads.
    """

    stored: Norm | None = Norm()
    state: Norm | None = Norm()
    projection: Norm | None = Norm()
    space: Norm | None = None


NO_NORMS = Norms(None, None, None)


class Sizes(NamedTuple):
    """Depths of patterns, None for the usual ones.

    Attributes:
        stored: depth of stored patterns; None for `input_size`.
        projection: depth of pattern projections; None for `input_size`.
        pattern: depth of what each head reads out; None for `hidden_size`.
        output: depth of the result; None for `input_size`.
    """

    stored: int | None = None
    projection: int | None = None
    pattern: int | None = None
    output: int | None = None

    def check(self) -> None:
        """Raises a UsageError for a depth below 1."""
        for name, value in self._asdict().items():
            check_size(f"sizes.{name}", value)


class Maps(NamedTuple):
    """The linear maps of queries, keys, values and result.

    Attributes:
        static: roles that are used as they come, without a map, by every head.
        connected: projections go through the map of stored patterns first.
        use_bias: the maps have biases.
        use_out: heads are mixed by a last map; otherwise they stand side by side.
        kernel_init: distribution of the maps.
    """

    static: Sequence[str] = ()
    connected: bool = False
    use_bias: bool = True
    use_out: bool = True
    kernel_init: Initializer = NORMAL_002

    @property
    def through_key(self) -> bool:
        """Whether there is a map of stored patterns, and projections go through it."""
        return self.connected and "stored" not in self.static

    def check(self) -> None:
        """Raises a UsageError for an unknown role."""
        if unknown := set(self.static) - set(ROLES):
            raise UsageError(
                f"`static` takes 'stored', 'state' and 'projection', got {sorted(unknown)}"
            )


class Convergence(NamedTuple):
    """When updates of the states end.

    Attributes:
        epsilon: a head stops when its associations move by no more than this (Frobenius norm);
            one number or one per head.
        max_steps: updates at most where their number is None; a dozen is usual.
        stop: whether each example stops by itself ("sample") or together with its batch ("batch").
    """

    epsilon: float | Sequence[float] = 1e-4
    max_steps: int = 64
    stop: Literal["sample", "batch"] = "sample"

    def limits(self, steps: int | Sequence[int | None] | None, heads: int) -> list[int]:
        """Updates of each head at most."""
        limits = [self.max_steps if n is None else n for n in per_head("steps", steps, heads)]
        if min(limits) < 0:
            raise UsageError(f"`steps` must be None or at least 0, got {steps}")
        return limits

    def check(self, heads: int) -> None:
        """Raises a UsageError for options that are out of range."""
        if self.max_steps < 1:
            raise UsageError(f"`max_steps` must be at least 1, got {self.max_steps}")
        if min(per_head("epsilon", self.epsilon, heads)) <= 0:
            raise UsageError(f"`epsilon` must be positive, got {self.epsilon}")
        if self.stop not in ("sample", "batch"):
            raise UsageError(f"`stop` must be 'sample' or 'batch', got {self.stop!r}")


class Depths(NamedTuple):
    """Depths that options imply.

    Attributes:
        stored, state, projection: of the inputs; None where any will do.
        hidden: of the association in each head.
        pattern: of what each head reads out.
    """

    stored: int | None
    state: int | None
    projection: int | None
    hidden: int
    pattern: int


def learns_nothing(norms: Norms, maps: Maps) -> bool:
    """Whether the patterns meet as they come: no map and no norm between them."""
    between = maps.connected or maps.use_out or norms.space is not None
    return len(set(maps.static)) == 3 and not between


def depths_of(
    input_size: int | None,
    hidden_size: int | None,
    heads: int,
    sizes: Sizes,
    norms: Norms,
    maps: Maps,
) -> Depths:
    """The depths that the options of a layer imply; see its attributes.

    Raises:
        UsageError: a depth is below 1 or missing, depths do not fit together, or a role is unknown.
    """
    for name, value in (("input_size", input_size), ("hidden_size", hidden_size), ("heads", heads)):
        check_size(name, value)
    sizes.check()
    maps.check()
    hidden = hidden_size or (input_size or 0) // heads
    pattern = sizes.pattern or hidden
    if learns_nothing(norms, maps):
        return Depths(hidden_size, hidden_size, hidden_size, hidden, pattern)
    if input_size is None:
        raise UsageError("`input_size` is needed: the depth of the state patterns")
    if hidden_size is None and input_size % heads:
        raise UsageError(
            f"`input_size` {input_size} is not divisible by `heads` {heads}; "
            "give `hidden_size`, the depth of each head"
        )
    stored, projection = sizes.stored or input_size, sizes.projection or input_size
    if maps.connected and pattern != hidden:
        raise UsageError(
            f"`connected` needs `sizes.pattern` equal to `hidden_size`, got {pattern} and {hidden}"
        )
    if maps.connected and stored != projection:
        raise UsageError(
            "`connected` needs `sizes.stored` equal to `sizes.projection`, "
            f"got {stored} and {projection}"
        )
    mapped = Depths(stored, input_size, projection, hidden, pattern)
    unmapped = {"stored": hidden, "state": hidden, "projection": pattern if maps.use_out else None}
    static = set(maps.static) - ({"projection"} if maps.through_key else set())
    return mapped._replace(**{role: unmapped[role] for role in static})


def check_options(
    heads: int,
    beta: float | Sequence[float] | None,
    steps: int | Sequence[int | None] | None,
    convergence: Convergence,
    dropout: float,
) -> None:
    """Raises a UsageError for options that are out of range; see the attributes of a layer."""
    per_head("beta", beta, heads)
    convergence.check(heads)
    convergence.limits(steps, heads)
    if not 0 <= dropout < 1:
        raise UsageError(f"`dropout` must be at least 0 and below 1, got {dropout}")


def check_patterns(
    depths: Depths, static: Sequence[str], stored: Array, state: Array, projection: Array | None
) -> None:
    """Raises a UsageError for patterns that do not fit the depths or each other."""
    projection = stored if projection is None else projection
    for role, x in zip(ROLES, (stored, state, projection), strict=True):
        depth = getattr(depths, role) or x.shape[-1]
        if x.ndim != 3 or x.shape[-1] != depth:
            raise UsageError(
                f"`{role}` patterns must have the shape (batch, patterns, {depth}), got "
                f"{x.shape}; depths are set by `input_size` and `sizes`"
            )
    if stored.shape[:2] != projection.shape[:2] or stored.shape[0] not in (1, state.shape[0]):
        raise UsageError(
            "`stored` and `projection` must have the same number of patterns, and the batch "
            f"of `state` or 1; got {stored.shape}, {projection.shape} and {state.shape}"
        )
    if {"state", "stored"} <= set(static) and state.shape[-1] != stored.shape[-1]:
        raise UsageError(
            "static `state` and `stored` patterns must be equally deep, "
            f"got {state.shape[-1]} and {stored.shape[-1]}"
        )


def per_head(name: str, value: Any, heads: int) -> list[Any]:
    """A number for each head.

    Raises:
        UsageError: there are more or fewer.
    """
    found = list(value) if isinstance(value, list | tuple) else [value] * heads
    if len(found) != heads:
        raise UsageError(f"`{name}` must be one number or {heads}, got {found}")
    return found


def check_size(name: str, value: int | None) -> None:
    """Raises a UsageError for a size below 1."""
    if value is not None and value < 1:
        raise UsageError(f"`{name}` must be at least 1, got {value}")
