"""Area under the ROC curve on the test bags: `python -m benchmarks.digit_bags WEIGHTS`.

WEIGHTS is a name of `zoo weights` or a run directory. A second line says what the mean of all
pixels' logistic regression would have.
"""

import sys

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

import checkpoints
import train


def main(weights: str = "hopfield_mil_nano.digit_bags") -> None:
    """Prints the areas and the accuracy."""
    loaded = checkpoints.load(weights)
    data = train.load_dataset("zoo_digit_bags", "test")
    images = [data[i]["input"] for i in range(len(data))]
    labels = np.array([data[i]["label"] for i in range(len(data))])
    found = train.predict(loaded.model, loaded.variables, images, preprocess=loaded.preprocess)
    print(
        f"{weights}  {len(data)} test bags  AUC {roc_auc_score(labels, found[:, 1]):.4f}  ", end=""
    )
    print(f"accuracy {(found.argmax(axis=-1) == labels).mean():.4f}")
    known = train.load_dataset("zoo_digit_bags", "train")
    features, truth = zip(
        *[(pixels(e["input"]), e["label"]) for e in map(known.__getitem__, range(len(known)))],
        strict=True,
    )
    linear = LogisticRegression(max_iter=2000).fit(np.stack(features), truth)
    scores = linear.decision_function(np.stack([pixels(image) for image in images]))
    print(f"logistic regression on the mean instance  AUC {roc_auc_score(labels, scores):.4f}")


def pixels(sheet: np.ndarray) -> np.ndarray:
    """The sum of the instances of a sheet."""
    squares = sheet.reshape(4, 8, 4, 8).swapaxes(1, 2).reshape(16, 64)
    return squares.sum(axis=0) / 255


if __name__ == "__main__":
    main(*sys.argv[1:])
