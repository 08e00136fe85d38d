r"""Attention rollout: which places the tokens that are read have looked at, through all layers.

.. math:: R = \prod_l \tfrac12 (\bar A_l + I)

with the mean \(\bar A_l\) of a layer's heads. Abnar & Zuidema 2020,
https://arxiv.org/abs/2005.00928, section 3.
"""

import math
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo import programs
from zoo.errors import UsageError
from zoo.explain.gradcam import stage_shapes


def attention_rollout(
    model: nn.Module, variables: Any, inputs: Float[Array, "b ... c"]
) -> Float[Array, "b ..."]:
    """Maps of what the class token, or the mean of all tokens, has attended to; of no class.

    The layers are those over all tokens of the last stage; where a network merges tokens between
    stages, what lies before the last merging is not in it.

    Args:
        model: a transformer with the method `features`.
        variables: its variables.
        inputs: of the network.

    Raises:
        UsageError: no layer attends over all tokens of the last stage.
    """
    return _maps(model, variables, inputs)


@partial(jax.jit, static_argnums=0)
def _maps(model: nn.Module, variables: Any, inputs: Any) -> Array:
    sides = stage_shapes(model, variables, inputs)[-1][1:-1]
    places, batch = math.prod(sides), len(inputs)
    closed = jax.make_jaxpr(lambda v, x: model.apply(v, x, train=False))(variables, inputs)
    met: list[Array] = []

    def apply(equation: Any, values: list[Any]) -> list[Any]:
        if inside := programs.body(equation):
            program, constants, skipped = inside
            return list(programs.run(program, constants, values[skipped:], apply))
        outputs = programs.bind(equation, values)
        if equation.primitive.name == "exp" and _attends(outputs[0].shape, batch, places):
            met.append(outputs[0])
        return outputs

    programs.run(closed.jaxpr, closed.consts, jax.tree.leaves((variables, inputs)), apply)
    if not met:
        raise UsageError(
            f"attention rollout is for transformers, and no layer of {type(model).__name__} attends"
            f" over all {places} tokens of its last stage; use `zoo.explain.gradcam`"
        )
    tokens = met[0].shape[-1]
    rolled = jnp.eye(tokens, dtype=met[0].dtype)[None]
    for exponentials in met:
        weights = (exponentials / exponentials.sum(axis=-1, keepdims=True)).mean(axis=1)
        rolled = (weights @ rolled + rolled) / 2
    read = rolled[:, 0, 1:] if tokens > places else rolled.mean(axis=1)
    maps = read.reshape(batch, *sides)
    return jax.image.resize(maps, (batch, *inputs.shape[1:-1]), "bilinear")


def _attends(shape: tuple[int, ...], batch: int, places: int) -> bool:
    """Whether numbers are weights of heads over all tokens, with or without a class token."""
    return len(shape) == 4 and shape[0] == batch and shape[2:] in ((places,) * 2, (places + 1,) * 2)
