"""`tf.train.Example`, the message in TFRecord and ArrayRecord files, read without TensorFlow.

    Example  {1: Features}
    Features {1: {1: name, 2: Feature}}
    Feature  {1: bytes, 2: floats, 3: integers}, each of them {1: value}

https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

VARINT, EIGHT, LENGTH, FOUR = 0, 1, 2, 5  # types of fields on the wire


def parse(message: bytes) -> dict[str, list[Any]]:
    """Values of each feature: bytes, floats or integers.

    Raises:
        ValueError: these bytes are no such message.
    """
    found = {}
    for features in _only(message, 1):
        for entry in _only(features, 1):
            fields = dict(_fields(entry))
            found[bytes(fields[1]).decode()] = _values(fields.get(2, b""))
    return found


def _values(feature: Any) -> list[Any]:
    for kind, values in _fields(feature):
        found = list(_fields(values))
        if kind == 1:
            return [bytes(value) for _, value in found]
        if kind == 2:  # packed together, or each by itself: four bytes a number in both cases
            return np.frombuffer(b"".join(bytes(v) for _, v in found), "<f4").tolist()
        packed = [list(_varints(v)) if not isinstance(v, int) else [v] for _, v in found]
        return [n - 2**64 if n >> 63 else n for numbers in packed for n in numbers]
    return []


def _only(message: Any, number: int) -> list[Any]:
    return [value for found, value in _fields(message) if found == number]


def _fields(message: Any) -> Iterator[tuple[int, Any]]:
    """Number and value of each field: an integer, or bytes."""
    view, at = memoryview(message), 0
    while at < len(view):
        key, at = _varint(view, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = _varint(view, at)
        else:
            size, at = _varint(view, at) if kind == LENGTH else ({EIGHT: 8, FOUR: 4}[kind], at)
            value, at = view[at : at + size], at + size
            if at > len(view):
                raise ValueError("it is cut short")
        yield number, value


def _varints(packed: Any) -> Iterator[int]:
    at = 0
    while at < len(packed):
        number, at = _varint(packed, at)
        yield number


def _varint(view: Any, at: int) -> tuple[int, int]:
    """An integer of seven bits a byte, the low ones first, and where it ends."""
    number = shift = 0
    while True:
        byte = view[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
        if shift > 63:
            raise ValueError("an integer has more than 64 bits")
