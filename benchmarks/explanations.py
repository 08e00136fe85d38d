"""Do maps find what decides? One patch among six, which alone tells the class.

    python -m benchmarks.explanations [NAME ...]

Six of sixteen cells of an image hold blocks of random colours. In two classes one of the six is
always the same, its own in each; in the third all are drawn anew. The cell that decides is thus no
brighter, larger or busier than the others: occlusion and Grad-CAM of a network that was trained
have to point at it, and those of weights drawn anew (Adebayo et al. 2018,
https://arxiv.org/abs/1810.03292) at any of the six. The side of the image is eight times the stride
of the last stage.
"""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

import train
import zoo
from zoo.efficientnet import Stage

GRID, PATCHES, BLOCK, COLOURS = 4, 6, 2, 3
STEPS, BATCH, SHOWN, SIDE = 400, 32, 60, 32
SMALL = {  # a network of every image family, its fields, and its learning rate
    "resnet8": ({}, 3e-3),
    "resnetv2_18": ({"stage_sizes": (2,), "width": 16}, 3e-3),
    "inception_nano": ({}, 3e-3),
    "nasnet_nano": ({}, 3e-3),
    "efficientnet_lite0": ({"stages": (Stage(1, 3, 16, 1, 1), Stage(6, 3, 24, 2, 2))}, 3e-3),
    "simplenet_nano": ({}, 3e-3),
    "deepmad_r18": ({"stages": ((16, 3, 1, 1, 8), (32, 3, 2, 2, 16)), "stem": 16}, 3e-3),
    "sret_nano": ({}, 1e-3),
    "tnt_nano": ({}, 1e-3),
}


def planted(random, count, classes):
    """Images of the first so many classes, their labels, and where the patch that decides lies."""
    patch = SIDE // GRID
    blocks = partial(np.random.default_rng(7).choice, [-1.0, 1.0])
    own = blocks(size=(2, patch // BLOCK, patch // BLOCK, COLOURS))
    images = 0.3 * random.normal(size=(count, SIDE, SIDE, COLOURS))
    inside = np.zeros((count, SIDE, SIDE), bool)
    labels = random.integers(classes, size=count)
    for i, label in enumerate(labels):
        for k, cell in enumerate(random.permutation(GRID**2)[:PATCHES]):
            decides = k == 0 and label < len(own)
            pattern = own[label] if decides else random.choice([-1.0, 1.0], size=own.shape[1:])
            row, column = np.multiply(divmod(cell, GRID), patch)
            where = np.s_[i, row : row + patch, column : column + patch]
            images[where] += np.kron(pattern, np.ones((BLOCK, BLOCK, 1)))
            inside[where] = k == 0
    return jnp.asarray(images, jnp.float32), jnp.asarray(labels), jnp.asarray(inside)


def learned(model, variables, random, rate):
    """Variables after some updates."""
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, STEPS))
    state = train.create_state(variables, optimizer, key=jax.random.key(1))
    step = train.parallelize(train.make_train_step(model, optimizer), "jit")
    for _ in range(STEPS):
        images, labels, _ = planted(random, BATCH, classes=3)
        state, _ = step(state, {"input": images, "label": labels}, state.key)
    return train.published(state)


def pointing(model, variables, images, labels, inside):
    """Accuracy of the network, and how often each method points at the patch."""
    score = jax.jit(partial(model.apply, variables, train=False))
    maps = {
        "occlusion": zoo.explain.occlusion(score, images, labels, window=SIDE // GRID),
        "gradcam": zoo.explain.gradcam(model, variables, images, labels),
    }
    accuracy = float((score(images).argmax(-1) == labels).mean())
    found = {n: float(zoo.explain.pointing_game(m, inside).mean()) for n, m in maps.items()}
    return {"accuracy": accuracy, **found}


def main(names):
    """Prints a row for each network: trained, and the mean of three that are drawn anew."""
    print(f"chance among {PATCHES} patches: {1 / PATCHES:.2f}")
    for name in names:
        fields, rate = SMALL[name]
        model, random = zoo.create_model(name, num_classes=3, **fields), np.random.default_rng(0)
        images, labels, inside = planted(random, SHOWN, classes=2)
        fresh = [zoo.init_variables(model, jax.random.key(n), images) for n in range(4)]
        rows = {
            "trained": [learned(model, fresh[0], random, rate)],
            "drawn anew": fresh[1:],
        }
        for kind, drawn in rows.items():
            found = [pointing(model, v, images, labels, inside) for v in drawn]
            means = {key: np.mean([f[key] for f in found]) for key in found[0]}
            row = "  ".join(f"{key} {value:.2f}" for key, value in means.items())
            print(f"{name:18} {kind:10} {row}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(SMALL))
