"""What networks are worth in fewer bytes: figures over three seeds.

    python -m benchmarks.compress                      all of it
    python -m benchmarks.compress ternary points       some of it

Each network is a `resnet8` that the digits recipe trained with that seed, which is also the
teacher; accuracies are on the 360 test images of `zoo_digits`.
"""

import dataclasses
import sys
import tempfile
import time

import checkpoints
import train
from train.recipes.digits import RESNET8

SEEDS = range(3)
METHODS = {
    "ternary": ("ternary", "ternary:measure=mean", "ternary:activations=true"),
    "points": (
        *("points:bits=4", "points:bits=4,weight=0", "points:bits=2"),
        *("points:bits=2,learned=true", "points:bits=1"),
    ),
}
EPOCHS = 20.0


def trained(seed, folder):
    """The network of a seed."""
    out = f"{folder}/{seed}"
    train.fit(dataclasses.replace(RESNET8, seed=seed, out=out))
    return checkpoints.load(out)


def main(names):
    """Prints a row for each method: bytes, and accuracy of each seed, untrained and trained."""
    data, test = (train.load_dataset("zoo_digits", split) for split in ("train", "test"))
    with tempfile.TemporaryDirectory() as folder:
        networks = [trained(seed, folder) for seed in SEEDS]
    found = [train.evaluate(*n[:2], test, preprocess=n.preprocess)["top1"] for n in networks]
    print("float32:", *(f"{top1:.4f}" for top1 in found), flush=True)
    for method in (method for name in names for method in METHODS[name]):
        for epochs in (0.0, EPOCHS):
            begun, rows = time.perf_counter(), []
            for seed, network in enumerate(networks):
                small = train.compress(
                    network,
                    data,
                    method=method,
                    evaluation=test,
                    epochs=epochs,
                    augment=RESNET8.augment,
                    seed=seed,
                )
                rows.append(small.card.source["after"])
            worth = "  ".join(f"{row['metrics']['top1']:.4f}" for row in rows)
            size, spent = rows[0]["bytes"], time.perf_counter() - begun
            print(
                f"{method:28} {epochs:4g} epochs {size:8,} bytes  {worth}  {spent:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:] or list(METHODS))
