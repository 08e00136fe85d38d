"""Files from plain web addresses."""

import hashlib
import socket
import threading
import time

import pytest

from checkpoints.download import fetch_url
from zoo.errors import UsageError

BODY = bytes(range(256)) * 400
DIGEST = hashlib.sha256(BODY).hexdigest()
NAME = f"resnet18-{DIGEST[:8]}.pth"


@pytest.fixture
def url(hub):
    """The address of a file whose name ends as torchvision's do."""
    hub.served[NAME] = BODY
    return f"{hub.content_host}/content/{NAME}"


def test_a_file_is_fetched_once(hub, url, tmp_path):
    assert fetch_url(url, tmp_path) == (tmp_path / NAME, DIGEST)
    assert (tmp_path / NAME).read_bytes() == BODY
    hub.refuse, seen = 500, len(hub.requests)
    assert fetch_url(url, tmp_path, DIGEST) == (tmp_path / NAME, DIGEST)
    assert len(hub.requests) == seen


@pytest.mark.parametrize("sha256", [None, DIGEST])
def test_wrong_content_is_refused_and_deleted(hub, url, tmp_path, sha256):
    hub.served[NAME] = BODY[:-1] + b"!"
    with pytest.raises(UsageError, match=f"is damaged.*expected {DIGEST[:8]}.*It was deleted"):
        fetch_url(url, tmp_path, sha256)
    assert [p.name for p in tmp_path.iterdir() if not p.name.endswith(".lock")] in ([], ["hub"])
    hub.served[NAME] = BODY
    assert fetch_url(url, tmp_path, sha256)[1] == DIGEST


def test_an_md5_is_compared_where_the_publisher_states_no_better_hash(hub, url, tmp_path):
    md5 = hashlib.md5(BODY, usedforsecurity=False).hexdigest()
    assert fetch_url(url, tmp_path, md5=md5)[1] == DIGEST
    with pytest.raises(UsageError, match=f"its MD5 is {md5}, expected {'0' * 32}. It was deleted"):
        fetch_url(url, tmp_path, md5="0" * 32)
    assert not (tmp_path / NAME).exists()


def test_a_broken_connection_is_resumed(hub, url, tmp_path):
    hub.break_after = 70_000
    assert fetch_url(url, tmp_path)[1] == DIGEST
    assert hub.ranges == ["bytes=70000-"]


def test_what_an_earlier_process_left_is_continued(hub, url, tmp_path):
    (tmp_path / f".{NAME}.part").write_bytes(BODY[:50_000])
    assert fetch_url(url, tmp_path)[1] == DIGEST
    assert hub.ranges == ["bytes=50000-"]


def test_two_at_once_download_once(hub, url, tmp_path):
    found = []
    both = [threading.Thread(target=lambda: found.append(fetch_url(url, tmp_path))) for _ in "ab"]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert found == [(tmp_path / NAME, DIGEST)] * 2
    assert len(hub.requests) == 1


def test_offline(hub, url, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UsageError, match="HF_HUB_OFFLINE is set; unset it to download"):
        fetch_url(url, tmp_path)
    assert hub.requests == []


@pytest.mark.parametrize("begun", [False, True])
def test_a_host_that_does_not_answer(begun, tmp_path, monkeypatch):
    monkeypatch.setattr("checkpoints.patience.SECONDS", 0.2)
    if begun:  # by an earlier process
        (tmp_path / ".x.pth.part").write_bytes(b"half")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        with pytest.raises(UsageError, match=r"x\.pth cannot be reached: .*download it by hand"):
            fetch_url(f"http://127.0.0.1:{silent.getsockname()[1]}/x.pth", tmp_path)
    assert time.monotonic() - start < 1
    assert (tmp_path / ".x.pth.part").exists() == begun


def test_progress_is_shown(hub, url, tmp_path, capfd):
    fetch_url(url, tmp_path)
    error = capfd.readouterr().err
    assert NAME in error
    assert "102k/102k" in error


def test_what_cannot_be_had(hub, url, tmp_path):
    with pytest.raises(UsageError, match=r"absent\.pth was refused with status 404"):
        fetch_url(f"{hub.content_host}/absent.pth", tmp_path)
    with pytest.raises(UsageError, match=r"x\.pth cannot be reached: .*download it by hand"):
        fetch_url("http://127.0.0.1:9/x.pth", tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"could not be written to .*file"):
        fetch_url(url, tmp_path / "file")
