"""Layers of other sizes than a network's own: fewer outputs, or two thin maps in place of one.

A pruned or narrowed network is its architecture with some layers of other sizes, which is data:
`{"stage1_block0/conv1": {"features": 10}}`. Layers take their inputs as they come, and norms have
as many channels as those; so only what a `Conv` or `Dense` puts out has to be said.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn

from zoo.errors import UsageError, shown
from zoo.layers.conv import Conv

KNOWN = ("features", "groups", "rank")


@dataclasses.dataclass(frozen=True)
class Widths:
    """Interceptor of a network's `Conv`s and `Dense`s: those that are named have other sizes.

    Attributes:
        sizes: for each path of a layer the sizes by name, sorted: "features", its outputs;
            "groups", where a depthwise convolution has as many as inputs; "rank" r, which makes
            two maps of one kernel: of the same window to r channels, called "down" and without
            bias, and from those to all outputs, called "up".
    """

    sizes: tuple[tuple[str, tuple[tuple[str, int], ...]], ...]

    def __call__(
        self, root: Sequence[str], call: Any, args: Any, options: Any, context: Any
    ) -> Any:
        """The call of a layer, if it is named of one with the sizes that it is to have."""
        module = context.module
        is_layer = isinstance(getattr(module, "features", None), int)
        if context.method_name != "__call__" or not is_layer:
            return call(*args, **options)
        sizes: dict[str, Any] = dict(dict(self.sizes).get("/".join(module.path[len(root) :]), ()))
        rank = sizes.pop("rank", None)
        if any(getattr(module, name) != size for name, size in sizes.items()):
            module = module.clone(parent=module.scope, **sizes)  # called, it comes here again
            return module(*args, **options)
        if rank is None:
            return call(*args, **options)
        down, up = _factors(module, rank)
        return up(down(*args, **options))


def widths(sizes: Mapping[str, Any]) -> Widths:
    """An interceptor of what a card says.

    Args:
        sizes: sizes of layers by their paths, as `Widths` has them.

    Raises:
        UsageError: no such size, or none that a layer can have.

    >>> narrow = widths({"stage1_block0/conv1": {"features": 10}})
    >>> model = zoo.create_model("resnet8").clone(interceptors=(narrow,))
    >>> variables = zoo.init_variables(model, jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    >>> variables["params"]["stage1_block0"]["conv2"]["kernel"].shape
    (3, 3, 10, 16)
    """
    for path, given in sizes.items():
        wrong = not isinstance(given, Mapping) or set(given) - {*KNOWN} or not given
        if wrong or any(type(size) is not int or size < 1 for size in given.values()):
            raise UsageError(
                f"`widths` of {shown(path)} must be numbers of at least 1 for some of "
                f"{', '.join(KNOWN)}; got {shown(given)}"
            )
    return Widths(tuple((p, tuple(sorted(given.items()))) for p, given in sorted(sizes.items())))


def _factors(module: Any, rank: int) -> tuple[nn.Module, nn.Module]:
    """The two maps in whose place a layer stands; their parameters lie below its own path."""
    scope = module.scope
    down = module.clone(parent=scope.push("down"), name="down", features=rank, use_bias=False)
    if isinstance(module, nn.Dense):
        return down, module.clone(parent=scope.push("up"), name="up")
    pointwise = Conv(
        module.features,
        (1, 1),
        use_bias=module.use_bias,
        dtype=module.dtype,
        parent=scope.push("up"),
        name="up",
    )
    return down, pointwise
