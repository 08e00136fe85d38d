"""Inception-v3: Szegedy et al. 2015, https://arxiv.org/abs/1512.00567, table 1."""

from functools import partial

from zoo.inception.auxiliary import InceptionV3Auxiliary
from zoo.inception.network import Inception, KerasBatchNorm
from zoo.inception.specification import AVG, MAX, Mixed, branches, conv, fork, valid


def _v3_a(pool: int) -> Mixed:
    """Figure 5, with one 5×5 left as it is."""
    return Mixed(
        branches(
            branch1x1=conv(64),
            branch5x5=(conv(48), conv(64, 5)),
            branch3x3dbl=(conv(64), conv(96, 3), conv(96, 3)),
            branch_pool=(AVG, conv(pool)),
        )
    )


def _v3_b(n: int) -> Mixed:
    """Figure 6: 7×7 as 1×7 and 7×1."""
    double = (conv(n), conv(n, 7, 1), conv(n, 1, 7), conv(n, 7, 1), conv(192, 1, 7))
    return Mixed(
        branches(
            branch1x1=conv(192),
            branch7x7=(conv(n), conv(n, 1, 7), conv(192, 7, 1)),
            branch7x7dbl=double,
            branch_pool=(AVG, conv(192)),
        )
    )


_V3_REDUCTION_A = Mixed(  # figure 10
    branches(
        branch3x3=valid(384, stride=2),
        branch3x3dbl=(conv(64), conv(96, 3), valid(96, stride=2)),
        branch_pool=MAX,
    )
)

_V3_REDUCTION_B = Mixed(
    branches(
        branch3x3=(conv(192), valid(320, stride=2)),
        branch7x7x3=(conv(192), conv(192, 1, 7), conv(192, 7, 1), valid(192, stride=2)),
        branch_pool=MAX,
    )
)

_V3_C = Mixed(  # figure 7
    branches(
        branch1x1=conv(320),
        branch3x3=(conv(384), fork(384)),
        branch3x3dbl=(conv(448), conv(384, 3), fork(384)),
        branch_pool=(AVG, conv(192)),
    )
)

STEM = (
    ("conv2d_1a", valid(32, stride=2)),
    ("conv2d_2a", valid(32)),
    ("conv2d_2b", conv(64, 3)),
    ("pool1", MAX),
    ("conv2d_3b", conv(80)),
    ("conv2d_4a", valid(192)),
)

INCEPTION_V3 = (
    ("stem", (*STEM, ("pool2", MAX))),
    ("stage1", (("mixed_5b", _v3_a(32)), ("mixed_5c", _v3_a(64)), ("mixed_5d", _v3_a(64)))),
    (
        "stage2",
        (
            ("mixed_6a", _V3_REDUCTION_A),
            ("mixed_6b", _v3_b(128)),
            ("mixed_6c", _v3_b(160)),
            ("mixed_6d", _v3_b(160)),
            ("mixed_6e", _v3_b(192)),
        ),
    ),
    ("stage3", (("mixed_7a", _V3_REDUCTION_B), ("mixed_7b", _V3_C), ("mixed_7c", _V3_C))),
)

inception_v3 = partial(
    Inception,
    stages=INCEPTION_V3,
    count_padding=True,
    aux_cls=InceptionV3Auxiliary,
    aux_taps=("mixed_6e",),
    aux_smallest=299,
)

inception_v3_keras = partial(Inception, stages=INCEPTION_V3, norm=KerasBatchNorm)
