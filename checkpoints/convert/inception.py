"""Inception's names in timm, torchvision and Keras: one table per network and library."""

from collections.abc import Iterator
from typing import Any

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
from checkpoints.convert.rules import Rule, Table
from zoo import inception
from zoo.errors import UsageError
from zoo.inception import Fork, Mixed, Pool, Residual, Stages, Unit, units_of

CONSTRUCTOR_OPTIONS = {
    "torchvision": {"aux_logits": False, "init_weights": False, "transform_input": False}
}
STEPS = range(1, 6)  # more units than any branch has


def unit(ours: str, theirs: str) -> tuple[Rule, Rule]:
    """Convolution and norm of one unit."""
    return (
        Rule(f"{ours}/conv", f"{theirs}.conv", CONV),
        Rule(f"{ours}/norm", f"{theirs}.bn", NORM),
    )


def sequential(ours: str, theirs: str, pooled: str = "branch3") -> tuple[Rule, ...]:
    """A block whose branches are sequences, counted from 0; one of them begins with a pool."""
    steps = (unit(f"{ours}/branch{{b}}_{i}", f"{theirs}.branch{{b}}.{i - 1}") for i in STEPS)
    return (
        *unit(f"{ours}/{pooled}", f"{theirs}.{pooled}.1"),
        *(rule for step in steps for rule in step),
        *unit(f"{ours}/branch{{b}}", f"{theirs}.branch{{b}}"),
    )


def flat(ours: str, theirs: str) -> tuple[Rule, ...]:
    """A block that keeps every unit itself, because branches fork."""
    names = [(f"{i}{fork}", f"{i - 1}{fork}") for i in STEPS for fork in ("", "a", "b")]
    steps = (unit(f"{ours}/branch{{b}}_{n}", f"{theirs}.branch{{b}}_{m}") for n, m in names)
    return (
        *unit(f"{ours}/branch0", f"{theirs}.branch0"),
        *unit(f"{ours}/branch3", f"{theirs}.branch3.1"),
        *(rule for step in steps for rule in step),
    )


V3_TORCH = Table(
    rules=(
        *unit("conv2d_3b", "Conv2d_3b_1x1"),
        *unit("conv2d_{n*}", "Conv2d_{n}_3x3"),
        *unit("mixed_{m*}/{branch*}", "Mixed_{m}.{branch}"),
        *unit("auxiliary_0/unit1", "AuxLogits.conv0"),
        *unit("auxiliary_0/unit2", "AuxLogits.conv1"),
        Rule("auxiliary_0/head", "AuxLogits.fc", DENSE),
        Rule("head", "fc", DENSE),
    ),
    order=(
        *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"),
        *("Mixed_5b", "Mixed_5c", "Mixed_5d"),
        *("Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
        *("AuxLogits", "Mixed_7a", "Mixed_7b", "Mixed_7c"),
        *("branch1x1", "branch5x5_1", "branch5x5_2"),
        *("branch3x3", "branch3x3_1", "branch3x3_2", "branch3x3_2a", "branch3x3_2b"),
        *("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3", "branch3x3dbl_3a"),
        *("branch3x3dbl_3b", *(f"branch7x7_{i}" for i in STEPS)),
        *(f"branch7x7dbl_{i}" for i in STEPS),
        *(*(f"branch7x7x3_{i}" for i in STEPS), "branch_pool"),
        *("conv0", "conv1", "fc", "conv", "bn", *LEAVES),
    ),
    counter=COUNTER,
)

V4_BLOCKS = (
    ("mixed_4a", 4),
    *((f"block_a_{i}", 5 + i) for i in range(1, 5)),
    ("reduction_a", 10),
    *((f"block_b_{i}", 10 + i) for i in range(1, 8)),
    ("reduction_b", 18),
)
V4_TIMM = Table(
    rules=(
        *unit("conv2d_1a", "features.0"),
        *unit("conv2d_2a", "features.1"),
        *unit("conv2d_2b", "features.2"),
        *unit("mixed_3a/branch1", "features.3.conv"),
        *unit("mixed_5a/branch0", "features.5.conv"),
        *(rule for name, i in V4_BLOCKS for rule in sequential(name, f"features.{i}")),
        *(rule for i in (1, 2, 3) for rule in flat(f"block_c_{i}", f"features.{18 + i}")),
        Rule("head", "last_linear", DENSE),
    ),
    order=(
        *("features", "branch0"),
        *("branch1", "branch1_0", "branch1_1a", "branch1_1b"),
        *("branch2", "branch2_0", "branch2_1", "branch2_2", "branch2_3a", "branch2_3b"),
        *("branch3", "conv", "bn", "last_linear", *LEAVES),
    ),
    counter=COUNTER,
)


def residual(ours: str, theirs: str) -> tuple[Rule, ...]:
    """A residual block: its branches and its projection."""
    return (*sequential(ours, theirs), Rule(f"{ours}/up", f"{theirs}.conv2d", CONV))


RESNET_V2_TIMM = Table(
    rules=(
        *(rule for i in range(1, 11) for rule in residual(f"block35_{i}", f"repeat.{i - 1}")),
        *(rule for i in range(1, 21) for rule in residual(f"block17_{i}", f"repeat_1.{i - 1}")),
        *(rule for i in range(1, 10) for rule in residual(f"block8_{i}", f"repeat_2.{i - 1}")),
        *residual("block8_10", "block8"),
        *sequential("mixed_{m*}", "mixed_{m}"),
        *unit("conv2d_{n*}", "conv2d_{n}"),
        Rule("head", "classif", DENSE),
    ),
    order=(
        *("conv2d_1a", "conv2d_2a", "conv2d_2b", "conv2d_3b", "conv2d_4a"),
        *("mixed_5b", "repeat", "mixed_6a", "repeat_1", "mixed_7a", "repeat_2", "block8"),
        *("conv2d_7b", "classif", "branch0", "branch1", "branch2", "branch3", "conv2d"),
        *("conv", "bn", *LEAVES),
    ),
    counter=COUNTER,
)

GOOGLENET_TORCH = Table(
    rules=(
        *unit("conv{i}", "conv{i}"),
        *sequential("inception{block*}", "inception{block}", pooled="branch4"),
        *(
            rule
            for i in (0, 1)
            for rule in (
                *unit(f"auxiliary_{i}/unit", f"aux{i + 1}.conv"),
                Rule(f"auxiliary_{i}/hidden", f"aux{i + 1}.fc1", DENSE),
                Rule(f"auxiliary_{i}/head", f"aux{i + 1}.fc2", DENSE),
            )
        ),
        Rule("head", "fc", DENSE),
    ),
    order=(
        *("conv1", "conv2", "conv3", "inception3a", "inception3b"),
        *(f"inception4{letter}" for letter in "abcde"),
        *("inception5a", "inception5b", "aux1", "aux2", "fc"),
        *("branch1", "branch2", "branch3", "branch4", "conv", "fc1", "fc2", "bn", *LEAVES),
    ),
    counter=COUNTER,
)


def keras(stages: Stages) -> Table:
    """The table of a Keras network, whose unnamed layers are numbered as they are made.

    Its weights are listed by distance from the output, then by branch.
    """
    rules, places = [], {}
    number = 0
    for place, path, is_projection in _placed(stages):
        if is_projection:
            conv, norm = f"{path.removesuffix('/up')}_conv", None
        elif path == "conv2d_7b":
            conv, norm = "conv_7b", "conv_7b_bn"
        else:
            suffix = f"_{number}" if number else ""
            conv, norm = f"conv2d{suffix}", f"batch_normalization{suffix}"
            number += 1
        ours = path if is_projection else f"{path}/conv"
        rules.append(Rule(ours, conv, KERAS_MAP))
        places[conv] = place
        if norm is not None:
            layer, distance, branch = place
            rules.append(Rule(f"{path}/norm", norm, KERAS_NORM))
            places[norm] = (layer, distance + 1, branch)
    return Table(
        rules=(*rules, Rule("head", "predictions", KERAS_MAP)),
        order=(
            *(*sorted(places, key=places.__getitem__), "predictions"),
            *KERAS_LEAVES,
        ),
        separator="/",
        numbered=("conv2d", "batch_normalization"),
    )


def _placed(stages: Stages) -> Iterator[tuple[tuple[int, int, int], str, bool]]:
    """Every convolution: (layer, minus the distance from its end, branch), path, is projection.

    A unit is three steps long (convolution, norm, ReLU), joining a fork is one more.
    """
    layers = [layer for _, layers in stages for layer in layers]
    for i, (name, op) in enumerate(layers):
        if isinstance(op, Unit):
            yield (i, -3, 0), name, False
        if not isinstance(op, Mixed | Residual):
            continue
        for b, branch in enumerate(op.branches):
            steps = [(n, o) for n, o in units_of(branch) if not isinstance(o, Pool)]
            forked = any(isinstance(o, Fork) for _, o in steps)
            for left, (n, o) in zip(range(len(steps) - 1, -1, -1), steps, strict=True):
                place = (i, -3 * left - 3 - forked, b)
                letters = "ab" if isinstance(o, Fork) else ("",)
                for letter in letters:
                    yield place, f"{name}/{n}{letter}", False
        if isinstance(op, Residual):
            yield (i, 0, 0), f"{name}/up", True


TABLES_BY_STAGES: dict[Stages, dict[str, Table]] = {
    inception.INCEPTION_V3: {
        "timm": V3_TORCH,
        "torchvision": V3_TORCH,
        "keras": keras(inception.INCEPTION_V3),
    },
    inception.INCEPTION_V4: {"timm": V4_TIMM},
    inception.INCEPTION_RESNET_V2: {
        "timm": RESNET_V2_TIMM,
        "keras": keras(inception.INCEPTION_RESNET_V2),
    },
    inception.GOOGLENET: {"torchvision": GOOGLENET_TORCH},
}


def _of(source: str) -> Any:
    def table(model: Any) -> Table:
        tables = TABLES_BY_STAGES.get(model.stages, {})
        if source not in tables:
            known = ", ".join(tables) or "none"
            raise UsageError(f"{source!r} has no names for this network; known: {known}")
        return _fitted(tables[source], model)

    return table


def _fitted(table: Table, model: Any) -> Table:
    """The table of a model that may lack the auxiliary heads that released files carry."""
    if model.aux_heads and model.num_classes is not None:
        return table
    heads = (rule.theirs for rule in table.rules if rule.ours.startswith("auxiliary_"))
    return table._replace(ignored=tuple(dict.fromkeys(h.partition(".")[0] for h in heads)))


TABLES = {source: _of(source) for source in ("timm", "torchvision", "keras")}
