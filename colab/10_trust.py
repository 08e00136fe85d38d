# %% [markdown]
# # How far can it be trusted?
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/jax-functional-zoo/jax-functional-zoo/blob/main/colab/10_trust.ipynb)
#
# Accuracy is one number, from one test set, on pictures that nobody tampered with. You will put an
# interval around it, see whether the network knows when it is wrong, mislead it with changes too
# small to see, and prove of some answers that no such change exists.

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
# Any weights for images, and a data set with their classes: a name, or a folder with one sub-folder
# per class.

# %%
DATASET = "zoo_digits"
WEIGHTS = "resnet8.digits"

# %%
from functools import partial

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from jax_functional_zoo import checkpoints, train, zoo
from train.honest import figures, report, smoothing

test = train.load_dataset(DATASET, train.evaluation_split(DATASET))
loaded = checkpoints.load(WEIGHTS, class_names=test.class_names)
answers = report.answered(loaded, test)
right = answers.logits.argmax(1) == answers.labels
wrong = np.flatnonzero(~right)
print(f"{right.mean():.1%} of {len(right)} right")

# %% [markdown]
# ## One number, and how far it might be off
#
# Another test set of this size would have given another number. Draw one from this one, with
# replacement, many times, and see how it varies: the bootstrap.

# %%
found = figures.bootstrap(figures.of_classes, answers, repeats=200)
shown = ["accuracy", "balanced_accuracy", "macro_f1"]
middle = np.array([found[n].value for n in shown])
reach = [middle - [found[n].low for n in shown], [found[n].high for n in shown] - middle]

figure, axes = plt.subplots(figsize=(5, 1.8), layout="constrained")
axes.errorbar(middle, shown, xerr=np.abs(reach), fmt="o", capsize=4)
axes.margins(y=0.3)
axes.invert_yaxis()
_ = axes.set(xlabel="95 % interval")
assert found["accuracy"].low <= right.mean() <= found["accuracy"].high

# %% [markdown]
# ## Does it know when it is wrong?
#
# If the network says 90 %, it should be right nine times in ten. Below the line it is too sure of
# itself, above it too modest, as networks are that were trained with smoothed labels.

# %%
sure = answers.probabilities.max(1)
curve = figures.calibration(sure, right)
figure, axes = plt.subplots(figsize=(3, 2.8), layout="constrained")
axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
axes.plot(curve.confidence, curve.accuracy, "o-")
_ = axes.set(xlabel="how sure", ylabel="how often right", title=f"error {curve.error:.3f}")

# %% [markdown]
# ## A change too small to see
#
# The gradient by the input says which way to change each pixel so that the loss grows. Twenty small
# steps of that kind, at most 0.1 of the range from black to white from where they began, are
# projected gradient descent (PGD).

# %%
count = min(100, len(test))
seen = jnp.stack([loaded.preprocess(test[i]["input"]) for i in range(count)])
labels = jnp.asarray(answers.labels[:count])
mean, std = (
    jnp.asarray(v).reshape(1, 1, 1, -1) for v in (loaded.preprocess.mean, loaded.preprocess.std)
)
raw = seen * std + mean


@jax.jit
def score(pixels):
    """(b, classes): what the network says of pixels from 0 to 1."""
    return loaded.model.apply(loaded.variables, (pixels - mean) / std, train=False)


def loss(pixels):
    """Cross-entropy of each example."""
    return train.softmax_cross_entropy(score(pixels), labels)


@jax.jit
def attacked(eps):
    """The worst that twenty steps find within `eps` of every pixel."""
    key = jax.random.key(0)
    return zoo.attack.pgd(loss, raw, key, eps=eps, step=eps / 8, steps=20, low=0.0, high=1.0)


fooled = attacked(0.1)
before, after = score(raw).argmax(-1), score(fooled).argmax(-1)
changed = np.flatnonzero((before == labels) & (after != labels))[:6]
assert float(jnp.abs(fooled - raw).max()) <= 0.1 + 1e-6
train.image_grid(
    [np.asarray(x[i]) for x in (raw, fooled) for i in changed],
    [test.class_names[k[i]] for k in (before, after) for i in changed],
)

# %% [markdown]
# ## By how much?
#
# Accuracy falls as the changes may grow. **An attack that fails proves nothing**: a network can
# hide its gradient. So two questions first: does an attack without any bound leave nothing right,
# and does the gradient do more than random noise of the same size?


# %%
def hits(pixels):
    """Accuracy on changed pixels."""
    return float((score(pixels).argmax(-1) == labels).mean())


sizes = np.array([0, 0.02, 0.05, 0.1, 0.15, 0.2])
worst = [hits(attacked(eps)) for eps in sizes]
noise = jax.random.choice(jax.random.key(1), jnp.array([-1.0, 1.0]), raw.shape)
noisy = [hits(jnp.clip(raw + eps * noise, 0, 1)) for eps in sizes]
unbounded = hits(attacked(1.0))
print(f"without a bound {unbounded:.0%} stay right")
assert unbounded == 0
assert worst[-1] < noisy[-1]

figure, axes = plt.subplots(figsize=(4.5, 2.6), layout="constrained")
axes.plot(sizes, noisy, "o-", label="random")
axes.plot(sizes, worst, "o-", label="PGD")
axes.legend()
_ = axes.set(xlabel="largest change of a pixel", ylabel="accuracy", ylim=(0, 1.05))

# %% [markdown]
# ## A proof instead of an attack
#
# Add noise to a picture a thousand times and count the answers. If one class wins clearly, no
# change within a certain Euclidean distance can take its lead, whatever the network is: the counts
# prove it, with an error of 0.1 %.

# %%
voting = partial(
    smoothing.votes, lambda x: score(x).argmax(-1), sigma=0.25, classes=answers.logits.shape[1]
)
votes = jax.jit(voting, static_argnames="count")
few = raw[:50]
places = jnp.arange(len(few))
chosen, counted = (
    np.asarray(votes(few, jax.random.key(n), places, count=count))
    for n, count in enumerate((100, 1000))
)
proof = smoothing.certificate(chosen, counted, sigma=0.25, alpha=0.001)
radii = np.linspace(0, 0.8, 50)
share = [proof.certified(answers.labels[:50], r).mean() for r in radii]

figure, axes = plt.subplots(figsize=(4.5, 2.4), layout="constrained")
axes.plot(radii, share)
_ = axes.set(xlabel="radius, Euclidean", ylabel="certified and right", ylim=(0, 1.05))
assert share[0] >= share[-1]

# %% [markdown]
# ## What to try next
#
# - `zoo train --recipe resnet8.digits --objective noise:sigma=0.25 --out runs/noisy`, and
#   `WEIGHTS = "runs/noisy"`: the last curve rises.
# - `--objective adversarial:eps=0.1` trains against the attack; how does the curve before change?
# - `zoo evaluate --weights ... --report figures --bootstrap 1000` writes all this for your data.
