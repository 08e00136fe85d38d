"""SimpleNet's names in the authors' repository, where one sequence holds every layer."""

from typing import Any

from checkpoints.convert.leaves import CONV, COUNTER, DENSE, LEAVES, NORM
from checkpoints.convert.rules import Rule, Table

POOL = "max"


def _table(model: Any) -> Table:
    """Convolution, norm, ReLU and dropout have a place each, as have a pool and its dropout.

    A dropout has none where the authors' code makes none: with a rate of its own there is one.
    """
    place, rules, rates = 0, [], dict(model.drop_rates)
    for s, stage in enumerate(model.scaled(), start=1):
        place += 2 if s > 1 else 0
        for b, unit in enumerate(stage):
            ours = f"stage{s}_block{b}"
            rules.append(Rule(f"{ours}/conv", f"features.{place}", CONV))
            rules.append(Rule(f"{ours}/norm", f"features.{place + 1}", NORM))
            place += 3 if rates.get(ours, unit.drop_rate) is None else 4
    return Table(
        rules=(*rules, Rule("head", "classifier", DENSE)),
        order=("features", "classifier", *LEAVES),
        counter=COUNTER,
    )


TABLES = {"simplenet": _table}
