"""How examples become inputs where no pretrained weights say it."""

import dataclasses

import numpy as np

import zoo
from checkpoints.preprocess import Preprocess, SequencePreprocess
from train.augment import Augment, calls_of, shortened
from train.config import Config
from train.data import Dataset
from zoo.errors import UsageError

SMALL = 64  # images up to this side are used as they are, in pixels
SOME = 1024  # series from which length, mean and spread are taken


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
        preprocess = dataclasses.replace(preprocess, mean=(0.5,), std=(0.5,))
    return chosen(preprocess, config)


def chosen(preprocess: Preprocess, config: Config) -> Preprocess:
    """With the fields that a config says; grey images take the average of those of three channels.

    Raises:
        UsageError: there is no such field, it is the size, or it cannot have such a value.
    """
    if "image_size" in config.preprocess:
        raise UsageError("`preprocess` cannot set image_size, which is an option of its own")
    fields = Preprocess.from_dict({**vars(Preprocess()), **config.preprocess})
    given = vars(fields.with_channels(preprocess.channels))
    return dataclasses.replace(preprocess, **{n: given[n] for n in config.preprocess})


def series_preprocess(config: Config, data: Dataset) -> SequencePreprocess:
    """The longest of some series, and mean and standard deviation of their channels.

    Raises:
        UsageError: options for images are set, or the network reads nothing but images.
    """
    refuse_options_for_images(config, data)
    assert config.model is not None
    if zoo.model_info(config.model).reads != "series":
        names = (zoo.model_info(name) for name in zoo.list_models())
        families = sorted({info.family for info in names if info.reads == "series"})
        raise UsageError(
            f"`model` {config.model} reads images, and {data.name} holds series of numbers; choose "
            f"one of the families {', '.join(families)}"
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


def refuse_options_for_images(config: Config, data: Dataset) -> None:
    """Refuses what is for images, where `data` holds series.

    Raises:
        UsageError: there is such an option.
    """
    short, others = shortened(calls_of(config.augment))
    plain = vars(Augment())
    given = [name for name, value in vars(short).items() if value != plain[name]]
    given += [call.name for call in others]
    given += ["preprocess"] if config.preprocess else []
    if config.image_size is not None:
        given = ["image_size", *given]
    if given:
        are, them = ("is", "it") if len(given) == 1 else ("are", "them")
        raise UsageError(
            f"{', '.join(f'`{name}`' for name in given)} {are} for images, and {data.name} holds "
            f"series of numbers; leave {them} out"
        )


def _catalogue_size(config: Config) -> int:
    assert config.model is not None
    size = zoo.model_info(config.model).image_size
    if size is None:
        raise UsageError(
            f"`image_size` is needed: {config.model} reads sequences, and images of more than "
            f"{SMALL} pixels have no usual size there; give one, as in `image_size=32`"
        )
    return size
