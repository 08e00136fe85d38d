"""Cells as data: which operations a cell applies to which hidden states.

The hidden states of a cell are numbered: 0 is its input (the last cell's output), 1 the output of
the cell before that, 2 the first block's result, and so on. A block applies one operation to each
of two states and combines the results; Zoph et al. 2018, section 3.1 and figure 3,
https://arxiv.org/abs/1707.07012.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Key

from zoo.errors import UsageError, closest
from zoo.nasnet.operations import OPERATIONS

COMBINATIONS = ("add", "concat")
INPUTS = 2  # hidden states that a cell begins with


class Edge(NamedTuple):
    """An operation and the hidden state that it is applied to."""

    operation: str
    state: int


class Block(NamedTuple):
    """Two edges, whose results are added or concatenated into a new hidden state."""

    left: Edge
    right: Edge
    combine: str = "add"


class CellGenotype(NamedTuple):
    """Blocks, and the hidden states that are concatenated into the cell's output."""

    blocks: tuple[Block, ...]
    outputs: tuple[int, ...]


class Genotype(NamedTuple):
    """A cell that keeps the resolution, and one that halves it."""

    normal: CellGenotype
    reduction: CellGenotype


def random_genotype(key: Key[Array, ""], blocks: int = 5) -> Genotype:
    """Draws two cells uniformly from the NASNet search space.

    Every block draws two of the states so far, two of the thirteen operations and a combination;
    states that no block reads are concatenated (section 3.1, steps 1 to 5).

    Args:
        key: typed random key; the same key gives the same cells.
        blocks: blocks in a cell, five in the paper.

    Raises:
        UsageError: fewer than one block.
    """
    if blocks < 1:
        raise UsageError(f"`blocks` must be at least 1, got {blocks}; the paper has 5.")
    normal, reduction = (_random_cell(k, blocks) for k in jax.random.split(key))
    return Genotype(normal, reduction)


def _random_cell(key: Key[Array, ""], count: int) -> CellGenotype:
    names, blocks = tuple(OPERATIONS), []
    for b, block_key in enumerate(jax.random.split(key, count)):
        choices = (b + INPUTS, b + INPUTS, len(names), len(names), len(COMBINATIONS))
        keys = jax.random.split(block_key, len(choices))
        drawn = [int(jax.random.randint(k, (), 0, n)) for k, n in zip(keys, choices, strict=True)]
        left, right, left_operation, right_operation, combine = drawn
        blocks.append(
            Block(
                Edge(names[left_operation], left),
                Edge(names[right_operation], right),
                COMBINATIONS[combine],
            )
        )
    read = {edge.state for block in blocks for edge in (block.left, block.right)}
    return CellGenotype(tuple(blocks), tuple(i for i in range(count + INPUTS) if i not in read))


def genotype_to_json(genotype: Genotype) -> dict[str, Any]:
    """The genotype as JSON values, which `genotype_from_json` reads."""
    return {kind: _cell_to_json(cell) for kind, cell in genotype._asdict().items()}


def _cell_to_json(cell: CellGenotype) -> dict[str, Any]:
    blocks = [
        {"left": list(block.left), "right": list(block.right), "combine": block.combine}
        for block in cell.blocks
    ]
    return {"blocks": blocks, "outputs": list(cell.outputs)}


def genotype_from_json(value: Any) -> Genotype:
    """A genotype from JSON values; a `Genotype` is checked and comes back as it is.

    `{"normal": CELL, "reduction": CELL}`, where a cell is
    `{"blocks": [{"left": ["sep_3x3", 0], "right": ["identity", 1], "combine": "add"}, ...],
    "outputs": [2, ...]}`; "combine" may be left out.

    Raises:
        UsageError: the value is no genotype; the message names the place.
    """
    if isinstance(value, Genotype):
        value = genotype_to_json(value)
    value = _mapping("genotype", value, Genotype._fields)
    return Genotype(*(_cell_from_json(kind, value[kind]) for kind in Genotype._fields))


def _cell_from_json(place: str, value: Any) -> CellGenotype:
    value = _mapping(place, value, CellGenotype._fields)
    blocks = tuple(
        _block_from_json(f"{place}.blocks[{b}]", block, b + INPUTS)
        for b, block in enumerate(_sequence(f"{place}.blocks", value["blocks"]))
    )
    states = len(blocks) + INPUTS
    outputs = _sequence(f"{place}.outputs", value["outputs"])
    return CellGenotype(
        blocks,
        tuple(_state(f"{place}.outputs[{i}]", o, states) for i, o in enumerate(outputs)),
    )


def _block_from_json(place: str, value: Any, states: int) -> Block:
    value = _mapping(place, value, Block._fields, optional=("combine",))
    left, right = (_edge(f"{place}.{side}", value[side], states) for side in ("left", "right"))
    combine = value.get("combine", "add")
    if combine not in COMBINATIONS:
        raise UsageError(f"`{place}.combine` must be 'add' or 'concat', got {combine!r}")
    return Block(left, right, combine)


def _edge(place: str, value: Any, states: int) -> Edge:
    pair = _sequence(place, value)
    if len(pair) != 2:
        raise UsageError(f"`{place}` must be [operation, state], got {value!r}")
    operation, state = pair
    if operation not in OPERATIONS:
        hint = closest(str(operation), OPERATIONS) or f"; there are {', '.join(OPERATIONS)}"
        raise UsageError(f"`{place}` names no operation: {operation!r}{hint}")
    return Edge(operation, _state(place, state, states))


def _state(place: str, value: Any, states: int) -> int:
    if not isinstance(value, int) or not 0 <= value < states:
        raise UsageError(
            f"`{place}` must name one of the states 0 to {states - 1} there are, got {value!r}"
        )
    return value


def _sequence(place: str, value: Any) -> list[Any]:
    if not isinstance(value, list | tuple) or not value:
        raise UsageError(f"`{place}` must be a list that is not empty, got {value!r}")
    return list(value)


def _mapping(
    place: str, value: Any, fields: tuple[str, ...], optional: tuple[str, ...] = ()
) -> Mapping[str, Any]:
    expected = ", ".join(map(repr, fields))
    if not isinstance(value, Mapping):
        raise UsageError(f"`{place}` must be an object with {expected}, got {value!r}")
    if wrong := (set(value) ^ set(fields)) - set(optional):
        raise UsageError(
            f"`{place}` must have exactly {expected}; check {', '.join(sorted(map(repr, wrong)))}"
        )
    return value


def _cell(outputs: tuple[int, ...], *blocks: tuple[str, int, str, int]) -> CellGenotype:
    """The notation of the cells below: operation and state, twice, for each block."""
    return CellGenotype(tuple(Block(Edge(a, i), Edge(b, j)) for a, i, b, j in blocks), outputs)


# Zoph et al. 2018, figure 4.
NASNET_A = Genotype(
    normal=_cell(
        (1, 2, 3, 4, 5, 6),
        ("sep_5x5", 0, "sep_3x3", 1),
        ("sep_5x5", 1, "sep_3x3", 1),
        ("avg_3x3", 0, "identity", 1),
        ("avg_3x3", 1, "avg_3x3", 1),
        ("sep_3x3", 0, "identity", 0),
    ),
    reduction=_cell(
        (3, 4, 5, 6),
        ("sep_5x5", 0, "sep_7x7", 1),
        ("max_3x3", 0, "sep_7x7", 1),
        ("avg_3x3", 0, "sep_5x5", 1),
        ("identity", 3, "avg_3x3", 2),
        ("sep_3x3", 2, "max_3x3", 0),
    ),
)

# Liu et al. 2018, figure 1, https://arxiv.org/abs/1712.00559: one cell in both roles.
_PNASNET_5_CELL = _cell(
    (2, 3, 4, 5, 6),
    ("sep_5x5", 1, "max_3x3", 1),
    ("sep_7x7", 0, "max_3x3", 0),
    ("sep_5x5", 0, "sep_3x3", 0),
    ("sep_3x3", 4, "max_3x3", 0),
    ("sep_3x3", 1, "identity", 0),
)
PNASNET_5 = Genotype(normal=_PNASNET_5_CELL, reduction=_PNASNET_5_CELL)
