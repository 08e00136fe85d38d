r"""One LSSL layer: a linear state space per feature, as a convolution, a recurrence, or in chunks.

.. math:: x' = A x + B u,\quad y = C x + D u,\quad
          z = W \operatorname{GELU}(y) + w

u is one feature of the sequence, x its N states, y its M channels; W mixes the H · M channels of
all features at one time. Only time steps \(\Delta_h\) (and C and D) differ between features, or A
and B too.

Gu, Johnson, Goel, Saab, Dao, Rudra & Ré, "Combining Recurrent, Convolutional, and Continuous-time
Models with Linear State-Space Layers", 2021, https://arxiv.org/abs/2110.13985, sections 3 and 4.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.errors import UsageError
from zoo.layers.activation import gelu
from zoo.layers.dense import UniformDense
from zoo.layers.initializers import NORMAL, ZEROS
from zoo.layers.wide import wide
from zoo.lssl import state_space
from zoo.lssl.discretization import generalized_bilinear
from zoo.lssl.fft_convolution import causal_convolution
from zoo.lssl.parameters import TransitionParameters, leaf, time_steps
from zoo.lssl.transition import Transition, legs

AT_ONCE = 1 << 21  # numbers in the matrices A of the features whose kernels are made together


class System(NamedTuple):
    r"""The discrete system of every feature, \(\bar A\) and \(\bar B\)."""

    a: Float[Array, "h n n"]
    b: Float[Array, "h n"]


class LinearStateSpace(nn.Module):
    """The layer, (b, l, h) to (b, l, h), or (b, l, h · m) without its linear map.

    Attributes:
        width: features H.
        state_size: states N of each.
        channels: outputs M of each.
        transition: the form of A and B for a size N, from `zoo.lssl.transition`.
        learn: "none" keeps A and B as they begin (LSSL-f), "shared" trains one pair, "per_feature"
            one pair for each feature.
        learn_dt: train the time steps.
        dt_range: smallest and largest initial time step, best around 1 / L.
        dt_spacing: initial time steps are "random" (log-uniform) or "even" (on a log scale).
        discretize: from A, B and the step to the recurrence's matrices.
        rate: sampling interval relative to the one trained for: 2.0 for every second sample.
        rescale_input: apply `rate` to B as well as to A; the authors' code forgets B.
        use_bias: adds E before the activation.
        use_output: the linear map W behind the activation.
        activation: function of the channels.
        dropout: probability of dropping a channel after the activation, for all times at once.
        dtype: dtype of the computation; kernels and states are at least float32.
    """

    width: int
    state_size: int = 64
    channels: int = 1
    transition: Callable[[int], Transition] = legs
    learn: str = "shared"
    learn_dt: bool = True
    dt_range: tuple[float, float] = (1e-3, 1e-1)
    dt_spacing: str = "random"
    discretize: Callable[..., Any] = generalized_bilinear
    rate: float = 1.0
    rescale_input: bool = True
    use_bias: bool = False
    use_output: bool = True
    activation: Callable[..., Any] = gelu
    dropout: float = 0.0
    dtype: Any = jnp.float32

    def setup(self) -> None:
        _check(self)
        features, channels, copies = self.width, self.channels, ()
        self.C = self.param("C", NORMAL, (features, channels, self.state_size), jnp.float32)
        self.D = self.param("D", NORMAL, (features, channels), jnp.float32)
        if self.use_bias:
            self.E = self.param("E", ZEROS, (features, channels), jnp.float32)
        initial = time_steps(self.dt_range, self.dt_spacing, features)
        self.log_dt = leaf(self, self.learn_dt, "log_dt", initial, (features,))
        if self.learn == "per_feature":
            copies = (features,)
        self.parts = TransitionParameters(
            self.transition(self.state_size), copies, self.learn != "none", name="transition"
        )
        self.drop = nn.Dropout(self.dropout, broadcast_dims=(1,))
        if self.use_output:
            self.output = UniformDense(features, dtype=self.dtype, name="output")

    def __call__(self, u: Float[Array, "b l h"], *, train: bool) -> Float[Array, "b l out"]:
        """The convolutional form, for training."""
        return self._mix(self.channels_of(u), train)

    def channels_of(self, u: Float[Array, "b l h"]) -> Float[Array, "b l h m"]:
        r"""\(y = K * u + D u\), before bias and activation."""
        self._check_input(u)
        convolved = causal_convolution(u.swapaxes(1, 2), self.kernel(u.shape[1]))
        return jnp.moveaxis(convolved, 3, 1) + self._skip(u)

    def kernel(self, length: int) -> Float[Array, "h m l"]:
        r"""Impulse responses \(K_{hm,l} = C_{hm} \bar A_h^l \bar B_h\).

        A few features at a time, each recomputed in the backward pass: neither the matrices of all
        features nor their powers ever exist together.
        """

        def one(arguments: Any) -> Array:
            a, b = self_discretize(*arguments[:-1])
            return state_space.impulse_response(a, b[:, None], arguments[-1], length)[:, 0]

        self_discretize, mapped = self._discretization()
        together = max(AT_ONCE // self.state_size**2, 1)
        return jax.lax.map(jax.checkpoint(one), (*mapped, self._exact(self.C)), batch_size=together)

    def system(self) -> System:
        """The recurrence's matrices; compute them once before many steps."""
        discretize, mapped = self._discretization()
        return System(*jax.vmap(discretize)(*mapped))

    def initial_state(self, batch: int) -> Float[Array, "b h n"]:
        """Zeros: nothing has been seen."""
        return jnp.zeros((batch, self.width, self.state_size), wide(self.dtype))

    def step(
        self, system: System, state: Float[Array, "b h n"], u: Float[Array, "b1 h1"]
    ) -> tuple[Float[Array, "b h n"], Float[Array, "b out"]]:
        """The recurrent form: the next state and output; costs the same whatever the past."""
        self._check_state(state, u.shape)
        state = state_space.update(*system, state, self._exact(u))
        y = state_space.read(self._exact(self.C), state).astype(u.dtype)
        return state, self._mix((y + self._skip(u))[:, None], False)[:, 0]

    def scan(
        self, state: Float[Array, "b h n"], u: Float[Array, "b1 l h1"]
    ) -> tuple[Float[Array, "b h n"], Float[Array, "b l out"]]:
        """`step` over a sequence."""
        self._check_input(u)
        self._check_state(state, u[:, 0].shape)
        system, c = self.system(), self._exact(self.C)

        def advance(state: Array, u: Array) -> tuple[Array, Array]:
            state = state_space.update(*system, state, u)
            return state, state_space.read(c, state)

        state, y = jax.lax.scan(advance, state, self._exact(u).swapaxes(0, 1))
        return state, self._mix(y.swapaxes(0, 1).astype(u.dtype) + self._skip(u), False)

    def chunk(
        self, state: Float[Array, "b h n"], u: Float[Array, "b1 l h1"]
    ) -> tuple[Float[Array, "b h n"], Float[Array, "b l out"]]:
        """The convolutional form of a part of a sequence, from the state before it."""
        self._check_input(u)
        self._check_state(state, u[:, 0].shape)
        system, length = self.system(), u.shape[1]
        states, inputs = state.swapaxes(0, 1), self._exact(u).transpose(2, 0, 1)

        def free(a: Array, x: Array, c: Array) -> Array:
            return state_space.impulse_response(a, state_space.matmul(a, x.T), c, length)

        response = jax.vmap(free)(system.a, states, self._exact(self.C))  # (h, m, b, l)
        y = self.channels_of(u) + response.transpose(2, 3, 0, 1).astype(u.dtype)
        state = jax.vmap(state_space.final_state)(*system, inputs, states).swapaxes(0, 1)
        return state, self._mix(y, False)

    def _discretization(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """A function of one feature, and what to map it over."""
        parts = jax.tree.map(self._exact, self.parts())
        dt, form = jnp.exp(self._exact(self.log_dt)), self.transition(self.state_size)
        prepare, method = form.system, self.discretize
        if self.discretize is generalized_bilinear and form.bilinear is not None:
            prepare, method = lambda parts: (parts,), form.bilinear

        def discretize(dt: Array, *system: Any) -> tuple[Array, Array]:
            a_bar, b_bar = method(*system, dt * self.rate)
            return a_bar, b_bar if self.rescale_input else method(*system, dt)[1]

        if self.learn == "per_feature":
            return lambda dt, parts: discretize(dt, *prepare(parts)), (dt, parts)
        shared = prepare(parts)
        return lambda dt: discretize(dt, *shared), (dt,)

    def _skip(self, u: Float[Array, "*b h"]) -> Float[Array, "*b h m"]:
        gain = self.D.astype(u.dtype).reshape((1,) * (u.ndim - 1) + self.D.shape)
        return u[..., None] * gain

    def _mix(self, y: Float[Array, "b l h m"], train: bool) -> Float[Array, "b l out"]:
        if self.use_bias:
            y = y + self.E.astype(y.dtype)[None, None]
        y = self.activation(y)
        y = self.drop(jax.lax.collapse(y, 2), deterministic=not train)
        return self.output(y) if self.use_output else y

    def _exact(self, x: Array) -> Array:
        return x.astype(wide(self.dtype))

    def _check_state(self, state: Array, shape: tuple[int, ...]) -> None:
        expected = (*shape[:1], self.width, self.state_size)
        if shape != expected[:2] or state.shape != expected:
            raise UsageError(
                f"a step must be (batch, {self.width}) and its state (batch, {self.width}, "
                f"{self.state_size}), got {shape} and {state.shape}; `initial_state(batch)` is the "
                "first state."
            )

    def _check_input(self, u: Array) -> None:
        if u.ndim != 3 or u.shape[-1] != self.width or not u.shape[1]:
            raise UsageError(
                f"a sequence must be (batch, length, {self.width}) with a length of at least 1, "
                f"got {u.shape}; `width` of the layer is its number of features."
            )


def _check(layer: LinearStateSpace) -> None:
    for name in ("width", "state_size", "channels"):
        if getattr(layer, name) < 1:
            raise UsageError(f"`{name}` must be at least 1, got {getattr(layer, name)}.")
    _choice("learn", layer.learn, ("none", "shared", "per_feature"))
    _choice("dt_spacing", layer.dt_spacing, ("random", "even"))
    low, high = layer.dt_range
    if not 0 < low <= high:
        raise UsageError(
            f"`dt_range` must be two positive numbers in rising order, got {layer.dt_range}; "
            "a sequence of 1000 steps wants about (0.001, 0.1)."
        )
    if not layer.rate > 0 and layer.rescale_input:
        raise UsageError(f"`rate` must be positive, got {layer.rate}; 1.0 is that of training.")
    if not 0 <= layer.dropout < 1:
        raise UsageError(f"`dropout` must be in [0, 1), got {layer.dropout}.")


def _choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"`{name}` must be one of {', '.join(choices)}; got {value!r}.")
