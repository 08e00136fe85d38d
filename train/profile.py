"""A trace of some updates, as xprof and Perfetto show it: where the time of a step goes."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

WARM = 10  # updates before those that are traced: compilation, and what fills the queues


@contextlib.contextmanager
def traced(
    directory: Path | Any, first: int, count: int | None
) -> Iterator[Callable[[int, Any], None]]:
    """Traces some updates into a directory, or none.

    Args:
        directory: where the trace goes; `xprof DIRECTORY` shows it.
        first: number of the first update that is traced.
        count: how many; None for no trace.

    Yields:
        What is to be called before every update, with its number and the state.
    """
    running = False

    def stop() -> None:
        nonlocal running
        if running:
            jax.profiler.stop_trace()
        running = False

    def before(step: int, state: Any) -> None:
        nonlocal running
        if count is None or step not in (first, first + count):
            return
        jax.block_until_ready(state)  # what was begun before does not belong to it
        stop()
        if step == first:
            jax.profiler.start_trace(str(directory))
            running = True

    try:
        yield before
    finally:
        stop()
