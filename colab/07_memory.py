# %% [markdown]
# # Memory
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/jax-functional-zoo/jax-functional-zoo/blob/main/colab/07_memory.ipynb)
#
# A modern Hopfield network stores patterns and completes what it is shown. You will erase half of a
# picture and get it back, see the energy fall as it does, find out what its one number does, and
# look into a network that finds a nine among sixteen digits.

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
# Forty pictures of any data set are stored: a folder with one sub-folder per class, or a name of
# tensorflow-datasets.

# %%
DATASET = "zoo_digits"
STORED = 40

# %%
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from jax_functional_zoo import checkpoints, train
from zoo.hopfield import energy, retrieve

data = train.load_dataset(DATASET, "train")
SIDE = 8


def pattern(image):
    """A small grey version of an image as a vector of length 1, paper below zero, ink above."""
    grey = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).convert("L")
    x = np.asarray(grey.resize((SIDE, SIDE)), np.float32).reshape(-1)
    x = x - x.mean()
    return x / np.linalg.norm(x)


def shown(patterns):
    """Patterns as pictures between 0 and 1."""
    squares = np.asarray(patterns).reshape(-1, SIDE, SIDE)
    low, high = squares.min(axis=(1, 2), keepdims=True), squares.max(axis=(1, 2), keepdims=True)
    return (squares - low) / (high - low + 1e-9)


stored = jnp.stack([pattern(data[i]["input"]) for i in range(min(STORED, len(data)))])
train.image_grid(shown(stored[:16]))

# %% [markdown]
# ## Completing
#
# The lower half is erased. One update asks which stored patterns the state resembles, softly, and
# moves it to their mixture: $\xi \leftarrow X^\top \mathrm{softmax}(\beta X \xi)$. This is
# attention, with the patterns as keys and values; nothing is trained.

# %%
erased = stored.at[:, stored.shape[1] // 2 :].set(0)
completed = retrieve(stored, erased, beta=50.0, steps=5)
train.image_grid([*shown(erased[:8]), *shown(completed[:8]), *shown(stored[:8])])

# %%
recalled = (completed @ stored.T).argmax(axis=1)
right = int((recalled == jnp.arange(len(stored))).sum())
print(f"{right} of {len(stored)} are the one that was meant")
assert right >= 0.9 * len(stored) or DATASET != "zoo_digits"

# %% [markdown]
# ## Downhill
#
# Each state has an energy, and no update ever raises it: a stored pattern lies at the bottom of a
# valley, and an incomplete one rolls down into it.

# %%
steps = range(6)
path = np.stack([energy(stored, retrieve(stored, erased, 20.0, n), 20.0) for n in steps])
assert np.all(np.diff(path, axis=0) < 1e-5)
figure, axes = plt.subplots(figsize=(6, 2.6), layout="constrained")
axes.plot(path[:, :12], "o-", markersize=3)
_ = axes.set(xlabel="updates", ylabel="energy")

# %% [markdown]
# ## The one number: β
#
# A large β recalls the single nearest pattern. With a small one a state settles in between: in the
# mean of a group of patterns that resemble each other, and at last in the mean of all.

# %%
betas = (1.0, 5.0, 10.0, 20.0, 50.0)
states = {beta: retrieve(stored, erased[:8], beta, steps=50) for beta in betas}
train.image_grid(np.concatenate([shown(x) for x in states.values()]))

# %%
figure, axes = plt.subplots(figsize=(6, 2.6), layout="constrained")
for beta, x in states.items():
    weights = np.sort(jax.nn.softmax(beta * x @ stored.T), axis=1)[:, ::-1].mean(axis=0)
    axes.plot(weights, label=f"β = {beta:g}")
axes.set(xlabel="stored patterns, nearest first", ylabel="share of the answer")
_ = axes.legend()

# %% [markdown]
# ## Inside a trained network: bags
#
# `hopfield_mil_nano.digit_bags` sees up to sixteen digits at once and says whether a nine is among
# them. It was told only that, for whole bags, never which digit is the nine. Its memory asks each
# digit a learned question; the answer is how much it attends to it.

# %%
bags = train.load_dataset("zoo_digit_bags", "test")
loaded = checkpoints.load("hopfield_mil_nano.digit_bags")
chosen = [i for i in range(20) if bags[i]["label"] == 1][:4]
sheets = jnp.stack([loaded.preprocess(bags[i]["input"]) for i in chosen])
logits = loaded.model.apply(loaded.variables, sheets, train=False)
found = loaded.model.apply(loaded.variables, sheets, method="associations")
print("probability that there is a nine:", np.round(jax.nn.softmax(logits)[:, 1], 2))
attention = np.asarray(found).mean(axis=(1, 2))  # over heads and questions: (bags, instances)
np.testing.assert_allclose(attention.sum(axis=1), 1, rtol=1e-3)

figure, panels = plt.subplots(1, 4, figsize=(10, 2.8), layout="constrained")
for axes, i, weights in zip(panels, chosen, attention, strict=True):
    sheet = bags[i]["input"][..., 0] / 255
    spotlight = np.kron(weights.reshape(4, 4) / weights.max(), np.ones((8, 8)))
    axes.imshow(np.stack([sheet, sheet * (1 - spotlight), sheet * (1 - spotlight)], axis=-1))
    axes.set_axis_off()
_ = figure.suptitle("red is where it looks")

# %% [markdown]
# ## What to try next
#
# - Store 400 patterns instead of 40: how many come back, and with which β?
# - Erase at random instead of the lower half, or add noise.
# - `zoo.hopfield` has the layers for networks of your own: `Hopfield` relates two sets,
#   `HopfieldPooling` makes one vector of a set, `HopfieldLayer` looks things up.
