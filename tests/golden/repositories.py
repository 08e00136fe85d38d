"""Constructors of the repositories of papers, in terms of our rows and their fields."""

import ast
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import zoo
from zoo.errors import UsageError
from zoo.simplenet import STRIDES


class Call(NamedTuple):
    """A constructor call; `function` is the last word of its dotted name."""

    function: str
    arguments: list[Any]
    keywords: dict[str, Any]


def parse_call(text: str) -> tuple[str, Call]:
    """First word and parts of a call.

    Raises:
        UsageError: it is not one, or an argument is no literal.
    """
    try:
        call = ast.parse(text, mode="eval").body
        assert isinstance(call, ast.Call)
        arguments = [ast.literal_eval(a) for a in call.args]
        keywords = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    except (SyntaxError, ValueError, AssertionError) as error:
        raise UsageError(f"no call with literal arguments: {text!r} ({error})") from error
    function = ast.unparse(call.func)
    return function.partition(".")[0], Call(function.rpartition(".")[2], arguments, keywords)


Reader = Callable[[Call], tuple[str, dict[str, Any]]]

# Arguments of the bare classes of the SReT repository, in order, and the row that they override.
SRET_CLASSES = {
    "SReT": "sret_t",
    "Distilled_SReT": "sret_t",
    "RecursiveTransformer": "sret_t_wo_slice",
    "DistilledRecursiveTransformer": "sret_t_wo_slice",
}
SRET_STAGES = ("base_dims", "depth", "recursive_num")
SRET_ARGUMENTS = {
    "sret_t": ("groups1", "groups2", "heads", "mlp_ratio", "np_mlp_ratio"),
    "sret_t_wo_slice": ("heads", "mlp_ratio", "np_mlp_ratio"),
}


def sret(call: Call) -> tuple[str, dict[str, Any]]:
    """Our row for a constructor of the SReT repository, `SReT_T` or the bare class `SReT`."""
    function, arguments, keywords = call
    if function not in SRET_CLASSES:
        return function.lower(), dict(keywords)
    name = SRET_CLASSES[function]
    order = ("image_size", "patch_size", "stride", *SRET_STAGES, *SRET_ARGUMENTS[name])
    keywords = dict(zip((*order, "num_classes", "in_chans"), arguments, strict=False)) | keywords
    depth, shared = keywords.get("depth", (4, 10, 6)), keywords.get("recursive_num", (2, 5, 3))
    keywords["recursions"] = tuple(d // blocks for d, blocks in zip(depth, shared, strict=False))
    for unused in ("depth", "patch_size", "stride"):  # the repository ignores the last two
        keywords.pop(unused, None)
    return name, keywords


# The SimpleNet repository: its class, the function that makes any network, rows by `network_idx`.
SIMPLENET_ORDER = ("num_classes", "in_chans", "scale", "network_idx", "mode", "drop_rates")
SIMPLENET_ROWS = (
    *("simplenetv1_5m_m2", "simplenetv1_9m_m2", "simplenet_cifar_310k", "simplenet_cifar_460k"),
    *("simplenet_cifar_5m", "simplenet_cifar_5m_extra_pool"),
)
SIMPLENET_OPTIONS = ("scale", "network_idx", "mode", "drop_rate")  # which named networks ignore
HEAD = 15  # the number of a dropout rate that is the head's as well


def simplenet_call(call: Call) -> tuple[str, dict[str, Any]]:
    """Our row for `simplenet_cifar_310k()`, `simplenet(scale=0.5, mode=3)` or `SimpleNet(10)`."""
    order = SIMPLENET_ORDER if call.function == "SimpleNet" else ("pretrained",)
    keywords = dict(zip(order, call.arguments, strict=False)) | call.keywords
    options = {name: keywords.pop(name) for name in SIMPLENET_OPTIONS if name in keywords}
    name = call.function
    if name in ("simplenet", "SimpleNet"):
        name = SIMPLENET_ROWS[options.get("network_idx", 0)]
        keywords["strides"] = STRIDES[options.get("mode", 2)]
        keywords["scale"] = float(options.get("scale", 1.0))
    if "drop_rates" in keywords:
        keywords["drop_rates"] = simplenet_places(name, keywords["drop_rates"])
    return name, keywords


def simplenet_places(name: str, rates: Mapping[int, float]) -> list[tuple[str, float]]:
    """Our names for layers with a dropout of their own; cases are recorded without any."""
    places = zoo.create_model(name).places()[:-1]
    known = [(places[int(i)], 0.0) for i in rates if int(i) < len(places)]
    return [*known, *([("head", 0.0)] if HEAD in map(int, rates) else [])]


# The blocks of the DeepMAD repository, the rows that have them, what a list says of one.
TINYNAS = {"SuperResK1KXK1": "deepmad_r18", "SuperResK1DWSEK1": "deepmad_29m_224"}
TINYNAS_STAGE = ("out", "k", "s", "L", "btn")
TINYNAS_KNOWN = {"class", "in", "inner_class", *TINYNAS_STAGE}


def tinynas(call: Call) -> tuple[str, dict[str, Any]]:
    """Our row and its structure for `CnnNet(structure_info=[...], classfication=True)`."""
    keywords = dict(call.keywords)
    stem, *blocks = keywords.pop("structure_info")
    if not keywords.pop("classfication", False):
        raise UsageError("the network has no classifier without `classfication=True`")
    further = {name for block in (stem, *blocks) for name in block} - TINYNAS_KNOWN
    top = blocks.pop()["out"] if blocks[-1]["class"] == "ConvKXBNRELU" else None
    kinds = {block["class"] for block in blocks}
    if further or len(kinds) > 1 or not kinds <= TINYNAS.keys():
        raise UsageError(f"we lack blocks {kinds} with {further or 'the usual arguments'}")
    stages = tuple(tuple(block[name] for name in TINYNAS_STAGE) for block in blocks)
    return TINYNAS[kinds.pop()], keywords | {"stages": stages, "stem": stem["out"], "top": top}


READERS: dict[str, Reader] = {"sret": sret, "simplenet": simplenet_call, "tinynas": tinynas}
