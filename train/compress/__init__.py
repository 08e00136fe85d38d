"""Any network of the zoo in fewer bytes, as an ordinary network.

In reading order: `method` (what a way of doing it is), `table` (their names), one file per method,
`figures` (what a network costs).
"""

import dataclasses
import re
from typing import Any

import checkpoints
from checkpoints.card import current_versions
from train.augment import augmentation_of, calls_of
from train.augment.shorthand import Augmentations
from train.calls import Call
from train.compress.figures import Figures, figures
from train.compress.method import Method, Rung, Training
from train.compress.table import method_of
from train.config import OptimizerConfig
from train.data import Dataset
from train.data.pairing import paired
from train.report import Reporter
from train.task import task_of
from zoo.errors import UsageError
from zoo.parameters import Parameters

UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def compress(
    loaded: checkpoints.Pretrained,
    data: Dataset,
    *,
    method: str | Call | Method | Parameters,
    budget: int | None = None,
    evaluation: Dataset | None = None,
    epochs: float = 20.0,
    batch_size: int = 64,
    optimization: OptimizerConfig | None = None,
    augment: Augmentations = (),
    seed: int = 0,
    reporter: Reporter | None = None,
) -> checkpoints.Pretrained:
    """The network made smaller, an ordinary one: `checkpoints.save` stores it in fewer bytes.

    The source of its card says bytes, multiply-adds, accuracy and latency on this machine's CPU,
    before and after.

    Args:
        loaded: the network, as `checkpoints.load` gives it.
        data: what it is trained on while it becomes smaller, of the same classes.
        method: a name in `train.compress.table.METHODS`, with arguments as in
            `"ternary:measure=mean"`; or parameters that say how they are stored, such as
            `zoo.parameters.ternary.ternary()`.
        budget: largest number of bytes; the largest network that a method can make within it is
            made. None is the largest that it can make.
        evaluation: what its accuracy is measured on; None for none.
        epochs: passes over the data; 0 trains nothing.
        batch_size: examples of an update, over all devices.
        optimization: the update rule; None is adamw with a peak rate of 1e-3.
        augment: random changes of training images.
        seed: of everything random.
        reporter: where to say what happens.

    Raises:
        UsageError: there is no such method, or it cannot keep the budget; the smallest that it can
            is named.

    >>> loaded = checkpoints.load("resnet8.digits")
    >>> data = train.load_dataset("zoo_digits")
    >>> small = train.compress(loaded, data, method="ternary", epochs=0.1)
    >>> small.card.source["before"]["bytes"], small.card.source["after"]["bytes"]
    (301928, 22540)
    """
    made, reporter = method_of(method), reporter or Reporter()
    rung = within(budget, made.ladder(loaded), method)
    data = paired(data, loaded.card)
    training = Training(
        data,
        loaded.preprocess,
        task=task_of(data),
        epochs=epochs,
        batch_size=batch_size,
        optimization=optimization or OptimizerConfig(learning_rate=1e-3),
        augmentation=augmentation_of(calls) if (calls := calls_of(augment)) else None,
        seed=seed,
        reporter=reporter,
    )
    judged = None if evaluation is None else paired(evaluation, loaded.card)
    before = figures(loaded, judged)
    reporter.say(f"{before.bytes:,} bytes now, about {rung.bytes:,} then; {cost(training)}")
    small = made.shrink(loaded, rung.setting, training)
    return described(small, loaded, method, before, figures(small, judged), judged, data)


def within(budget: int | None, ladder: Any, method: Any) -> Rung:
    """The largest size of a method that a budget allows.

    Raises:
        UsageError: none is so small.
    """
    allowed = [rung for rung in ladder if budget is None or rung.bytes <= budget]
    if not allowed:
        least = min(rung.bytes for rung in ladder)
        raise UsageError(
            f"`budget` {budget:,} bytes cannot be met by {named(method)}: the smallest that it can "
            f"make of this network has {least:,} bytes"
        )
    return max(allowed, key=lambda rung: rung.bytes)


def bytes_of(text: str) -> int:
    """Reads a number of bytes, as in "100kB", "1.5 MB", "64KiB" or "50000".

    Raises:
        UsageError: it is none.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(k|K|M|G|Ki|Mi|Gi)?B?\s*", text)
    if found is None or not float(found[1]):
        raise UsageError(f"`budget` must be a number of bytes such as 100kB, got {text!r}")
    return int(float(found[1]) * UNITS[(found[2] or "").replace("K", "k").replace("ki", "Ki")])


def named(method: Any) -> str:
    """How messages and cards call a method."""
    if isinstance(method, Parameters):
        return str((method.stored_as or {}).get("name"))
    return str(method) if isinstance(method, str | Call) else "a method from Python"


def cost(training: Training) -> str:
    """What a training costs, in words."""
    if not training.steps:
        return "nothing is trained"
    seen = training.steps * training.batch_size
    return f"{training.steps:,} updates on {seen:,} examples in each training"


def described(
    small: checkpoints.Pretrained,
    loaded: checkpoints.Pretrained,
    method: Any,
    before: Figures,
    after: Figures,
    judged: Dataset | None,
    data: Dataset,
) -> checkpoints.Pretrained:
    """The network with a card that says where it comes from and what it costs."""
    source = {
        "kind": "compressed",
        "started_from": loaded.card.name,
        "method": named(method),
        "before": before._asdict(),
        "after": after._asdict(),
    }
    of = {} if judged is None else {"of": f"{judged.name}:{judged.split}"}
    card = dataclasses.replace(
        small.card,
        name=f"{loaded.card.name}-compressed",
        source=source,
        metrics=after.metrics | of,
        fingerprint=None,
        trained_on=f"{data.name}:{data.split}",
        versions=current_versions(),
    )
    return small._replace(card=card, fresh=())
