"""Mutated files: a clear error or the right arrays; never a crash, a hang, or wrong arrays.

A zip file holds a checksum of every member and our directories hold a manifest, so what they give
must be right to the bit. Nothing guards the numbers in a bare safetensors or HDF5 file: where no
hash is published, the structure is all that a reader can check.
"""

import os
import random
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

import checkpoints
from checkpoints import readers, store
from tests.checkpoints.keras_files import write_h5
from tests.checkpoints.torch_files import write, write_legacy
from zoo.errors import UsageError

TENSORS = {
    "stem/kernel": np.linspace(-1, 1, 108, dtype=np.float32).reshape(3, 3, 3, 4),
    "stem/bias": np.arange(4, dtype=np.float32),
    "head/kernel": np.linspace(0, 9, 40, dtype=np.float32).reshape(4, 10),
    "head/steps": np.arange(5),
}
EXACT = ("npz", "pth", "orbax")
SLACK = 64 << 20


WRITERS = {
    "safetensors": lambda path, tensors: save_file(tensors, path),
    "npz": lambda path, tensors: np.savez(path, **tensors),
    "pth": lambda path, tensors: write(path, dict(tensors)),
    "legacy": lambda path, tensors: write_legacy(path, dict(tensors)),
    "h5": write_h5,
}


@pytest.fixture
def originals(tmp_path, card):
    """An intact file of every format, and a directory."""
    folder = tmp_path / "originals"
    folder.mkdir()
    for form, write_file in WRITERS.items():
        write_file(folder / f"x.{form}", TENSORS)
    tree = {"params": {name: jnp.asarray(array) for name, array in TENSORS.items()}}
    checkpoints.save(folder / "x.orbax", tree | {"batch_stats": {}}, card)
    return folder


def flip(body, rng):
    place = rng.randrange(len(body))
    return body[:place] + bytes([body[place] ^ 1 << rng.randrange(8)]) + body[place + 1 :]


def flip_at_the_start(body, rng):
    return flip(body[:400], rng) + body[400:]


def truncate(body, rng):
    return body[: rng.randrange(len(body))]


def swap(body, rng):
    """Two pieces of the same length change places."""
    length = rng.randint(1, max(1, min(16, len(body) // 4)))
    first, second = sorted(rng.sample(range(len(body) // length), 2))
    a, b = first * length, second * length
    middle = body[a + length : b]
    return body[:a] + body[b : b + length] + middle + body[a : a + length] + body[b + length :]


def overwrite(body, rng):
    length = rng.randint(1, 8)
    place = rng.randrange(len(body))
    return body[:place] + bytes(rng.choices((0, 255, 127), k=length)) + body[place + length :]


MUTATIONS = (flip, flip_at_the_start, truncate, swap, overwrite)


def mutated(original, target, rng):
    """A copy with one to three mutations; of a directory, in one of its files."""
    if original.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(original, target)
        files = sorted(p for p in target.rglob("*") if p.is_file() and p.stat().st_size > 1)
        victim = rng.choice(files)
    else:
        victim = target
        shutil.copyfile(original, target)
    body = victim.read_bytes()
    for _ in range(rng.randint(1, 3)):
        body = rng.choice(MUTATIONS)(body, rng) if len(body) > 1 else body
    victim.write_bytes(body)


def read(path):
    """The tensors of a file or directory."""
    if not path.is_dir():
        return readers.read(path)
    store.read_card(path)
    abstract = {name: np.zeros(a.shape, jnp.asarray(a).dtype) for name, a in TENSORS.items()}
    return store.restore(path, {"params": abstract})["params"]


def check(path, form):
    """Whether the file was refused; what is not refused is asserted to be right."""
    try:
        found = read(path)
    except UsageError:
        return True
    if form in EXACT:
        assert set(found) == set(TENSORS)
        for name, tensor in TENSORS.items():
            np.testing.assert_array_equal(found[name], tensor)
    assert all(isinstance(a, np.ndarray) or form == "orbax" for a in found.values())
    assert sum(a.nbytes for a in found.values()) <= 2 * path.stat().st_size + SLACK
    return False


def fuzz(folder, form, seeds):
    original, target = folder / f"x.{form}", folder / f"mutated.{form}"
    assert not check(original, form)
    refused = 0
    for seed in seeds:
        mutated(original, target, random.Random(seed))
        try:
            refused += within_memory(lambda: check(target, form))
        except Exception as error:
            raise AssertionError(f"seed {seed} of {form}") from error
    assert refused > len(seeds) // 4


def within_memory(function):
    """The value of a function that may not allocate more than any machine has at a time.

    Files are small here; that large ones take no more than twice their size is measured below.
    """
    tracemalloc.start()
    try:
        value = function()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= SLACK
    return value


@pytest.mark.parametrize("form", ["safetensors", "npz", "pth", "legacy", "h5", "orbax"])
def test_mutated_files_are_refused_or_right(originals, form):
    fuzz(originals, form, range(12))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["safetensors", "npz", "pth", "legacy", "h5", "orbax"])
def test_five_hundred_mutated_files_are_refused_or_right(originals, form):
    fuzz(originals, form, range(100, 200))


READ = """
import re
import sys
from pathlib import Path
import jax
import numpy as np
from checkpoints import manifest, readers, store

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(name)))

def read(path):
    if not path.is_dir():
        return readers.read(path)
    params = {}
    for leaf, spec in manifest.read(path)["leaves"].items():
        dtype, shape = re.fullmatch(r"(\\w+)\\[(.*)\\]", spec).groups()
        params[leaf.removeprefix("params/")] = jax.ShapeDtypeStruct(
            tuple(map(int, shape.split(","))), dtype
        )
    return jax.block_until_ready(store.restore(path, {"params": params}))

small, large = map(Path, sys.argv[1:])
read(small)  # imports and threads
before = status("VmRSS")
kept = read(large)
print(status("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux how much was used")
@pytest.mark.parametrize("form", ["safetensors", "npz", "pth", "legacy", "h5", "orbax"])
def test_a_large_file_takes_no_more_than_twice_its_size(originals, form, tmp_path, card):
    noise = np.random.default_rng(0).random((2048, 2048), np.float32)
    tensors = {f"w/{name}": noise + i for i, name in enumerate("abcd")}
    path = tmp_path / f"large.{form}"
    if form == "orbax":
        checkpoints.save(path, {"params": {n: jnp.asarray(t) for n, t in tensors.items()}}, card)
    else:
        WRITERS[form](path, tensors)
    command = [sys.executable, "-c", READ, str(originals / f"x.{form}"), str(path)]
    # The C library gives freed memory back at once, so that only what is in use counts.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
    root = Path(__file__).parents[2]
    found = subprocess.run(command, capture_output=True, text=True, cwd=root, env=environment)
    assert found.returncode == 0, found.stderr
    size = sum(t.nbytes for t in tensors.values())
    assert size / 2 < int(found.stdout) < 2 * size + (16 << 20)
