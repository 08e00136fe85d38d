"""ResNetV2's names in timm, which counts stages from zero and keeps the head as a convolution."""

from checkpoints.convert.leaves import CONV, COUNTER, LEAVES, NORM
from checkpoints.convert.rules import Leaf, Rule, Table

HEAD = (Leaf("params/kernel", "weight", (1, 0, None, None)), Leaf("params/bias", "bias"))


def _stage(s: int) -> tuple[Rule, ...]:
    ours, theirs = f"stage{s}_block{{b}}", f"stages.{s - 1}.blocks.{{b}}"
    return (
        Rule(f"{ours}/conv{{k}}", f"{theirs}.conv{{k}}", CONV),
        Rule(f"{ours}/norm{{k}}", f"{theirs}.norm{{k}}", NORM),
        Rule(f"{ours}/shortcut/conv", f"{theirs}.downsample.conv", CONV),
    )


TIMM = Table(
    rules=(
        Rule("stem/conv", "stem.conv", CONV),
        Rule("stem/conv{k}", "stem.conv{k}", CONV),
        Rule("stem/norm{k}", "stem.norm{k}", NORM),
        *(rule for s in (1, 2, 3, 4) for rule in _stage(s)),
        Rule("final_norm", "norm", NORM),
        Rule("head", "head.fc", HEAD),
    ),
    order=(
        *("stem.conv", "stem.conv1", "stem.norm1", "stem.conv2", "stem.norm2", "stem.conv3"),
        *("stages", "blocks", "downsample"),
        *("conv", "norm1", "conv1", "norm2", "conv2", "norm3", "conv3"),
        *("norm", "head", "fc"),
        *LEAVES,
    ),
    counter=COUNTER,
)

TABLES = {"timm": TIMM}
