"""What pretraining is worth: `python -m benchmarks.transfer`.

The command `zoo finetune` over five seeds, each with its own draw of labelled images: weights
trained on rendered digits, before and after fine-tuning, and the same network from scratch.
"""

import dataclasses
import statistics
import sys
import tempfile

import train
from train.recipes import TRANSFER

COLUMNS = ("before", "after", "scratch")


def main(per_class: int = 5, seeds: int = 5) -> None:
    """Prints test accuracies for every seed, their means, and the mean gain in points."""
    rows = []
    print(f"{per_class} labelled images a class\nseed  " + "  ".join(f"{c:>7}" for c in COLUMNS))
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            config = dataclasses.replace(
                TRANSFER, seed=seed, per_class=per_class, out=f"{folder}/run"
            )
            found = train.finetune(config, compare_scratch=True)
        rows.append([getattr(found, column)["top1"] for column in COLUMNS])
        print(f"{seed:4}  " + "  ".join(f"{value:7.4f}" for value in rows[-1]), flush=True)
    means = [statistics.mean(column) for column in zip(*rows, strict=True)]
    print("mean  " + "  ".join(f"{value:7.4f}" for value in means))
    print(f"fine-tuned beats from scratch by {100 * (means[1] - means[2]):.1f} points")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
