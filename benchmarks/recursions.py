"""Compile time of SReT's scanned form by number of passes: `python -m benchmarks.recursions`.

The gradient of `sret_nano` at batch 1, whose first block is applied 2 to 1000 times. CPU seconds of
this process, so that other work on the machine counts little.
"""

import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

import zoo

PASSES = (2, 10, 100, 1000)


def seconds(passes: int) -> tuple[float, float]:
    """CPU time of tracing and of compiling one gradient."""
    model = zoo.create_model("sret_nano", scan=True, recursions=(passes, 2, 2))
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    variables = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), images)

    def loss(params: Any, rest: Any, images: Any, key: Any) -> Any:
        rngs = {"permutation": key}
        state = {"params": params, **rest}
        logits, _ = model.apply(state, images, train=True, rngs=rngs, mutable=["batch_stats"])
        return jnp.square(logits).mean()

    rest = {name: tree for name, tree in variables.items() if name != "params"}
    start = time.process_time()
    lowered = jax.jit(jax.grad(loss)).lower(variables["params"], rest, images, key)
    traced = time.process_time()
    lowered.compile()
    return traced - start, time.process_time() - traced


if __name__ == "__main__":
    for passes in PASSES:
        trace, compile_ = seconds(passes)
        print(f"{passes:5} passes: traced in {trace:.1f} s, compiled in {compile_:.1f} s")
