"""Turns a finished run into weights that ship: `python -m benchmarks.release NAME RUN RECIPE`.

RECIPE is the command that made the run, as in "zoo train --recipe resnet8.digits --seed 0".
"""

import dataclasses
import sys
from pathlib import Path

import checkpoints

RELEASED = Path(checkpoints.__file__).parent / "released"


def main(name: str, run: str, recipe: str) -> None:
    """Copies parameters, statistics and card of a run to `checkpoints/released/NAME`."""
    loaded = checkpoints.load(Path(run))
    card = dataclasses.replace(
        loaded.card, name=name, source={"kind": "shipped"}, license="apache-2.0", recipe=recipe
    )
    path = checkpoints.save(RELEASED / name, loaded.variables, card)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    print(f"{path}: {size / 1e6:.2f} MB, {card.metrics}")


if __name__ == "__main__":
    main(*sys.argv[1:])
