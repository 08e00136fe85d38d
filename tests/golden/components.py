"""Checks of classification by components against its authors' head."""

import ast
import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import zoo
from tests.golden import fill
from tests.golden.compare import Outcome, relative
from train.methods.components import margin_loss
from zoo.layers.components import Reasoning

TOLERANCE = 1e-5
SIGNS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}
SIGNS |= {ast.Div: operator.truediv}


def check(case: dict[str, Any], arrays: dict[str, np.ndarray]) -> Outcome:
    """Probabilities in float32; probabilities, losses and gradients in float64."""
    inputs = {name: made(spec) for name, spec in case["inputs"].items()}
    model = Reasoning(inputs["reasoning"].shape[1])
    single = {name: jnp.asarray(x, jnp.float32) for name, x in inputs.items()}
    output = model.apply({"params": {"reasoning": single["reasoning"]}}, single["detection"])
    errors = {"logits": relative(output, arrays["output"])}
    with jax.enable_x64(True):
        labels = jnp.arange(len(output)) % output.shape[1]

        def loss(reasoning: Any, detection: Any) -> Any:
            found = model.apply({"params": {"reasoning": reasoning}}, detection)
            losses = margin_loss(case["margin"])(found, labels)
            return losses.mean(), (found, losses)

        both = (jnp.asarray(inputs[name]) for name in ("reasoning", "detection"))
        step = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
        (_, (found, losses)), (of_reasoning, of_detection) = step(*both)
        errors["float64"] = relative(found, arrays["output"])
        errors["train logits"] = relative(losses, arrays["loss_per_sample"])
        errors["gradients"] = max(
            relative(of_reasoning, arrays["reasoning_grad"]),
            relative(of_detection, arrays["detection_grad"]),
        )
    worst = [f"{k} {e:.1e} > {TOLERANCE:.0e}" for k, e in errors.items() if not e <= TOLERANCE]
    return Outcome(case["case"], errors, "beyond tolerance: " + ", ".join(worst) if worst else "")


def made(spec: dict[str, Any]) -> np.ndarray:
    """An input: uniform numbers u, and what is then done with them, `times 2` or `(u + 1) / 2`."""
    u, then = fill.uniform(spec["seed"], spec["shape"]), spec.get("then", "u")
    text = then.replace("times", "u *") if then.startswith("times") else then
    return _value(ast.parse(text, mode="eval").body, u)


def _value(node: ast.expr, u: np.ndarray) -> Any:
    if isinstance(node, ast.BinOp) and type(node.op) in SIGNS:
        return SIGNS[type(node.op)](_value(node.left, u), _value(node.right, u))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, u)
    if isinstance(node, ast.Name) and node.id == "u":
        return u
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    raise zoo.UsageError(f"no number can be made of {ast.unparse(node)!r}")
