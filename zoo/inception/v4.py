"""Inception-v4: Szegedy et al. 2016, https://arxiv.org/abs/1602.07261, figures 3 to 9."""

from functools import partial

from zoo.inception.network import Inception
from zoo.inception.specification import AVG, MAX, Mixed, branches, conv, fork, times, valid
from zoo.inception.v3 import STEM

_V4_STEM_END = (
    ("mixed_3a", Mixed(branches(branch0=MAX, branch1=valid(96, stride=2)))),
    (
        "mixed_4a",
        Mixed(
            branches(
                branch0=(conv(64), valid(96)),
                branch1=(conv(64), conv(64, 1, 7), conv(64, 7, 1), valid(96)),
            )
        ),
    ),
    ("mixed_5a", Mixed(branches(branch0=valid(192, stride=2), branch1=MAX))),
)

_V4_A = Mixed(
    branches(
        branch0=conv(96),
        branch1=(conv(64), conv(96, 3)),
        branch2=(conv(64), conv(96, 3), conv(96, 3)),
        branch3=(AVG, conv(96)),
    )
)

_V4_B = Mixed(
    branches(
        branch0=conv(384),
        branch1=(conv(192), conv(224, 1, 7), conv(256, 7, 1)),
        branch2=(conv(192), conv(192, 7, 1), conv(224, 1, 7), conv(224, 7, 1), conv(256, 1, 7)),
        branch3=(AVG, conv(128)),
    )
)

_V4_C = Mixed(
    branches(
        branch0=conv(256),
        branch1=(conv(384), fork(256)),
        branch2=(conv(384), conv(448, 3, 1), conv(512, 1, 3), fork(256)),
        branch3=(AVG, conv(256)),
    )
)

_V4_REDUCTION_B = Mixed(
    branches(
        branch0=(conv(192), valid(192, stride=2)),
        branch1=(conv(256), conv(256, 1, 7), conv(320, 7, 1), valid(320, stride=2)),
        branch2=MAX,
    )
)


def reduction_a(k: int, m: int, n: int, features: int) -> Mixed:
    """Figure 7, whose widths table 1 lists."""
    return Mixed(
        branches(
            branch0=valid(features, stride=2),
            branch1=(conv(k), conv(m, 3), valid(n, stride=2)),
            branch2=MAX,
        )
    )


INCEPTION_V4 = (
    ("stem", (*STEM[:3], *_V4_STEM_END)),
    ("stage1", times("block_a", _V4_A, 4)),
    ("stage2", (("reduction_a", reduction_a(192, 224, 256, 384)), *times("block_b", _V4_B, 7))),
    ("stage3", (("reduction_b", _V4_REDUCTION_B), *times("block_c", _V4_C, 3))),
)

inception_v4 = partial(Inception, stages=INCEPTION_V4)
