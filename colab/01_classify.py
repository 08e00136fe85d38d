# %% [markdown]
# # Classify images with pretrained weights
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/jax-functional-zoo/jax-functional-zoo/blob/main/colab/01_classify.ipynb)
#
# You will load pretrained weights by name, read what their card says, classify images, and use the
# same network to find images that look alike. It takes a minute on a CPU, and needs neither
# TensorFlow nor PyTorch.

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
if importlib.util.find_spec("zoo") is None:
    extra = "[cuda]" if gpu else "[tpu]" if tpu else ""
    package = f"jax-functional-zoo{extra} @ git+{REPOSITORY}"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", package], check=True)

homes = {n: Path(importlib.util.find_spec(n).origin) for n in ("zoo", "checkpoints", "train")}
for name, file in homes.items():
    if file.parents[1] != homes["zoo"].parents[1]:
        print(f"{file} hides the package {name!r}: rename it and restart the runtime.")

import jax

jax.config.update("jax_num_cpu_devices", VIRTUAL_DEVICES)
print(jax.devices())
if (gpu or tpu) and jax.default_backend() == "cpu":
    print("This runtime has an accelerator that JAX does not see: restart it and run this again.")

# %% [markdown]
# ## One switch
#
# The weights that ship with the package read handwritten digits, so everything below works offline.
# Put `resnet50.a1_in1k` there, or any other name of `zoo weights`, to see ImageNet's 1000 classes
# in pieces of two photographs instead.

# %%
WEIGHTS = "resnet8.digits"

# %%
import matplotlib.pyplot as plt
import numpy as np

import checkpoints
import train

loaded = checkpoints.load(WEIGHTS)
card = loaded.card
print(f"{card.name}: {card.parameters:,} parameters, {card.num_classes} classes")
print(f"trained on {card.trained_on}, licence {card.license}")
print(f"reported: {card.metrics}")

# %% [markdown]
# A **card** travels with every set of weights: where they come from, their licence, what they were
# trained on, how accurate they are, and how an image has to be prepared. A fact that no source
# states is `None`.
#
# ## Images
#
# Digits come from the test split of a data set, which the network has not seen. Photographs are
# scikit-learn's two samples, cut into pieces, so that there is more than one of each.


# %%
def pieces_of_photographs():
    """Twelve overlapping squares of each photograph: images, and which photograph they are of."""
    from sklearn.datasets import load_sample_images

    photographs = load_sample_images().images
    corners = [(y, x) for y in (0, 100, 200) for x in (0, 130, 260, 390)]
    images = [p[y : y + 227, x : x + 250] for p in photographs for y, x in corners]
    return images, [i for i in range(len(photographs)) for _ in corners]


def digits():
    """The test split of the digits: images and labels."""
    data = train.load_dataset("zoo_digits", split="test")
    examples = [data[i] for i in range(len(data))]
    return [e["image"] for e in examples], [e["label"] for e in examples]


images, labels = digits() if WEIGHTS.endswith("digits") else pieces_of_photographs()
train.image_grid(images[:16])

# %% [markdown]
# ## Five guesses
#
# `train.predict` takes images of any size. It prepares them as the card says, and gives one
# probability per class.

# %%
probabilities = train.predict(loaded.model, loaded.variables, images, preprocess=loaded.preprocess)
names = np.array(card.class_names or [f"class {k}" for k in range(card.num_classes)])
best = np.argsort(-probabilities, axis=1)[:, :5]
assert np.allclose(probabilities.sum(1), 1, atol=1e-4)
train.image_grid(
    images[:16], [f"{names[best[i, 0]]}  {probabilities[i, best[i, 0]]:.0%}" for i in range(16)]
)

# %% [markdown]
# Which image is it least sure of? Here are its five guesses.

# %%
i = int(np.argmin(probabilities.max(1)))
figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.4), layout="constrained")
left.imshow(images[i], cmap="gray")
left.set_axis_off()
right.barh(names[best[i]], probabilities[i, best[i]])
right.invert_yaxis()
_ = right.set(xlabel="probability", xlim=(0, 1), title="the least certain image")

# %% [markdown]
# ## What the network sees
#
# The preparation belongs to the weights: get it wrong and accuracy drops without a word. This one
# resizes, crops and normalises as the card says.

# %%
print(loaded.preprocess)
seen = loaded.preprocess(images[i])
print(f"{images[i].shape} {images[i].dtype} becomes {seen.shape} {seen.dtype}")
print(f"with values from {seen.min():.2f} to {seen.max():.2f}")
scaled = (seen - seen.min()) / (seen.max() - seen.min())
train.image_grid([images[i], scaled], ["the image", "what goes in"])

# %% [markdown]
# ## Inside: a pyramid of features
#
# A model is a pair of pure functions, and `features` is one more: it returns what every stage of
# the network computed. Early stages are sharp and simple, later ones coarse and meaningful.

# %%
batch = np.stack([loaded.preprocess(image) for image in images])
features = jax.jit(
    lambda variables, x: loaded.model.apply(variables, x, train=False, method="features")
)
pyramid = features(loaded.variables, batch[i : i + 1])
print({name: stage.shape for name, stage in pyramid.items()})
maps = {n: np.linalg.norm(stage[0], axis=-1) for n, stage in pyramid.items() if n != "pooled"}
order = sorted(maps, key=lambda name: (name != "stem", name))
train.image_grid([scaled, *[maps[n] / maps[n].max() for n in order]], ["input", *order])

# %% [markdown]
# ## Images that look alike
#
# The entry `pooled` describes a whole image in one vector. Images whose vectors point the
# same way look alike to the network: no training needed.

# %%
vectors = np.concatenate([features(loaded.variables, x[None])["pooled"] for x in batch])
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
similarity = vectors @ vectors.T
np.fill_diagonal(similarity, -1)
neighbours = np.argsort(-similarity, axis=1)[:, :7]
shown, captions = [], []
for query in (0, 5, len(images) // 2):
    shown += [query, *neighbours[query]]
    captions += ["the query", *(f"{similarity[query, j]:.2f}" for j in neighbours[query])]
train.image_grid([images[j] for j in shown], captions)

# %% [markdown]
# How often is the nearest neighbour of the same kind? The network was never asked to do this.

# %%
same = np.mean(np.array(labels)[neighbours[:, 0]] == np.array(labels))
print(f"the nearest neighbour is of the same kind for {same:.1%} of {len(images)} images")
assert same > 0.9

# %% [markdown]
# ## What to try next
#
# - `zoo weights "resnet50.*"` in a terminal lists published weights with licence and accuracy;
#   `zoo predict --weights NAME IMAGE...` does the above without Python.
# - Load the same weights for classes of your own, `checkpoints.load(WEIGHTS, num_classes=3)`: the
#   head is new, and `loaded.fresh` says so. The next notebook trains it.
# - Feed `pooled` to a logistic regression of scikit-learn: often all that a small data set needs.
