"""Which published weights a file on this machine is: by its content, else by its name.

Nothing here looks at tensors. What is found decides the preprocessing, which no tensor tells.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from checkpoints import released
from checkpoints.card import Card
from checkpoints.preprocess import Preprocess
from zoo.errors import UsageError

_CHUNK = 1 << 20
# As publishers of torch files write it: resnet50-0676ba61.pth, ..._20210831-ea4938fc.pth.
_DIGITS = re.compile(r"-([0-9a-f]{8,64})(?![0-9a-z])")


class Found(NamedTuple):
    """A row of the catalogue that a file is taken to be.

    Attributes:
        card: the row.
        by: what says so, as the end of a sentence.
        certain: whether the content does.
    """

    card: Card
    by: str
    certain: bool


def digests(path: Path) -> dict[str, str]:
    """SHA-256 and MD5 of a file, which is what publishers state.

    Raises:
        UsageError: a pipe or a device, which may never end.
    """
    if not path.is_file():
        raise UsageError(f"{str(path)!r} is a pipe or a device and no file of weights.")
    hashes = {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)}
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            for one in hashes.values():
                one.update(block)
    return {name: one.hexdigest() for name, one in hashes.items()}


def check_digits(name: str, found: Mapping[str, str]) -> None:
    """Refuses a file whose name says the hash of other content.

    Digits of a hash stand after a hyphen, eight or more of them, letters among them.

    Args:
        name: of the file.
        found: its `digests`.

    Raises:
        UsageError: the digits are none of the file's.
    """
    for digits in _DIGITS.findall(name.lower()):
        is_hash = not digits.isdecimal() and not digits.isalpha()
        if is_hash and not any(digest.startswith(digits) for digest in found.values()):
            raise UsageError(
                f"{name!r} says that its hash begins with {digits}, and its SHA-256 is "
                f"{found['sha256']}: the file is damaged, or holds something else by now. Get it "
                "anew or, if the digits are no hash, rename it."
            )


def published(name: str, found: Mapping[str, str]) -> Found | None:
    """The published weights that a file is, by hash, else by name; None if it is none of them.

    Args:
        name: of the file.
        found: its `digests`.
    """
    for card in _rows():
        if _has_hash(card, found):
            return Found(card, "its hash", certain=True)
    if (card := _by_file_name().get(name)) is not None:
        return Found(card, "its name", certain=False)
    names = [card.name for card in _rows() if _stands_in(card.name, name)]
    if names:
        return Found(released.weights_info(max(names, key=len)), "its name", certain=False)
    return None


class Usual(NamedTuple):
    """How published weights of an architecture see images.

    Attributes:
        preprocess: of most of them.
        example: the name of some that have it.
        others: one name for every other mean and spread.
    """

    preprocess: Preprocess
    example: str
    others: tuple[str, ...]


def usual(architecture: str) -> Usual | None:
    """The preprocessing of most published weights of an architecture; None if there are none."""
    cards = [card for card in _rows() if card.architecture == architecture]
    if not cards:
        return None
    statistics = Counter((c.preprocess.mean, c.preprocess.std) for c in cards).most_common(1)[0][0]
    like = [c for c in cards if (c.preprocess.mean, c.preprocess.std) == statistics]
    preprocess = Counter(c.preprocess for c in like).most_common(1)[0][0]
    others = {(c.preprocess.mean, c.preprocess.std): c.name for c in cards if c not in like}
    example = next(c.name for c in like if c.preprocess == preprocess)
    return Usual(preprocess, example, tuple(others.values()))


def _has_hash(card: Card, found: Mapping[str, str]) -> bool:
    source = card.source or {}
    if source.get("sha256"):
        return source["sha256"] == found["sha256"]
    if source.get("sha256_prefix"):
        return found["sha256"].startswith(source["sha256_prefix"])
    return source.get("md5") == found["md5"]


def _stands_in(name: str, file_name: str) -> bool:
    """Whether the name of weights stands in a file's, as in `timm_resnet18.a1_in1k.pth`."""
    return re.search(rf"(?<![a-z0-9]){re.escape(name)}(?![a-z0-9_])", file_name.lower()) is not None


def _rows() -> Sequence[Card]:
    return [released.weights_info(name) for name in released.list_published()]


@cache
def _by_file_name() -> dict[str, Card]:
    """Rows by the name of the file that is published, where that name says something."""
    addresses = {card.name: (card.source or {}).get("url", "") for card in _rows()}
    files = {name: Path(urlsplit(url).path).name for name, url in addresses.items() if url}
    return {f: released.weights_info(name) for name, f in files.items() if "." in f}
