"""What a network is worth in fewer bytes: figures over three seeds.

    python -m benchmarks.compress                                      all methods
    python -m benchmarks.compress ternary --epochs=20 --rate=4e-3      one of them, in its own way

The network is the shipped `resnet8.digits`, which is also the teacher; seeds are those of the
training that makes it smaller. Figures are of the 360 test images of `zoo_digits`.
"""

import sys
import time

import checkpoints
import train
from train.compress.table import SWEPT
from train.recipes.digits import RESNET8

WEIGHTS, SEEDS, EPOCHS = "resnet8.digits", range(3), 20.0
ALSO = ("ternary:measure=mean", "points:bits=4,weight=0")


def main(methods, epochs, rate):
    """Prints two rows for each method, not trained and trained: bytes, top-1 and loss by seed."""
    loaded, optimization = checkpoints.load(WEIGHTS), train.OptimizerConfig(learning_rate=rate)
    data, test = (train.load_dataset("zoo_digits", split) for split in ("train", "test"))
    for method in methods:
        for passes, seeds in ((0.0, (0,)), (epochs, SEEDS)):
            begun, found = time.perf_counter(), []
            for seed in seeds:
                given = {"method": method, "epochs": passes, "seed": seed}
                given |= {"optimization": optimization, "augment": RESNET8.augment}
                small = train.compress(loaded, data, evaluation=test, **given)
                found.append(small.card.source["after"])
            shown = "  ".join(
                f"{f['metrics']['top1']:.4f} ({f['metrics']['loss']:.4f})" for f in found
            )
            size, spent = found[0]["bytes"], time.perf_counter() - begun
            print(
                f"{method:28} {passes:4g} epochs {size:8,} bytes  {shown}  {spent:.0f} s",
                flush=True,
            )


def option(words, name, default):
    """The number behind `--name=`, or what holds without it."""
    found = [word.partition("=")[2] for word in words if word.startswith(f"--{name}=")]
    return float(found[-1]) if found else default


if __name__ == "__main__":
    words = sys.argv[1:]
    named = [word for word in words if not word.startswith("--")]
    main(named or [*SWEPT, *ALSO], option(words, "epochs", EPOCHS), option(words, "rate", 1e-3))
