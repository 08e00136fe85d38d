"""CRC-32C, the checksum of TFRecord files, of many bytes at once.

A message is cut into rows of one length that NumPy takes byte by byte side by side; the checksum of
all is put together of theirs, since it is linear over the field of two elements. RFC 3720, B.4.
"""

import functools
import math

import numpy as np
from jaxtyping import UInt32

POLYNOMIAL, WORD = 0x82F63B78, 0xFFFFFFFF
MASK = 0xA282EAD8  # of TFRecord, whose checksums are turned and shifted by this


def _table() -> UInt32[np.ndarray, "256"]:
    """What a byte makes of a remainder of zero."""
    rest = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        rest = np.where(rest & 1, rest >> 1 ^ POLYNOMIAL, rest >> 1).astype(np.uint32)
    return rest


_TABLE = _table()


def crc32c(message: bytes) -> int:
    """The checksum of a message.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    if len(message) < 4:
        return _one_by_one(message)
    # A remainder that begins with ones is one of zero for a message whose first four bytes are
    # turned; and zeros before a message leave a remainder of zero as it is.
    head = bytes(byte ^ 0xFF for byte in message[:4])
    count = math.isqrt(len(message)) + 1
    length = -(-len(message) // count)
    padded = (head + message[4:]).rjust(count * length, b"\0")
    rows = np.frombuffer(padded, np.uint8).reshape(count, length)
    if len(message) < 4:
        return _one_by_one(message)
    ends = _remainders(rows, np.zeros(count, np.uint32)).tolist()
    after, rest = _after_zeros(length), 0
    for end in ends:
        moved = end
        for bit in range(32):
            if rest >> bit & 1:
                moved ^= after[bit]
        rest = moved
    return rest ^ WORD


def masked(message: bytes) -> int:
    """The checksum as TFRecord files hold it."""
    plain = crc32c(message)
    return ((plain >> 15 | plain << 17) + MASK) & WORD


@functools.lru_cache(maxsize=1024)
def _after_zeros(length: int) -> list[int]:
    """What so many bytes of zeros make of each bit of a remainder."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    return _remainders(np.zeros((32, length), np.uint8), bits).tolist()


def _remainders(rows: np.ndarray, rest: np.ndarray) -> np.ndarray:
    for column in np.ascontiguousarray(rows.T):
        rest = _TABLE[(rest ^ column) & 0xFF] ^ rest >> 8
    return rest


def _one_by_one(message: bytes) -> int:
    rest = WORD
    for byte in message:
        rest = int(_TABLE[(rest ^ byte) & 0xFF]) ^ rest >> 8
    return rest ^ WORD
