"""What the training loop costs beside the bare jitted step: `python -m benchmarks.loop`.

Each pair of runs follows one another, and the ratio of their times per step is that of the loop.
"""

import argparse
import statistics
import tempfile
import time

import jax
import optax

import train
from train.beginning import fresh_state
from train.plan import plan

CASES = {
    "resnet8 on digits, 64 images": {"model": "resnet8", "batch_size": 64, "steps": 200},
    "resnet110 on digits, 128 images": {"model": "resnet110", "batch_size": 128, "steps": 40},
}


def bare(config: train.Config) -> float:
    """Seconds of a step on a batch that is there."""
    planned = plan(config)
    model, optimizer = planned.network.model, planned.optimizer
    step = jax.jit(train.make_train_step(model, optimizer), donate_argnums=0)
    batches = train.train_batches(
        planned.training,
        preprocess=planned.network.card.preprocess,
        batch_size=config.batch_size,
    )
    batch, state = jax.device_put(next(batches)), fresh_state(planned)
    batches.close()
    key, times = jax.random.key(0), []
    for _ in range(config.steps or 0):
        begun = time.perf_counter()
        state, _ = step(state, batch, key)
        jax.block_until_ready(optax.tree.norm(state.trained))
        times.append(time.perf_counter() - begun)
    return statistics.median(times[3:])


def looped(config: train.Config) -> float:
    """Seconds of a step of `train.fit`."""
    with tempfile.TemporaryDirectory() as out:
        fields = {"out": out, "log_every": 10, "eval_every": config.steps, "save_every": 10**6}
        rows = train.fit(train.Config(**vars(config) | fields)).history
    rates = [row["images_per_second"] for row in rows[1:-1]]
    return config.batch_size / statistics.median(rates)


def main() -> None:
    """Prints a row for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    for name, fields in CASES.items():
        config = train.Config(dataset="zoo_digits", **fields)
        pairs = [(bare(config), looped(config)) for _ in range(repeats)]
        ratio = statistics.median(b / a for a, b in pairs)
        step = statistics.median(a for a, _ in pairs)
        print(f"{name}: step {1000 * step:.1f} ms, loop {ratio:.3f} times that")


if __name__ == "__main__":
    main()
