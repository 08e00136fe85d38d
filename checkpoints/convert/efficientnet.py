"""EfficientNet's names in timm, and in the PyTorch port whose blocks are numbered throughout.

The port is https://github.com/lukemelas/EfficientNet-PyTorch, whose names the Lite networks on the
package index have as well.
"""

from collections.abc import Sequence
from typing import Any

from checkpoints.convert.leaves import CONV, COUNTER, DENSE, LEAVES, NORM
from checkpoints.convert.rules import Rule, Table

PARTS = ("expand", "expand_norm", "depthwise", "depthwise_norm", "attention/squeeze")
PARTS += ("attention/excite", "project", "project_norm")

# A block's parts in timm, also where nothing is expanded, and in the port.
SQUEEZE = ("se.conv_reduce", "se.conv_expand")
EXPANDING = ("conv_pw", "bn1", "conv_dw", "bn2", *SQUEEZE, "conv_pwl", "bn3")
FIRST = ("conv_dw", "bn1", *SQUEEZE, "conv_pw", "bn2")
PORT = ("_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_se_reduce", "_se_expand")
PORT += ("_project_conv", "_bn2")
MOST = 16  # blocks of the first stage whose order is known


def _block(ours: str, theirs: str, names: Sequence[str]) -> list[Rule]:
    """The parts of a block; if there are fewer names, of one that does not expand."""
    pairs = zip(PARTS[-len(names) :], names, strict=True)
    return [
        Rule(f"{ours}/{part}", f"{theirs}.{name}", NORM if part.endswith("norm") else CONV)
        for part, name in pairs
    ]


def _around(stem: str, stem_norm: str, top: str, top_norm: str, head: str) -> list[Rule]:
    """What is no block."""
    return [
        Rule("stem", stem, CONV),
        Rule("stem_norm", stem_norm, NORM),
        Rule("top", top, CONV),
        Rule("top_norm", top_norm, NORM),
        Rule("head", head, DENSE),
    ]


def _timm_stage(stage: int) -> list[Rule]:
    names = FIRST if stage == 1 else EXPANDING
    return _block(f"stage{stage}_block{{b}}", f"blocks.{stage - 1}.{{b}}", names)


TIMM = Table(
    rules=(
        *_around("conv_stem", "bn1", "conv_head", "bn2", "classifier"),
        *(rule for stage in range(1, 8) for rule in _timm_stage(stage)),
    ),
    order=(
        *("conv_stem", ".bn1"),
        *(f"blocks.0.{b}.{part}" for b in range(MOST) for part in FIRST),
        *("blocks", "conv_head", ".bn2", "classifier"),
        *("conv_pw", "bn1", "conv_dw", "bn2", "se", "conv_reduce", "conv_expand"),
        *("conv_pwl", "bn3", *LEAVES),
    ),
    counter=COUNTER,
)


def _port(model: Any) -> Table:
    """One number for each block of the network, whatever its stage."""
    blocks = [
        f"stage{s}_block{b}"
        for s, stage in enumerate(model.scaled(), start=1)
        for b in range(stage.repeats)
    ]
    return Table(
        rules=(
            *_around("_conv_stem", "_bn0", "_conv_head", "_bn1", "_fc"),
            *(rule for n, ours in enumerate(blocks) for rule in _block(ours, f"_blocks.{n}", PORT)),
        ),
        order=(
            *("_conv_stem", "._bn0", "_blocks", "_conv_head", "._bn1", "_fc"),
            *(*PORT, *LEAVES),
        ),
        counter=COUNTER,
    )


TABLES = {"timm": TIMM, "efficientnet_pytorch": _port}
