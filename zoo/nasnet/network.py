"""The network: where its cells stand, and what runs through them."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.errors import UsageError
from zoo.layers.conv import Conv
from zoo.layers.drop_path import DropPath
from zoo.layers.factory import Factory, Layers, ModuleFactory
from zoo.layers.head import linear_head
from zoo.layers.network import Network
from zoo.layers.norm import BatchNorm
from zoo.layers.size import require_size
from zoo.nasnet.auxiliary import Auxiliary
from zoo.nasnet.cell import Cell
from zoo.nasnet.genotype import NASNET_A, Genotype, genotype_from_json, genotype_to_json
from zoo.nasnet.operations import pool


class Place(NamedTuple):
    """One cell of a network.

    Attributes:
        name: its module's name.
        stage: the stage whose output it may be.
        reduction: whether it halves the resolution.
        features: channels of its hidden states.
        halves: its second input has twice the resolution of the first.
        before: which of the earlier maps its second input is, counted from the newest.
    """

    name: str
    stage: str
    reduction: bool
    features: int
    halves: bool
    before: int = 2


class NASNet(Network):
    """Network of NASNet cells for images.

    Attributes:
        genotype: the normal and the reduction cell; a `Genotype`, or its JSON values.
        cells: normal cells of stages 1, 2 and 3; a reduction cell lies between stages.
        filters: channels of a hidden state in stage 1; they double at every reduction. The "P" of
            the paper's "N @ P" are those of the last cell's output, `24 * filters` for NASNet-A.
        stem_width: channels of the first convolution.
        stem_cells: reduction cells before stage 1, after a convolution that strides as well: two
            for ImageNet. Without any the convolution does not stride (CIFAR).
        skip_reduction: the normal cell after a reduction reads, as its second input, what came
            before the reduction's input, instead of that input.
        border: what surrounds a map for maxima with stride 2: 0 in Keras, else minus infinity.
        count_padding: zeros around a map count in means with stride 2; not so in the papers' code.
        smallest: least height and width of an image, in pixels.
        aux_heads: has the auxiliary classifier after stage 2, see `with_auxiliary`.
        drop_path: probability of leaving out an operation of the last cell at the end of training;
            grows linearly with depth and with `progress`. 0.4 and 0.3 in the paper's code.
        drop_rate: dropout before the head; 0.5 in the paper for ImageNet.
        num_classes: outputs of the head, or None for pooled features.
        norm: factory of the normalisation.
        remat: recompute cells in the backward pass instead of storing what is inside them.
        dtype: dtype of the computation; parameters are float32, logits at least float32.
    """

    genotype: Genotype | Mapping[str, Any] = NASNET_A
    cells: Sequence[int] = (6, 6, 6)
    filters: int = 168
    stem_width: int = 96
    stem_cells: int = 2
    skip_reduction: bool = False
    border: float = -jnp.inf
    count_padding: bool = True
    smallest: int = 3
    aux_heads: bool = False
    drop_path: float = 0.0
    drop_rate: float = 0.0
    num_classes: int | None = 1000
    norm: ModuleFactory = Factory(BatchNorm, epsilon=1e-3)
    remat: bool = False
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        self.genotype = genotype_from_json(self.genotype)
        super().__post_init__()

    @staticmethod
    def checked_genotype(value: Any) -> dict[str, Any]:
        """Cells in JSON values, complete; refuses others as `genotype_from_json` does."""
        return genotype_to_json(genotype_from_json(value))

    def setup(self) -> None:
        if self.num_classes is None:
            return
        self.dropout = nn.Dropout(self.drop_rate)
        self.head = linear_head(self.num_classes, self.dtype)
        if self.aux_heads:
            self.auxiliary = Auxiliary(self.num_classes, self.dtype)

    def __call__(
        self,
        images: Float[Array, "b h w c"],
        *,
        train: bool,
        progress: float | Float[Array, ""] = 1.0,
    ) -> Float[Array, "b out"]:
        """Maps normalised NHWC images to logits, or to pooled features without a head.

        `progress` is the share of training that is over, for drop path.
        """
        pyramid = self.features(images, train=train, progress=progress)
        if self.num_classes is None:
            return pyramid["pooled"]
        if self.is_initializing() and self.aux_heads:
            self._auxiliary(images, pyramid, train)
        return self._classify(pyramid, train)

    def with_auxiliary(
        self,
        images: Float[Array, "b h w c"],
        *,
        train: bool,
        progress: float | Float[Array, ""] = 1.0,
    ) -> tuple[Float[Array, "b k"], Float[Array, "b k"]]:
        """Logits, and those of the auxiliary head, whose loss counts 0.4 in the paper.

        Raises:
            UsageError: the network has no auxiliary head, or the images are too small for it.
        """
        if not self.aux_heads or self.num_classes is None:
            raise UsageError(
                "no auxiliary logits: build the model with `aux_heads=True` and classes"
            )
        pyramid = self.features(images, train=train, progress=progress)
        return self._classify(pyramid, train), self._auxiliary(images, pyramid, train)

    @nn.compact
    def features(
        self,
        images: Float[Array, "b h w c"],
        *,
        train: bool,
        progress: float | Float[Array, ""] = 1.0,
    ) -> dict[str, Array]:
        """Output of the stem, of every stage, (b, h, w, c), and "pooled", (b, c)."""
        require_size(images, self.smallest)
        assert isinstance(self.genotype, Genotype)  # since `__post_init__`
        layers, cell = self._layers(train), nn.remat(Cell) if self.remat else Cell
        maps = [self._stem(images.astype(self.dtype), layers)]
        pyramid, cells = {"stem": maps[0]}, list(places(self))
        for i, place in enumerate(cells):
            rate = self.drop_path * (i + 1) / len(cells)
            build = cell(
                self.genotype.reduction if place.reduction else self.genotype.normal,
                place.features,
                stride=1 + place.reduction,
                halves=place.halves,
                layers=layers._replace(drop_path=partial(DropPath, rate, train)),
                name=place.name,
            )
            previous = maps[-place.before] if i else None
            pyramid[place.stage] = build(maps[-1], previous, progress)
            maps.append(pyramid[place.stage])
        return pyramid | {"pooled": nn.relu(maps[-1]).mean(axis=(1, 2))}

    def _layers(self, train: bool) -> Layers:
        return Layers(
            conv=partial(Conv, dtype=self.dtype),
            norm=partial(self.norm, train=train, dtype=self.dtype),
            pool=partial(pool, border=self.border, count_padding=self.count_padding),
        )

    def _stem(self, images: Array, layers: Layers) -> Array:
        """Convolution and norm, without activation: every operation begins with its own."""
        strides, pads = (2, 0) if self.stem_cells else (1, 1)
        conv = layers.conv(self.stem_width, (3, 3), stride=strides, padding=pads, name="stem_conv")
        return layers.norm(name="stem_norm")(conv(images))

    def _classify(self, pyramid: dict[str, Array], train: bool) -> Array:
        return self.head(self.dropout(pyramid["pooled"], deterministic=not train))

    def _auxiliary(self, images: Array, pyramid: dict[str, Array], train: bool) -> Array:
        side = 5  # of the first pooling window
        for _ in range(1 + self.stem_cells):
            side = 2 * side - 1
        require_size(images, 2 * side + 1 if self.stem_cells else side, "the auxiliary head")
        return self.auxiliary(pyramid["stage2"], self._layers(train))


def places(network: NASNet) -> Iterator[Place]:
    """Every cell of a network, from input to output."""
    for i in range(network.stem_cells):
        name, features = f"stem_cell{i}", network.filters // 2 ** (network.stem_cells - i)
        yield Place(name, name, reduction=True, features=features, halves=i > 0)
    number, after_reduction = 0, network.stem_cells > 0
    for s, count in enumerate(network.cells):
        stage, features = f"stage{s + 1}", network.filters * 2**s
        if s:
            name = f"reduction{s - 1}"
            yield Place(name, stage, reduction=True, features=features, halves=after_reduction)
            after_reduction = True
        for _ in range(count):
            before = 3 if s and after_reduction and network.skip_reduction else 2
            yield Place(f"cell{number}", stage, False, features, after_reduction, before)
            number, after_reduction = number + 1, False
