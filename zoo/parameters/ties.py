"""Which channels of a network belong to one another, read off its traced program.

Every entry of every axis of a variable begins with a label of its own. Each operation says which
entries mean the same channel: those that it adds, multiplies or contracts. What an operation mixes,
as a mean over channels does, or splits, or what no rule is known for, is tied to label 0: such
channels stay. So do those of the inputs and of the outputs.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from zoo import programs
from zoo.parameters.labels import ANY, FIXED, Labels, Ties, fixed

# What is applied to each number alone; operands have one shape, or are single numbers.
ELEMENTWISE = "add", "add_any", "sub", "mul", "div", "rem", "max", "min", "pow", "atan2"
ELEMENTWISE += "and", "or", "xor", "not", "neg", "sign", "floor", "ceil", "round", "exp"
ELEMENTWISE += "exp2", "log", "log1p", "expm1", "tanh", "logistic", "sin", "cos", "tan"
ELEMENTWISE += "erf", "erfc", "rsqrt", "sqrt", "cbrt", "square", "abs", "integer_pow"
ELEMENTWISE += "is_finite", "eq", "ne", "lt", "le", "gt", "ge", "select_n", "clamp"
ELEMENTWISE += "convert_element_type", "stop_gradient", "copy", "reduce_precision", "name"
REDUCTIONS = {"reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or"}
WINDOWS = {"reduce_window", "reduce_window_max", "reduce_window_min", "reduce_window_sum"}


def traced(closed: Any, inputs: list[Labels], ties: Ties) -> dict[str, np.ndarray]:
    """Walks through a program; the labels of the last axes of what it calls by name.

    Args:
        closed: a jaxpr with its constants, in which `checkpoint_name` names values.
        inputs: labels of its inputs.
        ties: where what is found is noted.
    """
    named: dict[str, np.ndarray] = {}

    def apply(equation: Any, values: list[Any]) -> Sequence[Any]:
        labels = [v if isinstance(v, tuple) else _constant(v) for v in values]
        if inside := programs.body(equation):
            program, constants, skipped = inside
            return programs.run(program, constants, labels[skipped:], apply)
        found = RULES.get(equation.primitive.name, _unknown)(equation, labels, ties)
        if equation.primitive.name == "name":
            named[equation.params["name"]] = labels[0][-1]
        return found if equation.primitive.multiple_results else [found]

    constants = [_constant(value) for value in closed.consts]
    outputs = programs.run(closed.jaxpr, constants, inputs, apply)
    ties.fix(*(labels for labels in outputs if isinstance(labels, tuple)))
    return named


def _constant(value: Any) -> Labels:
    """A number for each channel stays; one and the same for all goes with any."""
    if np.size(value) and (np.asarray(value) == np.ravel(value)[0]).all():
        return _same(np.shape(value))
    return tuple(map(fixed, np.shape(value)))


def _same(shape: Sequence[int]) -> Labels:
    return tuple(np.full(size, ANY if size > 1 else FIXED) for size in shape)


def _shape(equation: Any) -> tuple[int, ...]:
    return equation.outvars[0].aval.shape


def _unknown(equation: Any, labels: list[Labels], ties: Ties) -> Any:
    ties.fix(*labels)
    out = [tuple(map(fixed, atom.aval.shape)) for atom in equation.outvars]
    return out if equation.primitive.multiple_results else out[0]


def _elementwise(equation: Any, labels: list[Labels], ties: Ties) -> Labels:
    found = same = _same(_shape(equation))
    for each in (labels for labels in labels if len(labels) == len(found)):
        wide = [a if len(a) == len(b) else b for a, b in zip(each, same, strict=True)]
        found = tuple(ties.tie(a, b) for a, b in zip(found, wide, strict=True))
    return found


def _broadcast(equation: Any, labels: list[Labels], ties: Ties) -> Labels:
    places = dict(zip(equation.params["broadcast_dimensions"], labels[0], strict=True))
    shape = _shape(equation)
    here = [places.get(axis) for axis in range(len(shape))]
    kept = [a is not None and len(a) == size for a, size in zip(here, shape, strict=True)]
    return tuple(
        a if keep and a is not None else same
        for a, keep, same in zip(here, kept, _same(shape), strict=True)
    )


def _reduction(equation: Any, labels: list[Labels], ties: Ties) -> Labels:
    axes = equation.params["axes"]
    ties.fix(tuple(labels[0][axis] for axis in axes))
    return tuple(a for axis, a in enumerate(labels[0]) if axis not in axes)


def _window(equation: Any, labels: list[Labels], ties: Ties) -> Labels:
    sizes, shape = equation.params["window_dimensions"], _shape(equation)
    kept = [w == 1 and n == len(a) for w, n, a in zip(sizes, shape, labels[0], strict=True)]
    ties.fix(tuple(a for a, keep in zip(labels[0], kept, strict=True) if not keep))
    return tuple(a if k else fixed(n) for a, k, n in zip(labels[0], kept, shape, strict=True))


def _pad(equation: Any, labels: list[Labels], ties: Ties) -> Labels:
    pairs = zip(labels[0], equation.params["padding_config"], strict=True)
    return tuple(_padded(axis, sizes, ties) for axis, sizes in pairs)


def _padded(axis: np.ndarray, sizes: Any, ties: Ties) -> np.ndarray:
    """Zeros beside channels are channels of their own, until they are added to others."""
    low, high, inner = map(int, sizes)
    if inner or min(low, high) < 0:
        ties.fix((axis,))
        return fixed(low + len(axis) + high + inner * (len(axis) - 1))
    ends = [low, high]
    before, after = ties.fresh(ends) if (axis > FIXED).any() else map(fixed, ends)
    return np.concatenate([before, axis, after])


def _slice(equation: Any, labels: list[Labels], ties: Ties) -> Labels:
    """Where a part is taken depends on how much there is: only whole axes may be cut."""
    ties.fix(tuple(a for a, n in zip(labels[0], _shape(equation), strict=True) if len(a) != n))
    pairs = zip(labels[0], _shape(equation), strict=True)
    return tuple(a if len(a) == n else fixed(n) for a, n in pairs)


def _concatenate(equation: Any, labels: list[Labels], ties: Ties) -> Labels:
    along, found = equation.params["dimension"], list(labels[0])
    for other in labels[1:]:
        pairs = zip(found, other, strict=True)
        found = [a if axis == along else ties.tie(a, b) for axis, (a, b) in enumerate(pairs)]
    found[along] = np.concatenate([each[along] for each in labels])
    return tuple(found)


def _dot(equation: Any, labels: list[Labels], ties: Ties) -> Labels:
    (left, right), (left_batch, right_batch) = equation.params["dimension_numbers"]
    a, b = labels
    for i, j in zip(left, right, strict=True):
        _contract(a[i], b[j], ties)
    batch = [ties.tie(a[i], b[j]) for i, j in zip(left_batch, right_batch, strict=True)]
    free_a = [axis for i, axis in enumerate(a) if i not in (*left, *left_batch)]
    free_b = [axis for i, axis in enumerate(b) if i not in (*right, *right_batch)]
    return (*batch, *free_a, *free_b)


def _contract(a: np.ndarray, b: np.ndarray, ties: Ties) -> None:
    """A sum over channels: entry by entry, and of what is the same for all it depends on them."""
    ties.tie(np.where(a == ANY, FIXED, a), np.where(b == ANY, FIXED, b))


def _convolution(equation: Any, labels: list[Labels], ties: Ties) -> Labels:
    """Channels of several groups are cut at the same places of each, so that groups stay alike."""
    numbers, groups = equation.params["dimension_numbers"], equation.params["feature_group_count"]
    (x, kernel), shape = labels, _shape(equation)
    (_, x_in, *x_space), (k_out, k_in, *k_space) = numbers.lhs_spec, numbers.rhs_spec
    ties.fix(tuple(x[axis] for axis in x_space), tuple(kernel[axis] for axis in k_space))
    channels, out = x[x_in], kernel[k_out]
    if groups == len(channels) == len(out):
        ties.tie(channels, out)
    else:
        _contract(_across(channels, groups, ties), np.asarray(kernel[k_in]), ties)
        _across(out, groups, ties)
    places = {numbers.out_spec[0]: x[numbers.lhs_spec[0]], numbers.out_spec[1]: out}
    return tuple(places.get(axis, fixed(size)) for axis, size in enumerate(shape))


def _across(channels: np.ndarray, groups: int, ties: Ties) -> np.ndarray:
    """The channels of a group, to which those of the others are tied."""
    first, *others = np.split(channels, groups)
    for other in others:
        ties.tie(first, other)
    return first


def _reshape(equation: Any, labels: list[Labels], ties: Ties) -> Labels:
    shape, found, i = _shape(equation), [], 0
    ours = [axis for axis in labels[0] if len(axis) > 1]
    for sizes in _blocks([len(axis) for axis in ours], [n for n in shape if n > 1]):
        count, theirs = sizes
        found += _regrouped(ours[i : i + count], theirs, ties)
        i += count
    rest = iter(found)
    return tuple(next(rest) if size > 1 else fixed(1) for size in shape)


def _blocks(ours: list[int], theirs: list[int]) -> list[tuple[int, list[int]]]:
    """Runs of axes before and after that hold the same entries."""
    blocks, i, j = [], 0, 0
    while i < len(ours):
        begin, start, before, after = i, j, ours[i], theirs[j]
        while before != after:
            if before < after:
                i += 1
                before *= ours[i]
            else:
                j += 1
                after *= theirs[j]
        i, j = i + 1, j + 1
        blocks.append((i - begin, theirs[start:j]))
    return blocks


def _regrouped(axes: list[np.ndarray], shape: list[int], ties: Ties) -> list[np.ndarray]:
    """Labels after axes are merged or split, if one alone has any; else they stay."""
    if len(axes) == len(shape) == 1:
        return axes
    free = [i for i, axis in enumerate(axes) if (axis > FIXED).any()]
    if len(free) == 1 and len(shape) == 1:
        sizes = [len(axis) if i == free[0] else 1 for i, axis in enumerate(axes)]
        whole = np.broadcast_to(axes[free[0]].reshape(sizes), [len(axis) for axis in axes])
        return [whole.reshape(-1)]
    ties.fix(tuple(axes))
    return [fixed(size) for size in shape]


def _squeezed(equation: Any, labels: list[Labels], ties: Ties) -> Labels:
    return tuple(a for i, a in enumerate(labels[0]) if i not in equation.params["dimensions"])


RULES: dict[str, Callable[[Any, list[Labels], Ties], Any]] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(REDUCTIONS, _reduction),
    **dict.fromkeys(WINDOWS, _window),
    "broadcast_in_dim": _broadcast,
    "pad": _pad,
    "slice": _slice,
    "dynamic_slice": lambda equation, labels, ties: _slice(equation, labels[:1], ties),
    "concatenate": _concatenate,
    "dot_general": _dot,
    "conv_general_dilated": _convolution,
    "reshape": _reshape,
    "squeeze": _squeezed,
    "transpose": lambda equation, labels, ties: tuple(
        labels[0][axis] for axis in equation.params["permutation"]
    ),
}
