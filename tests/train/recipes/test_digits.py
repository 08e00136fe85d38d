"""The weights that ship come from one command."""

import json
import os
import subprocess
import sys

import pytest

import checkpoints


@pytest.mark.slow
def test_the_recipe_of_shipped_weights_is_as_accurate_as_their_card(tmp_path):
    """In a process of its own, whose programs are compiled as a user's are."""
    name, out = "resnet8.digits", str(tmp_path / "run")
    words = [sys.executable, "-m", "jax_functional_zoo", "train", "--recipe", name, "--json"]
    environment = {n: v for n, v in os.environ.items() if n != "XLA_FLAGS"}
    ran = subprocess.run(
        [*words, "--out", out], env=environment, check=True, capture_output=True, text=True
    )
    card, found = checkpoints.weights_info(name), json.loads(ran.stdout)
    assert found["count"] == card.metrics["count"] == 360
    assert found["top1"] >= card.metrics["top1"] - 2 / 360  # two images, between processors
    assert checkpoints.weights_info(out).metrics["top1"] == found["top1"]
