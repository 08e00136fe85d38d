"""From a config to the data, the model and the card of a run: all checked, nothing written."""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

import checkpoints
import zoo
from checkpoints import surgery
from checkpoints.card import Card
from checkpoints.paths import local
from checkpoints.preprocess import Preprocess, SequencePreprocess
from train.augment import Augment
from train.config import Config
from train.data import Dataset, evaluation_split, few_shot, load_dataset
from train.parallel import check_divisible
from zoo.errors import UsageError
from zoo.nasnet import genotype_from_json, genotype_to_json
from zoo.parameters import paths

SMALL = 64  # images up to this side are used as they are, in pixels


class Start(NamedTuple):
    """A model before its first update.

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


def load_data(config: Config) -> tuple[Dataset, Dataset]:
    """The training images (a few of each class, if so configured) and those of the evaluation."""
    if config.dataset is None:
        there = f", for no run to resume was read from `out` {config.out}" if config.resume else ""
        raise UsageError(
            f"`dataset` is needed: a tensorflow-datasets name or a folder of images{there}"
        )
    options = {"data_dir": config.data_dir, "skip_broken": config.skip_broken}
    split = config.eval_split or evaluation_split(config.dataset, config.data_dir)
    training = load_dataset(config.dataset, config.train_split, **options)
    evaluation = load_dataset(config.dataset, split, **options)
    if config.per_class is not None:
        training = few_shot(training, config.per_class, config.seed)
    check_divisible(config.batch_size, jax.device_count(), "devices")
    check_divisible(config.batch_size, config.batch_norm_groups, "`batch_norm_groups`")
    return training, evaluation


def load_model(config: Config, data: Dataset) -> Start:
    """The pretrained model of `config.weights` fitted to the classes, or a fresh `config.model`."""
    if config.weights is None:
        return fresh_model(config, data)
    if config.genotype is not None:
        raise UsageError("`genotype` goes with `model`: pretrained `weights` have their own cells")
    is_series = len(data[0]["input"].shape) == 2
    if is_series:
        _refuse_options_for_images(config, data)
    loaded = checkpoints.load(
        config.weights,
        class_names=data.class_names,
        image_size=config.image_size,
        key=init_key(config),
    )
    if is_series != isinstance(loaded.preprocess, SequencePreprocess):
        read, held = ("images", "series of numbers")[:: -1 if not is_series else 1]
        raise UsageError(
            f"`weights` {config.weights} read {read}, and {data.name} holds {held}; choose others, "
            "or train a `model` from scratch"
        )
    if config.model not in (None, loaded.card.architecture):
        raise UsageError(
            f"`weights` {config.weights} are of {loaded.card.architecture}, not of `model` "
            f"{config.model}; leave `model` out"
        )
    if not config.overrides:
        model = loaded.model.clone(**_dtype(config))
        return Start(model, loaded.variables, loaded.card, loaded.fresh)
    card = dataclasses.replace(loaded.card, overrides={**loaded.card.overrides, **config.overrides})
    fields = {**card.overrides, **_dtype(config)}
    model = zoo.create_model(card.architecture, num_classes=card.num_classes, **fields)
    _require_same_parameters(model, loaded.variables, card)
    return Start(model, loaded.variables, card, loaded.fresh)


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


def fresh_model(config: Config, data: Dataset) -> Start:
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
        preprocess=preprocess,
        paper=zoo.model_info(config.model).paper,
        parameters=surgery.count(variables["params"]),
    )
    return Start(model, variables, card, ("everything",))


def default_preprocess(config: Config, data: Dataset) -> Preprocess:
    """Small images as they are, larger ones at the architecture's size with the usual crop.

    Series of numbers get the mean and spread of those of the data.
    """
    shapes = [data[i]["input"].shape for i in range(min(len(data), 16))]
    if len(shapes[0]) == 2:
        return series_preprocess(config, data)
    native = max(max(height, width) for height, width, _ in shapes)
    channels = max(channels for *_, channels in shapes)  # one picture in colour makes them all so
    size = config.image_size or (native if native <= SMALL else _catalogue_size(config))
    preprocess = Preprocess(image_size=size, crop_pct=1.0 if native <= SMALL else 0.875)
    if channels == 1:
        return dataclasses.replace(preprocess, mean=(0.5,), std=(0.5,))
    return preprocess


def series_preprocess(config: Config, data: Dataset) -> SequencePreprocess:
    """The longest of some series, and mean and standard deviation of their channels.

    Raises:
        UsageError: options for images are set, or the network reads nothing but images.
    """
    _refuse_options_for_images(config, data)
    assert config.model is not None
    family = zoo.model_info(config.model).family
    if family not in SERIES_FAMILIES:
        raise UsageError(
            f"`model` {config.model} reads images, and {data.name} holds series of numbers; choose "
            f"one of the families {', '.join(SERIES_FAMILIES)}"
        )
    some = np.linspace(0, len(data) - 1, min(len(data), SOME)).astype(int)
    series = [np.asarray(data[i]["input"], np.float64) for i in some.tolist()]
    steps = np.concatenate(series)
    spread = steps.std(axis=0)
    return SequencePreprocess(
        mean=tuple(steps.mean(axis=0).tolist()),
        std=tuple(np.where(spread > 0, spread, 1).tolist()),
        length=max(map(len, series)),
    )


def _refuse_options_for_images(config: Config, data: Dataset) -> None:
    plain = vars(Augment())
    given = [name for name, value in vars(config.augment).items() if value != plain[name]]
    if config.image_size is not None:
        given = ["image_size", *given]
    if given:
        raise UsageError(
            f"{', '.join(f'`{name}`' for name in given)} {'is' if len(given) == 1 else 'are'} for "
            f"images, and {data.name} holds series of numbers; leave {_THEM[len(given) == 1]} out"
        )


_THEM = {True: "it", False: "them"}
SERIES_FAMILIES = ("lssl", "hopfield")
SOME = 1024  # series from which length, mean and spread are taken


def total_steps(config: Config, examples: int, *, step: int = 0, seen: int = 0) -> int:
    """Updates of the whole run, of which `step` have been made on `seen` images."""
    if config.steps is not None:
        return config.steps
    remaining = (config.epochs or DEFAULT_EPOCHS) * examples - seen
    return step + max(math.ceil(remaining / config.batch_size), 0)


DEFAULT_EPOCHS = 30


def init_key(config: Config) -> jax.Array:
    """Key of fresh weights; that of the updates is `run_key`."""
    return jax.random.fold_in(jax.random.key(config.seed), 0)


def run_key(config: Config) -> jax.Array:
    """Key that a run folds with its step for dropout and the like."""
    return jax.random.fold_in(jax.random.key(config.seed), 1)


def _catalogue_size(config: Config) -> int:
    assert config.model is not None
    size = zoo.model_info(config.model).image_size
    if size is None:
        raise UsageError(
            f"`image_size` is needed: {config.model} reads sequences, and images of more than "
            f"{SMALL} pixels have no usual size there; give one, as in `image_size=32`"
        )
    return size


def fixed_size(model: nn.Module, side: int) -> dict[str, Any]:
    """What tells a network with positions of its own, such as a transformer, the images' side."""
    return {"image_size": side} if hasattr(model, "image_size") else {}


def _genotype(model: nn.Module, config: Config) -> dict[str, Any]:
    """The cells in the file that the config names, as JSON values."""
    if config.genotype is None:
        return {}
    if not hasattr(model, "genotype"):
        raise UsageError(
            f"`genotype` is for networks of cells such as nasnet_nano, and `model` {config.model} "
            "is none; leave it out"
        )
    value = _read_json("genotype", local(config.genotype))
    return {"genotype": genotype_to_json(genotype_from_json(value))}


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
