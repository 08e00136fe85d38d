# %% [markdown]
# # Several devices
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/jax-functional-zoo/jax-functional-zoo/blob/main/colab/03_devices.ipynb)
#
# JAX has three ways to run one training step on many devices: `jit` over a mesh, `pmap` and
# `shard_map`. You will see what each does with a batch, and that all three train the same network.
# A CPU can pretend to be eight devices, so this works anywhere; on a TPU or on several GPUs the
# same cells use the real ones.

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
# Any data set (a folder with one sub-folder per class, or a name of tensorflow-datasets) and any
# weights of `zoo weights`; `resnet18.a1_in1k` wants photographs, and real devices.

# %%
DATASET = "zoo_digits"
WEIGHTS = "resnet8.rendered_digits"
STEPS = 60
BATCH_SIZE = 64  # over all devices together

# %%
import functools
import itertools

import matplotlib.pyplot as plt
import numpy as np
import optax

from jax_functional_zoo import checkpoints, train

data = train.load_dataset(DATASET, split="train")
loaded = checkpoints.load(WEIGHTS, class_names=data.class_names)
batches = train.train_batches(data, preprocess=loaded.preprocess, batch_size=BATCH_SIZE, seed=0)
batches = list(itertools.islice(batches, STEPS))
print(jax.tree.map(np.shape, batches[0]))
shown = batches[0]["input"][:16]
train.image_grid((shown - shown.min()) / np.ptp(shown))

# %% [markdown]
# ## A mesh, and what it does to an array
#
# A mesh gives the devices names. An array that is split along `data` keeps a part of its rows on
# each of them; a replicated one is on all of them. To you it is one array in both cases.

# %%
from jax.sharding import NamedSharding, PartitionSpec

mesh = train.data_mesh()
print(mesh)
images = jax.device_put(batches[0]["input"], NamedSharding(mesh, PartitionSpec("data")))
weights = jax.device_put(np.zeros((8, 8)), NamedSharding(mesh, PartitionSpec()))
assert images.addressable_shards[0].data.shape[0] == BATCH_SIZE // mesh.size


def draw_sharding(axes, array, title):
    """Colours the rows of an array by the device that holds them."""
    owners = np.full(array.shape[0], -1.0)
    for shard in array.addressable_shards:
        if not array.is_fully_replicated or mesh.size == 1:
            owners[shard.index[0]] = shard.device.id
    axes.imshow(owners[:, None], aspect="auto", cmap="Set3", vmin=-1, vmax=10)
    for owner in np.unique(owners):
        row = np.flatnonzero(owners == owner).mean()
        holder = f"device {owner:.0f}" if owner >= 0 else "every device"
        axes.text(0, row, holder, ha="center", va="center")
    axes.set(title=title, xticks=[], ylabel="row")


figure, panels = plt.subplots(1, 2, figsize=(6, 4), layout="constrained")
draw_sharding(panels[0], images, "a batch, split")
draw_sharding(panels[1], weights, "parameters, replicated")

# %% [markdown]
# ## One step, three wrappers
#
# The step is written once, as a pure function `(state, batch, key) -> (state, metrics)`. Under
# `jit` it sees the whole batch, and the compiler finds out where devices have to talk. Under `pmap`
# and `shard_map` it sees one device's part, and says itself where to average: `axis_name="data"`.

# %%
optimizer = optax.adamw(2e-3)


def losses(how):
    """Trains from the same start on the same batches; returns the loss of every step."""
    axis_name = None if how == "jit" else "data"
    step = train.make_train_step(loaded.model, optimizer, axis_name=axis_name)
    step = train.parallelize(step, how, mesh=mesh)
    state = train.create_state(loaded.variables, optimizer, key=jax.random.key(0))
    found = []
    for batch in batches:
        state, metrics = step(state, batch, state.key)
        found.append(float(metrics["loss"]))
    return np.array(found), state


curves, states = {}, {}
for how in ("jit", "pmap", "shard_map"):
    curves[how], states[how] = losses(how)
    print(f"{how:>9}: first loss {curves[how][0]:.6f}, last loss {curves[how][-1]:.6f}")

# %% [markdown]
# ## The same curve three times
#
# Batch norm is the usual trap: its statistics must be those of the whole batch whatever the number
# of devices, or the three would train different networks. The differences below are rounding.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for how, width, style in (("jit", 6, "-"), ("pmap", 3.5, "-"), ("shard_map", 1.5, "--")):
    left.plot(curves[how], style, linewidth=width, label=how)
    right.semilogy(np.abs(curves[how] - curves["jit"]) + 1e-9, style, label=how)
left.set(xlabel="step", title="training loss")
right.set(xlabel="step", title="difference from jit, at least 1e-9")
left.legend()
for how in curves:
    np.testing.assert_allclose(curves[how][:10], curves["jit"][:10], rtol=1e-3)
    np.testing.assert_allclose(curves[how], curves["jit"], rtol=0.05, atol=0.02)

# %% [markdown]
# ## Where are the parameters now?
#
# All three give back a replicated state: every device holds the same numbers, so any one of them
# can save it.

# %%
copies = {}
for how, state in states.items():
    kernel = state.trained["head"]["kernel"]
    copies[how] = [np.asarray(shard.data) for shard in kernel.addressable_shards]
    assert all(np.array_equal(copies[how][0], copy) for copy in copies[how])
    print(f"{how:>9}: {len(copies[how])} equal copies of {kernel.shape}")

figure, panels = plt.subplots(1, mesh.size, figsize=(9, 2.2), squeeze=False, layout="constrained")
for axes, shard in zip(panels[0], kernel.addressable_shards, strict=True):
    axes.imshow(shard.data, aspect="auto", cmap="RdBu")
    axes.set(title=f"device {shard.device.id}", xticks=[], yticks=[])
_ = figure.suptitle("the head's kernel on every device")

# %% [markdown]
# ## Exact on any number of devices
#
# Test images seldom come in whole batches that eight devices can share. Evaluation pads the last
# batch (yellow) and masks the padding, so that every image counts exactly once, whatever the batch
# size.

# %%
test = train.load_dataset(DATASET, train.evaluation_split(DATASET))
evaluate = functools.partial(train.evaluate, loaded.model, train.published(states["jit"]), test)
evaluations, sizes = {}, (64, 104, 256)
figure, panels = plt.subplots(1, 3, figsize=(9, 2.2), layout="constrained")
for size, axes in zip(sizes, panels, strict=True):
    found = evaluations[size] = evaluate(preprocess=loaded.preprocess, batch_size=size)
    print(f"batches of {size}: top-1 {found['top1']:.6f} of {found['count']} images")
    places = np.arange(-(-len(test) // size) * size).reshape(-1, size)
    axes.imshow(places < len(test), aspect="auto", cmap="Set3_r", interpolation="nearest")
    axes.set(title=f"batches of {size}", xlabel="place in the batch", yticks=range(len(places)))
panels[0].set(ylabel="batch")
assert {m["count"] for m in evaluations.values()} == {len(test)}
assert len({m["top1"] for m in evaluations.values()}) == 1

# %% [markdown]
# ## On a TPU
#
# Nothing changes: choose a TPU runtime and run the notebook again. `jax.devices()` in the first
# cell then lists TPU cores, and the mesh is made of them. A free runtime has a single chip, on
# which the three wrappers do the same with one device. On a pod slice every host runs the same
# program after `jax.distributed.initialize()`, and reads its own part of each batch.

# %%
device = jax.devices()[0]
print(f"{jax.device_count()} x {device.device_kind} of {jax.process_count()} process(es)")
step = train.make_train_step(loaded.model, optimizer)
state = train.create_state(loaded.variables, optimizer, key=jax.random.key(0))
cost = jax.jit(step).lower(state, batches[0], state.key).compile().cost_analysis()
print(f"{cost['flops'] / 1e6:,.0f} million operations a step")

# %% [markdown]
# ## What to try next
#
# - `train.make_train_step(..., batch_norm_groups=8)` normalises each device's part on its own, as
#   is common: how does the curve differ?
# - From a terminal: `zoo train --model resnet8 --dataset zoo_digits --parallel pmap`.
# - A batch size that eight devices cannot share, `BATCH_SIZE = 60`: read the error.
