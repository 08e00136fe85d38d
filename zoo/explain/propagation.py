r"""Explanations by other rules of propagation than the gradient's, for any traced network.

Each rule replaces the derivative of operations that are not linear, and of products of two numbers
that both depend on the input; everything linear keeps its own. What stands in a loop (`scan`,
`while`) and maxima over axes or windows keep theirs too.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal
from jaxtyping import Array, Float

from zoo import programs
from zoo.errors import UsageError
from zoo.explain.gradients import Baseline, Score, Target, chosen, like

stop = jax.lax.stop_gradient


class Followed(NamedTuple):
    """A number that depends on the input.

    Attributes:
        value: for the input.
        reference: for the baseline; the value itself where a rule knows no baseline.
    """

    value: Any
    reference: Any


Rule = Callable[[Any, list[Any]], Any]
# What is applied to each number alone and is not linear.
BENT = ("max", "min", "clamp", "abs", "exp", "exp2", "expm1", "log", "log1p", "tanh", "logistic")
BENT += ("erf", "erfc", "sqrt", "rsqrt", "cbrt", "square", "integer_pow", "pow", "sin", "cos")
PRODUCTS = ("mul", "dot_general", "conv_general_dilated")
NEARLY_ZERO = 1e-6  # differences below this share of the numbers are those of rounding


def guided_backpropagation(
    score: Score, inputs: Float[Array, "b ..."], target: Target
) -> Float[Array, "b ..."]:
    """The gradient, of which every ReLU lets only what is positive pass backwards.

    Springenberg et al. 2015, https://arxiv.org/abs/1412.6806, section 3.4.

    Args:
        score: inputs -> scores of classes, (b, k).
        inputs: of the network.
        target: the class that is explained, one number or one per example.

    Raises:
        UsageError: the network has no ReLU.
    """
    met: list[bool] = []

    def guided(equation: Any, values: list[Any]) -> Any:
        if not _is_rectifier(equation, values):
            return _as_it_is(equation, values)
        met.append(True)
        ours = [v.value if isinstance(v, Followed) else v for v in values]
        return _twice(_positive_backwards(programs.bind(equation, ours)[0]))

    found = _propagated(score, inputs, inputs, target, {"max": guided, "clamp": guided})
    if not met:
        raise UsageError(
            "guided backpropagation changes the gradient of ReLUs, and the network has none; use "
            "`zoo.explain.deep_lift`"
        )
    return found


def deep_lift(
    score: Score, inputs: Float[Array, "b ..."], target: Target, *, baseline: Baseline = 0.0
) -> Float[Array, "b ..."]:
    r"""How much each number of the input adds to the difference from a baseline.

    Of a bent operation, the multiplier is \((f(x) - f(x_0)) / (x - x_0)\); of a product \(a b\),
    \(\Delta(ab) = \bar b\, \Delta a + \bar a\, \Delta b\) with the means of input and baseline. So
    the sum is \(s_t(x) - s_t(x_0)\), but for maxima over axes. Shrikumar et al. 2017,
    https://arxiv.org/abs/1704.02685, the rescale rule.

    Args:
        score: inputs -> scores of classes, (b, k).
        inputs: of the network.
        target: the class that is explained, one number or one per example.
        baseline: the input that says nothing, in units of the network's input; broadcasts.
    """
    start = jnp.broadcast_to(like(baseline, inputs), inputs.shape)
    rules = dict.fromkeys(BENT, _rescaled) | dict.fromkeys(PRODUCTS, _mean_product)
    rules |= {"div": _mean_quotient, "select_n": _mean_choice, "stop_gradient": _held}
    return (inputs - start) * _propagated(score, inputs, start, target, rules)


def relevance(
    score: Score, inputs: Float[Array, "b ..."], target: Target, *, epsilon: float = 1e-6
) -> Float[Array, "b ..."]:
    r"""Relevance propagation: the score, handed back to what added to it.

    .. math:: R_i = \sum_j \frac{x_i w_{ij}}{z_j + \epsilon\, \mathrm{sign}(z_j)} R_j

    Bach et al. 2015, https://doi.org/10.1371/journal.pone.0130140, equation 58. Gates, attention
    weights and the scales of norms count as constants (Arras et al. 2017; Ali et al. 2022,
    https://arxiv.org/abs/2202.07304); two factors share alike. Nothing is lost but what biases
    and constants take.

    Args:
        score: inputs -> scores of classes, (b, k).
        inputs: of the network.
        target: the class that is explained, one number or one per example.
        epsilon: what keeps divisors from zero; larger values leave weak evidence out.
    """
    return inputs * relevance_slope(score, inputs, target, epsilon=epsilon)


def relevance_slope(score: Score, inputs: Any, target: Target, *, epsilon: float = 1e-6) -> Any:
    """Relevance of each number over that number, which is finite where the number is zero.

    With zeros that are added to what stands inside a network, it is the slope of that.

    Args:
        score: inputs -> scores of classes, (b, k).
        inputs: of the network, or any tree of arrays that the score depends on.
        target: the class that is explained, one number or one per example.
        epsilon: as of `relevance`.
    """

    def kept(equation: Any, values: list[Any]) -> Any:
        """f(x) / x, of what is zero at zero."""
        if sum(isinstance(v, Followed) for v in values) > 1:
            return _as_it_is(equation, values)
        x, y = _of(values), programs.bind(equation, [_value(v) for v in values])[0]
        share = y / (x + epsilon * jnp.where(x < 0, -1, 1).astype(x.dtype))
        return _twice(_by_slope(stop(y), (stop(share), x)))

    def shared(equation: Any, values: list[Any]) -> Any:
        """A product of two, or of two alike halves."""
        found = _as_it_is(equation, values)
        if not all(isinstance(v, Followed) for v in values[:2]):
            return found
        return _twice(stop(found.value) + 0.5 * (found.value - stop(found.value)))

    rules: dict[str, Rule] = {**dict.fromkeys(BENT, _constant), **dict.fromkeys(PRODUCTS, shared)}
    rules |= dict.fromkeys(("max", "min", "clamp", "tanh"), kept) | {"div": _constant_divisor}
    return _propagated(score, inputs, inputs, target, rules)


def _propagated(
    score: Score, inputs: Any, start: Any, target: Target, rules: Mapping[str, Rule]
) -> Any:
    """The gradient of the target's score under other rules."""
    closed = jax.make_jaxpr(score)(inputs)

    def apply(equation: Any, values: list[Any]) -> list[Any]:
        if not any(isinstance(v, Followed) for v in values):
            return programs.bind(equation, values)
        if rule := rules.get(equation.primitive.name):
            return [rule(equation, values)]
        inside = programs.body(equation)
        if inside is None or _is_linear(equation, inside[0], values, rules):
            return _both(equation, values)
        program, constants, skipped = inside
        return programs.run(program, constants, values[skipped:], apply)

    def total(x: Any) -> Array:
        ours, theirs = (jax.tree.leaves(tree) for tree in (x, x if start is inputs else start))
        followed = [Followed(*pair) for pair in zip(ours, theirs, strict=True)]
        scores = programs.run(closed.jaxpr, closed.consts, followed, apply)[0]
        return chosen(_value(scores), target).sum()

    return jax.grad(total)(inputs)


def _is_linear(equation: Any, program: Any, values: list[Any], rules: Mapping[str, Rule]) -> bool:
    """Whether a function with a derivative of its own is linear in the one input that it follows.

    Such a derivative is there because it is fast.
    """
    bent = [name for name in rules if name not in (*PRODUCTS, "div", "select_n")]
    alone = sum(isinstance(v, Followed) for v in values) == 1
    return programs.is_custom(equation) and alone and not programs.operations(program) & {*bent}


def _value(v: Any) -> Any:
    return v.value if isinstance(v, Followed) else v


def _reference(v: Any) -> Any:
    return v.reference if isinstance(v, Followed) else v


def _twice(value: Any) -> Followed:
    return Followed(value, value)


def _of(values: list[Any]) -> Any:
    """The value of the one input that is followed."""
    return next(v.value for v in values if isinstance(v, Followed))


def _both(equation: Any, values: list[Any]) -> list[Any]:
    """An operation with its own derivative, for input and baseline."""
    ours = programs.bind(equation, [_value(v) for v in values])
    if all(v.value is v.reference for v in values if isinstance(v, Followed)):
        return [_twice(value) for value in ours]
    theirs = programs.bind(equation, [_reference(v) for v in values])
    return [Followed(*pair) for pair in zip(ours, theirs, strict=True)]


def _as_it_is(equation: Any, values: list[Any]) -> Any:
    return _both(equation, values)[0]


def _by_slope(value: Any, *terms: tuple[Any, Any]) -> Any:
    """A number whose derivatives are given: pairs of slope and what it is a slope of."""
    for slope, x in terms:  # padding may be infinite, and infinity less itself is not a number
        value = value + slope * jnp.where(jnp.isfinite(x), x - stop(x), 0)
    return value


def _slope(difference: Any, change: Any, size: Any, otherwise: Any) -> Any:
    """A difference over a change, or another slope where the change is as good as none."""
    tiny = ~(jnp.abs(change) > NEARLY_ZERO * (1 + jnp.abs(size)))  # also where it is not a number
    return stop(jnp.where(tiny, otherwise, difference / jnp.where(tiny, 1, change)))


def _rescaled(equation: Any, values: list[Any]) -> Any:
    """A bent operation by the slope between baseline and input; of two inputs by their choice."""
    found = _as_it_is(equation, values)
    if sum(isinstance(v, Followed) for v in values) > 1:
        return _mean_maximum(equation, values, found)
    x = next(v for v in values if isinstance(v, Followed))
    function = lambda a: programs.bind(  # noqa: E731
        equation, [a if isinstance(v, Followed) else v for v in values]
    )[0]
    _, tangent = jax.jvp(function, (x.value,), (jnp.ones_like(x.value),))
    change, difference = x.value - x.reference, found.value - found.reference
    slope = _slope(difference, change, x.value, tangent)
    return found._replace(value=_by_slope(stop(found.value), (slope, x.value)))


def _mean_maximum(equation: Any, values: list[Any], found: Any) -> Any:
    """The larger one is a + ReLU(b - a), and the smaller alike; others keep their derivative."""
    if equation.primitive.name not in ("max", "min"):
        return found
    return _between(values[0], values[1], found)


def _between(a: Followed, b: Followed, found: Followed) -> Followed:
    """What is a or b: a plus a share of b - a, by the slope of that between baseline and input."""
    apart, before = b.value - a.value, b.reference - a.reference
    moved = (found.value - a.value) - (found.reference - a.reference)
    now = jnp.where(found.value == b.value, 1, 0).astype(apart.dtype)
    share = _slope(moved, apart - before, apart, now)
    value = _by_slope(stop(found.value), (1 - share, a.value), (share, b.value))
    return found._replace(value=value)


def _mean_product(equation: Any, values: list[Any]) -> Any:
    """A product of two followed numbers: each by the mean of the other."""
    found = _as_it_is(equation, values)
    if not all(isinstance(v, Followed) for v in values):
        return found
    a, b = values
    times = lambda x, y: programs.bind(equation, [x, y])[0]  # noqa: E731
    mean_a, mean_b = (stop(0.5 * (v.value + v.reference)) for v in (a, b))
    change = times(a.value - stop(a.value), mean_b) + times(mean_a, b.value - stop(b.value))
    return found._replace(value=stop(found.value) + change)


def _mean_quotient(equation: Any, values: list[Any]) -> Any:
    """The quotient a / b as a product of a and 1 / b, which is bent."""
    found, (a, b) = _as_it_is(equation, values), values
    if not isinstance(b, Followed):
        return found
    inverse, before = 1 / b.value, 1 / b.reference
    slope = _slope(inverse - before, b.value - b.reference, b.value, -jnp.square(inverse))
    of_a = stop(0.5 * (inverse + before))
    of_b = stop(0.5 * (_value(a) + _reference(a))) * slope
    terms = [(of_a, a.value)] if isinstance(a, Followed) else []
    return found._replace(value=_by_slope(stop(found.value), *terms, (of_b, b.value)))


def _mean_choice(equation: Any, values: list[Any]) -> Any:
    """A choice between two numbers, which may be another one at the baseline."""
    found = _as_it_is(equation, values)
    if len(values) != 3 or not all(isinstance(v, Followed) for v in values):
        return found
    return _between(values[1], values[2], found)


def _held(equation: Any, values: list[Any]) -> Any:
    """What the network holds constant is the same constant for the baseline."""
    return programs.bind(equation, [_value(v) for v in values])[0]


def _constant(equation: Any, values: list[Any]) -> Any:
    return stop(programs.bind(equation, [_value(v) for v in values])[0])


def _constant_divisor(equation: Any, values: list[Any]) -> Any:
    a, b = values
    return _as_it_is(equation, [a, stop(_value(b))])


def _is_rectifier(equation: Any, values: list[Any]) -> bool:
    """Whether an operation is max(x, 0), or a clamp from 0 upwards."""
    if equation.primitive.name == "max":
        followed = [isinstance(v, Followed) for v in values]
        return followed.count(True) == 1 and _is_zero(equation.invars[followed.index(False)])
    return _is_zero(equation.invars[0])


def _is_zero(atom: Any) -> bool:
    return isinstance(atom, Literal) and not np.any(atom.val)


@jax.custom_vjp
def _positive_backwards(x: Array) -> Array:
    return x


_positive_backwards.defvjp(lambda x: (x, None), lambda _, g: (jnp.maximum(g, 0),))
