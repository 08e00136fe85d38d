"""The network that a run begins with: pretrained, or fresh."""

import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

import checkpoints
import zoo
from checkpoints import build, released, surgery
from checkpoints.card import Card
from checkpoints.paths import local
from checkpoints.preprocess import SequencePreprocess
from train.config import Config
from train.data import Dataset
from train.data.dataset import task_name
from train.optimizer import check_rates
from train.preprocessing import default_preprocess, refuse_options_for_images
from zoo.errors import UsageError
from zoo.parameters import Parameters, paths


class Network(NamedTuple):
    """A network before its first update.

    Attributes:
        model: the module, in the dtype of the run.
        variables: its parameters and batch statistics, pretrained or fresh.
        card: what will be said of the weights that come out.
        fresh: leaves that do not come from pretrained weights.
    """

    model: nn.Module
    variables: dict[str, Any]
    card: Card
    fresh: Sequence[str]


def load_network(config: Config, data: Dataset) -> Network:
    """The pretrained model of `config.weights` fitted to the classes, or a fresh `config.model`."""
    if config.weights is None:
        return fresh_network(config, data)
    if config.preprocess:
        raise UsageError(
            f"`preprocess` goes with `model`: `weights` {config.weights} have their own; leave it "
            "out, or give `evaluations` other fields"
        )
    loaded = checkpoints.load(
        config.weights,
        class_names=data.class_names,
        image_size=config.image_size,
        key=init_key(config),
    )
    _require_fits(config, loaded.card, data)
    card = dataclasses.replace(loaded.card, task=task_name(data))
    if not config.overrides:
        model = loaded.model.clone(**_dtype(config))
        return Network(model, loaded.variables, card, loaded.fresh)
    card = dataclasses.replace(card, overrides={**card.overrides, **config.overrides})
    model = build.create_model(card, **_dtype(config))
    _require_same_parameters(model, loaded.variables, card)
    return Network(model, loaded.variables, card, loaded.fresh)


def check_expected(config: Config, data: Dataset, parameters: Parameters | None) -> None:
    """Refuses patterns that match nothing, and what leaves nothing to train, by shapes alone.

    Only of weights that have to be fetched: of others the run itself can tell.
    """
    if (params := expected_params(config, data)) is not None:
        split = (parameters or Parameters()).split
        check_rates(config.optimization, jax.eval_shape(lambda p: split(p)[0], params))


def expected_params(config: Config, data: Dataset) -> Any:
    """Shapes of the parameters that published weights will have, before they are fetched.

    None of what is here already, or is known only once it is.

    Raises:
        UsageError: the weights are not for such data, or have no such fields.
    """
    if config.weights is None or config.weights not in released.list_published():
        return None
    card = checkpoints.weights_info(config.weights)
    _require_fits(config, card, data)
    preprocess, classes = card.preprocess, len(data.class_names)
    if config.image_size is not None:
        preprocess = dataclasses.replace(preprocess, image_size=config.image_size)
    fields = {**card.overrides, **config.overrides}
    plain = zoo.create_model(card.architecture, **card.overrides)
    fields |= fixed_size(plain, config.image_size) if config.image_size is not None else {}
    model = zoo.create_model(card.architecture, num_classes=classes, **fields)
    spec = jax.ShapeDtypeStruct((1, *preprocess.shape), jnp.float32)
    init = functools.partial(model.init, train=False)
    found: Any = jax.eval_shape(init, jax.random.key(0), spec)
    return found["params"]


def _require_fits(config: Config, card: Card, data: Dataset) -> None:
    """Refuses weights that are not for such data, or not what else the config says."""
    if config.genotype is not None:
        raise UsageError("`genotype` goes with `model`: pretrained `weights` have their own cells")
    is_series = len(data[0]["input"].shape) == 2
    if is_series:
        refuse_options_for_images(config, data)
    if is_series != isinstance(card.preprocess, SequencePreprocess):
        read, held = ("images", "series of numbers")[:: -1 if not is_series else 1]
        raise UsageError(
            f"`weights` {config.weights} read {read}, and {data.name} holds {held}; choose others, "
            "or train a `model` from scratch"
        )
    if config.model not in (None, card.architecture):
        raise UsageError(
            f"`weights` {config.weights} are of {card.architecture}, not of `model` "
            f"{config.model}; leave `model` out"
        )


def _require_same_parameters(model: nn.Module, variables: Any, card: Card) -> None:
    """Refuses fields of a network with which pretrained weights do not fit it any more."""
    images = jnp.zeros((1, *card.preprocess.shape))
    wanted: Any = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    here, there = (
        dict(zip(paths(tree), map(jnp.shape, jax.tree.leaves(tree)), strict=True))
        for tree in (variables["params"], wanted["params"])
    )
    if wrong := [path for path in here | there if here.get(path) != there.get(path)]:
        raise UsageError(
            f"`overrides` {card.overrides} change what `weights` hold: {wrong[0]} is "
            f"{here.get(wrong[0], 'not there')} and would be {there.get(wrong[0], 'gone')}; leave "
            "out what changes the network's parameters, or train `model` from scratch"
        )


def fresh_network(config: Config, data: Dataset) -> Network:
    """`config.model` with random weights, for the images and classes of `data`."""
    if config.model is None:
        raise UsageError("`model` or `weights` is needed; `zoo list` and `zoo weights` show them")
    classes = len(data.class_names)
    preprocess = default_preprocess(config, data)
    plain = zoo.create_model(config.model)
    overrides = fixed_size(plain, preprocess.image_size) | _genotype(plain, config)
    overrides |= config.overrides
    if taken := overrides.keys() & {"num_classes", "dtype"}:
        raise UsageError(
            f"`overrides` cannot set {min(taken)}: num_classes is that of the data, and dtype an "
            "option of its own"
        )
    model = zoo.create_model(config.model, num_classes=classes, **overrides, **_dtype(config))
    images = jax.ShapeDtypeStruct((1, *preprocess.shape), jnp.float32)
    variables = zoo.init_variables(model, init_key(config), images)
    card = Card(
        name=config.model,
        architecture=config.model,
        overrides=overrides,
        num_classes=classes,
        class_names=tuple(data.class_names),
        task=task_name(data),
        preprocess=preprocess,
        paper=zoo.model_info(config.model).paper,
        parameters=surgery.count(variables["params"]),
    )
    return Network(model, variables, card, ("everything",))


def init_key(config: Config) -> jax.Array:
    """Key of fresh weights; that of the updates is another, see `train.plan`."""
    return jax.random.fold_in(jax.random.key(config.seed), 0)


def fixed_size(model: nn.Module, side: int) -> dict[str, Any]:
    """What tells a network with positions of its own, such as a transformer, the images' side."""
    return {"image_size": side} if hasattr(model, "image_size") else {}


def _genotype(model: nn.Module, config: Config) -> dict[str, Any]:
    """The cells in the file that the config names, as JSON values."""
    if config.genotype is None:
        return {}
    if not hasattr(model, "genotype"):
        raise UsageError(
            f"`genotype` is for networks of cells, and `model` {config.model} is none; leave it out"
        )
    value = _read_json("genotype", local(config.genotype))
    of_cells: Any = model
    return {"genotype": of_cells.checked_genotype(value)}


def _read_json(field: str, path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"`{field}` must be a readable file, got {path}: {error.strerror}"
        ) from error
    except ValueError as error:
        raise UsageError(f"`{field}` {path} must hold JSON, and does not: {error}") from error


def _dtype(config: Config) -> dict[str, Any]:
    return {} if config.dtype == "float32" else {"dtype": jnp.dtype(config.dtype)}
