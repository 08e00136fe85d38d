"""`zoo robust`."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

import checkpoints
from checkpoints import paths
from train.cli.arguments import parse
from train.cli.output import emit_json
from train.config import Call
from train.data import evaluation_split, found, load_dataset
from train.data.pairing import paired
from train.honest import curves, plots
from train.honest.robustness import ATTACKS, check_attacks, eps_range
from train.honest.smoothing import Certificate, check_noise
from train.report import console, print_table, table
from zoo.errors import UsageError, printable

NUMBERS = {"sigma": float, "radius": float, "n": int, "n0": int, "alpha": float}


@dataclasses.dataclass(frozen=True)
class RobustArguments:
    """Measures how accuracy falls under attacks, and how much of it is certain.

    For example:

        zoo robust --weights resnet8.digits
        zoo robust --weights runs/mine --attacks fgsm,pgd --eps 0.01:0.2 --plot curve.png
        zoo robust --weights runs/noisy --certify sigma=0.25,radius=0.25

    Attacks: fgsm (one step), least_likely (one step towards the least likely class), pgd (20 steps
    from a random start), pgd_l2 (eps is a Euclidean distance), queries (pgd that only asks the
    network), noise (random signs).

    Beside the curves stand the exponent of what an attack adds to the error, and a check for
    masked gradients, which make attacks fail and nothing else: where it says no, the curves are
    worth nothing.
    """

    weights: str
    """A name of `zoo weights`, a run, or a checkpoint directory."""
    dataset: str | None = None
    """A tensorflow-datasets name or a folder; None is what the weights were trained on."""
    split: str | None = None
    """Split to measure; None is test if the data set has one, else validation."""
    data_dir: str | None = None
    """Where prepared data sets lie; None is TFDS_DATA_DIR or ~/tensorflow_datasets."""
    attacks: str = "fgsm,pgd"
    """Names of attacks, with commas between them; see above."""
    eps: str = "0.01:0.2"
    """Sizes: 0.01:0.2 for eight in equal ratios, 0.01:0.2:5 for five, or 0.05,0.1. For pictures
    in shares of the range of pixels, before normalisation."""
    certify: str | None = None
    """Certify by smoothing, as in sigma=0.25,radius=0.25; also n (1000), n0 (100), alpha (0.001).
    Sigma is the spread of the noise, the radius a Euclidean distance, both in units of eps."""
    limit: int | None = None
    """Only the first examples; None is all."""
    batch_size: int = 128
    """Examples at a time."""
    plot: str | None = None
    """Draw the curves into this file, as in curve.png."""
    json: bool = False
    """Print JSON: curves, checks, certificates."""


ARGUMENTS = RobustArguments


def command(argv: list[str]) -> None:
    """`zoo robust`."""
    arguments = parse(RobustArguments, "robust", argv)
    names = [name.strip() for name in arguments.attacks.split(",") if name.strip()]
    check_attacks(names)
    eps = eps_range(arguments.eps)
    smooth = None if arguments.certify is None else certify_options(arguments.certify)
    plot = None if arguments.plot is None else _picture(arguments.plot)
    for field in ("limit", "batch_size"):
        value = getattr(arguments, field)
        if value is not None and value < 1:
            raise UsageError(f"`{field}` must be at least 1, got {value}")
    given = _examples(arguments)
    with _progress(_passes(names, eps, smooth, len(given.labels))) as advance:
        size = min(arguments.batch_size, len(given.labels))
        work: dict[str, Any] = {"batch_size": size, "advance": advance}
        by_attack = {name: curves.curve(given, name, eps, **work) for name in names}
        checks = curves.masking_check(given, eps, **work)
        radius = None if smooth is None else smooth.pop("radius")
        proof = None if smooth is None else curves.certified(given, **smooth, **work)
        predicted = 1 - curves.predicted_error(given, eps, size)
    if plot:
        certain = {} if proof is None else _by_radius(proof, given.labels)
        plots.robustness(plot, arguments.weights, by_attack, certain, (eps, predicted))
    if arguments.json:
        return emit_json(_summary(by_attack, checks, proof, radius, given.labels))
    _show(by_attack, eps, checks)
    if proof is not None and radius is not None:
        share = proof.certified(given.labels, radius).mean()
        console().print(
            f"certified at radius {radius:g}: {share:.4f} of {len(given.labels):,}; "
            f"no answer for {(proof.answers < 0).mean():.4f}"
        )
    if plot:
        console().print(printable(f"drawn: {plot}"), soft_wrap=True)
    return None


def certify_options(text: str) -> dict[str, Any]:
    """`sigma=0.25,radius=0.25` as numbers, with the radius sigma where it is left out.

    Raises:
        UsageError: another name, or what is no number in its place.
    """
    found: dict[str, Any] = {}
    for name, value in Call.parsed(f"certify:{text}").arguments.items():
        if name not in NUMBERS or isinstance(value, bool) or not isinstance(value, int | float):
            raise UsageError(
                f"`certify` takes numbers for {', '.join(NUMBERS)}, as in sigma=0.25,radius=0.25; "
                f"got {text!r}"
            )
        found[name] = NUMBERS[name](value)
    if "sigma" not in found:
        raise UsageError(f"`certify` needs sigma, as in sigma=0.25,radius=0.25; got {text!r}")
    options = {"radius": found["sigma"], "n": 1000, "n0": 100, "alpha": 0.001, **found}
    check_noise(options["sigma"], options["alpha"], min(options["n"], options["n0"]))
    return options


def _picture(name: str) -> Path:
    path = paths.local(name)
    if path.suffix.lower() != ".png" or path.is_dir():
        raise UsageError(f"`plot` must be a file that ends in .png, got {name!r}")
    return path


def _examples(arguments: RobustArguments) -> curves.Examples:
    loaded = checkpoints.load(arguments.weights)
    dataset = arguments.dataset or (loaded.card.trained_on or "").rpartition(":")[0]
    if not dataset:
        raise UsageError(f"`dataset` is needed: the card of {loaded.card.name} names none")
    split = arguments.split or evaluation_split(dataset, arguments.data_dir)
    data = load_dataset(dataset, split, data_dir=arguments.data_dir)
    console(stderr=True).print(printable(found(data)), soft_wrap=True)
    return curves.examples(loaded, paired(data, loaded.card, arguments.weights), arguments.limit)


def _passes(names: list[str], eps: Any, smooth: Any, count: int) -> int:
    attacks = sum(ATTACKS[name][1] for name in names) * (1 + len(eps)) * count
    votes = 0 if smooth is None else (smooth["n"] + smooth["n0"]) * count
    return attacks + curves.checking_passes(count) + votes


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """Says what the work costs, and shows how far it is; lets it be told of passes."""
    terminal = console(stderr=True)
    terminal.print(f"about {total:,} passes of one example through the network")
    columns = (
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=terminal, disable=not terminal.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda passes: progress.advance(task, passes)


def _by_radius(proof: Certificate, labels: Any) -> dict[float, float]:
    radii = np.linspace(0, max(float(proof.radii.max()), 1e-6), 50)
    return {float(r): float(proof.certified(labels, r).mean()) for r in radii}


def _show(by_attack: dict[str, curves.Curve], eps: Any, checks: dict[str, bool]) -> None:
    rows = []
    for name, curve in by_attack.items():
        law = "" if curve.law is None else f"eps^{curve.law.slope:.2f} (R² {curve.law.r2:.3f})"
        rows.append([name, *(f"{value:.4f}" for value in curve.accuracy), law])
    columns = ["accuracy under", "clean", *(f"{size:.3g}" for size in eps), "excess error"]
    console().print(table(columns, rows))
    answers = [[check, "yes" if passed else "NO"] for check, passed in checks.items()]
    print_table(["signs that gradients are not masked", ""], answers)
    if not all(checks.values()):
        console().print("gradients seem to be masked: do not trust the accuracy under attacks")


def _summary(
    by_attack: dict[str, curves.Curve], checks: Any, proof: Any, radius: Any, labels: Any
) -> dict[str, Any]:
    summary: dict[str, Any] = {"count": len(labels), "checks": checks, "attacks": {}}
    for name, curve in by_attack.items():
        lists = {
            k: np.asarray(getattr(curve, k)).tolist() for k in ("eps", "accuracy", "low", "high")
        }
        law = None if curve.law is None else curve.law._asdict()
        summary["attacks"][name] = {**lists, "power_law": law}
    if proof is not None:
        summary["certified"] = {
            "radius": radius,
            "accuracy": float(proof.certified(labels, radius).mean()),
            "abstained": float((proof.answers < 0).mean()),
        }
    return summary
