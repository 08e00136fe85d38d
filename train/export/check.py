"""An exported file is run where nothing of the project is, before anybody gets to see it."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from checkpoints import fingerprint
from checkpoints.pretrained import Pretrained
from train.export import program
from zoo.errors import UsageError

BATCHES = (1, 3, 17)
TOLERANCE = {"float32": 1e-5, "bfloat16": 2e-2}  # of the largest output
ABSENT = ("flax", "zoo", "checkpoints", "train", "jax_functional_zoo")
SCRIPT = Path(__file__).with_name("elsewhere.py")
# Whoever imports one of these in that process gets an ImportError.
START = (
    "import runpy, sys; sys.modules.update(dict.fromkeys({absent!r})); sys.argv = sys.argv[1:]; "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)


class Checked(NamedTuple):
    """What came of a file in another process.

    Attributes:
        error: largest difference to the network, as a share of its largest output.
        seconds: of loading ("load"), of the first call of each batch ("first") and of a second one
            ("again"), which are by batch; and the memory of the process ("memory", bytes).
    """

    error: float
    seconds: dict[str, Any]


def examples(shape: Sequence[int], dtype: Any) -> np.ndarray:
    """Made-up examples, the largest of the batches: any bytes, or numbers in [-1, 1)."""
    drawn = fingerprint.probe((max(BATCHES), *shape))
    return ((drawn + 1) * 128).astype(np.uint8) if dtype == jnp.uint8 else drawn


def expected(loaded: Pretrained, inputs: np.ndarray, *, raw: bool) -> Float[np.ndarray, "b out"]:
    """The network's own outputs; raw inputs are prepared as the weights' card says, one by one."""
    if raw:
        inputs = np.stack([loaded.preprocess(one) for one in inputs])
    return fingerprint.answer(loaded.model, loaded.variables, inputs)


def run(file: Path, inputs: np.ndarray) -> tuple[dict[int, np.ndarray], dict[str, Any]]:
    """Outputs of a file by batch, and its times, in a process that cannot import the project.

    Raises:
        UsageError: the process failed; its last line says why.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder, "inputs.npz"), Path(folder, "outputs.npz")
        np.savez(given, **{str(size): inputs[:size] for size in BATCHES})  # pyright: ignore[reportArgumentType]
        start = START.format(absent=ABSENT)
        arguments = [sys.executable, "-P", "-c", start, SCRIPT, file, given, found]
        done = subprocess.run([*map(str, arguments)], check=False, capture_output=True, text=True)
        if done.returncode != 0:
            reason = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
            raise UsageError(
                f"the exported program does not run by itself, so it was not kept: {reason}"
            )
        outputs = {int(name): array for name, array in np.load(found).items()}
    return outputs, json.loads(done.stdout)


def allowed(loaded: Pretrained, dtype: str) -> float:
    """Up to which share of the largest output a program in that dtype counts as equal."""
    return max(TOLERANCE[dtype], fingerprint.tolerance(loaded.card))


def checked(file: Path, inputs: np.ndarray, answers: np.ndarray, tolerance: float) -> Checked:
    """Compares a file with the network it was made of, at batches of 1, 3 and 17.

    Args:
        file: what was exported.
        inputs: of `examples`.
        answers: the network's, of `expected`.
        tolerance: of `allowed`.

    Raises:
        UsageError: it cannot run here, or gives other numbers.
    """
    outputs, seconds = run(file, inputs)
    largest = float(np.abs(answers).max()) or 1.0
    differences = [np.abs(outputs[size] - answers[:size]).max() / largest for size in BATCHES]
    error = float(np.max(differences))  # NaN if one of them is
    if not error <= tolerance:
        raise UsageError(
            f"the exported program differs from the network by {error:.1e} of the largest output, "
            f"and {tolerance:.0e} is allowed; it was not kept"
        )
    return Checked(error, seconds)


def require_platform(platforms: Sequence[str]) -> None:
    """Refuses what could not be checked on this machine."""
    here = jax.default_backend()
    here = {"gpu": "cuda"}.get(here, here)
    if here not in platforms:
        raise UsageError(
            f"`platforms` must include {here}, the one of this machine, so that the file can be "
            f"checked; got {' '.join(platforms)} of {', '.join(program.PLATFORMS)}"
        )
