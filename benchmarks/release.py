"""Turns a finished run into weights that ship: `python -m benchmarks.release NAME RUN RECIPE`.

RECIPE is the command that made the run, as in "zoo train --recipe resnet8.digits --seed 0".
"""

import dataclasses
import sys
from pathlib import Path

import checkpoints
from checkpoints import fingerprint, manifest

RELEASED = Path(checkpoints.__file__).parent / "released"


def main(name: str, run: str, recipe: str) -> None:
    """Copies parameters, statistics and card of a run to `checkpoints/released/NAME`."""
    loaded = checkpoints.load(Path(run))
    images = fingerprint.probe_of(loaded.card)
    outputs = fingerprint.answer(loaded.model, loaded.variables, images)
    card = dataclasses.replace(
        loaded.card,
        name=name,
        source={"kind": "shipped"},
        license="apache-2.0",
        recipe=recipe,
        fingerprint=fingerprint.of(images, outputs),
    )
    path = checkpoints.save(RELEASED / name, loaded.variables, card)
    forget_place(path)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    print(f"{path}: {size / 1e6:.2f} MB, {card.metrics}")


def forget_place(directory: Path) -> None:
    """Takes the path of this machine out of the one file in which Orbax leaves it."""
    known = manifest.read(directory)
    (directory / manifest.NAME).unlink()
    (directory / "arrays" / "commit_success.txt").write_text("Checkpoint commit was successful.\n")
    manifest.write(directory, known["leaves"])


if __name__ == "__main__":
    main(*sys.argv[1:])
