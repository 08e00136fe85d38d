"""What arguments of augmentations must be, in sentences."""

import contextlib
import math
from collections.abc import Iterator, Sequence

from zoo.errors import UsageError, closest


@contextlib.contextmanager
def saying(what: str) -> Iterator[None]:
    """Lets refusals begin with what they are of.

    Names of its arguments stand in quotes, so that a command does not take them for its options.
    """
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{what}: {str(error).replace('`', chr(39))}") from error


def require(
    name: str, value: float | int, least: float | int, most: float | int = math.inf
) -> None:
    """Refuses a number outside of an interval.

    Args:
        name: of the argument.
        value: of the argument.
        least: that it may be.
        most: that it may be; infinity itself never is.

    Raises:
        UsageError: it is less, or more, or none.
    """
    if not (least <= value <= most and math.isfinite(value)):
        upper = f" to {most}" if math.isfinite(most) else " up"
        raise UsageError(f"`{name}` must be from {least}{upper}, got {value}")


def require_interval(name: str, value: tuple[float, ...], most: float = math.inf) -> None:
    """Refuses what are no two numbers in their order, above 0 and at most `most`.

    Args:
        name: of the argument.
        value: of the argument.
        most: that both may be.

    Raises:
        UsageError: they are not.
    """
    if len(value) != 2 or not (0 < value[0] <= value[1] <= most and math.isfinite(value[1])):
        upper = f" and at most {most:g}" if math.isfinite(most) else ""
        raise UsageError(
            f"`{name}` must be two numbers in their order, above 0{upper}, such as [0.5,1]; got "
            f"{list(value)}"
        )


def require_one_of(name: str, value: str, known: Sequence[str]) -> None:
    """Refuses a word that is not known."""
    if value not in known:
        raise UsageError(
            f"`{name}` must be one of {', '.join(known)}, got {value!r}{closest(value, known)}"
        )
