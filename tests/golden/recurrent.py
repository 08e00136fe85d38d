"""Checks of the layer-normalised LSTM against PyTorch's cell and the paper's equations."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import checkpoints
from tests.golden import fill
from tests.golden.compare import gradient_error, norms, relative
from tests.golden.repositories import parse_call
from zoo.errors import UsageError
from zoo.layers.recurrent import LayerNormLSTM, LSTMState

# What a case records of each form: outputs and the last cell.
RECORDED = {"normalised": ("output", "final_c"), "raw": ("output_paper", "final_c_paper")}


def lnlstm_errors(case: Mapping[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """Errors of both forms in float32 and float64; of PyTorch's loss gradients, mean(output²)."""
    layer = partial(LayerNormLSTM, hidden_size(case))
    errors = {"logits": output_error(layer, case, arrays, np.float32)}
    with jax.enable_x64(True):
        exact = partial(layer, dtype=jnp.float64)
        errors["float64"] = output_error(exact, case, arrays, np.float64)
        if "grad_names" in arrays:
            model, (variables, *inputs) = exact("normalised"), given(case, layer(), np.float64)

            def loss(params: Any) -> Any:
                return jnp.square(model.apply({"params": params}, *inputs, train=False)[1]).mean()

            gradients = {"params": jax.jit(jax.grad(loss))(variables["params"])}
            found = norms(model, gradients, "pytorch")
            errors["gradients"] = gradient_error(found, arrays, case["zero_grad_params"])
    return errors


def hidden_size(case: Mapping[str, Any]) -> int:
    """Channels of the state, for a cell that we have."""
    function = parse_call(case["source"]["constructor"])[1].function
    if function != "LayerNormLSTMCell":
        raise UsageError(f"no layer is known for {function!r}")
    return case["config"]["hidden_size"]


def given(case: Mapping[str, Any], layer: LayerNormLSTM, dtype: Any) -> tuple[Any, ...]:
    """The weights, the sequences and the state before them."""
    tensors = {n: t.astype(dtype) for n, t in fill.fill_state_dict(dict(case)).items()}
    variables = jax.tree.map(jnp.asarray, checkpoints.import_weights(layer, tensors, "pytorch"))
    x, seed = fill.make_input(dict(case)), case["input"]["seed"]
    hidden, cell = (fill.uniform(seed + i, (len(x), layer.features)) for i in (1, 2))
    state = LSTMState(jnp.asarray(cell, dtype), jnp.asarray(hidden, dtype))
    return variables, jnp.asarray(x, dtype), state


def output_error(
    layer: Any, case: Mapping[str, Any], arrays: Mapping[str, np.ndarray], dtype: Any
) -> float:
    """Largest error of outputs and last cells, of both forms."""
    errors = []
    for carry, names in RECORDED.items():
        variables, *inputs = given(case, layer(carry), dtype)
        state, output = layer(carry).apply(variables, *inputs, train=False)
        found = dict(zip(names, (output, state.cell), strict=True))
        errors += [relative(found[name], arrays[name]) for name in names if name in arrays]
    return max(errors)
