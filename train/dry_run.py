"""What a run comes to, told before any of it happens: `zoo train --dry-run`.

Nothing is trained, fetched or written. What is not here is stood in for: a data set that is known
by its size by as many black images, pretrained weights by fresh ones of the same shape, a teacher
by nobody.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax.sharding import Mesh

import checkpoints
from checkpoints import released
from checkpoints.retention import Retention
from train.compile import Compiled, compile_step
from train.config import Config
from train.data import Dataset
from train.data.published import SIZES, StandIn
from train.plan import Plan, plan, run_data
from train.state import create_state
from zoo.errors import UsageError

LEVELS = "▁▂▃▄▅▆▇█"  # eighths of a row of the plot


class Rehearsal(NamedTuple):
    """A plan, and what in it stands for something else.

    Attributes:
        plan: of the run.
        notes: sentences on what is not here.
        is_here: whether the data is.
    """

    plan: Plan
    notes: list[str]
    is_here: bool


def rehearse(config: Config) -> Rehearsal:
    """The plan of a run as far as this machine knows it.

    Raises:
        UsageError: the config cannot be run as it stands, or its data set is neither here nor known
            by its size.
    """
    config, notes = _without_fetching(config)
    try:
        data, is_here = run_data(config), True
    except UsageError as error:
        if config.dataset not in SIZES:
            raise
        data, is_here = _stand_ins(config.dataset), False
        notes.append(
            f"{config.dataset} is not here, and as many black images stand for it ({error})"
        )
        config = dataclasses.replace(config, evaluations={}, retention=Retention())
    return Rehearsal(plan(config, data=data), notes, is_here)


def _stand_ins(name: str) -> tuple[Dataset, Dataset]:
    return StandIn(name, "train"), StandIn(name, "test")


def _without_fetching(config: Config) -> tuple[Config, list[str]]:
    """The config with fresh weights in place of published ones, and without teachers of those."""
    notes, published = [], set(released.list_published())
    teachers = [t for c in config.objective if (t := c.arguments.get("teacher")) in published]
    if teachers:
        notes.append(f"the teacher {teachers[0]} is not loaded; its memory is left out")
        kept = tuple(c for c in config.objective if c.arguments.get("teacher") not in teachers)
        config = dataclasses.replace(config, objective=kept)
    if config.weights in published:
        notes.append(f"{config.weights} is not loaded, and fresh weights stand for it")
        config = _fresh(config, checkpoints.weights_info(config.weights))
    return config, notes


def _fresh(config: Config, card: checkpoints.Card) -> Config:
    preprocess = dict(vars(card.preprocess))
    size = preprocess.pop("image_size", None)
    return dataclasses.replace(
        config,
        model=card.architecture,
        weights=None,
        overrides={**card.overrides, **config.overrides},
        image_size=config.image_size or size,
        preprocess=preprocess,
    )


def described(planned: Plan) -> dict[str, str]:
    """Lines on network, data, length, rule and methods of a run, by their titles."""
    config, wanted = planned.config, planned.config.optimization
    training, parameters = planned.training, planned.network.card.parameters
    shape = "x".join(map(str, planned.network.card.preprocess.shape))
    size, count = config.batch_size, planned.steps
    fields = ", ".join(f"{name}={value}" for name, value in config.overrides.items())
    rates = f"{wanted.optimizer}, rate {wanted.learning_rate:g}, {wanted.schedule}"
    rule = [rates, f"decay {wanted.weight_decay:g}"]
    rule += [f"clipped at {wanted.clip_norm:g}"] if wanted.clip_norm else []
    rule += [f"labels smoothed by {wanted.label_smoothing:g}"] if wanted.label_smoothing else []
    rule += [f"average of {config.ema:g}"] if config.ema else []
    return {
        "model": f"{config.model or config.weights}, {parameters:,} parameters, inputs {shape}, "
        f"{config.dtype}" + (f"; {fields}" if fields else ""),
        "data": f"{training.name}:{training.split}, {len(training):,} examples, "
        f"{len(training.class_names):,} classes; {len(planned.evaluation):,} to evaluate on",
        "length": f"{count:,} updates of {size:,}, {count * size / len(training):.4g} epochs",
        "rule": ", ".join(rule),
        "methods": " ".join(map(str, config.objective)) or "none",
        "augmentation": " ".join(map(str, config.augment)) or "none",  # type: ignore[arg-type]
    }


def plot(schedule: optax.Schedule, steps: int, columns: int = 60, rows: int = 6) -> list[str]:
    """The rates of a run as lines of blocks, from its first update on the left to its last.

    Args:
        schedule: step -> rate.
        steps: updates of the run.
        columns: width in characters.
        rows: height in characters.
    """
    places = [round(column * max(steps - 1, 0) / (columns - 1)) for column in range(columns)]
    rates = [np.asarray(schedule(place)).item() for place in places]
    peak = max(rates) or 1.0
    lines = []
    for row in reversed(range(rows)):
        eighths = [rate / peak * rows * 8 - row * 8 for rate in rates]
        lines.append("".join(_block(eighth) for eighth in eighths).rstrip())
    return [*lines, f"{rates[0]:.3g} at first, {peak:.3g} at most, {rates[-1]:.3g} at last"]


def _block(eighths: float) -> str:
    if eighths < 0.5:
        return " "
    return LEVELS[min(int(eighths + 0.5), 8) - 1]


def state_bytes(planned: Plan) -> int:
    """Bytes of parameters, statistics, averages and what the rule keeps, by shapes alone."""

    def leaves() -> list[Any]:
        state = create_state(
            planned.network.variables,
            planned.optimizer,
            key=jax.random.key(0),
            parameters=planned.parameters,
            average=planned.config.ema,
        )
        return jax.tree.leaves(state)

    shapes: Any = jax.eval_shape(leaves)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in shapes)


def compiled(planned: Plan, mesh: Mesh) -> Compiled:
    """The training step of a run, compiled for devices that need not be here.

    Args:
        planned: of the run.
        mesh: devices.

    Raises:
        TooLargeError: a step does not fit into their memory.
    """
    config = planned.config
    return compile_step(
        planned.network.model,
        planned.optimizer,
        (config.batch_size, *planned.network.card.preprocess.shape),
        how=config.parallel,
        mesh=mesh,
        objective=planned.objective,
        parameters=planned.parameters,
        average=config.ema,
        accumulate=config.accumulate,
        batch_norm_groups=config.batch_norm_groups,
    )
