"""The weights that ship come from one command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import checkpoints

ROOT = Path(checkpoints.__file__).parents[1]


@pytest.mark.slow
def test_the_recipe_of_shipped_weights_is_as_accurate_as_their_card(tmp_path):
    """In a process of its own, whose programs are compiled as a user's are."""
    name, out = "resnet8.digits", str(tmp_path / "run")
    words = [sys.executable, "-m", "jax_functional_zoo", "train", "--recipe", name, "--json"]
    environment = {n: v for n, v in os.environ.items() if n != "XLA_FLAGS"} | {
        "PYTHONPATH": str(ROOT)
    }
    ran = subprocess.run(
        [*words, "--out", out], env=environment, check=True, capture_output=True, text=True
    )
    card, found = checkpoints.weights_info(name), json.loads(ran.stdout)
    assert found["count"] == card.metrics["count"] == 360
    assert found["top1"] >= card.metrics["top1"] - 2 / 360  # two images, between processors
    assert checkpoints.load(out).card.metrics["top1"] == found["top1"]
