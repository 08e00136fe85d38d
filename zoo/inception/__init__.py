"""Inception: networks whose blocks look at an image through several branches at once.

- GoogLeNet (v1): Szegedy et al., "Going Deeper with Convolutions", 2014,
  https://arxiv.org/abs/1409.4842, with batch norm as everywhere today.
- Inception-v3: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2015,
  https://arxiv.org/abs/1512.00567.
- Inception-v4, Inception-ResNet-v1 and v2: Szegedy et al., "Inception-v4, Inception-ResNet and the
  Impact of Residual Connections on Learning", 2016, https://arxiv.org/abs/1602.07261.

Blocks are *data*, as in the papers' figures: a block is a list of branches, a branch a list of
convolutions and pools. One generic network builds them all. In reading order:

- `specification`: units, pools, branches and blocks as data, and the notation of the tables;
- `blocks`: the modules that they become; `auxiliary`: classifiers on inner maps;
- `network`: the network that runs through stages of them;
- `googlenet`, `v3`, `v4`, `residual`: the papers' tables and the variants.
"""

from zoo.inception.auxiliary import GoogLeNetAuxiliary, InceptionV3Auxiliary
from zoo.inception.blocks import ConvUnit, MixedBlock, ResidualBlock
from zoo.inception.googlenet import GOOGLENET, INCEPTION_NANO, googlenet, inception_nano
from zoo.inception.network import Inception, KerasBatchNorm
from zoo.inception.residual import (
    INCEPTION_RESNET_V1,
    INCEPTION_RESNET_V2,
    inception_resnet_v1,
    inception_resnet_v2,
    inception_resnet_v2_keras,
)
from zoo.inception.specification import (
    AVG,
    MAX,
    Branch,
    Fork,
    Mixed,
    Op,
    Pool,
    Residual,
    Stages,
    Unit,
    branches,
    conv,
    fork,
    units_of,
    valid,
)
from zoo.inception.v3 import INCEPTION_V3, inception_v3, inception_v3_keras
from zoo.inception.v4 import INCEPTION_V4, inception_v4

__all__ = [
    "AVG",
    "GOOGLENET",
    "INCEPTION_NANO",
    "INCEPTION_RESNET_V1",
    "INCEPTION_RESNET_V2",
    "INCEPTION_V3",
    "INCEPTION_V4",
    "MAX",
    "Branch",
    "ConvUnit",
    "Fork",
    "GoogLeNetAuxiliary",
    "Inception",
    "InceptionV3Auxiliary",
    "KerasBatchNorm",
    "Mixed",
    "MixedBlock",
    "Op",
    "Pool",
    "Residual",
    "ResidualBlock",
    "Stages",
    "Unit",
    "branches",
    "conv",
    "fork",
    "googlenet",
    "inception_nano",
    "inception_resnet_v1",
    "inception_resnet_v2",
    "inception_resnet_v2_keras",
    "inception_v3",
    "inception_v3_keras",
    "inception_v4",
    "units_of",
    "valid",
]
