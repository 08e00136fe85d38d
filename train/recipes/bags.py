"""Bags of instances of which only the bag is labelled."""

from train.config import Config, OptimizerConfig

# Sixteen digits on a sheet, one or two of them nines or none: no example is moved or bent, for
# the squares of the sheet are the instances.
HOPFIELD_MIL = Config(
    model="hopfield_mil_nano",
    dataset="zoo_digit_bags",
    epochs=30.0,
    batch_size=64,
    optimization=OptimizerConfig(learning_rate=3e-3, weight_decay=0.05),
)
