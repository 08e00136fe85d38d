r"""AugMix: a picture mixed with a few chains of changes of itself.

Hendrycks et al. 2019, https://arxiv.org/abs/1912.02781.

.. math:: x_{\text{mix}} = m x + (1 - m) \sum_i w_i\, c_i(x), \quad
    (m, 1 - m) \sim \mathrm{Dir}(\alpha, \alpha), \; w \sim \mathrm{Dir}(\alpha, \ldots, \alpha)

Space and draws are torchvision's. It changes tensors and cuts fractions of the mixture off; here
pictures are changed by Pillow, and mixtures rounded: mixing a picture with itself leaves it.
The loss on several mixtures of a picture, which the paper adds, is no augmentation and is not here.
"""

from typing import NamedTuple

import numpy as np

from train.augment.checks import require
from train.augment.operation import Operation, Picture, Size, picture_of, pixels
from train.augment.spaces import Change, Range, Space, changing, ranges

BINS = 10
DEPTHS = 3  # the longest chain, where its length is random
_ALL = ranges(
    slope=0.3,
    across=Range(0.0, 1 / 3, of="width"),
    down=Range(0.0, 1 / 3, of="height"),
    degrees=30.0,
    strength=0.9,
    bits=Range(4.0, 0.0, signed=False, whole=True),
)
_COLOURS = ("brightness", "color", "contrast", "sharpness")
_PLAIN = {n: r for n, r in _ALL.items() if n not in (*_COLOURS, "identity")}


class Mixing(NamedTuple):
    """Chains of changes, and weights of the picture and of each."""

    kept: float
    weights: tuple[float, ...]
    chains: tuple[tuple[Change, ...], ...]


def augmix(
    severity: int = 3,
    mixture_width: int = 3,
    chain_depth: int = -1,
    alpha: float = 1.0,
    all_ops: bool = True,
    interpolation: str = "bilinear",
    fill: int = 0,
) -> Operation:
    """A mixture of a picture and of chains of changes of it.

    Args:
        severity: bins of magnitudes that are drawn, from 1 to 10.
        mixture_width: chains.
        chain_depth: changes of a chain; -1 draws one to three.
        alpha: of the distributions of weights; the larger, the more even they are.
        all_ops: also brightness, colour, contrast and sharpness, which some tests of robustness
            measure.
        interpolation: of geometric changes: nearest, bilinear or bicubic.
        fill: level from 0 to 255 of what comes in from outside the picture.
    """
    require("severity", severity, 1, BINS)
    require("mixture_width", mixture_width, 1)
    require("chain_depth", chain_depth, -1)
    require("alpha", alpha, 1e-3)
    space = Space(_PLAIN | {n: _ALL[n] for n in _COLOURS if all_ops}, BINS)

    def chain(rng: np.random.Generator, size: Size) -> tuple[Change, ...]:
        depth = chain_depth if chain_depth > 0 else int(rng.integers(1, DEPTHS + 1))
        pick = lambda rng: int(rng.integers(0, severity))  # noqa: E731
        return tuple(space.drawn(rng, size, pick) for _ in range(depth))

    def draw(rng: np.random.Generator, size: Size) -> Mixing:
        kept, rest = rng.dirichlet([alpha] * 2)
        weights = rest * rng.dirichlet([alpha] * mixture_width)
        chains = tuple(chain(rng, size) for _ in range(mixture_width))
        return Mixing(float(kept), tuple(weights.tolist()), chains)

    changed = changing(interpolation, fill)

    def apply(picture: Picture, mixing: Mixing) -> Picture:
        mixture = mixing.kept * pixels(picture)
        for weight, changes in zip(mixing.weights, mixing.chains, strict=True):
            mixture += weight * pixels(changed(picture, changes))
        return picture_of(np.rint(mixture).astype(np.uint8))

    return Operation(draw, apply)
