"""SReT: a pyramid of transformer blocks that are applied twice, with attention in slices.

Shen, Liu & Xing, "Sliced Recursive Transformer", 2022, https://arxiv.org/abs/2111.05297. A shared
block runs several times in a row, each time followed by a small MLP of its own (section 3.2).
Attention stays inside consecutive slices of the tokens, fewer in every second pass; where those
are more than one, the tokens are permuted first, so that slices exchange information (section
3.4). The published model draws a new permutation in each forward pass, evaluation included; here
evaluation uses a fixed one.

In reading order:

- `blocks`: attention in slices, blocks, the MLPs between passes, the stem;
- `passes`: permutations, and the passes through a block, one after the other or as a loop;
- `network`: the network, and its variables as the loop stores them; `variants`: the table.
"""

from zoo.sret.blocks import SlicedAttention
from zoo.sret.network import SReT, stacked, unstacked
from zoo.sret.passes import fixed_permutation
from zoo.sret.variants import (
    sret_lt,
    sret_lt_16_14_1,
    sret_lt_distill,
    sret_lt_wo_slice,
    sret_lt_wo_slice_distill,
    sret_nano,
    sret_s,
    sret_s_distill,
    sret_s_wo_slice,
    sret_s_wo_slice_distill,
    sret_s_wo_slice_finetune_384,
    sret_s_wo_slice_finetune_512,
    sret_t,
    sret_t_distill,
    sret_t_wo_slice,
    sret_t_wo_slice_distill,
    sret_t_wo_slice_finetune_384,
)

__all__ = [
    "SReT",
    "SlicedAttention",
    "fixed_permutation",
    "sret_lt",
    "sret_lt_16_14_1",
    "sret_lt_distill",
    "sret_lt_wo_slice",
    "sret_lt_wo_slice_distill",
    "sret_nano",
    "sret_s",
    "sret_s_distill",
    "sret_s_wo_slice",
    "sret_s_wo_slice_distill",
    "sret_s_wo_slice_finetune_384",
    "sret_s_wo_slice_finetune_512",
    "sret_t",
    "sret_t_distill",
    "sret_t_wo_slice",
    "sret_t_wo_slice_distill",
    "sret_t_wo_slice_finetune_384",
    "stacked",
    "unstacked",
]
