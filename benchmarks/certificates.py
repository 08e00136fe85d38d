"""Do attacks inside the certified radius succeed? `python -m benchmarks.certificates WEIGHTS`.

Descent in the Euclidean norm on the loss averaged over 32 noises, as far as the radius of each
example allows; the smoothed network then votes on what comes out. Weights are those of
`zoo train --recipe resnet8.digits --objective noise:sigma=0.25`.
"""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import checkpoints
import train
import zoo
from train.honest import curves, smoothing
from train.honest.robustness import on_raw

SIGMA, NOISES, STEPS, ATTACKED, VOTES = 0.25, 32, 8, 200, 1000


def attacked(score, inputs, labels, radii, key):
    """Inputs at most their radius away, which the average of noisy losses finds worst."""
    noise = SIGMA * jax.random.normal(key, (NOISES, 1, *inputs.shape[1:]))

    def loss(x):
        one = lambda n: train.softmax_cross_entropy(score(x + n), labels)  # noqa: E731
        return jax.lax.map(one, noise).mean(axis=0)

    eps = radii.reshape(-1, *(1,) * (inputs.ndim - 1))
    return zoo.attack.pgd_l2(loss, inputs, eps=eps, step=2.5 * eps / STEPS, steps=STEPS)


def main(weights):
    """Prints certified accuracy, and how many attacks changed a certain answer."""
    loaded = checkpoints.load(weights)
    given = curves.examples(loaded, train.load_dataset("zoo_digits", "test"), None)
    proof = curves.certified(given, sigma=SIGMA, n=VOTES)
    print(f"certified at {SIGMA}: {proof.certified(given.labels, SIGMA).mean():.4f}", flush=True)
    sure = np.flatnonzero(proof.answers >= 0)[:ATTACKED]
    network = partial(loaded.model.apply, loaded.variables, train=False)
    score = on_raw(network, loaded.preprocess)
    found = jax.jit(partial(attacked, score))(
        jnp.asarray(given.inputs[sure]),
        jnp.asarray(proof.answers[sure]),
        jnp.asarray(proof.radii[sure], jnp.float32),
        jax.random.key(5),
    )
    count = partial(smoothing.votes, sigma=SIGMA, count=VOTES, classes=10)
    answer = lambda x: score(x).argmax(axis=-1)  # noqa: E731
    votes = jax.jit(partial(count, answer))(found, jax.random.key(7), jnp.arange(len(sure)))
    changed = int((np.asarray(votes).argmax(axis=1) != proof.answers[sure]).sum())
    moved = np.sqrt(np.square(np.asarray(found) - given.inputs[sure]).sum(axis=(1, 2, 3)))
    print(f"{changed} of {len(sure)} attacks changed the answer; mean distance {moved.mean():.3f}")


if __name__ == "__main__":
    main(sys.argv[1])
