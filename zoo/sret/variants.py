"""The published variants; github.com/szq0214/SReT."""

from functools import partial

from zoo.sret.network import SReT

# Depth, heads and slices of T are the defaults.
sret_t = partial(SReT, mlp_ratio=3.6)
sret_lt = partial(SReT, mlp_ratio=4.0)
sret_lt_16_14_1 = partial(sret_lt, slices=(16, 14, 1), permuted_slices=(1, 1, 1))
sret_s = partial(SReT, head_dims=(42, 42, 42), heads=(3, 6, 12), mlp_ratio=3.0, between_ratio=2.0)

# Without slices: the same parameters, attention among all tokens of a stage.
Unsliced = partial(SReT, slices=(1, 1, 1), permuted_slices=(1, 1, 1))
sret_t_wo_slice = partial(Unsliced, mlp_ratio=3.6)
sret_lt_wo_slice = partial(Unsliced, mlp_ratio=4.0)
sret_s_wo_slice = partial(
    Unsliced, head_dims=(42, 42, 42), heads=(3, 6, 12), mlp_ratio=3.0, between_ratio=2.0
)
sret_t_wo_slice_finetune_384 = partial(sret_t_wo_slice, image_size=384)
sret_s_wo_slice_finetune_384 = partial(sret_s_wo_slice, image_size=384)
sret_s_wo_slice_finetune_512 = partial(sret_s_wo_slice, image_size=512)

# Not of the paper: for images of 8 to 32 pixels, whose sides a fixed `image_size` must match.
sret_nano = partial(
    SReT,
    image_size=32,
    stem_strides=(1, 1, 1),
    head_dims=(16, 16, 16),
    heads=(1, 2, 4),
    shared_blocks=(1, 1, 1),
    slices=(4, 1, 1),
    permuted_slices=(2, 1, 1),
    mlp_ratio=2.0,
    num_classes=10,
)

# The same networks, trained with soft labels.
sret_t_distill, sret_lt_distill, sret_s_distill = sret_t, sret_lt, sret_s
sret_t_wo_slice_distill = sret_t_wo_slice
sret_lt_wo_slice_distill = sret_lt_wo_slice
sret_s_wo_slice_distill = sret_s_wo_slice
