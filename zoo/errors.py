"""The one exception that means "the caller can mend this", and the words it is written in."""

import difflib
from collections.abc import Iterable


class UsageError(ValueError):
    """A request that cannot be met as it stands.

    Its message names the argument, what is required, the value got, and the next step. The
    command line prints it as one sentence and exits with status 2; any other exception is a
    defect of ours and keeps its traceback.
    """


def closest(name: str, known: Iterable[str]) -> str:
    """Ending of an error message, `; did you mean 'a' or 'b'?`, or nothing if no name is near."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
