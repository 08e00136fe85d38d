"""Card: everything that must be known of a set of weights besides its numbers.

A card is written beside the arrays as `card.json` and is enough to rebuild the model
(`zoo.create_model(card.architecture, **card.overrides)`), to prepare its input and to name its
output. A fact that no source states is `None`.
"""

import dataclasses
import importlib.metadata
import json
import platform
from dataclasses import dataclass, field
from typing import Any

from checkpoints.preprocess import Preprocess
from zoo.errors import UsageError, closest

_LIBRARIES = ("jax-functional-zoo", "jax", "flax", "optax", "orbax-checkpoint", "numpy")


@dataclass(frozen=True)
class Card:
    """A set of weights, described.

    Attributes:
        name: `architecture.tag` of released weights; of a run, the name of its directory.
        architecture: name in `zoo.list_models()`.
        overrides: arguments of `zoo.create_model` besides `num_classes`; JSON values only.
        num_classes: outputs of the head; None if there is no head.
        class_names: one name per output.
        preprocess: how an image becomes the model's input.
        source: `{"kind": "hub", "repo", "revision", "file", "sha256"}`, `{"kind": "shipped"}` or
            `{"kind": "run"}`; None if unknown.
        format: library whose tensor names the source file uses, such as "timm"; None for ours.
        license: SPDX identifier in lower case.
        trained_on: data sets, in words.
        metrics: accuracies as fractions, with what they are of and who measured them.
        parameters: exact number of parameters.
        paper: address of the paper.
        recipe: command that reproduces the weights.
        versions: libraries that wrote the arrays.
    """

    name: str
    architecture: str
    overrides: dict[str, Any] = field(default_factory=dict)
    num_classes: int | None = None
    class_names: tuple[str, ...] | None = None
    preprocess: Preprocess = field(default_factory=Preprocess)
    source: dict[str, Any] | None = None
    format: str | None = None
    license: str | None = None
    trained_on: str | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    parameters: int | None = None
    paper: str | None = None
    recipe: str | None = None
    versions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        for name in ("overrides", "source", "metrics", "versions"):
            object.__setattr__(self, name, _jsonable(name, getattr(self, name)))
        if self.class_names is not None and self.num_classes != len(self.class_names):
            raise UsageError(
                f"The card of {self.name!r} has {self.num_classes} classes and "
                f"{len(self.class_names)} class names; they must agree."
            )

    def to_json(self) -> str:
        """The card as readable JSON; `Card.from_json` gives back an equal card."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Card":
        """Reads what `to_json` wrote.

        Raises:
            UsageError: not JSON, or a field that this version does not know.
        """
        try:
            return cls.from_dict(json.loads(text))
        except (json.JSONDecodeError, TypeError, AttributeError) as error:
            raise UsageError(f"This is not the card of a checkpoint: {error}.") from error

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Card":
        """Builds a card from the values of its JSON object."""
        fields = [f.name for f in dataclasses.fields(cls)]
        if unknown := sorted(set(values) - set(fields)):
            raise UsageError(
                f"A card has no field {unknown[0]!r}; a newer jax-functional-zoo may have written "
                f"it, then install that one{closest(unknown[0], fields) or '.'}"
            )
        values = {**values, "preprocess": Preprocess.from_dict(values.get("preprocess", {}))}
        if values.get("class_names") is not None:
            values["class_names"] = tuple(values["class_names"])
        return cls(**values)


def current_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide what a checkpoint contains."""
    versions = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue  # running from a source tree that is not installed
    return versions


def _jsonable(name: str, value: Any) -> Any:
    """The value as JSON reads it back: tuples become lists, keys strings."""
    try:
        return json.loads(json.dumps(value))
    except TypeError as error:
        raise UsageError(f"`{name}` of a card must hold JSON values only: {error}.") from error
