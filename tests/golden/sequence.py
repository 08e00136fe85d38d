"""Checks of the sequence families against the authors' repositories.

Outputs are compared in float32 at 1e-4 of the largest magnitude (kernels are products of hundreds
of matrices), and in float64 at 1e-5 together with the gradients of mean(output²).
"""

import ast
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import jax.scipy.special
import numpy as np

import checkpoints
import zoo
from tests.golden import fill
from tests.golden.compare import Outcome, gradient_error, norms, relative
from zoo.layers import hippo
from zoo.layers.activation import gelu
from zoo.layers.norm import LayerNorm
from zoo.lssl import LSSL, discretization, state_space, transition
from zoo.lssl.linear_state_space import LinearStateSpace

Case = dict[str, Any]
Arrays = dict[str, np.ndarray]
LIMITS = {"logits": 1e-4, "float64": 1e-5, "gradients": 1e-5}
COUNTER = "num_batches_tracked"
LEARN = {0: "none", 1: "shared", 2: "per_feature"}
ACTIVATIONS = dict.fromkeys([None, "id", "identity", "linear", "none"], lambda x: x) | {
    "gelu": gelu,
    "swish": jax.nn.silu,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "elu": jax.nn.elu,
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "sqrelu": lambda x: jax.nn.relu(x) ** 2,
    "relu2": lambda x: jax.nn.relu(x) ** 2,
    "laplace": lambda x: (1 + jax.scipy.special.erf((x - 0.707107) / (0.282095 * 2**0.5))) / 2,
}


class NoNorm(nn.Module):
    """In the place of a norm."""

    epsilon: float
    dtype: Any

    def __call__(self, x: jax.Array) -> jax.Array:
        return x


# In evaluation; those that the zoo lacks are Flax's.
EXACT = {"use_fast_variance": False}
NORMS: dict[str | None, Callable[..., Any]] = {
    None: NoNorm,
    "none": NoNorm,
    "layer": LayerNorm,
    "batch": partial(nn.BatchNorm, use_running_average=True, **EXACT),
    "instance": partial(nn.InstanceNorm, use_bias=False, use_scale=False, **EXACT),
    "group": partial(nn.GroupNorm, num_groups=1, **EXACT),  # over time and features together
}
POOLS = {"pool": "mean", "sum": "sum", "first": "first", "last": "last"}


def manual(size: int, measure: str, measure_args: Mapping[str, float] | None = None) -> Any:
    """A system of `zoo.layers.hippo` as it is, with its own arguments."""
    return transition.matrix(size, partial(hippo.HIPPO[measure], **(measure_args or {})))


def normal_legs(size: int) -> hippo.System:
    """The normal part of LegS, and half its B."""
    a, b = hippo.legs(size)
    return a + 0.5 * np.outer(b, b), b / 2


def fourier_form(frequency: float, weight: float, size: int) -> hippo.System:
    """`hippo.fourier` with frequencies and the forgetting of the far end scaled."""
    a, b = hippo.fourier(size)
    ends = np.outer(b, b)
    return frequency * (a + ends) - weight * ends, weight * b


# The form that the source gives a measure whose A is fixed, and the one if A is trained.
FIXED = {
    "legs": transition.legs,
    "legt": transition.legt,
    "lagt": transition.lagt_sum,
    "glagt": transition.glagt_toeplitz,
    "cheb": transition.chebyshev,
    "chebii": transition.chebyshev,
    "jac": transition.jacobi,
    "random": transition.random,
    "identity": transition.random,  # its A and B are stored
}
TRAINED = FIXED | {"lagt": transition.lagt, "toep": transition.lagt_toeplitz}
CLASSES = {
    "LegSTriDInverse": transition.legs,
    "LegTTriDInverse": transition.legt,
    "LagTTriDInverse": transition.lagt,
    "JacTriDInverse": transition.jacobi,
    "ChebITriDInverse": transition.chebyshev,
    "ChebIITriDInverse": transition.chebyshev,
    "LagTCumsum": transition.lagt_sum,
    "TLagTCumsum": transition.tlagt_sum,
    "LagTToeplitz": transition.lagt_toeplitz,
    "GLagTToeplitz": transition.glagt_toeplitz,
    **{
        f"{name}AdaptiveTransitionManual": partial(manual, measure=name.lower())
        for name in ("LegS", "LegT", "LagT", "TLagT", "GLagT")
    },
}
HIPPO = hippo.HIPPO | {
    "legsd": normal_legs,
    "fourier_decay": partial(fourier_form, 1.0, 0.5),
    "fourier2": partial(fourier_form, 2.0, 2.0),
    "fourier_diag": hippo.fourier_diagonal,
    "foud": hippo.fourier_diagonal,
    "fout": hippo.fourier,
    "cheb": hippo.chebyshev,
}


def check_lssl(case: Case, arrays: Arrays) -> Outcome:
    """Matrices, a layer in its three forms, or a classifier."""
    config = case["config"]
    kinds = {"measures": hippo_error, "specs": transition_error, "n_layers": classifier_error}
    kind = next((check for key, check in kinds.items() if key in config), layer_error)
    errors = kind(case, arrays)
    worst = [f"{k} {e:.1e}" for k, e in errors.items() if not e <= LIMITS[k]]
    failure = "beyond 1e-4 in float32 or 1e-5 in float64: " + ", ".join(worst) if worst else ""
    return Outcome(case["case"], errors, failure)


def in_both_precisions(check: Callable[[Any], dict[str, float]]) -> dict[str, float]:
    """The largest error in float32 and in float64."""
    errors = {"logits": max(check(np.float32).values())}
    with jax.enable_x64(True):
        return errors | {"float64": max(check(np.float64).values())}


def hippo_error(case: Case, arrays: Arrays) -> dict[str, float]:
    """Every matrix of `zoo.layers.hippo`, discretised in every way."""
    config = case["config"]

    def check(dtype: Any) -> dict[str, float]:
        found = {}
        for measure, arguments in config["measures"]:
            tag = "_".join([measure, *(f"{key}{value}" for key, value in arguments.items())])
            build = lookup(HIPPO, measure, "measure")
            for size in config["N"]:
                a, b = (x.astype(dtype) for x in build(size, **arguments))
                found |= {f"{tag}/N{size}/A": a, f"{tag}/N{size}/B": b}
                for dt in config["dt"]:
                    found |= discretized(f"{tag}/N{size}/dt{dt}", arrays, a, b, dt)
        return errors_of(found, arrays)

    return in_both_precisions(check)


def discretized(prefix: str, arrays: Arrays, a: Any, b: Any, dt: float) -> dict[str, Any]:
    """Recorded discretisations of a system: `gbt` and its alpha, or `zoh`."""
    found = {}
    methods = {key.split("/")[-2] for key in arrays if key.startswith(prefix + "/")}
    for method in methods:
        solve = discretization.zero_order_hold
        if method != "zoh":
            alpha = float(method.removeprefix("gbt"))
            solve = partial(discretization.generalized_bilinear, alpha=alpha)
        pair = solve(jnp.asarray(a), jnp.asarray(b), dt)
        found |= dict(
            zip((f"{prefix}/{method}/Abar", f"{prefix}/{method}/Bbar"), pair, strict=True)
        )
    return found


def transition_error(case: Case, arrays: Arrays) -> dict[str, float]:
    """Systems of `zoo.lssl.transition` from recorded parameters, discretised."""
    config = case["config"]

    def check(dtype: Any) -> dict[str, float]:
        found = {}
        for name, size, arguments in config["specs"]:
            tag = "_".join([name, *(f"{key}{value}" for key, value in arguments.items())])
            tag = f"{tag}/N{size}"
            names = (name, name.removesuffix("AdaptiveTransition"))
            build = lookup(CLASSES, next((n for n in names if n in CLASSES), name), "transition")
            form = build(size, **ours(arguments))
            parts = {part: arrays.get(f"{tag}/param/{part}") for part in form.parts}
            if "pr" in parts and parts["pr"] is None:  # recorded once, for both sides
                parts["pr"] = parts["pl"]
            a, b = form.system({k: jnp.asarray(v, dtype) for k, v in parts.items()})
            found |= {f"{tag}/A_ode": a, f"{tag}/B": b}
            found |= steps_of(tag, arrays, a, b, config["dt"])
        return errors_of(found, arrays)

    return in_both_precisions(check)


def steps_of(tag: str, arrays: Arrays, a: Any, b: Any, steps: list[float]) -> dict[str, Any]:
    """A system discretised with several steps, stacked."""
    methods = {key.split("/")[-2] for key in arrays if key.startswith(f"{tag}/gbt")}
    found = {}
    for method in methods:
        solve = partial(
            discretization.generalized_bilinear, alpha=float(method.removeprefix("gbt"))
        )
        pairs = jax.vmap(solve, (None, None, 0))(a, b, jnp.asarray(steps, a.dtype))
        found |= dict(zip((f"{tag}/{method}/Abar", f"{tag}/{method}/Bbar"), pairs, strict=True))
    return found


def layer_error(case: Case, arrays: Arrays) -> dict[str, float]:
    """A layer as convolution, recurrence and in two chunks; its kernel; its gradients."""
    build, length = (
        partial(LinearStateSpace, **layer_fields(case["config"])),
        case["input"]["shape"][1],
    )
    rate = rate_of(case["config"], length)
    # The source rescales the step of A only, by a rounded rate; the paper that of B too.
    source = partial(build, rate=rate, rescale_input=False)

    def check(dtype: Any) -> dict[str, float]:
        variables = tensors_of(case, arrays, source(), dtype)
        u = jnp.asarray(inputs_of(case), dtype)
        found = jax.jit(partial(layer_outputs, source(dtype=dtype)))(variables, u)
        if "output_rate_both" in arrays:
            both = jax.jit(partial(layer_outputs, build(rate=rate, dtype=dtype)))(variables, u)
            found["output_rate_both"], found["Bbar_rate_both"] = both["output"], both["Bbar"]
        return errors_of(found, arrays)

    errors = in_both_precisions(check)
    return errors | gradients_error(case, arrays, source)


def layer_outputs(layer: Any, variables: Any, u: Any) -> dict[str, Any]:
    """Everything that a case may have recorded of a layer."""
    batch, length, _ = u.shape
    call = partial(layer.apply, variables)
    a, b = call(method="system")
    zeros = call(batch, method="initial_state")
    state, recurrent = call(zeros, u, method="scan")
    found = {
        "output": call(u, train=False),
        "output_recurrent": recurrent,
        "output_linear_part": call(u, method="channels_of"),
        "state_final": state,
        "kernel": call(length, method="kernel"),
        "krylov_norm": krylov_norms(a, b, length),
        "dt": jnp.exp(next(v["log_dt"] for v in variables.values() if "log_dt" in v)),
        "Abar": a,
        "Bbar": b,
    }
    if length > 1:
        state, first = call(zeros, u[:, : length // 2], method="chunk")
        state, second = call(state, u[:, length // 2 :], method="chunk")
        found["output in chunks"] = jnp.concatenate([first, second], axis=1)
        found["state after chunks"] = state
    return found


def krylov_norms(a: Any, b: Any, length: int) -> Any:
    """Norms of the states' impulse responses, (h, l)."""
    identity = jnp.eye(b.shape[-1], dtype=b.dtype)
    respond = partial(state_space.impulse_response, c=identity, length=length)
    return jnp.linalg.norm(jax.vmap(respond)(a, b[..., None])[:, :, 0], axis=1)


def classifier_error(case: Case, arrays: Arrays) -> dict[str, float]:
    """Logits, the first block, the pooled features and gradients of a deep network."""
    build = partial(LSSL, **classifier_fields(case))

    def check(dtype: Any) -> dict[str, float]:
        model = build(dtype=dtype)
        variables = tensors_of(case, arrays, build(), dtype)
        u = jnp.asarray(inputs_of(case), dtype)
        found = jax.jit(partial(classifier_outputs, model))(variables, u)
        return errors_of(found, arrays)

    return in_both_precisions(check) | gradients_error(case, arrays, build)


def classifier_outputs(model: Any, variables: Any, u: Any) -> dict[str, Any]:
    """Everything that a case may have recorded of a classifier."""
    logits = model.apply(variables, u, train=False)
    features = model.apply(variables, u, train=False, method="features")
    found = {"logits": logits, "output": logits, "block0": features["block0"]}
    # The backbone's last step is what is pooled, or else not among our features.
    return found | ({"backbone": features["pooled"]} if model.pool == "last" else {})


def gradients_error(case: Case, arrays: Arrays, build: Callable[..., Any]) -> dict[str, float]:
    """Norms of the gradients of mean(output²), in float64."""
    if "grad_names" not in arrays:
        return {}
    with jax.enable_x64(True):
        model = build(dtype=np.float64)
        variables = tensors_of(case, arrays, build(), np.float64)
        u = jnp.asarray(inputs_of(case))

        def loss(params: Any) -> Any:
            return jnp.mean(model.apply({**variables, "params": params}, u, train=False) ** 2)

        value, gradients = jax.jit(jax.value_and_grad(loss))(variables["params"])
        found = norms(model, {"params": gradients}, "s4")
        error = gradient_error(found, arrays, case["zero_grad_params"])
        return {"gradients": max(error, relative(value, arrays["loss"]))}


def tensors_of(case: Case, arrays: Arrays, model: Any, dtype: Any) -> Any:
    """The case's weights, filled or stored, in the model's tree."""
    tensors = fill.fill_state_dict(case)
    tensors |= {name: arrays[f"param:{name}"] for name in case["stored_params"]}
    tensors = {n: np.asarray(t, dtype) for n, t in tensors.items() if not n.endswith(COUNTER)}
    return jax.tree.map(jnp.asarray, checkpoints.import_weights(model, tensors, "s4"))


def inputs_of(case: Case) -> np.ndarray:
    """The input, (batch, length, features)."""
    return fill.make_input(case) * case["input"].get("scale", 1.0)


def errors_of(found: Mapping[str, Any], arrays: Arrays) -> dict[str, float]:
    """Relative errors of what was recorded; chunks are held to the recurrence."""
    same = {"output in chunks": "output_recurrent", "state after chunks": "state_final"}
    expected = {name: same.get(name, name) for name in found}
    return {n: relative(found[n], arrays[e]) for n, e in expected.items() if e in arrays}


def layer_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """Our fields for the source's arguments of a layer."""
    if config.get("weight_norm"):
        raise zoo.UsageError("`weight_norm` of the source is not offered")
    dt, learn = config.get("dt") or {}, config.get("learn", 0)
    size = config.get("d_model", -1)
    forms = TRAINED if learn else FIXED
    form = lookup(forms, config.get("measure", "legs"), "measure")
    return {
        "width": config["d"],
        "state_size": size if size > 0 else config["d"],
        "channels": config.get("channels", 1),
        "transition": partial(form, **ours(config.get("measure_args") or {})),
        "learn": lookup(LEARN, learn, "learn"),
        "learn_dt": dt.get("learn", False),
        "use_bias": config.get("bias", False),
        "use_output": config.get("ff", True),
        "activation": lookup(ACTIVATIONS, config.get("activation", "gelu"), "activation"),
    }


def classifier_fields(case: Case) -> dict[str, Any]:
    """Our fields for the source's encoder, backbone and decoder."""
    config = {**backbone(case), **case["config"]}
    require(config, residual=("R", "residual"))
    given = dict(config.get("layer", {}))
    layer = {"d": config["d_model"], "learn": config["learn"], "channels": config["channels"]}
    fields = layer_fields(given | layer | {"d_model": config["N"]})
    extra = {name: fields.pop(name) for name in ("use_bias", "use_output", "activation")}
    return fields | {
        "depth": config["n_layers"],
        "layer_cls": partial(LinearStateSpace, **extra),
        "prenorm": config["prenorm"],
        "norm": lookup(NORMS, config.get("norm", "layer"), "norm"),
        "pool": lookup(POOLS, config["mode"], "mode"),
        "rate": rate_of(given, case["input"]["shape"][1]),
        "rescale_input": False,
        "num_classes": config["classes"],
    }


def ours(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The source's arguments of a measure as ours, which are all in lower case."""
    return {name.lower(): value for name, value in arguments.items()}


def rate_of(config: Mapping[str, Any], length: int) -> float:
    """The source's sampling interval, a rounded ratio of lengths."""
    limit = config.get("l_max", -1)
    return float(round(limit / length)) if limit > 0 else 1.0


def backbone(case: Case) -> dict[str, Any]:
    """Arguments of the recorded backbone, literals that are read and never evaluated."""
    calls = case["source"]["constructor"].split("; ")
    text = next((call for call in calls if call.startswith("SequenceModel")), "SequenceModel()")
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call)
    return {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg}


def require(config: Mapping[str, Any], **offered: tuple[str, ...]) -> None:
    """Names the first argument whose value we lack."""
    for name, values in offered.items():
        if config.get(name, values[0]) not in values:
            raise zoo.UsageError(f"no {name} {config[name]!r}")


def lookup(table: Mapping[Any, Any], name: Any, what: str) -> Any:
    """A row of a table, or a failure that names what we lack."""
    if name not in table:
        raise zoo.UsageError(f"no {what} {name!r}")
    return table[name]
