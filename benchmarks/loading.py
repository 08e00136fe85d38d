"""Times the second load of resnet50 by name, from the cache: `python -m benchmarks.loading`.

The weights are random, under the name and in the place of published ones; every load is the first
of a process of its own, after its imports. Wall time and processor time of five loads are printed.
"""

import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp

import checkpoints
import zoo

NAME = "resnet50.a1_in1k"
LOAD = f"""
import sys, time
import jax, checkpoints
from orbax.checkpoint import v1
jax.devices()
wall, processor = time.perf_counter(), time.process_time()
jax.block_until_ready(checkpoints.load("{NAME}", cache_dir=sys.argv[1]).variables)
wall, processor = time.perf_counter() - wall, time.process_time() - processor
print(f"{{wall:.2f}} s wall, {{processor:.2f}} s processor")
"""


def main() -> None:
    """Fills a cache and loads from it in five processes."""
    card = checkpoints.weights_info(NAME)
    model = zoo.create_model(card.architecture)
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    variables = zoo.init_variables(model, jax.random.key(0), image)
    source = (card.source or {}) | {"sha256": "0" * 64}
    with tempfile.TemporaryDirectory() as cache:
        checkpoints.save(Path(cache) / NAME, variables, dataclasses.replace(card, source=source))
        for _ in range(5):
            subprocess.run([sys.executable, "-c", LOAD, cache], check=True)


if __name__ == "__main__":
    main()
