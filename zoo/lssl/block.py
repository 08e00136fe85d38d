"""One block: what the layer makes of the normalised sequence, added to it."""

import flax.linen as nn
from jaxtyping import Array, Float

from zoo.layers.factory import ModuleFactory
from zoo.lssl.linear_state_space import System


class Block(nn.Module):
    """`x + layer(norm(x))`, or `norm(x + layer(x))`.

    Attributes:
        layer: factory of the state-space layer.
        norm: factory of the normalisation.
        prenorm: the first of the two.
        dropout: probability of dropping a feature of the branch, for all times at once.
    """

    layer: ModuleFactory
    norm: ModuleFactory
    prenorm: bool
    dropout: float

    def setup(self) -> None:
        self.state_space = self.layer(name="layer")
        self.normalize = self.norm(name="norm")
        self.drop = nn.Dropout(self.dropout, broadcast_dims=(1,))

    def __call__(self, x: Float[Array, "b l h"], train: bool) -> Float[Array, "b l h"]:
        branch = self.state_space(self._before(x), train=train)
        return self._after(x + self.drop(branch, deterministic=not train))

    def system(self) -> System:
        return self.state_space.system()

    def initial_state(self, batch: int) -> Float[Array, "b h n"]:
        return self.state_space.initial_state(batch)

    def step(
        self, system: System, state: Float[Array, "b h n"], x: Float[Array, "b h"]
    ) -> tuple[Float[Array, "b h n"], Float[Array, "b h"]]:
        state, branch = self.state_space.step(system, state, self._before(x))
        return state, self._after(x + branch)

    def _before(self, x: Array) -> Array:
        return self.normalize(x) if self.prenorm else x

    def _after(self, x: Array) -> Array:
        return x if self.prenorm else self.normalize(x)
