# %% [markdown]
# # Checkpoints
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/jax-functional-zoo/jax-functional-zoo/blob/main/colab/08_checkpoints.ipynb)
#
# You will see what a checkpoint is made of, find a single flipped bit, take weights from eight
# devices to one and to another library's names and back, and kill a run to see it go on.

# %%
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = "https://github.com/jax-functional-zoo/jax-functional-zoo"
VIRTUAL_DEVICES = 8  # as many as the CPU pretends to be

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
# Any name of `zoo weights`, any run, any file of weights.

# %%
WEIGHTS = "resnet8.digits"

# %%
import shutil

import matplotlib.pyplot as plt
import numpy as np

from jax_functional_zoo import checkpoints, train

loaded = checkpoints.load(WEIGHTS)


def same(a, b):
    """Whether two trees hold the same bits."""
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, a, b)))


# %% [markdown]
# ## What it is made of
#
# Arrays, written by Orbax; a card, which says everything else; and a manifest with the SHA-256 of
# every file.

# %%
shutil.rmtree("saved", ignore_errors=True)
checkpoints.save("saved", loaded.variables, loaded.card)
print(*sorted(path.name for path in Path("saved").iterdir()))
assert same(checkpoints.load("saved").variables, loaded.variables)

leaves = jax.tree_util.tree_leaves_with_path(loaded.variables["params"])
names = ["/".join(key.key for key in path) for path, _ in leaves]
figure, axes = plt.subplots(figsize=(7, 5), layout="constrained")
axes.barh(names, [leaf.size for _, leaf in leaves])
axes.tick_params(axis="y", labelsize=6)
axes.invert_yaxis()
_ = axes.set(xscale="log", xlabel="numbers")

# %% [markdown]
# ## One flipped bit
#
# A disk or a download changes one bit somewhere. Most formats load it without a word. Here it is
# found:

# %%
from zoo import UsageError

shutil.copytree("saved", "broken", dirs_exist_ok=True)
largest = max(Path("broken", "arrays").rglob("*"), key=lambda path: path.stat().st_size)
body = bytearray(largest.read_bytes())
body[len(body) // 2] ^= 1
largest.write_bytes(body)
try:
    checkpoints.load("broken")
    refused = False
except UsageError:
    refused = True
print("refused" if refused else "loaded as if nothing had happened")
assert refused

# %% [markdown]
# ## Eight devices to one
#
# `sharding` says where arrays go when they are loaded. What eight devices hold, each a slice of
# every kernel, is saved as one array, and loads on one device, on two, or on eight again.

# %%
from jax.sharding import NamedSharding, PartitionSpec

mesh = train.data_mesh()


def sliced(leaf):
    """Over all devices along the last axis, where that divides it."""
    split = leaf.ndim and leaf.shape[-1] % mesh.size == 0
    return NamedSharding(
        mesh, PartitionSpec(*[None] * (leaf.ndim - 1), "data") if split else PartitionSpec()
    )


shardings = jax.tree.map(sliced, loaded.variables)
spread = checkpoints.load("saved", sharding=shardings)
kernel = spread.variables["params"]["stem"]["conv"]["kernel"]
figure, panels = plt.subplots(1, mesh.size, figsize=(9, 1.6), squeeze=False, layout="constrained")
for axes, shard in zip(panels[0], kernel.addressable_shards, strict=True):
    axes.imshow(np.asarray(shard.data).reshape(9, -1).T, cmap="RdBu")
    axes.set(title=f"device {shard.device.id}", xticks=[], yticks=[])

# %%
shutil.rmtree("from-eight", ignore_errors=True)
checkpoints.save("from-eight", spread.variables, spread.card)
on_one = checkpoints.load("from-eight").variables
assert same(on_one, loaded.variables)
print(f"saved from {mesh.size} devices, loaded on {len(jax.tree.leaves(on_one)[0].devices())}")

# %% [markdown]
# ## Another library's names, and back
#
# The weights as timm would write them: its names, its layout. Both ways keep every bit.

# %%
tensors = checkpoints.export_weights(loaded.model, loaded.variables, target="timm")
for name, tensor in list(tensors.items())[:5]:
    print(f"{name:24} {tensor.shape}")
assert same(checkpoints.import_weights(loaded.model, tensors, source="timm"), loaded.variables)

# %% [markdown]
# ## A run is killed
#
# A training run in a process of its own, and `kill -9` in the middle: nothing can be saved then.
# `resume=True` goes on from the last checkpoint.

# %%
import time

config = train.Config(
    weights="resnet8.rendered_digits",
    dataset="zoo_digits",
    steps=120,
    batch_size=32,
    save_every=20,
    eval_every=120,
    log_every=1,
    out="runs/killed",
    resume=True,
)
shutil.rmtree(config.out, ignore_errors=True)
program = "from jax_functional_zoo import train; train.fit(train.Config(**{}))"
fields = {f: getattr(config, f) for f in ("weights", "dataset", "steps", "batch_size", "out")}
fields |= {f: getattr(config, f) for f in ("save_every", "eval_every", "log_every")}
process = subprocess.Popen([sys.executable, "-c", program.format(fields)])
log = Path(config.out, "metrics.jsonl")
while process.poll() is None and not (log.exists() and log.read_text().count("\n") > 50):
    time.sleep(0.05)
process.kill()
killed = log.read_text().count("\n")

# %%
result = train.fit(config)
losses = [(row["step"], row["loss"]) for row in result.history if "loss" in row]
assert [step for step, _ in losses] == list(range(1, 121))  # none is missing, none is there twice

figure, axes = plt.subplots(figsize=(7, 2.6), layout="constrained")
axes.plot(*zip(*losses, strict=True))
axes.axvline(killed, color="red", linewidth=1, label="killed")
axes.axvline(killed // 20 * 20, color="grey", linestyle=":", label="resumed from here")
axes.set(xlabel="step", ylabel="training loss")
_ = axes.legend()

# %% [markdown]
# ## Sharing
#
# A checkpoint's directory is all that others need, on a disk, in a bucket or on the hub: the card
# tells them what it is.

# %%
card = checkpoints.load(result.directory).card
print(card.architecture, card.num_classes, card.license, card.trained_on)
print(f"top-1 {card.metrics['top1']:.2f} of {card.metrics['count']}; began as", end=" ")
print(card.source["started_from"])

# %% [markdown]
# ## What to try next
#
# - `checkpoints.load("runs/killed@100")`: a certain step of a run; `@best` is its best one.
# - `zoo convert MODEL.pth --out runs/mine` takes a file of PyTorch in, without PyTorch.
# - `zoo verify NAME`: do these weights still answer as they did when they were published?
