"""GoogLeNet: Szegedy et al. 2014, https://arxiv.org/abs/1409.4842, table 1, with batch norm.

It departs from the table in two points that its published weights have: the "5×5" branch is a 3×3,
and pools round their output's size up.
"""

from functools import partial

from zoo.inception.auxiliary import GoogLeNetAuxiliary
from zoo.inception.network import Inception
from zoo.inception.specification import Mixed, Pool, Unit, branches, conv

_CEIL = Pool("max", stride=2, ceil=True)


def _v1(w1: int, in3: int, w3: int, in5: int, w5: int, pool: int) -> Mixed:
    """Figure 2b; the numbers are columns 5 to 10 of the table."""
    return Mixed(
        branches(
            branch1=conv(w1),
            branch2=(conv(in3), conv(w3, 3)),
            branch3=(conv(in5), conv(w5, 3)),
            branch4=(Pool("max", padding=1), conv(pool)),
        )
    )


GOOGLENET = (
    (
        "stem",
        (
            ("conv1", Unit(64, (7, 7), stride=2)),
            ("pool1", _CEIL),
            ("conv2", conv(64)),
            ("conv3", conv(192, 3)),
            ("pool2", _CEIL),
        ),
    ),
    (
        "stage1",
        (
            ("inception3a", _v1(64, 96, 128, 16, 32, 32)),
            ("inception3b", _v1(128, 128, 192, 32, 96, 64)),
        ),
    ),
    (
        "stage2",
        (
            ("pool3", _CEIL),
            ("inception4a", _v1(192, 96, 208, 16, 48, 64)),
            ("inception4b", _v1(160, 112, 224, 24, 64, 64)),
            ("inception4c", _v1(128, 128, 256, 24, 64, 64)),
            ("inception4d", _v1(112, 144, 288, 32, 64, 64)),
            ("inception4e", _v1(256, 160, 320, 32, 128, 128)),
        ),
    ),
    (
        "stage3",
        (
            ("pool4", Pool("max", window=2, stride=2, ceil=True)),
            ("inception5a", _v1(256, 160, 320, 32, 128, 128)),
            ("inception5b", _v1(384, 192, 384, 48, 128, 128)),
        ),
    ),
)

googlenet = partial(
    Inception,
    stages=GOOGLENET,
    smallest=15,
    aux_cls=GoogLeNetAuxiliary,
    aux_taps=("inception4a", "inception4d"),
    aux_smallest=15,
)

# Not of the papers: GoogLeNet's blocks for images of 8 to 32 pixels.
_HALF = Pool("max", window=2, stride=2, ceil=True)

INCEPTION_NANO = (
    ("stem", (("conv1", conv(32, 3)),)),
    ("stage1", (("mixed_1a", _v1(16, 16, 24, 8, 16, 8)), ("mixed_1b", _v1(24, 24, 32, 8, 16, 8)))),
    (
        "stage2",
        (
            ("pool1", _HALF),
            ("mixed_2a", _v1(32, 32, 48, 8, 24, 24)),
            ("mixed_2b", _v1(32, 32, 64, 16, 32, 32)),
        ),
    ),
    ("stage3", (("pool2", _HALF), ("mixed_3a", _v1(48, 48, 96, 16, 32, 32)))),
)

inception_nano = partial(Inception, stages=INCEPTION_NANO, smallest=1, num_classes=10)
