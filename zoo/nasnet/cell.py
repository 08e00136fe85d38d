"""The generic cell, which computes what a genotype says."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.layers.factory import Layers
from zoo.layers.windows import strided
from zoo.nasnet.genotype import INPUTS, CellGenotype, Edge
from zoo.nasnet.operations import OPERATIONS, project


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
        shifted = jnp.pad(
            strided(x, 2, (1, 1)), [(0, 0), *((0, n % 2) for n in x.shape[1:3]), (0, 0)]
        )
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
        layers: what operations are made of; drop path is for all of them but the identity.
    """

    genotype: CellGenotype
    features: int
    stride: int
    halves: bool
    layers: Layers

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
        return self.layers.drop_path(name=f"{name}_drop")(x, progress)

    def _output(self, index: int, state: Array) -> Array:
        """An input of the cell that is part of its output is brought to the output's form."""
        if index >= INPUTS or (self.stride == 1 and state.shape[-1] == self.features):
            return state
        reduction = FactorizedReduction if self.stride == 2 else Projection
        return reduction(self.features, self.layers, activate=False, name=f"output{index}")(state)
