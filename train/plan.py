"""What a run comes to before any of it happens: a pure function of its config."""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from checkpoints import paths
from train import data_facts, methods, run_unfreezing
from train.augment import Augmentation, augmentation_of, calls_of
from train.config import Config
from train.data import Dataset, few_shot, parts
from train.data.sampling import Sampler, balanced
from train.evaluations import Measured, open_data, open_named, open_own
from train.loggers import require_libraries
from train.mesh import arrangement
from train.network import Network, check_expected, load_network
from train.objective import Objective
from train.optimizer import check_rates, make_optimizer, require_known
from train.parallel import check_divisible
from train.run_task import require_kind, run_task
from train.schedules import make_schedule
from zoo.errors import UsageError
from zoo.parameters import Parameters
from zoo.parameters.depth import depths

EPOCHS = 30  # of a run that gives neither epochs nor steps


class Plan(NamedTuple):
    """A run before its first update, or its next.

    Attributes:
        config: complete, with the names of what was passed from Python.
        training: data that is trained on.
        augmentation: random changes of its examples, or None for none.
        evaluation: data of the run's own evaluation.
        evaluations: data of the others, by their names.
        facts: what `train.data_facts` says of training and evaluation.
        network: what is trained, with the weights that it begins with.
        steps: updates of the whole run.
        schedule: rates of all of them.
        optimizer: the transformation.
        objective: what is minimised.
        parameters: what is trained, or None if that is everything.
        starts: the step from which on each parameter is, or None if that is the first.
        sampler: which example stands where, or None if each does once in an epoch.
    """

    config: Config
    training: Dataset
    augmentation: Augmentation | None
    evaluation: Dataset
    evaluations: dict[str, Measured]
    facts: dict[str, Any]
    network: Network
    steps: int
    schedule: optax.Schedule
    optimizer: optax.GradientTransformationExtraArgs
    objective: Objective
    parameters: Parameters | None
    starts: Any = None
    sampler: Sampler | None = None


def plan(
    config: Config,
    *,
    objective: Objective | None = None,
    parameters: Parameters | None = None,
    data: tuple[Dataset, Dataset] | None = None,
) -> Plan:
    """Data, network, schedule and method of a run; nothing is written and no thread is started.

    Args:
        config: the run.
        objective: as in `train.fit`.
        parameters: as in `train.fit`.
        data: what is trained on and what it is evaluated on, in place of what the config names.

    Raises:
        UsageError: the config cannot be run as it stands.

    >>> config = train.Config(model="resnet8", dataset="zoo_digits", epochs=2.0)
    >>> planned = train.plan(config)
    >>> planned.steps, len(planned.training), planned.network.card.num_classes
    (34, 1077, 10)
    """
    require_libraries(config)
    require_known(config.optimization)
    if config.profile is not None and config.out is not None and paths.is_remote(config.out):
        raise UsageError("`profile` needs `out` on this machine, since traces are written there")
    for name, value in {"objective": objective, "parameters": parameters}.items():
        if value is not None:
            config = dataclasses.replace(config, **{name: (methods.recorded(value),)})
    augmentation = _augmentation(config)
    check_divisible(config.batch_size, augmentation.views if augmentation else 1, "views")
    training, own = data or run_data(config)
    if data is None:
        arrangement(config.mesh, jax.device_count())
        check_batch(config, config.batch_size, jax.device_count())
    require_kind(config, training)
    if parameters is None:
        parameters = methods.parameters_of(config.parameters)
        check_expected(config, training, parameters)
    network = load_network(config, training)
    check_rates(config.optimization, _trained(network, parameters))
    steps = total_steps(config, len(training))
    schedule, optimizer = _updates(config, network, len(training), steps)
    starts = _starts(config, network, parameters)
    objective = objective or _objective(config, training, network, steps)
    optimizer, objective = run_unfreezing.waiting(starts, optimizer, objective)
    return Plan(
        config=config,
        training=training,
        augmentation=augmentation,
        evaluation=own,
        evaluations=open_named(config, network),
        facts=data_facts.facts(training, own),
        network=network,
        steps=steps,
        schedule=schedule,
        optimizer=optimizer,
        objective=objective,
        parameters=parameters,
        starts=starts,
        sampler=balanced(training) if config.sampling == "balanced" else None,
    )


def check_batch(config: Config, batch_size: int, devices: int) -> None:
    """Refuses a batch that devices, groups of batch norms and slices cannot share evenly.

    Args:
        config: of groups and slices.
        batch_size: examples of an update.
        devices: how many.

    Raises:
        UsageError: one of them does not divide it; the nearest sizes that do are named.
    """
    slices = config.accumulate
    for count, name in ((devices, "devices"), (config.batch_norm_groups, "`batch_norm_groups`")):
        together = name if slices == 1 else f"parts of {count} {name} and {slices} `accumulate`"
        check_divisible(batch_size, count * slices, together)


def trained_part(planned: Plan) -> str:
    """How many numbers a run trains of how many parameters, in a line; nothing of all of them."""
    if planned.parameters is None and planned.starts is None:
        return ""
    trained = _trained(planned.network, planned.parameters)
    return run_unfreezing.told(planned.starts, trained, planned.network.variables["params"])


def continued(planned: Plan, step: int, seen: int, objective: Objective | None = None) -> Plan:
    """The plan of a run of which `step` updates have been made on `seen` examples.

    Args:
        planned: as the run begins.
        step: updates made.
        seen: examples that they saw; with other batches than before, epochs are other steps.
        objective: as in `plan`.
    """
    config, examples = planned.config, len(planned.training)
    steps = total_steps(config, examples, step=step, seen=seen)
    if steps == planned.steps:
        return planned
    schedule, optimizer = _updates(config, planned.network, examples, steps)
    made = objective or _objective(config, planned.training, planned.network, steps)
    optimizer, made = run_unfreezing.waiting(planned.starts, optimizer, made)
    return planned._replace(steps=steps, schedule=schedule, optimizer=optimizer, objective=made)


def total_steps(config: Config, examples: int, *, step: int = 0, seen: int = 0) -> int:
    """Updates of the whole run, of which `step` have been made on `seen` images."""
    if config.steps is not None:
        return config.steps
    remaining = (config.epochs or EPOCHS) * examples - seen
    return step + max(math.ceil(remaining / config.batch_size), 0)


def run_data(config: Config) -> tuple[Dataset, Dataset]:
    """What is trained on, and what the run is evaluated on.

    Raises:
        UsageError: the config names no data, or what is not here.
    """
    if config.dataset is None:
        there = f", for no run to resume was read from `out` {config.out}" if config.resume else ""
        raise UsageError(
            f"`dataset` is needed: a tensorflow-datasets name or a folder of images{there}"
        )
    data = open_data(config, config.dataset, config.train_split)
    own: Dataset | None = None
    if config.validation is not None:
        data, own = parts.cut(data, config.validation, config.seed)
    elif config.folds is not None:
        if config.fold is None:
            raise UsageError(
                "`folds` needs `fold`, the one that this run is evaluated on; `zoo train` and "
                "`train.cross_validate` run one after the other without it"
            )
        data, own = parts.fold(data, config.folds, config.fold, config.seed)
    if config.per_class is not None:
        data = few_shot(data, config.per_class, config.seed)
    own = open_own(config) if own is None else methods.evaluated_on(config.objective, own)
    return methods.trained_on(config.objective, data), own


def _augmentation(config: Config) -> Augmentation | None:
    calls = calls_of(config.augment)
    return augmentation_of(calls) if calls else None


def _updates(
    config: Config, network: Network, examples: int, steps: int
) -> tuple[optax.Schedule, optax.GradientTransformationExtraArgs]:
    epoch = -(-examples // config.batch_size)
    wanted = config.optimization
    numbered = _depths(network) if wanted.layer_decay else None
    rule = make_optimizer(wanted, steps, epoch=epoch, seed=config.seed, depths=numbered)
    optimizer = methods.optimizer_of(config.objective, rule)
    return make_schedule(wanted, steps, epoch=epoch), optimizer


def _depths(network: Network) -> dict[str, Any]:
    shape = network.card.preprocess.shape
    return depths(network.model, jax.ShapeDtypeStruct((1, *shape), jnp.float32))


def _starts(config: Config, network: Network, parameters: Parameters | None) -> Any:
    if config.head_first is None and config.unfreeze_every is None:
        return None
    return run_unfreezing.starts_of(config, _depths(network), _trained(network, parameters))


def _objective(config: Config, training: Dataset, network: Network, steps: int) -> Objective:
    setting = methods.Setting(run_task(config, training), steps, network.card.preprocess)
    return methods.objective_of(config.objective, setting)


def _trained(network: Network, parameters: Parameters | None) -> Any:
    params = network.variables["params"]
    return params if parameters is None else parameters.split(params)[0]
