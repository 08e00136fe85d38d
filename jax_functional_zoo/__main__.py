"""The program `zoo`, as `python -m jax_functional_zoo` too: ours from any working directory."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    from jax_functional_zoo import train  # noqa: F401  (from here on, all three are ours)
    from train import cli

    return cli.main(argv)


if __name__ == "__main__":
    sys.exit(main())
