"""Inception-ResNet: Szegedy et al. 2016, https://arxiv.org/abs/1602.07261.

v1 as in figures 10 to 14; v2 as released, which is wider than figure 15.
"""

from functools import partial

from zoo.inception.network import Inception, KerasBatchNorm
from zoo.inception.specification import AVG, MAX, Mixed, Residual, branches, conv, times, valid
from zoo.inception.v3 import STEM
from zoo.inception.v4 import reduction_a


def _a(second: int, third: int) -> Residual:
    """Figures 10 and 16; the numbers are those of the longest branch."""
    return Residual(
        branches(
            branch0=conv(32),
            branch1=(conv(32), conv(32, 3)),
            branch2=(conv(32), conv(second, 3), conv(third, 3)),
        )
    )


def _factored(side: int, alone: int, steps: tuple[int, int, int]) -> Residual:
    """Figures 11, 13, 17 and 19: a 1×1 beside a square as 1×side and side×1."""
    first, second, third = steps
    return Residual(
        branches(
            branch0=conv(alone),
            branch1=(conv(first), conv(second, 1, side), conv(third, side, 1)),
        )
    )


_V1_A, _V2_A = _a(32, 32), _a(48, 64)
_V1_B, _V2_B = _factored(7, 128, (128, 128, 128)), _factored(7, 192, (128, 160, 192))
_V1_C, _V2_C = _factored(3, 192, (192, 192, 192)), _factored(3, 192, (192, 224, 256))

_V2_MIXED_5B = Mixed(
    branches(
        branch0=conv(96),
        branch1=(conv(48), conv(64, 5)),
        branch2=(conv(64), conv(96, 3), conv(96, 3)),
        branch3=(AVG, conv(64)),
    )
)


def _reduction_b(first: int, second: int, third: int) -> Mixed:
    """Figures 12 and 18."""
    return Mixed(
        branches(
            branch0=(conv(256), valid(384, stride=2)),
            branch1=(conv(256), valid(first, stride=2)),
            branch2=(conv(256), conv(second, 3), valid(third, stride=2)),
            branch3=MAX,
        )
    )


INCEPTION_RESNET_V1 = (
    ("stem", (*STEM, ("conv2d_4b", valid(256, stride=2)))),
    ("stage1", times("block35", _V1_A, 5)),
    (
        "stage2",
        (("mixed_6a", reduction_a(192, 192, 256, 384)), *times("block17", _V1_B, 10)),
    ),
    ("stage3", (("mixed_7a", _reduction_b(256, 256, 256)), *times("block8", _V1_C, 5))),
)

INCEPTION_RESNET_V2 = (
    ("stem", (*STEM, ("pool2", MAX))),
    ("stage1", (("mixed_5b", _V2_MIXED_5B), *times("block35", _V2_A, 10))),
    (
        "stage2",
        (("mixed_6a", reduction_a(256, 256, 384, 384)), *times("block17", _V2_B, 20)),
    ),
    (
        "stage3",
        (
            ("mixed_7a", _reduction_b(288, 288, 320)),
            *times("block8", _V2_C, 9),
            ("block8_10", _V2_C._replace(scale=1.0, activate=False)),
            ("conv2d_7b", conv(1536)),
        ),
    ),
)

inception_resnet_v1 = partial(Inception, stages=INCEPTION_RESNET_V1)

inception_resnet_v2 = partial(Inception, stages=INCEPTION_RESNET_V2)

inception_resnet_v2_keras = partial(Inception, stages=INCEPTION_RESNET_V2, norm=KerasBatchNorm)
