"""The part of Python's pickle that tensors need, as a machine that can call nothing.

A pickle is a program. Python's own unpickler runs it: it imports what the program names and calls
it, and it takes gigabytes if a damaged program asks for them. This one knows the operations that
PyTorch writes for weights, and names stand for themselves: a `Name` is looked up in a table of
functions by its spelling and never imported. Anything else is refused by its name.

Every operation is charged with the bytes that it may take, so that a short program cannot make
long values: by copying dictionaries, say, or by many empty containers.
"""

import io
import pickletools
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from zoo.errors import UsageError

Functions = Mapping[str, Callable[..., Any]]

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": set}
_VALUES = (
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "INT", "LONG", "BINFLOAT", "FLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "UNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "BINSTRING", "SHORT_BINSTRING"),
)
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_SCALARS = (str, int, float, bytes, type(None))
_OPERATION, _ENTRY, _CALL = 64, 120, 600  # bytes that they take at most
_SPREAD = 8  # bytes that a byte of text may take while it is read
_LINE, _LARGE = 1 << 16, 1 << 31


class Name(NamedTuple):
    """A class or function that a pickle names; it is not imported."""

    path: str


class Inert(dict[Any, Any]):
    """What stands for an object that weights do not need: its fields, without its class."""


def inert(*_: Any, **__: Any) -> Inert:
    """Stands for the constructor of an object that weights do not need."""
    return Inert()


class Budget:
    """Bytes that may still be taken."""

    def __init__(self, left: int):
        self.left = left

    def take(self, size: int) -> None:
        """Takes some of what is left.

        Raises:
            UsageError: nothing is left.
        """
        self.left -= size
        if self.left < 0:
            raise UsageError("its pickle makes far more than it is long, which is not believed.")


class _Program:
    """A stream that reads nothing for which there is no memory."""

    def __init__(self, stream: io.BufferedIOBase, budget: Budget):
        self.stream, self.budget = stream, budget
        self.tell = stream.tell

    def read(self, size: int) -> bytes:
        if _SPREAD * size > self.budget.left:
            raise UsageError(f"its pickle holds one value of {size:,} bytes, which none needs.")
        return self.stream.read(size)

    def readline(self) -> bytes:
        return self.stream.readline(_LINE)


def loads(
    stream: io.BufferedIOBase,
    functions: Functions,
    persistent: Callable[[Any], Any],
    budget: Budget,
) -> Any:
    """The value of a pickle; the stream then stands behind it.

    Args:
        stream: of the program.
        functions: what may be called, by full name.
        persistent: maps a persistent identifier to its value.
        budget: what the value may take, in bytes.

    Raises:
        UsageError: the program names or does something that weights do not need, or takes more.
        Exception: the program is damaged.
    """
    machine = _Machine(functions, persistent, budget)
    program: Any = _Program(stream, budget)
    for operation, argument, _ in pickletools.genops(program):
        if operation.name == "STOP":
            return machine.stack.pop()
        machine.step(operation.name, argument)
    raise ValueError("the pickle has no end")


class _Machine:
    """A stack, marks on it, and a memo."""

    def __init__(self, functions: Functions, persistent: Callable[[Any], Any], budget: Budget):
        self.functions, self.persistent, self.take = functions, persistent, budget.take
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        self.take(_OPERATION)
        if name in _VALUES:
            self.take(sys.getsizeof(argument))
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            value = _EMPTY[name]()
            self.take(sys.getsizeof(value) + _ENTRY)
            self.stack.append(value)
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
        self.take(8 * len(values))
        return values

    def _mark(self, _: Any) -> None:
        self.take(_ENTRY)
        self.marked.append(self.stack)
        self.stack = []

    def _pop(self, _: Any) -> None:
        self.stack.pop()

    def _pop_mark(self, _: Any) -> None:
        self._above_mark()

    def _dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

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
        self._extend([value])

    def _appends(self, _: Any) -> None:
        self._extend(self._above_mark())

    def _extend(self, values: list[Any]) -> None:
        """Lists grow; what stands for another kind of list stays empty."""
        self.take(16 * len(values))
        if not isinstance(self.stack[-1], Inert):
            self._top(list).extend(values)

    def _additems(self, _: Any) -> None:
        values = self._scalars()
        self._top(set).update(values)

    def _frozenset(self, _: Any) -> None:
        values = self._scalars()
        self.stack.append(frozenset(values))

    def _scalars(self) -> list[Any]:
        values = [hashable(value) for value in self._above_mark() if isinstance(value, _SCALARS)]
        self.take(_ENTRY * len(values))
        return values

    def _setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._insert(key, value)

    def _setitems(self, _: Any) -> None:
        values = self._above_mark()
        for key, value in zip(values[::2], values[1::2], strict=True):
            self._insert(key, value)

    def _insert(self, key: Any, value: Any) -> None:
        self.take(_ENTRY)
        self._top(dict)[hashable(key)] = value

    def _top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise ValueError(f"a {type(self.stack[-1]).__name__} stands for a {kind.__name__}")
        return self.stack[-1]

    def _binput(self, place: int) -> None:
        self.take(_ENTRY)
        if place >= _LARGE:
            raise ValueError(f"its memo has a place {place}")
        self.memo[place] = self.stack[-1]

    _put = _long_binput = _binput

    def _memoize(self, _: Any) -> None:
        self._binput(len(self.memo))

    def _binget(self, place: int) -> None:
        self.stack.append(self.memo[place])

    _long_binget = _get = _binget

    def _global(self, argument: str) -> None:
        self._named(argument.replace(" ", ".", 1))

    def _stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("a name is no string")
        self._named(f"{module[:_LINE]}.{name[:_LINE]}")

    def _named(self, path: str) -> None:
        if path not in self.functions:
            raise UsageError(
                f"it needs {path[:200]!r}, which is not on the list of what weights need. A file "
                "may run any code through such a name, so it is refused; load it where you trust "
                "it with PyTorch and save `model.state_dict()` with safetensors."
            )
        self.take(_ENTRY + len(path))
        self.stack.append(Name(path))

    def _reduce(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self._call(function, arguments)

    _newobj = _reduce

    def _newobj_ex(self, _: Any) -> None:
        self.stack.pop()  # its keywords
        self._reduce(_)

    def _call(self, function: Any, arguments: Any) -> None:
        if isinstance(arguments, tuple):
            sizes = [len(a) for a in arguments if isinstance(a, list | tuple | dict | set)]
            self.take(_CALL + 8 * len(arguments) + _ENTRY * sum(sizes))
        self.stack.append(call(self.functions, function, arguments))

    def _build(self, _: Any) -> None:
        """The state of an object counts only where it stands for its fields."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Inert) and isinstance(state, dict):
            self.take(_ENTRY * len(state))
            target.update(state)

    def _binpersid(self, _: Any) -> None:
        self.take(_CALL)
        self.stack.append(self.persistent(self.stack.pop()))


def hashable(key: Any) -> Any:
    """A key of a dictionary: a scalar whose hash no file can choose.

    Hashing anything else may exhaust the C stack; large integers and fractions can be made to have
    one hash, so their digits stand for them.
    """
    if isinstance(key, Name):
        return key.path
    if not isinstance(key, _SCALARS):
        return f"<{type(key).__name__}>"
    if isinstance(key, int) and -_LARGE < key < _LARGE:
        return key
    return str(key) if isinstance(key, int | float) else key


def call(functions: Functions, function: Any, arguments: Any) -> Any:
    """Calls a named function of the table."""
    if not isinstance(function, Name) or not isinstance(arguments, tuple):
        raise ValueError("a value is called that is no function")
    return functions[function.path](*arguments)
