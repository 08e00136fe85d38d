"""What a way of making networks smaller is: what it could store, and what stores it.

`train.compress.table.METHODS` names the ways: a further one is a row. None knows an architecture,
and what comes out is a network like any other: its card says what is other about it.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import jax

import checkpoints
from checkpoints.card import Card
from train.augment import Augmentation
from train.config import OptimizerConfig
from train.data import Dataset, train_batches
from train.mesh import data_mesh
from train.objective import Objective, supervised
from train.optimizer import make_optimizer
from train.parallel import parallelize
from train.report import Clock, Reporter
from train.state import TrainState, create_state, published
from train.step import make_train_step
from train.task import CLASSES, Task
from zoo.errors import UsageError
from zoo.parameters import Parameters
from zoo.parameters.stored import abstract, size

LOGGED = 10  # updates between the figures beside a progress bar


class Rung(NamedTuple):
    """One size that a method can make: its bytes, and what `Method.shrink` takes for it."""

    bytes: int
    setting: Any


class Method(NamedTuple):
    """A way to make a network smaller.

    Attributes:
        ladder: loaded -> the sizes that it can make of a network, from what traces tell.
        shrink: (loaded, setting, training) -> the network of that size. Its card says how it is
            stored and what its layers are: `stored_as`, `widths`, `intercepted`.
    """

    ladder: Callable[[checkpoints.Pretrained], Sequence[Rung]]
    shrink: Callable[[checkpoints.Pretrained, Any, "Training"], checkpoints.Pretrained]


@dataclasses.dataclass(frozen=True)
class Training:
    """How a method trains what it makes smaller.

    Attributes:
        data: labelled examples.
        preprocess: how they become inputs.
        task: what their labels are.
        epochs: passes over the data; 0 for none, which leaves what can be had without.
        batch_size: examples of an update, over all devices.
        optimization: the update rule and its schedule.
        augmentation: random changes of examples, or None.
        seed: of the order, the augmentation and noise.
        reporter: where to say how far it is.
    """

    data: Dataset
    preprocess: Any
    task: Task = CLASSES
    epochs: float = 20.0
    batch_size: int = 64
    optimization: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    augmentation: Augmentation | None = None
    seed: int = 0
    reporter: Reporter = dataclasses.field(default_factory=Reporter)

    @property
    def steps(self) -> int:
        """Updates of one training."""
        return math.ceil(self.epochs * len(self.data) / self.batch_size)

    def trained(
        self,
        model: Any,
        variables: Mapping[str, Any],
        *,
        objective: Objective | None = None,
        parameters: Parameters | None = None,
    ) -> dict[str, Any]:
        """Variables of a network after a training in memory; nothing is written.

        Args:
            model: the network.
            variables: those that it begins with.
            objective: what is minimised; None is the loss of the task.
            parameters: what is trained; None is everything.

        Raises:
            UsageError: the loss became infinite or NaN.
        """
        return published(self.run(model, variables, objective, parameters), parameters)

    def run(
        self,
        model: Any,
        variables: Mapping[str, Any],
        objective: Objective | None = None,
        parameters: Parameters | None = None,
    ) -> TrainState:
        """The state after that training, for what is trained and not published."""
        objective = objective or supervised(self.task)
        optimizer = make_optimizer(self.optimization, max(self.steps, 1), seed=self.seed)
        both: Any = {"objective": objective, "parameters": parameters}
        key = jax.random.key(self.seed)
        state = create_state(dict(variables), optimizer, key=key, **both)
        if not self.steps:
            return state
        return self._updated(state, make_train_step(model, optimizer, **both))

    def _updated(self, state: TrainState, plain: Any) -> TrainState:
        mesh, clock, metrics = data_mesh(), Clock(), {}
        step = parallelize(plain, "jit", mesh=mesh)
        batches = train_batches(
            self.data,
            preprocess=self.preprocess,
            augment=self.augmentation,
            batch_size=self.batch_size,
            seed=self.seed,
        )
        with closing(batches), self.reporter.steps(0, self.steps):
            for done in range(1, self.steps + 1):
                state, metrics = step(state, next(batches), state.key)
                clock.count(self.batch_size)
                is_told = done % LOGGED == 0 or done == self.steps
                self.reporter.advance(done, self._row(metrics, clock) if is_told else None)
        if not math.isfinite(float(metrics["loss"])):
            raise UsageError(
                f"training diverged: the loss became {float(metrics['loss'])}; try again with a "
                f"lower `learning_rate` than {self.optimization.learning_rate:g}"
            )
        return state

    def _row(self, metrics: Any, clock: Clock) -> dict[str, Any]:
        rate = self.optimization.learning_rate
        return {"loss": float(metrics["loss"]), "learning_rate": rate, **clock.figures()}


def stored_bytes(variables: Mapping[str, Any], card: Card) -> int:
    """Bytes of the numbers of a network as its card says they are stored.

    Args:
        variables: arrays, or their shapes.
        card: with `stored_as`.
    """
    rest = {name: tree for name, tree in variables.items() if name != "params"}
    return size(abstract(variables["params"], card.stored_as)) + size(rest)


def of_parameters(parameters: Parameters, objective: Callable[..., Any] | None = None) -> Method:
    """The method of training a network of which `parameters` says what is stored.

    Args:
        parameters: with `stored_as`.
        objective: (loaded, training) -> what is minimised; None is the loss of the task.

    Raises:
        UsageError: they say nothing of it.
    """
    if parameters.stored_as is None:
        raise UsageError(
            "`method` must be `Parameters` that say how they are stored, as "
            "`zoo.parameters.ternary.ternary()` does, or a name; got some without `stored_as`"
        )
    stored_as = dict(parameters.stored_as)

    def ladder(loaded: checkpoints.Pretrained) -> list[Rung]:
        card = dataclasses.replace(loaded.card, stored_as=stored_as)
        return [Rung(stored_bytes(loaded.variables, card), None)]

    def shrink(loaded: checkpoints.Pretrained, setting: Any, training: Training) -> Any:
        del setting
        aim = None if objective is None else objective(loaded, training)
        both: Any = {"objective": aim, "parameters": parameters}
        variables = training.trained(loaded.model, loaded.variables, **both)
        card = dataclasses.replace(loaded.card, stored_as=stored_as)
        return loaded._replace(variables=variables, card=card)

    return Method(ladder, shrink)
