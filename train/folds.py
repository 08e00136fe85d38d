"""Cross-validation: a run for each part of the training data, measured by that part."""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from checkpoints import paths
from train.config import Config
from train.loop import Result, fit
from train.report import Reporter
from zoo.errors import UsageError


class Spread(NamedTuple):
    """A figure over several runs.

    Attributes:
        mean: of the runs.
        deviation: sample standard deviation.
    """

    mean: float
    deviation: float


def cross_validate(config: Config, reporter: Reporter | None = None) -> list[Result]:
    """Trains once for each of `config.folds` parts of the training data, without that part.

    Runs lie under fold0/, fold1/, ... of `config.out`, and each resumes by itself.

    Args:
        config: with `folds` and `out`.
        reporter: where to say what happens.

    Raises:
        UsageError: `folds` or `out` is missing, or a run cannot be made.

    >>> config = train.Config(
    ...     model="resnet8", overrides={"stage_sizes": [1], "width": 4}, dataset="zoo_digits",
    ...     steps=1, folds=2, out="folds",
    ... )
    >>> [result.metrics["count"] for result in train.cross_validate(config)]
    [539, 538]
    """
    if config.folds is None or config.out is None:
        raise UsageError("cross-validation needs `folds` and `out`, the directory of its runs")
    reporter, place, found = reporter or Reporter(), paths.path(config.out), []
    for n in range(config.folds):
        reporter.say(f"fold {n + 1} of {config.folds}")
        out = str(place / f"fold{n}")
        resume = config.resume and (place / f"fold{n}" / "config.json").exists()
        run = dataclasses.replace(config, fold=n, out=out, resume=resume)
        found.append(fit(run, reporter))
    return found


def spread(results: Sequence[Result]) -> dict[str, Spread]:
    """Mean and sample deviation of every figure that all runs have."""
    figures = [result.metrics for result in results]
    names = [name for name in figures[0] if all(name in f for f in figures)]
    return {name: _spread([float(f[name]) for f in figures]) for name in names}


def _spread(values: Sequence[float]) -> Spread:
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return Spread(float(np.mean(values)), deviation)
