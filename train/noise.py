r"""Random numbers that belong to the examples of a batch, however it is spread over devices.

A key made here knows where in the global batch its device's part begins. What a layer draws from
it for an array whose first axis counts examples (dropout, drop path, a network's own
`jax.random.normal(self.make_rng("noise"), x.shape)`) is, for the example at place \(p\) and its
\(i\)-th number, the counter-based hash

.. math:: \mathrm{threefry}_{2 \times 32}(\text{key}; p, i)

and so comes from key and place and nothing else: jit, pmap and shard_map draw the same numbers on
any number of devices. What is drawn without axes is shared by the whole batch.

Threefry: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
"""

import math
from typing import Any, NamedTuple

import jax
import jax.extend
import jax.numpy as jnp
from jaxtyping import Array, Key, UInt32

THREEFRY = jax.extend.random.threefry_prng_impl
# Random streams of networks in training; a stream is known by its place here, so append only.
STREAMS = ("dropout", "drop_path", "permutation", "noise")
SHARED = ("permutation",)  # drawn once for the whole batch


class Slice(NamedTuple):
    """The examples n, n + count, n + 2 count, ... of a batch.

    Attributes:
        n: number of the slice, from zero.
        count: slices.
    """

    n: Any
    count: Any


WHOLE = Slice(0, 1)


def placed(
    key: Key[Array, ""], axis_name: str | None = None, part: Slice = WHOLE
) -> Key[Array, ""]:
    """A key whose draws belong to examples, by their place in the global batch.

    Args:
        key: typed key of any kind, the same on all devices.
        axis_name: mapped axis (pmap, shard_map) over which the batch is split evenly; None where
            arrays are global, as under jit.
        part: slice of the batch that arrays are of.

    Returns:
        A key for `jax.random` and the random streams of modules. `jax.random.split` and `fold_in`
        keep the place.
    """
    device = 0 if axis_name is None else jax.lax.axis_index(axis_name)
    place = jnp.stack([jnp.asarray(n, jnp.uint32) for n in (device, *part)])
    words = jax.random.bits(key, (2,), jnp.uint32)
    return jax.random.wrap_key_data(jnp.concatenate([words, place]), impl=PLACED)


def streams(
    key: Key[Array, ""], axis_name: str | None = None, part: Slice = WHOLE
) -> dict[str, Key[Array, ""]]:
    """One key for each of `STREAMS`, as `rngs` of a network in training.

    Args:
        key: typed key of the step, the same on all devices.
        axis_name: as in `placed`.
        part: as in `placed`.
    """
    folded = {name: jax.random.fold_in(key, n) for n, name in enumerate(STREAMS)}
    own = {name: k for name, k in folded.items() if name not in SHARED}
    return folded | {name: placed(k, axis_name, part) for name, k in own.items()}


# The data of a key: two words of threefry, then number of the device, of the slice, of all slices.


def _seed(seed: Array) -> UInt32[Array, "5"]:
    return jnp.append(THREEFRY.seed(seed), jnp.array([0, *WHOLE], jnp.uint32))


def _fold_in(key: UInt32[Array, "5"], data: Any) -> UInt32[Array, "5"]:
    return jnp.append(THREEFRY.fold_in(key[:2], data), key[2:])


def _split(key: UInt32[Array, "5"], shape: tuple[int, ...]) -> UInt32[Array, "... 5"]:
    words = THREEFRY.split(key[:2], shape)
    return jnp.concatenate([words, jnp.broadcast_to(key[2:], (*shape, 3))], axis=-1)


def _random_bits(key: UInt32[Array, "5"], bit_width: int, shape: tuple[int, ...]) -> Array:
    """Unsigned integers of `bit_width` bits; the first axis of `shape` counts examples."""
    examples, size = (*shape[:1], 1)[0], math.prod(shape[1:])
    places = jax.lax.broadcasted_iota(jnp.uint32, (examples, size), 0)
    if shape:
        device, part, parts = key[2:]
        places = (places + device * jnp.uint32(examples)) * parts + part
    within = jax.lax.broadcasted_iota(jnp.uint32, (examples, size), 1)
    k1, k2 = (jnp.broadcast_to(word, places.shape) for word in (key[0], key[1]))
    high, low = jax.extend.random.threefry2x32_p.bind(k1, k2, places, within)
    dtype = jnp.dtype(f"uint{bit_width}")
    if bit_width == 64:
        bits = (high.astype(dtype) << 32) | low.astype(dtype)
    else:
        bits = (high ^ low).astype(dtype)
    return bits.reshape(shape)


PLACED = jax.extend.random.define_prng_impl(
    key_shape=(5,),
    seed=_seed,
    split=_split,
    random_bits=_random_bits,
    fold_in=_fold_in,
    name="threefry_of_places",
    tag="place",
)
