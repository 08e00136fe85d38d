"""Operations of an update, and what share of a device's peak they come to."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

import train
import zoo
from tests.train.test_fit import BASE
from train import roofline, utilisation
from zoo.cost import count_flops

SMALL = dataclasses.replace(BASE, overrides={"stage_sizes": [1], "width": 8}, steps=2, eval_every=9)


def test_operations_are_counted_there_and_back():
    images, kernel = jnp.zeros((4, 9, 9, 3)), jnp.zeros((3, 3, 3, 8))

    def loss(kernel, images):
        strided = jax.lax.conv_general_dilated(
            images, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return jnp.tanh(strided).sum()

    forward = 2 * 4 * 5 * 5 * 8 * 27
    assert count_flops(loss, kernel, images) == forward
    assert count_flops(jax.grad(loss), kernel, images) == 2 * forward
    both = count_flops(jax.grad(loss, argnums=(0, 1)), kernel, images)
    assert 2.8 * forward < both < 3.3 * forward  # borders apart


def test_loops_count_every_turn():
    def loop(x):
        return jax.lax.scan(lambda c, _: (c @ c, None), x, length=7)[0]

    assert count_flops(loop, jnp.zeros((4, 4))) == 7 * 2 * 4**3


@pytest.mark.parametrize("changes", [{}, {"accumulate": 2}, {"mesh": "fsdp=8"}])
def test_the_operations_of_an_update_are_three_forward_passes(changes):
    planned = train.plan(dataclasses.replace(SMALL, **changes))
    macs = zoo.cost.count_macs(planned.network.model, (8, 8, 1))
    first = 2 * 8 * 8 * 9 * 8  # nothing asks for the gradient of images
    assert utilisation.flops_per_example(planned) == pytest.approx(6 * macs - first, rel=0.05)
    remat = dataclasses.replace(SMALL, overrides={**SMALL.overrides, "remat": True})
    again = utilisation.flops_per_example(train.plan(remat))
    assert again == utilisation.flops_per_example(planned)


def test_a_run_logs_its_share_of_a_known_peak(monkeypatch, tmp_path):
    config = dataclasses.replace(SMALL, out=str(tmp_path / "run"))
    kind = jax.devices()[0].device_kind
    monkeypatch.setitem(roofline.PEAKS, kind, roofline.Peak(1e9, 1e9))
    result = train.fit(config)
    each = utilisation.flops_per_example(train.plan(config)) / (8 * 1e9)
    for row in result.history:
        assert row["mfu"] == pytest.approx(row["images_per_second"] * each, abs=1e-4)
    assert f"MFU {result.history[-1]['mfu']:.1%}" in train.report.describe(result.history[-1])
    monkeypatch.delitem(roofline.PEAKS, kind)
    again = dataclasses.replace(config, resume=True, steps=3)
    assert "mfu" not in train.fit(again).history[-1]
