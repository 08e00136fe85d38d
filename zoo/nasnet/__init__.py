"""NASNet: cells that were found by search on small images, stacked into networks of any size.

- NASNet: Zoph, Vasudevan, Shlens & Le, "Learning Transferable Architectures for Scalable Image
  Recognition", 2018, https://arxiv.org/abs/1707.07012.
- PNASNet-5: Liu, Zoph, Neumann et al., "Progressive Neural Architecture Search", 2018,
  https://arxiv.org/abs/1712.00559.

A cell is *data*, a `CellGenotype` (`zoo.nasnet.genotype`); one generic cell builds them all from
the operations of the search space (`zoo.nasnet.operations`). Where the papers are silent we follow
the authors' published code: how the two inputs of a cell are brought to its width and resolution.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.errors import UsageError
from zoo.layers.conv import Conv
from zoo.layers.drop_path import DropPath
from zoo.layers.factory import Factory
from zoo.layers.initializers import LECUN_UNIFORM, ZEROS
from zoo.layers.norm import BatchNorm
from zoo.layers.pool import avg_pool
from zoo.layers.size import require_size
from zoo.nasnet.genotype import (
    INPUTS,
    NASNET_A,
    PNASNET_5,
    Block,
    CellGenotype,
    Edge,
    Genotype,
    genotype_from_json,
    genotype_to_json,
    random_genotype,
)
from zoo.nasnet.operations import OPERATIONS, Layers, pool, project

__all__ = [
    "Block",
    "CellGenotype",
    "Edge",
    "Genotype",
    "NASNet",
    "genotype_from_json",
    "genotype_to_json",
    "random_genotype",
]

ModuleFactory = Callable[..., Any]


class Projection(nn.Module):
    """ReLU, 1×1 convolution and norm: an input of a cell at the cell's width."""

    features: int
    layers: Layers
    activate: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w d"]:
        x = nn.relu(x) if self.activate else x
        return project(x, self.layers, self.features)


class FactorizedReduction(nn.Module):
    """Half the resolution from two grids of pixels, of which the second lies between the first's.

    Half of the channels come from every other pixel, half from the pixels one to the right and
    below, where zeros stand in for what lies outside.
    """

    features: int
    layers: Layers
    activate: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        x = nn.relu(x) if self.activate else x
        half = self.features // 2
        shifted = jnp.pad(x[:, 1::2, 1::2], [(0, 0), *((0, n % 2) for n in x.shape[1:3]), (0, 0)])
        first = self.layers.conv(half, (1, 1), stride=2, name="path1")(x)
        second = self.layers.conv(self.features - half, (1, 1), name="path2")(shifted)
        return self.layers.norm(name="norm")(jnp.concatenate([first, second], axis=-1))


class Operation(nn.Module):
    """One edge of a cell: an operation of the search space."""

    kind: str
    features: int
    stride: int
    layers: Layers

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        return OPERATIONS[self.kind](x, self.layers, self.features, self.stride)


class Cell(nn.Module):
    """The generic cell: blocks over hidden states, some of which make up the output.

    Attributes:
        genotype: what it computes.
        features: channels of every hidden state.
        stride: 2 in reduction cells; operations on the cell's two inputs stride.
        halves: its second input has twice the resolution of the first.
        layers: factories.
        drop: factory of drop path, for every operation but the identity.
    """

    genotype: CellGenotype
    features: int
    stride: int
    halves: bool
    layers: Layers
    drop: ModuleFactory

    @nn.compact
    def __call__(
        self,
        current: Float[Array, "b h w c"],
        previous: Float[Array, "b h3 w3 d"] | None,
        progress: float | Float[Array, ""] = 1.0,
    ) -> Float[Array, "b h2 w2 e"]:
        """Cell output from the last cell's and the one's before; without one, `current` again."""
        states = [Projection(self.features, self.layers, name="current")(current)]
        states.append(current if previous is None else self._adjusted(previous))
        for b, block in enumerate(self.genotype.blocks):
            left = self._edge(block.left, states, f"block{b}_left", progress)
            right = self._edge(block.right, states, f"block{b}_right", progress)
            add = block.combine == "add"
            states.append(left + right if add else jnp.concatenate([left, right], axis=-1))
        outputs = [self._output(i, states[i]) for i in self.genotype.outputs]
        return jnp.concatenate(outputs, axis=-1)

    def _adjusted(self, previous: Array) -> Array:
        """The second input at the width and resolution of the first."""
        if self.halves:
            return FactorizedReduction(self.features, self.layers, name="previous")(previous)
        if previous.shape[-1] == self.features:
            return previous
        return Projection(self.features, self.layers, name="previous")(previous)

    def _edge(self, edge: Edge, states: Sequence[Array], name: str, progress: Any) -> Array:
        stride = self.stride if edge.state < INPUTS else 1
        operation = Operation(edge.operation, self.features, stride, self.layers, name=name)
        x = operation(states[edge.state])
        if edge.operation == "identity":
            return x
        return self.drop(name=f"{name}_drop")(x, progress)

    def _output(self, index: int, state: Array) -> Array:
        """An input of the cell that is part of its output is brought to the output's form."""
        if index >= INPUTS or (self.stride == 1 and state.shape[-1] == self.features):
            return state
        reduction = FactorizedReduction if self.stride == 2 else Projection
        return reduction(self.features, self.layers, activate=False, name=f"output{index}")(state)


class Auxiliary(nn.Module):
    """Classifier on an inner map, for training; its last convolution covers the whole map.

    It therefore belongs to images of one size.
    """

    num_classes: int
    norm_cls: ModuleFactory
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b k"]:
        norm = partial(self.norm_cls, train=train, dtype=self.dtype)
        x = avg_pool(nn.relu(x), window=5, stride=3)
        x = nn.relu(norm(name="norm1")(Conv(128, (1, 1), dtype=self.dtype, name="conv1")(x)))
        whole = (x.shape[1], x.shape[2])
        x = Conv(768, whole, padding=0, dtype=self.dtype, name="conv2")(x)
        x = nn.relu(norm(name="norm2")(x))[:, 0, 0]
        return _dense(self.num_classes, self.dtype, name="head")(x)


def _dense(features: int, dtype: Any, **options: Any) -> nn.Dense:
    wide = jnp.promote_types(dtype, jnp.float32)
    return nn.Dense(features, kernel_init=LECUN_UNIFORM, bias_init=ZEROS, dtype=wide, **options)


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


class NASNet(nn.Module):
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

    def setup(self) -> None:
        if self.num_classes is None:
            return
        self.dropout = nn.Dropout(self.drop_rate)
        self.head = _dense(self.num_classes, self.dtype)
        if self.aux_heads:
            self.auxiliary = Auxiliary(self.num_classes, self.norm, self.dtype)

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
            build = cell(
                self.genotype.reduction if place.reduction else self.genotype.normal,
                place.features,
                stride=1 + place.reduction,
                halves=place.halves,
                layers=layers,
                drop=partial(DropPath, self.drop_path * (i + 1) / len(cells), train),
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
        return self.auxiliary(pyramid["stage2"], train=train)


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


# Zoph et al. 2018, table 2: NASNet-A (6 @ 4032) and (4 @ 1056).
nasnetalarge = partial(NASNet, skip_reduction=True)
# Keras: biased running variance, and zeros around maps.
_Keras = partial(
    NASNet,
    border=0.0,
    smallest=32,
    norm=Factory(BatchNorm, epsilon=1e-3, momentum=0.9997, unbiased=False),
)
nasnetalarge_keras = partial(_Keras, skip_reduction=True)
nasnetamobile = partial(_Keras, cells=(4, 4, 4), filters=44, stem_width=32)

# Zoph et al. 2018, table 1: NASNet-A (6 @ 768) and (7 @ 2304) for CIFAR.
_Cifar = partial(
    NASNet, stem_cells=0, count_padding=False, smallest=1, num_classes=10, norm=BatchNorm
)
nasneta_6_768 = partial(_Cifar, filters=32, stem_width=96)
nasneta_7_2304 = partial(_Cifar, cells=(7, 7, 7), filters=96, stem_width=288)

# Liu et al. 2018, table 5: PNASNet-5 (4 @ 4320); reductions take the place of normal cells.
pnasnet5large = partial(NASNet, genotype=PNASNET_5, cells=(4, 3, 3), filters=216)

# Not of the papers: NASNet-A (1 @ 288) for images of 8 to 32 pixels.
nasnet_nano = partial(_Cifar, cells=(1, 1, 1), filters=12, stem_width=24)
