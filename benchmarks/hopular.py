"""Hopular beside other methods on the same folds: `python -m benchmarks.hopular`.

Breast cancer and wine of scikit-learn, `StratifiedKFold(10, shuffle=True, random_state=0)`: mean
accuracy and its standard error over the folds.
"""

import sys
import time
import warnings

import numpy as np
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from train.tabular import HopularClassifier

TABLES = {"breast cancer": load_breast_cancer, "wine": load_wine}
METHODS = {
    "Hopular": lambda: HopularClassifier(random_state=0),
    "gradient boosting": lambda: HistGradientBoostingClassifier(random_state=0),
    "SVM": lambda: make_pipeline(StandardScaler(), SVC()),
    "logistic regression": lambda: make_pipeline(
        StandardScaler(), LogisticRegression(max_iter=1000)
    ),
}


def main(folds: int = 10) -> None:
    """Prints a row for each table and method; fewer folds are the first of the ten."""
    warnings.simplefilter("ignore")
    for table, load in TABLES.items():
        features, target = load(return_X_y=True)
        split = StratifiedKFold(10, shuffle=True, random_state=0)
        parts = list(split.split(features, target))[:folds]
        for name, build in METHODS.items():
            start = time.perf_counter()
            scores = [
                build().fit(features[known], target[known]).score(features[asked], target[asked])
                for known, asked in parts
            ]
            error = np.std(scores, ddof=1) / np.sqrt(len(scores))
            seconds = time.perf_counter() - start
            print(
                f"{table:14} {name:20} {np.mean(scores):.4f} ± {error:.4f}  {seconds:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
