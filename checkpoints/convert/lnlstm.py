"""A layer-normalised LSTM's names in PyTorch's benchmark, between an encoder and a head of ours."""

from collections.abc import Mapping

import numpy as np

from checkpoints.convert import recurrent
from checkpoints.convert.leaves import DENSE
from checkpoints.convert.rules import Rule, Shape, Table
from zoo.errors import UsageError


def example(tensors: Mapping[str, np.ndarray]) -> Shape:
    """One step of as many channels as the encoder reads."""
    if "encoder.weight" not in tensors:
        raise UsageError("the tensors do not fit the model: there is no 'encoder.weight'")
    return (1, tensors["encoder.weight"].shape[1])


PYTORCH = Table(
    rules=(
        Rule("encoder", "encoder", DENSE),
        *recurrent.rules("block{b}/", "layers.{b}.cell"),
        Rule("head", "head", DENSE),
    ),
    order=("encoder", "layers", "head", "cell", *recurrent.ORDER),
    example=example,
)

TABLES = {"pytorch": PYTORCH}
