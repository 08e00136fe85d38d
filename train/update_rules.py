"""Update rules by name, `adamw:b2=0.95`: optax does the work, weight decay reaches kernels only.

A rule is `(schedule, decay, **arguments) -> transformation`. Decay is decoupled from the gradient
and multiplied by the rate, except where the docstring says otherwise.
"""

from collections.abc import Callable
from typing import Any

import jax
import optax
import optax.contrib

Transformation = optax.GradientTransformation
DECAYED = ("kernel", "embedding")


def decayed(params: Any) -> Any:
    """True for what weight decay reaches: leaves called as in `DECAYED`, and nothing else.

    Networks name their parameters accordingly. Biases, norms, class tokens, positions, stored
    patterns and the C and D of state spaces have other names and are never decayed.
    """

    def is_decayed(path: Any, leaf: Any) -> bool:
        names = [str(getattr(entry, "key", "")) for entry in path]
        return leaf.ndim > 1 and any(name in DECAYED for name in names[-1:])

    return jax.tree_util.tree_map_with_path(is_decayed, params)


def adamw(
    schedule: optax.Schedule,
    decay: float,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    nesterov: bool = False,
) -> Transformation:
    """Adam with decoupled decay (Loshchilov & Hutter 2019)."""
    options = {"b1": b1, "b2": b2, "eps": eps, "nesterov": nesterov}
    return optax.adamw(schedule, weight_decay=decay, mask=decayed, **options)


def adam(
    schedule: optax.Schedule,
    decay: float,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> Transformation:
    """Adam (Kingma & Ba 2015); decay is a part of the gradient, as in PyTorch's."""
    rule = optax.adam(schedule, b1=b1, b2=b2, eps=eps)
    return optax.chain(optax.add_decayed_weights(decay, mask=decayed), rule)


def sgd(
    schedule: optax.Schedule, decay: float, *, momentum: float = 0.9, nesterov: bool = True
) -> Transformation:
    """Gradient descent with momentum; decay is a part of the gradient."""
    return optax.chain(
        optax.add_decayed_weights(decay, mask=decayed),
        optax.sgd(schedule, momentum=momentum, nesterov=nesterov),
    )


def rmsprop(
    schedule: optax.Schedule,
    decay: float,
    *,
    rho: float = 0.9,
    momentum: float = 0.9,
    eps: float = 1e-3,
) -> Transformation:
    r"""RMSprop in TensorFlow's form, with which Inception, NASNet and EfficientNet were trained.

    .. math:: m = \rho m + (1 - \rho) g^2, \quad
        v = \mu v + \eta\, g / \sqrt{m + \epsilon}, \quad w = w - v

    where m begins at 1; PyTorch's adds the epsilon outside of the root, begins at 0 and multiplies
    by the rate last. Decay is a part of the gradient.
    """
    options = {"initial_scale": 1.0, "eps_in_sqrt": True, "momentum": momentum}
    rule = optax.rmsprop(schedule, decay=rho, eps=eps, **options)
    return optax.chain(optax.add_decayed_weights(decay, mask=decayed), rule)


def adadelta(
    schedule: optax.Schedule, decay: float, *, rho: float = 0.9, eps: float = 1e-6
) -> Transformation:
    """Updates as large as the last ones were (Zeiler 2012); decay is a part of the gradient."""
    rule = optax.adadelta(schedule, rho=rho, eps=eps)
    return optax.chain(optax.add_decayed_weights(decay, mask=decayed), rule)


def lamb(
    schedule: optax.Schedule,
    decay: float,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-6,
) -> Transformation:
    """Adam whose updates are as long as the weights (You et al. 2020)."""
    options = {"b1": b1, "b2": b2, "eps": eps}
    return optax.lamb(schedule, weight_decay=decay, mask=decayed, **options)


def lars(
    schedule: optax.Schedule, decay: float, *, momentum: float = 0.9, trust: float = 0.001
) -> Transformation:
    """Momentum on gradients as long as the weights (You et al. 2017); decay is in the gradient."""
    return optax.lars(
        schedule,
        weight_decay=decay,
        weight_decay_mask=decayed,
        trust_coefficient=trust,
        trust_ratio_mask=decayed,
        momentum=momentum,
    )


def lion(
    schedule: optax.Schedule, decay: float, *, b1: float = 0.9, b2: float = 0.99
) -> Transformation:
    """Signs of an average (Chen et al. 2023); wants a tenth of Adam's rate, ten times its decay."""
    return optax.lion(schedule, b1=b1, b2=b2, weight_decay=decay, mask=decayed)


def adafactor(
    schedule: optax.Schedule,
    decay: float,
    *,
    b2_power: float = 0.8,
    momentum: float | None = None,
    clip: float | None = 1.0,
    relative: bool = False,
) -> Transformation:
    """Second moments of rows and columns only (Shazeer & Stern 2018).

    With `relative` rates are shares of a parameter's size, as in the paper.
    """
    scaled = optax.adafactor(
        decay_rate=b2_power,
        momentum=momentum,
        clipping_threshold=clip,
        multiply_by_parameter_scale=relative,
    )
    return optax.chain(  # optax's own decay is not multiplied by the rate
        scaled,
        optax.scale(-1.0),
        optax.add_decayed_weights(decay, mask=decayed),
        optax.scale_by_learning_rate(schedule),
    )


def muon(
    schedule: optax.Schedule,
    decay: float,
    *,
    beta: float = 0.95,
    head: str = "head",
    b1: float = 0.9,
    b2: float = 0.999,
) -> Transformation:
    """Orthogonal updates of hidden kernels (Jordan 2024), AdamW for the head and all vectors.

    A kernel of a convolution counts as the matrix from all its inputs to its outputs. Updates have
    the root mean square of Adam's (Liu et al. 2025), so that one rate and decay serve both.
    """

    def is_matrix(path: Any, leaf: Any) -> bool:
        names = [str(getattr(entry, "key", "")) for entry in path]
        return leaf.ndim > 1 and names[-1] == "kernel" and names[0] != head

    def labels(params: Any) -> Any:
        name = lambda path, leaf: "matrix" if is_matrix(path, leaf) else "other"  # noqa: E731
        return jax.tree_util.tree_map_with_path(name, params)

    def numbers(kernels: Any) -> Any:
        to_matrix = optax.contrib.MuonDimensionNumbers
        return jax.tree.map(lambda k: to_matrix((*range(k.ndim - 1),), k.ndim - 1), kernels)

    orthogonal = optax.contrib.muon(
        schedule,
        beta=beta,
        weight_decay=decay,
        muon_weight_dimension_numbers=numbers,
        consistent_rms=0.2,
    )
    return optax.partition(
        {"matrix": orthogonal, "other": adamw(schedule, decay, b1=b1, b2=b2)}, labels
    )


RULES: dict[str, Callable[..., Transformation]] = {
    "adadelta": adadelta,
    "adafactor": adafactor,
    "adam": adam,
    "adamw": adamw,
    "lamb": lamb,
    "lars": lars,
    "lion": lion,
    "muon": muon,
    "rmsprop": rmsprop,
    "sgd": sgd,
}
