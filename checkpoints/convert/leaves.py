"""What libraries call the leaves of a module, and how they lay them out."""

from checkpoints.convert.rules import Leaf

COUNTER = "num_batches_tracked"  # beside PyTorch's running statistics

# PyTorch keeps (out, in, kh, kw) and (out, in); we keep (kh, kw, in, out) and (in, out).
CONV = (Leaf("params/kernel", "weight", (3, 2, 0, 1)), Leaf("params/bias", "bias"))
DENSE = (Leaf("params/kernel", "weight", (1, 0)), Leaf("params/bias", "bias"))
NORM = (
    Leaf("params/scale", "weight"),
    Leaf("params/bias", "bias"),
    Leaf("batch_stats/mean", "running_mean"),
    Leaf("batch_stats/var", "running_var"),
)
LEAVES = ("weight", "bias", "running_mean", "running_var", COUNTER)  # in PyTorch's order

# Keras keeps kernels as we do; gamma goes before beta.
KERAS_MAP = (Leaf("params/kernel", "kernel"), Leaf("params/bias", "bias"))
KERAS_NORM = (
    Leaf("params/scale", "gamma"),
    Leaf("params/bias", "beta"),
    Leaf("batch_stats/mean", "moving_mean"),
    Leaf("batch_stats/var", "moving_variance"),
)
KERAS_LEAVES = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")
