"""From a data set to batches: shuffled and endless for training, in order and padded to evaluate.

Both are sequences with random access: batch k is a function of k, which is what makes a resumed run
exact. Grain reads them in order with threads, ahead of the consumer. JAX is never called here.
"""

import dataclasses
import sys
from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from checkpoints.preprocess import Preprocess
from train.data.dataset import Dataset, kind_of, require_label, undecoded
from train.data.kinds import zeros
from train.data.sampling import Sampler, Shuffled
from zoo.errors import UsageError

Batch = dict[str, np.ndarray]

# A random change of an image, drawn from the generator alone, that ends at the model's size:
# uint8 (h, w, c) to uint8 (size, size, k). `train.augment.Augment` is one. One that is an
# `Augmentation` may ask for several `views` of each example, and for `scaled` decoding of files.
Augmentation = Callable[[Any, np.random.Generator, Preprocess], np.ndarray]

AUGMENT = 1  # second word of the seeds; those of `train.data.sampling` are others


def train_batches(
    data: Dataset,
    *,
    preprocess: Preprocess,
    augment: Augmentation | None = None,
    batch_size: int,
    seed: int = 0,
    position: int = 0,
    shard: tuple[int, int] = (0, 1),
    threads: int = 2,
    sampler: Sampler | None = None,
) -> Generator[Batch, None, None]:
    """Endless batches of the shuffled data, each epoch in a new order.

    The stream of examples is a function of `(seed, position)`: the batches from position p on are
    the tail of the batches from 0, bit for bit, whatever the batch size, the number of threads or
    the number of shards were until then.

    Args:
        data: the examples, shuffled without replacement within an epoch.
        preprocess: ends at the model's size and range.
        augment: applied to each example with its own random generator; None only resizes. One with
            several `views` sees each example as often, in one batch, and `position` counts views.
        batch_size: examples in a global batch.
        seed: at least 0; of the order and of the augmentation.
        position: number of examples, over all shards, that earlier batches have taken.
        shard: `(i, n)` gives the i-th of n equal, contiguous parts of each global batch.
        threads: how many batches are prepared at the same time; 0 does the work in the caller.
        sampler: (seed, position) -> index of an example, such as `train.data.sampling.balanced`
            makes; None is every example once in an epoch.

    Returns:
        An iterator of {"input": float32 (b, h, w, c), "label": int32 (b,)}, b = batch_size / n.
        Closing it stops its threads.

    Raises:
        UsageError: `data` is empty, or `batch_size` is not divisible by the number of shards, or
            of views.

    >>> preprocess = checkpoints.weights_info("resnet8.digits").preprocess
    >>> batches = train.train_batches(
    ...     train.load_dataset("zoo_digits"),
    ...     preprocess=preprocess,
    ...     augment=train.Augment(rotate=10.0),
    ...     batch_size=32,
    ... )
    >>> batch = next(batches)
    >>> batch["input"].shape, batch["label"].dtype
    ((32, 8, 8, 1), dtype('int32'))
    >>> batches.close()
    """
    check_sizes(data, batch_size, shard)
    check_views(getattr(augment, "views", 1), batch_size, position)
    chosen = sampler or Shuffled(len(data))
    batches = TrainBatches(data, preprocess, augment, batch_size, seed, position, shard, chosen)
    return read(batches, threads)


def eval_batches(
    data: Dataset,
    *,
    preprocess: Preprocess,
    batch_size: int,
    shard: tuple[int, int] = (0, 1),
    threads: int = 2,
) -> Generator[Batch, None, None]:
    """Batches that hold every example exactly once, in order; the rest of the last one is padding.

    Every shard gets the same number of batches, all of one size, so that one compiled step serves
    them all and several processes stay in step.

    Args:
        data: the examples.
        preprocess: ends at the model's size and range.
        batch_size: examples in a global batch.
        shard: `(i, n)` gives the i-th of n equal, contiguous parts of each global batch.
        threads: how many batches are prepared at the same time; 0 does the work in the caller.

    Returns:
        An iterator of {"input": float32 (b, h, w, c), "label": int32 (b,), "mask": float32 (b,)},
        where the mask is 1 for an example and 0 for padding, whose image and label are zeros.

    Raises:
        UsageError: `data` is empty, or `batch_size` is not divisible by the number of shards.

    >>> preprocess = checkpoints.weights_info("resnet8.digits").preprocess
    >>> data = train.load_dataset("zoo_digits", "test")
    >>> batches = list(train.eval_batches(data, preprocess=preprocess, batch_size=256))
    >>> [int(batch["mask"].sum()) for batch in batches]
    [256, 104]
    """
    check_sizes(data, batch_size, shard)
    return read(EvalBatches(data, preprocess, batch_size, shard), threads)


@dataclasses.dataclass(frozen=True)
class TrainBatches:
    """Batch k is made of the positions from `position + k * batch_size` on."""

    data: Dataset
    preprocess: Preprocess
    augment: Augmentation | None
    batch_size: int
    seed: int
    position: int
    shard: tuple[int, int]
    sampler: Sampler

    def __len__(self) -> int:
        return (sys.maxsize - self.position) // self.batch_size  # as good as endless

    def __getitem__(self, index: int) -> Batch:
        start = self.position + index * self.batch_size
        rows = shard_of(0, self.batch_size, self.shard)
        images, labels = zip(*[self.example(self.view(start, row)) for row in rows], strict=True)
        images = self.preprocess.normalize(np.stack(images))
        return {"input": images, "label": np.array(labels, kind_of(self.data).dtype)}

    @property
    def views(self) -> int:
        """How often an example is in a batch."""
        return getattr(self.augment, "views", 1)

    def view(self, start: int, row: int) -> int:
        """The position of a row of the global batch that begins at `start`.

        Views of an example stand as far apart as they can: a neighbour is another example, which
        what mixes examples needs.
        """
        number, turn = row % (self.batch_size // self.views), row // (self.batch_size // self.views)
        return start + number * self.views + turn

    def example(self, position: int) -> tuple[np.ndarray, Any]:
        """The image and label at a position of the endless stream, where views are neighbours."""
        index = self.sampler(self.seed, position // self.views)
        if self.augment is None:
            example = self.data[index]
            require_label(self.data, index, example["label"])
            return self.preprocess.resize(example["input"]), example["label"]
        rng = np.random.default_rng((self.seed, AUGMENT, position))
        if getattr(self.augment, "scaled", False):
            with undecoded(self.data, index) as (image, found):
                require_label(self.data, index, found)
                return self.augment(image, rng, self.preprocess), found
        example = self.data[index]
        require_label(self.data, index, example["label"])
        return self.augment(example["input"], rng, self.preprocess), example["label"]


@dataclasses.dataclass(frozen=True)
class EvalBatches:
    """Batch k is made of the examples from `k * batch_size` on, and of padding after the last."""

    data: Dataset
    preprocess: Preprocess
    batch_size: int
    shard: tuple[int, int]

    def __len__(self) -> int:
        return -(-len(self.data) // self.batch_size)

    def __getitem__(self, index: int) -> Batch:
        positions = shard_of(index, self.batch_size, self.shard)
        batch = {
            "input": np.zeros((len(positions), *self.preprocess.shape), np.float32),
            "label": zeros(kind_of(self.data), len(positions), self.data.class_names),
            "mask": np.zeros(len(positions), np.float32),
        }
        for row, position in enumerate(p for p in positions if p < len(self.data)):
            example = self.data[position]
            require_label(self.data, position, example["label"])
            batch["input"][row] = self.preprocess(example["input"])
            batch["label"][row] = example["label"]
            batch["mask"][row] = 1
        return batch


def shard_of(k: int, batch_size: int, shard: tuple[int, int]) -> range:
    """Positions of one shard's part of the k-th global batch."""
    index, count = shard
    local = batch_size // count
    start = k * batch_size + index * local
    return range(start, start + local)


def check_sizes(data: Dataset, batch_size: int, shard: tuple[int, int]) -> None:
    """Raises a UsageError unless `batch_size` examples can be shared among the shards."""
    index, count = shard
    if not 0 <= index < count:
        raise UsageError(f"`shard` must be (i, n) with 0 <= i < n, got {shard}")
    if batch_size < 1 or batch_size % count:
        raise UsageError(f"`batch_size` must be a positive multiple of {count}, got {batch_size}")
    if not len(data):
        raise UsageError(f"split {data.split!r} of {data.name!r} holds no images")


def check_views(views: int, batch_size: int, position: int) -> None:
    """Raises a UsageError unless batches hold all views of their examples."""
    for name, value in {"batch_size": batch_size, "position": position}.items():
        if value % views:
            raise UsageError(
                f"`{name}` must be a multiple of {views}, the views of each example, got {value}"
            )


def read(batches: TrainBatches | EvalBatches, threads: int) -> Generator[Batch, None, None]:
    """Iterates in order, with threads that live as long as the iterator."""
    import grain  # half a second or more, which listing models should not pay

    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    iterator = iter(grain.MapDataset.source(batches).to_iter_dataset(options))
    try:
        yield from iterator
    finally:
        iterator.close()
