# %% [markdown]
# # The families
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/jax-functional-zoo/jax-functional-zoo/blob/main/colab/05_families.ipynb)
#
# Every family of networks is one idea. Here is one picture of each: what a shortcut saves, windows
# side by side, cells that are data, three factors of one scale, words within patches, the same
# weights again. Each picture is drawn from the networks themselves. About a minute on a CPU.

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
# The path of a photograph of yours; `None` takes scikit-learn's.

# %%
PICTURE = None

# %% [markdown]
# ## All of them
#
# The catalogue knows the exact number of parameters of every architecture, and what one image
# costs. How far apart can two networks of the same size be?

# %%
import matplotlib.pyplot as plt
import numpy as np

import zoo

infos = [zoo.model_info(name) for name in zoo.list_models()]
infos = [info for info in infos if info.reads == "image"]
families = sorted({info.family for info in infos})
figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
for n, family in enumerate(families):
    points = [(i.parameters / 1e6, i.gmacs) for i in infos if i.family == family]
    axes.scatter(*zip(*points, strict=True), s=18, color=f"C{n}", label=family)
axes.set(xscale="log", yscale="log", xlabel="million parameters", ylabel="GMACs of an image")
axes.legend(ncols=2, fontsize=8)
costs = [info.gmacs for info in infos if 20e6 < info.parameters < 30e6]
print(f"{len(costs)} have 20 to 30 million parameters; one image costs", end=" ")
print(f"from {min(costs):.2f} to {max(costs):.0f} GMACs")
assert max(costs) > 5 * min(costs)

# %% [markdown]
# ## ResNet: a block only adds
#
# A block computes $x + f(x)$. So it can be left out, and the network still answers. In a plain
# column of convolutions (SimpleNet) each layer needs the one before it. Here every block that keeps
# the shape of its input is left out in turn: what it gets is handed on as it is.

# %%
import re

import flax.linen as nn

from jax_functional_zoo import checkpoints, train

test = train.load_dataset("zoo_digits", "test[:120]")
labels = np.array([test[i]["label"] for i in range(len(test))])


def accuracy(loaded, left_out=None, seen=None):
    """Of weights for digits, with a block left out; adds blocks that can be to `seen`."""

    def intercept(call, args, options, context):
        y, name = call(*args, **options), str(context.module.name)
        if not re.fullmatch(r"stage\d_block\d", name) or args[0].shape != y.shape:
            return y
        if seen is not None:
            seen.append(name)
        return args[0] if name == left_out else y

    batch = np.stack([loaded.preprocess(test[i]["input"]) for i in range(len(test))])
    with nn.intercept_methods(intercept):
        logits = loaded.model.apply(loaded.variables, batch, train=False)
    return float(np.mean(logits.argmax(axis=1) == labels))


# %%
kept = {}
figure, panels = plt.subplots(1, 2, figsize=(9, 3), sharey=True, layout="constrained")
for axes, name in zip(panels, ("resnet20.digits", "simplenet_nano.digits"), strict=True):
    loaded, blocks = checkpoints.load(name), []
    whole = accuracy(loaded, seen=blocks)
    kept[name] = [accuracy(loaded, block) for block in blocks]
    axes.bar(blocks, kept[name])
    axes.axhline(whole, color="grey", linestyle=":", label="nothing left out")
    axes.set(title=name, ylabel="accuracy", ylim=(0, 1.05))
    axes.tick_params(axis="x", rotation=70)
panels[0].legend(loc="lower left")
resnet, simplenet = (np.median(shares) for shares in kept.values())
print(f"without one block: ResNet {resnet:.0%}, SimpleNet {simplenet:.0%} (medians)")
assert resnet > simplenet + 0.2

# %% [markdown]
# ## Inception: windows side by side
#
# How large is what matters in a picture? Inception does not choose. A block is four branches with
# windows of different sizes, and what they find is put side by side. The network's own description
# of its first block, bars as wide as it has channels:

# %%
from zoo.inception.googlenet import GOOGLENET

block = next(op for _, layers in GOOGLENET for name, op in layers if name == "inception3a")
figure, axes = plt.subplots(figsize=(8, 2.8), layout="constrained")
for column, branch in enumerate(block.branches):
    for row, op in enumerate(branch.ops):
        size = op.kernel[0] if hasattr(op, "kernel") else op.window
        width = getattr(op, "features", 192) / 200  # a pool keeps the 192 channels of the input
        axes.barh(row, width, left=column + 0.5 - width / 2, height=0.5, color=f"C{column}")
        kind = "conv" if hasattr(op, "kernel") else f"{op.kind} pool"
        axes.text(column + 0.5, row + 0.4, f"{size}x{size} {kind}", ha="center", fontsize=8)
axes.set(xticks=[], yticks=[0, 1], yticklabels=["first", "then"], ylim=(1.7, -0.5), xlim=(0, 4))
channels = [branch.ops[-1].features for branch in block.branches]
print("channels side by side:", " + ".join(map(str, channels)), "=", sum(channels))
assert sum(channels) == 256

# %% [markdown]
# ## NASNet: cells are data
#
# NASNet's cells were found by a search. Here a cell is what the search found: a list of blocks,
# each two operations on earlier results. Below are the published cells, and one drawn at random
# from the same space. Results 0 and 1 are the last cell's and the one's before.

# %%
from zoo.nasnet.genotype import NASNET_A, random_genotype


def places(cell):
    """Where to draw each result, (x, y): right of those that it is made of."""
    place, column = {0: (0, 0.6), 1: (0, -0.6)}, {}
    for state, block in enumerate(cell.blocks, start=2):
        x = 1 + max(place[block.left.state][0], place[block.right.state][0])
        column[x] = column.get(x, 0) + 1
        place[state] = x, (column[x] // 2) * (-1) ** column[x]
    return place


def draw(axes, cell, title):
    """A cell from left to right; what is put side by side at its end is gold."""
    place, text = places(cell), {0: "0: last cell", 1: "1: cell before"}
    for state, (left, right, combine) in enumerate(cell.blocks, start=2):
        made = (f"{edge.operation} of {edge.state}" for edge in (left, right))
        text[state] = f"{state}: " + f"\n{combine} ".join(made)
        for edge in (left, right):
            axes.plot(*zip(place[edge.state], place[state], strict=True), color="C0", linewidth=1)
    for state, (x, y) in place.items():
        box = {"facecolor": "gold" if state in cell.outputs else "white", "boxstyle": "round"}
        axes.text(x, y, text[state], bbox=box, fontsize=7, ha="center", va="center")
    axes.set(xlim=(-0.4, 0.4 + max(place.values())[0]), ylim=(-2.6, 2.6), title=title)
    axes.set_axis_off()


# %%
import jax

drawn = random_genotype(jax.random.key(1))
figure, panels = plt.subplots(3, 1, figsize=(8.5, 9), layout="constrained")
draw(panels[0], NASNET_A.normal, "NASNet-A, the cell that keeps the size")
draw(panels[1], NASNET_A.reduction, "NASNet-A, the cell that halves it")
draw(panels[2], drawn.normal, "a cell drawn at random")

image = jax.ShapeDtypeStruct((1, 32, 32, 3), "float32")


def sizes(model, image=image):
    """Shapes of a network's variables, without running anything."""
    return jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), image)


def count(model):
    """Parameters of a network of small images."""
    return sum(leaf.size for leaf in jax.tree.leaves(sizes(model)["params"]))


published, random = (count(zoo.create_model("nasnet_nano", genotype=g)) for g in (NASNET_A, drawn))
print(f"a network of the published cells has {published:,} parameters, of the others {random:,}")
assert published != random

# %% [markdown]
# ## EfficientNet: one factor for three things
#
# A network can be made wider, deeper, or see larger images. From B0 to B7 all three grow together,
# so that none is the bottleneck.

# %%
names = [f"efficientnet_b{n}" for n in range(8)]
networks = [zoo.create_model(name) for name in names]
costs = np.array([zoo.model_info(name).gmacs for name in names])
grown = {
    "width": [network.width for network in networks],
    "depth": [network.depth for network in networks],
    "side of the image / 224": [zoo.model_info(name).image_size / 224 for name in names],
}
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
for label, factors in grown.items():
    assert all(np.diff(factors) >= 0)
    axes.plot(costs, factors, "o-", label=label)
axes.set(xscale="log", xlabel="GMACs of an image", ylabel="times B0")
_ = axes.legend()

# %% [markdown]
# ## TNT: a transformer in a transformer
#
# A picture is cut into patches, its words; each patch is cut again, into letters. An inner
# transformer lets the letters of one patch look at each other, an outer one the patches.

# %%
from PIL import Image
from sklearn.datasets import load_sample_images

photograph = Image.open(PICTURE) if PICTURE else Image.fromarray(load_sample_images().images[1])
photograph = photograph.convert("RGB").resize((224, 224))
shapes = sizes(
    zoo.create_model("tnt_s_patch16_224"), jax.ShapeDtypeStruct((1, 224, 224, 3), "float32")
)
patches = shapes["params"]["patch_positions"].shape[1] - 1  # one is the class token's
letters = int(np.prod(shapes["params"]["pixel_positions"].shape[1:3]))
side, part = 224 / patches**0.5, 224 / (patches * letters) ** 0.5
figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3.6), layout="constrained")
left.imshow(photograph)
left.set(xticks=np.arange(0, 224, side) - 0.5, yticks=np.arange(0, 224, side) - 0.5)
left.grid(color="white", linewidth=0.7)
left.set_title(f"{patches} patches")
right.imshow(photograph.crop((96, 96, 96 + int(side), 96 + int(side))))
right.set(xticks=np.arange(0, side, part) - 0.5, yticks=np.arange(0, side, part) - 0.5)
right.grid(color="white", linewidth=2)
right.set_title(f"one of them: {letters} letters")
for axes in (left, right):
    axes.tick_params(labelbottom=False, labelleft=False, length=0)
assert (patches, letters) == (14 * 14, 4 * 4)

# %% [markdown]
# ## SReT: the same weights again
#
# Depth costs parameters, unless a block is used again. SReT passes through each of its blocks
# twice; only a small map between passes is new. What do more passes cost?

# %%
from zoo.cost import count_macs

passes = (1, 2, 3)
networks = [zoo.create_model("sret_nano", recursions=(n, n, n)) for n in passes]
parameters = np.array([count(network) for network in networks])
costs = np.array([count_macs(network, (32, 32, 3)) for network in networks])
figure, axes = plt.subplots(figsize=(6, 2.8), layout="constrained")
axes.bar(np.array(passes) - 0.2, costs / costs[0], 0.4, label="multiply-adds")
axes.bar(np.array(passes) + 0.2, parameters / parameters[0], 0.4, label="parameters")
axes.set(xticks=passes, xlabel="passes through each block", ylabel="times those of one pass")
_ = axes.legend()
growth = costs[2] / costs[0], parameters[2] / parameters[0]
print(f"three passes: {growth[0]:.2f} times the work, {growth[1]:.2f} times the parameters")
assert growth[0] > growth[1]

# %% [markdown]
# ## Pyramids
#
# Whatever the idea, every network of images has a method `features`: what each stage found.
# Convolutional families make maps smaller and smaller; TNT keeps all its patches to the end. Bright
# is where a stage is most active.

# %%
digit, maps, captions = test[4]["input"], [], []
for name in ("resnet20.digits", "simplenet_nano.digits", "sret_nano.digits", "tnt_nano.digits"):
    loaded = checkpoints.load(name)
    inputs = loaded.preprocess(digit)[None]
    pyramid = loaded.model.apply(loaded.variables, inputs, train=False, method="features")
    stages = [stage for stage in sorted(pyramid) if stage.startswith("stage")][:3]
    stages = stages or [stage for stage in pyramid if stage != "pooled"][:3]
    maps += [digit / 255, *(np.linalg.norm(pyramid[stage][0], axis=-1) for stage in stages)]
    captions += [name, *(f"{stage}: {pyramid[stage].shape[1:]}" for stage in stages)]
heights = [m.shape[0] for m in maps]
train.image_grid([m / m.max() for m in maps], captions, columns=4)

# %%
sides = dict(zip(("ResNet", "SimpleNet", "SReT", "TNT"), np.reshape(heights, (4, 4)), strict=True))
print({family: [int(side) for side in found[1:]] for family, found in sides.items()})
assert sides["ResNet"][3] < sides["ResNet"][1]
assert sides["TNT"][3] == sides["TNT"][1]

# %% [markdown]
# ## What to try next
#
# - Leave out two blocks of the ResNet at once, or the same block of `resnet8.digits`: when does it
#   break?
# - Train a network of the random cells: `zoo train --model nasnet_nano --genotype cells.json
#   --dataset zoo_digits`.
# - LSSL and Hopfield networks have notebooks of their own, the next two.
