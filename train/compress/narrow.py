"""A network without some of its channels: what pruning and nested widths come to."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import checkpoints
from checkpoints import build, surgery
from checkpoints.card import Card
from train.compress.method import Rung, Training
from train.data import train_batches
from zoo.errors import UsageError
from zoo.layers.norm import batch_statistics
from zoo.parameters.channels import Channels, channels

BYTES = 4  # of a number as it is stored
TOLERANCE = 1e-3  # of the largest output: sums of fewer numbers are rounded in another order
SIZES = 20  # that a method can make, from the largest to the smallest
STATISTICS = 20  # batches from which batch statistics are taken


def ladder(most: int, least: int, share: float) -> list[Rung]:
    """Sizes in equal steps, from a share of the bytes of the whole to the smallest.

    Args:
        most: numbers of the whole network.
        least: of the smallest that can be made.
        share: of the bytes of the whole.
    """
    sizes = np.linspace(BYTES * max(share * most, least), BYTES * least, SIZES).astype(int)
    return [Rung(size, size) for size in dict.fromkeys(sizes.tolist())]


def check_share(share: float) -> None:
    """Refuses what is no share.

    Raises:
        UsageError: as said.
    """
    if not 0 < share <= 1:
        raise UsageError(f"`share` must be above 0 and at most 1, got {share}")


def channels_of(loaded: checkpoints.Pretrained) -> Channels:
    """The channels of a network that can be cut."""
    return channels(loaded.model, loaded.variables, build.images(loaded.card, loaded.model))


def without(loaded: checkpoints.Pretrained, found: Channels, kept: Any) -> checkpoints.Pretrained:
    """The network with the channels that are kept, and no others.

    Args:
        loaded: the network.
        found: its channels.
        kept: whether each stays.

    Raises:
        UsageError: the architecture depends on its widths in a way that widths cannot say.
    """
    card = narrower(loaded.card, found.widths(kept))
    model, variables = build.create_model(card), found.cut(loaded.variables, kept)
    card = dataclasses.replace(card, parameters=surgery.count(variables["params"]))
    if not _is_alike(loaded, found.masked(loaded.variables, kept), model, variables):
        raise UsageError(
            "with such widths this network would compute something else, as a block that adds its "
            "input wherever shapes agree does; choose another size"
        )
    return loaded._replace(model=model, variables=variables, card=card)


def narrower(card: Card, widths: dict[str, dict[str, int]]) -> Card:
    """The card with sizes of further layers, or smaller ones; numbers are stored as they are."""
    paths = [*card.widths, *(path for path in widths if path not in card.widths)]
    sizes = {path: {**card.widths.get(path, {}), **widths.get(path, {})} for path in paths}
    return dataclasses.replace(card, widths=sizes, stored_as=None)


def with_statistics(loaded: checkpoints.Pretrained, training: Training) -> checkpoints.Pretrained:
    """The network with batch statistics of its own: means over some batches of the training data.

    Args:
        loaded: the network.
        training: where the batches come from.
    """
    if not loaded.variables.get("batch_stats"):
        return loaded
    statistics = jax.jit(partial(batch_statistics, loaded.model))
    batches = some_batches(training, training.batch_size, STATISTICS)
    found = [statistics(loaded.variables, batch["input"]) for batch in batches]
    mean = jax.tree.map(lambda *leaves: jnp.stack(leaves).mean(0), *found)
    return loaded._replace(variables={**loaded.variables, "batch_stats": mean})


def some_batches(training: Training, size: int, count: int = 1) -> list[Any]:
    """The first batches of the training data, without augmentation."""
    size = min(size, len(training.data))
    options: Any = {"preprocess": training.preprocess, "batch_size": size, "seed": training.seed}
    batches = train_batches(training.data, augment=None, **options)
    try:
        return [next(batches) for _ in range(count)]
    finally:
        batches.close()


def _is_alike(loaded: checkpoints.Pretrained, masked: Any, model: Any, variables: Any) -> bool:
    """Whether a network answers as the one whose other channels are zero."""
    shape = build.images(loaded.card, loaded.model).shape
    inputs = jax.random.normal(jax.random.key(0), shape)
    wanted = jax.jit(partial(loaded.model.apply, train=False))(masked, inputs)
    given = jax.jit(partial(model.apply, train=False))(variables, inputs)
    return bool(jnp.abs(wanted - given).max() <= TOLERANCE * jnp.abs(wanted).max())
