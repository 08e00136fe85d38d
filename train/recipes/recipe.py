"""What a recipe is: settings, where they come from, and what they came to."""

import dataclasses
from typing import Any, NamedTuple

from train.calls import Call
from train.config import Config


class Recipe(NamedTuple):
    """Settings of a run, and what is known about them.

    Attributes:
        config: the settings; `zoo train --recipe NAME` runs them.
        about: what it is, in a sentence.
        source: paper and table, or the authors' code.
        hardware: what it was meant for.
        top1: the accuracy that was published.
        measured: on what, and by whom.
    """

    config: Config
    about: str
    source: str = ""
    hardware: str = ""
    top1: float | None = None
    measured: str = ""

    def tiny(self, **overrides: Any) -> Config:
        """Five steps of the same methods, rule and schedule on small images that ship.

        For tests, and for a look at what a recipe does. Whatever is pretrained is fresh, and a
        teacher is one of the small networks that ship.

        Args:
            overrides: fields of the network that make it small, beside those of the recipe.
        """
        config, fields = self.config, {**self.config.overrides, **overrides}
        return dataclasses.replace(
            config,
            model=config.model or str(config.weights).partition(".")[0],
            weights=None,
            overrides=fields,
            dataset="zoo_digits",
            image_size=None,
            preprocess={},
            evaluations={},
            epochs=None,
            steps=5,
            batch_size=24,  # of one, two or three views, on as many as eight devices
            batch_norm_groups=1,
            dtype="float32",
            objective=tuple(map(_small_teacher, config.objective)),
        )


def _small_teacher(call: Call) -> Call:
    if "teacher" not in call.arguments:
        return call
    return Call(call.name, call.arguments | {"teacher": "resnet8.digits"})
