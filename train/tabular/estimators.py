"""Hopular as scikit-learn estimators for small tables.

Schäfl et al. 2022, https://arxiv.org/abs/2206.00664. LAMB with clipped gradients, and an average of
the parameters that is what predicts, as published; the published length is 10,000 epochs of the
full batch, of which `epochs` is what the default asks for.
"""

from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets

from train.tabular.encoding import mean_and_spread, standardize
from train.tabular.estimator import HopularEstimator
from train.tabular.targets import (
    as_classes,
    as_target,
    check_target,
    with_class_weight,
    without_nothing,
)


class HopularClassifier(ClassifierMixin, HopularEstimator):
    """Hopular as a scikit-learn classifier of small tables.

    `X` is an array, lists of rows, or a frame of pandas or Polars. Missing values are None, NaN and
    NA; a category never seen in training counts as missing. Memory grows with the number of rows,
    time with its square.

    Args:
        categorical: indices or names of categorical columns, a boolean for each column, or "auto"
            for the columns of strings and those of a categorical dtype; the others are numbers.
            Equal numbers are one category, whatever their type.
        width: channels of an attribute. Published: 32.
        depth: blocks. Published: 4 or 8.
        heads: associations side by side. Published: 8 or 16.
        scale: factor of the usual inverse temperature. Published: 1, 100 or 1000.
        epochs: updates on the whole training set. Published: 10,000, with early stopping.
        learning_rate: peak of LAMB's rate. Published: 0.001.
        weight_decay: LAMB's.
        average: decay of the average of parameters that predicts.
        mask_probability: share of the attributes masked in training.
        replace_probability: share replaced by those of other rows.
        dropout: of embeddings and associations; a tenth of it in front of the output.
        class_weight: weights of classes, `{class: weight}`; "balanced" for such that all classes
            count the same; None for 1.
        random_state: seed, `numpy.random.Generator`, `RandomState` or None.

    Attributes:
        classes_: the classes, in order.
        encoding_: categories, means and spreads of the columns.
        model_, params_: the network and its parameters.
        memory_: what its blocks look up, embedded once.
    """

    def __init__(
        self,
        *,
        categorical: Any = (),
        width: int = 8,
        depth: int = 2,
        heads: int = 4,
        scale: float = 1.0,
        epochs: int = 200,
        learning_rate: float = 0.01,
        weight_decay: float = 0.1,
        average: float = 0.98,
        mask_probability: float = 0.025,
        replace_probability: float = 0.175,
        dropout: float = 0.1,
        class_weight: Any = None,
        random_state: Any = None,
    ):
        super().__init__(
            categorical=categorical,
            width=width,
            depth=depth,
            heads=heads,
            scale=scale,
            epochs=epochs,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            average=average,
            mask_probability=mask_probability,
            replace_probability=replace_probability,
            dropout=dropout,
            random_state=random_state,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "HopularClassifier":  # noqa: N803
        """Learns from a table and its classes.

        Args:
            X: the table.
            y: a class for each row.
            sample_weight: as how many rows each row counts, in the losses, in means and spreads,
                and where others look it up; only their ratios matter. None for the same for all.
                A row of weight 0 is as if it were not there.

        Raises:
            ValueError: scikit-learn's checks of shapes, types and parameters; `zoo.UsageError`
                where it is ours.
        """
        check_target(y)
        if y is not None:
            check_classification_targets(y)
        table, target, weights = self._training_set(X, y, sample_weight)
        if self.class_weight is not None:
            weights = with_class_weight(self.class_weight, target, weights)
        table, target, weights = without_nothing(table, target, weights)
        self.classes_, index = as_classes(target)
        self._fit(table, index.astype(np.float64), len(self.classes_), weights)
        return self

    def predict_proba(self, X: Any) -> Float[np.ndarray, "n k"]:  # noqa: N803
        """Probability of each class of `classes_`."""
        logits = self._predict(X)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The most probable class."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]


class HopularRegressor(RegressorMixin, HopularEstimator):
    """Hopular as a scikit-learn regressor of small tables; parameters of `HopularClassifier`."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "HopularRegressor":  # noqa: N803
        """Learns from a table and its numbers; weights as in `HopularClassifier.fit`.

        Raises:
            ValueError: scikit-learn's checks of shapes, types and parameters; `zoo.UsageError`
                where it is ours.
        """
        check_target(y)
        found = self._training_set(X, y, sample_weight)
        table, target, weights = without_nothing(*found)
        target = as_target(target)
        self.target_mean_, self.target_spread_ = mean_and_spread(target, weights)
        scaled = standardize(target, self.target_mean_, self.target_spread_)
        self._fit(table, scaled, None, weights)
        return self

    def predict(self, X: Any) -> Float[np.ndarray, " n"]:  # noqa: N803
        """The expected value."""
        return self._predict(X)[:, 0] * self.target_spread_ + self.target_mean_
