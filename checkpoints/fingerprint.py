r"""Fingerprint: a network's answer to a fixed input, in a few numbers that any machine compares.

The input, called the probe, is a function of its shape alone, so that nothing but JSON is stored.
Number i of n, in C order, is

.. math:: x_i = 2^{-52} \lfloor r_i / 2^{11} \rfloor - 1 \in [-1, 1), \qquad
          r = \texttt{numpy.random.Philox(key=0).random_raw}(n)

and stands for a normalised pixel. Of the answer y, two rows of outputs in float32, are kept

    {"input":  [2, 224, 224, 3],
     "output": [2, 1000],
     "largest":    max |y|,       the unit in which errors are given
     "mean":       mean(y),
     "rms":        sqrt(mean(y ** 2)),
     "projection": sum(y * x) / sqrt(n), with x the probe in y's shape: it sees the order of outputs
     "first":      the first outputs of each row}
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32

import zoo
from checkpoints.card import Card
from zoo.errors import UsageError

BATCH, FIRST, DIGITS = 2, 4, 8
TOLERANCE = 1e-5  # of the largest output, in float32 on any device
_NUMBERS = ("largest", "mean", "rms", "projection")


def probe(shape: Sequence[int]) -> Float32[np.ndarray, "..."]:
    """The input of a shape, uniform in [-1, 1); the formula stands in the module's docstring."""
    words = np.atleast_1d(np.random.Philox(key=0).random_raw(math.prod(shape)))
    uniform = (words >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1
    return uniform.astype(np.float32).reshape(tuple(shape))


def probe_of(card: Card) -> Float32[np.ndarray, "..."]:
    """The probe for images such as the weights expect."""
    return probe((BATCH, *card.preprocess.shape))


def answer(
    model: nn.Module, variables: Mapping[str, Any], images: Float32[np.ndarray, "..."]
) -> Float32[np.ndarray, "b out"]:
    """Evaluation outputs of a network, in full float32 precision on any device."""
    forward = jax.jit(partial(model.apply, train=False))
    with jax.default_matmul_precision("highest"):
        outputs = forward(variables, jnp.asarray(images))
    return np.asarray(outputs, np.float32)


def of(images: Float32[np.ndarray, "..."], outputs: Float[np.ndarray, "b out"]) -> dict[str, Any]:
    """The fingerprint of outputs for a probe.

    Raises:
        UsageError: an output is infinite or no number.
    """
    if not np.isfinite(outputs).all():
        raise UsageError("The network answers with infinities or NaN; such weights are damaged.")
    exact = outputs.astype(np.float64)
    numbers = {
        "largest": np.abs(exact).max(),
        "mean": exact.mean(),
        "rms": math.sqrt(np.square(exact).mean()),
        "projection": (exact * probe(exact.shape)).sum() / math.sqrt(exact.size),
    }
    return {
        "input": list(images.shape),
        "output": list(outputs.shape),
        **{name: _rounded(value) for name, value in numbers.items()},
        "first": [[_rounded(value) for value in row[:FIRST]] for row in exact],
    }


def error(found: Mapping[str, Any], recorded: Mapping[str, Any]) -> float:
    """Largest difference between two fingerprints, relative to the recorded largest output.

    Raises:
        UsageError: they are of inputs or outputs of different shapes, or one is none at all.
    """
    try:
        for name in ("input", "output"):
            if found[name] != recorded[name]:
                raise UsageError(
                    f"The recorded fingerprint is of an {name} of shape {recorded[name]}, and the "
                    f"network has {found[name]}."
                )
        numbers = [np.hstack([*(f[n] for n in _NUMBERS), *f["first"]]) for f in (found, recorded)]
        return float(np.abs(numbers[0] - numbers[1]).max() / (recorded["largest"] or 1.0))
    except UsageError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError) as unknown:
        raise UsageError("The recorded fingerprint is not of a form that is known.") from unknown


def tolerance(card: Card) -> float:
    """Up to which error two computations of these weights count as equal."""
    return zoo.model_info(card.architecture).tolerance


def _rounded(value: float) -> float:
    """To the digits that float32 has, and one more."""
    return float(f"{value:.{DIGITS}g}")
