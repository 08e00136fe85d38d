"""Several processes that train together, one for each host: who writes, and what all agree on.

`jax.distributed.initialize` connects them: `zoo train --distributed` on a TPU pod, under SLURM,
Kubernetes or MPI. Each reads its own part of every batch, all save together, and the first alone
writes logs and speaks. With one process everything here is the identity.
"""

import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import UInt8

from zoo.errors import UsageError

T = TypeVar("T")
HEARTBEAT = 28  # seconds after which JAX gives a host up; `train.heartbeat` is faster
MESSAGE_BYTES = 4096  # broadcasts need one size in all processes


def join() -> None:
    """Connects this process to the others of its job; before anything asks for devices.

    Raises:
        UsageError: no cluster was found, or the others did not answer.
    """
    try:
        jax.distributed.initialize(heartbeat_timeout_seconds=HEARTBEAT)
    except (ValueError, RuntimeError) as error:
        raise UsageError(
            f"`--distributed` found no job to join: {error} Start it with the launcher of a TPU "
            "pod, SLURM, Kubernetes or MPI, or call `jax.distributed.initialize(...)` and "
            "`train.fit` in a program of your own."
        ) from error


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return jax.process_index() == 0


def shard() -> tuple[int, int]:
    """Which part of a batch this process reads, as `(i, n)`."""
    return jax.process_index(), jax.process_count()


def agreed(compute: Callable[[], str]) -> str:
    """What `compute` returns in the first process, which alone calls it.

    Raises:
        UsageError: in every other process, if it raised anything in the first.
    """
    if jax.process_count() == 1:
        return compute()
    try:
        told, mine = {"value": compute() if is_first() else ""}, None
    except Exception as error:
        told, mine = {"error": _in_words(error)}, error
    told = _from_the_first(told)
    if mine is not None:
        raise mine
    if "error" in told:
        raise UsageError(told["error"])
    return told["value"]


def together(compute: Callable[[], T]) -> T:
    """What `compute` returns in this process; if it raises in any of them, all raise.

    Without this the others would wait for a process that has left.

    Raises:
        UsageError: it raised in another process, whose number and words it gives.
    """
    if jax.process_count() == 1:
        return compute()
    result: list[T] = []
    mine: Exception | None = None
    try:
        result.append(compute())
    except Exception as error:
        mine = error
    words = of_all(_in_words(mine) if mine else "")
    if mine is not None:
        raise mine
    if failed := [i for i, text in enumerate(words) if text]:
        raise UsageError(f"host {failed[0]} cannot begin: {words[failed[0]]}")
    return result[0]


def of_all(text: str) -> list[str]:
    """What each process says, in their order; all of them must say something."""
    if jax.process_count() == 1:
        return [text]
    rows = multihost_utils.process_allgather(_padded(text))
    return [bytes(row).decode().strip() for row in rows]


def require_shared(directory: Path | Any) -> None:
    """Makes every process prove that it sees what the first one writes in the run directory.

    Raises:
        UsageError: in all processes, if one does not.
    """
    if jax.process_count() == 1:
        return
    name = agreed(lambda: _token(directory))
    seen = multihost_utils.process_allgather(np.int32(_is_seen(directory / name)))
    if is_first():
        (directory / name).unlink(missing_ok=True)
    if blind := [str(i) for i, sees in enumerate(np.ravel(seen)) if not sees]:
        raise UsageError(
            f"host {' and '.join(blind)} of {len(np.ravel(seen))} does not see what host 0 writes "
            f"in `out` {directory}: they share no disk there. Give a folder that all of them mount,"
            " or a bucket, as in --out gs://BUCKET/RUN"
        )


def _token(directory: Path | Any) -> str:
    name = f".seen-{uuid.uuid4().hex}"
    (directory / name).write_text(name)
    return name


def _is_seen(path: Path | Any) -> bool:
    """Whether a file is there; on network disks that may take some seconds."""
    for _ in range(10):
        if path.exists():
            return True
        time.sleep(0.5)
    return False


def largest(number: int) -> int:
    """The largest of the processes' numbers; all of them must ask."""
    if jax.process_count() == 1:
        return number
    return int(np.max(multihost_utils.process_allgather(np.int32(number))))


def gathered(tree: Any) -> Any:
    """Arrays that are split over the devices of all processes, whole, as NumPy arrays."""
    if jax.process_count() == 1:
        return jax.tree.map(np.asarray, tree)
    return multihost_utils.process_allgather(tree, tiled=True)


def _in_words(error: Exception) -> str:
    return str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"


def _padded(text: str) -> UInt8[np.ndarray, " bytes"]:
    """Text in as many bytes as every message has, cut where a character ends."""
    whole = text.encode()[:MESSAGE_BYTES].decode(errors="ignore").encode()
    return np.frombuffer(whole.ljust(MESSAGE_BYTES), np.uint8)


def _from_the_first(message: dict[str, str]) -> dict[str, Any]:
    text = json.dumps(message)
    if len(text.encode()) > MESSAGE_BYTES:
        text = json.dumps({k: v[: MESSAGE_BYTES // 8] for k, v in message.items()})
    return json.loads(bytes(np.asarray(multihost_utils.broadcast_one_to_all(_padded(text)))))
