"""Fine-tuning, told as a comparison: before, after, and the same network without pretraining."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import checkpoints
from checkpoints.preprocess import SequencePreprocess
from train.config import Config
from train.evaluation import evaluate
from train.loop import Result, fit
from train.plan import plan
from train.report import Reporter

SCRATCH_LEARNING_RATE = (
    1e-2  # the best of 2e-3, 4e-3 and 1e-2 for fifty digits, on the validation split
)


class Comparison(NamedTuple):
    """Evaluations of one network on one split.

    Attributes:
        before: with the pretrained weights as they are (a fresh head, if the classes differ).
        after: fine-tuned.
        scratch: trained from random weights on the same images for as many steps, or None.
        result: the fine-tuning run.
    """

    before: dict[str, float | int]
    after: dict[str, float | int]
    scratch: dict[str, float | int] | None
    result: Result


def finetune(
    config: Config, *, compare_scratch: bool = False, reporter: Reporter | None = None
) -> Comparison:
    """Fine-tunes `config.weights` on `config.dataset`.

    Args:
        config: the run; `config.weights` is required.
        compare_scratch: also train the same network from random weights, under from_scratch/ in
            the run's directory.
        reporter: where to say what happens.

    >>> config = train.Config(
    ...     weights="resnet8.rendered_digits", dataset="zoo_digits", steps=2, out="finetuned"
    ... )
    >>> found = train.finetune(config)
    >>> found.before["top1"] > 0.9, found.after == found.result.metrics, found.scratch
    (True, True, None)
    """
    reporter = reporter or Reporter()
    before = evaluate_start(config)
    result = fit(config, reporter)
    scratch = None
    if compare_scratch:
        reporter.say("the same network from scratch, on the same images:")
        scratch = fit(scratch_config(config, result.directory), reporter).metrics
    return Comparison(before, result.metrics, scratch, result)


def evaluate_start(config: Config) -> dict[str, float | int]:
    """Evaluation of the model that `config` starts from."""
    network, data = (planned := plan(config)).network, planned.evaluation
    return evaluate(network.model, network.variables, data, preprocess=network.card.preprocess)


def scratch_config(config: Config, directory: Path | Any) -> Config:
    """The same run from random weights, with a learning rate that suits them."""
    card = checkpoints.load(directory).card
    is_series = isinstance(card.preprocess, SequencePreprocess)
    rate = max(config.optimization.learning_rate, SCRATCH_LEARNING_RATE)
    return dataclasses.replace(
        config,
        weights=None,
        model=card.architecture,
        overrides=card.overrides,
        image_size=None if is_series else card.preprocess.image_size,
        optimization=dataclasses.replace(config.optimization, learning_rate=rate),
        out=str(directory / "from_scratch"),
    )
