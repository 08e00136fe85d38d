"""LSSL's names in the authors' repository ("s4"): encoder, backbone and decoder."""

from collections.abc import Mapping

import flax.linen as nn
import numpy as np

from checkpoints.convert import linear_state_space
from checkpoints.convert.leaves import DENSE, NORM
from checkpoints.convert.rules import Path, Rule, Shape, Table
from zoo.errors import UsageError
from zoo.lssl import LinearStateSpace


def constants(shapes: Mapping[Path, Shape]) -> dict[str, np.ndarray]:
    """Those of the layer of every block."""
    found: dict[str, np.ndarray] = {}
    for path in shapes:
        if path[0] == "params" and path[2:] == ("layer", "C"):
            prefix = f"model.layers.{path[1].removeprefix('block')}.layer."
            found |= linear_state_space.constants(shapes, prefix, path[1:3])
    return found


def example(tensors: Mapping[str, np.ndarray]) -> Shape:
    """One step of as many channels as the encoder reads."""
    if "encoder.weight" not in tensors:
        raise UsageError("the tensors do not fit the model: there is no 'encoder.weight'")
    return (1, tensors["encoder.weight"].shape[1])


NETWORK = Table(
    rules=(
        Rule("encoder", "encoder", DENSE),
        Rule("block{b}/layer", "model.layers.{b}.layer", linear_state_space.LAYER),
        Rule(
            "block{b}/layer/transition",
            "model.layers.{b}.layer.transition",
            linear_state_space.TRANSITION,
        ),
        Rule("block{b}/layer/output", "model.layers.{b}.layer.output_linear", DENSE),
        Rule("block{b}/norm", "model.layers.{b}.norm.norm", NORM),
        Rule("final_norm", "model.norm.norm", NORM),
        Rule("head", "decoder.output_transform", DENSE),
    ),
    order=(
        *("encoder", "model", "decoder", "layers", "layer", "norm", "output_transform"),
        *linear_state_space.ORDER,
    ),
    constants=constants,
    example=example,
)


def s4(model: nn.Module) -> Table:
    """The table of a network, or of a layer alone."""
    return linear_state_space.S4 if isinstance(model, LinearStateSpace) else NETWORK


TABLES = {"s4": s4}
