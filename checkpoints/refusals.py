"""What a status of HTTP means for somebody who wants a file, and what helps."""

import re

_ASTRAY = "it leads in a circle, or to an address that is neither https nor http"
_HELP = {
    **dict.fromkeys((301, 302, 303, 307, 308), _ASTRAY),
    401: "it wants a login: set HF_TOKEN to a token that may read it",
    403: "it is forbidden: ask its owner for access, then set HF_TOKEN to a token that may read it",
    407: "the proxy wants a login: set HTTPS_PROXY and HTTP_PROXY to http://NAME:PASSWORD@HOST:PORT",
    408: "the server is too slow for itself; try later",
    410: "it is gone for good; look for it elsewhere",
    429: "too many were asked for; wait some minutes, or set HF_TOKEN, which allows more",
    451: "the law forbids it where you are; set HF_ENDPOINT to a mirror that may serve it, or load "
    "a copy that you may have with `checkpoints.load(path)`",
}
_TRY_LATER = "try later"
_PROXY = re.compile(r"\b407\b")


def advice(status: int) -> str:
    """What a person can do after a status, as the end of a sentence."""
    return _HELP.get(status, _TRY_LATER if status >= 500 else "see what its page says")


def status_of_proxy(error: BaseException) -> int | None:
    """407 if an error of a connection is a proxy's that wants a login: clients only quote it."""
    text = str(error)
    is_proxy = "proxy" in text.lower() or "tunnel" in text.lower()
    return 407 if is_proxy and _PROXY.search(text) else None
