"""Where a run goes on: the newest checkpoint that is finite and intact, and nothing else."""

import dataclasses
import json
import math
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import checkpoints
import train
import zoo
from checkpoints import store
from tests.train.test_fit import BASE, config, same_bits
from train import divergence, run_checkpoints
from train.stored_state import to_stored

SLOW_LOG = {"log_every": 4, "save_every": 3}  # a checkpoint between two rows


def told(run_config):
    """A run's result and everything that it said."""
    reporter, news = train.report.Reporter(), []
    reporter.say = news.append
    return train.fit(run_config, reporter), "\n".join(news)


def rates(**changes):
    return dataclasses.replace(BASE.optimization, **changes)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train.fit(config(tmp_path_factory.mktemp("runs") / "whole", **SLOW_LOG))


@pytest.fixture
def copy(whole, tmp_path):
    """A copy of the whole run, with checkpoints of steps 3 and 6, of its own to damage."""
    return shutil.copytree(whole.directory, tmp_path / "copy")


def spoil(checkpoint, state, where, value):
    """Writes a state with one other value, as a version did that did not look at what it saves."""

    def changed(path, leaf):
        is_meant = jax.tree_util.keystr(path, simple=True, separator="/") == where
        return leaf.at[(0,) * leaf.ndim].set(value) if is_meant else leaf

    tree = jax.tree_util.tree_map_with_path(changed, to_stored(state))
    checkpoints.save(checkpoint, tree, store.read_card(checkpoint))


def leaf_of(checkpoint, *words):
    leaves = json.loads((checkpoint / "manifest.json").read_text())["leaves"]
    return next(path for path in leaves if all(word in path for word in words))


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def largest_file(folder):
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def test_a_newest_state_that_is_not_finite_is_passed_over(whole, copy):
    newest = store.step_path(copy, 6)
    where = leaf_of(newest, "batch_stats/", "/var")
    spoil(newest, whole.state, where, math.inf)
    resumed, news = told(config(copy, **SLOW_LOG, resume=True))
    refusal = "going on from step 3, for a newer checkpoint cannot be used: The state in"
    assert f"{refusal} {str(newest)!r} has diverged: `{where}` hold values that" in news
    assert same_bits(resumed.state, whole.state)
    assert (copy / "steps" / "00000006.unusable").is_dir()


def test_one_flipped_bit_in_the_newest_does_not_stop_a_run(whole, copy):
    newest = store.step_path(copy, 6)
    flip_a_bit(largest_file(newest / "arrays"))
    resumed, news = told(config(copy, **SLOW_LOG, resume=True))
    assert "going on from step 3, for a newer checkpoint cannot be used" in news
    assert same_bits(resumed.state, whole.state)
    store.verify(newest)


DAMAGE = {
    "a NaN among the parameters": lambda newest, state: spoil(
        newest, state, leaf_of(newest, "params/head/kernel"), math.nan
    ),
    "a NaN among the moments": lambda newest, state: spoil(
        newest, state, leaf_of(newest, "train/opt_state", "/nu/"), math.nan
    ),
    "a bit of the manifest": lambda newest, _: flip_a_bit(newest / "manifest.json"),
    "a bit of the card": lambda newest, _: flip_a_bit(newest / "card.json"),
    "no manifest": lambda newest, _: (newest / "manifest.json").unlink(),
    "no card": lambda newest, _: (newest / "card.json").unlink(),
    "half a file": lambda newest, _: os.truncate(largest_file(newest / "arrays"), 100),
    "no content": lambda newest, _: shutil.rmtree(newest / "arrays"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_whatever_the_newest_has_an_older_one_serves(whole, copy, damage):
    newest, news = store.step_path(copy, 6), []
    card = store.read_card(newest)
    damage(newest, whole.state)
    state, refused = run_checkpoints.newest_usable(
        copy, lambda path: run_checkpoints.restore(path, card, whole.state), news.append
    )
    assert state.step == 3
    assert refused == [newest]
    assert len(news) == 1


def test_all_bits_of_a_manifest_count(whole, copy):
    """Whichever is flipped, the checkpoint is refused, or is the same."""
    manifest = store.step_path(copy, 6) / "manifest.json"
    content, card = manifest.read_bytes(), store.read_card(manifest.parent)
    for place in np.random.default_rng(0).integers(0, 8 * len(content), 12).tolist():
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        manifest.write_bytes(flipped)
        state, refused = run_checkpoints.newest_usable(
            copy, lambda path: run_checkpoints.restore(path, card, whole.state), lambda _: None
        )
        assert state.step == (3 if refused else 6)
        assert refused or same_bits(state, whole.state)


def test_rows_after_a_resume_between_two_rows_are_those_of_an_undisturbed_run(whole, copy):
    shutil.rmtree(store.step_path(copy, 6))
    resumed = train.fit(config(copy, **SLOW_LOG, resume=True))
    speed = {"images_per_second": 0.0, "input_share": 0.0}
    assert [row | speed for row in resumed.history] == [row | speed for row in whole.history]


def test_what_has_diverged_is_not_saved_and_the_advice_can_be_followed(tmp_path):
    wild = rates(learning_rate=1e12, clip_norm=None, warmup=0.0)
    often = {"save_every": 1, "log_every": 100, "eval_every": 100}
    with pytest.raises(zoo.UsageError) as refused:
        train.fit(config(tmp_path, optimization=wild, **often))
    assert "Continue" in str(refused.value)
    assert "with `resume` and a lower `learning_rate`" in str(refused.value)
    for _, path in store.steps(tmp_path):
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(checkpoints.load(path).variables))
    higher = rates(learning_rate=1e13, clip_norm=None, warmup=0.0)
    with pytest.raises(zoo.UsageError, match=r"lower rates or `clip_norm` since it diverged"):
        train.fit(config(tmp_path, optimization=higher, resume=True, **often))
    tame = rates(learning_rate=1e-3, clip_norm=1.0, warmup=0.0)
    result, news = told(config(tmp_path, optimization=tame, resume=True, **often))
    assert "`learning_rate`: 1000000000000.0 before, now 0.001" in news
    assert result.state.step == 6
    assert divergence.remembered(tmp_path) is None
    with pytest.raises(zoo.UsageError, match="another config"):
        train.fit(config(tmp_path, optimization=rates(learning_rate=1e-4), resume=True, **often))


def test_infinities_that_a_fresh_state_has_are_no_divergence():
    fresh = {"best": jnp.array(jnp.inf), "w": jnp.zeros(2), "step": jnp.array(3)}
    allowed = divergence.infinite(fresh)
    assert divergence.flaws(fresh, allowed) == []
    assert divergence.flaws(fresh | {"w": jnp.array([1.0, -jnp.inf])}, allowed) == ["w"]
    assert divergence.flaws(fresh | {"best": jnp.array(jnp.nan)}, allowed) == ["best"]


@pytest.mark.slow
def test_a_plateau_that_has_seen_no_epoch_yet_is_saved_and_resumed(tmp_path):
    plateau = rates(schedule="plateau")
    train.fit(config(tmp_path, steps=2, optimization=plateau))
    assert train.fit(config(tmp_path, steps=3, optimization=plateau, resume=True)).state.step == 3


def test_the_best_evaluated_state_is_kept_wherever_it_fell(tmp_path, monkeypatch):
    accuracies = iter([0.1, 0.5, 0.3, 0.4, 0.2, 0.2])
    monkeypatch.setattr(
        "train.evaluations.evaluate", lambda *_, **__: {"loss": 1.0, "top1": next(accuracies)}
    )
    train.fit(config(tmp_path, save_every=4, eval_every=1))
    assert checkpoints.load(f"{tmp_path}@best").card.metrics["top1"] == 0.5
    assert [step for step, _ in store.steps(tmp_path)] == [2, 4, 6]


def test_how_often_to_save_log_and_evaluate_may_change(copy):
    shutil.rmtree(store.step_path(copy, 6))
    often = {"save_every": 1, "log_every": 1, "eval_every": 3}
    result, news = told(config(copy, resume=True, **often))
    assert [row["step"] for row in result.history] == [4, 5, 6]
    assert "`log_every`: 4 before, now 1" in news
