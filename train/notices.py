"""Notices of a cloud machine that is about to be stopped: a run saves before it is.

Machines of Google Cloud, TPUs among them, learn of both from their metadata server: of maintenance
a minute or more ahead, of preemption thirty seconds.
https://cloud.google.com/compute/docs/metadata/getting-live-migration-notice
"""

import contextlib
import http.client
import os
import threading
from collections.abc import Iterator
from pathlib import Path

HOST = "metadata.google.internal"
INSTANCE = "/computeMetadata/v1/instance/"
QUIET = {"maintenance-event": "NONE", "preempted": "FALSE"}  # while there is nothing to tell
EVERY = 2.0  # seconds between two looks, and after which an answer is not waited for
MACHINE = Path("/sys/class/dmi/id/product_name")  # as the vendor calls this one


@contextlib.contextmanager
def watched() -> Iterator[list[str]]:
    """Collects notices such as "preempted TRUE" in a list, each once when it comes.

    The server is `GCE_METADATA_HOST`, else that of Google Cloud where this is a machine of its; of
    any other nothing is asked.
    """
    told: list[str] = []
    host = os.environ.get("GCE_METADATA_HOST") or (HOST if _is_google() else None)
    if host is None:
        yield told
        return
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(host, told, over), daemon=True)
    watch.start()
    try:
        yield told
    finally:
        over.set()
        watch.join(2 * EVERY)


def _watch(host: str, told: list[str], over: threading.Event) -> None:
    last = dict(QUIET)
    while not over.wait(EVERY):
        for name in QUIET:
            value = _asked(host, name) or last[name]  # a server that does not answer tells nothing
            if value not in (last[name], QUIET[name]):
                told.append(f"{name} {value}")
            last[name] = value


def _asked(host: str, name: str) -> str | None:
    """The value of an entry of the metadata server, or None."""
    server = http.client.HTTPConnection(host, timeout=EVERY)
    try:
        server.request("GET", INSTANCE + name, headers={"Metadata-Flavor": "Google"})
        answer = server.getresponse()
        text = answer.read(1000).decode(errors="replace").strip()
        return text if answer.status == http.HTTPStatus.OK else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        server.close()


def _is_google() -> bool:
    try:
        return MACHINE.read_text().startswith("Google")
    except OSError:
        return False
