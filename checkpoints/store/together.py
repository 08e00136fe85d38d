"""What several processes that save one checkpoint agree on; a process alone waits for nobody."""

import uuid

import jax
import numpy as np

from checkpoints import atomic


def is_first_process() -> bool:
    """Whether this is the process that writes what is written once."""
    return jax.process_index() == 0


def writer() -> str:
    """Who saves, as a part of the name of a checkpoint that is being written."""
    if jax.process_count() == 1:
        return atomic.this_process()
    return f"together.{agreed_number()}"


def agreed_number() -> int:
    """A random number below 2**31, the same in all processes that save together."""
    number = np.int32(uuid.uuid4().int % 2**31)
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        number = multihost_utils.broadcast_one_to_all(number)
    return int(number)


def wait_for_all(what: str) -> None:
    """Waits until every process has come to `what`."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(what)
