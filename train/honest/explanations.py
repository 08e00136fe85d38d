"""The methods of `zoo.explain` by name, each as a map of what a network saw, with its figures."""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from checkpoints.preprocess import Preprocess, SequencePreprocess
from checkpoints.pretrained import Pretrained
from zoo import explain
from zoo.errors import UsageError, closest

CELLS, SUBSETS, ORDERS = 8, 400, 8  # of segments: cells an axis, subsets for LIME, orders


class Question(NamedTuple):
    """What is explained.

    Attributes:
        model: the network.
        variables: its weights.
        score: inputs -> logits.
        inputs: one batch.
        target: class of each.
        baseline: the input that says nothing.
        stage: where Grad-CAM looks; None is its choice.
    """

    model: nn.Module
    variables: Any
    score: Callable[[Any], Any]
    inputs: Any
    target: Any
    baseline: Any
    stage: str | None


class Explanation(NamedTuple):
    """A map, (h, w), at least 0, and its figures: deletion, insertion, entropy, seconds."""

    map: Float[np.ndarray, "h w"]
    figures: Mapping[str, float]


class Method(NamedTuple):
    """How a map is made, and how many passes through the network that takes for one picture."""

    map: Callable[[Question], Any]
    passes: Callable[[int], int]


def _gradient(function: Callable[..., Any], *names: str, **options: Any) -> Any:
    """A method of `zoo.explain.gradients` or `propagation`, as the magnitude at each place."""

    def run(q: Question) -> Array:
        given = {name: getattr(q, name) for name in names}
        return explain.heat(function(q.score, q.inputs, q.target, **given, **options))

    return run


def _smooth_grad(score: Any, inputs: Any, target: Any) -> Array:
    return explain.smooth_grad(score, inputs, target, jax.random.key(0))


def _gradcam(q: Question) -> Array:
    return explain.gradcam(q.model, q.variables, q.inputs, q.target, stage=q.stage)


def _rollout(q: Question) -> Array:
    return explain.attention_rollout(q.model, q.variables, q.inputs)


def window_of(side: int) -> int:
    """Side of the window that hides a part of a picture."""
    return max(1, side // 6)


def _occlusion(q: Question) -> Array:
    window = window_of(min(q.inputs.shape[1:-1]))
    fall = explain.occlusion(q.score, q.inputs, q.target, window=window, baseline=q.baseline)
    return jax.nn.relu(fall)


def _windows(side: int) -> int:
    window = window_of(side)
    return len(range(0, side - window, max(1, window // 2))) + 1


def _segments(function: Callable[..., Any], **options: Any) -> Any:
    def run(q: Question) -> Array:
        segments, key = explain.grid(q.inputs.shape[1:-1], CELLS), jax.random.key(0)
        found = function(
            *(q.score, q.inputs, q.target, key),
            segments=segments,
            baseline=q.baseline,
            **options,
        )
        return jax.nn.relu(explain.painted(found, segments))

    return run


def _cells(side: int) -> int:
    return min(side, CELLS) ** 2


METHODS: dict[str, Method] = {
    "saliency": Method(_gradient(explain.saliency), lambda side: 2),
    "input_times_gradient": Method(
        _gradient(explain.input_times_gradient, "baseline"), lambda side: 2
    ),
    "smooth_grad": Method(_gradient(_smooth_grad), lambda side: 50),
    "integrated": Method(_gradient(explain.integrated_gradients, "baseline"), lambda side: 100),
    "guided": Method(_gradient(explain.guided_backpropagation), lambda side: 2),
    "deep_lift": Method(_gradient(explain.deep_lift, "baseline"), lambda side: 3),
    "relevance": Method(_gradient(explain.relevance), lambda side: 2),
    "gradcam": Method(_gradcam, lambda side: 2),
    "rollout": Method(_rollout, lambda side: 1),
    "occlusion": Method(_occlusion, lambda side: 1 + _windows(side) ** 2),
    "lime": Method(_segments(explain.lime, samples=SUBSETS), lambda side: SUBSETS),
    "shapley": Method(
        _segments(explain.shapley, orders=ORDERS), lambda side: ORDERS * (_cells(side) + 1)
    ),
}
OF_FIGURES = 2 * (explain.STEPS + 1)  # passes for deletion and insertion


def check_methods(names: Sequence[str]) -> None:
    """Refuses names that are no methods.

    Raises:
        UsageError: there is none, or no such one.
    """
    if not names:
        raise UsageError(f"`method` must name some of {', '.join(METHODS)}")
    for name in names:
        if name not in METHODS:
            raise UsageError(
                f"`method` must name some of {', '.join(METHODS)}; got {name!r}"
                f"{closest(name, METHODS)}"
            )


def check_pictures(preprocess: Preprocess) -> None:
    """Refuses weights that read no pictures.

    Raises:
        UsageError: they read series of numbers.
    """
    if isinstance(preprocess, SequencePreprocess):
        raise UsageError(
            "`weights` must read pictures, and these read series of numbers; explain those from "
            "Python, as in `zoo.explain.occlusion(score, series, target, window=5)`, whose maps "
            "are curves over time"
        )


def passes(names: Sequence[str], side: int) -> int:
    """Passes through the network for one picture, those of the figures included."""
    return sum(METHODS[name].passes(side) + OF_FIGURES for name in names)


def explained(
    loaded: Pretrained,
    name: str,
    image: Float[np.ndarray, "h w c"],
    target: int,
    *,
    baseline: float = 0.0,
    stage: str | None = None,
) -> Explanation:
    """What one method finds in one prepared picture.

    Args:
        loaded: the network.
        name: in `METHODS`.
        image: prepared for it.
        target: the class that is explained.
        baseline: what hides and what is compared with: a shade from 0, black, to 1, white.
        stage: where Grad-CAM looks; None is its choice.

    Raises:
        UsageError: the network does not have what the method needs, or the map is zero everywhere.
    """
    black = (baseline - np.asarray(loaded.preprocess.mean)) / np.asarray(loaded.preprocess.std)
    arguments = loaded.variables, jnp.asarray(image)[None], jnp.asarray([target])
    compiled = _compiled(loaded.model, name, stage, tuple(black.tolist()))
    begin = time.perf_counter()
    found = np.asarray(compiled.map(*arguments))
    seconds = time.perf_counter() - begin
    if not found.any():
        raise UsageError(
            f"the map of `{name}` is zero everywhere: it finds nothing that speaks for class "
            f"{target}; explain another class, or use another method"
        )
    deletion, insertion, entropy = compiled.figures(*arguments, jnp.asarray(found))
    figures = {"deletion": deletion, "insertion": insertion, "entropy": entropy}
    numbers = {name: float(np.asarray(value)[0]) for name, value in figures.items()}
    return Explanation(found[0], numbers | {"seconds": seconds})


class _Compiled(NamedTuple):
    map: Callable[..., Any]
    figures: Callable[..., Any]


@functools.lru_cache(maxsize=32)
def _compiled(
    model: nn.Module, name: str, stage: str | None, baseline: tuple[float, ...]
) -> _Compiled:
    black = np.asarray(baseline, np.float32)

    def find(variables: Any, inputs: Any, target: Any) -> Array:
        score = functools.partial(model.apply, variables, train=False)
        question = Question(model, variables, score, inputs, target, black, stage)
        return METHODS[name].map(question)

    return _Compiled(jax.jit(find), functools.partial(_figures, model, baseline))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _figures(
    model: nn.Module, baseline: tuple[float, ...], variables: Any, inputs: Any, target: Any, m: Any
) -> tuple[Array, ...]:
    score: Any = functools.partial(model.apply, variables, train=False)
    black = np.asarray(baseline, np.float32)
    areas = [f(score, inputs, m, target, baseline=black) for f in AREAS]
    return *areas, explain.entropy(m)


AREAS = explain.deletion, explain.insertion
