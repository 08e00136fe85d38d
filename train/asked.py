"""What asks a run to save, or to stop once it has saved: signals, and notices of the machine."""

import jax

from checkpoints import store
from train import hosts
from train.run import Now, Run
from train.saving import saved


def asked(run: Run, received: list[int], *, together: bool) -> tuple[int, bool]:
    """Number of a signal that asks to stop, or 0; and whether a notice asks to save.

    Args:
        run: in progress.
        received: signals.
        together: whether several processes ask each other now; else they hear of nothing.
    """
    number, noticed = received[0] if received else 0, bool(run.told)
    if jax.process_count() == 1:
        return number, noticed
    if not together:
        return 0, False
    number, noticed = divmod(hosts.largest(2 * number + noticed), 2)
    return number, bool(noticed)


def heed(run: Run, now: Now) -> None:
    """Saves in the middle of an evaluation, which may last too long for a notice to wait."""
    if run.told and jax.process_count() == 1:
        saved(run, now, None)
        tell(run, now)


def tell(run: Run, now: Now) -> None:
    """Says that a notice was heeded."""
    what = ", ".join(run.told) or "another host is to stop"
    path = store.step_path(run.place.directory, now.progress.step)
    run.place.reporter.say(f"{what}: saved {path}")
    run.told.clear()
