"""The stream of batches as a function of (seed, position), and evaluation that is exact."""

import itertools
import threading

import numpy as np
import pytest

from checkpoints.preprocess import Preprocess
from train.augment import Augment, augmentation_of
from train.calls import Call
from train.data import eval_batches, few_shot, train_batches
from zoo.errors import UsageError

PREPROCESS = Preprocess(image_size=4, crop_pct=1.0, mean=(0.25,), std=(0.5,))


class Numbers:
    """Images whose pixels all hold their own index."""

    name, split, class_names, skipped = "numbers", "train", ("even", "odd"), 0

    def __init__(self, length: int):
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int, /):
        if not 0 <= index < self.length:
            raise IndexError(index)
        return {"input": np.full((4, 4, 1), index, np.uint8), "label": index % 2}


def indices(batch) -> list[int]:
    """Which examples of `Numbers` a batch holds."""
    return np.rint((batch["input"][:, 0, 0, 0] * 0.5 + 0.25) * 255).astype(int).tolist()


def take(count: int, **options):
    """The first batches of a stream over 11 images."""
    options = {"preprocess": PREPROCESS, "augment": None, "batch_size": 4, "seed": 0} | options
    batches = train_batches(Numbers(11), **options)
    found = list(itertools.islice(batches, count))
    batches.close()
    return found


def stream(count: int, **options) -> list[int]:
    return list(itertools.chain.from_iterable(map(indices, take(count, **options))))


def test_a_batch_has_the_promised_shapes_and_values():
    (batch,) = take(1)
    assert {k: (v.shape, v.dtype) for k, v in batch.items()} == {
        "input": ((4, 4, 4, 1), np.float32),
        "label": ((4,), np.int32),
    }
    assert [i % 2 for i in indices(batch)] == batch["label"].tolist()


def test_every_epoch_is_a_permutation_of_its_own():
    seen = np.array(stream(11)).reshape(4, 11)
    assert (np.sort(seen, axis=1) == np.arange(11)).all()
    assert len(np.unique(seen, axis=0)) == 4


def test_seeds_give_orders_that_are_not_shifts_of_each_other():
    first, second = (np.array(stream(11, seed=s)).reshape(4, 11).tolist() for s in (0, 1))
    assert not any(epoch in first for epoch in second)


@pytest.mark.parametrize("position", [0, 1, 4, 10, 11, 27])
@pytest.mark.parametrize("threads", [0, 2])
def test_resuming_anywhere_continues_bit_for_bit(position, threads):
    augment = Augment(rotate=30.0, translate=0.2, scale=0.2)
    whole = take(40, augment=augment, batch_size=1, threads=0)
    for start, batch in enumerate(take(3, augment=augment, position=position, threads=threads)):
        expected = whole[position + 4 * start : position + 4 * start + 4]
        for name in batch:
            np.testing.assert_array_equal(
                batch[name], np.concatenate([one[name] for one in expected])
            )


@pytest.mark.parametrize("batch_size", [1, 3, 11, 30])
def test_the_stream_does_not_depend_on_the_batch_size(batch_size):
    assert stream(60 // batch_size + 1, batch_size=batch_size)[:60] == stream(15)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_shards_side_by_side_are_the_global_batch(count):
    whole = take(6, batch_size=8)
    parts = [take(6, batch_size=8, shard=(i, count)) for i in range(count)]
    for batch, *shards in zip(whole, *parts, strict=True):
        assert indices(batch) == list(itertools.chain.from_iterable(map(indices, shards)))


def test_augmentation_differs_by_example_epoch_and_seed():
    def noise(image, rng, preprocess):
        return rng.integers(0, 256, (4, 4, 1), np.uint8)

    images = [b["input"] for s in (0, 1) for b in take(6, augment=noise, batch_size=11, seed=s)]
    assert len(np.unique(np.concatenate(images), axis=0)) == 2 * 6 * 11


def test_views_of_an_example_are_in_one_batch_and_no_neighbours():
    augment = augmentation_of([Call("repeated", {"views": 3})])
    batches = take(22, augment=augment, batch_size=12)
    for batch in batches:
        found = indices(batch)
        assert found[:4] == found[4:8] == found[8:]
        assert len(set(found[:4])) == 4 or 0 in np.diff(sorted(found[:4]))
    unique = [index for batch in batches for index in indices(batch)[:4]]
    assert unique == stream(22)


@pytest.mark.parametrize("batch_size", [3, 6, 24])
@pytest.mark.parametrize("position", [0, 6, 30])
def test_views_are_those_of_any_batch_size_and_go_on_anywhere(batch_size, position):
    augment = augmentation_of(
        [Call("affine", {"rotate": 30, "translate": 0.3}), Call("repeated", {"views": 3})]
    )
    count = 48 // batch_size
    options = {"augment": augment, "position": position}
    found = take(count, batch_size=batch_size, **options)
    whole = take(16, augment=augment, batch_size=3, threads=0)[position // 3 :]
    images = [np.concatenate([b["input"] for b in batches]) for batches in (found, whole)]
    ours, theirs = ({image.tobytes() for image in each} for each in images)
    assert ours >= theirs
    assert len(theirs) > len(images[1]) // 2
    parts = [take(count, batch_size=24, shard=(i, 4), **options) for i in range(4)]
    sides = [np.concatenate([part[0]["input"] for part in parts])]
    np.testing.assert_array_equal(sides[0], take(1, batch_size=24, **options)[0]["input"])


def test_batches_must_hold_all_views():
    augment = augmentation_of([Call("repeated", {"views": 3})])
    for options in ({"batch_size": 8}, {"batch_size": 6, "position": 4}):
        with pytest.raises(UsageError, match="multiple of 3, the views"):
            take(1, augment=augment, **options)


@pytest.mark.parametrize("length", [1, 7, 8, 9, 20])
@pytest.mark.parametrize(("batch_size", "count"), [(1, 1), (3, 1), (8, 1), (8, 4), (6, 3)])
def test_evaluation_sees_every_example_once(length, batch_size, count):
    shards = [
        list(eval_batches(Numbers(length), preprocess=PREPROCESS, batch_size=batch_size, shard=s))
        for s in [(i, count) for i in range(count)]
    ]
    assert {len(batches) for batches in shards} == {-(-length // batch_size)}
    seen = []
    for batch in itertools.chain.from_iterable(zip(*shards, strict=True)):
        assert batch["input"].shape == (batch_size // count, 4, 4, 1)
        assert {v.dtype.name for v in batch.values()} == {"float32", "int32"}
        real = batch["mask"] == 1
        assert (batch["input"][~real] == 0).all()
        assert (batch["label"][~real] == 0).all()
        seen += np.array(indices(batch))[real].tolist()
    assert seen == list(range(length))


def test_threads_end_with_the_iterator():
    before = set(threading.enumerate())
    batches = train_batches(
        Numbers(11), preprocess=PREPROCESS, augment=None, batch_size=4, seed=0, threads=3
    )
    next(batches)
    started = set(threading.enumerate()) - before
    batches.close()
    assert started
    for thread in started:
        thread.join(timeout=5)
        assert not thread.is_alive()


def test_an_error_in_a_thread_reaches_the_consumer():
    def fail(image, rng, preprocess):
        raise RuntimeError("no luck")

    with pytest.raises(RuntimeError, match="no luck"):
        take(1, augment=fail)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 6, "shard": (0, 4)}, "multiple of 4, got 6"),
        ({"batch_size": 0}, "multiple of 1, got 0"),
        ({"shard": (2, 2)}, r"got \(2, 2\)"),
    ],
)
def test_impossible_sizes_are_refused_before_anything_is_read(options, message):
    with pytest.raises(UsageError, match=message):
        take(0, **options)


def test_an_empty_split_is_refused():
    with pytest.raises(UsageError, match="holds no images"):
        eval_batches(Numbers(0), preprocess=PREPROCESS, batch_size=4)


def test_few_shot_draws_the_same_number_of_each_class():
    data = Numbers(40)
    drawn = few_shot(data, 3, seed=0)
    assert [drawn[i]["label"] for i in range(len(drawn))].count(0) == 3
    assert len(drawn) == len(set(drawn.indices)) == 6
    assert (drawn.name, drawn.split, drawn.class_names) == ("numbers", "train", ("even", "odd"))


def test_few_shot_is_a_function_of_the_seed_and_grows_by_adding():
    data = Numbers(40)
    assert few_shot(data, 3, seed=1) == few_shot(data, 3, seed=1)
    assert few_shot(data, 3, seed=1).indices != few_shot(data, 3, seed=2).indices
    assert set(few_shot(data, 3, seed=1).indices) < set(few_shot(data, 9, seed=1).indices)


def test_few_shot_says_which_class_is_too_small():
    with pytest.raises(UsageError, match="5 images of class 'odd', and 6 of each"):
        few_shot(Numbers(11), 6, seed=0)
    with pytest.raises(UsageError, match="at least 1, got 0"):
        few_shot(Numbers(11), 0, seed=0)
