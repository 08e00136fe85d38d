"""Modern Hopfield layers' names in the authors' library, github.com/ml-jku/hopfield-layers.

The library packs the maps of queries, keys and values into one tensor where all patterns are
equally deep, and their biases always. Its trees with `batch_first=False` differ in one thing: the
first two axes of `pooling_weights`, `lookup_weights` and `target_weights` are swapped.
`from_library` makes a layer of the library's options.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial

import flax.linen as nn
import numpy as np

from checkpoints.convert.hflayers import from_library
from checkpoints.convert.leaves import DENSE, NORM
from checkpoints.convert.rules import Leaf, Rule, Shape, Table
from zoo.errors import UsageError
from zoo.layers.hopfield import Hopfield

__all__ = ["TABLES", "from_library"]

# Where an association lies in our trees and in the library's.
PLACES = {
    "": "",
    "hopfield": "hopfield.",
    "association": "hopfield_association.",
    "self_association": "hopfield_association_self.",
    "cross_association": "hopfield_association_cross.",
    "pool/hopfield": "pool.hopfield.",
    "lookup/hopfield": "lookup.hopfield.",
    "block{b}/association": "blocks.{b}.hopfield_association.",
}
PARTS = ("q_proj", "k_proj", "v_proj")
LEARNED = ("pooling_weights", "lookup_weights", "target_weights")

ORDER = (
    *("positions", *LEARNED, "embed", "blocks", "pool", "lookup"),
    *("hopfield", "hopfield_association"),
    *("hopfield_association_self", "hopfield_association_cross"),
    *("association_core", "p_norm_weight", "p_norm_bias"),
    *("q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_weight", "in_proj_bias"),
    *("out_proj", "norm_stored_pattern", "norm_state_pattern", "norm_pattern_projection"),
    *("linear_residual", "linear_output", "norm_residual", "norm_residual_self"),
    *("norm_residual_cross", "norm_output", "head", "weight", "bias"),
)


def association_rules(ours: str, theirs: str) -> tuple[Rule, ...]:
    """Rules of one association."""
    inside, core = f"{ours}/".removeprefix("/"), f"{theirs}association_core"
    norm = (Leaf("params/scale", "p_norm_weight"), Leaf("params/bias", "p_norm_bias"))
    maps = (
        Rule(
            f"{inside}{role}",
            core,
            (
                Leaf("params/kernel", f"{part}_weight", (1, 0)),
                Leaf("params/bias", f"{part}_bias"),
            ),
        )
        for role, part in zip(("query", "key", "value"), PARTS, strict=True)
    )
    return (
        *maps,
        Rule(ours, core, (Leaf("params/unused_bias", "v_proj_bias"),)),
        Rule(f"{inside}norm_space", core, norm),
        Rule(f"{inside}out", f"{core}.out_proj", DENSE),
        Rule(f"{inside}norm_stored", f"{theirs}norm_stored_pattern", NORM),
        Rule(f"{inside}norm_state", f"{theirs}norm_state_pattern", NORM),
        Rule(f"{inside}norm_projection", f"{theirs}norm_pattern_projection", NORM),
    )


def packed(names: Sequence[str], separate: Sequence[str]) -> dict[str, list[str]]:
    """What the library keeps as one tensor, of cores that do not stand in `separate`."""
    cores = dict.fromkeys(n.rpartition(".")[0] for n in names if "_proj_" in n)
    wholes = {}
    for core in cores:
        for kind in ("weight", "bias"):
            parts = [f"{core}.{part}_{kind}" for part in PARTS]
            parts = [part for part in parts if part in names]
            if parts and (kind == "bias" or core not in separate):
                wholes[f"{core}.in_proj_{kind}"] = parts
    return wholes


def is_packed(layer: Hopfield) -> bool:
    """Whether the library keeps the maps of an association in one tensor."""
    depths = {layer.sizes.stored, layer.sizes.projection} <= {None, layer.input_size}
    return depths and layer.sizes.pattern is None and not layer.maps.connected


def table(model: nn.Module) -> Table:
    """The table of one layer or network; which maps are packed is seen from its options."""
    layers = {"": model} | {f.name: getattr(model, f.name) for f in dataclasses.fields(model)}
    separate = [
        f"{PLACES[place]}association_core"
        for place, layer in layers.items()
        if isinstance(layer, Hopfield) and not is_packed(layer)
    ]
    learned = tuple(Leaf(f"params/{name}", name, (None, 0, 1)) for name in LEARNED)
    return Table(
        rules=(
            *(rule for place in PLACES.items() for rule in association_rules(*place)),
            *(Rule(place, place, learned) for place in ("", "pool", "lookup")),
            Rule("", "", (Leaf("params/positions", "positions"),)),
            Rule("embed", "embed", DENSE),
            Rule("embed{i}", "embed.{i}", DENSE),
            Rule("head", "head", DENSE),
            Rule("block{b}/linear_{part*}", "blocks.{b}.linear_{part}", DENSE),
            Rule("block{b}/norm_{part*}", "blocks.{b}.norm_{part}", NORM),
            Rule("linear_{part*}", "linear_{part}", DENSE),
            Rule("norm_{part*}", "norm_{part}", NORM),
        ),
        order=ORDER,
        packed=partial(packed, separate=separate),
        example=example,
    )


def example(tensors: Mapping[str, np.ndarray]) -> Shape:
    """One instance, or one step: the first map knows how deep it is.

    Raises:
        UsageError: there is no first map.
    """
    first = tensors.get("embed.weight", tensors.get("embed.0.weight"))
    if first is None or first.ndim != 2:
        raise UsageError("`embed.weight` or `embed.0.weight` must be a matrix, and there is none.")
    steps = len(tensors["positions"]) if "positions" in tensors else 1
    return steps, first.shape[1]


TABLES = {"hopfield-layers": table}
