"""EfficientNet's names in timm, and in the PyTorch port whose blocks are numbered throughout.

The port is https://github.com/lukemelas/EfficientNet-PyTorch, whose names the Lite networks on the
package index have as well.
"""

from typing import Any

from checkpoints.convert.rules import CONV, DENSE, NORM, Rule, Table

FIRST = ("conv_dw", "bn1", "se.conv_reduce", "se.conv_expand", "conv_pw", "bn2")
MOST = 16  # blocks of the first stage whose order is known


def _timm_block(stage: int, dw: str, dw_norm: str, project: str, project_norm: str) -> list[Rule]:
    ours, theirs = f"stage{stage}_block{{b}}", f"blocks.{stage - 1}.{{b}}"
    return [
        Rule(f"{ours}/expand", f"{theirs}.conv_pw", CONV),
        Rule(f"{ours}/expand_norm", f"{theirs}.bn1", NORM),
        Rule(f"{ours}/depthwise", f"{theirs}.{dw}", CONV),
        Rule(f"{ours}/depthwise_norm", f"{theirs}.{dw_norm}", NORM),
        Rule(f"{ours}/attention/squeeze", f"{theirs}.se.conv_reduce", CONV),
        Rule(f"{ours}/attention/excite", f"{theirs}.se.conv_expand", CONV),
        Rule(f"{ours}/project", f"{theirs}.{project}", CONV),
        Rule(f"{ours}/project_norm", f"{theirs}.{project_norm}", NORM),
    ]


TIMM = Table(
    rules=(
        Rule("stem", "conv_stem", CONV),
        Rule("stem_norm", "bn1", NORM),
        *_timm_block(1, "conv_dw", "bn1", "conv_pw", "bn2"),  # where nothing is expanded
        *(
            rule
            for stage in range(2, 8)
            for rule in _timm_block(stage, "conv_dw", "bn2", "conv_pwl", "bn3")
        ),
        Rule("top", "conv_head", CONV),
        Rule("top_norm", "bn2", NORM),
        Rule("head", "classifier", DENSE),
    ),
    order=(
        *("conv_stem", ".bn1"),
        *(f"blocks.0.{b}.{part}" for b in range(MOST) for part in FIRST),
        *("blocks", "conv_head", ".bn2", "classifier"),
        *("conv_pw", "bn1", "conv_dw", "bn2", "se", "conv_reduce", "conv_expand"),
        *("conv_pwl", "bn3"),
        *("weight", "bias", "running_mean", "running_var", "num_batches_tracked"),
    ),
    counter="num_batches_tracked",
)


def _port(model: Any) -> Table:
    """One number for each block of the network, whatever its stage."""
    blocks = [
        f"stage{s}_block{b}"
        for s, stage in enumerate(model.scaled(), start=1)
        for b in range(stage.repeats)
    ]
    rules = [
        Rule("stem", "_conv_stem", CONV),
        Rule("stem_norm", "_bn0", NORM),
        Rule("top", "_conv_head", CONV),
        Rule("top_norm", "_bn1", NORM),
        Rule("head", "_fc", DENSE),
    ]
    for n, ours in enumerate(blocks):
        theirs = f"_blocks.{n}"
        rules += [
            Rule(f"{ours}/expand", f"{theirs}._expand_conv", CONV),
            Rule(f"{ours}/expand_norm", f"{theirs}._bn0", NORM),
            Rule(f"{ours}/depthwise", f"{theirs}._depthwise_conv", CONV),
            Rule(f"{ours}/depthwise_norm", f"{theirs}._bn1", NORM),
            Rule(f"{ours}/attention/squeeze", f"{theirs}._se_reduce", CONV),
            Rule(f"{ours}/attention/excite", f"{theirs}._se_expand", CONV),
            Rule(f"{ours}/project", f"{theirs}._project_conv", CONV),
            Rule(f"{ours}/project_norm", f"{theirs}._bn2", NORM),
        ]
    return Table(
        rules=rules,
        order=(
            *("_conv_stem", "._bn0", "_blocks", "_conv_head", "._bn1", "_fc"),
            *("_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_se_reduce", "_se_expand"),
            *("_project_conv", "_bn2"),
            *("weight", "bias", "running_mean", "running_var", "num_batches_tracked"),
        ),
        counter="num_batches_tracked",
    )


TABLES = {"timm": TIMM, "efficientnet_pytorch": _port}
