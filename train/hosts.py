"""Several processes that train together, one for each host: who writes, and what all agree on.

`jax.distributed.initialize` connects them: `zoo train --distributed` on a TPU pod, under SLURM,
Kubernetes or MPI. Each reads its own part of every batch, all save together, and the first alone
writes logs and speaks. With one process everything here is the identity.
"""

import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from zoo.errors import UsageError

MESSAGE_BYTES = 4096  # broadcasts need one size in all processes


def join() -> None:
    """Connects this process to the others of its job; before anything asks for devices.

    Raises:
        UsageError: no cluster was found, or the others did not answer.
    """
    try:
        jax.distributed.initialize()
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
        UsageError: in every process, if it was raised in the first.
    """
    if jax.process_count() == 1:
        return compute()
    told = _from_the_first(_outcome(compute) if is_first() else {})
    if "error" in told:
        raise UsageError(told["error"])
    return told["value"]


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


def _outcome(compute: Callable[[], str]) -> dict[str, str]:
    try:
        return {"value": compute()}
    except UsageError as error:
        return {"error": str(error)}


def _from_the_first(message: dict[str, str]) -> dict[str, Any]:
    text = json.dumps(message).encode()
    if len(text) > MESSAGE_BYTES:
        text = json.dumps({k: v[: MESSAGE_BYTES // 8] for k, v in message.items()}).encode()
    held = np.frombuffer(text.ljust(MESSAGE_BYTES), np.uint8)
    return json.loads(bytes(np.asarray(multihost_utils.broadcast_one_to_all(held))))
