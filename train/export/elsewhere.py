"""Runs an exported file with jax alone: `python elsewhere.py FILE INPUTS.npz OUTPUTS.npz`.

A script of a process of its own, which imports nothing of the project nor of Flax. The inputs are
batches by name; what it prints is JSON: seconds of loading, of the first call of each batch, of
one more call of it, and the memory at its peak in bytes.
"""

import json
import resource
import sys
import time
from pathlib import Path

import jax
import numpy as np


def main(file: str, inputs: str, outputs: str) -> None:
    """Answers every batch."""
    begun = time.perf_counter()
    program = jax.export.deserialize(bytearray(Path(file).read_bytes()))
    call, facts = jax.jit(program.call), {"load": time.perf_counter() - begun}
    answers, first, again = {}, {}, {}
    for name, batch in np.load(inputs).items():
        begun = time.perf_counter()
        answers[name] = np.asarray(call(batch))
        between = time.perf_counter()
        jax.block_until_ready(call(batch))
        first[name], again[name] = between - begun, time.perf_counter() - between
    np.savez(outputs, **answers)
    facts |= {"first": first, "again": again}
    facts["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    json.dump(facts, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
