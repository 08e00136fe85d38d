r"""Modern Hopfield networks as pure functions: energy, retrieval, and the association of layers.

Ramsauer et al. 2020, "Hopfield Networks is All You Need", https://arxiv.org/abs/2008.02217.
Stored patterns \(x_1 \dots x_n\) are the rows of \(X\), a state pattern is \(\xi\), and
\(\beta\) is the inverse temperature: the larger, the closer to the one nearest pattern.

Axes: `b` batch, `t` states, `s` stored patterns, `h` heads, `d` depth of the association,
`e` depth of what is read out.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from zoo.errors import UsageError
from zoo.layers.wide import wide


def energy(
    patterns: Float[Array, "n d"], state: Float[Array, "*b d2"], beta: float
) -> Float[Array, "*b"]:
    r"""Energy of states; never negative, and no update of `retrieve` increases it.

    .. math::
        E(\xi) = -\frac{1}{\beta} \ln \sum_i e^{\beta x_i \xi} + \frac{|\xi|^2}{2}
            + \frac{\ln n}{\beta} + \frac{\max_i |x_i|^2}{2}

    Equation 2 of the paper.

    Raises:
        UsageError: depths differ, there is no pattern, or `beta` is not positive.
    """
    _check(patterns, state, beta)
    scores = beta * _dot(state, patterns.T)
    largest = jnp.square(patterns).sum(axis=-1).max()
    attraction = jax.nn.logsumexp(scores, axis=-1) - jnp.log(len(patterns))
    return (jnp.square(state).sum(axis=-1) + largest) / 2 - attraction / beta


def retrieve(
    patterns: Float[Array, "n d"], state: Float[Array, "*b d2"], beta: float, steps: int = 1
) -> Float[Array, "*b d2"]:
    r"""States after `steps` updates, each of which moves them towards what they recall.

    .. math:: \xi \leftarrow X^\top \mathrm{softmax}(\beta X \xi)

    One update is usually enough: for well separated patterns the distance to the one stored is
    then exponentially small in \(\beta\) and the separation (equation 3 and theorem 5).

    Raises:
        UsageError: depths differ, there is no pattern, or `beta` or `steps` is out of range.
    """
    _check(patterns, state, beta)
    if steps < 0:
        raise UsageError(f"`steps` must be at least 0, got {steps}")

    def update(_: Any, state: Array) -> Array:
        return _dot(jax.nn.softmax(beta * _dot(state, patterns.T)), patterns)

    return jax.lax.fori_loop(0, steps, update, state)


class Mask(NamedTuple):
    """What a state may not recall, and what is added to scores; all shapes are (b|1, h|1, t, s).

    Attributes:
        allowed: False where an association is forbidden; None if all are allowed.
        bias: added to the scores; None for nothing.
    """

    allowed: Bool[Array, "b h t s"] | None = None
    bias: Float[Array, "b h t s"] | None = None


def merge_masks(
    padding: Array | None, association: Array | None, sizes: tuple[Any, int, int, int]
) -> Mask:
    """One mask from all shapes in which masks come.

    Args:
        padding: (b, s), True for stored patterns that are not there.
        association: (t, s), (b * h, t, s) with index `b * heads + h`, or (b, h, t, s) whose first
            two axes may be 1. True forbids; numbers are added to the scores, and -inf forbids.
        sizes: b, which may be symbolic, h, t and s.

    Raises:
        UsageError: a mask has another shape or dtype.
    """
    batch, _, states, stored = sizes
    allowed, bias = None, None
    if association is not None:
        association = _four_axes(association, sizes)
        if association.dtype == jnp.bool_:
            allowed = ~association
        else:
            allowed = association != -jnp.inf
            bias = jnp.where(allowed, association, 0)
    if padding is not None:
        if padding.shape != (batch, stored) or padding.dtype != jnp.bool_:
            raise UsageError(
                f"`padding_mask` must be boolean of shape ({batch}, {stored}), one row of stored "
                f"patterns for each example, got {padding.dtype} of {padding.shape}"
            )
        present = jnp.broadcast_to(~padding[:, None, None], (batch, 1, states, stored))
        allowed = present if allowed is None else allowed & present
    return Mask(allowed, bias)


def add_column(mask: Mask) -> Mask:
    """The mask beside one more stored pattern that everybody may recall."""
    ends = ((0, 0), (0, 0), (0, 0), (0, 1))
    allowed = None if mask.allowed is None else jnp.pad(mask.allowed, ends, constant_values=True)
    return Mask(allowed, None if mask.bias is None else jnp.pad(mask.bias, ends))


def weigh(
    q: Float[Array, "b t h d"], k: Float[Array, "b s h d"], beta: Float[Array, " h"], mask: Mask
) -> Float[Array, "b h t s"]:
    """Softmax of the masked scores, in at least float32; a row without any pattern is zero."""
    scores = _scores(q, k, beta, mask)
    if mask.allowed is None:
        return jax.nn.softmax(scores)
    top = jnp.where(mask.allowed, scores, -jnp.inf).max(axis=-1, keepdims=True)
    exponentials = _masked_exp(scores, mask.allowed, _finite(top))
    total = exponentials.sum(axis=-1, keepdims=True)
    return exponentials / jnp.where(total > 0, total, 1)


def iterate(
    q: Float[Array, "b t h d"],
    k: Float[Array, "b s h d"],
    beta: Float[Array, " h"],
    mask: Mask,
    *,
    steps: Int[Array, " h"],
    epsilon: Float[Array, " h"],
    limit: int,
    stop: Literal["sample", "batch"],
) -> Float[Array, "b h t s"]:
    """Associations after further updates of the states, every one of them differentiated.

    A head stops after its own number of `steps`, or when its matrix of associations has moved by
    no more than `epsilon` in Frobenius norm; it then keeps what it has.

    Args:
        q: states.
        k: stored patterns.
        beta: one per head.
        mask: applied in every step.
        steps: updates of each head beyond the first softmax.
        epsilon: threshold of each head.
        limit: the largest of `steps`; work stops earlier if all heads have.
        stop: whether each example stops by itself, or a head stops when the last example of
            the batch would. The second is what the authors' library does; it makes a result
            depend on what else is in the batch.
    """
    p = weigh(q, k, beta, mask)
    alone = stop == "sample"

    def step(carry: tuple[Array, Array], t: Array) -> tuple[tuple[Array, Array], None]:
        old, active = carry

        def update(p: Array) -> Array:
            moved = weigh(jnp.einsum("bhts,bshd->bthd", p, k), k, beta, mask)
            return jnp.where(active[:, :, None, None], moved, p)

        new = jax.lax.cond(active.any(), update, lambda p: p, old)
        distance = jnp.sqrt(jnp.square(jax.lax.stop_gradient(new - old)).sum(axis=(2, 3)))
        if not alone:
            distance = jnp.broadcast_to(distance.max(axis=0, keepdims=True), distance.shape)
        return (new, (t + 1 < steps)[None] & (distance > epsilon[None])), None

    active = jnp.broadcast_to((steps > 0)[None], p.shape[:2])
    return jax.lax.scan(step, (p, active), jnp.arange(limit))[0][0]


def read_at_once(
    q: Float[Array, "b t h d"],
    k: Float[Array, "b s h d"],
    v: Float[Array, "b s h e"],
    beta: Float[Array, " h"],
    mask: Mask,
) -> Float[Array, "b t h e"]:
    """What one softmax reads out, through `jax.nn.dot_product_attention`.

    That function takes its softmax in float32 always; float64 goes the plain way.
    """
    if q.dtype == jnp.float64:
        return jnp.einsum("bhts,bshe->bthe", weigh(q, k, beta, mask), v)
    depth, width = max(q.shape[-1], v.shape[-1]), v.shape[-1]
    q = q * beta[None, None, :, None].astype(q.dtype)
    q, k, v = (jnp.pad(x, (*((0, 0),) * 3, (0, depth - x.shape[-1]))) for x in (q, k, v))
    bias = None if mask.bias is None else mask.bias.astype(q.dtype)
    out = jax.nn.dot_product_attention(q, k, v, bias, mask.allowed, scale=1.0)[..., :width]
    if mask.allowed is None:
        return out
    anything = mask.allowed.any(axis=-1).swapaxes(1, 2)[..., None]  # (b, t, h, 1)
    return jnp.where(anything, out, 0)


class Reading(NamedTuple):
    """A softmax that has seen some of the stored patterns (Milakov & Gimelshein 2018).

    Attributes:
        top: largest score so far, -inf before the first.
        total: sum of the exponentials of scores less `top`.
        out: sum of what they read out.
    """

    top: Float[Array, "b h t"]
    total: Float[Array, "b h t"]
    out: Float[Array, "b h t e"]


def begin(q: Float[Array, "b t h d"], width: int, zero_association: bool) -> Reading:
    """A reading that has seen nothing yet, or a pattern of zeros that reads out zeros."""
    batch, states, heads, _ = q.shape
    dtype = wide(q.dtype)
    top = jnp.full((batch, heads, states), 0 if zero_association else -jnp.inf, dtype)
    total = jnp.full((batch, heads, states), 1 if zero_association else 0, dtype)
    return Reading(top, total, jnp.zeros((batch, heads, states, width), dtype))


def read_more(
    reading: Reading,
    q: Float[Array, "b t h d"],
    k: Float[Array, "b s h d"],
    v: Float[Array, "b s h e"],
    beta: Float[Array, " h"],
    mask: Mask,
    drop: Callable[[Array], Array],
) -> Reading:
    """The reading after some more stored patterns; `drop` is applied to their weights."""
    scores = _scores(q, k, beta, mask)
    allowed = jnp.ones(scores.shape, bool) if mask.allowed is None else mask.allowed
    allowed = jnp.broadcast_to(allowed, scores.shape)
    seen = jnp.where(allowed, scores, -jnp.inf).max(axis=-1)
    top = jax.lax.stop_gradient(jnp.maximum(reading.top, seen))
    shift = _finite(top)
    exponentials = _masked_exp(scores, allowed, shift[..., None])
    kept = jnp.exp(reading.top - shift)
    read = jnp.einsum("bhts,bshe->bhte", drop(exponentials), v.astype(scores.dtype))
    return Reading(
        top, reading.total * kept + exponentials.sum(axis=-1), reading.out * kept[..., None] + read
    )


def end(reading: Reading) -> Float[Array, "b t h e"]:
    """What has been read out; zero where nothing was allowed."""
    total = jnp.where(reading.total > 0, reading.total, 1)
    return (reading.out / total[..., None]).swapaxes(1, 2)


def _scores(q: Array, k: Array, beta: Array, mask: Mask) -> Float[Array, "b h t s"]:
    dtype = wide(q.dtype)
    scores = jnp.einsum("bthd,bshd->bhts", q, k, preferred_element_type=dtype)
    scores = scores * beta[None, :, None, None].astype(dtype)
    return scores if mask.bias is None else scores + mask.bias.astype(dtype)


def _masked_exp(scores: Array, allowed: Array, shift: Array) -> Array:
    """Exponentials of the allowed scores less `shift`, else 0; gradients are finite everywhere."""
    safe = jnp.where(allowed, scores - jax.lax.stop_gradient(shift), 0)
    return jnp.where(allowed, jnp.exp(safe), 0)


def _finite(x: Array) -> Array:
    return jnp.where(x == -jnp.inf, 0, x)


def _four_axes(mask: Array, sizes: tuple[Any, int, int, int]) -> Array:
    batch, heads, states, stored = sizes
    if mask.dtype != jnp.bool_ and not jnp.issubdtype(mask.dtype, jnp.floating):
        raise UsageError(f"`association_mask` must be boolean or floating, got {mask.dtype}")
    if mask.shape == (states, stored):
        return mask[None, None]
    if mask.shape == (batch * heads, states, stored):
        return mask.reshape(sizes)
    fits = mask.ndim == 4 and mask.shape[0] in (1, batch) and mask.shape[1] in (1, heads)
    if fits and mask.shape[2:] == (states, stored):
        return mask
    raise UsageError(
        f"`association_mask` must have the shape ({states}, {stored}), "
        f"({batch * heads}, {states}, {stored}) or ({batch}, {heads}, {states}, {stored}): "
        f"states by stored patterns, for each example and head; got {mask.shape}"
    )


def _dot(x: Array, y: Array) -> Array:
    return jnp.matmul(x, y, precision=jax.lax.Precision.HIGHEST)


def _check(patterns: Array, state: Array, beta: float) -> None:
    if patterns.ndim != 2 or not len(patterns) or patterns.shape[-1] != state.shape[-1]:
        raise UsageError(
            "`patterns` must be rows as deep as `state`, at least one, "
            f"got {patterns.shape} for a state of {state.shape}"
        )
    if isinstance(beta, int | float) and not beta > 0:
        raise UsageError(f"`beta` must be positive, got {beta}")
