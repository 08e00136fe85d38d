"""Structure that is cut, three seeds each: `python -m benchmarks.compress_structure [PART ...]`.

Parts: prune (half of the filters by each criterion, nothing trained after), filters (the same of
`resnet8.digits`), nested (eight widths of one training beside networks trained alone), lowrank
(first columns beside the SVD of a plain network), split (a bottleneck of 12 bytes). Other networks
are perceptrons; accuracies are on the 360 test images of `zoo_digits`.
"""

import sys
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import checkpoints
import train
from train import OptimizerConfig
from train.augment import augmentation_of
from train.compress import Training
from train.compress import lowrank as of_lowrank
from train.compress.nested import of_prefixes
from train.compress.prune import remaining
from train.methods.distillation import distillation
from train.methods.matching import matching
from train.recipes.digits import RESNET8
from zoo.explain.filters import CRITERIA, worth_of_filters
from zoo.layers.dense import Dense
from zoo.layers.network import Network
from zoo.parameters import lowrank
from zoo.parameters.channels import channels
from zoo.parameters.frozen import frozen
from zoo.parameters.interception import changed
from zoo.split import Split

SEEDS, BATCH, RATE = 3, 64, 2e-3


class Perceptron(Network):
    """Dense layers with ReLUs on flattened images."""

    input_axes = (4,)
    widths: tuple[int, ...] = (128, 128)

    @nn.compact
    def __call__(self, images, *, train):
        x = images.reshape(len(images), -1)
        for i, width in enumerate(self.widths):
            x = nn.relu(Dense(width, name=f"hidden{i}")(x))
        return Dense(10, name="head")(x)


def digits(split):
    """Images from 0 to 1, and labels."""
    data = train.load_dataset("zoo_digits", split)
    examples = [data[i] for i in range(len(data))]
    images = np.stack([e["input"] for e in examples]).astype(np.float32) / 255
    return jnp.asarray(images), jnp.asarray([e["label"] for e in examples], jnp.int32)


def fitted(model, variables, data, epochs, seed, objective=None):
    """Variables after a training with Adam, as one program."""
    images, labels = data
    optimizer = optax.adam(RATE)
    step = train.make_train_step(model, optimizer, objective=objective)
    state = train.create_state(variables, optimizer, key=jax.random.key(seed), objective=objective)

    def epoch(state, key):
        order = jax.random.permutation(key, len(labels))[: len(labels) // BATCH * BATCH]

        def update(state, rows):
            state, _ = step(state, {"input": images[rows], "label": labels[rows]}, state.key)
            return state, None

        return jax.lax.scan(update, state, order.reshape(-1, BATCH))[0], None

    keys = jax.random.split(jax.random.key(100 + seed), epochs)
    state, _ = jax.jit(partial(jax.lax.scan, epoch))(state, keys)
    return train.published(state)


def fresh(model, images, seed):
    """Variables before any training."""
    return model.init(jax.random.key(seed), images[:1], train=False)


def accuracy(model, variables, data):
    """Share of right answers."""
    images, labels = data
    logits = jax.jit(partial(model.apply, train=False))(variables, images)
    return float((logits.argmax(-1) == labels).mean())


def prune(training, test):
    """Accuracy with half of the filters, by criterion; nothing is trained after."""
    model = Perceptron()
    rows = {name: [] for name in ("whole", *CRITERIA)}
    for seed in range(SEEDS):
        variables = fitted(model, fresh(model, training[0], seed), training, 40, seed)
        rows["whole"].append(accuracy(model, variables, test))
        for name in CRITERIA:
            half = halved(model, variables, training, name, seed)
            rows[name].append(accuracy(*half, test))
    return rows


def filters(training, test):
    """The same of the shipped `resnet8.digits`, each seed with 128 other examples."""
    del training, test  # prepared as the weights say
    loaded = checkpoints.load("resnet8.digits")
    training, test = (prepared(loaded, split) for split in ("train", "test"))
    rows = {"whole": [accuracy(loaded.model, loaded.variables, test)]}
    for name in CRITERIA:
        rows[name] = []
        for seed in range(SEEDS):
            some = [part[128 * seed :] for part in training]
            half = halved(loaded.model, loaded.variables, some, name, seed)
            rows[name].append(accuracy(*half, test))
    return rows


def prepared(loaded, split):
    """Inputs as weights want them, and labels."""
    data = train.load_dataset("zoo_digits", split)
    examples = [data[i] for i in range(len(data))]
    inputs = jnp.stack([jnp.asarray(loaded.preprocess(e["input"])) for e in examples])
    return inputs, jnp.asarray([e["label"] for e in examples], jnp.int32)


def halved(model, variables, training, criterion, seed):
    """The network with half of its channels, judged on 128 examples."""
    found = channels(model, variables, training[0][:1])
    worth = jax.jit(partial(worth_of_filters, criterion, model))
    some, key = [part[:128] for part in training], jax.random.key(seed)

    def judge(kept):
        return worth(found.masked(variables, kept), *some, key=key)

    kept = remaining(found, judge, lambda kept: kept.sum() <= found.size / 2)
    return changed(model, found.widths(kept)), found.cut(variables, kept)


def nested(training, test):
    """Accuracy of eight widths of one training, and of networks trained alone."""
    model, widths = Perceptron(), tuple((n + 1) / 8 for n in range(8))
    rows = {f"{which} {w:g}": [] for w in widths for which in ("nested", "alone")}
    for seed in range(SEEDS):
        variables = fresh(model, training[0], seed)
        found = channels(model, variables, test[0][:1])
        objective = of_prefixes(found, train.supervised(), widths, seed=seed)
        trained = fitted(model, variables, training, 80, seed, objective)
        for width in widths:
            kept = np.asarray(found.prefix(width))
            small = changed(model, found.widths(kept))
            rows[f"nested {width:g}"].append(accuracy(small, found.cut(trained, kept), test))
            twin = Perceptron((int(128 * width),) * 2)
            alone = fitted(twin, fresh(twin, training[0], seed), training, 40, seed)
            rows[f"alone {width:g}"].append(accuracy(twin, alone, test))
    return rows


def low_rank(training, test):
    """Accuracy at some ranks of both hidden maps: trained for it, and SVDs of a plain network."""
    model, ranks, layers = Perceptron((64,) * 3), (4, 6, 8, 64), {"hidden1", "hidden2"}
    rows = {f"{which} {r}": [] for r in ranks for which in ("trained", "SVD")}
    whole = dict.fromkeys(sorted(layers), 64)
    thin = changed(model, {path: {"rank": 64} for path in whole})
    for seed in range(SEEDS):
        variables = fresh(model, training[0], seed)
        plain = fitted(model, variables, training, 160, seed)
        objective = of_lowrank.of_prefixes(whole, train.supervised(), lasso=3e-4, seed=seed)
        start = {"params": lowrank.factored(variables["params"], whole)}
        trained = fitted(thin, start, training, 160, seed, objective)
        split = {"params": lowrank.factored(plain["params"], whole)}
        for rank in ranks:
            for which, params in (("trained", trained), ("SVD", split)):
                cut = lowrank.truncated(params["params"], dict.fromkeys(whole, rank))
                rows[f"{which} {rank}"].append(accuracy(thin, {"params": cut}, test))
    return rows


def split(training, test):
    """Accuracy of `resnet8.digits` behind a bottleneck of 12 bytes; an image has 64."""
    del training, test  # prepared as the weights say
    loaded = checkpoints.load("resnet8.digits")
    data, held_out = (train.load_dataset("zoo_digits", split) for split in ("train", "test"))
    model = Split(loaded.model, "stage1_block0", inputs=(8, 8, 1), shape=(8, 8, 16))
    options = {"preprocess": loaded.preprocess}
    whole = train.evaluate(loaded.model, loaded.variables, held_out, **options)["top1"]
    rows = {"whole, 64 bytes": [whole] * SEEDS, "12 bytes": []}
    for seed in range(SEEDS):
        variables = bottled(model, loaded, data, seed)
        sent = model.apply(variables, jnp.zeros((1, 8, 8, 1)), method="head")
        assert sent.nbytes == 12
        rows["12 bytes"].append(train.evaluate(model, variables, held_out, **options)["top1"])
    return rows


def bottled(model, loaded, data, seed):
    """The bottleneck learns the stages after it, then all behind it the answers."""
    fresh_ones = model.init(jax.random.key(seed), jnp.zeros((1, 8, 8, 1)), train=False)
    variables = {n: {**tree, "network": loaded.variables[n]} for n, tree in fresh_ones.items()}
    training = Training(
        data,
        loaded.preprocess,
        epochs=60,
        optimization=OptimizerConfig(learning_rate=4e-3),
        augmentation=augmentation_of(RESNET8.augment),
        seed=seed,
    )
    teacher = loaded.model, loaded.variables
    for objective, kept in (
        (matching(*teacher, ["stage2", "stage3"]), "^network/"),
        (distillation(*teacher, weight=0.5, temperature=2.0), "^encoder/"),
    ):
        both = {"objective": objective, "parameters": frozen(kept)}
        variables = training.trained(model, variables, **both)
    return variables


PARTS = {"prune": prune, "filters": filters, "nested": nested, "lowrank": low_rank, "split": split}


def main(parts):
    """Prints a row for each way: each seed, and the mean."""
    training, test = digits("train"), digits("test")
    for part in parts or PARTS:
        for name, found in PARTS[part](training, test).items():
            row = "  ".join(f"{value:.4f}" for value in found)
            print(f"{part:8} {name:14} {row}  mean {np.mean(found):.4f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
