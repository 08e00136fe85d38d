"""Filters left out, those that are worth least, and the rest trained on.

Criteria are those of `zoo.explain.filters`; what is added to one another goes together. In steps
of a twentieth of all channels the least of the network are taken, and the others judged again.
Yeom et al. 2021, "Pruning by explaining", https://arxiv.org/abs/1912.08881, section 3.
"""

import bisect
from collections.abc import Callable
from functools import partial

import jax
import numpy as np

import checkpoints
from train.compress.method import Method, Rung, Training
from train.compress.narrow import (
    BYTES,
    channels_of,
    check_share,
    ladder,
    some_batches,
    with_statistics,
    without,
)
from zoo.errors import UsageError, closest
from zoo.explain.filters import CRITERIA, Worth, worth_of_filters
from zoo.parameters.channels import Channels

Enough = Callable[[np.ndarray], bool]  # which channels are left -> whether they are few enough
STEP = 0.05  # of all channels, that are taken before the others are judged again


def prune(*, share: float = 0.5, criterion: str = "taylor", examples: int = 128) -> Method:
    """A network of fewer channels.

    Args:
        share: of the bytes that are left, unless a budget asks for fewer.
        criterion: by which the least are found: "random", "magnitude", "gradient", "taylor" or
            "relevance".
        examples: of the training data, on which they are judged.

    Raises:
        UsageError: there is no such criterion.
    """
    check_share(share)
    if criterion not in CRITERIA:
        raise UsageError(
            f"`criterion` must be one of {', '.join(CRITERIA)}; got {criterion!r}"
            f"{closest(str(criterion), CRITERIA)}"
        )
    if examples < 1:
        raise UsageError(f"`examples` must be at least 1, got {examples}")
    return Method(partial(_sizes, share), partial(_shrunk, criterion=criterion, examples=examples))


def _sizes(share: float, loaded: checkpoints.Pretrained) -> list[Rung]:
    """Down to one channel of each group."""
    found = channels_of(loaded)
    most, least = found.numbers(np.ones(found.size, bool)), found.numbers(found.rank == 0)
    return ladder(most, least, share)


def _shrunk(
    loaded: checkpoints.Pretrained, limit: int, training: Training, *, criterion: str, examples: int
) -> checkpoints.Pretrained:
    found = channels_of(loaded)
    (batch,) = some_batches(training, examples)
    worth = jax.jit(partial(worth_of_filters, criterion, loaded.model))
    judge = lambda kept: worth(  # noqa: E731
        found.masked(loaded.variables, kept), batch["input"], batch["label"]
    )
    small = without(loaded, found, remaining(found, judge, _within(found, limit)))
    small = with_statistics(small, training)
    return small._replace(variables=training.trained(small.model, small.variables))


def _within(found: Channels, limit: int) -> Enough:
    return lambda kept: BYTES * found.numbers(kept) <= limit


def remaining(
    found: Channels, judge: Callable[[np.ndarray], Worth], is_enough: Enough
) -> np.ndarray:
    """Which channels are left, after the first steps that are enough.

    Args:
        found: the channels.
        judge: which are left -> what each filter is then worth.
        is_enough: whether no more need to go; true of fewer if it is of more.
    """
    kept = np.ones(found.size, bool)
    while not is_enough(kept):
        before, worth = kept, worth_of_channels(found, judge(kept))
        kept = _fewer(found, kept, worth, is_enough)
        if (kept == before).all():
            raise UsageError("this network cannot be so small: each group has one channel left")
    return kept


def _fewer(found: Channels, kept: np.ndarray, worth: np.ndarray, is_enough: Enough) -> np.ndarray:
    """The least taken, until it is enough, a step of them at most, and never all of a group."""
    order = np.argsort(np.where(kept, worth, np.inf), kind="stable")[: kept.sum()]
    _, best = np.unique(found.group[order[::-1]], return_index=True)
    least = np.delete(order, len(order) - 1 - best)[: max(1, int(STEP * found.size))]

    def after(count: int) -> np.ndarray:
        left = kept.copy()
        left[least[:count]] = False
        return left

    counts = range(len(least))
    return after(bisect.bisect_left(counts, True, key=lambda count: is_enough(after(count))))


def worth_of_channels(found: Channels, by_layer: Worth) -> np.ndarray:
    """What a channel is worth: the sum over the filters that it is, each relative to its layer."""
    total = np.zeros(found.size)
    for path, worth in by_layer.items():
        channel = found.outputs.get(path, np.full(len(worth), -1))
        relative = np.asarray(worth) / max(float(np.linalg.norm(worth)), 1e-30)
        np.add.at(total, channel[channel >= 0], relative[channel >= 0])
    return total
