"""The rename tables' language: one rule per kind of module, read in both directions.

A rule pairs a template of our module path with one of the source's module name; a `{placeholder}`
stands for digits, a `{placeholder*}` for letters, digits and underscores, and has the same value
on both sides:

    Rule("stage{s}_block{b}/conv{k}", "layer{s}.{b}.conv{k}", CONV)

Its third part says how the module's leaves are called and laid out there. Every leaf of our tree
finds its source name through the first rule that matches, so one table serves import and export.
"""

import functools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from checkpoints.convert.difference import difference
from zoo.errors import UsageError

Path = tuple[str, ...]  # ("params", "stem", "conv", "kernel")
Shape = tuple[int, ...]


class Leaf(NamedTuple):
    """How one of our leaves is stored by the source.

    Attributes:
        ours: collection and leaf name, as in "params/kernel".
        theirs: the leaf's name in the source's module.
        axes: axes of our array in the order in which the source keeps them, None standing for
            an axis of length one that only the source has; None alone if the arrays are alike.
        merge: first and last of the reordered axes that the source keeps as one; None if all
            stand apart.
    """

    ours: str
    theirs: str
    axes: tuple[int | None, ...] | None = None
    merge: tuple[int, int] | None = None


class Rule(NamedTuple):
    """One kind of module: our path, the source's name, and its leaves."""

    ours: str
    theirs: str
    leaves: tuple[Leaf, ...]


class Stack(NamedTuple):
    """One tensor of ours that the source keeps in several: their lengths by name, along an axis."""

    parts: Mapping[str, int]
    axis: int


class Table(NamedTuple):
    """Everything that translates one family to one source library.

    Attributes:
        rules: tried from top to bottom; without any, every leaf is called by its path.
        order: parts of source names in the order in which the source lists them; numbers
            sort by value, before words. `parent.part` is the place of a part below that parent.
            The whole name of a module goes before its parts, for sources that interleave them.
        counter: name of the integer counter that the source keeps beside running statistics;
            it carries no weight: left out on import, written as zero on export.
        separator: what stands between the parts of a source name.
        numbered: prefixes of names that the source numbers as it makes them, `conv2d`,
            `conv2d_1`, ...; only their order counts, for the source may begin anywhere.
        constants: tensors that the source keeps but that carry no weight, by name, from the shapes
            of ours: left out on import (only shapes are compared), written on export.
        example: shape of an input, without the batch, for the tensors of a model whose tree depends
            on it; None for RGB images of the size that the model names.
        packed: tensors that hold several others, one after the other along their first axis: names
            of the parts by name of the whole, from all names that stand in the rules.
        stacked: the opposite: several of the source's tensors by the name, in the rules, of the one
            that they make.
        ignored: tensors, or modules with all that is in them, that the source keeps and the network
            does not: left out on import, not written.
        aliases: second names of tensors that the source lists several times, with the first, from
            all first names: compared on import, repeated on export.
    """

    rules: Sequence[Rule]
    order: Sequence[str]
    counter: str | None = None
    separator: str = "."
    numbered: Sequence[str] = ()
    constants: Callable[[Mapping[Path, Shape]], Mapping[str, np.ndarray]] = lambda shapes: {}
    example: Callable[[Mapping[str, np.ndarray]], Shape] | None = None
    packed: Callable[[Sequence[str]], Mapping[str, Sequence[str]]] = lambda names: {}
    stacked: Mapping[str, Stack] = MappingProxyType({})
    ignored: Sequence[str] = ()
    aliases: Callable[[Iterable[str]], Mapping[str, str]] = lambda names: {}


def source_name(table: Table, path: Path) -> tuple[str, Leaf]:
    """Where the source keeps our leaf `path`, and how."""
    collection, *modules, leaf_name = path
    if not table.rules:
        return table.separator.join(path), Leaf(f"{collection}/{leaf_name}", leaf_name)
    module = "/".join(modules)
    for rule in table.rules:
        found = _pattern(rule.ours).fullmatch(module)
        if found is None:
            continue
        for leaf in rule.leaves:
            if leaf.ours == f"{collection}/{leaf_name}":
                name = rule.theirs.format(**found.groupdict())
                return f"{name}{table.separator}{leaf.theirs}".removeprefix("."), leaf
    raise KeyError(f"no rule of the table matches {'/'.join(path)}")


@functools.cache
def _pattern(template: str) -> re.Pattern[str]:
    digits = re.sub(r"\{(\w+)\}", r"(?P<\1>\\d+)", template)
    return re.compile(re.sub(r"\{(\w+)\*\}", r"(?P<\1>\\w+)", digits))


def from_source(
    table: Table, shapes: Mapping[Path, tuple[int, ...]], tensors: Mapping[str, np.ndarray]
) -> dict[Path, np.ndarray]:
    """Fills every leaf of `shapes` from `tensors`, and uses every tensor.

    Raises:
        UsageError: names or shapes disagree, or a tensor holds integers, as quantised weights do;
            the message holds the whole difference.
    """
    names = renumbered(tensors, table.numbered)
    arrays, problems, model = {}, [], {}
    unused = _unpacked(table, shapes, {names[name]: tensor for name, tensor in tensors.items()})
    file = {name: tensor.shape for name, tensor in unused.items() if not _is_counter(table, name)}
    for path, shape in shapes.items():
        name, leaf = source_name(table, path)
        tensor, model[name] = unused.pop(name, None), _theirs(shape, leaf)
        if tensor is None:
            problems.append(f"- {name} {model[name]}  (missing)")
        elif tensor.shape != model[name]:
            problems.append(f"! {name} is {tensor.shape}, the model has {model[name]}")
        elif not jnp.issubdtype(tensor.dtype, jnp.inexact):
            problems.append(f"! {name} is {tensor.dtype}, the model has floating-point numbers")
        else:
            arrays[path] = _import(tensor, shape, leaf)
    problems += _repeated(table, shapes, tensors, unused)
    for name, constant in table.constants(shapes).items():
        if name not in unused or unused.pop(name).shape != constant.shape:
            problems.append(f"- {name} {constant.shape}  (missing, or of another shape)")
    extra = [name for name in unused if not _is_counter(table, name)]
    problems += [f"+ {name} {unused[name].shape}  (not in the model)" for name in extra]
    if problems:
        raise UsageError(difference(file, model, problems))
    return arrays


def _repeated(
    table: Table,
    shapes: Mapping[Path, Shape],
    tensors: Mapping[str, np.ndarray],
    unused: dict[str, np.ndarray],
) -> list[str]:
    """Takes second names of tensors out of `unused`; a line for each that repeats no other."""
    problems = []
    for name, first in table.aliases([source_name(table, path)[0] for path in shapes]).items():
        repeat = unused.pop(name, None)
        if repeat is None or first not in tensors or not np.array_equal(repeat, tensors[first]):
            problems.append(f"! {name} is missing or differs from {first}, which it repeats")
    return problems


def _is_counter(table: Table, name: str) -> bool:
    return table.counter is not None and name.rpartition(".")[2] == table.counter


def to_source(table: Table, arrays: Mapping[Path, Any]) -> dict[str, np.ndarray]:
    """The source's own names, layout and key order; every array owns contiguous memory."""
    shapes = {path: np.shape(array) for path, array in arrays.items()}
    tensors: dict[str, np.ndarray] = dict(table.constants(shapes))
    for path, leaf_array in arrays.items():
        name, leaf = source_name(table, path)
        tensors[name] = np.array(_export(np.asarray(leaf_array), leaf), order="C")
        if table.counter and path[0] == "batch_stats":
            module = name.rpartition(table.separator)[0]
            tensors[f"{module}{table.separator}{table.counter}"] = np.zeros((), np.int64)
    for name, parts in table.packed(list(tensors)).items():
        tensors[name] = np.concatenate([tensors.pop(part) for part in parts])
    for name, (parts, axis) in table.stacked.items():
        ends = np.cumsum(list(parts.values()))
        pieces = np.split(tensors.pop(name), ends[:-1], axis)
        tensors |= zip(parts, map(np.ascontiguousarray, pieces), strict=True)
    for name, first in table.aliases(list(tensors)).items():
        tensors[name] = tensors[first].copy()
    key = _sort_key(table) if table.order else None
    return {name: tensors[name] for name in sorted(tensors, key=key)}


def _unpacked(
    table: Table, shapes: Mapping[Path, Shape], tensors: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Tensors cut and joined as the rules name them, wherever their sizes agree."""
    tensors = {name: tensor for name, tensor in tensors.items() if not _is_ignored(table, name)}
    for name, (parts, axis) in table.stacked.items():
        found = {part: tensors[part].shape[axis:] for part in parts if part in tensors}
        if [(part, shape[0]) for part, shape in found.items() if shape] == list(parts.items()):
            tensors[name] = np.concatenate([tensors.pop(part) for part in parts], axis)
    found = [(*source_name(table, path), shape) for path, shape in shapes.items()]
    rows = {name: _theirs(shape, leaf)[0] for name, leaf, shape in found if shape}
    for name, parts in table.packed([name for name, *_ in found]).items():
        ends = np.cumsum([rows[part] for part in parts])
        if name in tensors and len(tensors[name]) == ends[-1]:
            tensors |= zip(parts, np.split(tensors.pop(name), ends[:-1]), strict=True)
    return tensors


def _is_ignored(table: Table, name: str) -> bool:
    return any(
        f"{name}{table.separator}".startswith(f"{n}{table.separator}") for n in table.ignored
    )


def renumbered(names: Iterable[str], prefixes: Sequence[str]) -> dict[str, str]:
    """Names by name; those of numbered layers count from `prefix`, `prefix_1` without gaps."""
    names = list(names)
    result = {name: name for name in names}
    for prefix in prefixes:
        layer = re.compile(rf"{prefix}(?:_(\d+))?(?=/|$)")
        found = {name: int(m[1] or 0) for name in names if (m := layer.match(name))}
        rank = {number: i for i, number in enumerate(sorted(set(found.values())))}
        for name, number in found.items():
            canonical = f"{prefix}_{rank[number]}" if rank[number] else prefix
            result[name] = layer.sub(canonical, name, count=1)
    return result


def _theirs(shape: Shape, leaf: Leaf) -> Shape:
    shape = _reordered(shape, leaf)
    if leaf.merge is None:
        return shape
    first, last = leaf.merge
    return (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])


def _reordered(shape: Shape, leaf: Leaf) -> Shape:
    if leaf.axes is None:
        return shape
    return tuple(1 if axis is None else shape[axis] for axis in leaf.axes)


def _import(tensor: np.ndarray, shape: Shape, leaf: Leaf) -> np.ndarray:
    if leaf.axes is None:
        return tensor.reshape(shape)
    tensor = tensor.reshape(_reordered(shape, leaf)).squeeze(axis=_added(leaf.axes))
    return tensor.transpose(np.argsort([a for a in leaf.axes if a is not None]))


def _export(array: np.ndarray, leaf: Leaf) -> np.ndarray:
    shape = _theirs(array.shape, leaf)
    if leaf.axes is not None:
        array = array.transpose([a for a in leaf.axes if a is not None])
    return array.reshape(shape)


def _added(axes: Sequence[int | None]) -> tuple[int, ...]:
    return tuple(i for i, axis in enumerate(axes) if axis is None)


def _sort_key(table: Table) -> Any:
    rank = {word: i for i, word in enumerate(table.order)}

    def place(parent: str, part: str) -> int:
        return rank[f"{parent}.{part}" if f"{parent}.{part}" in rank else part]

    def key(name: str) -> list[tuple[int, int]]:
        parts = name.split(table.separator)
        if (module := table.separator.join(parts[:-1])) in rank:
            parts = [module, parts[-1]]
        return [
            (0, int(part)) if part.isdigit() else (1, place(parent, part))
            for parent, part in zip(["", *parts[:-1]], parts, strict=True)
        ]

    return key
