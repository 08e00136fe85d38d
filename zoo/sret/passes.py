"""Repeated passes through a shared block: which, in which order of the tokens, and as a loop."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.core import meta
from jaxtyping import Array, Float, Int, Key

from zoo.errors import UsageError
from zoo.sret.blocks import Between, Block

Orders = Int[Array, "draws n"]


class Pass(NamedTuple):
    """One application of a block: slices of its attention, and whether tokens are permuted."""

    slices: int
    permuted: bool


def fixed_permutation(draw: int, tokens: int) -> Int[np.ndarray, " n"]:
    """The permutation of a forward pass's `draw`-th permuted attention in evaluation."""
    return np.argsort(np.random.Philox(key=draw).random_raw(tokens), kind="stable")


class Draws:
    """Hands out one permutation after the other within a forward pass."""

    def __init__(
        self, model: nn.Module, permutation: Callable[[int, int], Any] | None, train: bool
    ) -> None:
        self.model, self.draws, self.key = model, 0, None
        self.random = train and permutation is None and not model.is_initializing()
        self.permutation = permutation or fixed_permutation

    def __call__(self, tokens: int, count: int) -> Orders:
        """The next `count` permutations."""
        draws = np.arange(self.draws, self.draws + count)
        self.draws += count
        if not self.random:
            return jnp.stack([jnp.asarray(self.permutation(int(draw), tokens)) for draw in draws])
        key = self._stream()
        draw = lambda n: jax.random.permutation(jax.random.fold_in(key, n), tokens)  # noqa: E731
        return jax.vmap(draw)(jnp.asarray(draws))

    def _stream(self) -> Key[Array, ""]:
        if not self.model.has_rng("permutation"):
            raise UsageError(
                "an SReT with permuted slices draws permutations in training, and `rngs` has no "
                "stream for it; pass `rngs={'permutation': key}`, or build the model with "
                "`permutation=zoo.sret.fixed_permutation`."
            )
        self.key = self.model.make_rng("permutation") if self.key is None else self.key
        return self.key


def unroll(
    block: Block,
    between: partial[Between],
    x: Float[Array, "b n d"],
    passes: Mapping[str, Pass],
    orders: Draws,
) -> Float[Array, "b n d"]:
    """The passes through a block one after the other; names are those of the MLPs after each."""
    for name, (slices, permuted) in passes.items():
        x = block(x, slices, orders(x.shape[1], 1)[0] if permuted else None)
        x = between(name=name)(x)
    return x


def loop(
    block: Block,
    between: partial[Between],
    x: Float[Array, "b n d"],
    passes: Mapping[str, Pass],
    orders: Draws,
) -> Float[Array, "b n d"]:
    """As `unroll`, but two passes at a time in a loop, and the last of an odd number after it.

    The MLPs' parameters are one stack, under the first name.
    """
    name, kinds = next(iter(passes)), list(passes.values())
    stack = _stack(between, len(kinds), x.shape[-1], name)

    def step(kinds: Sequence[Pass], block: Block, x: Any, inputs: tuple[Any, Any]) -> Any:
        order, params = inputs
        for k, (slices, permuted) in enumerate(kinds):
            x = block(x, slices, order if permuted else None)
            layer = jax.tree.map(lambda leaf, k=k: leaf[k], params)
            x = between(parent=None).apply({"params": layer}, x)
        return x, None

    def draw(kinds: Sequence[Pass], count: int) -> Orders | None:
        return orders(x.shape[1], count) if any(kind.permuted for kind in kinds) else None

    if pairs := len(kinds) // 2:
        paired = jax.tree.map(
            lambda leaf: leaf[: 2 * pairs].reshape(pairs, 2, *leaf.shape[1:]), stack
        )
        streams: dict[Any, bool] = {"params": False, "drop_path": True}
        scan = nn.scan(partial(step, kinds[:2]), variable_broadcast="params", split_rngs=streams)
        x, _ = scan(block, x, (draw(kinds[:2], pairs), paired))
    if len(kinds) % 2:
        order = draw(kinds[-1:], 1)
        last = jax.tree.map(lambda leaf: leaf[-1:], stack)
        x, _ = step(kinds[-1:], block, x, (order if order is None else order[0], last))
    return x


def _stack(between: partial[Between], count: int, width: int, name: str) -> Any:
    """The parameters of `count` MLPs as one tree of stacked leaves."""
    layers = nn.vmap(
        between.func, variable_axes={"params": 0}, split_rngs={"params": True}, axis_size=count
    )(*between.args, name=name)
    if layers.is_initializing():
        layers(jnp.zeros((count, 1, 1, width)))
    return meta.unbox(layers.variables["params"])
