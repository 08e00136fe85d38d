"""DeepMAD's names in the authors' repository, whose deployed networks are lists of lists."""

from typing import Any

from checkpoints.convert.leaves import CONV, COUNTER, DENSE, LEAVES, NORM
from checkpoints.convert.rules import Rule, Table

BLOCK = "block_list.{s}.block_list.{b}"


def _pair(ours: str, norm: str, theirs: str) -> list[Rule]:
    """A convolution and its norm, which are one module there."""
    return [Rule(ours, f"{theirs}.conv1", CONV), Rule(norm, f"{theirs}.bn1", NORM)]


def _table(model: Any) -> Table:
    """The top is the last of the list, after all stages."""
    block = "stage{s}_block{b}"
    attention = f"{block}/attention"
    return Table(
        rules=(
            *_pair("stem", "stem_norm", "block_list.0"),
            *_pair(f"{block}/conv{{k}}", f"{block}/norm{{k}}", f"{BLOCK}.conv{{k}}"),
            *_pair(f"{attention}/squeeze", f"{attention}/squeeze_norm", f"{BLOCK}.se2.conv1"),
            *_pair(f"{attention}/excite", f"{attention}/excite_norm", f"{BLOCK}.se2.conv2"),
            *_pair(f"{block}/shortcut/conv", f"{block}/shortcut/norm", f"{BLOCK}.residual_proj"),
            *_pair("top", "top_norm", f"block_list.{len(model.stages) + 1}"),
            Rule("head", "fc_linear", DENSE),
        ),
        order=(
            *("block_list", "fc_linear", "conv1", "conv2", "se2", "conv3", "residual_proj", "bn1"),
            *LEAVES,
        ),
        counter=COUNTER,
    )


TABLES = {"tinynas": _table}
