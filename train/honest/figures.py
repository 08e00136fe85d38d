r"""Figures of answers to classes, from what was answered and how surely.

scikit-learn has the usual ones; here are calibration, intervals, sets of labels, and the geometry
of features. All in NumPy, in float64.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import special
from sklearn import metrics as sklearn_metrics

from zoo.errors import UsageError

METRICS: Any = sklearn_metrics  # its annotations know one kind of `zero_division`
BINS = 15
CONFIDENCE = 0.95
Figures = dict[str, float]


class Answers(NamedTuple):
    """What a network answered.

    Attributes:
        logits: (n, k).
        labels: the right classes, (n,).
        classes: those that an answer may be; None is all.
    """

    logits: Float[np.ndarray, "n k"]
    labels: Int[np.ndarray, " n"]
    classes: Int[np.ndarray, " m"] | None = None

    @property
    def probabilities(self) -> Float[np.ndarray, "n k"]:
        """Of each class; 0 for those that an answer may not be."""
        return special.softmax(self.masked, axis=1)

    @property
    def masked(self) -> Float[np.ndarray, "n k"]:
        """The logits, minus infinity for classes that an answer may not be."""
        wide = np.asarray(self.logits, np.float64)
        if self.classes is None:
            return wide
        kept = np.full(wide.shape, -np.inf)
        kept[:, self.classes] = wide[:, self.classes]
        return kept

    def take(self, rows: Any) -> "Answers":
        """Only some examples, or some of them several times."""
        return self._replace(logits=self.logits[rows], labels=self.labels[rows])


def of_classes(answers: Answers) -> Figures:
    """Accuracy, balanced accuracy, macro F1, log loss, Brier score and calibration error.

    Classes without examples count for none of them; macro F1 counts those that were answered.
    """
    p, labels = answers.probabilities, answers.labels
    answered = p.argmax(axis=1)
    likely = p[np.arange(len(p)), labels]
    wrong = p.copy()
    wrong[np.arange(len(p)), labels] -= 1
    recalls = per_class(answered, labels, p.shape[1])["recall"]
    return {
        "accuracy": float((answered == labels).mean()),
        "balanced_accuracy": float(np.nanmean(recalls)),
        "macro_f1": float(METRICS.f1_score(labels, answered, average="macro", zero_division=0)),
        "log_loss": float(-np.log(np.maximum(likely, np.finfo(np.float64).tiny)).mean()),
        "brier": float(np.square(wrong).sum(axis=1).mean()),
        "ece": calibration(p.max(axis=1), answered == labels).error,
    }


def per_class(
    answered: Int[np.ndarray, " n"], labels: Int[np.ndarray, " n"], classes: int
) -> dict[str, np.ndarray]:
    """Recall (the class's accuracy), precision, F1 and number of examples of each class.

    Args:
        answered: classes.
        labels: the right ones.
        classes: how many there are. Recall is NaN where a class has no example, precision where it
            was never answered.
    """
    precision, recall, f1, count = METRICS.precision_recall_fscore_support(
        labels, answered, labels=np.arange(classes), zero_division=np.nan
    )
    found = {"recall": recall, "precision": precision, "f1": f1, "count": count}
    return {name: np.asarray(values) for name, values in found.items()}


def area_under_roc(answers: Answers) -> float:
    """The mean over classes of the area under the curve of one class against the rest.

    NaN where a class has no example, or all of them.
    """
    p, labels = answers.probabilities, answers.labels
    areas = [
        float(METRICS.roc_auc_score(labels == k, p[:, k]))
        for k in np.unique(labels)
        if 0 < (labels == k).sum() < len(labels)
    ]
    return float(np.mean(areas)) if areas else float("nan")


class Calibration(NamedTuple):
    r"""How far confidence is from accuracy.

    Attributes:
        error: \(\sum_b n_b / n\, |\mathrm{acc}_b - \mathrm{conf}_b|\).
        confidence: mean of each bin, NaN where it is empty.
        accuracy: of each bin.
        share: of the examples that are in it.
    """

    error: float
    confidence: Float[np.ndarray, " bins"]
    accuracy: Float[np.ndarray, " bins"]
    share: Float[np.ndarray, " bins"]


def calibration(
    confidence: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"], bins: int = BINS
) -> Calibration:
    """Expected calibration error over equal bins of confidence, (low, high].

    Naeini et al. 2015; Guo et al. 2017, https://arxiv.org/abs/1706.04599, equation 3.

    Args:
        confidence: probability of each answer.
        right: whether it is right.
        bins: from 0 to 1.
    """
    edges = np.linspace(0, 1, bins + 1)
    index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(index, confidence, minlength=bins) / count
        accuracy = np.bincount(index, right, minlength=bins) / count
    share = count / max(len(confidence), 1)
    error = float(np.nansum(share * np.abs(accuracy - mean)))
    return Calibration(error, mean, accuracy, share)


class Interval(NamedTuple):
    """A figure and its interval."""

    value: float
    low: float
    high: float


def bootstrap(
    figures: Callable[[Answers], Mapping[str, float]],
    answers: Answers,
    repeats: int,
    *,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> dict[str, Interval]:
    """Percentile intervals: the figures of examples drawn with replacement, many times.

    Efron 1979, https://doi.org/10.1214/aos/1176344552.

    Args:
        figures: of answers, by name.
        answers: to draw from.
        repeats: number of draws.
        seed: of the draws.
        confidence: share of repetitions of the whole that the interval is to cover.

    Raises:
        UsageError: fewer than two repeats, or no examples.
    """
    if repeats < 2 or not len(answers.labels):
        raise UsageError(
            f"`bootstrap` needs at least 2 repeats and an example, got {repeats} and "
            f"{len(answers.labels)}"
        )
    random, count = np.random.default_rng(seed), len(answers.labels)
    draws = [figures(answers.take(random.integers(count, size=count))) for _ in range(repeats)]
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    found = {}
    for name, value in figures(answers).items():
        low, high = np.nanquantile([draw[name] for draw in draws], ends)
        found[name] = Interval(float(value), float(low), float(high))
    return found


def real_accuracy(answered: Int[np.ndarray, " n"], sets: Sequence[Sequence[int]]) -> float:
    """Share of answers that are in the set of right ones; examples without any do not count.

    Beyer et al. 2020, "Are we done with ImageNet?", https://arxiv.org/abs/2006.07159. With the
    sets of the correct and the unclear labels it is the rule of ImageNet-M (Vasudevan et al. 2022,
    https://arxiv.org/abs/2205.04596).

    Args:
        answered: classes.
        sets: the right ones of each example.

    Raises:
        UsageError: another number of sets than of answers, or no set holds a label.
    """
    _require_sets(len(answered), sets)
    hits = [int(a) in set(labels) for a, labels in zip(answered, sets, strict=True) if len(labels)]
    return float(np.mean(hits))


def variable_top_k(logits: Float[np.ndarray, "n k"], sets: Sequence[Sequence[int]]) -> Figures:
    """Share of an example's k labels among its k first answers, by k, and the mean over the k.

    Anzaku et al. 2024, https://arxiv.org/abs/2412.18409: each number of labels counts the same.

    Args:
        logits: of all classes.
        sets: the right ones of each example; empty ones do not count.

    Raises:
        UsageError: another number of sets than of answers, or no set holds a label.
    """
    _require_sets(len(logits), sets)
    groups: dict[int, list[float]] = {}
    for row, labels in zip(logits, sets, strict=True):
        if k := len(set(labels)):
            first = np.argsort(-row, kind="stable")[:k]
            groups.setdefault(k, []).append(len(set(first.tolist()) & set(labels)) / k)
    found = {f"top_of_{k}": float(np.mean(shares)) for k, shares in sorted(groups.items())}
    return found | {"variable_top_k": float(np.mean(list(found.values())))}


def _require_sets(count: int, sets: Sequence[Sequence[int]]) -> None:
    if len(sets) != count:
        raise UsageError(f"there must be a set of labels for each of {count:,}, got {len(sets):,}")
    if not any(len(labels) for labels in sets):
        raise UsageError("no example has a label in its set")


def neural_collapse(
    features: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    weights: Float[np.ndarray, "d k"],
) -> Figures:
    r"""How near the last layer is to a simplex: NC1, NC2 and NC3, all 0 at collapse.

    .. math:: \mathrm{NC1} = \mathrm{tr}(\Sigma_W \Sigma_B^+) / K, \quad
        \mathrm{NC2} = \left| \frac{W W^\top}{|W W^\top|} - \frac{I - 1 1^\top / K}{\sqrt{K - 1}}
        \right|, \quad
        \mathrm{NC3} = \left| \frac{W M}{|W M|} - \frac{I - 1 1^\top / K}{\sqrt{K - 1}} \right|

    with the classes' centred means M. Papyan et al. 2020, https://arxiv.org/abs/2008.08186; Dang et
    al. 2023, https://arxiv.org/abs/2301.00437, section 6.

    Args:
        features: what the head reads.
        labels: all k classes occur.
        weights: of the head.

    Raises:
        UsageError: a class has no example.
    """
    count = weights.shape[1]
    sizes = np.bincount(labels, minlength=count)
    if len(sizes) != count or not sizes.all():
        raise UsageError(f"neural collapse needs examples of all {count} classes")
    wide = np.asarray(features, np.float64)
    means = np.stack([wide[labels == k].mean(axis=0) for k in range(count)])
    within, between = wide - means[labels], means - means.mean(axis=0)
    spread = within.T @ within / len(wide), between.T @ between / count
    simplex = (np.eye(count) - 1 / count) / np.sqrt(count - 1)
    w = np.asarray(weights, np.float64).T
    unit = lambda x: x / np.linalg.norm(x)  # noqa: E731
    return {
        "nc1": float(np.trace(spread[0] @ np.linalg.pinv(spread[1], hermitian=True)) / count),
        "nc2": float(np.linalg.norm(unit(w @ w.T) - simplex)),
        "nc3": float(np.linalg.norm(unit(w @ between.T) - simplex)),
    }


def relative_improvement(accuracy: float, random: Sequence[float]) -> float:
    """Per cent by which a network is better than the mean of random ones, trained the same way.

    Yang et al. 2020, https://arxiv.org/abs/1912.12522, equation 1.
    """
    mean = float(np.mean(random))
    return 100 * (accuracy - mean) / mean
