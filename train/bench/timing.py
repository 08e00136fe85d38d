"""Times taken by turns, and what is said of them."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Clock = Callable[[], float]


class Call(NamedTuple):
    """Work without arguments, which returns when it is done.

    Attributes:
        run: does it.
        compile_seconds: what compiling took; None of what compiles while it first runs, or never.
        memory: bytes on the device; None if that is not known.
    """

    run: Callable[[], Any]
    compile_seconds: float | None = None
    memory: int | None = None


class Calls(NamedTuple):
    """A network's forward pass in evaluation, and a step of SGD on the cross entropy."""

    forward: Call
    step: Call


class Times(NamedTuple):
    """What turns of a call took.

    Attributes:
        median: of one turn, in seconds.
        spread: distance of the quartiles, as a share of the median.
        compile_seconds: of the call; else how much longer than the median its first run took.
        memory: of the call.
    """

    median: float
    spread: float
    compile_seconds: float
    memory: int | None


def seconds(call: Callable[[], Any], clock: Clock) -> float:
    """Time of one run."""
    start = clock()
    call()
    return clock() - start


def alternate(calls: Sequence[Call], repeats: int, clock: Clock = time.perf_counter) -> list[Times]:
    """Times of calls that take turns, so that what disturbs one disturbs all of them.

    Args:
        calls: that are compared.
        repeats: turns of each, after one that does not count.
        clock: in seconds.
    """
    first = [seconds(call.run, clock) for call in calls]
    turns = [[seconds(call.run, clock) for call in calls] for _ in range(repeats)]
    taken = zip(calls, first, zip(*turns, strict=True), strict=True)
    return [_times(call, cold, warm) for call, cold, warm in taken]


def _times(call: Call, first: float, turns: Sequence[float]) -> Times:
    median = statistics.median(turns)
    low, _, high = statistics.quantiles(turns, n=4) if len(turns) > 1 else (median,) * 3
    compiling = call.compile_seconds
    compiling = max(first - median, 0.0) if compiling is None else compiling
    return Times(median, (high - low) / median, compiling, call.memory)
