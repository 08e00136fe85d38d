"""What stands in a message when the tensors of a file are not those of a model: both sides."""

from collections.abc import Collection, Mapping, Sequence

from zoo.errors import shown

Shape = tuple[int, ...]

_MOST = 15  # lines of a kind
_FIRST = 3  # names of a side


def difference(
    file: Mapping[str, Shape], model: Mapping[str, Shape], problems: Sequence[str]
) -> str:
    """The whole difference, begun by what a person sees at once: how the two sides' names look.

    Args:
        file: shapes of the file's tensors by name.
        model: shapes of the model's leaves, by the names that the file should have for them.
        problems: one line each, `! ` before what differs, `- ` before what only the model has and
            `+ ` before what only the file has.
    """
    same = sum(file.get(name) == shape for name, shape in model.items())
    lines = [
        f"the tensors do not fit the model: {same} of its {len(model)} names and shapes are there",
        f"the file has {_side(file, but=model)}",
        f"the model has {_side(model, but=file)}",
    ]
    for kind in ("! ", "- ", "+ "):
        found = [line for line in problems if line.startswith(kind)]
        lines += found[:_MOST]
        lines += [f"{kind}... and {len(found) - _MOST} more"] if len(found) > _MOST else []
    return "\n".join(lines)


def common_prefix(names: Collection[str]) -> str:
    """What all names begin with, up to a separator; empty if nothing.

    >>> common_prefix(["net.conv.weight", "net.conv.bias"]), common_prefix(["conv", "norm"])
    ('net.conv.', '')
    """
    start, last = min(names, default=""), max(names, default="")
    while not last.startswith(start):
        start = start[:-1]
    return start[: max(start.rfind("."), start.rfind("/")) + 1]


def _side(tensors: Mapping[str, Shape], but: Mapping[str, Shape]) -> str:
    """How many tensors, what their names share, and the first that the other side does not have."""
    prefix = common_prefix(tensors)
    every = f", every name begins with {shown(prefix)}" if prefix and len(tensors) > 1 else ""
    names = [name for name in tensors if name not in but] or list(tensors)
    first = ", ".join(f"{_cut(name)} {tensors[name]}" for name in names[:_FIRST])
    more = ", ..." if len(names) > _FIRST else ""
    return f"{len(tensors)} tensors{every}: {first}{more}" if tensors else "no tensors"


def _cut(name: str) -> str:
    return name if len(name) <= 80 else f"{name[:77]}..."
