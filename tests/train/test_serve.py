"""`examples/serve.py` under load: no request is lost, and none is answered wrongly."""

import http.client
import io
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train.export import program

pytest.importorskip("flatbuffers")
SERVE = Path(__file__).parents[2] / "examples" / "serve.py"
RANDOM = np.random.default_rng(0)
SHAPE = (8, 8, 3)
EXAMPLES = RANDOM.normal(size=(32, *SHAPE)).astype(np.float32)
WEIGHTS = jnp.asarray(RANDOM.normal(size=(8 * 8 * 3, 5)), jnp.float32)


def function(x):
    return jnp.tanh(x.reshape(x.shape[0], 8 * 8 * 3) @ WEIGHTS)


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """The port of a server that is ready; in the end it has to leave by itself."""
    file = tmp_path_factory.mktemp("served") / "program"
    file.write_bytes(program.stablehlo(function, SHAPE))
    arguments = ["--port", "0", "--batch", "8", "--timeout", "100"]
    process = subprocess.Popen(
        [sys.executable, "-P", SERVE, file, *arguments], stdout=subprocess.PIPE, text=True
    )
    port = int(process.stdout.readline().rpartition(":")[2])
    until(lambda: ask(port, "GET", "/health")[0] == 200)
    yield port
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    process.stdout.close()


def until(true):
    """Waits until something is true."""
    end = time.monotonic() + 100
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def ask(port, method, path, body=None):
    """Status and body of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=100)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def npy(example):
    said = io.BytesIO()
    np.save(said, example)
    return said.getvalue()


def predict(port, i):
    """Number of an example, status of its request, and the outputs or the error."""
    status, body = ask(port, "POST", "/predict", npy(EXAMPLES[i % len(EXAMPLES)]))
    return i, status, json.loads(body)


def worker(port):
    return json.loads(ask(port, "GET", "/health")[1])["worker"]


def resident(process):
    """Memory of a process, in bytes."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_thousand_requests_of_sixteen_clients(port):
    expected, process = np.asarray(jax.jit(function)(EXAMPLES)), worker(port)
    with ThreadPoolExecutor(16) as clients:
        list(clients.map(lambda i: predict(port, i), range(100)))
        before = resident(process)
        answers = list(clients.map(lambda i: predict(port, i), range(1000)))
    assert [status for _, status, _ in answers] == [200] * 1000
    for i, _, answer in answers:
        np.testing.assert_allclose(answer["outputs"], expected[i % 32], rtol=1e-5, atol=1e-5)
    assert resident(process) - before < 2**22  # four bytes of a thousand requests are nothing
    text = ask(port, "GET", "/metrics")[1].decode()
    counts = dict(line.rsplit(" ", 1) for line in text.splitlines())
    assert int(counts['requests_total{status="200"}']) >= 1100
    assert int(counts["batches_total"]) < int(counts["examples_total"])  # some shared one


def test_who_waits_for_a_worker_that_is_killed_hears_of_it(port):
    with ThreadPoolExecutor(16) as clients:
        asked = [clients.submit(predict, port, i) for i in range(400)]
        until(lambda: sum(one.done() for one in asked) > 50)
        os.kill(worker(port), signal.SIGKILL)
        answers = [one.result() for one in asked]
    statuses = {status for _, status, _ in answers}
    assert len(answers) == 400
    assert 200 in statuses <= {200, 503}
    assert all("died" in answer["error"] for _, status, answer in answers if status == 503)
    until(lambda: ask(port, "GET", "/health")[0] == 200)
    assert predict(port, 0)[1] == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/predict", b"x" * 100_000, 413),
        ("POST", "/predict", b"no array", 400),
        ("POST", "/predict", npy(np.zeros((3, 3), np.float32)), 400),
        ("POST", "/predict", npy(np.array([object()], object)), 400),
        ("POST", "/elsewhere", b"", 404),
        ("GET", "/elsewhere", None, 404),
    ],
)
def test_what_is_no_example_is_refused(port, method, path, body, status):
    assert ask(port, method, path, body)[0] == status
