# %% [markdown]
# # Sequences
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/jax-functional-zoo/jax-functional-zoo/blob/main/colab/06_sequences.ipynb)
#
# A linear state-space layer is a convolution and a recurrence at the same time: it trains like the
# first and runs on a stream like the second. You will see what its state remembers, both forms give
# the same outputs, and a network make up its mind pixel by pixel.

# %%
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = "https://github.com/jax-functional-zoo/jax-functional-zoo"
VIRTUAL_DEVICES = 1  # as many as the CPU pretends to be

gpu = shutil.which("nvidia-smi") is not None
tpu = not gpu and any([*Path("/dev").glob("accel*"), *Path("/dev").glob("vfio/[0-9]*")])
extra = "[samples,cuda]" if gpu else "[samples,tpu]" if tpu else "[samples]"
distribution = f"jax-functional-zoo{extra} @ git+{REPOSITORY}"
if importlib.util.find_spec("jax_functional_zoo") is None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", distribution], check=True)
    importlib.invalidate_caches()

import jax

jax.config.update("jax_num_cpu_devices", VIRTUAL_DEVICES)
print(jax.devices())
if (gpu or tpu) and jax.default_backend() == "cpu":
    print("JAX does not see this runtime's accelerator. Restart the runtime and run this again; if")
    print(f"that does not help, run: pip install '{distribution}'")

# %% [markdown]
# ## One switch
#
# The weights read any picture as a series of 64 grey pixels; give a folder of yours, with one
# sub-folder per class, and see what they take it for.

# %%
DATASET = "zoo_digits"
WEIGHTS = "lssl_nano.digits"

# %% [markdown]
# ## A state that remembers: HiPPO
#
# A signal $u$ comes in, one sample after the other. The state $x$ follows $x' = Ax + Bu$, and the
# matrix $A$ is chosen so that $x$ holds the coefficients of the *whole past* in Legendre
# polynomials: `zoo.layers.hippo` builds it. Sixteen numbers, and the past comes back from them.

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy.special import eval_legendre

from zoo.layers import hippo


def remember(signal, size):
    """The state after each sample of a signal, (steps, size)."""
    matrix, column = hippo.legs(size)
    identity, x, states = np.eye(size), np.zeros(size), []
    for k, u in enumerate(signal, start=1):
        half = matrix / (2 * k)  # of a step that is 1 / k of the past until now
        x = np.linalg.solve(identity - half, (identity + half) @ x + column * u / k)
        states.append(x)
    return np.array(states)


def recall(state, places):
    """The past at places from 0 (first sample) to 1 (now), out of a state."""
    n = np.arange(len(state))
    return (np.sqrt(2 * n + 1) * state) @ eval_legendre(n[:, None], 2 * places - 1)


times = np.linspace(0, 1, 1000)
signal = np.sin(9 * times) + 0.5 * np.sin(23 * times + 1)
figure, axes = plt.subplots(figsize=(8, 2.6), layout="constrained")
axes.plot(times, signal, "k", linewidth=3, alpha=0.3, label="signal")
for size in (4, 8, 16):
    found = recall(remember(signal, size)[-1], times)
    axes.plot(times, found, linewidth=1, label=f"from {size} numbers")
axes.set(xlabel="time", ylim=(-2.2, 2.2))
_ = axes.legend(ncols=4, loc="lower center")
assert np.abs(found - signal)[20:-20].max() < 0.1

# %% [markdown]
# ## Digits as series
#
# A picture of 8 × 8 pixels, read row by row, is a series of 64 numbers.

# %%
import jax.numpy as jnp

from jax_functional_zoo import checkpoints, train

loaded = checkpoints.load(WEIGHTS)
model, variables = loaded.model, loaded.variables
test = train.load_dataset(DATASET, train.evaluation_split(DATASET))
examples = [test[i] for i in range(min(len(test), 64))]
series = jnp.stack([loaded.preprocess(e["input"]) for e in examples])
series = series.reshape(len(series), -1, 1)  # (batch, length, channels)
train.image_grid([e["input"] for e in examples[:8]])

# %%
figure, axes = plt.subplots(figsize=(8, 2.2), layout="constrained")
axes.plot(series[0, :, 0], drawstyle="steps-mid")
_ = axes.set(xlabel="pixel", title=f"the first one, of shape {series.shape[1:]}")

# %% [markdown]
# ## As a convolution
#
# In training the layer is a convolution with a kernel as long as the series: all steps at once, by
# Fourier transforms. Each feature has a kernel of its own, some short, some with a long memory.

# %%
from zoo.lssl.linear_state_space import LinearStateSpace

layer = LinearStateSpace(width=6, state_size=32, dt_range=(0.01, 0.5), dt_spacing="even")
u = jax.random.normal(jax.random.key(1), (1, 64, 6))
weights = layer.init(jax.random.key(0), u, train=False)
kernels = layer.apply(weights, 64, method="kernel")[:, 0]
figure, axes = plt.subplots(figsize=(8, 2.4), layout="constrained")
axes.plot(kernels.T / np.abs(kernels).max(axis=1))
_ = axes.set(xlabel="steps back", title="kernels of six features, each to its own scale")

# %% [markdown]
# ## As a recurrence
#
# On a stream the same weights are a recurrence with a state of fixed size: what comes next costs
# the same after ten steps and after ten million. Both forms of the whole network agree:

# %%
whole = model.apply(variables, series[:4], train=False)
systems = model.apply(variables, method="systems")  # every block's recurrence, computed once
step = jax.jit(lambda stream, u: model.apply(variables, systems, stream, u, method="step"))
stream, said = model.apply(variables, 4, method="begin"), []
for t in range(series.shape[1]):
    stream, logits = step(stream, series[:4, t])
    said.append(jax.nn.softmax(logits))
said = np.array(said)  # (steps, batch, classes)
np.testing.assert_allclose(logits, whole, rtol=1e-3, atol=1e-3)
print(f"largest difference {np.abs(logits - whole).max():.1e} of logits up to", end=" ")
print(f"{np.abs(whole).max():.1f}")

# %% [markdown]
# ## Making up its mind
#
# The probability of each class while the pixels come in. Early on any digit is possible; the lower
# half decides.

# %%
figure, panels = plt.subplots(1, 4, figsize=(11, 2.6), layout="constrained", sharey=True)
for i, axes in enumerate(panels):
    image = axes.imshow(said[:, i].T, aspect="auto", vmin=0, vmax=1, cmap="magma")
    label = test.class_names[examples[i]["label"]]
    axes.set(title=f"{label:.12}", xlabel="pixels seen", yticks=range(said.shape[2]))
panels[0].set(ylabel="class")
_ = figure.colorbar(image, label="probability")

# %% [markdown]
# ## The code in reading order
#
# `zoo/layers/hippo.py` has the matrices; `zoo/lssl/discretization.py` makes steps of them;
# `zoo/lssl/linear_state_space.py` is the layer, with the kernel and the recurrence side by side;
# `zoo/lssl/block.py` and `zoo/lssl/network.py` stack it. Each fits on a few screens.

# %% [markdown]
# ## What to try next
#
# - `remember(signal, 16)` with a signal that jumps: what is lost first?
# - `zoo train --model lssl_nano --dataset FOLDER` with a folder of arrays of yours
#   (`train/inputs.npy`, `train/targets.npy`).
# - `zoo train --recipe lssl_smnist`, the paper's MNIST pixel by pixel, on a GPU or TPU.
