import errno
import os
import socket
import time
from pathlib import Path

import pytest

from checkpoints.hub import fetch
from zoo.errors import UsageError

REPO, FILE = "timm/tiny.test", "model.safetensors"
BODY = bytes(range(256)) * 400


def cached(tmp_path):
    return list((tmp_path / "hub").rglob("*/snapshots/*/*"))


def test_a_file_and_its_hash(hub):
    digest = hub.add(REPO, FILE, BODY)
    path, found = fetch(REPO, FILE)
    assert path.read_bytes() == BODY
    assert found == digest
    assert fetch(REPO, FILE, sha256=digest) == (path, digest)
    assert [path for command, path in hub.requests if command == "GET"] == [f"/content/{digest}"]


def test_small_files_are_checked_by_their_git_name(hub):
    digest = hub.add(REPO, "config.json", b'{"num_classes": 10}')
    assert fetch(REPO, "config.json")[1] == digest


@pytest.mark.parametrize("file", [FILE, "config.json"])
def test_a_corrupted_body_is_refused_and_not_kept(hub, file, tmp_path):
    digest = hub.add(REPO, file, BODY)
    hub.flip_a_bit(digest)
    with pytest.raises(UsageError, match=f"download of {file} of {REPO} is damaged"):
        fetch(REPO, file)
    assert cached(tmp_path) == []
    assert not list((tmp_path / "hub").rglob("*/blobs/*"))
    hub.flip_a_bit(digest)
    assert fetch(REPO, file)[0].read_bytes() == BODY


def test_a_file_that_rots_in_the_cache_is_refused(hub, monkeypatch):
    hub.add(REPO, FILE, BODY)
    path, _ = fetch(REPO, FILE)
    blob = path.resolve()
    blob.write_bytes(BODY[:-1] + b"!")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UsageError, match="is damaged"):
        fetch(REPO, FILE)
    assert not blob.exists()


def test_another_file_than_the_catalogue_records_is_refused(hub):
    hub.add(REPO, FILE, BODY)
    with pytest.raises(UsageError, match=f"expected {'0' * 64}"):
        fetch(REPO, FILE, sha256="0" * 64)


def test_a_broken_connection_is_resumed(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    hub.add(REPO, FILE, BODY)
    hub.break_after = 70_000
    assert fetch(REPO, FILE)[0].read_bytes() == BODY
    assert hub.ranges == ["bytes=70000-"]


def test_a_cached_file_needs_no_hub(hub, monkeypatch):
    hub.add(REPO, FILE, BODY)
    first = fetch(REPO, FILE)
    hub.refuse = 503
    assert fetch(REPO, FILE) == first
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    seen = len(hub.requests)
    assert fetch(REPO, FILE) == first
    assert len(hub.requests) == seen


def test_offline(hub, monkeypatch):
    hub.add(REPO, FILE, BODY)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UsageError, match="HF_HUB_OFFLINE is set; unset it to download"):
        fetch(REPO, FILE)
    assert hub.requests == []


def test_a_hub_that_is_not_there(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(UsageError, match=r"127\.0\.0\.1:9 cannot be reached.*or set HF_ENDPOINT"):
        fetch(REPO, FILE)
    assert time.monotonic() - start < 3


def test_a_hub_that_does_not_answer(hub, monkeypatch):
    monkeypatch.setattr("checkpoints.patience.SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        with pytest.raises(UsageError, match="cannot be reached"):
            fetch(REPO, FILE)
    assert time.monotonic() - start < 3


@pytest.mark.parametrize(
    ("repo", "file", "revision", "message"),
    [
        ("timm/absent", FILE, None, "of timm/absent does not exist at http.*HF_TOKEN"),
        (
            REPO,
            "absent.safetensors",
            None,
            r"^absent.safetensors of timm/tiny\.test does not exist",
        ),
        (REPO, FILE, "v9", r"^model.safetensors of timm/tiny\.test at v9 does not exist"),
        ("a/b/c", FILE, None, "cannot exist: Repo id must"),
    ],
)
def test_what_does_not_exist(hub, repo, file, revision, message):
    hub.add(REPO, FILE, BODY)
    with pytest.raises(UsageError, match=message):
        fetch(repo, file, revision)


def test_a_hub_in_trouble(hub):
    hub.refuse = 503
    with pytest.raises(UsageError, match="status 503; try later"):
        fetch(REPO, FILE)


def test_no_space_left(hub, monkeypatch):
    hub.add(REPO, FILE, BODY)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("huggingface_hub.file_download.http_get", full)
    with pytest.raises(UsageError, match="no space left"):
        fetch(REPO, FILE)


def test_the_variables_of_the_client_are_respected(hub, run_python, tmp_path):
    digest = hub.add(REPO, FILE, BODY)
    script = f"from checkpoints.hub import fetch; print(*fetch({REPO!r}, {FILE!r}), sep='\\n')"
    result = run_python(script, HF_HOME=str(tmp_path / "home"), HF_ENDPOINT=hub.endpoint)
    assert result.returncode == 0, result.stderr
    path, found = result.stdout.split()
    assert found == digest
    assert Path(path).is_relative_to(tmp_path / "home" / "hub")
