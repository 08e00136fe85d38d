"""Everything a run needs to go on, as one tree of arrays."""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, Key


class TrainState(flax.struct.PyTreeNode):
    """State between two updates.

    Attributes:
        step: updates made.
        params: parameters, float32.
        batch_stats: running statistics of batch norms; empty for models without.
        opt_state: state of the optax transformation.
        ema: moving average of the parameters, or None.
        key: typed random key of the run; step n draws from it folded with n.
    """

    step: Int[Array, ""]
    params: Any
    batch_stats: Any
    opt_state: optax.OptState
    ema: Any
    key: Key[Array, ""]

    @property
    def variables(self) -> dict[str, Any]:
        """What is evaluated and published: averaged parameters if there are any."""
        params = self.params if self.ema is None else self.ema
        return {"params": params, "batch_stats": self.batch_stats}


def create_state(
    model: nn.Module,
    variables: dict[str, Any],
    optimizer: optax.GradientTransformation,
    *,
    key: Key[Array, ""],
    ema: bool = False,
) -> TrainState:
    """The state before the first update.

    Args:
        model: the module that `variables` belong to; tells apart what it does not own.
        variables: `{"params": ..., "batch_stats": ...}`, copied to the default device.
        optimizer: transformation that `make_train_step` will use.
        key: typed random key of the run.
        ema: keep a moving average of the parameters.
    """
    del model  # the surface names it; a state is plain data
    variables = jax.tree.map(lambda x: jnp.array(x, copy=True), variables)
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        opt_state=optimizer.init(params),
        ema=jax.tree.map(lambda x: jnp.array(x, copy=True), params) if ema else None,
        key=key,
    )
