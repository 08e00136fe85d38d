"""What a hub answers to its client's uploads: a part of the server of `hub_server.py`.

In the client's order: `POST /api/repos/create`; `POST /api/validate-yaml`, which reads the front
matter of the README; `POST .../preupload/main`, which says what goes into git and what to the large
files; `POST .../info/lfs/objects/batch`, whose addresses take a `PUT` of the content and a `POST`
that verifies it; `POST .../commit/main`, lines of JSON, after which the files are there.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import yaml

LARGE = (".safetensors", ".bin", ".pth", ".h5")
TASKS = ("image-classification",)
LICENSES = ("apache-2.0", "mit", "bsd-3-clause", "cc-by-nc-4.0", "other")


class Uploads:
    """Answers to POST and PUT; the server keeps repositories, writers, stored content, commits."""

    server: Any
    path: str
    headers: Any
    rfile: Any

    def take_post(self) -> None:
        """Answers a POST."""
        self._note()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        place = urlsplit(self.path).path
        if self.server.refuse:
            return self._json(self.server.refuse, {"error": "refused"})
        if place == "/api/validate-yaml":
            return self._validate(json.loads(body)["content"])
        if match := re.fullmatch(r"/lfs/verify/(\w{64})", place):
            return self._json(200 if match[1] in self.server.stored else 404, {})
        owner = self._writer()
        if owner is None:
            return self._json(401, {"error": "Invalid username or password."})
        if place == "/api/repos/create":
            return self._create(json.loads(body), owner)
        routes = {
            r"/api/models/(.+/.+)/preupload/main": self._preupload,
            r"/(.+/.+)\.git/info/lfs/objects/batch": self._batch,
            r"/api/models/(.+/.+)/commit/main": self._commit,
        }
        for pattern, answer in routes.items():
            if match := re.fullmatch(pattern, place):
                if match[1] not in self.server.repositories:
                    return self._reply(404, {"X-Error-Code": "RepoNotFound"})
                if match[1].partition("/")[0] != owner:
                    return self._json(403, {"error": "Forbidden"})
                return answer(match[1], body)
        return self._json(404, {"error": "no such address"})

    def take_put(self) -> None:
        """Stores what a PUT brings."""
        self._note()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.stored[hashlib.sha256(body).hexdigest()] = body
        self._json(200, {})

    def _validate(self, readme: str) -> None:
        found = re.match(r"---\n(.*?)\n---\n", readme, re.DOTALL)
        values = yaml.safe_load(found[1]) if found else None
        if not isinstance(values, dict):
            return self._json(200, {"warnings": [{"message": "empty or missing yaml metadata"}]})
        errors = [
            {"message": f'"{name}" must be one of {known}'}
            for name, known in (("license", LICENSES), ("pipeline_tag", TASKS))
            if name in values and values[name] not in known
        ]
        return self._json(400 if errors else 200, {"errors": errors, "warnings": []})

    def _create(self, wanted: dict[str, Any], owner: str) -> None:
        place = wanted.get("organization") or owner
        repo = f"{place}/{wanted['name']}"
        url = f"{self.server.endpoint}/{repo}"
        if place != owner or not self.server.may_make:
            return self._json(403, {"error": f"You don't have the rights to create under {place}"})
        if repo in self.server.repositories:
            return self._json(409, {"error": "You already created this model repo", "url": url})
        self.server.repositories[repo] = wanted.get("visibility")
        return self._json(200, {"url": url, "name": repo, "id": "1"})

    def _preupload(self, repo: str, body: bytes) -> None:
        def answer(path: str) -> dict[str, Any]:
            mode = "lfs" if path.endswith(LARGE) else "regular"
            known = self.server.files.get((repo, path))
            oid = None if known is None else _oid(known, mode)
            return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid}

        files = json.loads(body)["files"]
        self._json(200, {"files": [answer(file["path"]) for file in files]})

    def _batch(self, repo: str, body: bytes) -> None:
        def answer(oid: str, size: int) -> dict[str, Any]:
            if oid in self.server.stored:
                return {"oid": oid, "size": size}
            base = f"{self.server.endpoint}/lfs"
            actions = {
                "upload": {"href": f"{base}/{oid}"},
                "verify": {"href": f"{base}/verify/{oid}"},
            }
            return {"oid": oid, "size": size, "actions": actions}

        objects = json.loads(body)["objects"]
        answers = [answer(wanted["oid"], wanted["size"]) for wanted in objects]
        self._json(200, {"transfer": "basic", "objects": answers})

    def _commit(self, repo: str, body: bytes) -> None:
        header, *operations = map(json.loads, body.decode().splitlines())
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "file":
                content = base64.b64decode(value["content"])
            elif value["oid"] in self.server.stored:
                content = self.server.stored[value["oid"]]
            else:
                return self._json(400, {"error": f"{value['path']} was never uploaded"})
            self.server.add(repo, value["path"], content)
        self.server.commit = hashlib.sha1(body).hexdigest()
        self.server.messages.append(header["value"]["summary"])
        url = f"{self.server.endpoint}/{repo}/commit/{self.server.commit}"
        return self._json(200, {"commitUrl": url, "commitOid": self.server.commit})

    def _writer(self) -> str | None:
        """Whose token came with the request."""
        return self.server.writers.get(
            self.headers.get("Authorization", "").removeprefix("Bearer ")
        )

    def _json(self, status: int, value: Any) -> None:
        self._reply(status, {"Content-Type": "application/json"}, json.dumps(value).encode())

    # What the handler that this is mixed into has.
    _note: Callable[[], None]
    _reply: Callable[..., None]


def _oid(content: bytes, mode: str) -> str:
    """The hub's name for content: of large files the SHA-256, of others git's."""
    if mode == "lfs":
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content)).hexdigest()
