"""Layers that learn what is asked of a set, or what is stored: pooling and lookup."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.errors import UsageError
from zoo.layers.hopfield import Association, BoolMask, Hopfield
from zoo.layers.initializers import NORMAL_002


class HopfieldPooling(nn.Module):
    """A set as a fixed number of vectors: learned states recall from it.

    Without further steps it reads `chunk` instances at a time, so that the memory for bags of any
    size is that of one chunk. Section 3 and appendix C.2 of the paper.

    Attributes:
        hopfield: the association; its `input_size` is the depth of the states.
        quantity: learned states.
        trainable: whether they receive gradients.
        chunk: instances at a time where there are more; None for all at once.
    """

    hopfield: Hopfield
    quantity: int = 1
    trainable: bool = True
    chunk: int | None = 4096

    def setup(self) -> None:
        if self.quantity < 1:
            raise UsageError(f"`quantity` must be at least 1, got {self.quantity}")
        if self.chunk is not None and self.chunk < 1:
            raise UsageError(f"`chunk` must be None or at least 1, got {self.chunk}")
        shape = (self.quantity, _depth(self.hopfield, "state"))
        self.pooling_weights = self.param("pooling_weights", NORMAL_002, shape, jnp.float32)

    def __call__(
        self,
        stored: Float[Array, "b s d1"],
        projection: Float[Array, "b s d2"] | None = None,
        *,
        padding_mask: BoolMask | None = None,
        association_mask: Association | None = None,
        train: bool,
    ) -> Float[Array, "b out"]:
        """The vectors of all states side by side; arguments as those of `Hopfield`."""
        recall = self.hopfield
        chunk = self.chunk or stored.shape[1]
        if stored.shape[1] > chunk and not recall.updates and not self.is_initializing():
            recall = partial(recall.streamed, chunk=chunk)
        out = recall(
            stored,
            self._states(stored),
            projection,
            padding_mask=padding_mask,
            association_mask=association_mask,
            train=train,
        )
        return jax.lax.collapse(out, 1)

    def associations(
        self,
        stored: Float[Array, "b s d1"],
        projection: Float[Array, "b s d2"] | None = None,
        *,
        padding_mask: BoolMask | None = None,
        association_mask: Association | None = None,
    ) -> Float[Array, "b h q s2"]:
        """Weights of the instances for each learned state."""
        return self.hopfield.associations(
            stored,
            self._states(stored),
            projection,
            padding_mask=padding_mask,
            association_mask=association_mask,
        )

    def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Shapes with which the layer can be initialised."""
        stored, _, projection = self.hopfield.example_inputs()
        return stored, projection

    def _states(self, stored: Array) -> Float[Array, "b q d"]:
        states = _weights(self.pooling_weights, self.trainable)
        return jnp.broadcast_to(states[None], (stored.shape[0], *states.shape))


class HopfieldLayer(nn.Module):
    """Lookup in learned patterns: the input is the state, what is stored are parameters.

    Keys and values do not depend on the input and are computed once for the whole batch.
    Appendix C.3 of the paper.

    Attributes:
        hopfield: the association; its `sizes.stored` is the depth of the learned patterns.
        quantity: learned patterns.
        separate_targets: other parameters are read out than are compared with.
        trainable: whether the patterns receive gradients.
        trainable_targets: whether the targets do.
    """

    hopfield: Hopfield
    quantity: int = 1
    separate_targets: bool = False
    trainable: bool = True
    trainable_targets: bool = True

    def setup(self) -> None:
        if self.quantity < 1:
            raise UsageError(f"`quantity` must be at least 1, got {self.quantity}")
        depth = _depth(self.hopfield, "stored")
        shape = (self.quantity, depth)
        self.lookup_weights = self.param("lookup_weights", NORMAL_002, shape, jnp.float32)
        if self.separate_targets:
            shape = (self.quantity, self.hopfield.sizes.projection or depth)
            self.target_weights = self.param("target_weights", NORMAL_002, shape, jnp.float32)

    def __call__(
        self,
        state: Float[Array, "b t d"],
        *,
        padding_mask: BoolMask | None = None,
        association_mask: Association | None = None,
        train: bool,
    ) -> Float[Array, "b t out"]:
        """What the input recalls; arguments as those of `Hopfield`."""
        stored, targets = self._patterns()
        masks = {"padding_mask": padding_mask, "association_mask": association_mask}
        return self.hopfield(stored, state, targets, **masks, train=train)

    def associations(
        self,
        state: Float[Array, "b t d"],
        *,
        padding_mask: BoolMask | None = None,
        association_mask: Association | None = None,
    ) -> Float[Array, "b h t q"]:
        """Weights of the learned patterns for each state."""
        stored, targets = self._patterns()
        masks = {"padding_mask": padding_mask, "association_mask": association_mask}
        return self.hopfield.associations(stored, state, targets, **masks)

    def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Shapes with which the layer can be initialised."""
        return self.hopfield.example_inputs()[1:2]

    def _patterns(self) -> tuple[Array, Array | None]:
        stored = _weights(self.lookup_weights, self.trainable)[None]
        if not self.separate_targets:
            return stored, None
        return stored, _weights(self.target_weights, self.trainable_targets)[None]


def _depth(hopfield: Hopfield, role: str) -> int:
    """Depth of learned patterns of a role."""
    depth = getattr(hopfield.depths, role) or hopfield.input_size
    if depth is None:
        raise UsageError("`input_size` of the association is needed: the depth of its patterns")
    return depth


def _weights(weights: Array, trainable: bool) -> Array:
    return weights if trainable else jax.lax.stop_gradient(weights)
