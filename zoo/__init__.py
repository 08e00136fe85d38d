"""Architectures: pure functions of (variables, images). No weights, no I/O, no global state.

>>> import zoo
>>> zoo.list_models("resnet18*")
['resnet18', 'resnet18d']
>>> model = zoo.create_model("resnet18", num_classes=37)
"""

import fnmatch
from typing import Any, NamedTuple

import flax.linen as nn

from zoo import attack, explain
from zoo.catalogue import CATALOGUE, Row, family_of
from zoo.errors import UsageError, closest, shown
from zoo.fields import check_fields, frozen
from zoo.initialization import init_variables

__all__ = [
    "ModelInfo",
    "UsageError",
    "attack",
    "create_model",
    "explain",
    "init_variables",
    "list_models",
    "model_info",
]


class ModelInfo(NamedTuple):
    """What the catalogue knows of an architecture.

    Attributes:
        name: its name in the catalogue.
        family: the module of `zoo` that defines it.
        parameters: exact number of trainable parameters with the default head.
        image_size: longer side of the input that `gmacs` refers to, in pixels; None if the input
            is not an image.
        channels: input channels that `parameters` refers to.
        num_classes: outputs of the default head.
        gmacs: 10⁹ multiply-adds per input, convolutions and matrix products.
        paper: address of the paper.
        input_shape: shape of one such input, without the batch: (height, width, channels) of an
            image, (length, channels) of a sequence.
        reads: "image", or "series" for networks of any series, to which an image is one of pixels.
        tolerance: up to which share of the largest output two computations in float32 count as
            equal.
    """

    name: str
    family: str
    parameters: int
    image_size: int | None
    channels: int
    num_classes: int
    gmacs: float
    paper: str
    input_shape: tuple[int, ...]
    reads: str
    tolerance: float


def list_models(pattern: str = "*", *, family: str | None = None) -> list[str]:
    """Sorted names of the architectures that match a shell pattern such as `"resnet*"`.

    Raises:
        UsageError: no such family.
    """
    families = {family_of(row.build()) for row in CATALOGUE.values()}
    if family is not None and family not in families:
        raise UsageError(f"no family {family!r}; there are {', '.join(sorted(families))}")
    return sorted(
        name
        for name, row in CATALOGUE.items()
        if fnmatch.fnmatchcase(name, pattern) and family in (None, family_of(row.build()))
    )


def model_info(name: str) -> ModelInfo:
    """The catalogue's facts about one architecture.

    Raises:
        UsageError: no such architecture; the closest names are shown.
    """
    row = _row(name)
    return ModelInfo(
        name=name,
        family=family_of(row.build()),
        parameters=row.parameters,
        image_size=max(row.input_shape[:2]) if len(row.input_shape) == 3 else None,
        channels=row.input_shape[-1],
        num_classes=row.build().num_classes,
        gmacs=row.gmacs,
        paper=f"https://arxiv.org/abs/{row.paper}",
        input_shape=row.input_shape,
        reads=row.reads,
        tolerance=row.tolerance,
    )


def create_model(name: str, **overrides: Any) -> nn.Module:
    """Builds an architecture; `overrides` replace its fields, as in `num_classes=37`.

    A model is a Linen module: a pair of pure functions, and no weights; `checkpoints.load` gives
    both. Lists become tuples, so that a model built from JSON can be hashed.

    >>> import jax, zoo
    >>> zoo.list_models("resnet18*")  # all names: `zoo.list_models()`
    ['resnet18', 'resnet18d']
    >>> model = zoo.create_model("resnet18", num_classes=37)
    >>> images = jax.numpy.zeros((2, 64, 64, 3))
    >>> variables = zoo.init_variables(model, jax.random.key(0), images)
    >>> model.apply(variables, images, train=False).shape
    (2, 37)

    `model.init(key, images, train=False)` and `model.apply(variables, images, train=False)` need a
    random key and a batch of normalised floating-point images, (batch, height, width, channels);
    the channels of the network follow from them. In training, `train=True`,
    `mutable=["batch_stats"]` and `rngs={"dropout": key, "drop_path": key}` where a model drops
    anything. With `method="features"`, `apply` returns the output of every stage.

    Args:
        name: of the catalogue; `zoo.list_models` shows them, `zoo.model_info` what is known of one.
        **overrides: fields by name. Every network has `num_classes` (None leaves the head out: the
            model returns pooled features) and `dtype` (of the computation; parameters are
            float32); `help(type(model))` describes those of its family.

    Raises:
        UsageError: unknown name or field, a value that is not of the field's type, or the name of
            a set of weights.
    """
    row, values = _row(name), {field: frozen(value) for field, value in overrides.items()}
    for field in values:
        if field in _TIMM:
            raise UsageError(f"{name} has no field {field!r}: {_TIMM[field].format(name=name)}.")
    check_fields(type(row.build()), name, values)
    return row.build(**values)


_TIMM = {  # what users of timm write, and what they write here
    "pretrained": "a model holds no weights; `checkpoints.load(...)` gives it with those of a "
    "name in `checkpoints.list_weights('{name}.*')`",
    "features_only": "every model has its stages; call "
    "`model.apply(variables, images, train=False, method='features')`",
    "in_chans": "the channels follow from the images given to `model.init`; for weights, see "
    "`checkpoints.load(..., in_channels=...)`",
}


def _row(name: str) -> Row:
    if name in CATALOGUE:
        return CATALOGUE[name]
    architecture, dot, _ = name.partition(".")
    if dot and architecture in CATALOGUE:
        raise UsageError(
            f"{shown(name)} is a set of weights, not an architecture; use "
            f"`checkpoints.load({shown(name)})`, "
            f"or `zoo.create_model({architecture!r})` for the network without weights."
        )
    near = closest(name, CATALOGUE)
    raise UsageError(f"no architecture {shown(name)}{near or '; `zoo list` shows all'}")
