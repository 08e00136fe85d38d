"""What share of its devices' peak a run uses."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from train.beginning import fresh_state
from train.objective import Batch
from train.plan import Plan
from train.roofline import PEAKS
from train.step import make_train_step
from zoo.cost import count_flops


def share_per_rate(planned: Plan, mesh: Mesh) -> float | None:
    r"""Model FLOPs utilisation for each example per second, \(F / (n F_{max})\).

    F counts what `flops_per_example` does. Chowdhery et al. 2022, "PaLM", appendix B,
    https://arxiv.org/abs/2204.02311.

    Args:
        planned: the run.
        mesh: of n devices.

    Returns:
        None where the devices' peak is not known.
    """
    peak = PEAKS.get(mesh.devices.flat[0].device_kind)
    return None if peak is None else flops_per_example(planned) / (mesh.size * peak.flops)


def flops_per_example(planned: Plan) -> float:
    """Floating-point operations of an update for each of its examples.

    Those of all convolutions and matrix products of the update as it is traced, there and back and
    of a method's further passes, without what rematerialisation computes again.
    """
    model, label = planned.network.model, np.asarray(planned.training[0]["label"])
    if getattr(model, "remat", False):
        model = model.clone(remat=False)
    method = {"objective": planned.objective, "parameters": planned.parameters}
    step = make_train_step(model, planned.optimizer, **method)
    count = planned.config.batch_size
    batch = {
        "input": jax.ShapeDtypeStruct((count, *planned.network.card.preprocess.shape), jnp.float32),
        "label": jax.ShapeDtypeStruct((count, *label.shape), jnp.result_type(label)),
    }

    def update(batch: Batch) -> Any:
        state = fresh_state(planned)
        return step(state, batch, state.key)

    return count_flops(update, batch) / count
