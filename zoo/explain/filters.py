r"""What each filter of a network is worth: criteria by which the least of them can be left out.

A filter is one output of a layer with a kernel; \(a\) are its activations in one example, and all
criteria are means over examples. Yeom et al. 2021, "Pruning by explaining",
https://arxiv.org/abs/1912.08881, compares them; the Taylor criterion is that of Molchanov et al.
2017, https://arxiv.org/abs/1611.06440.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict
from jaxtyping import Array, Float, Int, Key

from zoo.errors import UsageError, closest
from zoo.explain.propagation import relevance_slope

Worth = dict[str, Array]  # by the path of a layer, a number for each filter


def worth_of_filters(
    criterion: str,
    model: nn.Module,
    variables: Any,
    inputs: Float[Array, "b ..."],
    labels: Int[Array, " b"],
    *,
    key: Key[Array, ""] | None = None,
) -> Worth:
    r"""A number for each filter of each layer, by its path; the smallest are missed least.

    "random"; "magnitude", \(\sum |w|\); "gradient", \(|\sum \partial L / \partial a|\);
    "taylor", \(|\sum a\, \partial L / \partial a|\); "relevance", \(|\sum R|\) of the label's
    logit, see `zoo.explain.relevance`. L is the cross entropy, and sums are over places.

    Args:
        criterion: a name of those.
        model: module called as `model(inputs, train=False)`.
        variables: its variables.
        inputs: some examples.
        labels: their classes.
        key: of "random"; None is `jax.random.key(0)`.

    Raises:
        UsageError: there is no such criterion.
    """
    if criterion not in CRITERIA:
        raise UsageError(
            f"`criterion` must be one of {', '.join(CRITERIA)}; got {criterion!r}"
            f"{closest(criterion, CRITERIA)}"
        )
    return CRITERIA[criterion](
        model, variables, inputs, labels, jax.random.key(0) if key is None else key
    )


def _random(model: Any, variables: Any, inputs: Any, labels: Any, key: Any) -> Worth:
    kernels = _kernels(variables)
    keys = jax.random.split(key, len(kernels))
    pairs = zip(kernels.items(), keys, strict=True)
    return {path: jax.random.uniform(own, w.shape[-1:]) for (path, w), own in pairs}


def _magnitude(model: Any, variables: Any, inputs: Any, labels: Any, key: Any) -> Worth:
    return {
        path: jnp.abs(w).reshape(-1, w.shape[-1]).sum(0) for path, w in _kernels(variables).items()
    }


def _gradient(model: Any, variables: Any, inputs: Any, labels: Any, key: Any) -> Worth:
    _, slopes = _slopes_of_loss(model, variables, inputs, labels)
    return jax.tree.map(lambda g: jnp.abs(_over_places(g)).mean(0), slopes)


def _taylor(model: Any, variables: Any, inputs: Any, labels: Any, key: Any) -> Worth:
    activations, slopes = _slopes_of_loss(model, variables, inputs, labels)
    return jax.tree.map(lambda a, g: jnp.abs(_over_places(a * g)).mean(0), activations, slopes)


def _relevance(model: Any, variables: Any, inputs: Any, labels: Any, key: Any) -> Worth:
    found = relevance_of_filters(model, variables, inputs, labels)
    return jax.tree.map(lambda r: jnp.abs(r).mean(0), found)


CRITERIA: dict[str, Callable[..., Worth]] = {
    "random": _random,
    "magnitude": _magnitude,
    "gradient": _gradient,
    "taylor": _taylor,
    "relevance": _relevance,
}


def relevance_of_filters(
    model: nn.Module, variables: Any, inputs: Float[Array, "b ..."], target: Int[Array, " b"]
) -> dict[str, Array]:
    """Relevance of each filter for the logit of a class, (b, c), by the layer's path.

    In a chain of layers without biases, that of every layer sums to the logit.

    Args:
        model: module called as `model(inputs, train=False)`.
        variables: its variables.
        inputs: of the network.
        target: class of each example.
    """
    activations = _activations(model, variables, inputs)
    score = lambda added: _with_added(model, variables, inputs, added)[0]  # noqa: E731
    slopes = relevance_slope(score, jax.tree.map(jnp.zeros_like, activations), target)
    return jax.tree.map(lambda a, g: _over_places(a * g), activations, slopes)


def _slopes_of_loss(model: Any, variables: Any, inputs: Any, labels: Any) -> tuple[Any, Any]:
    """What layers put out, and the slope of each example's cross entropy in it."""

    def loss(added: Any) -> tuple[Array, Any]:
        logits, found = _with_added(model, variables, inputs, added)
        log_p = jax.nn.log_softmax(logits)
        return -jnp.take_along_axis(log_p, labels[:, None], axis=-1).sum(), found

    shapes = jax.eval_shape(lambda: _activations(model, variables, inputs))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    slopes, activations = jax.grad(loss, has_aux=True)(zeros)
    return activations, slopes


def _activations(model: Any, variables: Any, inputs: Any) -> dict[str, Array]:
    return _with_added(model, variables, inputs, {})[1]


def _with_added(model: Any, variables: Any, inputs: Any, added: Any) -> tuple[Array, Any]:
    """Logits when something is added to what layers put out, and what they put out."""
    with _listening(set(_kernels(variables)), added) as heard:
        logits = model.apply(variables, inputs, train=False)
    return logits, heard


@contextmanager
def _listening(layers: set[str], added: Any) -> Iterator[dict[str, Array]]:
    """Adds to what layers put out, and keeps it by their paths."""
    heard: dict[str, Array] = {}

    def listen(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        y, path = call(*args, **kwargs), "/".join(context.module.path)
        if path not in layers or context.method_name != "__call__" or not hasattr(y, "shape"):
            return y
        heard[path] = y
        return y + added[path] if path in added else y

    with nn.intercept_methods(listen):
        yield heard


def _kernels(variables: Any) -> dict[str, Array]:
    """Kernels by the paths of their layers."""
    flat: Any = flatten_dict(variables["params"])
    return {
        "/".join(p[:-1]): leaf for p, leaf in flat.items() if p[-1] == "kernel" and leaf.ndim > 1
    }


def _over_places(x: Float[Array, "b ... c"]) -> Float[Array, "b c"]:
    return x.reshape(len(x), -1, x.shape[-1]).sum(1)
