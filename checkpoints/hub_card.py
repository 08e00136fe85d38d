"""A card in words: the `README.md` of a repository of the Hugging Face hub.

It begins with front matter, YAML that the hub checks and searches: licence, library, task, tags and
published accuracy. What no source states is left out.
"""

from collections.abc import Iterator
from typing import Any

import zoo
from checkpoints.card import Card
from zoo.errors import printable

LIBRARY = "jax-functional-zoo"
# Identifiers of the hub that weights are under; anything else is "other", with its name.
_LICENSES = (
    *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "openrail", "gpl-2.0", "gpl-3.0"),
    *("lgpl-3.0", "agpl-3.0", "mpl-2.0", "isc", "unlicense", "wtfpl", "cc0-1.0", "cc-by-4.0"),
    *("cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0"),
)


def text(card: Card, repo: str) -> str:
    """The whole file.

    Args:
        card: of the weights; its `format` says whose names the tensors have.
        repo: `owner/name`.
    """
    parts = [
        f"---\n{front_matter(card, repo)}\n---",
        f"# {repo}",
        f"Weights of `{card.architecture}` for JAX, written by {LIBRARY}.",
        _code("python", _usage(card, repo)),
        "\n".join(["| | |", "| --- | --- |", *(f"| {k} | {v} |" for k, v in _facts(card))]),
    ]
    return "\n\n".join(parts) + "\n"


def front_matter(card: Card, repo: str) -> str:
    """YAML, without the lines around it."""
    from huggingface_hub import ModelCardData

    classifies = _reads_images(card) and card.num_classes is not None
    results = _results(card) if classifies else None
    data = ModelCardData(
        library_name="timm" if card.format == "timm" else LIBRARY,
        pipeline_tag="image-classification" if classifies else None,
        tags=["jax", "flax", LIBRARY],
        model_name=None if results is None else repo,
        eval_results=results,
        **_license(card.license),
    )
    return data.to_yaml().strip()


def _license(license: str | None) -> dict[str, Any]:
    if license is None:
        return {}
    if license in _LICENSES:
        return {"license": license}
    return {"license": "other", "license_name": license}


def _results(card: Card) -> list[Any] | None:
    """Accuracy on what the card says it is of; none if it says nothing."""
    from huggingface_hub import EvalResult

    data = card.metrics.get("of")
    found = [(name, card.metrics.get(name)) for name in ("top1", "top5")]
    return [
        EvalResult(
            task_type="image-classification",
            dataset_type=data,
            dataset_name=data,
            metric_type="accuracy",
            metric_name=name,
            metric_value=value,
        )
        for name, value in found
        if isinstance(data, str) and isinstance(value, int | float)
    ] or None


def _usage(card: Card, repo: str) -> str:
    lines = [
        "from jax_functional_zoo import checkpoints",
        "",
        f'model, variables, preprocess, card, fresh = checkpoints.load("hf-hub:{repo}")',
        "outputs = model.apply(variables, preprocess(example)[None], train=False)",
    ]
    if card.format == "timm":
        lines += ["", "import timm  # the same network in PyTorch", ""]
        lines += [f'network = timm.create_model("hf-hub:{repo}", pretrained=True).eval()']
    return "\n".join(lines)


def _facts(card: Card) -> Iterator[tuple[str, str]]:
    """Rows of the table, of what is known."""
    yield "paper", card.paper or zoo.model_info(card.architecture).paper
    for name, value in (
        ("parameters", card.parameters),
        ("input", " x ".join(map(str, card.preprocess.shape))),
        ("classes", card.num_classes),
        ("licence", card.license or "not stated"),
        ("trained on", card.trained_on),
        ("recipe", card.recipe),
        ("notes", card.notes),
        ("built with", _named(card.overrides)),
        ("figures", _named(card.metrics)),
        ("made from", _named(card.source or {})),
        ("versions", _named(card.versions)),
    ):
        if value is not None and value != "":
            yield name, _cell(f"{value:,}" if isinstance(value, int) else str(value))


def _named(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)


def _cell(value: str) -> str:
    """Text inside a table: one line, and no bar that would end it."""
    return printable(" ".join(value.split())).replace("|", "\\|")


def _code(language: str, lines: str) -> str:
    return f"```{language}\n{lines}\n```"


def _reads_images(card: Card) -> bool:
    return len(card.preprocess.shape) == 3
