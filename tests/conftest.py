"""JAX as strict as it can be, on eight virtual CPU devices."""

import json
import os
from pathlib import Path

from tests.compiling import XLA_FLAGS

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", XLA_FLAGS)
# In the environment, so that processes that are started here keep their programs there too.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path.home() / ".cache/jax-functional-zoo/tests")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save

from tests.checkpoints.gcs_server import running_bucket
from tests.golden import fill

HEADS = ("fc.", "head.fc.")
CASES = Path(__file__).parent / "golden" / "cases"

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="module", autouse=True)
def _no_programs_of_others():
    """Thousands of compiled programs at once are more mappings than a process may have."""
    yield
    jax.clear_caches()


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def golden_tensors():
    """`golden_tensors(case, num_classes)`: tensors, images and recorded arrays of a case.

    More classes than the case has leave its logits as they are: the fill of a longer head begins
    with that of the shorter one.
    """

    def read(name, num_classes=None):
        case = json.loads((CASES / f"{name}.json").read_text())
        if num_classes:
            case["state_dict"] = [
                [n, [num_classes, *shape[1:]] if n.startswith(HEADS) else shape, dtype]
                for n, shape, dtype in case["state_dict"]
            ]
        tensors = {
            n: t.astype(np.float32 if t.dtype == np.float64 else t.dtype)
            for n, t in fill.fill_state_dict(case).items()
        }
        images = jnp.asarray(fill.make_input(case), jnp.float32)
        return tensors, images, dict(np.load(CASES / f"{name}.npz"))

    return read


@pytest.fixture
def golden(golden_tensors):
    """The same with the tensors as the body of a safetensors file."""

    def read(name, num_classes=None):
        tensors, *rest = golden_tensors(name, num_classes)
        return save(tensors), *rest

    return read


@pytest.fixture(scope="session")
def bucket_server():
    """One for all tests: the clients in this process keep the address that they first see."""
    with running_bucket() as running:
        yield running


@pytest.fixture
def bucket(bucket_server, monkeypatch):
    """An empty bucket behind `gs://zoo`, also for processes that a test starts."""
    bucket_server.clear()
    for name, value in bucket_server.environment.items():
        monkeypatch.setenv(name, value)
    return bucket_server
