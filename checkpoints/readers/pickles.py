"""The part of Python's pickle that tensors need, as a machine that can call nothing.

A pickle is a program. Python's own unpickler runs it: it imports what the program names and calls
it, and it takes gigabytes if a damaged program asks for them. This one knows the operations that
PyTorch writes for weights, and names stand for themselves: a `Name` is looked up in a table of
functions by its spelling and never imported. Anything else is refused by its name.
"""

import pickletools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from zoo.errors import UsageError

Functions = Mapping[str, Callable[..., Any]]

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": set}
_VALUES = (
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "INT", "LONG", "BINFLOAT", "FLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "UNICODE", "BINBYTES", "SHORT_BINBYTES"),
    *("BINSTRING", "SHORT_BINSTRING"),
)
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_SCALARS = (str, int, float, bytes, type(None))


class Name(NamedTuple):
    """A class or function that a pickle names; it is not imported."""

    path: str


class Inert(dict[str, Any]):
    """What stands for an object that weights do not need: its fields, without its class."""


def inert(*_: Any, **__: Any) -> Inert:
    """Stands for the constructor of an object that weights do not need."""
    return Inert()


def loads(data: bytes, functions: Functions, persistent: Callable[[Any], Any]) -> Any:
    """The value of a pickle.

    Args:
        data: the program.
        functions: what may be called, by full name.
        persistent: maps a persistent identifier to its value.

    Raises:
        UsageError: the program names or does something that weights do not need.
        Exception: the program is damaged.
    """
    machine = _Machine(functions, persistent)
    for operation, argument, _ in pickletools.genops(data):
        if operation.name == "STOP":
            return machine.stack.pop()
        machine.step(operation.name, argument)
    raise ValueError("the pickle has no end")


class _Machine:
    """A stack, marks on it, and a memo."""

    def __init__(self, functions: Functions, persistent: Callable[[Any], Any]):
        self.functions, self.persistent = functions, persistent
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            self._tuple(_TUPLES[name])
        elif name in ("PROTO", "FRAME"):
            pass
        elif action := getattr(self, f"_{name.lower()}", None):
            action(argument)
        else:
            raise UsageError(f"its pickle uses {name}, which files of weights do not need.")

    def _tuple(self, count: Any) -> None:
        """`TUPLE1` to `TUPLE3` take the newest values, `TUPLE` those above the mark."""
        if count is None:
            values = self._above_mark()
        else:
            values = [self.stack.pop() for _ in range(count)][::-1]
        self.stack.append(tuple(values))

    def _above_mark(self) -> list[Any]:
        values, self.stack = self.stack, self.marked.pop()
        return values

    def _mark(self, _: Any) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def _pop(self, _: Any) -> None:
        self.stack.pop()

    def _list(self, _: Any) -> None:
        values = self._above_mark()
        self.stack.append(values)

    def _dict(self, _: Any) -> None:
        values = self._above_mark()
        self.stack.append({})
        for key, value in zip(values[::2], values[1::2], strict=True):
            self._insert(key, value)

    def _append(self, _: Any) -> None:
        value = self.stack.pop()
        self._top(list).append(value)

    def _appends(self, _: Any) -> None:
        values = self._above_mark()
        self._top(list).extend(values)

    def _additems(self, _: Any) -> None:
        values = [v for v in self._above_mark() if isinstance(v, _SCALARS)]
        self._top(set).update(values)

    def _setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._insert(key, value)

    def _setitems(self, _: Any) -> None:
        values = self._above_mark()
        for key, value in zip(values[::2], values[1::2], strict=True):
            self._insert(key, value)

    def _insert(self, key: Any, value: Any) -> None:
        self._top(dict)[hashable(key)] = value

    def _top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise ValueError(f"a {type(self.stack[-1]).__name__} stands for a {kind.__name__}")
        return self.stack[-1]

    def _binput(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    _put = _long_binput = _binput

    def _memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _binget(self, place: int) -> None:
        self.stack.append(self.memo[place])

    _long_binget = _get = _binget

    def _global(self, argument: str) -> None:
        self._named(argument.replace(" ", ".", 1))

    def _stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("a name is no string")
        self._named(f"{module}.{name}")

    def _named(self, path: str) -> None:
        if path not in self.functions:
            raise UsageError(
                f"it needs {path[:200]!r}, which is not on the list of what weights need. A file "
                "may run any code through such a name, so it is refused; load it where you trust "
                "it with PyTorch and save `model.state_dict()` with safetensors."
            )
        self.stack.append(Name(path))

    def _reduce(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.stack.append(call(self.functions, function, arguments))

    _newobj = _reduce

    def _build(self, _: Any) -> None:
        """The state of an object counts only where it stands for its fields."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Inert) and isinstance(state, dict):
            target.update(state)

    def _binpersid(self, _: Any) -> None:
        self.stack.append(self.persistent(self.stack.pop()))


def hashable(key: Any) -> Any:
    """A key of a dictionary; hashing anything but scalars may exhaust the C stack."""
    if not isinstance(key, _SCALARS):
        raise ValueError(f"a dictionary has a key of type {type(key).__name__}")
    return key


def call(functions: Functions, function: Any, arguments: Any) -> Any:
    """Calls a named function of the table."""
    if not isinstance(function, Name) or not isinstance(arguments, tuple):
        raise ValueError("a value is called that is no function")
    return functions[function.path](*arguments)
