r"""Logits as lengths and angles: what pruning, or a corrupted input, does to a classifier.

.. math:: z_k = |w_k| |f| \cos(w_k, f) + b_k

with the features f that the last linear layer reads. What is lost may be the length of the
features, which leaves the answer, or the angle to the right class, which does not. Li et al. 2022,
"Understanding Robustness Lottery", https://arxiv.org/abs/2206.07918, compares pruned networks so.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from zoo.errors import UsageError


class Geometry(NamedTuple):
    """The last layer's view of some examples.

    Attributes:
        weights: length of each class's weights.
        features: length of each example's features.
        cosines: of the angles between them.
        biases: of the classes.
    """

    weights: Float[Array, " k"]
    features: Float[Array, " b"]
    cosines: Float[Array, "b k"]
    biases: Float[Array, " k"]

    @property
    def logits(self) -> Float[Array, "b k"]:
        """What the network answers."""
        return self.weights[None] * self.features[:, None] * self.cosines + self.biases[None]

    def angles(self, labels: Int[Array, " b"]) -> Float[Array, " b"]:
        """Between features and the weights of the right class, in degrees."""
        cosines = jnp.take_along_axis(self.cosines, labels[:, None], axis=1)[:, 0]
        return jnp.degrees(jnp.arccos(jnp.clip(cosines, -1, 1)))

    def margins(self, labels: Int[Array, " b"]) -> Float[Array, " b"]:
        """How far the right logit is above the largest other one."""
        is_right = jnp.arange(self.logits.shape[1])[None] == labels[:, None]
        right = jnp.where(is_right, self.logits, 0).sum(1)
        return right - jnp.where(is_right, -jnp.inf, self.logits).max(1)


def geometry(model: nn.Module, variables: Any, inputs: Float[Array, "b ..."]) -> Geometry:
    """Lengths and angles of a classifier's last layer.

    Args:
        model: module called as `model(inputs, train=False)`.
        variables: its variables.
        inputs: of the network.

    Raises:
        UsageError: logits do not come from a linear layer.
    """
    read: list[tuple[Any, Array, Array]] = []

    def listen(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        y = call(*args, **kwargs)
        if isinstance(context.module, nn.Dense):
            read.append((context.module.path, args[0], y))
        return y

    with nn.intercept_methods(listen):
        logits: Any = model.apply(variables, inputs, train=False)
    if not read or read[-1][2] is not logits:
        raise UsageError("the geometry of a network needs logits that come from a linear layer")
    path, features, _ = read[-1]
    layer = variables["params"]
    for name in path:
        layer = layer[name]
    kernel, bias = layer["kernel"], layer.get("bias", jnp.zeros(logits.shape[-1]))
    lengths = jnp.linalg.norm(kernel, axis=0), jnp.linalg.norm(features, axis=-1)
    product = jnp.maximum(lengths[0][None] * lengths[1][:, None], jnp.finfo(features.dtype).tiny)
    return Geometry(*lengths, features @ kernel / product, bias)


def change_of_geometry(
    before: Geometry, after: Geometry, labels: Int[Array, " b"]
) -> dict[str, Float[Array, " k"]]:
    """What changed, as a mean over the examples of each class; NaN where there are none.

    "length", of the features, as a ratio less one; "angle", to the right class, in degrees;
    "margin", of the right logit.

    Args:
        before: of the whole network, or of clean inputs.
        after: of the pruned one, or of corrupted inputs; the same examples.
        labels: their classes.
    """
    changes = {
        "length": after.features / jnp.maximum(before.features, 1e-30) - 1,
        "angle": after.angles(labels) - before.angles(labels),
        "margin": after.margins(labels) - before.margins(labels),
    }
    member = (jnp.arange(len(before.weights))[:, None] == labels[None]).astype(jnp.float32)
    counts = member.sum(1)
    return {name: member @ change / counts for name, change in changes.items()}
