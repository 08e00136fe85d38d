"""Ramsauer et al. 2020, Hopfield networks: https://arxiv.org/abs/2008.02217, appendix A."""

import dataclasses

from train.config import Config, OptimizerConfig

# Appendix A.3, small tables: plain gradient descent on four rows at a time.
BREAST_CANCER = Config(
    model="hopfield_lookup_nano",
    dataset="zoo_tables/breast_cancer",
    epochs=100.0,
    batch_size=4,
    optimization=OptimizerConfig(
        optimizer="sgd", learning_rate=0.05, warmup=0.0, weight_decay=0.0, clip_norm=1.0
    ),
)
WINE = dataclasses.replace(BREAST_CANCER, dataset="zoo_tables/wine")
# Digits pixel by pixel, through blocks of associations.
ENCODER = Config(
    model="hopfield_encoder_nano",
    dataset="zoo_digits",
    epochs=60.0,
    batch_size=32,
    optimization=OptimizerConfig(learning_rate=3e-3, weight_decay=0.02),
)
