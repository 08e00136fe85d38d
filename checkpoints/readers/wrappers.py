"""What training frameworks put around a model's tensors: recognised, taken off, and said.

Keys of dictionaries and the first parts of dotted names are the same words, kept in four tables.
A part of names that all have is taken off whatever it is called: no network of the zoo has one.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from checkpoints.readers.text import printable
from zoo.errors import UsageError

# Weights, in the order of preference: averaged ones are what papers report.
AVERAGED = (
    *("state_dict_ema", "model_state_dict_ema", "model_ema", "ema_model", "ema_state_dict"),
    *("ema_weights", "params_ema", "net_ema", "ema_net", "averaged_model", "swa_model"),
    *("swa_state_dict", "ema", "shadow"),
)
WEIGHTS = (
    *("state_dict", "model_state_dict", "model_state", "model", "module", "net", "network"),
    *("net_state_dict", "online_model", "params", "weights"),
)
# What wrappers put between the parts of a name, or before it.
MARKS = (
    *("_orig_mod", "_forward_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"),
    *("_wrapped_module", "_ddp_module"),
)
# What lies beside the weights and is none of them; also with an ending, as in `optimizer_2`.
COMPANIONS = (
    *("optimizer", "optimizers", "optim", "scheduler", "lr", "scaler", "grad", "amp"),
    *("rng", "cuda", "args", "config", "cfg", "hparams", "hyper", "options", "opt", "meta"),
    *("callbacks", "loops", "history", "metrics", "train", "val", "logs", "best"),
    *("criterion", "loss", "losses", "n_averaged", "num_updates", "decay", "initted"),
    *("step", "epoch", "global_step", "iteration"),
)
_DEPTH, _MOST_CHANGES = 5, 12  # wrappers inside wrappers, and inside names
_LONGEST = 1000  # characters of a name
_COUNTER = "num_batches_tracked"  # carries no weight, and averages leave it out


class Contents(NamedTuple):
    """What a file of weights holds.

    Attributes:
        tensors: arrays under the source library's names.
        notes: what was taken off or left out, one sentence each.
    """

    tensors: dict[str, Any]
    notes: tuple[str, ...]


def unwrap(value: Any, is_tensor: type) -> Contents:
    """The names and tensors inside a checkpoint of some training framework.

    Args:
        value: what the file holds, such as `{"epoch": 3, "state_dict": {"conv1.weight": ...}}`.
        is_tensor: type of a tensor.

    Raises:
        UsageError: no names with tensors anywhere; what is there is named.
    """
    found = _weights(value, is_tensor, _DEPTH, set())
    if found is None:
        raise UsageError(f"it holds no named tensors but {_words(value)}.")
    return found


def _weights(value: Any, is_tensor: type, depth: int, seen: set[int]) -> Contents | None:
    """The weights below a dictionary, or None; no dictionary is looked at twice."""
    if not isinstance(value, Mapping) or depth == 0 or id(value) in seen:
        return None
    seen.add(id(value))

    def below(keys: Iterable[Any]) -> dict[str, Contents]:
        found = {key: _weights(value.get(key), is_tensor, depth - 1, seen) for key in keys}
        return {_name(key): contents for key, contents in found.items() if contents}

    if known := below((*AVERAGED, *WEIGHTS)):
        return _chosen(known, value)
    tensors = {_name(k): v for k, v in value.items() if isinstance(v, is_tensor)}
    if not all(_is_companion(name) for name in tensors):
        others = [key for key, v in value.items() if not isinstance(v, is_tensor)]
        left = (f"left {_some(others)}, which are no tensors",) if others else ()
        return Contents(tensors, left)
    unknown = below(key for key in value if not _is_companion(str(key)))
    if len(unknown) < 2:
        return _chosen(unknown, value) if unknown else None
    joined = {f"{k}.{n}": t for k, c in unknown.items() for n, t in c.tensors.items()}
    return Contents(joined, (f"joined the tensors under {_some(unknown)}",))


def _chosen(known: Mapping[str, Contents], value: Mapping[Any, Any]) -> Contents:
    """The preferred one of several sets of weights in a dictionary."""
    averaged = next((key for key in known if key in AVERAGED), None)
    plain = next((key for key in known if key not in AVERAGED), None)
    key, kind = plain, "weights"
    if averaged and (plain is None or _covers(known[averaged].tensors, known[plain].tensors)):
        key, kind = averaged, "averaged (EMA) weights"
    others = [other for other in value if other != key]
    note = f"took the {kind} under {key!r}" + (f", left {_some(others)}" if others else "")
    return Contents(known[str(key)].tensors, (note, *known[str(key)].notes))


def without_prefixes(tensors: Mapping[str, Any]) -> Contents:
    """Names without what wrapped modules put before them, and without what is no weight."""
    found, notes = dict(tensors), list[str]()
    if any("/" in name for name in found):  # Keras's and our own names, which nothing wraps
        return Contents(found, ())
    if _is_our_tree(found):
        ours = {name.replace(".", "/"): tensor for name, tensor in found.items()}
        return Contents(ours, ("took names with dots for paths",))
    for _ in range(_MOST_CHANGES):
        step = next(filter(None, (change(found) for change in _CHANGES)), None)
        if step is None:
            break
        found = step.tensors
        notes += step.notes
    return Contents(found, tuple(notes))


def _is_our_tree(names: Iterable[str]) -> bool:
    """Whether names are those of a flattened tree of variables, with dots."""
    parts = [name.split(".") for name in names]
    return any(part[-1] in ("kernel", "scale") for part in parts) and all(
        part[0] in ("params", "batch_stats") for part in parts
    )


def _without_common(tensors: Mapping[str, Any]) -> Contents | None:
    parts = {name.partition(".")[0] for name in tensors}
    prefix = f"{next(iter(parts), '')}."
    rests = [name.removeprefix(prefix) for name in tensors]
    is_known = prefix[:-1] in (*AVERAGED, *WEIGHTS, *MARKS)
    is_wrapper = all(rests) and (is_known or any("." in rest for rest in rests))
    if len(parts) != 1 or not is_wrapper or not all(name.startswith(prefix) for name in tensors):
        return None
    note = f"took {prefix!r} off every name"
    return Contents(dict(zip(rests, tensors.values(), strict=True)), (note,))


def _without_companions(tensors: Mapping[str, Any]) -> Contents | None:
    left = [name for name in tensors if _is_companion(name)]
    if not left or len(left) == len(tensors):
        return None
    kept = {name: tensor for name, tensor in tensors.items() if not _is_companion(name)}
    return Contents(kept, (f"left {_some(left)}, which are no weights",))


def _without_copies(tensors: Mapping[str, Any]) -> Contents | None:
    """Of weights and averaged weights under names of one dictionary, those that are preferred."""
    averaged = next((a for a in AVERAGED if any(n.startswith(f"{a}.") for n in tensors)), None)
    if averaged is None:
        return None
    prefix = f"{averaged}."
    plain = {name: tensor for name, tensor in tensors.items() if not name.startswith(prefix)}
    if not plain:
        return None
    names = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
    if _covers(names, plain):
        return Contents(names, (f"took the averaged (EMA) weights under {averaged!r}",))
    return Contents(plain, (f"left {averaged!r}, which is no whole copy of the weights",))


def _without_marks(tensors: Mapping[str, Any]) -> Contents | None:
    """Names without marks; names that would then be the same are left alone."""
    bare = [".".join(p for p in name.split(".") if p not in MARKS) for name in tensors]
    if bare == list(tensors) or not all(bare) or len(set(bare)) < len(bare):
        return None
    found = sorted({part for name in tensors for part in name.split(".") if part in MARKS})
    note = f"took {', '.join(found)} out of names"
    return Contents(dict(zip(bare, tensors.values(), strict=True)), (note,))


_CHANGES = (_without_common, _without_companions, _without_copies, _without_marks)


def _covers(averaged: Mapping[str, Any], plain: Mapping[str, Any]) -> bool:
    """Whether averaged weights have every name that the weights have."""
    found, needed = without_prefixes(averaged).tensors, without_prefixes(plain).tensors
    return all(name in found or name.endswith(_COUNTER) for name in needed)


def _is_companion(name: str) -> bool:
    first = name.partition(".")[0]
    return first in COMPANIONS or first.partition("_")[0] in COMPANIONS


def _name(key: Any) -> str:
    name = str(key)
    if len(name) > _LONGEST:
        raise UsageError(f"one of its names has {len(name):,} characters.")
    return name


def _some(keys: Iterable[Any], most: int = 20) -> str:
    """The first of many keys, each cut short."""
    words = [printable(str(key), 80) for key in keys]
    more = [f"and {len(words) - most} more"] if len(words) > most else []
    return ", ".join(words[:most] + more)


def _words(value: Any) -> str:
    if not isinstance(value, Mapping):
        return f"one {type(value).__name__}"
    inside = [
        f"{k} ({_some(v, 5)})" if isinstance(v, Mapping) and v else k for k, v in value.items()
    ]
    return printable(f"the keys {_some(inside)}", 400) if value else "nothing"
