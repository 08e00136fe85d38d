"""`python -m tests.golden DIRECTORY`: one row a case, exit status 0 only if all pass."""

import sys
from pathlib import Path

from tests.golden import runner


def main(directory: str) -> int:
    """Runs every case of a directory, in order of name."""
    outcomes = []
    for path in sorted(Path(directory).glob("*.json")):
        outcomes.append(runner.run(path))
        print(row(outcomes[-1]), flush=True)
    failed = sum(not o.passed for o in outcomes)
    print(f"{len(outcomes) - failed} of {len(outcomes)} cases pass")
    return 0 if outcomes and not failed else 1


def row(outcome: runner.Outcome) -> str:
    """The case, its largest error per column, and the verdict."""
    errors = [f"{c} {outcome.errors[c]:.1e}" for c in runner.COLUMNS if c in outcome.errors]
    verdict = "pass" if outcome.passed else f"FAIL: {outcome.failure}"
    return f"{outcome.case:36}" + "  ".join([*errors, verdict])


if __name__ == "__main__":
    default = str(Path(__file__).parent / "cases")
    sys.exit(main(*(sys.argv[1:] or [default])))
