"""What a run is: frozen data."""

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any, Literal

from checkpoints.retention import Retention
from train import lengths
from train.augment.shorthand import Augmentations, calls_of
from train.calls import Call
from train.mesh import FSDP, sides
from train.typed_json import from_json
from zoo.errors import UsageError

Parallel = Literal["jit", "pmap", "shard_map"]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Data that a run is evaluated on beside its own; `sketches:dataset=path` as an option."""

    dataset: str | None = None
    """Data set with classes of the same names; None is that of the run."""
    split: str | None = None
    """Split; None is test if the data set has one, else validation."""
    tta: str | None = None
    """Views of each image, of which the mean is judged, as in "flip,five_crop"."""
    preprocess: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of the preprocessing that are others than in training, as in {"image_size": 288}."""

    @staticmethod
    def parsed(text: str) -> tuple[str, "Evaluation"]:
        """Reads `NAME:FIELD=VALUE,FIELD=VALUE`; other fields than ours are of the preprocessing."""
        call = Call.parsed(text)
        ours = {f.name for f in dataclasses.fields(Evaluation)}
        given = {name: value for name, value in call.arguments.items() if name in ours}
        others = {name: value for name, value in call.arguments.items() if name not in ours}
        return call.name, from_json(Evaluation, {"preprocess": others} | given, f"{call.name!r}")

    def __str__(self) -> str:
        fields = {n: v for n, v in vars(self).items() if n != "preprocess" and v is not None}
        return str(Call("", {**fields, **self.preprocess})).removeprefix(":")


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """The update rule and its schedule."""

    optimizer: str = "adamw"
    """Update rule, with arguments as in `rmsprop:momentum=0.9,eps=0.001`: adadelta, adafactor,
    adam, adamw, lamb, lars, lion, muon, rmsprop (TensorFlow's), sgd (Nesterov momentum 0.9)."""
    learning_rate: float = 3e-3
    """Peak learning rate."""
    schedule: str = "cosine"
    """What takes it down, with arguments as in `cosine:final=0.01`: constant, cosine, exponential,
    linear, onecycle, polynomial, steps (a fifth at 40, 70 and 90 % of the run; others as in
    `steps:at=[0.5,0.75],factor=0.1` or `at=["30epochs"]`), plateau (a fifth each time that the
    training loss has not fallen for `patience` epochs)."""
    patience: int = 20
    """Epochs without a lower training loss before a plateau is one."""
    rates: dict[str, float] = dataclasses.field(default_factory=dict)
    """Peak learning rates of parameters in whose path a word stands, as in `transition 1e-4`."""
    warmup: float | str = 0.05
    """Part of the run in which the rate rises linearly: a share, 500steps or 5epochs."""
    warmup_from: float = 0.0
    """Learning rate with which the warm-up begins."""
    cooldown: float | str = 0.0
    """Part of the run at its end in which the rate falls linearly to zero, in the same forms."""
    weight_decay: float = 0.05
    """Decay of kernels and embeddings; biases, norms, tokens and positions are never decayed."""
    clip_norm: float | None = 1.0
    """Largest global norm of a gradient; None to leave it as it is."""
    adaptive_clip: float | None = None
    """Largest norm of each unit's gradient as a share of its weights' norm, as 0.01; the head's
    gradients are left as they are."""
    gradient_noise: float | None = None
    """Variance of the noise that is added to gradients at first, as 0.3; it falls as t^-0.55."""
    layer_decay: float | None = None
    """Factor of the rate from each layer to the one before it, as 0.75; the head has all of it.
    Rates of their own are multiplied too."""
    label_smoothing: float = 0.0
    """Share of the target that is spread evenly over all classes."""


@dataclasses.dataclass(frozen=True)
class Config:
    """One training run.

    >>> config = train.Config(
    ...     weights="resnet8.rendered_digits",
    ...     dataset="zoo_digits",
    ...     steps=300,
    ...     optimization=train.OptimizerConfig(learning_rate=1e-3),
    ...     evaluations={"val": train.Evaluation(split="validation")},
    ...     retention=train.Retention(newest=2, best="val/top1"),
    ... )
    """

    model: str | None = None
    """Architecture to train from scratch, as in `zoo list`."""
    overrides: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of the network, as in `--set drop_path=0.1 aux_heads=true`; values are JSON."""
    genotype: str | None = None
    """A JSON file with the cells that `model` is built from, for those that take any, as NASNet."""
    weights: str | None = None
    """Pretrained weights to start from: a name of `zoo weights`, a run, a checkpoint directory."""
    dataset: str | None = None
    """A tensorflow-datasets name, or a folder of images in one sub-folder per class, or with
    a table of labels, labels.csv."""
    data_dir: str | None = None
    """Where prepared data sets lie, a folder or gs://bucket/data, from which they are copied to
    this machine once; None is TFDS_DATA_DIR or ~/tensorflow_datasets."""
    train_split: str = "train"
    """Split to train on; slices such as train[:10%] work."""
    eval_split: str | None = None
    """Split to evaluate on; None is test if the data set has one, else validation."""
    validation: float | None = None
    """Share of the training split to evaluate on and not to train on, drawn by the seed, of each
    class alike; instead of `eval_split`."""
    folds: int | None = None
    """Equal parts of the training split, drawn by the seed, for cross-validation: a run for each,
    trained on the others and evaluated on that one."""
    fold: int | None = None
    """Which of the `folds` this run is evaluated on, from 0."""
    task: Literal["classes", "multilabel", "regression"] | None = None
    """What labels are: one class, any number of classes, or a number; None is what the data says.
    Classes can be told as any of the others, numbers if they are called by numbers."""
    per_class: int | None = None
    """Train on this many images of each class, drawn by the seed; None for all."""
    skip_broken: bool = False
    """Leave images out that cannot be decoded, and count them, instead of stopping."""
    image_size: int | None = None
    """Side of the network's input in pixels; None is that of the weights, or of small images."""
    preprocess: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of a fresh model's preprocessing, as in crop_pct=0.95 interpolation=bilinear."""
    epochs: float | None = None
    """Length of the run in passes over the training images; 30 if neither is given."""
    steps: int | None = None
    """Length of the run in updates; instead of epochs."""
    batch_size: int = 64
    """Images per update, over all devices."""
    accumulate: int = 1
    """Slices of a batch whose gradients are computed one after another, in the memory of one."""
    seed: int = 0
    """Seed of everything random: fresh weights, order, augmentation, subset, dropout."""
    parallel: Parallel = "jit"
    """How the step runs on several devices; all three give the same numbers."""
    mesh: str | None = None
    """Devices along two axes, as data=4,fsdp=2: along fsdp each holds its part of parameters and of
    the optimizer's state, along data all hold the same; None is data alone."""
    batch_norm_groups: int = 1
    """Slices of the global batch normalised separately; 1 is synchronised batch norm."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Dtype of the computation; parameters stay float32."""
    ema: float | None = None
    """Decay of an exponential moving average of the parameters, which is then what is kept."""
    log_every: int = 10
    """Steps between rows of metrics.jsonl."""
    eval_every: int | None = None
    """Steps between evaluations; None is ten in a run."""
    early_stop: int | None = None
    """Evaluations in a row, without a better figure of `retention`, after which a run ends."""
    evaluations: dict[str, Evaluation] = dataclasses.field(default_factory=dict)
    """Further evaluations by name, as in `val:split=validation big:image_size=288`; their figures
    are logged as NAME/top1."""
    save_every: int = 500
    """Steps between checkpoints; the last step is always saved."""
    retention: Retention = dataclasses.field(default_factory=Retention)
    """Which checkpoints stay, as in `newest=3 best=val/top1 every=1000`."""
    out: str | None = None
    """The run directory, also in a bucket as in gs://bucket/run; None is a new one under runs/."""
    resume: bool = False
    """Continue the run in `out`, or the newest of the same name, where it was last saved."""
    take_over: bool = False
    """Write to `out` although a process of another host is its owner: if you know that it ended."""
    threads: int = 2
    """Threads that read, decode and augment images."""
    tensorboard: bool = False
    """Also write TensorBoard's event files, to tensorboard/ in the run directory."""
    profile: int | None = None
    """Trace so many updates after the tenth, to profile/ in the run directory, for xprof."""
    wandb: str | None = None
    """Also log to this project of Weights & Biases."""
    sampling: Literal["balanced"] | None = None
    """Which images are trained on: balanced ones of each class alike, those of rare ones more
    often; None is every image once in an epoch."""
    class_weights: Literal["balanced"] | None = None
    """Weights of the classes in the loss: balanced ones let each class count the same."""
    objective: tuple[Call, ...] = ()
    """Methods, each around those before it, as in `mixup:alpha=0.2`: see `train.methods`."""
    parameters: tuple[Call, ...] = ()
    """What is trained, as in `frozen:patterns=^stem` or `lora:rank=4`; everything if empty."""
    head_first: int | None = None
    """Steps in which the head alone is trained, before all else is too."""
    unfreeze_every: int | None = None
    """Steps after which the layer before those that are trained is trained too, from the head
    back to the stem; `head_first` says when the first of them is."""
    optimization: OptimizerConfig = OptimizerConfig()
    augment: Augmentations = ()
    """Random changes of training images, in their order, as in `random_resized_crop
    randaugment:magnitude=9 random_erasing`: see `train.augment`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "augment", calls_of(self.augment))
        _require_one(self)
        values = {**vars(self), **vars(self.optimization)}
        for name, (requirement, is_met) in _REQUIRED.items():
            if values[name] is not None and not is_met(values[name]):
                raise UsageError(f"`{name}` must be {requirement}, got {values[name]}")
        if self.mesh is not None and sides(self.mesh).get(FSDP, 1) > 1 and self.parallel != "jit":
            raise UsageError(
                f"`mesh` {self.mesh} splits parameters, which `parallel` {self.parallel} cannot; "
                "leave `parallel` at jit"
            )
        for name in ("warmup", "cooldown"):
            lengths.check(values[name], name)
        for word, rate in self.optimization.rates.items():
            if not _is_positive(rate):
                raise UsageError(f"`rates` of {word!r} must be positive and finite, got {rate}")
        for name in self.evaluations:
            if not re.fullmatch(r"[\w.-]+", name):
                raise UsageError(
                    f"`evaluations` must have names of letters, digits and -_. , got {name!r}"
                )


# Fields of which a run takes one.
_ONE_OF = (("steps", "epochs"), ("validation", "folds", "eval_split"))


def _require_one(config: Config) -> None:
    """Refuses settings that contradict each other."""
    for names in _ONE_OF:
        given = [name for name in names if getattr(config, name) is not None]
        if len(given) > 1:
            values = " and ".join(str(getattr(config, name)) for name in given)
            raise UsageError(
                f"give {' or '.join(f'`{name}`' for name in given)}, not both; got {values}"
            )
    if config.fold is not None and config.fold >= (config.folds or 0):
        raise UsageError(f"`fold` must be below `folds`, got {config.fold} and {config.folds}")


def _is_positive(value: float | int) -> bool:
    return value > 0 and math.isfinite(value)


_REQUIRED: dict[str, tuple[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(
        (
            *("batch_size", "log_every", "save_every", "eval_every", "batch_norm_groups"),
            *("accumulate", "early_stop", "profile", "head_first", "unfreeze_every"),
            *("threads", "steps", "epochs", "per_class", "image_size"),
            *("learning_rate", "patience", "clip_norm", "adaptive_clip"),
        ),
        ("positive and finite", _is_positive),
    ),
    **dict.fromkeys(
        ("weight_decay", "gradient_noise", "warmup_from"),
        ("at least 0 and finite", lambda x: x >= 0 and math.isfinite(x)),
    ),
    "validation": ("above 0 and below 1", lambda x: 0 < x < 1),
    "folds": ("at least 2", lambda x: x >= 2),
    "fold": ("at least 0", lambda x: x >= 0),
    "layer_decay": ("above 0 and at most 1", lambda x: 0 < x <= 1),
    **dict.fromkeys(("label_smoothing", "ema"), ("at least 0 and below 1", lambda x: 0 <= x < 1)),
    "seed": ("at least 0 and below 2**32", lambda x: 0 <= x < 2**32),
}
