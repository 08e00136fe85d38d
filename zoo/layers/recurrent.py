"""A recurrent layer whose sums are layer-normalised, over whole sequences or part by part.

Ba, Kiros & Hinton 2016, "Layer Normalization", https://arxiv.org/abs/1607.06450, section 3.1 and
equations 20 to 22 of the supplement.
"""

from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.layers.initializers import LECUN_UNIFORM
from zoo.layers.norm import LayerNorm
from zoo.layers.wide import wide


class LSTMState(NamedTuple):
    """What a layer remembers of the steps that it has read.

    Attributes:
        cell: in at least float32.
        hidden: its last output.
    """

    cell: Float[Array, "b h"]
    hidden: Float[Array, "b h"]


class LayerNormLSTM(nn.Module):
    r"""Long short-term memory with three layer norms.

    .. math::
        (i, f, g, o) &= \mathrm{LN}(W_x x_t) + \mathrm{LN}(W_h h_{t-1}) \\
        c_t &= \sigma(f) \odot c_{t-1} + \sigma(i) \odot \tanh(g) \\
        h_t &= \sigma(o) \odot \tanh(\mathrm{LN}(c_t))

    The norms' shifts are the biases. In the paper \(c_t\) is carried on as it is; in PyTorch's
    benchmark (`benchmarks/fastrnns/custom_lstms.py`) \(\mathrm{LN}(c_t)\) is, which differs from
    the second step on.

    Attributes:
        features: channels H of the state and the output.
        carry: "raw" for the paper's, "normalised" for PyTorch's.
        dropout: probability of dropping a feature of the output, which is not what is carried on.
        dtype: dtype of the products and the output; sums of gates and cells are at least float32.
    """

    features: int
    carry: Literal["raw", "normalised"] = "raw"
    dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], state: LSTMState | None = None, *, train: bool
    ) -> tuple[LSTMState, Float[Array, "b l h"]]:
        """Reads sequences, and returns the state after them and the output of each step.

        Args:
            x: the sequences.
            state: that before their first step; zeros by default.
            train: applies dropout.
        """
        # For all steps at once: inside the scan it would be a small product each.
        gates = _map(4 * self.features, self.dtype, "input")(x)
        gates = LayerNorm(dtype=wide(self.dtype), name="input_norm")(gates)
        if state is None:  # zeros that lie on devices as the inputs do
            zeros = jnp.zeros_like(gates[:, 0, : self.features])
            state = LSTMState(zeros, zeros.astype(self.dtype))
        steps = nn.scan(
            _Step, variable_broadcast="params", split_rngs={"params": False}, in_axes=1, out_axes=1
        )
        state, y = steps(self.carry == "normalised", self.dtype, name="step")(state, gates)
        return state, nn.Dropout(self.dropout, deterministic=not train)(y)

    def begin(self, batch: int) -> LSTMState:
        """Before the first step."""
        shape = batch, self.features
        return LSTMState(jnp.zeros(shape, wide(self.dtype)), jnp.zeros(shape, self.dtype))


class _Step(nn.Module):
    """One step, given what it adds to the gates."""

    carries_normalised: bool
    dtype: Any

    @nn.compact
    def __call__(
        self, state: LSTMState, gates: Float[Array, "b g"]
    ) -> tuple[LSTMState, Float[Array, "b h"]]:
        features = state.cell.shape[-1]
        recurrent = _map(4 * features, self.dtype, "hidden")(state.hidden)
        gates = gates + LayerNorm(dtype=gates.dtype, name="hidden_norm")(recurrent)
        take, keep, new, give = jnp.split(gates, 4, axis=-1)
        cell = nn.sigmoid(keep) * state.cell + nn.sigmoid(take) * jnp.tanh(new)
        normalised = LayerNorm(dtype=cell.dtype, name="cell_norm")(cell)
        hidden = (nn.sigmoid(give) * jnp.tanh(normalised)).astype(self.dtype)
        return LSTMState(normalised if self.carries_normalised else cell, hidden), hidden


def _map(features: int, dtype: Any, name: str) -> nn.Dense:
    return nn.Dense(features, use_bias=False, kernel_init=LECUN_UNIFORM, dtype=dtype, name=name)
