"""Hopular's names in the authors' repository, github.com/ml-jku/hopular.

The repository keeps one tensor for each attribute where we keep one for all, and carries the
training set and indices derived from the options as buffers, which are no weights.
"""

from collections.abc import Sequence

from checkpoints.convert.leaves import DENSE, NORM
from checkpoints.convert.rules import Leaf, Rule, Stack, Table
from zoo.hopular import Hopular

EMBEDDING = (
    Leaf("params/kernel", "feature_embeddings.weight", (1, 0)),
    Leaf("params/bias", "feature_embeddings.bias", (0, 1), merge=(0, 1)),
    Leaf("params/types", "feature_type_embeddings.weight"),
    Leaf("params/positions", "feature_position_embeddings.weight"),
    Leaf("params/norm_scale", "feature_norms.weight", (0, 1), merge=(0, 1)),
    Leaf("params/norm_bias", "feature_norms.bias", (0, 1), merge=(0, 1)),
    Leaf("params/projection_kernel", "feature_projections.weight", (0, 2, 1), merge=(0, 1)),
    Leaf("params/projection_bias", "feature_projections.bias", (0, 1), merge=(0, 1)),
)
LOOKUP = "hopular_blocks.{b}.{role}_{role}_associations.hopfield_lookup.association_core"
MAPS = {"query": "q_proj", "key": "k_proj", "value": "v_proj"}
PARTS = tuple(f"{part}_bias" for part in MAPS.values())


def map_rule(ours: str, theirs: str) -> Rule:
    """One map of a lookup."""
    leaves = (
        Leaf("params/kernel", f"{theirs}_weight", (1, 0)),
        Leaf("params/bias", f"{theirs}_bias"),
    )
    return Rule(f"block{{b}}/{{role*}}/{ours}", LOOKUP, leaves)


def packed(names: Sequence[str]) -> dict[str, list[str]]:
    """The three biases of each lookup, which the repository keeps as one."""
    cores = dict.fromkeys(n.rpartition(".")[0] for n in names if n.endswith(PARTS))
    return {f"{core}.in_proj_bias": [f"{core}.{part}" for part in PARTS] for core in cores}


def stacked(model: Hopular) -> dict[str, Stack]:
    """One tensor of ours for one of each attribute."""
    e, sizes = model.width, model.sizes

    def stack(ours: str, theirs: str, leaf: str, axis: int = 0) -> tuple[str, Stack]:
        name = f"embeddings.{theirs}.{leaf}"
        lengths = [n + 1 for n in sizes] if axis else [e] * len(sizes)
        return f"embeddings.{ours}.{leaf}", Stack(
            {name.format(j=j): length for j, length in enumerate(lengths)}, axis
        )

    return dict(
        (
            stack("feature_embeddings", "feature_embeddings.{j}.0", "weight", axis=1),
            stack("feature_embeddings", "feature_embeddings.{j}.0", "bias"),
            stack("feature_norms", "feature_projections.{j}.2", "weight"),
            stack("feature_norms", "feature_projections.{j}.2", "bias"),
            stack("feature_projections", "feature_projections.{j}.3", "weight"),
            stack("feature_projections", "feature_projections.{j}.3", "bias"),
        )
    )


def table(model: Hopular) -> Table:
    """The table of one network; how tensors are cut is seen from its attributes."""
    return Table(
        rules=(
            Rule("embeddings", "embeddings", EMBEDDING),
            *(map_rule(ours, theirs) for ours, theirs in MAPS.items()),
            Rule("block{b}/{role*}/out", f"{LOOKUP}.out_proj", DENSE),
            Rule("block{b}/{role*}_norm", "hopular_blocks.{b}.{role}_norm", NORM),
            Rule("output_norm", "summarizations.feature_summarizations.2", NORM),
            Rule("output", "summarizations.feature_summarizations.3", DENSE),
        ),
        order=(
            *("embeddings", "feature_embeddings", "feature_type_embeddings"),
            *("feature_position_embeddings", "feature_projections", "hopular_blocks"),
            *("sample_norm", "sample_sample_associations", "feature_norm"),
            *("feature_feature_associations", "hopfield_lookup", "association_core"),
            *("q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_bias", "out_proj"),
            *("summarizations", "feature_summarizations", "weight", "bias"),
        ),
        packed=packed,
        stacked=stacked(model),
        ignored=(
            *("memory", "memory_ids"),
            *("embeddings.feature_types", "embeddings.feature_positions"),
        ),
    )


TABLES = {"hopular": table}
