# %% [markdown]
# # Fine-tune on your own pictures
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/jax-functional-zoo/jax-functional-zoo/blob/main/colab/02_finetune.ipynb)
#
# You will take weights that were trained on *printed* digits, fine-tune them on five *handwritten*
# ones of each class, and see what pretraining was worth. Your data is a folder of images with one
# sub-folder per class; nothing has to be registered. A minute or two on a CPU.

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
# `None` makes a folder of digits to work on. Put the path of a folder of yours there
# (`pictures/beagle/1.jpg`, `pictures/persian/2.jpg`, ...), or the name of a data set that
# tensorflow-datasets has prepared. Weights for photographs, such as `resnet18.a1_in1k`, want a GPU
# or TPU: a CPU would take an hour.

# %%
DATASET = None
WEIGHTS = "resnet8.rendered_digits"
PER_CLASS = 5  # images of each class to train on
STEPS = 150

# %% [markdown]
# ## A folder of pictures

# %%
from PIL import Image

from jax_functional_zoo import checkpoints, train

DIGITS = Path("digits")


def write_folder(folder, split, count):
    """Writes the first images of each class of `zoo_digits` as PNG files."""
    data = train.load_dataset("zoo_digits", split=split)
    for i in range(len(data)):
        image, name = data[i]["input"], data.class_names[data[i]["label"]]
        kind = folder / split / name
        kind.mkdir(parents=True, exist_ok=True)
        if len(list(kind.iterdir())) < count:
            Image.fromarray(image[..., 0]).save(kind / f"{i:04}.png")


if DATASET is None:
    write_folder(DIGITS, "train", 40)
    write_folder(DIGITS, "test", 30)
    print(*sorted(DIGITS.rglob("*.png"))[::100], "...", sep="\n")
DATASET = DATASET or DIGITS

# %% [markdown]
# Folders called `train` and `test` are the splits. Without them a fifth of every class is kept for
# the test. Here are the images to learn from, all of them: a few of each class.

# %%
examples = train.few_shot(train.load_dataset(DATASET, "train"), PER_CLASS, seed=0)
test = train.load_dataset(DATASET, train.evaluation_split(DATASET))
print(len(examples), "images to learn from,", len(test), "to be tested on")
by_class = sorted((examples[i] for i in range(len(examples))), key=lambda e: e["label"])[:50]
names = [test.class_names[e["label"]] for e in by_class]
train.image_grid([e["input"] for e in by_class], names, columns=10)

# %% [markdown]
# ## What do the weights know already?
#
# They have seen digits in the fonts of a computer, but no handwriting. With the same class names
# the head is kept; with others it would be a new one, and `fresh` would name it.

# %%
loaded = checkpoints.load(WEIGHTS, class_names=test.class_names)
before = train.evaluate(loaded.model, loaded.variables, test, preprocess=loaded.preprocess)
print("fresh:", loaded.fresh or "nothing")
print(f"test accuracy before fine-tuning: {before['top1']:.1%}")

# %% [markdown]
# ## Four ways
#
# The same images, from little to all that can be trained:
#
# - a **probe**: the network stays, a linear classifier of its features is fitted;
# - **LoRA**: products of two thin matrices are added to the kernels, and the head is trained;
# - **all** of the network;
# - all of it **from scratch**, from random weights: what was pretraining worth?
#
# The last three are runs, and a run is a frozen config. It leaves everything in its directory: the
# config, the checkpoint with its card, `metrics.csv` and `curves.png`.

# %%
import dataclasses

probed = train.probe(loaded, examples)
probe = train.evaluate(probed.model, probed.variables, test, preprocess=probed.preprocess)
config = train.Config(
    weights=WEIGHTS,
    dataset=str(DATASET),
    per_class=PER_CLASS,
    steps=STEPS,
    batch_size=32,
    save_every=50,
    augment=train.Augment(rotate=10.0, translate=0.1, scale=0.1),
    optimization=train.OptimizerConfig(learning_rate=2e-3),
    out="runs/finetuned",
)
fast = train.OptimizerConfig(learning_rate=1e-2)  # suits what begins at random
thin = train.config.Call("lora", {"rank": 2, "whole": "^head/"})
fresh = {"weights": None, "model": loaded.card.architecture, "out": "runs/scratch"}
configs = {
    "LoRA": dataclasses.replace(config, parameters=(thin,), optimization=fast, out="runs/lora"),
    "all": config,
    "scratch": dataclasses.replace(config, optimization=fast, **fresh),
}
for each in configs.values():
    shutil.rmtree(each.out, ignore_errors=True)
runs = {name: train.fit(each) for name, each in configs.items()}

# %% [markdown]
# Side by side: how right each is on the test images, and how many numbers it had to learn.

# %%
import matplotlib.pyplot as plt

counts = {n: sum(x.size for x in jax.tree.leaves(run.state.trained)) for n, run in runs.items()}
counts = {"probe": sum(x.size for x in probed.variables["params"]["head"].values()), **counts}
scores = {"probe": probe["top1"], **{name: run.metrics["top1"] for name, run in runs.items()}}
for name, score in scores.items():
    print(f"{name:8} {counts[name]:7,} numbers learnt, {score:.1%} right")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for n, (name, run) in enumerate(runs.items(), start=1):
    points = [(row["step"], row["loss"]) for row in run.history if "loss" in row]
    left.plot(*zip(*points, strict=True), color=f"C{n}", label=name)
left.set(title="training loss", xlabel="step", yscale="log")
left.legend()
bars = right.bar(list(scores), list(scores.values()), color=["C0", "C1", "C2", "C3"])
right.bar_label(bars, [f"{score:.1%}" for score in scores.values()])
right.axhline(before["top1"], color="grey", linestyle=":", label="before")
right.set(title="test accuracy", ylim=(0, 1.1))
right.legend(loc="lower left")
finetuned = runs["all"]
if DATASET == DIGITS:  # of other pictures nothing is promised
    assert scores["all"] > max(scores["scratch"], before["top1"])
    assert min(scores["LoRA"], scores["probe"]) > scores["scratch"]

# %% [markdown]
# ## What does it confuse?
#
# `checkpoints.load` takes the directory of a run like any other name. Whatever is off the diagonal
# was read wrongly.

# %%
import numpy as np
from sklearn.metrics import ConfusionMatrixDisplay

again = checkpoints.load(finetuned.directory)
images = [test[i]["input"] for i in range(len(test))]
labels = np.array([test[i]["label"] for i in range(len(test))])
probabilities = train.predict(again.model, again.variables, images, preprocess=again.preprocess)
guesses = probabilities.argmax(1)
assert np.isclose(np.mean(guesses == labels), finetuned.metrics["top1"])
_ = ConfusionMatrixDisplay.from_predictions(
    labels, guesses, display_labels=test.class_names, cmap="Blues", colorbar=False
)

# %% [markdown]
# ## The hardest ones
#
# Always look at the images to whose true class the network gave the least: first those that it
# got wrong, then the close calls. Often the label is to blame.

# %%
hardest = np.argsort(probabilities[np.arange(len(labels)), labels])[:16]
print(f"{np.sum(guesses != labels)} of {len(test)} are wrong")
train.image_grid(
    [images[i] for i in hardest],
    [f"{test.class_names[labels[i]]}, read {test.class_names[guesses[i]]}" for i in hardest],
)

# %% [markdown]
# ## Save, load, go on
#
# Weights can be saved anywhere with their card. A run that was stopped continues where it was last
# saved, to the same bits as if nothing had happened; here one is stopped after half its steps.

# %%
checkpoints.save("digits-weights", again.variables, again.card)
reloaded = checkpoints.load("digits-weights")
same = jax.tree.map(np.array_equal, reloaded.variables, again.variables)
assert all(jax.tree.leaves(same))

# %%
import signal

from train.report import Reporter


class Stop(Reporter):
    """Presses Ctrl-C after half the steps."""

    def advance(self, step, row=None):
        """Called after every step."""
        if step == STEPS // 2 and row is None:
            signal.raise_signal(signal.SIGINT)


shutil.rmtree("runs/resumed", ignore_errors=True)
broken_off = dataclasses.replace(config, out="runs/resumed")
try:
    train.fit(broken_off, Stop())
except train.Interrupted as stop:
    print(stop)
resumed = train.fit(dataclasses.replace(broken_off, resume=True))

# %%
same = jax.tree.map(np.array_equal, resumed.state.trained, finetuned.state.trained)
equal = all(jax.tree.leaves(same))
print("the same bits as the run that was not stopped:", equal)
assert equal or jax.default_backend() != "cpu"  # an accelerator may add up in another order

figure, axes = plt.subplots(figsize=(5, 2.6), layout="constrained")
for label, result, style in (("uninterrupted", finetuned, "-"), ("resumed", resumed, ":")):
    steps, losses = zip(*((row["step"], row["loss"]) for row in result.history), strict=True)
    axes.plot(steps, losses, style, linewidth=3, label=label)
axes.axvline(STEPS // 2, color="grey", linewidth=1)
axes.set(xlabel="step", ylabel="training loss")
_ = axes.legend()

# %% [markdown]
# ## What to try next
#
# - `PER_CLASS = 2` or `20`: where does pretraining stop paying, and which of the four wins?
# - The same from a terminal: `zoo finetune --weights resnet8.rendered_digits --dataset digits
#   --compare-scratch`, then `zoo predict --weights runs/... IMAGE... --save grid.png`.
# - Photographs of your own with `resnet18.a1_in1k` and `train.Augment(crop=0.3, flip=True)`.
