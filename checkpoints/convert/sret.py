"""SReT's names in the authors' repository."""

import re
from collections.abc import Iterable

from checkpoints.convert.leaves import CONV, COUNTER, DENSE, LEAVES, NORM
from checkpoints.convert.rules import Leaf, Rule, Table

BLOCK = "transformers.{s}.blocks.{i}"


def shared_blocks(names: Iterable[str]) -> dict[str, str]:
    """Repeats of a block in its stage's list, where every second entry is one.

    The list ends with an MLP; an even entry that is not there repeats the last one before it.
    """
    stages: dict[str, dict[int, list[str]]] = {}
    for name in names:
        if found := re.match(r"transformers\.(\d+)\.blocks\.(\d+)\.(.*)", name):
            stage, layer, leaf = found.groups()
            stages.setdefault(stage, {}).setdefault(int(layer), []).append(leaf)
    aliases = {}
    for stage, layers in stages.items():
        first = 0
        for i in range(0, max(layers), 2):
            first = i if i in layers else first
            for leaf in layers[first] if i not in layers else ():
                prefix = f"transformers.{stage}.blocks"
                aliases[f"{prefix}.{i}.{leaf}"] = f"{prefix}.{first}.{leaf}"
    return aliases


SRET = Table(
    rules=(
        Rule("", "", (Leaf("params/positions", "pos_embed", (0, 3, 1, 2)),)),
        Rule("stem/conv{k}", "patch_embed.conv{k}", CONV),
        Rule("stem/norm{k}", "patch_embed.bn{k}", NORM),
        Rule("stage{s}_layer{i}/norm{k}", BLOCK + ".norm{k}", NORM),
        Rule("stage{s}_layer{i}/attention/qkv", BLOCK + ".attn.qkv", DENSE),
        Rule("stage{s}_layer{i}/attention/out", BLOCK + ".attn.proj", DENSE),
        Rule("stage{s}_layer{i}/mlp/dense{k}", BLOCK + ".mlp.fc{k}", DENSE),
        Rule(
            "stage{s}_layer{i}/sum1",
            BLOCK,
            (
                Leaf("params/coefficient1", "coefficient1.bias"),
                Leaf("params/coefficient2", "coefficient2.bias"),
            ),
        ),
        Rule(
            "stage{s}_layer{i}/sum2",
            BLOCK,
            (
                Leaf("params/coefficient1", "coefficient3.bias"),
                Leaf("params/coefficient2", "coefficient4.bias"),
            ),
        ),
        Rule("pool{s}", "pools.{s}.conv", CONV),
        Rule("final_norm", "norm", NORM),
        Rule("head", "head", DENSE),
    ),
    order=(
        *("pos_embed", "patch_embed", "conv1", "bn1", "conv2", "bn2", "conv3", "bn3"),
        *("transformers", "blocks", "norm1", "attn", "qkv", "proj", "norm2", "mlp", "fc1", "fc2"),
        *("coefficient1", "coefficient2", "coefficient3", "coefficient4"),
        *("pools", "conv", "norm", "head"),
        *LEAVES,
    ),
    counter=COUNTER,
    aliases=shared_blocks,
)

TABLES = {"sret": SRET}
