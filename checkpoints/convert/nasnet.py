"""NASNet's and PNASNet's names in timm, and NASNet's in Keras."""

from collections.abc import Iterator

from checkpoints.convert.leaves import (
    CONV,
    COUNTER,
    DENSE,
    KERAS_LEAVES,
    KERAS_MAP,
    KERAS_NORM,
    LEAVES,
    NORM,
)
from checkpoints.convert.rules import Leaf, Rule, Table
from zoo.errors import UsageError
from zoo.nasnet import NASNet, Place, places
from zoo.nasnet.genotype import NASNET_A, PNASNET_5, Genotype

EDGES = tuple(f"comb_iter_{b}_{side}" for b in range(5) for side in ("left", "right"))
TIMM_CELL = (
    *("conv_prev_1x1", "conv_1x1", "path_1", "path_2", "final_path_bn", *EDGES),
    *("separable_1", "bn_sep_1", "separable_2", "bn_sep_2"),
    *("depthwise_conv2d", "pointwise_conv2d", "conv", "bn"),
)


def timm(model: NASNet) -> Table:
    """The table of one network in timm."""
    names = dict(_timm_names(model))
    progressive = model.genotype == PNASNET_5
    stem = "conv_0" if progressive else "conv0"
    rules = [
        rule
        for place in places(model)
        for rule in _timm_cell(place, names[place.name], progressive)
    ]
    return Table(
        rules=(
            Rule("stem_conv", f"{stem}.conv", CONV),
            Rule("stem_norm", f"{stem}.bn", NORM),
            *rules,
            Rule("head", "last_linear", DENSE),
        ),
        order=(stem, *names.values(), *TIMM_CELL, "last_linear", *LEAVES),
        counter=COUNTER,
    )


def _timm_names(model: NASNet) -> Iterator[tuple[str, str]]:
    """Our name and timm's of every cell; PNASNet's reductions count as cells."""
    _require("timm", model, (NASNET_A, PNASNET_5))
    kinds = [("stem_cell", "cell_stem_"), ("cell", "cell_"), ("reduction", "reduction_cell_")]
    for number, place in enumerate(places(model), -model.stem_cells):
        if model.genotype == PNASNET_5 and number >= 0:
            yield place.name, f"cell_{number}"
        else:
            ours, theirs = next(kind for kind in kinds if place.name.startswith(kind[0]))
            yield place.name, f"{theirs}{place.name.removeprefix(ours)}"


def _timm_cell(place: Place, theirs: str, progressive: bool) -> tuple[Rule, ...]:
    """One cell; NASNet keeps a factorized reduction itself, PNASNet in a module."""
    ours, edge = f"{place.name}/block{{b}}_{{s*}}", f"{theirs}.comb_iter_{{b}}_{{s}}"
    separable = f"{edge}.separable_{{k}}"
    reduced = f"{theirs}.conv_prev_1x1" if progressive else theirs
    norm = f"{reduced}.final_path_bn" if place.halves else f"{theirs}.conv_prev_1x1.bn"
    return (
        Rule(f"{place.name}/current/conv", f"{theirs}.conv_1x1.conv", CONV),
        Rule(f"{place.name}/current/norm", f"{theirs}.conv_1x1.bn", NORM),
        Rule(f"{place.name}/previous/conv", f"{theirs}.conv_prev_1x1.conv", CONV),
        Rule(f"{place.name}/previous/path{{p}}", f"{reduced}.path_{{p}}.conv", CONV),
        Rule(f"{place.name}/previous/norm", norm, NORM),
        Rule(f"{ours}/depthwise{{k}}", f"{separable}.depthwise_conv2d", CONV),
        Rule(f"{ours}/pointwise{{k}}", f"{separable}.pointwise_conv2d", CONV),
        Rule(f"{ours}/norm{{k}}", f"{edge}.bn_sep_{{k}}", NORM),
        Rule(f"{ours}/conv", f"{edge}.conv", CONV),
        Rule(f"{ours}/norm", f"{edge}.bn", NORM),
    )


# Keras gives (kh, kw, channels, 1) depthwise kernels; a separable convolution is one layer.
KERAS_DEPTHWISE = (Leaf("params/kernel", "depthwise_kernel", (0, 1, 3, 2)),)
KERAS_POINTWISE = (Leaf("params/kernel", "pointwise_kernel"),)

# Keras lists layers by their distance from the output, which interleaves the separable convolutions
# of a cell: below, each half of them (1 or 2) and its norm in that order. An edge is our name, and
# Keras's block and label; the last block of a reduction bears the label of the one before.
Edge = tuple[str, str, str]
FIRST: tuple[Edge, ...] = (("block0_left", "1", "left1"), ("block0_right", "1", "right1"))
SECOND: tuple[Edge, ...] = (("block1_right", "2", "right2"),)
LAST: tuple[Edge, ...] = (("block2_right", "3", "right3"), ("block4_left", "5", "left4"))
ALL: tuple[Edge, ...] = (
    *FIRST,
    ("block1_left", "2", "left2"),
    ("block1_right", "2", "right2"),
    ("block4_left", "5", "left5"),
)
NORMAL = ((1, ALL), (2, ALL))
REDUCTION = ((1, FIRST), (2, FIRST), (1, SECOND), (1, LAST), (2, SECOND), (2, LAST))


def keras(model: NASNet) -> Table:
    """The table of one network in Keras, which has NASNet-A only."""
    _require("keras", model, (NASNET_A,))
    rules = [
        Rule("stem_conv", "stem_conv1", KERAS_MAP),
        Rule("stem_norm", "stem_bn1", KERAS_NORM),
    ]
    for number, place in enumerate(places(model), -model.stem_cells):
        rules += _keras_cell(place, number)
    rules.append(Rule("head", "predictions", KERAS_MAP))
    layers = dict.fromkeys(rule.theirs for rule in rules)
    return Table(
        rules=rules,
        order=(*layers, "depthwise_kernel", "pointwise_kernel", *KERAS_LEAVES),
        separator="/",
    )


def _keras_cell(place: Place, number: int) -> Iterator[Rule]:
    """One cell's layers in Keras's order; `number` counts cells after the stem from 0."""
    number -= place.stage == "stage3"  # the second reduction repeats a number
    kind = "reduction" if place.reduction else "normal"
    label = f"reduce_{number}" if place.reduction else f"{number}"
    label = label if number >= 0 else f"stem_{number + 3}"
    block = f"{kind}_A_block_{label}"
    yield from _keras_inputs(place, block, kind, label)
    for half, edges in REDUCTION if place.reduction else NORMAL:
        for step, leaves in (("", KERAS_DEPTHWISE), ("bn_", KERAS_NORM)):
            for edge, index, side in edges:
                ours, mark = f"{place.name}/{edge}", f"{kind}_{side}_{label}"
                theirs = f"{block}/block_{index}/separable_conv_block_{mark}"
                theirs = f"{theirs}/separable_conv_{half}_{step}{mark}"
                if step:
                    yield Rule(f"{ours}/norm{half}", theirs, leaves)
                else:
                    yield Rule(f"{ours}/depthwise{half}", theirs, leaves)
                    yield Rule(f"{ours}/pointwise{half}", theirs, KERAS_POINTWISE)


def _keras_inputs(place: Place, block: str, kind: str, label: str) -> list[Rule]:
    """Projections of a cell's two inputs."""
    adjust = f"adjust_{'reduction' if place.halves else 'projection'}_block_{label}"
    theirs, ours = f"{block}/adjust_block/{adjust}/adjust", f"{place.name}/previous"
    steps = {"path1": "conv_1", "path2": "conv_2"} if place.halves else {"conv": "conv_projection"}
    previous = [
        Rule(f"{ours}/{step}", f"{theirs}_{name}_{label}", KERAS_MAP)
        for step, name in steps.items()
    ]
    current = Rule(f"{place.name}/current/conv", f"{block}/{kind}_conv_1_{label}", KERAS_MAP)
    norms = [
        Rule(f"{ours}/norm", f"{theirs}_bn_{label}", KERAS_NORM),
        Rule(f"{place.name}/current/norm", f"{block}/{kind}_bn_1_{label}", KERAS_NORM),
    ]
    if not place.reduction:
        return [*previous, current, *norms]
    convs = [*previous, current] if place.halves else [current, *previous]
    return [*convs, *reversed(norms)]


def _require(source: str, model: NASNet, known: tuple[Genotype, ...]) -> None:
    if model.genotype not in known or model.stem_cells != 2 or model.aux_heads:
        raise UsageError(
            f"{source!r} has no names for this network, only for ImageNet forms of "
            f"{'NASNet-A' if known == (NASNET_A,) else 'NASNet-A and PNASNet-5'} without "
            "auxiliary head"
        )


TABLES = {"timm": timm, "keras": keras}
