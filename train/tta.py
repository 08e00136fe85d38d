"""Test-time augmentation: what is told of an image is the mean over several views of it.

`flip` adds the mirror image, `five_crop` the corners, and both together are the ten crops of
Krizhevsky et al. 2012. Probabilities are averaged, not logits; numbers that are predicted as they
are.
"""

import dataclasses
import itertools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, UInt8
from PIL import Image

from checkpoints.preprocess import Preprocess, SequencePreprocess
from zoo.errors import UsageError, closest

ZOOMED = 0.875  # share of the side that a crop sees, where the weights' own crop sees all


class View(NamedTuple):
    """One way to see an image.

    Attributes:
        place: of the crop in the image, from 0 (left, top) to 1 (right, bottom).
        mirrored: left to right.
        upended: top to bottom.
    """

    place: tuple[float, float] = (0.5, 0.5)
    mirrored: bool = False
    upended: bool = False


_CORNERS = tuple({"place": place} for place in itertools.product((0.0, 1.0), repeat=2))
NAMES: dict[str, tuple[dict[str, Any], ...]] = {
    "flip": ({}, {"mirrored": True}),
    "vertical_flip": ({}, {"upended": True}),
    "five_crop": ({}, *_CORNERS),
}


def views_of(names: str) -> tuple[View, ...]:
    """All views that names, with commas between them, stand for; the plain one is the first.

    Raises:
        UsageError: there is no such name.

    >>> len(views_of("flip,five_crop"))
    10
    """
    words = [word.strip() for word in names.split(",")]
    for word in words:
        if word not in NAMES:
            raise UsageError(
                f"`tta` must name {', '.join(NAMES)}, several with commas between them; got "
                f"{word!r}{closest(word, NAMES)}"
            )
    together = itertools.product(*(NAMES[word] for word in dict.fromkeys(words)))
    return tuple(View(**{k: v for part in parts for k, v in part.items()}) for parts in together)


@dataclasses.dataclass(frozen=True)
class Viewed(Preprocess):
    """A preprocessing that gives several views of an image, (v, image_size, image_size, channels).

    Attributes:
        views: of each image.
    """

    views: tuple[View, ...] = (View(),)

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.views), *super().shape

    def __call__(
        self, image: Image.Image | UInt8[np.ndarray, "..."]
    ) -> Float32[np.ndarray, "v h w c"]:
        """Prepares all views of one image."""
        whole = self.whole(image)
        return self.normalize(np.stack([self._seen(whole, view) for view in self.views]))

    def _seen(self, whole: Image.Image, view: View) -> UInt8[np.ndarray, "h w c"]:
        pixels = self.crop(whole, view.place)
        pixels = pixels[:, ::-1] if view.mirrored else pixels
        return pixels[::-1] if view.upended else pixels


def viewed(preprocess: Preprocess, names: str | None) -> Preprocess:
    """A preprocessing with the views of `tta`, or as it is if that names none.

    Crops lie in the image that the weights' own crop is cut from; where that is all of the image,
    in one of 8/7 of the side.

    Raises:
        UsageError: there is no such name, or inputs are no images.
    """
    if names is None:
        return preprocess
    views = views_of(names)
    if isinstance(preprocess, SequencePreprocess):
        raise UsageError("`tta` is for images, and these weights read series of numbers")
    fields: dict[str, Any] = vars(preprocess)
    if any(view.place != View().place for view in views) and preprocess.crop_pct == 1:
        fields = fields | {"crop_pct": ZOOMED}
    return Viewed(**fields, views=views)


def outputs(model: nn.Module, variables: Any, inputs: Array, task: Any) -> Any:
    """Outputs of a network in evaluation; of inputs in several views, those of their mean.

    Args:
        model: module called as `model(inputs, train=False)`.
        variables: `{"params": ..., "batch_stats": ...}`.
        inputs: (b, ...), or (b, v, h, w, c), of which one view after another is computed.
        task: says how outputs are averaged, see `train.task.Task`.
    """

    def plain(x: Array) -> Any:
        return model.apply(variables, x, train=False)

    if inputs.ndim < 5:
        return plain(inputs)
    return task.averaged(jax.lax.map(plain, jnp.moveaxis(inputs, 1, 0)))
