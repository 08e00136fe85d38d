"""A small Hugging Face hub on loopback that speaks the protocol of its client.

Metadata and content are apart, as on the real hub: `HEAD /owner/name/resolve/main/file` redirects
to the content's host and says what will be found there; the content answers ranges. A test may
damage a body, break a connection or forbid a repository, and reads which requests were made.
"""

import contextlib
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.checkpoints.hub_uploads import Uploads

COMMIT = hashlib.sha1(b"the only commit").hexdigest()


class HubServer(ThreadingHTTPServer):
    """Files of model repositories, by repository and path.

    Attributes:
        requests: method and path of every request so far.
        announced: content by its SHA-256, as it was added.
        served: content by the SHA-256 under which it is announced.
        break_after: bytes after which the next download loses its connection.
        pause_after: bytes after which every download waits until this is None again.
        commit: of every repository.
        refuse: status with which every request is refused.
        ranges: ranges that were asked for.
        tokens: path and authorization of every request so far.
        delay: seconds before every answer.
        tricks: what is done to content: "endless", "no length", "wrong range", "no range",
            "other version", "compressed", or an address that it redirects to.
        moved_to: host that is said to have the content; None for this server under another name.
        writers: owner by token, of those who may upload.
        repositories: visibility by name, of those that were made by uploads.
        may_make: whether their tokens may make repositories.
        stored: large content that was uploaded, by its SHA-256.
        messages: of the commits that were uploaded.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[tuple[str, str], bytes] = {}
        self.served: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.ranges: list[str] = []
        self.commit = COMMIT
        self.tokens: list[tuple[str, str | None]] = []
        self.break_after: int | None = None
        self.pause_after: int | None = None
        self.refuse: int | None = None
        self.delay = 0.0
        self.tricks: str | None = None
        self.moved_to: str | None = None
        self.writers: dict[str, str] = {}
        self.repositories: dict[str, str | None] = {}
        self.may_make = True
        self.stored: dict[str, bytes] = {}
        self.messages: list[str] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def content_host(self) -> str:
        return f"http://localhost:{self.server_port}"

    def add(self, repo: str, file: str, body: bytes) -> str:
        """Publishes a file; returns its SHA-256."""
        digest = hashlib.sha256(body).hexdigest()
        self.files[repo, file] = body
        self.served[digest] = body
        return digest

    def flip_a_bit(self, digest: str) -> None:
        """Damages what is served, and not what is announced."""
        body = bytearray(self.served[digest])
        body[len(body) // 2] ^= 1
        self.served[digest] = bytes(body)


class _Handler(Uploads, BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.take_post()

    def do_PUT(self) -> None:
        self.take_put()

    def do_CONNECT(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self) -> None:
        self._note()
        if self.server.refuse:
            self._reply(self.server.refuse)
        elif match := re.fullmatch(r"/content/([\w.-]+)", self.path):
            self._content(self.server.served[match[1]])
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path):
            self._resolve(*match.groups())
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/main)?", self.path):
            self._revision(match[1])
        else:
            self._reply(404)

    def _note(self) -> None:
        self.server.requests.append((self.command, self.path))
        self.server.tokens.append((self.path, self.headers.get("Authorization")))
        time.sleep(self.server.delay)

    def _revision(self, repo: str) -> None:
        """What the client asks of a repository: whether it is there, and its newest commit."""
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token not in self.server.writers:
            return self._reply(401, {"X-Error-Message": "Invalid credentials"})
        if repo not in self.server.repositories:
            return self._reply(404, {"X-Error-Code": "RepoNotFound"})
        body = json.dumps({"id": repo, "sha": self.server.commit}).encode()
        return self._reply(200, {"Content-Type": "application/json"}, body)

    def _resolve(self, repo: str, revision: str, file: str) -> None:
        if not any(repo == known for known, _ in self.server.files):
            return self._reply(404, {"X-Error-Code": "RepoNotFound"})
        if revision not in ("main", self.server.commit):
            return self._reply(404, {"X-Error-Code": "RevisionNotFound"})
        if (repo, file) not in self.server.files:
            return self._reply(
                404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": self.server.commit}
            )
        body = self.server.files[repo, file]
        if file.endswith((".json", ".md")):  # small files lie in git itself
            name = hashlib.sha1(b"blob %d\0%b" % (len(body), body)).hexdigest()
            digest = hashlib.sha256(body).hexdigest()
            return self._content(
                self.server.served[digest],
                {"X-Repo-Commit": self.server.commit, "ETag": f'"{name}"'},
            )
        digest = hashlib.sha256(body).hexdigest()
        return self._reply(
            302,
            {
                "X-Repo-Commit": self.server.commit,
                "X-Linked-Etag": f'"{digest}"',
                "X-Linked-Size": str(len(body)),
                "Location": f"{self.server.moved_to or self.server.content_host}/content/{digest}",
            },
        )

    def _content(self, body: bytes, headers: dict[str, str] | None = None) -> None:
        headers, status = {"Accept-Ranges": "bytes", **(headers or {})}, 200
        trick = self.server.tricks
        if trick in ("endless", "no length"):
            return self._without_length(body, trick == "endless")
        if trick is not None and ":" in trick:
            return self._reply(302, {"Location": trick})
        if trick == "compressed":
            headers["Content-Encoding"] = "gzip"
        if match := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start, status = int(match[1]), 206
            self.server.ranges.append(match[0])
            if trick == "wrong range":
                start = 0
            if trick != "no range":
                headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            if trick == "other version":
                headers["ETag"] = '"other"'
            body = body[start:]
        elif trick == "other version":
            headers["ETag"] = '"first"'
        return self._reply(status, headers, body)

    def _without_length(self, body: bytes, endless: bool) -> None:
        """Content until the connection ends, if ever."""
        self.close_connection = True
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)
            while endless:
                self.wfile.write(body)

    def _reply(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        cut, self.server.break_after = self.server.break_after, None
        if cut is not None and body:
            self.close_connection = True
            body = body[:cut]
        if (start := self.server.pause_after) is not None and body:
            self.wfile.write(body[:start])
            body = body[start:]
            while self.server.pause_after is not None:
                time.sleep(0.01)
        with contextlib.suppress(ConnectionError):  # the client may have been killed
            self.wfile.write(body)


@contextmanager
def running_hub() -> Iterator[HubServer]:
    """A hub that serves until the block ends."""
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
