"""What the labels of a run are, with the loss that its config wants."""

import functools
from collections.abc import Sequence

from train.config import Call, Config
from train.data import Dataset
from train.data.dataset import label, task_name
from train.losses import softmax_cross_entropy
from train.methods.imbalance import balanced_weights, class_weighted
from train.task import Task, task_of
from zoo.errors import UsageError

# Methods whose labels are one class of several.
FOR_CLASSES = ("binary", "distillation", "focal", "mean_teacher")


def run_task(config: Config, training: Dataset) -> Task:
    """The task of the training data, its loss smoothed or weighted; see `require_kind`."""
    task, smoothing = task_of(training), config.optimization.label_smoothing
    require_kind(config, training)
    if smoothing:
        task = task._replace(loss=functools.partial(softmax_cross_entropy, smoothing=smoothing))
    if config.class_weights == "balanced":
        labels = [label(training, index) for index in range(len(training))]
        weights = balanced_weights(labels, len(training.class_names))
        task = task._replace(loss=class_weighted(task.loss, weights))
    return task


def require_kind(config: Config, training: Dataset) -> None:
    """Refuses what is for one class of several, where labels are others.

    Raises:
        UsageError: the config wants such a thing.
    """
    wanted = _wanted(config)
    if wanted and task_name(training) != "classes":
        raise UsageError(
            f"{wanted[0]} is for one class of several, and the labels of {training.name!r} are "
            f"{task_name(training)}; leave it out"
        )


def _wanted(config: Config) -> list[str]:
    """Options that are for one class of several, as messages name them."""
    options = {
        "`label_smoothing`": config.optimization.label_smoothing,
        "`class_weights`": config.class_weights,
        "`sampling`": config.sampling,
    }
    named: Sequence[Call] = config.objective
    methods = [f"`objective` {call.name}" for call in named if call.name in FOR_CLASSES]
    return [name for name, value in options.items() if value] + methods
