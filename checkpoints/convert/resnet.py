"""ResNet's names in timm and torchvision, which agree."""

from checkpoints.convert.rules import CONV, DENSE, NORM, Leaf, Rule, Table

ECA = (Leaf("params/kernel", "weight", (2, 1, 0)),)

TORCH = Table(
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
        Rule("stage{s}_block{b}/shortcut/conv", "layer{s}.{b}.downsample.0", CONV),
        Rule("stage{s}_block{b}/shortcut/norm", "layer{s}.{b}.downsample.1", NORM),
        Rule("stage{s}_block{b}/shortcut/projection", "layer{s}.{b}.downsample.1", CONV),
        Rule("stage{s}_block{b}/shortcut/projection_norm", "layer{s}.{b}.downsample.2", NORM),
        Rule("head", "fc", DENSE),
    ),
    order=(
        *("conv1", "bn1", "conv2", "bn2", "conv3", "bn3"),
        *("se", "conv", "fc1", "fc2", "downsample", "maxpool"),
        *("layer1", "layer2", "layer3", "layer4", "fc"),
        *("weight", "bias", "running_mean", "running_var", "num_batches_tracked"),
    ),
    counter="num_batches_tracked",
)

TABLES = {"timm": TORCH, "torchvision": TORCH}
