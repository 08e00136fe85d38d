r"""How accuracy falls under attack, and what speaks for and against the attack.

Everything is in the units of the data before normalisation: shares of the range of pixels, from 0
to 1, or the numbers of a series as they come.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from checkpoints.preprocess import Preprocess, SequencePreprocess
from train.losses import softmax_cross_entropy
from zoo import attack
from zoo.errors import UsageError, closest

Score = Callable[[Any], Float[Array, "b k"]]
STEPS, QUERIES, MOST_EPS = 20, 32, 200


class Case(NamedTuple):
    """What is attacked.

    Attributes:
        score: inputs -> logits, in the units of the attack.
        inputs: (b, ...).
        labels: (b,).
        key: of random starts.
        low, high: smallest and largest valid number.
    """

    score: Score
    inputs: Any
    labels: Any
    key: Key[Array, ""]
    low: float
    high: float

    def loss(self, x: Any) -> Array:
        """Cross entropy of each example."""
        return softmax_cross_entropy(self.score(x), self.labels)


Attack = Callable[[Case, Any], Any]


def _fgsm(case: Case, eps: Any) -> Array:
    return attack.fgsm(case.loss, case.inputs, eps=eps, low=case.low, high=case.high)


def _least_likely(case: Case, eps: Any) -> Array:
    return attack.least_likely(case.score, case.inputs, eps=eps, low=case.low, high=case.high)


def _iterated(function: Callable[..., Any], case: Case, eps: Any) -> Array:
    options = {"eps": eps, "step": 2.5 * eps / STEPS, "steps": STEPS}
    return function(case.loss, case.inputs, case.key, **options, low=case.low, high=case.high)


def _pgd(case: Case, eps: Any) -> Array:
    """From a random start; what one step finds is kept where it is worse."""
    many, one = _iterated(attack.pgd, case, eps), _fgsm(case, eps)
    worse = margin(case.score(many), case.labels) <= margin(case.score(one), case.labels)
    return jnp.where(worse.reshape(-1, *(1,) * (many.ndim - 1)), many, one)


def _queries(case: Case, eps: Any) -> Array:
    """Descent with random directions; the network is only asked."""
    blind = attack.queried(case.score, case.key, directions=QUERIES)
    return _iterated(attack.pgd, case._replace(score=blind), eps)


def _noise(case: Case, eps: Any) -> Array:
    signs = jax.random.rademacher(case.key, case.inputs.shape, case.inputs.dtype)
    return jnp.clip(case.inputs + eps * signs, case.low, case.high)


# Each with the passes through the network that it takes for an example and an eps.
ATTACKS: dict[str, tuple[Attack, int]] = {
    "noise": (_noise, 1),
    "fgsm": (_fgsm, 3),
    "least_likely": (_least_likely, 4),
    "pgd": (_pgd, 2 * STEPS + 6),
    "pgd_l2": (functools.partial(_iterated, attack.pgd_l2), 2 * STEPS + 1),
    "queries": (_queries, STEPS * (2 * QUERIES + 1)),
}


def margin(logits: Float[Array, "b k"], labels: Int[Array, " b"]) -> Float[Array, " b"]:
    """The label's logit less the largest other one: below 0 the answer is wrong."""
    own = jnp.take_along_axis(logits, labels[:, None], axis=-1)[:, 0]
    others = jnp.where(jax.nn.one_hot(labels, logits.shape[-1]) > 0, -jnp.inf, logits)
    return own - others.max(axis=-1)


def withstood(case: Case, name: str, eps: Any) -> Bool[Array, " b"]:
    """Whether each answer is right under an attack; equal logits count as wrong."""
    worst = ATTACKS[name][0](case, eps)
    return margin(case.score(worst), case.labels) > 0


def first_order_radius(case: Case) -> Float[Array, " b"]:
    r"""The change in the maximum norm at which a linear network with these gradients errs.

    .. math:: \min_{j \ne t} (s_t - s_j) / |\nabla (s_t - s_j)|_1

    Negative where the answer is wrong already. For a linear network, the share of examples whose
    radius is below eps is its error under `fgsm`, exactly.
    """

    def one(x: Array, label: Array) -> Array:
        gaps = lambda x: case.score(x[None])[0][label] - case.score(x[None])[0]  # noqa: E731
        slopes = jnp.abs(jax.jacrev(gaps)(x)).reshape(-1, x.size).sum(axis=1)
        gap = gaps(x)
        other = jnp.arange(len(gap)) != label
        ratio = gap / jnp.where(other, jnp.maximum(slopes, jnp.finfo(x.dtype).tiny), 1)
        return jnp.where(other, ratio, jnp.inf).min()

    return jax.lax.map(lambda pair: one(*pair), (case.inputs, case.labels), batch_size=64)


class PowerLaw(NamedTuple):
    r"""\(\mathrm{excess} = a\, \epsilon^b\), by least squares of the logarithms.

    Attributes:
        slope: b; 1 where the error grows linearly.
        factor: a.
        r2: share of the variance of the logarithms that the line explains.
    """

    slope: float
    factor: float
    r2: float


def power_law(
    eps: Sequence[float] | np.ndarray, excess: Sequence[float] | np.ndarray
) -> PowerLaw | None:
    """The line through the logarithms of what an attack adds to the error; None below 3 points."""
    points = [(e, x) for e, x in zip(eps, excess, strict=True) if e > 0 and x > 0]
    if len(points) < 3:
        return None
    x, y = np.log(np.asarray(points, np.float64)).T
    slope, intercept = np.polyfit(x, y, 1)
    residual = y - (slope * x + intercept)
    spread = np.square(y - y.mean()).sum()
    r2 = 1 - np.square(residual).sum() / spread if spread > 0 else 1.0
    return PowerLaw(float(slope), float(np.exp(intercept)), float(r2))


def eps_range(text: str) -> tuple[float, ...]:
    """`0.01:0.2` as eight sizes in equal ratios, `0.01:0.2:5` as five, `0.1,0.2` as they are.

    Raises:
        UsageError: it is none of these, or holds a size that is not positive.
    """
    try:
        parts = [float(part) for part in text.split(":" if ":" in text else ",")]
        if ":" in text:
            first, last, *count = parts
            number = int(count[0]) if count else 8
            if len(count) > 1 or not 2 <= number <= MOST_EPS:
                raise ValueError
            parts = np.geomspace(first, last, number).tolist() if min(first, last) > 0 else [0.0]
        if not parts or min(parts) <= 0 or not np.isfinite(parts).all():
            raise ValueError
    except ValueError as error:
        raise UsageError(
            "`eps` must be positive sizes such as 0.1, 0.1,0.2 or 0.01:0.2, in shares of the range "
            f"of pixels, got {text!r}"
        ) from error
    return tuple(parts)


def check_attacks(names: Sequence[str]) -> None:
    """Refuses names that are no attacks.

    Raises:
        UsageError: there is none, or no such one.
    """
    if not names:
        raise UsageError(f"`attacks` must name some of {', '.join(ATTACKS)}")
    for name in names:
        if name not in ATTACKS:
            raise UsageError(
                f"`attacks` must name some of {', '.join(ATTACKS)}; got {name!r}"
                f"{closest(name, ATTACKS)}"
            )


def raw_inputs(preprocess: Preprocess, data: Any, indices: Sequence[int]) -> np.ndarray:
    """Examples at the network's size in the units of attacks."""
    resized = np.stack([preprocess.resize(data[i]["input"]) for i in indices])
    shift, scale = _units(preprocess)
    return (resized.astype(np.float32) - shift) / scale


def on_raw(score: Score, preprocess: Preprocess) -> Score:
    """The network behind its normalisation."""
    mean, std = (np.asarray(v, np.float32) for v in (preprocess.mean, preprocess.std))

    def run(x: Any) -> Any:
        last = (1,) * (x.ndim - 1) + (-1,)
        return score((x - mean.reshape(last)) / std.reshape(last))

    return run


def bounds(preprocess: Preprocess) -> tuple[float, float]:
    """Smallest and largest valid number in the units of attacks."""
    series = isinstance(preprocess, SequencePreprocess)
    return (-np.inf, np.inf) if series else (0.0, 1.0)


def _units(preprocess: Preprocess) -> tuple[float, float]:
    return (0.0, 1.0) if isinstance(preprocess, SequencePreprocess) else (0.0, 255.0)


def masking(accuracy: Mapping[str, Float[np.ndarray, " n"]], unbounded: float) -> dict[str, bool]:
    """Signs that gradients are masked; True is what should be.

    Athalye et al. 2018, https://arxiv.org/abs/1802.00420, section 3.1.

    Args:
        accuracy: under each attack, by eps; "fgsm" and "pgd" among them.
        unbounded: accuracy under "pgd" with an eps of the whole range.
    """
    strongest = np.minimum(accuracy["pgd"], accuracy["fgsm"])
    found = {"an attack over the whole range leaves nothing right": unbounded <= 0.01}
    for name in ("noise", "queries"):
        if name in accuracy:
            found[f"gradients do more than {name}"] = bool((strongest <= accuracy[name]).all())
    return found
