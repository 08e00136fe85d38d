"""Test accuracy of a digits recipe over seeds: `python -m benchmarks.digits resnet8.digits`."""

import dataclasses
import statistics
import sys
import tempfile
import time

import train
from train.recipes import RECIPES


def main(recipe: str, seeds: int = 5) -> None:
    """Trains the recipe once a seed and prints a row for each, then the mean."""
    accuracies = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            config = dataclasses.replace(RECIPES[recipe], seed=seed, out=f"{folder}/run")
            start = time.perf_counter()
            metrics = train.fit(config).metrics
        accuracies.append(metrics["top1"])
        seconds = time.perf_counter() - start
        print(f"{recipe}  seed {seed}  top-1 {metrics['top1']:.4f}  {seconds:.0f} s", flush=True)
    print(f"{recipe}  mean {statistics.mean(accuracies):.4f}  lowest {min(accuracies):.4f}")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
