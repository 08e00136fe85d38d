"""Hostile files are refused with one sentence, in twice their size and 64 MiB, and soon."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.checkpoints.hostile_files import FILES, names_of_a_thousand_parts

ROOT = Path(__file__).parents[2]
SLACK = 64 << 20
PATIENCE = 60  # seconds; a guard against what never ends, no measurement
READER = """
import json
import sys
from pathlib import Path
from checkpoints import readers
from zoo.errors import UsageError

def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(name)))

for line in sys.stdin:
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before = memory("VmRSS")
    try:
        answer, kind = sorted(readers.read(line.rstrip("\\n"))), "read"
    except UsageError as error:
        answer, kind = str(error), "refused"
    except BaseException as error:
        answer, kind = repr(error), "raised"
    print(json.dumps([kind, answer, memory("VmHWM") - before]), flush=True)
"""


class Reader:
    """A process that reads files, one after the other, and tells what it took."""

    def __init__(self):
        command = [sys.executable, "-W", "error", "-c", READER]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )

    def read(self, path):
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        guard = threading.Timer(PATIENCE, self.process.kill)
        guard.start()
        answer = self.process.stdout.readline()
        guard.cancel()
        assert answer, "reading took too long, or ended the process"
        return json.loads(answer)


@pytest.fixture(scope="module")
def reader():
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("asks Linux how much memory was used")
    reader = Reader()
    yield reader
    reader.process.kill()
    reader.process.communicate()


@pytest.mark.parametrize("file", FILES)
def test_hostile_files_are_refused_in_little_memory(file, tmp_path, reader):
    path = tmp_path / f"x.{file.partition(':')[0]}"
    FILES[file](path)
    size = path.stat().st_size if path.is_file() else 0
    kind, answer, taken = reader.read(path)
    assert kind == "refused", answer
    assert answer.startswith((f"'{tmp_path}/", "There is no file of weights"))
    assert len(answer) < 700
    assert answer.isprintable(), "one line, and nothing that a terminal obeys"
    assert taken <= 2 * size + SLACK


def test_names_of_many_parts_are_read(tmp_path, reader):
    names_of_a_thousand_parts(tmp_path / "x.pth")
    kind, answer, _ = reader.read(tmp_path / "x.pth")
    assert kind == "read"
    assert len(answer) == 20
