"""`python -m tests.golden DIRECTORY`: one row a case, exit status 0 only if all pass."""

import os
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from tests.golden import runner

WORKERS = min(os.cpu_count() or 1, 4)  # a large network in float64 takes some gigabytes


def main(directory: str, workers: int = 1) -> int:
    """Runs every case of a directory; prints rows in order of name."""
    cases = sorted(Path(directory).glob("*.json"))
    if workers == 1:
        return report(map(runner.run, cases))
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        return report(pool.map(runner.run, cases))


def report(outcomes: Iterable[runner.Outcome]) -> int:
    """Prints a row for each outcome and the count; 0 if there are any and all passed."""
    passed = []
    for outcome in outcomes:
        print(row(outcome), flush=True)
        passed.append(outcome.passed)
    print(f"{sum(passed)} of {len(passed)} cases pass")
    return 0 if passed and all(passed) else 1


def row(outcome: runner.Outcome) -> str:
    """The case, its largest error per column, and the verdict."""
    errors = [f"{c} {outcome.errors[c]:.1e}" for c in runner.COLUMNS if c in outcome.errors]
    verdict = "pass" if outcome.passed else f"FAIL: {outcome.failure}"
    return f"{outcome.case:36}" + "  ".join([*errors, verdict])


if __name__ == "__main__":
    default = str(Path(__file__).parent / "cases")
    sys.exit(main(*(sys.argv[1:] or [default]), workers=WORKERS))
