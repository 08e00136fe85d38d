"""Quantised distillation: kernels of a few bits, trained to answer as the network did before.

Polino, Pascanu & Alistarh 2018, https://arxiv.org/abs/1802.05668: sections 3 (equal steps, kernels
are trained through their rounding) and 4 (points are trained, and there kernels are not). The
parts are `zoo.parameters.points` and `train.methods.distillation`.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import checkpoints
from train.compress.method import Method, Rung, Training, of_parameters, stored_bytes
from train.data.dataset import task_name
from train.methods.distillation import distillation
from train.objective import Objective
from train.state import published
from zoo.parameters import point_codes
from zoo.parameters import points as form


def points(
    *,
    bits: int | None = None,
    bucket: int = form.BUCKET,
    learned: bool = False,
    kernels: bool = True,
    weight: float = 0.7,
    temperature: float = 2.0,
    patterns: str | Sequence[str] = form.KERNELS,
) -> Method:
    """Trains a network whose kernels have a few values in each bucket, with itself as teacher.

    Args:
        bits: of each number; None is as many, from 8 down to 1, as a budget allows.
        bucket: numbers that share a least value and a range.
        learned: trains the points, which otherwise lie at equal distances.
        kernels: with learned points, also trains the kernels; False leaves them, as in the paper.
        weight: of the teacher's part of the loss; 0 is labels alone.
        temperature: by which logits of both are divided.
        patterns: kernels that become so, as in `zoo.parameters.select`.
    """
    form.check(1 if bits is None else bits, bucket)
    options: Any = {"bucket": bucket, "patterns": patterns}
    choices = range(form.MOST_BITS, 0, -1) if bits is None else (bits,)

    def teacher(loaded: checkpoints.Pretrained, training: Training) -> Objective | None:
        if not weight or task_name(training.data) != "classes":
            return None
        return distillation(
            loaded.model,
            loaded.variables,
            task=training.task,
            weight=weight,
            temperature=temperature,
        )

    def rung(loaded: checkpoints.Pretrained, bits: int) -> Rung:
        stored_as: Any = form.points(bits, **options).stored_as
        if learned:
            start, _ = form.learned_points(bits, **options).split(loaded.variables["params"])
            stored_as = point_codes.stored_as(start, bits, **options)
        card = dataclasses.replace(loaded.card, stored_as=stored_as)
        return Rung(stored_bytes(loaded.variables, card), bits)

    def shrink(loaded: checkpoints.Pretrained, bits: int, training: Training) -> Any:
        if not learned:
            parameters = form.points(bits, **options)
            return of_parameters(parameters, teacher).shrink(loaded, None, training)
        parameters = form.learned_points(bits, **options, kernels=kernels)
        aim = teacher(loaded, training)
        state = training.run(loaded.model, loaded.variables, aim, parameters)
        stored_as = point_codes.stored_as(state.trained, bits, **options)
        card = dataclasses.replace(loaded.card, stored_as=stored_as)
        return loaded._replace(variables=published(state, parameters), card=card)

    return Method(lambda loaded: [rung(loaded, bits) for bits in choices], shrink)
