"""Rates over a run, by the formulas of their names."""

import dataclasses
import math

import numpy as np
import pytest

import train
import zoo
from train.lengths import updates
from train.optimizer import make_optimizer
from train.schedules import SCHEDULES, learning_rate

CONFIG = train.OptimizerConfig(learning_rate=0.1, warmup=0.0)
STEPS, EPOCH = 100, 10


def rates(*at, **fields):
    schedule = train.make_schedule(dataclasses.replace(CONFIG, **fields), STEPS, epoch=EPOCH)
    return [float(schedule(step)) for step in at]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", lambda t: 0.1),
        ("plateau", lambda t: 0.1),
        ("cosine", lambda t: 0.05 * (1 + math.cos(math.pi * t))),
        ("cosine:final=0.2", lambda t: 0.1 * (0.2 + 0.4 * (1 + math.cos(math.pi * t)))),
        ("linear:final=0.1", lambda t: 0.1 * (0.1 + 0.9 * (1 - t))),
        ("polynomial:power=3", lambda t: 0.1 * (1 - t) ** 3),
        ("steps", lambda t: 0.1 * 0.2 ** sum(t >= place for place in (0.4, 0.7, 0.9))),
        (
            'steps:at=["3 epochs","60steps"],factor=0.5',
            lambda t: 0.1 * 0.5 ** sum((t >= 0.3, t >= 0.6)),
        ),
        (
            "steps:at=[0.2,0.5],factor=[10.0,0.1]",
            lambda t: 0.1 * (10 if 0.2 <= t < 0.5 else 1),
        ),
        ('exponential:factor=0.9,every="2 epochs"', lambda t: 0.1 * 0.9 ** math.floor(5 * t)),
        ("exponential:factor=0.9,every=20steps,smooth=true", lambda t: 0.1 * 0.9 ** (5 * t)),
    ],
)
def test_a_schedule_is_its_formula(schedule, expected):
    places = [n for n in range(0, STEPS + 1, 5) if n not in (20, 30, 40, 50, 60, 70, 90)]
    np.testing.assert_allclose(
        rates(*places, schedule=schedule), [expected(n / STEPS) for n in places], atol=1e-7
    )


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_warm_up_and_cool_down_begin_and_end_at_zero(schedule):
    fields = {"warmup": "2 epochs", "cooldown": 0.1, "schedule": schedule}
    begin, middle, top, late, last = rates(0, 10, 20, 90, STEPS, **fields)
    if schedule != "onecycle":
        assert (begin, middle, top) == pytest.approx((0.0, 0.05, 0.1), abs=1e-7)
    assert late >= 0
    assert last == pytest.approx(0, abs=1e-7)
    assert rates(95, **fields)[0] == pytest.approx(late / 2, abs=1e-6)


def test_schedule_rises_then_falls_to_zero():
    assert rates(0, 20, 60, 100, warmup=0.2) == pytest.approx([0.0, 0.1, 0.05, 0.0], abs=1e-6)


def test_the_warm_up_begins_where_it_is_told():
    config = dataclasses.replace(CONFIG, warmup=0.2, warmup_from=0.02)
    schedule = train.make_schedule(config, STEPS)
    assert [float(schedule(n)) for n in (0, 10, 20)] == pytest.approx([0.02, 0.06, 0.1])


def test_steps_want_a_factor_for_each_place():
    with pytest.raises(zoo.UsageError, match=r"one for each of `at`, 2; got \[0.1\]"):
        rates(0, schedule="steps:at=[0.2,0.5],factor=[0.1]")


def test_one_cycle_rises_and_falls_by_half_cosines():
    found = rates(0, 15, 30, 65, 100, schedule="onecycle")
    low, high, end = 0.1 / 25, 0.1, 0.1 / 25 / 1e4
    expected = [low, (low + high) / 2, high, (high + end) / 2, end]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_a_plateau_leaves_a_fifth_of_the_rate():
    config = dataclasses.replace(CONFIG, learning_rate=1.0, schedule="plateau", patience=2)
    optimizer, schedule = make_optimizer(config, 100, epoch=3), train.make_schedule(config, 100)
    params = {"w": np.ones(2, np.float32)}
    state, found = optimizer.init(params), []
    for step in range(12):
        _, state = optimizer.update(params, state, params, value=np.float32(1.0))
        found.append(learning_rate(schedule, step, state))
    assert found[0] == 1.0
    assert found[-1] == pytest.approx(0.2)  # after one epoch, and two no better


def test_lengths_are_shares_updates_and_epochs():
    lengths = (0.25, "0.25", "30 steps", "30steps", "1.5 epochs", 0.0)
    found = [updates(length, "warmup", steps=200, epoch=20) for length in lengths]
    assert found == [50, 50, 30, 30, 30, 0]
    for wrong in (1.0, -0.1, "5", "epochs", "5 days", math.nan):
        with pytest.raises(zoo.UsageError, match="`warmup` must be a share"):
            updates(wrong, "warmup", steps=200, epoch=20)
