"""A loopback server of the JSON API of Google Cloud Storage, as far as its clients use it.

Objects have generations and preconditions: `ifGenerationMatch` and its kin answer 412, or 304 to a
reader, as the service does. Uploads come whole, in parts or resumable; an object appears when all
of it has come, and never before. Listings have prefixes, delimiters and pages.

https://cloud.google.com/storage/docs/json_api/v1
"""

import base64
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

PAGE = 1000


class Object(NamedTuple):
    """The newest generation of an object."""

    body: bytes
    generation: int
    metadata: dict


class Refusal(Exception):  # noqa: N818 (an answer of the service)
    """An answer other than success."""

    def __init__(self, status: int, reason: str = ""):
        super().__init__(reason)
        self.status, self.reason = status, reason


class Bucket:
    """What all clients see: one bucket, and the requests that have come.

    Attributes:
        objects: by name.
        requests: `(method, what, name)` in the order in which they came.
        before_write: called with the name of an object that is about to appear; it may block,
            raise a `Refusal`, or kill whoever sent it.
    """

    def __init__(self, name: str = "zoo"):
        self.name = name
        self.objects: dict[str, Object] = {}
        self.requests: list[tuple[str, str, str]] = []
        self.before_write: Callable[[str], None] = lambda name: None
        self.endpoint = ""
        self._lock = threading.RLock()
        self._generation = 1_700_000_000_000_000
        self._uploads: dict[str, tuple[str, dict, dict, bytearray]] = {}

    def clear(self) -> None:
        """Forgets all objects and requests."""
        with self._lock:
            self.objects.clear()
            self.requests.clear()
            self._uploads.clear()
            self.before_write = lambda name: None

    @property
    def environment(self) -> dict[str, str]:
        """What points gcsfs, Google's own library and TensorStore here, with no other network."""
        return {
            "STORAGE_EMULATOR_HOST": self.endpoint,
            "TENSORSTORE_GCS_HTTP_URL": self.endpoint,
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": "nobody",
            "GOOGLE_CLOUD_PROJECT": "nothing",
            "NO_GCE_CHECK": "true",
        }

    def write(self, name: str, body: bytes, query: dict, metadata: dict) -> dict:
        """Makes a new generation of an object, if the preconditions hold."""
        self.before_write(name)
        with self._lock:
            self.check(name, query)
            self._generation += 1
            self.objects[name] = Object(body, self._generation, metadata)
            return self.resource(name)

    def read(self, name: str, query: dict) -> Object:
        """An object, if it is there and the preconditions hold."""
        with self._lock:
            if name not in self.objects:
                raise Refusal(404, f"No such object: {self.name}/{name}")
            self.check(name, query, reads=True)
            wanted = query.get("generation")
            if wanted not in (None, str(self.objects[name].generation)):
                raise Refusal(404, f"No such object: {self.name}/{name}#{wanted}")
            return self.objects[name]

    def delete(self, name: str, query: dict) -> None:
        """Removes an object."""
        with self._lock:
            self.read(name, {})
            self.check(name, query)
            del self.objects[name]

    def check(self, name: str, query: dict, *, reads: bool = False) -> None:
        """Raises what the service answers where a precondition does not hold."""
        held = self.objects.get(name)
        now = held.generation if held else 0
        failed = Refusal(412, "At least one of the pre-conditions you specified did not hold.")
        if "ifGenerationMatch" in query and int(query["ifGenerationMatch"]) != now:
            raise failed
        if "ifGenerationNotMatch" in query and int(query["ifGenerationNotMatch"]) == now:
            raise Refusal(304) if reads else failed
        if query.get("ifMetagenerationMatch", "1") != "1":
            raise failed
        if query.get("ifMetagenerationNotMatch") == "1":
            raise Refusal(304) if reads else failed

    def resource(self, name: str) -> dict:
        """An object as the service describes it."""
        body, generation, metadata = self.objects[name]
        return {
            "kind": "storage#object",
            "id": f"{self.name}/{name}/{generation}",
            "name": name,
            "bucket": self.name,
            "generation": str(generation),
            "metageneration": "1",
            "contentType": metadata.get("contentType", "application/octet-stream"),
            "storageClass": "STANDARD",
            "size": str(len(body)),
            "md5Hash": base64.b64encode(md5(body).digest()).decode(),
            "etag": f"{generation}=",
            "timeCreated": "2026-01-01T00:00:00.000Z",
            "updated": "2026-01-01T00:00:00.000Z",
            **({"metadata": metadata["metadata"]} if "metadata" in metadata else {}),
        }

    def listing(self, query: dict) -> dict:
        """A page of the objects under a prefix, those below a delimiter as prefixes."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        start, end = query.get("startOffset", ""), query.get("endOffset", "\U0010ffff")
        after, most = query.get("pageToken", ""), int(query.get("maxResults", PAGE))
        entries: dict[str, dict | None] = {}
        with self._lock:
            for name in sorted(self.objects):
                if not name.startswith(prefix) or not start <= name < end:
                    continue
                rest = name[len(prefix) :]
                if delimiter and delimiter in rest:
                    entries[prefix + rest[: rest.index(delimiter) + len(delimiter)]] = None
                else:
                    entries[name] = self.resource(name)
        left = [name for name in sorted(entries) if name > after]
        page = left[: min(most, PAGE)]
        items = [entry for name in page if (entry := entries[name])]
        prefixes = [name for name in page if entries[name] is None]
        return {
            "kind": "storage#objects",
            **({"items": items} if items else {}),
            **({"prefixes": prefixes} if prefixes else {}),
            **({"nextPageToken": page[-1]} if len(page) < len(left) else {}),
        }

    def begin(self, name: str, query: dict, metadata: dict) -> str:
        """Opens a resumable upload; its number."""
        with self._lock:
            self.check(name, query)
            number = str(len(self._uploads))
            self._uploads[number] = (name, query, metadata, bytearray())
            return number

    def go_on(self, number: str, body: bytes, content_range: str) -> dict | int:
        """Takes a piece of a resumable upload; the object if it is whole, else the bytes held."""
        name, query, metadata, held = self._uploads[number]
        span = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", content_range or "bytes */*")
        assert span is not None, content_range
        if span[1] is not None:
            held[int(span[1]) :] = body
        elif not content_range:
            held[:] = body
        if (content_range and span[3] in ("*",)) or (span[3] != "*" and len(held) < int(span[3])):
            return len(held)
        return self.write(name, bytes(held), query, metadata)


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    bucket: Bucket

    def do_GET(self):
        self._answer()

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 (the same)

    def _answer(self) -> None:
        body = self._body()
        address = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(address.query, True).items()}
        try:
            self._route(address.path.removeprefix("/download"), query, body)
        except Refusal as refusal:
            error = {"error": {"code": refusal.status, "message": refusal.reason}}
            self._send(refusal.status, b"" if refusal.status == 304 else json.dumps(error).encode())

    def _route(self, path: str, query: dict, body: bytes) -> None:
        root = f"/storage/v1/b/{self.bucket.name}"
        method = self.command
        if path == f"/upload{root}/o":
            self._upload(query, body)
        elif method == "GET" and path == root:
            self._json({"kind": "storage#bucket", "name": self.bucket.name, "location": "EU"})
        elif method == "GET" and path == f"{root}/o":
            self._note("list", query.get("prefix", ""))
            self._json(self.bucket.listing(query))
        elif not path.startswith(f"{root}/o/"):
            raise Refusal(404, f"The specified bucket does not exist: {path}")
        elif copy := re.fullmatch(rf"{root}/o/([^/]+)/(?:rewriteTo|copyTo)/b/[^/]+/o/(.+)", path):
            self._copy(unquote(copy[1]), unquote(copy[2]), query)
        elif move := re.fullmatch(rf"{root}/o/([^/]+)/moveTo/o/(.+)", path):
            self._move(unquote(move[1]), unquote(move[2]), query)
        elif method == "DELETE":
            name = unquote(path.removeprefix(f"{root}/o/"))
            self._note("object", name)
            self.bucket.delete(name, query)
            self._send(204, b"")
        else:
            self._read(unquote(path.removeprefix(f"{root}/o/")), query)

    def _read(self, name: str, query: dict) -> None:
        media = query.get("alt") == "media"
        self._note("media" if media else "object", name)
        found = self.bucket.read(name, query)
        if not media:
            return self._json(self.bucket.resource(name))
        headers = {"x-goog-generation": str(found.generation), "x-goog-metageneration": "1"}
        span = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if span is None:
            return self._send(200, found.body, headers)
        size = len(found.body)
        first = int(span[1]) if span[1] else max(size - int(span[2]), 0)
        last = min(int(span[2]), size - 1) if span[1] and span[2] else size - 1
        if first >= size:
            raise Refusal(416, "Requested range not satisfiable")
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        return self._send(206, found.body[first : last + 1], headers)

    def _copy(self, source: str, target: str, query: dict) -> None:
        found = self.bucket.read(source, {})
        self._note("write", target)
        resource = self.bucket.write(target, found.body, query, found.metadata)
        self._json({"kind": "storage#rewriteResponse", "done": True, "resource": resource})

    def _move(self, source: str, target: str, query: dict) -> None:
        found = self.bucket.read(source, {})
        self._note("write", target)
        resource = self.bucket.write(target, found.body, query, found.metadata)
        self.bucket.delete(source, {})
        self._json(resource)

    def _upload(self, query: dict, body: bytes) -> None:
        kind = query["uploadType"]
        if "upload_id" in query:
            self._piece(query["upload_id"], body)
        elif kind == "media":
            self._whole(query["name"], body, query, {"contentType": self.headers["Content-Type"]})
        elif kind == "multipart":
            metadata, content = _parts(self.headers["Content-Type"], body)
            self._whole(metadata.get("name") or query["name"], content, query, metadata)
        else:
            metadata = json.loads(body) if body else {}
            name = metadata.get("name") or query["name"]
            number = self.bucket.begin(name, query, metadata)
            place = f"{self.bucket.endpoint}{urlsplit(self.path).path}?uploadType=resumable"
            self._send(200, b"", {"Location": f"{place}&upload_id={number}"})

    def _whole(self, name: str, body: bytes, query: dict, metadata: dict) -> None:
        self._note("write", name)
        self._json(self.bucket.write(name, body, query, metadata))

    def _piece(self, number: str, body: bytes) -> None:
        held = self.bucket.go_on(number, body, self.headers.get("Content-Range", ""))
        if isinstance(held, dict):
            self._note("write", held["name"])
            self._json(held)
        else:
            self._send(308, b"", {"Range": f"bytes=0-{held - 1}"} if held else {})

    def _note(self, what: str, name: str) -> None:
        self.bucket.requests.append((self.command, what, name))

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _json(self, value: dict) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def _parts(content_type: str, body: bytes) -> tuple[dict, bytes]:
    """Metadata and content of a multipart upload; line ends are as the client writes them."""
    header = Message()
    header["Content-Type"] = content_type
    boundary = b"--" + str(header.get_param("boundary")).encode()
    end = b"\r\n" if body.startswith(boundary + b"\r\n") else b"\n"
    _, first, rest = body.split(boundary, 2)
    content = rest[: rest.rindex(end + boundary)]
    about, inside = (part.split(end + end, 1)[1] for part in (first, content))
    return json.loads(about), inside


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def get_request(self):
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address

    def handle_error(self, request, client_address):
        """A client that was killed in the middle of a request is no error here."""


@contextmanager
def running_bucket(name: str = "zoo") -> Iterator[Bucket]:
    """A bucket behind a server on the loopback interface, as long as the block lasts."""
    bucket = Bucket(name)
    handler = type("BoundHandler", (Handler,), {"bucket": bucket})
    with _Server(("127.0.0.1", 0), handler) as server:
        bucket.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield bucket
        finally:
            server.shutdown()
            thread.join()
