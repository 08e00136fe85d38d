"""Kernels with few numbers left, such as the recurrent ones of an LSTM.

Narang et al. 2017, https://arxiv.org/abs/1704.05119; the parts are `zoo.parameters.sparse`.
"""

from collections.abc import Sequence

from train.compress.method import Method, of_parameters
from zoo.parameters import sparse as form


def sparse(*, share: float = 0.9, patterns: str | Sequence[str] = form.KERNELS) -> Method:
    """Zeroes the smallest numbers of kernels and trains the others: bytes, but no multiply-adds.

    Args:
        share: of the numbers of each kernel that are zero, in [0, 1).
        patterns: kernels that become so, as in `zoo.parameters.select`.
    """
    return of_parameters(form.sparse(patterns, share=share))
