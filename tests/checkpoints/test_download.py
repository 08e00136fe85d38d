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
    monkeypatch.setattr("checkpoints.timeouts.SECONDS", 0.2)
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


# What a server may do


def whole(hub, tmp_path, **options):
    """Downloads a file of which nothing but the address is known."""
    hub.served["plain.pth"] = BODY
    return fetch_url(f"{hub.content_host}/content/plain.pth", tmp_path / "down", **options)


@pytest.mark.parametrize("trick", ["wrong range", "no range", "other version"])
@pytest.mark.parametrize("sha256", [None, DIGEST])
def test_what_does_not_continue_a_part_is_not_appended(hub, tmp_path, trick, sha256):
    hub.tricks, hub.break_after = trick, 70_000
    path, digest = whole(hub, tmp_path, sha256=sha256)
    assert digest == DIGEST
    assert path.read_bytes() == BODY
    assert hub.ranges == ["bytes=70000-"]


def test_what_another_process_left_is_trusted_only_with_a_hash(hub, tmp_path):
    (tmp_path / "down").mkdir()
    (tmp_path / "down" / ".plain.pth.part").write_bytes(b"!" * 50_000)
    assert whole(hub, tmp_path)[1] == DIGEST
    assert hub.ranges == []


@pytest.mark.parametrize("sha256", [None, DIGEST])
def test_a_download_without_end_is_ended(hub, tmp_path, sha256):
    hub.tricks = "endless"
    words = "does not say how long it is" if sha256 is None else "comes to no end, and such a file"
    with pytest.raises(UsageError, match=words):
        whole(hub, tmp_path, sha256=sha256, most=1 << 20)
    assert [p.name for p in (tmp_path / "down").iterdir() if p.suffix != ".lock"] == []


def test_a_download_without_length_is_whole_if_its_hash_says_so(hub, tmp_path):
    hub.tricks = "no length"
    assert whole(hub, tmp_path, sha256=DIGEST)[1] == DIGEST


def test_a_download_that_is_said_to_be_too_long_is_not_begun(hub, tmp_path):
    with pytest.raises(UsageError, match=r"is said to have 102,400 bytes.* at most 1,000; it was"):
        whole(hub, tmp_path, most=1000)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("file:///etc/passwd", "neither https nor http"),
        ("data:text/plain,x", "neither https nor http"),
        ("ftp://127.0.0.1:9/x", "leads to 'ftp://127.0.0.1:9/x', which is not followed"),
        ("gopher://x/", "neither https nor http"),
    ],
)
def test_redirects_to_other_schemes_are_refused(hub, tmp_path, address, words):
    hub.tricks = address
    with pytest.raises(UsageError, match=words):
        whole(hub, tmp_path)


def test_addresses_of_other_schemes_are_refused(tmp_path):
    (tmp_path / "x.pth").write_bytes(BODY)
    with pytest.raises(UsageError, match="is no address that begins with https: or http:"):
        fetch_url((tmp_path / "x.pth").as_uri(), tmp_path / "down")


def test_compressed_content_is_refused(hub, tmp_path):
    hub.tricks = "compressed"
    with pytest.raises(UsageError, match="answers with status 200 and no plain file"):
        whole(hub, tmp_path)


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "HF_TOKEN"), (407, "HTTPS_PROXY"), (451, "HF_ENDPOINT to a mirror"), (503, "try later")],
)
def test_refusals_say_what_helps(hub, tmp_path, status, words):
    hub.refuse = status
    with pytest.raises(UsageError, match=f"status {status}; .*{words}"):
        whole(hub, tmp_path)


def test_a_proxy_that_wants_a_login(hub, tmp_path, monkeypatch):
    """It answers the request for a tunnel, which the client quotes in its error."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    hub.refuse = 407
    monkeypatch.setenv("https_proxy", hub.endpoint)
    with pytest.raises(UsageError, match="the proxy wants a login: set HTTPS_PROXY"):
        fetch_url("https://example.invalid/x.pth", tmp_path)


@pytest.mark.parametrize("variable", ["HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"])
def test_a_slow_server_is_waited_for_if_that_is_wanted(hub, tmp_path, monkeypatch, variable):
    monkeypatch.setattr("checkpoints.timeouts.SECONDS", 0.1)
    hub.delay = 0.4
    with pytest.raises(UsageError, match=r"set HF_HUB_(ETAG|DOWNLOAD)_TIMEOUT to more"):
        whole(hub, tmp_path)
    monkeypatch.setenv(variable, "30")
    assert whole(hub, tmp_path)[1] == DIGEST


@pytest.mark.parametrize("text", ["soon", "-1", "0", "nan"])
def test_a_time_that_is_none_is_refused(hub, tmp_path, monkeypatch, text):
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", text)
    with pytest.raises(UsageError, match=f"HF_HUB_DOWNLOAD_TIMEOUT must be a number.*got '{text}'"):
        whole(hub, tmp_path)


def test_a_folder_that_cannot_be_written_serves_what_it_has(hub, tmp_path, read_only):
    path, digest = whole(hub, tmp_path, sha256=DIGEST)
    with read_only(path.parent):
        assert whole(hub, tmp_path, sha256=DIGEST) == (path, digest)
        with pytest.raises(UsageError, match=r"could not be written to .*(Read-only|Permission)"):
            fetch_url(f"{hub.content_host}/content/other.pth", path.parent)
