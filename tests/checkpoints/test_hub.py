import errno
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from checkpoints import timeouts
from checkpoints.hub import commit_of, fetch
from tests.checkpoints.hub_server import COMMIT
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
    monkeypatch.setattr("checkpoints.timeouts.SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        with pytest.raises(UsageError, match="cannot be reached"):
            fetch(REPO, FILE)
    assert time.monotonic() - start < 3


def test_content_on_a_host_that_does_not_answer(hub, monkeypatch):
    """The hub itself answers; its client would try the other host for a minute."""
    monkeypatch.setattr("checkpoints.timeouts.SECONDS", 0.5)
    hub.add(REPO, FILE, BODY)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hub.moved_to = f"http://127.0.0.1:{silent.getsockname()[1]}"
        start = time.monotonic()
        with pytest.raises(UsageError, match="cannot be reached"):
            fetch(REPO, FILE)
    assert time.monotonic() - start < 3


def test_a_name_that_is_never_resolved(hub, monkeypatch):
    monkeypatch.setattr("checkpoints.timeouts.SECONDS", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(3))
    start = time.monotonic()
    with pytest.raises(UsageError, match=r"cannot be reached: no answer within 0\.2 seconds"):
        fetch(REPO, FILE)
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("file", [FILE, "config.json"])
def test_a_slow_mirror_is_waited_for_if_that_is_wanted(hub, monkeypatch, file):
    """Metadata and content are two answers, and each of them takes its time."""
    monkeypatch.setattr("checkpoints.timeouts.SECONDS", 0.1)
    digest = hub.add(REPO, file, BODY)
    hub.delay = 0.4
    with pytest.raises(UsageError, match="set HF_HUB_ETAG_TIMEOUT to more"):
        fetch(REPO, file)
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "0.7")
    assert fetch(REPO, file)[1] == digest


@pytest.mark.parametrize("variable", ["HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"])
def test_a_time_that_is_none_is_refused(hub, monkeypatch, variable):
    monkeypatch.setenv(variable, "soon")
    with pytest.raises(UsageError, match=f"{variable} must be a number of seconds, as in 30"):
        fetch(REPO, FILE)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "HF_TOKEN"),
        (403, "HF_TOKEN"),
        (407, "HTTPS_PROXY"),
        (429, "wait some minutes"),
        (451, "HF_ENDPOINT to a mirror"),
    ],
)
def test_refusals_say_what_helps(hub, status, words):
    hub.add(REPO, FILE, BODY)
    hub.refuse = status
    with pytest.raises(UsageError, match=words):
        fetch(REPO, FILE)


def test_a_proxy_that_wants_a_login(hub, run_python, tmp_path):
    """A tunnel is refused before there is any answer with a status."""
    hub.refuse = 407
    variables = {"HF_HOME": str(tmp_path), "HF_ENDPOINT": "https://example.invalid"}
    script = f"from checkpoints.hub import fetch; fetch({REPO!r}, {FILE!r})"
    proxies = {
        "https_proxy": hub.endpoint,
        "HTTPS_PROXY": hub.endpoint,
        "NO_PROXY": "",
        "no_proxy": "",
    }
    found = run_python(script, **variables, **proxies)
    assert "the proxy wants a login: set HTTPS_PROXY" in found.stderr.splitlines()[-1]


def test_content_that_is_longer_than_announced_is_not_kept(hub, tmp_path):
    hub.add(REPO, FILE, BODY)
    hub.tricks = "endless"
    with pytest.raises(UsageError, match=r"brings more than the 102,400 bytes that it should have"):
        fetch(REPO, FILE)
    assert cached(tmp_path) == []


def test_content_that_is_said_to_be_absurdly_long_is_not_begun(hub, monkeypatch):
    monkeypatch.setattr("checkpoints.hub.MOST", 1000)
    hub.add(REPO, FILE, BODY)
    with pytest.raises(UsageError, match="is said to have 102,400 bytes"):
        fetch(REPO, FILE)
    assert [path for command, path in hub.requests if command == "GET"] == []


@pytest.mark.parametrize("trick", ["wrong range", "no range", "other version"])
def test_a_part_that_does_not_continue_the_file_is_noticed(hub, monkeypatch, trick, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    digest = hub.add(REPO, FILE, BODY)
    hub.tricks, hub.break_after = trick, 70_000
    if trick == "wrong range":  # what the client puts together is longer than announced
        with pytest.raises(UsageError, match="brings more than the 102,400 bytes"):
            fetch(REPO, FILE)
        assert cached(tmp_path) == []
    else:
        assert fetch(REPO, FILE)[1] == digest


def test_a_redirect_to_another_scheme_is_refused(hub):
    hub.add(REPO, FILE, BODY)
    hub.tricks = "file:///etc/passwd"
    with pytest.raises(UsageError, match=FILE):
        fetch(REPO, FILE)


def test_a_cache_that_cannot_be_written_serves_what_it_has(hub, tmp_path, read_only, monkeypatch):
    digest = hub.add(REPO, FILE, BODY)
    first = fetch(REPO, FILE)
    with read_only(tmp_path / "hub"):
        assert fetch(REPO, FILE) == first
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        assert fetch(REPO, FILE, sha256=digest) == first


def test_patience_ends_within_five_seconds():
    assert timeouts.SECONDS < 5


def test_a_token_goes_to_the_hub_and_nowhere_else(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    digest = hub.add(REPO, FILE, BODY)
    fetch(REPO, FILE)
    tokens = dict(hub.tokens)
    assert tokens[f"/{REPO}/resolve/main/{FILE}"] == "Bearer hf_secret"
    assert tokens[f"/content/{digest}"] is None


def test_a_revision_is_pinned(hub, monkeypatch):
    hub.add(REPO, FILE, BODY)
    path, digest = fetch(REPO, FILE, COMMIT)
    assert commit_of(path) == COMMIT
    assert f"/{REPO}/resolve/{COMMIT}/{FILE}" in [path for _, path in hub.requests]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch(REPO, FILE, COMMIT) == (path, digest)


def test_progress_is_shown(hub, capfd, monkeypatch):
    monkeypatch.setenv("TQDM_POSITION", "-1")  # the client's way to show it without a terminal
    hub.add(REPO, FILE, BODY)
    fetch(REPO, FILE)
    assert "102k/102k" in capfd.readouterr().err


FETCH = f"""
import os, signal, threading, time
from pathlib import Path
from huggingface_hub import constants
constants.DOWNLOAD_CHUNK_SIZE = 1000
from checkpoints.hub import fetch

def die():
    blobs = Path(os.environ["HF_HOME"])
    while not any(p.stat().st_size > 50_000 for p in blobs.rglob("*.incomplete")):
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGKILL)

if os.environ.get("DIE"):
    threading.Thread(target=die, daemon=True).start()
print(fetch({REPO!r}, {FILE!r})[1])
"""


def test_what_a_killed_process_left_is_never_trusted(hub, run_python, tmp_path):
    digest = hub.add(REPO, FILE, BODY)
    variables = {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.endpoint}
    hub.pause_after = 60_000
    assert run_python(FETCH, DIE="1", **variables).returncode == -signal.SIGKILL
    hub.pause_after = None
    assert not list((tmp_path / "home").rglob("snapshots/*/*"))
    result = run_python(FETCH, **variables)
    assert result.stdout.strip() == digest, result.stderr


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
