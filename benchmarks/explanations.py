"""Do maps find what decides? A patch that alone decides the label, planted in noise.

    python -m benchmarks.explanations resnet8 inception_nano tnt_nano

Each network learns to tell whether a patch is bright or dark; then occlusion and Grad-CAM have to
point at it. The same is asked of weights drawn anew (Adebayo et al. 2018,
https://arxiv.org/abs/1810.03292), whose maps should not find it. They do: a patch that is brighter
or darker than noise draws the eye of any network, so that this patch does not tell a map of what
was learned from one of what stands out. The side of the image is eight times the stride of the
stage.
"""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

import train
import zoo

STEPS, BATCH, SHOWN = 150, 32, 100


def planted(random, count, side, patch):
    """Images, labels, and where the patch is."""
    images = 0.3 * random.normal(size=(count, side, side, 3)).astype(np.float32)
    labels = random.integers(2, size=count)
    inside = np.zeros((count, side, side), bool)
    for i, (row, column) in enumerate(random.integers(side - patch + 1, size=(count, 2))):
        inside[i, row : row + patch, column : column + patch] = True
    images += np.where(inside[..., None], np.where(labels, 2, -2)[:, None, None, None], 0)
    return jnp.asarray(images, jnp.float32), jnp.asarray(labels), jnp.asarray(inside)


def learned(model, variables, random, side, patch):
    """Variables after a few updates."""
    optimizer = optax.adam(2e-3)
    state = train.create_state(variables, optimizer, key=jax.random.key(1))
    step = train.parallelize(train.make_train_step(model, optimizer), "jit")
    for _ in range(STEPS):
        images, labels, _ = planted(random, BATCH, side, patch)
        state, _ = step(state, {"input": images, "label": labels}, state.key)
    return train.published(state)


def pointing(model, variables, images, labels, inside, patch):
    """Accuracy of the network, and how often each method points at the patch."""
    score = jax.jit(partial(model.apply, variables, train=False))
    maps = {
        "occlusion": zoo.explain.occlusion(score, images, labels, window=patch),
        "gradcam": zoo.explain.gradcam(model, variables, images, labels),
    }
    accuracy = float((score(images).argmax(-1) == labels).mean())
    found = {n: float(zoo.explain.pointing_game(m, inside).mean()) for n, m in maps.items()}
    return {"accuracy": accuracy, **found}


def main(names):
    """Prints a row for each network, trained and fresh."""
    for name in names:
        side = zoo.model_info(name).input_shape[0]
        patch, random = side // 4, np.random.default_rng(0)
        model = zoo.create_model(name, num_classes=2)
        images, labels, inside = planted(random, SHOWN, side, patch)
        fresh = zoo.init_variables(model, jax.random.key(0), images)
        after = learned(model, fresh, random, side, patch)
        again = zoo.init_variables(model, jax.random.key(9), images)
        chance = (2 * patch - 1) ** 2 / side**2
        for kind, variables in (("trained", after), ("drawn anew", again)):
            found = pointing(model, variables, images, labels, inside, patch)
            row = "  ".join(f"{key} {value:.2f}" for key, value in found.items())
            print(f"{name:16} {kind:10} {row}  (chance about {chance:.2f})", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or ["resnet8"])
