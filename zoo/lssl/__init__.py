"""LSSL: a deep network of linear state-space layers for long sequences.

Gu, Johnson, Goel, Saab, Dao, Rudra & Ré, "Combining Recurrent, Convolutional, and Continuous-time
Models with Linear State-Space Layers", 2021, https://arxiv.org/abs/2110.13985. Each block adds what
a layer makes of the normalised sequence; the mean over time, or the last step, goes to the head.
An image is read as a sequence of its pixels, row by row; sequences are (batch, length, channels).

In reading order:

- `zoo.layers.hippo`: the systems that remember a signal; `transition`: trainable forms of them,
  one of which solves with a `tridiagonal` matrix;
- `discretization`: from a system in time to a recurrence; `state_space`: its kernel and its steps;
- `fft_convolution`: the kernel and a long sequence; `parameters`: what a layer learns;
- `linear_state_space`: the layer itself, in its three forms;
- `block`: one block; `zoo.layers.sequences`: what becomes of its output over time;
- `network`: a stack of them, over whole sequences or step by step;
- `variants`: the paper's networks.
"""

from zoo.layers.sequences import POOLS, POOLS_TO_LENGTH, Lengths
from zoo.lssl.block import Block
from zoo.lssl.linear_state_space import LinearStateSpace, System
from zoo.lssl.network import LSSL, Stream
from zoo.lssl.transition import Transition
from zoo.lssl.variants import (
    lssl_bidmc,
    lssl_bidmc_f,
    lssl_nano,
    lssl_pmnist,
    lssl_pmnist_f,
    lssl_scifar,
    lssl_scifar_f,
    lssl_smnist,
    lssl_smnist_f,
    lssl_speech,
    lssl_speech_f,
)

__all__ = [
    "LSSL",
    "POOLS",
    "POOLS_TO_LENGTH",
    "Block",
    "Lengths",
    "LinearStateSpace",
    "Stream",
    "System",
    "Transition",
    "lssl_bidmc",
    "lssl_bidmc_f",
    "lssl_nano",
    "lssl_pmnist",
    "lssl_pmnist_f",
    "lssl_scifar",
    "lssl_scifar_f",
    "lssl_smnist",
    "lssl_smnist_f",
    "lssl_speech",
    "lssl_speech_f",
]
