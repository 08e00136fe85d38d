"""Balanced sampling: classes alike, every example of a class before one comes again, and exact."""

import itertools
import shutil
from collections import Counter

import jax
import numpy as np
import pytest

import checkpoints
import train
from checkpoints import store
from jax_functional_zoo.__main__ import main
from tests.train.test_data_labels import Listed
from tests.train.test_data_pipeline import PREPROCESS
from train.data.sampling import Balanced, balanced
from zoo.errors import UsageError

LABELS = (0,) * 12 + (1,) * 3 + (3,) * 5
DATA = Listed(LABELS, class_names=("a", "b", "none", "c"))


def test_every_class_comes_once_in_as_many_positions_as_there_are_classes():
    sampler = balanced(DATA)
    drawn = [sampler(7, position) for position in range(3 * 12 * 4)]
    for start in range(0, len(drawn), 3):
        assert sorted(LABELS[i] for i in drawn[start : start + 3]) == [0, 1, 3]
    orders = {tuple(LABELS[i] for i in drawn[s : s + 3]) for s in range(0, len(drawn), 3)}
    assert len(orders) == 6
    often = Counter(drawn)
    for label, each in ((0, {4}), (1, {16}), (3, {9, 10})):
        assert {often[i] for i, of in enumerate(LABELS) if of == label} == each


def test_positions_are_independent_of_each_other_and_seeds_differ():
    sampler = balanced(DATA)
    whole = [sampler(0, position) for position in range(60)]
    assert [sampler(0, position) for position in reversed(range(60))] == whole[::-1]
    assert [Balanced(sampler.members)(1, position) for position in range(60)] != whole


class Pixels(Listed):
    """Images that hold their index."""

    def __getitem__(self, index):
        return {"input": np.full((4, 4, 1), index, np.uint8), "label": self.labels[index]}


def batches(**options):
    data = Pixels(LABELS, class_names=DATA.class_names)
    options = {"batch_size": 8, "preprocess": PREPROCESS, "sampler": balanced(data)} | options
    found = train.train_batches(data, **options)
    yield from itertools.islice(found, 6)
    found.close()


def test_shares_of_hosts_and_a_resumed_stream_are_the_whole_one():
    whole = [batch["input"] for batch in batches()]
    shares = zip(batches(shard=(0, 2)), batches(shard=(1, 2)), strict=True)
    for batch, (first, second) in zip(whole, shares, strict=True):
        np.testing.assert_array_equal(batch, np.concatenate([first["input"], second["input"]]))
    later = [batch["input"] for batch in batches(position=16)]
    for batch, resumed in zip(whole[2:], later, strict=False):
        np.testing.assert_array_equal(batch, resumed)


def test_only_classes_are_balanced():
    with pytest.raises(UsageError, match="`sampling` balanced is for one class of several"):
        balanced(Listed((0.5,), task="numbers"))


def test_a_config_says_how_a_run_samples():
    config = train.Config(model="resnet8", dataset="zoo_digits", steps=1, sampling="balanced")
    assert isinstance(train.plan(config).sampler, Balanced)


@pytest.mark.slow
def test_a_run_samples_as_its_config_says_and_resumes_to_the_same_bits(tmp_path):
    options = ["--model", "resnet8", "--set", "stage_sizes=[1]", "width=8", "--batch-size", "16"]
    options += ["--dataset", "zoo_digits", "--sampling", "balanced", "--save-every", "1"]
    assert main(["train", *options, "--steps", "3", "--out", str(tmp_path / "whole")]) == 0
    shutil.copytree(tmp_path / "whole", tmp_path / "parts")
    shutil.rmtree(store.step_path(tmp_path / "parts", 3))
    assert main(["train", "--resume", "--out", str(tmp_path / "parts")]) == 0
    found = [checkpoints.load(tmp_path / name).variables for name in ("whole", "parts")]
    for a, b in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_array_equal(a, b)
