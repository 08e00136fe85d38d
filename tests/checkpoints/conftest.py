"""A hub on loopback, small trees, and a way to run code that gets killed."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from checkpoints import Card, Preprocess
from tests.checkpoints.hub_server import running_hub

ROOT = Path(__file__).parents[2]


@pytest.fixture
def card():
    return Card(
        name="resnet8.test",
        architecture="resnet8",
        overrides={"width": 8},
        num_classes=3,
        class_names=("cat", "dog", "größer"),
        preprocess=Preprocess(16, 1.0, "bilinear", (0.5,), (0.25,)),
        source={"kind": "run"},
        license="apache-2.0",
        metrics={"top1": 0.9875, "of": "zoo_digits test"},
        versions={"jax": "0.10.2"},
    )


@pytest.fixture
def tree():
    """What a training run saves: variables, optimiser state, counters and a random key."""
    params = {
        "head": {"kernel": jnp.arange(12.0).reshape(4, 3), "bias": jnp.zeros(3)},
        "stem": {"kernel": jnp.linspace(0, 1, 36).reshape(3, 3, 1, 4)},
    }
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(optax.cosine_decay_schedule(1e-3, 100)),
        optax.masked(optax.trace(0.9), {"head": True, "stem": False}),
    )
    train = {
        "opt_state": optimizer.init(params),
        "step": jnp.int32(120),
        "examples_seen": np.int64(2**40),
        "key": jax.random.key(7),
        "half": jnp.ones(5, jnp.bfloat16),
        "ema": None,
    }
    return {"params": params, "batch_stats": {}, "train": train}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A running hub, and its client with an empty cache that looks for it."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with running_hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        yield server


@pytest.fixture
def run_python():
    """Runs a script in a new interpreter, as a user would; returns the finished process."""

    def run(script, **environment):
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", script],
            cwd=ROOT,
            env={**os.environ, "JAX_PLATFORMS": "cpu", **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


@pytest.fixture
def small_disk(tmp_path):
    """A file system of two megabytes, where the user of the tests may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)]
    with contextlib.suppress(FileNotFoundError):
        if subprocess.run(mount, capture_output=True).returncode == 0:
            yield disk
            subprocess.run(["umount", "-l", str(disk)], check=True)
            return
    pytest.skip("needs the right to mount a file system")


@pytest.fixture
def read_only():
    """Makes a folder one that cannot be written, also by the user who may do everything."""

    @contextlib.contextmanager
    def make(folder):
        if os.geteuid():
            modes = {path: path.stat().st_mode for path in [folder, *folder.rglob("*")]}
            for path in modes:
                path.chmod(modes[path] & ~0o222)
            yield
            for path, mode in modes.items():
                path.chmod(mode)
            return
        bind = ["mount", "--bind", "-o", "ro", str(folder), str(folder)]
        if subprocess.run(bind, capture_output=True).returncode:
            pytest.skip("needs the right to mount a file system")
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)

    return make
