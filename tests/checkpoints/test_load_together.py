"""Loading by name beside others: two processes at once, one that is killed, a disk that is full."""

import os
import shutil
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save

import checkpoints
import zoo
from checkpoints import store
from tests.checkpoints.conftest import ROOT
from tests.checkpoints.test_timm_hub import REPO, add_config

pytestmark = pytest.mark.slow

LOAD = f"""
import sys
import jax
import checkpoints
{{patch}}
loaded = checkpoints.load("hf-hub:{REPO}", cache_dir=sys.argv[1])
print(sum(float(abs(x).sum()) for x in jax.tree.leaves(loaded.variables)))
"""
DIE = "import os, signal; die = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\n"


@pytest.fixture
def published(hub):
    """What the weights on the hub sum up to."""
    model = zoo.create_model("resnet8", num_classes=3)
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    variables = zoo.init_variables(model, jax.random.key(1), image)
    add_config(hub)
    hub.add(REPO, "model.safetensors", save(checkpoints.export_weights(model, variables)))
    return sum(float(np.abs(x).sum()) for x in jax.tree.leaves(variables))


@pytest.fixture
def start(hub, tmp_path):
    """`start(patch, cache)`: a process that loads the weights and prints their sum."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "HF_HOME": str(tmp_path / "home")}
    environment |= {"HF_ENDPOINT": hub.endpoint}

    def run(patch="", cache=tmp_path / "cache", **variables):
        command = [sys.executable, "-c", LOAD.format(patch=patch), str(cache)]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


def finish(process):
    out, error = process.communicate(timeout=120)
    return process.returncode, out, error


def assert_loads(process, expected):
    status, out, error = finish(process)
    assert status == 0, error
    assert float(out) == pytest.approx(expected)


def test_two_processes_at_once(published, start, tmp_path):
    both = [start(), start()]
    for process in both:
        assert_loads(process, published)
    (kept,) = (tmp_path / "cache").iterdir()
    store.verify(kept)


@pytest.mark.parametrize(
    "patch",
    [
        "checkpoints.origins.published.readers.read = die",
        "checkpoints.manifest.write = die",
        "checkpoints.atomic._flush = die",
    ],
    ids=["before it is converted", "while it is written", "before it has its name"],
)
def test_killed_while_caching(published, start, tmp_path, patch):
    status, *_ = finish(start(DIE + patch))
    assert status == -signal.SIGKILL
    visible = [p for p in (tmp_path / "cache").glob("*") if not p.name.startswith(".")]
    assert visible == []
    assert_loads(start(), published)
    (kept,) = (tmp_path / "cache").iterdir()  # what the killed one had begun is gone
    store.verify(kept)


@pytest.mark.parametrize("full", ["cache", "home"])
def test_a_full_disk(published, start, small_disk, full):
    """Of converted weights a warning, of downloads an error; then, with space, all is well."""
    room = small_disk / "ballast"
    room.write_bytes(bytes(shutil.disk_usage(small_disk).free))
    places = {"cache": small_disk / "c"} if full == "cache" else {"HF_HOME": str(small_disk / "h")}
    status, out, error = finish(start(**places))
    assert "no space left on the device" in error
    if full == "cache":
        assert status == 0
        assert float(out) == pytest.approx(published)
        assert "will be converted again next time" in error
    else:
        assert status != 0
        assert "could not be written to the cache (HF_HOME)" in error
    assert not list(small_disk.rglob("manifest.json"))
    room.unlink()
    for _ in range(2):
        assert_loads(start(**places), published)
