"""What training frameworks put around a model's tensors: recognised, taken off, and said."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from zoo.errors import UsageError

# In the order of preference: averaged weights are what papers report.
_AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")
_PLAIN = ("state_dict", "model_state_dict", "model_state", "model", "module", "net", "weights")
_PREFIXES = ("module.", "_orig_mod.", "model.", "ema_model.")
_DEPTH = 4  # wrappers inside wrappers


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
    notes: list[str] = []
    for _ in range(_DEPTH):
        if not isinstance(value, Mapping) or any(isinstance(v, is_tensor) for v in value.values()):
            break
        key = next((k for k in (*_AVERAGED, *_PLAIN) if isinstance(value.get(k), Mapping)), None)
        if key is None:
            break
        others = ", ".join(str(k) for k in value if k != key)
        kind = "averaged (EMA) weights" if key in _AVERAGED else "weights"
        notes.append(f"took the {kind} under {key!r}" + (f", left {others}" if others else ""))
        value = value[key]
    if not isinstance(value, Mapping) or not any(isinstance(v, is_tensor) for v in value.values()):
        raise UsageError(f"it holds no named tensors but {_words(value)}.")
    found = {str(k): v for k, v in value.items() if isinstance(v, is_tensor)}
    if left := [str(k) for k in value if str(k) not in found]:
        notes.append(f"left {', '.join(left)}, which are no tensors")
    tensors, more = without_prefixes(found)
    return Contents(tensors, (*notes, *more))


def without_prefixes(tensors: Mapping[str, Any]) -> Contents:
    """Names without what parallel, compiled or wrapped modules put before all of them."""
    names, notes = list(tensors), []
    while prefix := next((p for p in _PREFIXES if names and _all_start(names, p)), None):
        names = [name.removeprefix(prefix) for name in names]
        notes.append(f"took {prefix!r} off every name")
    return Contents(dict(zip(names, tensors.values(), strict=True)), tuple(notes))


def _all_start(names: list[str], prefix: str) -> bool:
    return all(name.startswith(prefix) and name != prefix for name in names)


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"the keys {', '.join(map(str, list(value)[:20]))}" if value else "nothing"
    return f"one {type(value).__name__}"
