"""Writes the catalogue of published weights, and what was seen of the files themselves.

    python -m scripts.released results-imagenet.csv
    python -m scripts.released --pin "resnet50.*"

The first writes `checkpoints/released.json`, `imagenet1k.txt` and `timm_models.txt` from the
publishers' tables, see `scripts.published_rows`; its argument is timm's table of accuracies,
`results/results-imagenet.csv` of its repository. The second needs a network and neither timm nor
torchvision: it fetches every file whose name matches the pattern, or all, runs its network, and
completes its row: `revision`, `sha256` and `checked_on` of the source, and the fingerprint. From
then on another file under that name is refused.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import checkpoints
from checkpoints import fingerprint, record, released
from zoo.catalogue import CATALOGUE
from zoo.errors import UsageError

PACKAGE = Path(__file__).parents[1] / "checkpoints"
RECORDED = ("sha256", "revision", "checked_on")  # of a source, by `record`


def main(results: str) -> None:
    """Writes all three files; `results` is the path of timm's table of accuracies."""
    from scripts import published_rows  # which needs timm and torchvision

    accuracies = published_rows.read_accuracies(Path(results))
    order = {name: i for i, name in enumerate(CATALOGUE)}
    rows = every_row(accuracies)
    rows = [row for row in rows if row["architecture"] in order]
    rows.sort(key=lambda row: (order[row["architecture"]], row["name"]))
    catalogue = PACKAGE / "released.json"
    keep_recorded(rows, json.loads(catalogue.read_text(encoding="utf-8")))
    catalogue.write_text(released.as_text(rows), encoding="utf-8")
    lists = {"imagenet1k": published_rows.imagenet_names(), "timm_models": published_rows.of_timm()}
    for name, lines in lists.items():
        text = "".join(f"{line}\n" for line in lines)
        (PACKAGE / f"{name}.txt").write_text(text, encoding="utf-8")
    print(
        f"{len(rows)} sets of weights of {len({row['architecture'] for row in rows})} architectures"
    )


def every_row(accuracies: dict[tuple[str, int], tuple[float, float]]) -> list[dict[str, Any]]:
    """The rows of all publishers; `accuracies` are those of timm's table."""
    from scripts import published_rows  # which needs timm and torchvision

    return published_rows.every_row(accuracies)


def keep_recorded(rows: list[dict[str, Any]], known: list[dict[str, Any]]) -> None:
    """Keeps what `record` has added to the rows, which no table of others states."""
    recorded = {row["name"]: row for row in known if row.get("fingerprint") is not None}
    for row in rows:
        if (before := recorded.get(row["name"])) is not None:
            row["fingerprint"] = before["fingerprint"]
            row["source"] |= {k: before["source"].get(k) for k in RECORDED if k in row["source"]}


def pin(pattern: str = "*") -> int:
    """Completes the rows that match; returns how many could not be, each with a sentence."""
    wanted = [
        name for name in released.list_published() if name in checkpoints.list_weights(pattern)
    ]
    if not wanted:
        print(f"no published weights match {pattern!r}")
        return 1
    failed = 0
    for name in wanted:
        try:
            print(f"{name}: {seen(name)}", flush=True)
        except UsageError as error:
            failed += 1
            print(f"{name}: not pinned. {error}", flush=True)
    print(f"{len(wanted) - failed} of {len(wanted)} pinned")
    return failed


def seen(name: str) -> str:
    """Fetches one file anew, runs its network and records both; returns what was recorded.

    Raises:
        UsageError: the file cannot be had, is another one than was pinned, or answers otherwise.
    """
    with tempfile.TemporaryDirectory() as cache:
        model, variables, _, card, _ = checkpoints.load(name, cache_dir=cache)
    images = fingerprint.probe_of(card)
    found = fingerprint.of(images, fingerprint.answer(model, variables, images))
    if card.fingerprint is not None:
        error = fingerprint.error(found, card.fingerprint)
        if error > fingerprint.tolerance(card):
            raise UsageError(f"Its outputs differ by {error:.1e} from those that were recorded.")
    record.write(name, card, found)
    source = checkpoints.weights_info(name).source or {}
    return ", ".join(f"{key} {source[key]}" for key in RECORDED)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--pin"]:
        sys.exit(min(pin(*sys.argv[2:]), 1))
    main(*sys.argv[1:])
