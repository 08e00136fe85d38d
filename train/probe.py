"""A linear probe: a network as it is, and a classifier that is fitted to its pooled features.

The features are computed once; the classifier is logistic regression, as scikit-learn's. Razavian
et al. 2014, "CNN features off-the-shelf", https://arxiv.org/abs/1403.6382.
"""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

import checkpoints
from checkpoints import paths, surgery
from checkpoints.card import current_versions
from checkpoints.preprocess import Preprocess
from train import hosts
from train.config import Config
from train.data import Dataset, found
from train.data.dataset import task_name
from train.evaluation import evaluate, measured
from train.logistic import logistic_regression
from train.plan import plan
from train.report import Reporter
from train.run_directory import run_directory
from train.task import Task
from zoo.errors import UsageError

HEAD = "head"  # where every network of the catalogue has its classifier

# Outputs and labels of every example, as they are.
FEATURES = Task(
    loss=lambda outputs, labels: jnp.zeros(len(outputs)),
    measure=lambda outputs, labels: {"features": outputs, "labels": labels},
    summary=lambda sums, count: {},
    gathered=("features", "labels"),
)


class Probed(NamedTuple):
    """A fitted probe, its figures on the evaluation's data, and the checkpoint that holds it."""

    metrics: dict[str, float | int]
    directory: Path | Any


def probe(
    loaded: checkpoints.Pretrained,
    data: Dataset,
    *,
    c: float = 1.0,
    tolerance: float = 1e-8,
    batch_size: int = 256,
) -> checkpoints.Pretrained:
    """The network with the head that logistic regression finds; all else stays, bit for bit.

    Args:
        loaded: what `checkpoints.load(..., class_names=data.class_names)` returns.
        data: of classes; examples are seen as in evaluation.
        c: scikit-learn's `C`, the inverse of the penalty's strength.
        tolerance: of every derivative of the mean loss.
        batch_size: examples at a time, over all devices.

    Raises:
        UsageError: the data has no classes, or others than the network; the network has no linear
            head.

    >>> data = train.load_dataset("zoo_digits")
    >>> loaded = checkpoints.load("resnet8.rendered_digits", class_names=data.class_names)
    >>> probed = train.probe(loaded, train.few_shot(data, per_class=5, seed=0))
    >>> probed.variables["params"]["head"]["kernel"].shape, probed.card.source["kind"]
    ((64, 10), 'probe')
    """
    require_probed(loaded.model, loaded.variables, data)
    options: Any = {"preprocess": loaded.preprocess, "batch_size": batch_size}
    features, labels = pooled_features(loaded.model, loaded.variables, data, **options)
    classes = len(data.class_names)
    fit = logistic_regression(features, labels, classes=classes, c=c, tolerance=tolerance)
    head = {"bias": jnp.asarray(fit.bias, "float32"), "kernel": jnp.asarray(fit.kernel, "float32")}
    variables = {**loaded.variables, "params": {**loaded.variables["params"], HEAD: head}}
    card = dataclasses.replace(
        loaded.card,
        class_names=tuple(data.class_names),
        label_set=None,
        trained_on=f"{data.name}:{data.split}",
        metrics={},
        fingerprint=None,
        stored_as=None,
        parameters=surgery.count(variables["params"]),
        source={"kind": "probe", "started_from": loaded.card.name, "c": c, "loss": fit.loss},
        versions=current_versions(),
    )
    return loaded._replace(variables=variables, card=card, fresh=())


def pooled_features(
    model: nn.Module,
    variables: Any,
    data: Dataset,
    *,
    preprocess: Preprocess,
    batch_size: int = 256,
) -> tuple[Float[np.ndarray, "n d"], Int[np.ndarray, " n"]]:
    """What the head of a network reads of every example, and the labels, in the data's order.

    Args:
        model: a network of the catalogue, with or without a head.
        variables: `{"params": ..., "batch_stats": ...}`.
        data: the examples.
        preprocess: belongs to the weights.
        batch_size: examples at a time, over all devices.
    """
    headless: Any = model.clone(num_classes=None)
    options: Any = {"preprocess": preprocess, "batch_size": batch_size}
    values, _ = measured(headless, variables, data, FEATURES, **options)
    return values["features"], values["labels"]


def require_probed(model: Any, variables: Any, data: Dataset) -> None:
    """Refuses what a linear classifier cannot be fitted to; see `probe`."""
    if task_name(data) != "classes":
        raise UsageError(f"a probe is fitted to classes, and {data.name!r} has none")
    head = variables["params"].get(HEAD, {})
    if not hasattr(model, "num_classes") or sorted(head) != ["bias", "kernel"]:
        raise UsageError(
            f"a probe replaces a linear {HEAD!r}, and {type(model).__name__} has none; load a "
            "network of the catalogue with its classes"
        )
    if model.num_classes != len(data.class_names):
        raise UsageError(
            f"the network tells {model.num_classes} classes apart, and {data.name!r} has "
            f"{len(data.class_names)}; load it with `class_names=data.class_names`"
        )


def probe_run(config: Config, *, c: float = 1.0, reporter: Reporter | None = None) -> Probed:
    """Probes `config.weights` on `config.dataset`, and saves the result as a checkpoint.

    Args:
        config: which weights and data; what concerns updates does not count.
        c: as in `probe`.
        reporter: where to say what happens.

    Raises:
        UsageError: the config cannot be run as it stands.
    """
    reporter = reporter or Reporter()
    planned = hosts.together(lambda: plan(config))
    model, variables, card, fresh = planned.network
    loaded = checkpoints.Pretrained(model, variables, card.preprocess, card, tuple(fresh))
    for data in (planned.training, planned.evaluation):
        reporter.say(found(data))
    require_probed(model, variables, planned.training)
    directory = paths.path(hosts.agreed(lambda: str(run_directory(config, reporter.say))))
    options: Any = {"batch_size": max(config.batch_size, 256)}
    probed = probe(loaded, planned.training, c=c, **options)
    options["preprocess"] = card.preprocess
    metrics = evaluate(model, probed.variables, planned.evaluation, **options)
    of = f"{planned.evaluation.name}:{planned.evaluation.split}"
    described = dataclasses.replace(probed.card, name=directory.name, metrics={**metrics, "of": of})
    checkpoints.save(directory, probed.variables, described)
    return Probed(metrics, directory)
