"""A metadata server on loopback that gives notice, and what a run makes of it."""

import dataclasses
import http.server
import threading
import time

import pytest

import train
from checkpoints import store
from tests.train.test_utilisation import SMALL
from train import loop, notices


@pytest.fixture
def metadata(monkeypatch):
    """What the server answers by the name of an entry; None is an error of the server."""
    values = dict(notices.QUIET)

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            values["asked"] = values.get("asked", 0) + 1
            value = values[self.path.removeprefix("/computeMetadata/v1/instance/")]
            is_asked_well = self.headers["Metadata-Flavor"] == "Google" and value is not None
            self.send_response(200 if is_asked_well else 403)
            self.end_headers()
            self.wfile.write((value or "no").encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{server.server_port}")
    monkeypatch.setattr(notices, "EVERY", 0.05)
    yield values
    server.shutdown()
    server.server_close()


def until(found):
    deadline = time.monotonic() + 30
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_each_notice_is_told_once_when_it_comes(metadata):
    with notices.watched() as told:
        time.sleep(0.2)
        assert told == []
        metadata["maintenance-event"] = "TERMINATE_ON_HOST_MAINTENANCE"
        until(lambda: told)
        metadata["preempted"] = None
        time.sleep(0.2)
        assert told == ["maintenance-event TERMINATE_ON_HOST_MAINTENANCE"]
        metadata.update({"maintenance-event": "NONE", "preempted": "TRUE"})
        until(lambda: len(told) == 2)
        assert told[1] == "preempted TRUE"
    assert not [t for t in threading.enumerate() if getattr(t, "_target", None) is notices._watch]


def test_without_a_cloud_nobody_is_asked(monkeypatch, tmp_path):
    monkeypatch.delenv("GCE_METADATA_HOST", raising=False)
    monkeypatch.setattr(notices, "MACHINE", tmp_path / "product_name")
    before = threading.active_count()
    with notices.watched() as told:
        assert threading.active_count() == before
        assert told == []
    (tmp_path / "product_name").write_text("Google Compute Engine\n")
    assert notices._is_google()


def test_a_run_saves_on_notice_and_goes_on(metadata, tmp_path, monkeypatch):
    """Steps are saved only at the end, but for notices: after an update, and in an evaluation."""
    said, directory = [], tmp_path / "run"

    def give(name, value):
        metadata.update({name: value, "asked": 0})
        until(lambda: metadata["asked"] > 4)

    class Reporter(train.report.Reporter):
        def say(self, text):
            said.append(text)

        def advance(self, step, row=None):
            if step == 2 and row is None:
                give("preempted", "TRUE")

    def measure(*arguments, between):
        if not store.steps(directory)[1:]:
            give("maintenance-event", "TERMINATE_ON_HOST_MAINTENANCE")
            between()
            assert store.latest(directory).name == "00000004"
        return original(*arguments, between=between)

    original = loop.measure
    monkeypatch.setattr(loop, "measure", measure)
    keep = train.Retention(newest=9)
    config = dataclasses.replace(SMALL, out=str(directory), steps=5, save_every=9, retention=keep)
    result = train.fit(dataclasses.replace(config, eval_every=4), Reporter())
    assert [step for step, _ in store.steps(directory)] == [2, 4, 5]
    assert f"preempted TRUE: saved {store.step_path(directory, 2)}" in said
    event = "maintenance-event TERMINATE_ON_HOST_MAINTENANCE"
    assert f"{event}: saved {store.step_path(directory, 4)}" in said
    assert int(result.state.step) == 5
