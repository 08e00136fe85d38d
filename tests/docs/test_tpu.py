"""The routes to a TPU, word for word, with a `gcloud` and an `ssh` that start processes here."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import checkpoints

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/guides/tpu.md").read_text("utf-8")

# As the real one: a queue that is served in time, commands for one worker or all of them over ssh.
GCLOUD = """
import os, shutil, subprocess, sys
from pathlib import Path

words, state = sys.argv[1:], Path(os.environ["FAKE_STATE"])
flags = dict(w[2:].partition("=")[::2] for w in words if w.startswith("--"))
group, verb, *rest = [w for w in words if not w.startswith("--")][2:]
with (state / "calls").open("a") as calls:
    print(group, verb, *rest, *sorted(flags), file=calls)
assert "zone" in flags, words
if (group, verb) == ("queued-resources", "create"):
    assert {"node-id", "accelerator-type", "runtime-version"} <= set(flags)
    assert not (state / "exists").exists()
    (state / "exists").touch()
elif (group, verb) == ("queued-resources", "describe"):
    print("ACTIVE" if (state / "asked").exists() else "WAITING_FOR_RESOURCES")
    (state / "asked").touch()
elif (group, verb) == ("queued-resources", "delete"):
    (state / "exists").unlink()
elif (group, verb) == ("tpu-vm", "ssh"):
    assert (state / "asked").exists(), "not there yet"
    hosts = int(os.environ["FAKE_HOSTS"]) if flags.get("worker") == "all" else 1
    running = [subprocess.Popen(["ssh", f"worker{i}", flags["command"]]) for i in range(hosts)]
    sys.exit(max(process.wait() for process in running))
elif (group, verb) == ("tpu-vm", "scp"):
    source, target = rest
    shutil.copytree(state / "worker0" / source.partition(":")[2], Path(target, Path(source).name))
else:
    sys.exit(f"no such command: {words}")
"""
SSH = """
import os, subprocess, sys
from pathlib import Path

host, command = sys.argv[1:]
home = Path(os.environ["FAKE_STATE"], host)
home.mkdir(exist_ok=True)
several = {} if os.environ["FAKE_HOSTS"] == "1" else {
    "SLURM_JOB_ID": os.environ["FAKE_JOB"], "SLURM_STEP_NODELIST": "localhost",
    "SLURM_NTASKS": os.environ["FAKE_HOSTS"], "SLURM_PROCID": host[-1], "SLURM_LOCALID": host[-1],
    "JAX_NUM_CPU_DEVICES": "2", "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo"}
environment = os.environ | several | {"HOME": str(home)}
sys.exit(subprocess.run(["bash", "-c", command], cwd=home, env=environment).returncode)
"""
# `python3 -m uv`: an environment whose `zoo` is ours, once it has been installed.
PYTHON3 = """
import sys
from pathlib import Path

module, uv, verb, *rest = sys.argv[1:]
assert (module, uv) == ("-m", "uv")
if verb == "venv":
    Path(rest[-1], "bin").mkdir(parents=True)
else:
    assert rest[-1].startswith("jax-functional-zoo[tpu,gcs] @ git+https://")
    program = Path(rest[rest.index("--python") + 1]).with_name("zoo")
    program.write_text(f'#!/bin/sh\\nexec {sys.executable} -P -m jax_functional_zoo "$@"\\n')
    program.chmod(0o755)
"""
FAKES = {
    "gcloud": GCLOUD,
    "ssh": SSH,
    "python3": PYTHON3,
    "pip": "",
    "sleep": "",
    "zoo": "from jax_functional_zoo.__main__ import main\n\nraise SystemExit(main())",
}


def route(heading):
    """The commands under a heading, as one script."""
    section = re.search(rf"^## {heading}\n(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)[1]
    return "\n".join(re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL))


@pytest.fixture
def follow(tmp_path):
    """`follow(heading, hosts)`: runs a route in an empty folder; returns what was asked for."""

    def run(heading, hosts):
        programs, state, here = (tmp_path / name for name in ("bin", "state", "here"))
        for folder in (programs, state, here):
            folder.mkdir()
        for name, code in FAKES.items():
            (programs / name).write_text(f"#!{sys.executable} -P\n{code}")
            (programs / name).chmod(0o755)
        environment = os.environ | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "FAKE_STATE": str(state),
            "FAKE_HOSTS": str(hosts),
            "FAKE_JOB": str(os.getpid()),
        }
        script = f"set -euo pipefail\n{route(heading)}"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=here,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert not (state / "exists").exists(), "the TPU was not given back"
        return done.stdout, here

    return run


@pytest.mark.slow
def test_the_route_to_one_vm_ends_with_a_trained_network_here(follow):
    told, here = follow("One VM", hosts=1)
    assert "devices" in told  # of `zoo doctor`
    assert checkpoints.load(here / "first").card.source["examples"] == 20 * 64


@pytest.mark.slow
def test_the_route_to_a_pod_ends_with_a_trained_network_in_the_bucket(follow, bucket):
    told, _ = follow("A pod", hosts=2)
    card = checkpoints.load("gs://zoo/runs/first").card
    assert (card.source["examples"], card.source["devices"]) == (20 * 64, 4)
    assert "zoo_digits:test" in told  # of `zoo evaluate`


def test_the_file_for_skypilot_says_what_the_page_says():
    """Its fields are those of SkyPilot's schema of a task, and its commands those of the route."""
    text = (ROOT / "docs/guides/tpu.yaml").read_text()
    assert re.findall(r"^(\w+):", text, re.MULTILINE) == [
        "name",
        "resources",
        "envs",
        "setup",
        "run",
    ]
    asked = dict(re.findall(r"^  +(\w+): (\S+)$", text, re.MULTILINE))
    assert asked["runtime_version"] in PAGE
    assert asked["accelerators"].removeprefix("tpu-") in PAGE
    installing = re.search(r"setup: \|\n(.*?)\n\n", text, re.DOTALL)[1].replace("\\\n", "")
    said = " ".join(PAGE.replace("\\\n", "").split())
    assert all(" ".join(line.split()) in said for line in installing.splitlines())
