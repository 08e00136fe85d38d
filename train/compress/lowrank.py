"""Layers as two thin ones, of ranks that the training found worth it.

Horváth et al. 2023, "Maestro", https://arxiv.org/abs/2308.14929; the parts are
`zoo.parameters.lowrank`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

import checkpoints
from checkpoints import build, surgery
from train.compress.method import Method, Rung, Training
from train.compress.narrow import BYTES, check_share, ladder, narrower, with_statistics
from train.objective import Batch, Forward, Found, Objective, supervised
from zoo.errors import UsageError
from zoo.layers.conv import Conv
from zoo.parameters import lowrank as form


def lowrank(
    *, share: float = 0.5, patterns: str | Sequence[str] = form.KERNELS, lasso: float = 0.0
) -> Method:
    """Trains layers as two maps of which any first columns are maps too, and keeps those.

    Args:
        share: of the bytes that are left, unless a budget asks for fewer.
        patterns: kernels that become two, as in `zoo.parameters.select`.
        lasso: weight of the group lasso, which makes the last columns small.

    Raises:
        UsageError: the weight is negative.
    """
    check_share(share)
    if lasso < 0:
        raise UsageError(f"`lasso` must be at least 0, got {lasso}")
    return Method(partial(_ladder, share, patterns), partial(_shrunk, patterns, lasso))


def _ladder(share: float, patterns: Any, loaded: checkpoints.Pretrained) -> list[Rung]:
    """Down to one column of each layer."""
    ranks, plain, rest = _sizes(loaded, patterns)
    most, least = (form.numbers(each, plain) for each in (ranks, dict.fromkeys(ranks, 1)))
    return ladder(rest + most, rest + least, share)


def _shrunk(
    patterns: Any, lasso: float, loaded: checkpoints.Pretrained, limit: int, training: Training
) -> checkpoints.Pretrained:
    ranks, plain, rest = _sizes(loaded, patterns)
    thin = as_two(loaded, ranks, form.factored(loaded.variables["params"], ranks))
    objective = of_prefixes(ranks, supervised(training.task), lasso=lasso, seed=training.seed)
    variables = training.trained(thin.model, thin.variables, objective=objective)
    kept = _within(form.column_norms(variables["params"], ranks), plain, limit // BYTES - rest)
    params, left = form.cut(variables["params"], kept, plain)
    return with_statistics(as_two(loaded._replace(variables=variables), left, params), training)


def as_two(
    loaded: checkpoints.Pretrained, ranks: Mapping[str, int], params: Any
) -> checkpoints.Pretrained:
    """The network with layers of two maps, and their parameters."""
    card = narrower(loaded.card, {path: {"rank": rank} for path, rank in ranks.items()})
    card = dataclasses.replace(card, parameters=surgery.count(params))
    variables = {**loaded.variables, "params": params}
    return loaded._replace(model=build.create_model(card), variables=variables, card=card)


def of_prefixes(
    ranks: Mapping[str, int], objective: Objective, *, lasso: float = 0.0, seed: int = 0
) -> Objective:
    """An objective for which, at each step, one layer has its first columns only, by chance.

    The rank is a traced number: one compilation serves all.

    Args:
        ranks: of the layers that are two maps.
        objective: what is minimised.
        lasso: weight of `zoo.parameters.lowrank.group_lasso`.
        seed: of the choice, the same on all devices.
    """

    def run(forward: Forward, params: Any, state: Any, batch: Batch, key: Any) -> Found:
        layer, share = jax.random.uniform(
            jax.random.fold_in(jax.random.key(seed), state.step), (2,)
        )
        chosen = jnp.floor(layer * len(ranks))
        here = {
            path: jnp.where(chosen == n, 1 + jnp.floor(share * rank), rank)
            for n, (path, rank) in enumerate(ranks.items())
        }
        thin = form.truncated(params, here)
        losses, found = objective.loss(forward, thin, state, batch, key)
        return losses + lasso * form.group_lasso(params, ranks), found

    return objective._replace(loss=run)


def _within(norms: Mapping[str, Any], plain: Mapping[str, Any], limit: int) -> form.Ranks:
    """Ranks with so many numbers at most: last columns go first whose share of a layer is least."""
    products = {path: np.asarray(both[0] * both[1]) for path, both in norms.items()}
    share = {path: np.cumsum(p[::-1])[::-1] / p.sum() for path, p in products.items()}
    ranks = {path: len(p) for path, p in products.items()}
    while form.numbers(ranks, plain) > limit:
        able = [path for path, rank in ranks.items() if rank > 1]
        least = min(able, key=lambda path: share[path][ranks[path] - 1])
        ranks[least] -= 1
    return ranks


def _sizes(loaded: checkpoints.Pretrained, patterns: Any) -> tuple[form.Ranks, dict[str, Any], int]:
    """Ranks of the layers that can be two, their kernels, and the count of all other numbers."""
    ranks = form.whole_ranks(loaded.variables["params"], layers(loaded), patterns)
    flat = surgery.flatten(loaded.variables["params"])
    plain = {path: flat[f"{path}/kernel"] for path in ranks}
    total = sum(leaf.size for leaf in jax.tree.leaves(loaded.variables))
    return ranks, plain, total - sum(kernel.size for kernel in plain.values())


def layers(loaded: checkpoints.Pretrained) -> set[str]:
    """Paths of dense layers, and of convolutions of one group, that are not two maps already."""
    found: set[str] = set()

    def note(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        layer, path = context.module, "/".join(context.module.path)
        is_whole = isinstance(layer, nn.Dense) or (type(layer) is Conv and layer.groups == 1)
        if is_whole and path.rpartition("/")[2] not in ("down", "up"):
            found.add(path)
        return call(*args, **kwargs)

    images = build.images(loaded.card, loaded.model)
    with nn.intercept_methods(note):
        jax.eval_shape(partial(loaded.model.apply, train=False), loaded.variables, images)
    return found
