# %% [markdown]
# # Pure functions
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/jax-functional-zoo/jax-functional-zoo/blob/main/colab/04_functions.ipynb)
#
# A model here is a pair of pure functions, so JAX's transformations work on it as on any other: you
# will see a path between two networks by `vmap`, what a pixel means by `grad`, which examples pull
# hardest by both together, and how sharp a minimum is by a derivative of a derivative.

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
# Two sets of weights of one architecture, and any data set that both can read: a folder with one
# sub-folder per class, or a name of tensorflow-datasets.

# %%
DATASET = "zoo_digits"
WEIGHTS = "resnet8.digits"
OTHERS = "resnet8.rendered_digits"

# %%
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

from jax_functional_zoo import checkpoints, train

test = train.load_dataset(DATASET, train.evaluation_split(DATASET))
loaded, others = (checkpoints.load(n, class_names=test.class_names) for n in (WEIGHTS, OTHERS))
examples = [test[i] for i in range(min(len(test), 64))]
images = jnp.stack([loaded.preprocess(e["input"]) for e in examples])
labels = jnp.array([e["label"] for e in examples])
train.image_grid([e["input"] for e in examples[:16]])

# %% [markdown]
# ## A model is a function of its weights
#
# Nothing is stored in `loaded.model`: it says how to compute, the weights go in as an argument.
# `jit` compiles such a function; the result is the same.


# %%
def logits_of(variables, images):
    """(b, classes): what a network with these weights says."""
    return loaded.model.apply(variables, images, train=False)


fast = jax.jit(logits_of)
np.testing.assert_allclose(
    fast(loaded.variables, images[:4]), logits_of(loaded.variables, images[:4]), atol=1e-4
)
print(fast(loaded.variables, images).shape)

# %% [markdown]
# ## From one network to another: `vmap` over weights
#
# Two networks of one architecture were trained on handwritten and on printed digits. Half-way
# between them is a network too. `vmap` runs twenty-one networks at once, without a loop.

# %%
ends = loaded.variables, others.variables
shares = jnp.linspace(0, 1, 21)
between = jax.vmap(lambda t: jax.tree.map(lambda a, b: (1 - t) * a + t * b, *ends))(shares)
logits = jax.jit(jax.vmap(logits_of, in_axes=(0, None)))(between, images)
accuracy = (logits.argmax(-1) == labels).mean(-1)
print(f"{accuracy[0]:.1%} at one end, {accuracy[10]:.1%} half-way, {accuracy[-1]:.1%} at the other")
assert logits.shape[:2] == (21, len(images))

figure, axes = plt.subplots(figsize=(5, 2.6), layout="constrained")
axes.plot(shares, accuracy, "o-")
_ = axes.set(xlabel="share of the other network", ylabel="accuracy", ylim=(0, 1.05))

# %% [markdown]
# ## What a pixel means: the gradient of the input
#
# `grad` by the weights trains a network; by the image it says which pixels would change the
# answer. Bright is where a small change matters most.


# %%
def score(image, label):
    """The logit of one class for one image."""
    return logits_of(loaded.variables, image[None])[0, label]


by_pixel = jax.jit(jax.vmap(jax.grad(score)))(images[:8], labels[:8])
maps = np.abs(by_pixel).sum(-1)
maps /= maps.max(axis=(1, 2), keepdims=True)
train.image_grid([*(e["input"] for e in examples[:8]), *maps])

# %% [markdown]
# ## Which example pulls hardest: a gradient for each
#
# Training sums gradients over a batch. `vmap` of `grad` keeps them apart, which other frameworks
# need a loop or a hook for. Examples with a large gradient are the ones that the network has not
# understood, or whose label is wrong.


# %%
def loss(params, image, label):
    """Cross-entropy of one example."""
    logits = logits_of({**loaded.variables, "params": params}, image[None])
    return optax.softmax_cross_entropy_with_integer_labels(logits[0], label)


params = loaded.variables["params"]
each = jax.jit(jax.vmap(jax.grad(loss), in_axes=(None, 0, 0)))(params, images, labels)
norms = np.sqrt(sum(jnp.square(g).reshape(len(g), -1).sum(1) for g in jax.tree.leaves(each)))
order = np.argsort(norms)
chosen = [*order[::-1][:8], *order[:8]]
train.image_grid(
    [examples[i]["input"] for i in chosen],
    [f"{test.class_names[labels[i]]:.8}, {norms[i]:.2g}" for i in chosen],
)

# %% [markdown]
# The first row pulls hardest, the second hardly at all. Their mean is the gradient of the batch:


# %%
def mean_loss(params):
    """Of the whole batch."""
    return jax.vmap(loss, in_axes=(None, 0, 0))(params, images, labels).mean()


whole = jax.jit(jax.grad(mean_loss))(params)
for a, b in zip(jax.tree.leaves(each), jax.tree.leaves(whole), strict=True):
    np.testing.assert_allclose(a.mean(0), b, atol=1e-4)

# %% [markdown]
# ## How sharp is the minimum: a Hessian-vector product
#
# The Hessian of 75,002 parameters has five thousand million entries. Its product with a vector
# needs none of them: it is the derivative of the gradient along that vector, `jvp` of `grad`.
# Repeated, it turns any vector towards the direction of the largest curvature.


# %%
@jax.jit
def sharpen(vector):
    """One step of the power method: the curvature along a vector, and the next vector."""
    _, product = jax.jvp(jax.grad(mean_loss), (params,), (vector,))
    norm = optax.tree.norm(product)
    return norm, jax.tree.map(lambda leaf: leaf / norm, product)


vector = optax.tree.random_like(jax.random.key(0), params)
vector = jax.tree.map(lambda leaf: leaf / optax.tree.norm(vector), vector)
curvatures = []
for _ in range(20):
    curvature, vector = sharpen(vector)
    curvatures.append(float(curvature))
print(f"largest curvature {curvatures[-1]:.1f}")
assert curvatures[-1] > curvatures[0]

figure, axes = plt.subplots(figsize=(5, 2.6), layout="constrained")
axes.plot(curvatures, "o-")
_ = axes.set(xlabel="step of the power method", ylabel="curvature", ylim=(0, None))

# %% [markdown]
# ## What to try next
#
# - Other weights of one architecture at the two ends: where does the path break down?
# - Sort the *training* images by their gradients and look at the labels of the first twenty.
# - `train.fit(train.Config(..., objective=(train.config.Call("sharpness_aware"),)))` trains
#   towards flat minima: what does the last cell say then?
