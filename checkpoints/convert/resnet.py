"""ResNet's names in timm and torchvision, which agree."""

from typing import Any

from checkpoints.convert.leaves import CONV, COUNTER, DENSE, LEAVES, NORM
from checkpoints.convert.rules import Leaf, Rule, Table
from zoo.resnet import AverageShortcut

ECA = (Leaf("params/kernel", "weight", (2, 1, 0)),)


def torch(model: Any) -> Table:
    """The table of one network, whose shortcuts are lists that may begin with an average."""
    first = int(model.shortcut_cls is AverageShortcut)
    return Table(
        rules=(
            Rule("stem/conv", "conv1", CONV),
            Rule("stem/norm", "bn1", NORM),
            Rule("stem/conv1", "conv1.0", CONV),
            Rule("stem/norm1", "conv1.1", NORM),
            Rule("stem/conv2", "conv1.3", CONV),
            Rule("stem/norm2", "conv1.4", NORM),
            Rule("stem/conv3", "conv1.6", CONV),
            Rule("stem/norm3", "bn1", NORM),
            Rule("stem/conv4", "maxpool.0", CONV),
            Rule("stem/norm4", "maxpool.1", NORM),
            Rule("stage{s}_block{b}/conv{k}", "layer{s}.{b}.conv{k}", CONV),
            Rule("stage{s}_block{b}/norm{k}", "layer{s}.{b}.bn{k}", NORM),
            Rule("stage{s}_block{b}/attention/squeeze", "layer{s}.{b}.se.fc1", CONV),
            Rule("stage{s}_block{b}/attention/excite", "layer{s}.{b}.se.fc2", CONV),
            Rule("stage{s}_block{b}/attention", "layer{s}.{b}.se.conv", ECA),
            Rule("stage{s}_block{b}/shortcut/conv", f"layer{{s}}.{{b}}.downsample.{first}", CONV),
            Rule(
                "stage{s}_block{b}/shortcut/norm", f"layer{{s}}.{{b}}.downsample.{first + 1}", NORM
            ),
            Rule("head", "fc", DENSE),
        ),
        order=(
            *("conv1", "bn1", "conv2", "bn2", "conv3", "bn3"),
            *("se", "conv", "fc1", "fc2", "downsample", "maxpool"),
            *("layer1", "layer2", "layer3", "layer4", "fc"),
            *LEAVES,
        ),
        counter=COUNTER,
    )


TABLES = {"timm": torch, "torchvision": torch}
