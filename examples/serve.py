"""Serves a file of `zoo export` over HTTP, with jax, flatbuffers and NumPy alone.

    python serve.py FILE --port 8000
    python -c "import numpy; numpy.save('one.npy', image)"
    curl --data-binary @one.npy localhost:8000/predict

* `POST /predict`: one example as a .npy file; the answer is `{"outputs": [...]}`.
* `GET /health`: 200 once the program is compiled and while its process lives, else 503.
* `GET /metrics`: counts and times as Prometheus reads them.

Requests that wait at the same time are one batch, padded to a power of two, so that there are few
programs and all of them are compiled before the first request. The program runs in a process of its
own. If that dies, whoever waits for the batch that it had gets a 503, the others wait for the next
process. What is too large gets a 413, what would wait too long for its turn a 503, and what has not
been answered in time a 504. SIGTERM and Ctrl-C answer what has been accepted and end.
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import queue
import signal
import threading
import time
from collections import Counter
from concurrent.futures import CancelledError, Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

HEADER = 4096  # bytes that a .npy file may have beside its numbers
IDLE = 5.0  # seconds in which a client has to go on


def work(file, connection, largest):
    """The process of the program: says what it takes, then answers batches until nobody asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's; this one is told by EOF
    import jax

    program = jax.export.deserialize(bytearray(Path(file).read_bytes()))
    call, (_, *shape) = jax.jit(program.call), program.in_avals[0].shape
    dtype = program.in_avals[0].dtype.name
    sizes = [2**n for n in range((largest - 1).bit_length() + 1)]
    for size in sizes:
        call(np.zeros((size, *shape), dtype)).block_until_ready()
    connection.send((tuple(shape), dtype))
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            batch = connection.recv()
            size = next(size for size in sizes if size >= len(batch))
            padded = np.zeros((size, *shape), dtype)
            padded[: len(batch)] = batch
            connection.send(np.asarray(call(padded))[: len(batch)])


class WorkerDiedError(Exception):
    """The process that had the request ended before it answered."""


class Batcher:
    """A queue of examples, and a thread that gives them in batches to a process.

    Args:
        file: of `zoo export`.
        largest: examples of a batch.
        wait: seconds that a batch waits for more examples.
        limit: seconds that a batch may take.
        room: examples that may wait.
    """

    def __init__(self, file, *, largest, wait, limit, room):
        self._file, self._largest, self._wait, self._limit = file, largest, wait, limit
        self._waiting = queue.Queue(room)
        self._closing, self.ready = threading.Event(), threading.Event()
        self.takes, self.process, self.counts = None, None, Counter()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def submit(self, example):
        """The future outputs of an example.

        Raises:
            queue.Full: too many wait already.
        """
        answer = Future()
        self._waiting.put_nowait((example, answer))
        return answer

    def depth(self):
        """How many examples wait."""
        return self._waiting.qsize()

    def close(self):
        """Answers what was accepted, and ends."""
        self._closing.set()
        self._thread.join()

    def _serve(self):
        while not self._closing.is_set() or self.depth():
            connection = self._start()
            with contextlib.suppress(EOFError, OSError):
                self.takes = connection.recv()
                self.ready.set()
                while not self._closing.is_set() or self.depth():
                    if batch := self._collect():
                        self._answer(connection, batch)
            self.ready.clear()
            connection.close()
            self.process.kill() if not self._closing.is_set() else self.process.join(self._limit)
            self.process.join()
            self.counts["restarts"] += not self._closing.is_set()
            time.sleep(0 if self.takes else 1)  # a file that cannot be loaded is no reason to spin

    def _start(self):
        spawn = multiprocessing.get_context("spawn")
        connection, theirs = spawn.Pipe()
        arguments = (self._file, theirs, self._largest)
        self.process = spawn.Process(target=work, args=arguments, daemon=True)
        self.process.start()
        theirs.close()  # so that its end is heard of
        return connection

    def _collect(self):
        """The examples that wait, and those that come within the time; none if there are none."""
        batch, last = [], None
        while len(batch) < self._largest:
            left = 0.1 if last is None else last - time.monotonic()
            try:
                batch.append(self._waiting.get(timeout=max(left, 0)))
            except queue.Empty:
                break
            last = last or time.monotonic() + self._wait
        return [one for one in batch if one[1].set_running_or_notify_cancel()]

    def _answer(self, connection, batch):
        """Asks the process; without an answer everybody who waits for it hears of that."""
        examples, answers = zip(*batch, strict=True)
        try:
            connection.send(np.stack(examples))
            if not connection.poll(self._limit):
                raise EOFError
            outputs = connection.recv()
        except (EOFError, OSError):
            for answer in answers:
                answer.set_exception(WorkerDiedError())
            raise
        self.counts.update(batches=1, examples=len(batch))
        for answer, row in zip(answers, outputs, strict=True):
            answer.set_result(row)


class Handler(BaseHTTPRequestHandler):
    """Requests to the server's `batcher`; `patience` are the seconds that one may take."""

    protocol_version = "HTTP/1.1"

    def setup(self):
        """A client that says nothing is let go."""
        self.timeout = min(self.server.patience, IDLE)
        super().setup()

    def do_GET(self):
        """Health and metrics."""
        batcher = self.server.batcher
        if self.path == "/health":
            worker, ready = batcher.process, batcher.ready.is_set() and batcher.process.is_alive()
            self._reply(200 if ready else 503, {"ready": ready, "worker": worker and worker.pid})
        elif self.path == "/metrics":
            self._send(200, "text/plain; version=0.0.4", self.server.metrics().encode())
        else:
            self._reply(404, {"error": "there are /predict, /health and /metrics"})

    def do_POST(self):
        """An example in, outputs out."""
        begun = time.monotonic()
        status, answer = self._predict(begun)
        with self.server.lock:
            self.server.counts[status] += 1
            self.server.seconds += time.monotonic() - begun
        self._reply(status, answer)

    def _predict(self, begun):
        batcher = self.server.batcher
        if self.path != "/predict":
            self.close_connection = True
            return 404, {"error": "examples go to /predict"}
        if batcher.takes is None:
            self.close_connection = True
            return 503, {"error": "the program is being compiled"}
        shape, dtype = batcher.takes
        size = self.headers.get("Content-Length", "")
        if not size.isdecimal() or int(size) > np.dtype(dtype).itemsize * np.prod(shape) + HEADER:
            self.close_connection = True  # what it sends is not read
            return (413 if size.isdecimal() else 411), {"error": f"send one example {shape}"}
        try:
            body = self.rfile.read(int(size))
        except TimeoutError:
            self.close_connection = True
            return 408, {"error": "the example did not come in time"}
        try:
            example = np.load(io.BytesIO(body), allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            return 400, {"error": f"not a .npy file: {error}"}
        if not isinstance(example, np.ndarray) or (example.shape, example.dtype) != (shape, dtype):
            return 400, {"error": f"an example is {dtype} of the shape {shape}"}
        return self._wait(batcher, example, begun)

    def _wait(self, batcher, example, begun):
        try:
            answer = batcher.submit(example)
        except queue.Full:
            return 503, {"error": "too many requests wait; try again"}
        try:
            left = self.server.patience - (time.monotonic() - begun)
            return 200, {"outputs": answer.result(max(left, 0)).tolist()}
        except WorkerDiedError:
            return 503, {"error": "the process that had this request died; try again"}
        except (TimeoutError, CancelledError):
            answer.cancel()
            return 504, {"error": "not answered in time"}

    def _reply(self, status, answer):
        self._send(status, "application/json", json.dumps(answer).encode())

    def _send(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Counts in /metrics take the place of a line for each request."""


class Server(ThreadingHTTPServer):
    """The endpoint; see the module."""

    daemon_threads = False  # whoever was accepted is answered before the end
    request_queue_size = 128

    def __init__(self, address, batcher, patience):
        super().__init__(address, Handler)
        self.batcher, self.patience, self.lock = batcher, patience, threading.Lock()
        self.counts, self.seconds = Counter(), 0.0

    def metrics(self):
        """Counts and times, as text."""
        with self.lock:
            lines = [f'requests_total{{status="{s}"}} {n}' for s, n in sorted(self.counts.items())]
            lines.append(f"request_seconds_total {self.seconds:.6f}")
        counts = {name: self.batcher.counts[name] for name in ("batches", "examples", "restarts")}
        lines += [f"{name}_total {count}" for name, count in counts.items()]
        return "\n".join([*lines, f"queue_examples {self.batcher.depth()}", ""])


def main():
    """Serves until it is told to stop."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("file", help="what `zoo export` wrote")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0 for any that is free")
    parser.add_argument("--batch", type=int, default=32, help="most examples of a batch")
    parser.add_argument(
        "--wait", type=float, default=0.005, help="seconds to wait for more of them"
    )
    parser.add_argument(
        "--timeout", type=float, default=30.0, help="seconds that a request may take"
    )
    parser.add_argument("--queue", type=int, default=256, help="most examples that wait")
    options = parser.parse_args()
    batcher = Batcher(
        options.file,
        largest=options.batch,
        wait=options.wait,
        limit=options.timeout,
        room=options.queue,
    )
    server = Server((options.host, options.port), batcher, options.timeout)
    stop = lambda *_: threading.Thread(target=server.shutdown).start()  # noqa: E731
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"http://{options.host}:{server.server_port}", flush=True)
    server.serve_forever()
    batcher.close()
    server.server_close()


if __name__ == "__main__":
    main()
