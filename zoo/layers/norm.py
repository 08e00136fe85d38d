"""Batch normalisation that means the same under jit, pmap and shard_map; layer normalisation."""

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial, reduce
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from zoo.errors import UsageError
from zoo.layers.initializers import ONES, ZEROS, Initializer
from zoo.layers.wide import wide


class Spread(NamedTuple):
    """How a batch lies over devices, and in how many slices batch norms normalise it."""

    axis_name: str | None = None
    groups: int = 1


WHOLE = Spread()
_SPREAD: ContextVar[Spread] = ContextVar("spread of the batch", default=WHOLE)


@contextmanager
def batch_spread(axis_name: str | None, groups: int = 1) -> Iterator[None]:
    """Tells every `BatchNorm` applied within, however deep in a network, how the batch is spread.

    Args:
        axis_name: mapped axis over which the batch is split (pmap, shard_map), else None.
        groups: equal consecutive slices of the global batch that are normalised separately.
    """
    token = _SPREAD.set(Spread(axis_name, groups))
    try:
        yield
    finally:
        _SPREAD.reset(token)


Kept = bool | Bool[Array, ""]
_KEPT: ContextVar[Callable[[str], Kept]] = ContextVar(
    "parameters that are kept", default=lambda path: False
)


@contextmanager
def norms_as_in_evaluation(kept: Callable[[str], Kept]) -> Iterator[None]:
    """Lets batch norms applied within that train nothing normalise by their running statistics.

    Args:
        kept: says of the path of a parameter, such as "stem/norm/scale", whether it is not
            trained, perhaps at some steps only. A batch norm of which all parameters are kept does
            not move its statistics. What is kept around this stays so.
    """
    around = _KEPT.get()
    token = _KEPT.set(lambda path: True if around(path) is True else kept(path))
    try:
        yield
    finally:
        _KEPT.reset(token)


class BatchNorm(nn.Module):
    r"""Normalises each channel by the mean and variance of the batch, or by their running means.

    .. math:: y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    In training \(\mu\) and the biased variance \(\sigma^2\) are taken over each of `groups` equal
    consecutive slices of the *global* batch: `groups=1` is synchronised batch norm, as many groups
    as devices is the "per device" form. Running statistics move by `1 - momentum` towards the
    mean over all groups and so are equal everywhere.

    Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167.

    Attributes:
        train: normalise by batch statistics and update the running ones, which must be mutable;
            not where `norms_as_in_evaluation` says that nothing here is trained.
        momentum: share of the old running value that is kept (one minus PyTorch's momentum).
        epsilon: added to the variance.
        unbiased: the running variance counts n / (n - 1) of the batch's, as in PyTorch.
        groups: slices of the global batch that are normalised separately; None is what
            `batch_spread` says, or 1.
        axis_name: mapped axis over which the batch is split (pmap, shard_map); None is what
            `batch_spread` says, or no axis.
        use_scale: has a gamma; some Keras networks leave it to the next convolution.
        scale_init: initial gamma; zeros make a residual branch start as the identity.
        dtype: dtype of the result; statistics are at least float32.
    """

    train: bool
    momentum: float = 0.9
    epsilon: float = 1e-5
    unbiased: bool = True
    groups: int | None = None
    axis_name: str | None = None
    use_scale: bool = True
    scale_init: Initializer = ONES
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        size = (x.shape[-1],)
        running_mean = self.variable("batch_stats", "mean", ZEROS, None, size, jnp.float32)
        running_var = self.variable("batch_stats", "var", ONES, None, size, jnp.float32)
        scale = self.param("scale", self.scale_init, size, jnp.float32) if self.use_scale else None
        bias = self.param("bias", ZEROS, size, jnp.float32)
        kept = self._is_kept() if self.train else True
        about, rest, var = running_mean.value[None], 0.0, running_var.value[None]
        if kept is not True:
            running = about, rest, var
            about, rest, var, count = self._moments(x, running_mean.value)
            if not self.is_initializing():
                self._require_mutable()
                correction = count / max(count - 1, 1) if self.unbiased else 1.0
                mean, variance = about + rest, var * correction
                moved = [
                    self._move(running_mean.value, mean),
                    self._move(running_var.value, variance),
                ]
                before = running_mean.value, running_var.value
                running_mean.value, running_var.value = _unless(kept, moved, before)
            about, rest, var = _unless(kept, (about, rest, var), running)
        factor = jax.lax.rsqrt(var + self.epsilon)
        factor = factor if scale is None else factor * scale[None]
        y = _per_channel(_centred(x, about), factor, bias[None] - rest * factor)
        return y.reshape(x.shape).astype(self.dtype)

    def _is_kept(self) -> Kept:
        own = ("scale", "bias") if self.use_scale else ("bias",)
        return reduce(operator.and_, (_KEPT.get()("/".join((*self.path, name))) for name in own))

    def _require_mutable(self) -> None:
        if not self.is_mutable_collection("batch_stats"):
            raise UsageError(
                "`train=True` updates the running statistics of batch norms, and `batch_stats` is "
                "not mutable; take them back with `logits, new = model.apply(variables, x, "
                "train=True, mutable=['batch_stats'])`, or pass `train=False`"
            )

    def _spread(self) -> Spread:
        around = _SPREAD.get()
        axis = None if self.is_initializing() else self.axis_name or around.axis_name
        return Spread(axis, self.groups or around.groups)

    def _moments(self, x: Array, running_mean: Array) -> tuple[Array, Array, Array, int]:
        """A number c, E[x] - c and the variance, each (groups, c), and over how many pixels.

        With d = x - c, one pass gives both: the mean is c + E[d], the variance E[d²] - E[d]². That
        difference loses what (E[d] / σ)² times the precision of float32 is, so that c has to be
        near. It is the mean of every sixteenth pixel, which is within 4 σ whatever x holds. Numbers
        in bfloat16 are hardly known to that precision: for them c is the running mean, which is
        there before x is, and a TPU takes the sums while it writes x.

        No gradient flows through c, where it would be summed over all pixels once more.
        """
        axis, groups = self._spread()
        devices = 1 if axis is None else jax.lax.axis_size(axis)
        local = max(groups // devices, 1)
        spread = max(devices // groups, 1)
        over_devices = partial(_mean_over_devices, axis_name=axis, spread=spread)
        if x.dtype == jnp.bfloat16:
            about = jnp.broadcast_to(running_mean, (local, x.shape[-1]))
        else:
            some = _split(jax.lax.stop_gradient(x)[:, ::4, ::4], local)
            about = over_devices(some.mean(axis=(1, 2, 3)))
        centred = _centred(x, about)
        means = [centred.mean(axis=(1, 2, 3)), jnp.square(centred).mean(axis=(1, 2, 3))]
        rest, square = over_devices(jnp.stack(means))
        count = centred[0, ..., 0].size * spread
        return about, rest, square - jnp.square(rest), count

    def _move(self, running: Array, groups: Array) -> Array:
        batch, axis = groups.mean(axis=0), self._spread().axis_name
        batch = batch if axis is None else jax.lax.pmean(batch, axis)
        return self.momentum * running + (1 - self.momentum) * batch


def batch_statistics(model: nn.Module, variables: Any, inputs: Float[Array, "b ..."]) -> Any:
    """Running statistics as if a batch were all that a network had ever seen.

    Args:
        model: module called as `model(inputs, train=True)`.
        variables: its variables; what their batch statistics are does not matter.
        inputs: the batch.
    """

    def forget(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        if isinstance(context.module, BatchNorm | nn.BatchNorm):
            object.__setattr__(context.module, "momentum", 0.0)
        return call(*args, **kwargs)

    rngs = {name: jax.random.key(0) for name in ("dropout", "drop_path")}
    with nn.intercept_methods(forget):
        _, new = model.apply(variables, inputs, train=True, mutable=["batch_stats"], rngs=rngs)
    return new["batch_stats"]


class LayerNorm(nn.Module):
    r"""Normalises each token by the mean and variance of its own channels.

    .. math:: y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    Ba, Kiros & Hinton 2016, https://arxiv.org/abs/1607.06450.

    Attributes:
        epsilon: added to the variance.
        dtype: dtype of the result; statistics are at least float32.
    """

    epsilon: float = 1e-5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "... c"]) -> Float[Array, "... c"]:
        size = (x.shape[-1],)
        scale = self.param("scale", ONES, size, jnp.float32)
        bias = self.param("bias", ZEROS, size, jnp.float32)
        x = x.astype(wide(x.dtype))
        x = x - x.mean(axis=-1, keepdims=True)
        factor = jax.lax.rsqrt(jnp.square(x).mean(axis=-1, keepdims=True) + self.epsilon)
        row = (1,) * (x.ndim - 1) + size
        return (x * factor * scale.reshape(row) + bias.reshape(row)).astype(self.dtype)


def standardize(x: Float[Array, "*b c"], epsilon: float) -> Float[Array, "*b c"]:
    """Layer normalisation without scale and shift; statistics are at least float32.

    The variance is that of deviations, in a second pass: where `epsilon` is small, rounding in
    E[x²] - E[x]² would be blown up wherever a row is nearly constant.
    """
    y = x.astype(wide(x.dtype))
    y = y - y.mean(axis=-1, keepdims=True)
    variance = jnp.square(y).mean(axis=-1, keepdims=True)
    return (y * jax.lax.rsqrt(variance + epsilon)).astype(x.dtype)


def _unless(kept: Kept, values: Any, otherwise: Any) -> Any:
    """`values`, or others where that is known, or turns out, to be so."""
    if isinstance(kept, bool):
        return otherwise if kept else values
    return [jnp.where(kept, b, a) for a, b in zip(values, otherwise, strict=True)]


def _split(x: Array, groups: int) -> Array:
    return x.reshape(groups, x.shape[0] // groups, *x.shape[1:])


def _mean_over_devices(x: Array, axis_name: str | None, spread: int) -> Array:
    """Mean over runs of `spread` neighbouring devices."""
    if axis_name is None or spread == 1:
        return x
    if spread == jax.lax.axis_size(axis_name):
        return jax.lax.pmean(x, axis_name)
    mine = jax.lax.axis_index(axis_name) // spread * spread
    everyone = jax.lax.all_gather(x, axis_name)
    return jax.lax.dynamic_slice_in_dim(everyone, mine, spread).mean(axis=0)


def _centred(x: Array, about: Array) -> Float[Array, "groups b h w c"]:
    """The batch's slices relative to a number for each and each channel, at least in float32."""
    x = x.astype(wide(x.dtype))
    return _split(x, about.shape[0]) - about[:, None, None, None]


def _per_channel(x: Array, factor: Array, offset: Array) -> Array:
    return x * factor[:, None, None, None] + offset[:, None, None, None]
