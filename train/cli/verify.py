"""`zoo verify`."""

import dataclasses
from typing import Annotated, Any

import numpy as np
import tyro
from jaxtyping import Float, Float32

import checkpoints
from checkpoints import fingerprint, record
from train.cli import reference
from train.cli.arguments import parse
from train.cli.output import emit_json
from train.report import console, table
from zoo.errors import UsageError


@dataclasses.dataclass(frozen=True)
class VerifyArguments:
    """Runs weights on a fixed input and compares the outputs with what they have to be.

    The input is a formula and the outputs are kept as a few numbers, the fingerprint of the card;
    `checkpoints/fingerprint.py` says both. A difference ends with status 2.
    """

    weights: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="WEIGHTS")]
    """A name of `zoo weights`, a run, a checkpoint directory, or a file of weights."""
    against: str | None = None
    """Compare with this library instead, run in the same process: timm or torchvision."""
    record: bool = False
    """Write the fingerprint to the catalogue or, of a checkpoint, to its card."""
    model: str | None = None
    """Architecture of a file whose name does not say it, as in resnet50."""
    json: bool = False
    """Print JSON: weights, against, input, output, error, tolerance, agrees."""


ARGUMENTS = VerifyArguments


def command(argv: list[str]) -> None:
    """`zoo verify`."""
    arguments = parse(VerifyArguments, "verify", argv)
    if arguments.record and arguments.against:
        raise UsageError("give `--record` or `--against`, not both")
    if arguments.against:
        reference.check(arguments.against)
    if arguments.record:
        record.check(arguments.weights)
    loaded = checkpoints.load(arguments.weights, architecture=arguments.model)
    images = fingerprint.probe_of(loaded.card)
    outputs = fingerprint.answer(loaded.model, loaded.variables, images)
    if arguments.record:
        found = fingerprint.of(images, outputs)
        record.write(arguments.weights, loaded.card, found)
        loaded = loaded._replace(card=dataclasses.replace(loaded.card, fingerprint=found))
    against, error = _error(loaded, images, outputs, arguments.against)
    tolerance = fingerprint.tolerance(loaded.card)
    row = {
        "weights": arguments.weights,
        "against": against,
        "input": list(images.shape),
        "output": list(outputs.shape),
        "error": error,
        "tolerance": tolerance,
        "agrees": error <= tolerance,
    }
    _show(row, arguments.json)


def _error(
    loaded: checkpoints.Pretrained,
    images: Float32[np.ndarray, "b h w c"],
    outputs: Float32[np.ndarray, "b out"],
    against: str | None,
) -> tuple[str, float]:
    """What the outputs are compared with, and the largest relative difference."""
    if against is not None:
        name, expected = reference.outputs(against, loaded, images)
        return name, _relative(outputs, expected)
    recorded = loaded.card.fingerprint
    if recorded is None:
        raise UsageError(
            f"{loaded.card.name} was loaded without complaint, but no fingerprint is recorded to "
            "compare it with: `--record` adds one, `--against timm` runs the reference instead"
        )
    return "fingerprint", fingerprint.error(fingerprint.of(images, outputs), recorded)


def _relative(found: Float[np.ndarray, "b out"], expected: Float[np.ndarray, "b out"]) -> float:
    if found.shape != expected.shape:
        raise UsageError(f"the outputs have the shape {found.shape}, the peer's {expected.shape}")
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def _show(row: dict[str, Any], json: bool) -> None:
    """Prints the row, and complains if it is one of a difference."""
    if json:
        emit_json(row)
    else:
        shapes = ("x".join(map(str, row[name])) for name in ("input", "output"))
        verdict = "equal" if row["agrees"] else "DIFFERENT"
        figures = [f"{row['error']:.1e}", f"{row['tolerance']:.0e}", verdict]
        columns = ["weights", "against", "input", "output", "error", "at most", ""]
        console().print(table(columns, [[row["weights"], row["against"], *shapes, *figures]]))
    if not row["agrees"]:
        raise UsageError(
            f"{row['weights']} differs from {row['against']} by {row['error']:.1e} of the largest "
            f"output, and {row['tolerance']:.0e} is allowed: these are not the weights that their "
            "card describes, or they are computed wrongly here"
        )
