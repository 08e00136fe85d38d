"""One training for many widths: each step, a prefix of all channels, as wide as chance says.

Valipour et al. 2023, "SortedNet", https://arxiv.org/abs/2309.00255: sub-networks share their
parameters, and a narrower one is the beginning of each wider one.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import checkpoints
from train.compress.method import Method, Rung, Training
from train.compress.narrow import BYTES, channels_of, check_share, with_statistics, without
from train.objective import Batch, Forward, Found, Objective, supervised
from zoo.errors import UsageError
from zoo.parameters.channels import Channels


def nested(*, share: float = 0.5, widths: int = 8) -> Method:
    """Trains a network so that its first channels alone are a network too, and takes those.

    Args:
        share: of the bytes that are left at most, unless a budget asks for fewer.
        widths: how many widths, in equal steps.

    Raises:
        UsageError: there are none.
    """
    check_share(share)
    if widths < 1:
        raise UsageError(f"`widths` must be at least 1, got {widths}")
    shares = tuple((n + 1) / widths for n in range(widths))

    def ladder(loaded: checkpoints.Pretrained) -> list[Rung]:
        found = channels_of(loaded)
        rungs = [Rung(BYTES * found.numbers(np.asarray(found.prefix(w))), w) for w in shares]
        return [rung for rung in rungs if rung.bytes <= share * rungs[-1].bytes] or rungs[:1]

    return Method(ladder, partial(_shrunk, shares=shares))


def _shrunk(
    loaded: checkpoints.Pretrained, width: float, training: Training, *, shares: tuple[float, ...]
) -> checkpoints.Pretrained:
    found = channels_of(loaded)
    objective = of_prefixes(found, supervised(training.task), shares, seed=training.seed)
    trained = training.trained(loaded.model, loaded.variables, objective=objective)
    return at_width(loaded._replace(variables=trained), found, width, training)


def at_width(
    loaded: checkpoints.Pretrained, found: Channels, width: float, training: Training
) -> checkpoints.Pretrained:
    """The sub-network of a width, with batch statistics of its own."""
    return with_statistics(without(loaded, found, np.asarray(found.prefix(width))), training)


def of_prefixes(
    found: Channels, objective: Objective, widths: tuple[float, ...], *, seed: int = 0
) -> Objective:
    """An objective whose network has the first channels only; at each step other ones.

    The width is a traced number: one compilation serves all.

    Args:
        found: the channels of the network.
        objective: what is minimised.
        widths: shares of the channels, each as likely.
        seed: of the choice, the same on all devices.
    """

    def run(forward: Forward, params: Any, state: Any, batch: Batch, key: Any) -> Found:
        chance = jax.random.fold_in(jax.random.key(seed), state.step)
        width = jax.random.choice(chance, jnp.asarray(widths))
        masked = found.masked(params, found.prefix(width))
        return objective.loss(forward, masked, state, batch, key)

    return objective._replace(loss=run)
