"""Tables of all architectures, weights and recipes, from the catalogues."""

import functools
import itertools
from collections.abc import Iterable, Sequence

import checkpoints
import zoo
from checkpoints import Card
from train.recipes import DESCRIBED
from zoo import ModelInfo

INPUTS = {"image": "images", "series": "series of numbers, and images pixel by pixel"}


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of Markdown."""
    cells = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in row)} |" for row in cells)


@functools.cache
def infos() -> tuple[ModelInfo, ...]:
    """Every architecture, family by family, the small ones first."""
    found = [zoo.model_info(name) for name in zoo.list_models()]
    return tuple(sorted(found, key=lambda info: (info.family, info.parameters)))


def architectures() -> str:
    """The page of all architectures."""
    cards = [checkpoints.weights_info(name) for name in checkpoints.list_weights()]
    parts = [
        "# Architectures",
        f"All {len(infos())}, made from `zoo/catalogue.py` when this page was built. The number of "
        "parameters is exact, with the default head; GMACs are 10⁹ multiply-adds of one input of "
        "the size given. `zoo list` prints the same, `zoo info NAME` more.",
    ]
    for family, members in itertools.groupby(infos(), key=lambda info: info.family):
        rows = [_architecture(info, cards) for info in members]
        columns = ["architecture", "parameters", "GMACs", "input", "weights", "paper"]
        parts.append(f"## {family}\n\n{table(columns, rows)}")
    return "\n\n".join(parts) + "\n"


def _architecture(info: ModelInfo, cards: Sequence[Card]) -> list[str]:
    return [
        f"`{info.name}`",
        f"{info.parameters:,}",
        f"{info.gmacs:g}",
        "x".join(map(str, info.input_shape)),
        str(sum(card.architecture == info.name for card in cards) or ""),
        f"[{info.paper.rpartition('/')[2]}]({info.paper})",
    ]


def weights() -> str:
    """The page of all weights."""
    cards = [checkpoints.weights_info(name) for name in checkpoints.list_weights()]
    parts = [
        "# Weights",
        f"All {len(cards)}, made from `checkpoints/released.json` and the cards of the weights "
        "that ship when this page was built. Top-1 is what the publisher reports; of those that "
        "ship it is measured. *Input* is the side in pixels, the share that the crop keeps, and "
        "how images are resized. A blank is what no source states. *Pin* is what a download is "
        "held to: the hash of the file, or else the revision. `zoo weights` prints the same, "
        "`zoo info NAME` the whole card.",
    ]
    family = {info.name: info.family for info in infos()}
    ordered = sorted(cards, key=lambda card: family[card.architecture])
    for name, members in itertools.groupby(ordered, key=lambda card: family[card.architecture]):
        columns = ["weights", "top-1", "licence", "input", "trained on", "from", "pin"]
        parts.append(f"## {name}\n\n{table(columns, map(_weights, members))}")
    return "\n\n".join(parts) + "\n"


def _weights(card: Card) -> list[str]:
    top1 = card.metrics.get("top1")
    return [
        f"`{card.name}`",
        "" if top1 is None else f"{top1:.4f}",
        card.license or "",
        _preparation(card),
        card.trained_on or "",
        (card.source or {}).get("kind", ""),
        _pin(card.source or {}),
    ]


def _preparation(card: Card) -> str:
    """Size of the input in pixels, share of it that is kept, interpolation."""
    prepare = card.preprocess
    if not hasattr(prepare, "crop_pct"):
        return ""
    return f"`{prepare.image_size} px, {prepare.crop_pct:g}, {prepare.interpolation}`"


def recipes() -> str:
    """The recipes of papers, and what was published of each."""
    rows = [
        [
            f"`{name}`",
            recipe.config.dataset or "yours",
            "" if recipe.top1 is None else f"{100 * recipe.top1:.2f} %",
            recipe.source,
            recipe.hardware,
        ]
        for name, recipe in DESCRIBED.items()
        if recipe.source
    ]
    columns = ["recipe", "data", "published top-1", "source", "hardware"]
    parts = [
        "# Recipes",
        f"All {len(rows)} of papers, made from `train/recipes/` when this page was built. "
        "`zoo train --recipe NAME` runs one, `--dry-run` says what it comes to, and the docstring "
        "of its file what the paper leaves open. Figures are the publishers', not ours: [the "
        "guide](../guides/recipes.md) says what was run here.",
        table(columns, rows),
    ]
    return "\n\n".join(parts) + "\n"


def _pin(source: dict[str, str]) -> str:
    for key in ("sha256", "sha256_prefix", "md5", "revision"):
        if source.get(key):
            return f"{key.partition('_')[0]} `{source[key][:12]}`"
    return "in the package" if source.get("kind") == "shipped" else ""
