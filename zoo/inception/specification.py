"""Blocks as the papers' figures show them: branches of convolutions and pools."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Unit(NamedTuple):
    """Convolution, norm, ReLU. `padded` keeps the resolution at stride 1."""

    features: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padded: bool = True


class Fork(NamedTuple):
    """Units beside each other at the end of a branch, concatenated."""

    units: tuple[Unit, ...]


class Pool(NamedTuple):
    """Pooling over a square window: `kind` is "avg" or "max"."""

    kind: str
    window: int = 3
    stride: int = 1
    padding: int = 0
    ceil: bool = False


class Branch(NamedTuple):
    """One way through a block."""

    name: str
    ops: tuple[Unit | Fork | Pool, ...]


class Mixed(NamedTuple):
    """Branches from one input, concatenated."""

    branches: tuple[Branch, ...]


class Residual(NamedTuple):
    """Branches whose projection is added to their input.

    Attributes:
        branches: as in `Mixed`.
        scale: factor of what is added; None for the one of the network's stage.
        activate: whether a ReLU follows the sum.
    """

    branches: tuple[Branch, ...]
    scale: float | None = None
    activate: bool = True


Op = Unit | Pool | Mixed | Residual

Stages = Sequence[tuple[str, Sequence[tuple[str, Op]]]]  # stage name, (layer name, what it does)


def units_of(branch: Branch) -> Iterator[tuple[str, Unit | Fork | Pool]]:
    """A branch's steps and their names: units count from 1, unless there is only one."""
    alone = sum(not isinstance(op, Pool) for op in branch.ops) == 1
    count = 0
    for op in branch.ops:
        count += not isinstance(op, Pool)
        yield branch.name if alone else f"{branch.name}_{count}", op


# The notation of the tables.


def conv(features: int, *kernel: int) -> Unit:
    """Resolution-keeping unit: `conv(64)` is 1×1, `conv(64, 3)` is 3×3, `conv(64, 1, 7)` is 1×7."""
    height, width = (kernel * 2)[:2] if kernel else (1, 1)
    return Unit(features, (height, width))


def valid(features: int, kernel: int = 3, stride: int = 1) -> Unit:
    """Unit without padding ("V" in the figures)."""
    return Unit(features, (kernel, kernel), stride, padded=False)


def branches(**ops: Unit | Pool | tuple[Unit | Fork | Pool, ...]) -> tuple[Branch, ...]:
    """Branches by name; one step needs no brackets."""
    return tuple(
        Branch(name, (steps,) if isinstance(steps, Unit | Pool) else steps)
        for name, steps in ops.items()
    )


AVG = Pool("avg", padding=1)

MAX = Pool("max", stride=2)


def fork(features: int) -> Fork:
    """1×3 beside 3×1."""
    return Fork((conv(features, 1, 3), conv(features, 3, 1)))


def times(name: str, op: Op, count: int) -> tuple[tuple[str, Op], ...]:
    """A layer several times over, numbered from 1."""
    return tuple((f"{name}_{i}", op) for i in range(1, count + 1))
