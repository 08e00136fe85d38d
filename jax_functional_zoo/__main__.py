"""The program `zoo`, as `python -m jax_functional_zoo` too: ours from any working directory."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    from train.cli.main import (
        main as run,
    )  # ours, for `jax_functional_zoo` has been imported to get here

    return run(argv)


if __name__ == "__main__":
    sys.exit(main())
