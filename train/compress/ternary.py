"""BitNet b1.58: kernels of three values, and inputs of eight bits where that is wanted.

Nielsen & Schneider-Kamp 2024, https://arxiv.org/abs/2407.09527; the parts are
`zoo.parameters.ternary` and `zoo.parameters.bitnet`.
"""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import checkpoints
from checkpoints import build
from train.compress.method import Method, Training, of_parameters
from zoo.parameters import ternary as form


def ternary(
    *,
    measure: str = "median",
    activations: bool = False,
    patterns: str | Sequence[str] = form.KERNELS,
) -> Method:
    """Trains a network whose kernels are of three values wherever they are used.

    Args:
        measure: of the size of a kernel's entries: "median" or "mean".
        activations: also normalises what layers read and rounds it to eight bits, which saves no
            bytes: a layer can then be computed in integers.
        patterns: kernels that become so, as in `zoo.parameters.select`.
    """
    plain = of_parameters(form.ternary(patterns, measure=measure))
    if not activations:
        return plain

    def shrink(loaded: checkpoints.Pretrained, setting: Any, training: Training) -> Any:
        # Kernels are rounded by `Parameters`, and so are of three values when a layer sees them.
        layers = form.layers(loaded.variables["params"], patterns)
        rounding = {"kernels": "max", "patterns": [f"^{re.escape(path)}$" for path in layers]}
        call = {"name": "bitnet", "arguments": rounding}
        card = dataclasses.replace(loaded.card, intercepted=[*loaded.card.intercepted, call])
        changed = loaded._replace(model=build.create_model(card), card=card)
        return plain.shrink(changed, setting, training)

    return plain._replace(shrink=shrink)
