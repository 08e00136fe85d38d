"""Hopular for small tables: as scikit-learn estimators, and the pure functions they are made of.

`HopularClassifier` and `HopularRegressor` are what most people want. In reading order: `frames`
(what people bring, as columns), `encoding` (columns as rows of a network), `training` (a network
from rows), `memory` (whether that fits), `estimator` (what both of them share), `estimators`.
"""

from train.tabular.encoding import (
    Encoding,
    Table,
    encode,
    fill_up,
    hide,
    layout,
    learn_encoding,
    to_numbers,
)
from train.tabular.estimator import HopularEstimator
from train.tabular.estimators import HopularClassifier, HopularRegressor
from train.tabular.training import (
    Settings,
    corrupt,
    embed_memory,
    initial_parameters,
    losses,
    make_optimizer,
    predict_target,
    train_network,
)

__all__ = [
    "Encoding",
    "HopularClassifier",
    "HopularEstimator",
    "HopularRegressor",
    "Settings",
    "Table",
    "corrupt",
    "embed_memory",
    "encode",
    "fill_up",
    "hide",
    "initial_parameters",
    "layout",
    "learn_encoding",
    "losses",
    "make_optimizer",
    "predict_target",
    "to_numbers",
    "train_network",
]
