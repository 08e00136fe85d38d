"""One file over HTTP, appended to what is there already; what a server says is not believed."""

import http.client
import re
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from checkpoints import timeouts
from zoo.errors import UsageError

_CHUNK = 1 << 20
_SCHEMES = ("https", "http")
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class OtherPartError(Exception):
    """The server sent another part than was asked for, or a part of another version."""


class Transfer:
    """What is known of a file while connections come and go.

    Attributes:
        url: its address.
        part: where it is kept until it is whole.
        most: bytes that it may have.
        is_checked: whether its content will be compared with a hash.
        version: the server's name for its content, once it has said one.
        resumes: whether what is there is a beginning of the file: what another process left may be
            of another version, which only a hash would show.
    """

    def __init__(self, url: str, part: Path, most: int, is_checked: bool):
        self.url, self.part, self.most, self.is_checked = url, part, most, is_checked
        self.version: str | None = None
        self.resumes = is_checked

    def length(self) -> int:
        """Bytes of the file that are there already."""
        return self.part.stat().st_size if self.resumes and self.part.is_file() else 0

    def receive(self) -> None:
        """Appends to the part what is missing.

        Raises:
            UsageError: the file is longer than it may be, or nobody could tell whether it is whole.
            OtherPartError: what came does not continue what is there, which is unchanged.
            OSError: the connection broke.
        """
        start = self.length()
        with self._opened(start) as answer:
            start, total = self._place(answer, start)
            self.resumes = True
            if total is not None and total > self.most:
                raise self._too_long(f"is said to have {total:,} bytes")
            length = self._append(answer, start, total)
        if total is not None and length < total:
            raise ConnectionError(f"the connection broke after {length:,} of {total:,} bytes")

    def _opened(self, start: int) -> http.client.HTTPResponse:
        if urlsplit(self.url).scheme not in _SCHEMES:
            raise UsageError(f"{self.url} is no address that begins with https: or http:.")
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and self.version is not None:
            headers["If-Range"] = self.version
        request = urllib.request.Request(self.url, headers=headers)
        limit = timeouts.seconds(timeouts.ANSWER, timeouts.PIECE)
        opener = urllib.request.build_opener(_Redirects)
        return timeouts.in_time(partial(opener.open, request, timeout=limit), limit)

    def _place(self, answer: http.client.HTTPResponse, start: int) -> tuple[int, int | None]:
        """Where the answer's content belongs, and how long the whole file is, if that is said."""
        version = answer.headers.get("ETag", "")
        if answer.status == http.client.PARTIAL_CONTENT:
            found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            is_other = self.version is not None and version not in ("", self.version)
            if found is None or int(found[1]) != start or not start or is_other:
                if start:
                    raise OtherPartError
                raise UsageError(f"{self.url} answers with a part of the file, which is no use.")
            return start, int(found[3])
        if answer.status != http.client.OK or answer.headers.get(
            "Content-Encoding", "identity"
        ) != ("identity"):
            raise UsageError(f"{self.url} answers with status {answer.status} and no plain file.")
        self.version = version if version and not version.startswith("W/") else None
        length = answer.headers.get("Content-Length", "")
        if length.isdecimal():
            return 0, int(length)
        if not self.is_checked and not getattr(answer, "chunked", False):
            raise UsageError(
                f"{self.url} does not say how long it is and has no known hash, so nobody could "
                "tell whether it is whole; download it by hand and use `checkpoints.load(path)`."
            )
        return 0, None

    def _append(self, answer: http.client.HTTPResponse, start: int, total: int | None) -> int:
        """Writes what comes; returns how long the part is then."""
        from huggingface_hub.utils import tqdm

        name = self.part.name[1:-5]
        bar = tqdm(desc=name, total=total, initial=start, unit="B", unit_scale=True)
        with bar, self.part.open("ab" if start else "wb") as file:
            while chunk := answer.read1(_CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
                if file.tell() > self.most:
                    raise self._too_long("comes to no end")
            return file.tell()

    def _too_long(self, what: str) -> UsageError:
        self.part.unlink(missing_ok=True)
        return UsageError(
            f"{self.url} {what}, and such a file has at most {self.most:,}; it was not kept."
        )


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows addresses of the web only, and none that are less private than the last."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        before, after = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if after not in _SCHEMES or (before == "https" and after != before):
            fp.close()
            raise UsageError(f"{req.full_url} leads to {newurl[:200]!r}, which is not followed.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
