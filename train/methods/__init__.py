"""Methods of papers, one file each, and the table of their names for configs and commands.

A config names methods with JSON arguments; `built` makes values of them. From Python, pass an
`Objective` of any making to `train.fit` or `train.make_train_step`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

import checkpoints
from checkpoints.preprocess import Preprocess
from train.augment.checks import saying
from train.calls import Call, looked_up, made
from train.data import Dataset
from train.methods.adversarial import adversarial
from train.methods.auxiliary import auxiliary, scheduled_drop_path
from train.methods.binary import binary
from train.methods.distillation import distillation
from train.methods.entropy import entropy_penalty
from train.methods.erasing import random_erasing
from train.methods.imbalance import focal
from train.methods.mixing import cutmix, mixup, mixup_or_cutmix
from train.methods.noise import gaussian_noise
from train.methods.prototypes import prototypes
from train.methods.rotation import Turned, Unturned, turned
from train.methods.sharpness import sharpness_aware
from train.methods.teacher import mean_teacher
from train.objective import Batch, Objective, next_examples, on, supervised
from train.task import CLASSES, Task
from zoo.errors import UsageError
from zoo.parameters import Parameters, chained
from zoo.parameters.frozen import frozen
from zoo.parameters.lora import lora
from zoo.parameters.ternary import ternary


class Setting(NamedTuple):
    """What a run knows and methods may need.

    Attributes:
        task: what labels are, with the loss of the run: smoothed, weighted.
        steps: updates of the run.
        preprocess: how examples become inputs.
    """

    task: Task = CLASSES
    steps: int = 1
    preprocess: Any = None


def _on(transform: Callable[..., Any]) -> Callable[..., Objective]:
    return lambda inner, setting, **given: on(transform(setting, **given), inner)


def _plain(transform: Callable[..., Any]) -> Callable[..., Any]:
    """A transform that needs nothing of the run."""
    return lambda setting, **given: transform(**given)


def _auxiliary(inner: Objective, setting: Setting, **options: Any) -> Objective:
    del inner
    return auxiliary(setting.task, **options)


def _binary(inner: Objective, setting: Setting, **options: Any) -> Objective:
    del inner
    return binary(setting.task, **options)


def _scheduled(inner: Objective, setting: Setting) -> Objective:
    return scheduled_drop_path(inner, setting.steps)


def _distilled(inner: Objective, setting: Setting, *, teacher: str, **options: Any) -> Objective:
    del inner
    loaded = checkpoints.load(teacher)
    ours, theirs = setting.preprocess, loaded.preprocess
    if ours is not None and ours.shape != theirs.shape:
        raise UsageError(
            f"`teacher` {teacher} reads inputs of shape {theirs.shape}, and the run has "
            f"{ours.shape}; choose one that reads the same"
        )
    return distillation(loaded.model, loaded.variables, task=setting.task, **options)


def _mean_teacher(inner: Objective, setting: Setting, **options: Any) -> Objective:
    del inner
    return mean_teacher(setting.task, **options)


def _adversarial(
    inner: Objective, setting: Setting, *, eps: float, step: float | None = None, steps: int = 7
) -> Objective:
    """Bounds are shares of the range of pixels, 0 to 1, as attacks are stated."""
    preprocess = setting.preprocess
    if not isinstance(preprocess, Preprocess):
        raise UsageError("`adversarial` by name is for images; pass the objective from Python")
    mean, spread = (np.asarray(v, np.float32) for v in (preprocess.mean, preprocess.std))
    return adversarial(
        inner,
        eps=eps / spread,
        step=None if step is None else step / spread,
        steps=steps,
        low=-mean / spread,
        high=(1 - mean) / spread,
    )


def _noise(setting: Setting, *, sigma: float) -> Any:
    """The spread is a share of the range of pixels, or in units of the numbers of a series."""
    return gaussian_noise(sigma / np.asarray(setting.preprocess.std, np.float32))


def _prototypes(inner: Objective, setting: Setting, **options: Any) -> Objective:
    del inner
    preprocess = setting.preprocess
    if not isinstance(preprocess, Preprocess):
        raise UsageError("`prototypes` by name is for images; pass the objective from Python")
    mean, std = (np.asarray(v, np.float32) for v in (preprocess.mean, preprocess.std))
    return prototypes(setting.task, mean=mean, std=std, **options)


def _entropy(inner: Objective, setting: Setting, **options: Any) -> Objective:
    del inner
    return entropy_penalty(setting.task, **options)


def _focal(inner: Objective, setting: Setting, **options: Any) -> Objective:
    del inner
    return supervised(setting.task, loss=focal(setting.task.loss, **options))


def _erasing(setting: Setting, **given: Any) -> Any:
    """JSON has lists, and whole numbers for those that need not be."""
    del setting
    plain = {name: _pair(value) for name, value in given.items()}
    with saying("`objective` random_erasing"):
        return made(random_erasing, Call("random_erasing", plain))


def _pair(value: Any) -> Any:
    return tuple(map(float, value)) if isinstance(value, list) else value


# Of whole batches, before the network sees them.
TRANSFORMS: dict[str, Callable[..., Any]] = {
    "mixup": _plain(mixup),
    "cutmix": _plain(cutmix),
    "mixup_or_cutmix": _plain(mixup_or_cutmix),
    "random_erasing": _erasing,
    "noise": _noise,
    "rotation": _plain(lambda: turned),
}
OBJECTIVES: dict[str, Callable[..., Objective]] = {
    "auxiliary": _auxiliary,
    "binary": _binary,
    "focal": _focal,
    "scheduled_drop_path": _scheduled,
    "distillation": _distilled,
    "mean_teacher": _mean_teacher,
    "adversarial": _adversarial,
    "entropy": _entropy,
    "prototypes": _prototypes,
    **{name: _on(make) for name, make in TRANSFORMS.items()},
}
# Of methods that bring labels of their own: what is trained on, and what is evaluated on.
VIEWS: dict[str, tuple[Callable[[Dataset], Dataset], Callable[[Dataset], Dataset]]] = {
    "rotation": (Unturned, Turned),
}
OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformationExtraArgs]] = {
    "sharpness_aware": sharpness_aware,
}
PARAMETERS: dict[str, Callable[..., Parameters]] = {
    "frozen": frozen,
    "lora": lora,
    "ternary": ternary,
}


def objective_of(calls: Sequence[Call], setting: Setting) -> Objective:
    """The objective that a config names, each method around those before it.

    Args:
        calls: names in `OBJECTIVES` with arguments; those in `OPTIMIZERS` are left out. None at all
            is the task's own loss.
        setting: of the run.

    Raises:
        UsageError: there is no such method, or it takes no such argument.
    """
    objective = supervised(setting.task)
    for call in calls:
        if call.name not in OPTIMIZERS:
            make = _known(call, "objective", OBJECTIVES, OPTIMIZERS)
            objective = made(make, call, objective, setting)
    return objective


def transformed(calls: Sequence[Call], setting: Setting, batch: Batch, key: Any) -> Batch:
    """What a config's methods make of a batch before the network sees it.

    Args:
        calls: as of `objective_of`; the last is the outermost. What lies inside a method that is no
            transform is that method's own.
        setting: of the run.
        batch: of the global batch, all of it.
        key: as an objective gets it.
    """
    for call in reversed(calls):
        if call.name in TRANSFORMS:
            transform = made(TRANSFORMS[call.name], call, setting)
            batch = transform(batch, next_examples(batch, None), jax.random.fold_in(key, 0))
            key = jax.random.fold_in(key, 1)
        elif call.name not in (*OPTIMIZERS, "scheduled_drop_path"):
            break
    return batch


def optimizer_of(calls: Sequence[Call], optimizer: Any) -> Any:
    """The optimiser inside the methods that change how it moves."""
    for call in calls:
        if call.name in OPTIMIZERS:
            optimizer = made(OPTIMIZERS[call.name], call, optimizer)
    return optimizer


def parameters_of(calls: Sequence[Call]) -> Parameters | None:
    """What a config says is trained, or None if that is everything."""
    if not calls:
        return None
    return chained(*(made(_known(call, "parameters", PARAMETERS), call) for call in calls))


def trained_on(calls: Sequence[Call], data: Dataset) -> Dataset:
    """Training data as the methods of a config want it."""
    for call in calls:
        data = VIEWS[call.name][0](data) if call.name in VIEWS else data
    return data


def evaluated_on(calls: Sequence[Call], data: Dataset) -> Dataset:
    """Data of an evaluation as the methods of a config want it."""
    for call in calls:
        data = VIEWS[call.name][1](data) if call.name in VIEWS else data
    return data


def recorded(value: Objective | Parameters) -> Call:
    """What a config says of a value that was passed from Python: where it was made."""
    pure = value.loss if isinstance(value, Objective) else value.join
    return Call(f"{FROM_PYTHON}{pure.__module__}.{pure.__qualname__.partition('.<locals>')[0]}")


FROM_PYTHON = "python:"


def _known(call: Call, field: str, *tables: dict[str, Any]) -> Any:
    if call.name.startswith(FROM_PYTHON):
        where = call.name.removeprefix(FROM_PYTHON)
        raise UsageError(
            f"the run was begun from Python with `{field}` of {where}; go on with "
            f"`train.fit(config, {field}=...)`, where the value is made as it was"
        )
    return looked_up(call, field, {name: make for part in tables for name, make in part.items()})
