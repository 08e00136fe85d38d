"""The tutorials: paired, short, and executed as a reader would."""

import ast
import base64
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from hashlib import sha256
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from tests.checkpoints.hub_server import running_hub
from tests.docs import page

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "colab").glob("*.py"))
WITH_DATA = [path for path in SOURCES if re.search("^DATASET = ", path.read_text(), re.MULTILINE)]
NAMES = [path.stem for path in SOURCES]

every_notebook = pytest.mark.parametrize("source", SOURCES, ids=NAMES)


def cells(source):
    """`(kind, text)` of every cell of a text in jupytext's percent format."""
    parts = re.split(r"^# %%(.*)\n", source.read_text(), flags=re.MULTILINE)[1:]
    kinds = ["markdown" if "markdown" in marker else "code" for marker in parts[::2]]
    texts = [
        re.sub(r"^# ?", "", text, flags=re.MULTILINE) if kind == "markdown" else text
        for kind, text in zip(kinds, parts[1::2], strict=True)
    ]
    return [(kind, text.strip()) for kind, text in zip(kinds, texts, strict=True)]


def repository():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["urls"]["Repository"]


def test_there_is_a_notebook_for_every_topic():
    assert [name[:2] for name in NAMES] == [f"{n:02}" for n in range(1, len(NAMES) + 1)]


@every_notebook
def test_text_and_notebook_are_the_same_and_outputs_are_of_this_code(source):
    notebook = json.loads(source.with_suffix(".ipynb").read_text())
    written = [(c["cell_type"], "".join(c["source"]).strip()) for c in notebook["cells"]]
    again = f"run: python -m scripts.notebooks {source.stem}"
    assert written == cells(source), again
    code = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    assert notebook["metadata"]["code"] == sha256("\n".join(code).encode()).hexdigest(), again
    assert not any(c.get("execution_count") for c in notebook["cells"])


@every_notebook
def test_stored_outputs_are_small_and_tell_nothing_of_the_machine(source):
    text = source.with_suffix(".ipynb").read_text()
    assert text.count('"image/png"') >= 3
    assert len(text) < 500_000
    assert not re.search(r"/(?:tmp|home|root|work)/|ipykernel_|Traceback", text)


@every_notebook
def test_it_is_short(source):
    assert len(cells(source)) < 25
    code = "\n".join(text for kind, text in cells(source) if kind == "code")
    functions = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.FunctionDef)]
    assert all(f.end_lineno - f.lineno < 15 for f in functions)


@every_notebook
def test_it_ends_with_what_to_try_next_and_checks_its_claims(source):
    kind, text = cells(source)[-1]
    assert kind == "markdown"
    assert text.startswith("## What to try next")
    assert (
        sum(len(re.findall(r"^\s*assert |assert_allclose", t, re.M)) for _, t in cells(source)) >= 2
    )


@every_notebook
def test_the_first_cell_is_the_same_everywhere(source):
    setup = [next(t for kind, t in cells(s) if kind == "code") for s in (SOURCES[0], source)]
    first, this = (re.sub(r"VIRTUAL_DEVICES = \d", "", text) for text in setup)
    assert this == first
    assert f'REPOSITORY = "{repository()}"' in this


def run_first_cell(monkeypatch, *, gpu=False, tpu=False, found=("jax_functional_zoo",)):
    """Executes the first cell on a machine of that kind; returns pip's arguments, or None."""
    code = next(text for kind, text in cells(SOURCES[0]) if kind == "code")
    real, installed = importlib.util.find_spec, set(found)
    commands = []

    def install(command, check):
        commands.append(command)
        installed.add("jax_functional_zoo")

    monkeypatch.setattr(shutil, "which", lambda program: "/usr/bin/nvidia-smi" if gpu else None)
    monkeypatch.setattr(subprocess, "run", install)
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: real(n) if n in installed else None)
    monkeypatch.setattr(Path, "glob", lambda p, pattern: [p / "accel0"] if tpu else [])
    devices = f"VIRTUAL_DEVICES = {jax.device_count()}"
    exec(re.sub(r"VIRTUAL_DEVICES = \d", devices, code), {})
    return commands[0] if commands else None


@pytest.mark.parametrize(
    ("machine", "extra"),
    [({}, "[samples]"), ({"gpu": True}, "[samples,cuda]"), ({"tpu": True}, "[samples,tpu]")],
)
def test_the_first_cell_installs_what_the_runtime_needs(machine, extra, monkeypatch):
    *pip, what = run_first_cell(monkeypatch, **machine, found=())
    assert pip == [sys.executable, "-m", "pip", "install", "--quiet"]
    assert what == f"jax-functional-zoo{extra} @ git+{repository()}"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert set(extra.strip("[]").split(",")) <= set(extras)


def test_the_first_cell_does_nothing_if_the_package_is_there(monkeypatch, capsys):
    assert run_first_cell(monkeypatch) is None
    assert capsys.readouterr().out == f"{jax.devices()}\n"


@pytest.mark.parametrize("machine", [{"gpu": True}, {"tpu": True}])
def test_the_first_cell_says_if_an_accelerator_came_up_as_cpu(machine, monkeypatch, capsys):
    run_first_cell(monkeypatch, **machine)
    assert "JAX does not see this runtime's accelerator" in capsys.readouterr().out


@every_notebook
def test_the_badge_leads_to_the_notebook(source):
    path = repository().removeprefix("https://github.com/")
    address = f"https://colab.research.google.com/github/{path}/blob/main/colab/{source.stem}.ipynb"
    for path in (source, ROOT / "README.md", ROOT / "colab/README.md"):
        assert address in path.read_text(), f"{path.name} does not link {address}"


@pytest.mark.parametrize(
    "name", ["README.md", "colab/README.md", *(f"colab/{n}.py" for n in NAMES)]
)
def test_no_page_names_another_repository(name):
    owner = repository().removeprefix("https://github.com/")
    elsewhere = (ROOT / name).read_text().replace(owner, "")
    assert "/jax-functional-zoo" not in elsewhere


def execute(source, folder, switches=None, *, first=None):
    """Runs the first cells of a notebook, or all, in an empty folder; returns it with its outputs.

    `switches` are lines to replace, as regular expressions, by others.
    """
    import nbclient
    import nbformat

    notebook = nbformat.reads(source.with_suffix(".ipynb").read_text(), as_version=4)
    notebook.cells = notebook.cells[:first]
    for cell in notebook.cells:
        for line, other in (switches or {}).items():
            cell.source = re.sub(f"^{line}$", other, cell.source, flags=re.MULTILINE)
    options = {
        "timeout": 240,
        "kernel_name": "python3",
        "resources": {"metadata": {"path": folder}},
    }
    nbclient.NotebookClient(notebook, **options).execute()
    return notebook


def pictures(notebook):
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                yield Image.open(io.BytesIO(base64.b64decode(output["data"]["image/png"])))


def printed(notebook):
    """All that the cells print."""
    outputs = [o for cell in notebook["cells"] for o in cell.get("outputs", [])]
    return "".join("".join(o["text"]) for o in outputs if o["output_type"] == "stream")


def picture_of_each_step(notebook):
    """One character for each part under a heading: "+" if it shows a picture, else "-"."""
    parts = []
    for cell in notebook.cells:
        if cell.source.startswith("## "):
            parts.append("-")
        if any("image/png" in o.get("data", {}) for o in cell.get("outputs", [])):
            parts[-1] = "+"
    return "".join(parts)


@pytest.mark.notebook
@pytest.mark.filterwarnings("default")  # the client's own, of its event loop and sockets
@every_notebook
def test_it_runs_from_top_to_bottom(source, tmp_path, monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    notebook = execute(source, tmp_path)
    assert "---" not in picture_of_each_step(notebook), "three steps on end without a picture"
    stored = json.loads(source.with_suffix(".ipynb").read_text())
    assert page.agree(printed(stored), printed(notebook)), "run: python -m scripts.notebooks"
    shown = list(pictures(notebook))
    assert all(np.asarray(picture.convert("L")).std() > 5 for picture in shown), "a blank picture"
    streams = [o for c in notebook.cells for o in c.get("outputs", []) if o.output_type == "stream"]
    assert not [o.text for o in streams if o.name == "stderr"]
    assert all(o.text.count("\n") <= 15 for o in streams)


@pytest.mark.notebook
@pytest.mark.filterwarnings("default")
def test_a_file_of_ones_own_that_is_called_train_does_no_harm(tmp_path, monkeypatch):
    (tmp_path / "train.py").write_text("raise RuntimeError('not me')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    notebook = execute(SOURCES[0], tmp_path, first=2)
    assert "CpuDevice" in notebook.cells[1].outputs[0].text


@pytest.mark.notebook
@pytest.mark.filterwarnings("default")
def test_the_switch_turns_to_published_weights(tmp_path, monkeypatch, golden):
    """From a hub on loopback, with the numbers of a golden case instead of trained ones."""
    with running_hub() as server:
        server.add("timm/resnet50.a1_in1k", "model.safetensors", golden("resnet50_224_c1000")[0])
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        notebook = execute(SOURCES[0], tmp_path, {"WEIGHTS = .*": 'WEIGHTS = "resnet50.a1_in1k"'})
    assert len(list(pictures(notebook))) >= 6
    assert "resnet50.a1_in1k: 25,557,032 parameters" in str(notebook.cells)


@pytest.fixture
def own_folder(tmp_path):
    """Photographs of somebody's own: two kinds, JPEG, of any size, in names with spaces."""
    rng = np.random.default_rng(0)
    for kind, colour in {"red things": (200, 60, 40), "grüne": (60, 180, 80)}.items():
        folder = tmp_path / "my pictures" / kind
        folder.mkdir(parents=True)
        for i in range(15):
            pixels = rng.normal(colour, 40, (rng.integers(9, 40), rng.integers(9, 40), 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i}.jpg")
    return tmp_path / "my pictures"


@pytest.mark.notebook
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("source", WITH_DATA, ids=lambda path: path.stem)
def test_the_switch_turns_to_a_folder_of_ones_own(source, own_folder, tmp_path, monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    notebook = execute(
        source,
        tmp_path,
        {
            r"DATASET = (None|\"zoo_digits\").*": f"DATASET = {str(own_folder)!r}",
            "STEPS = .*": "STEPS = 6",
        },
    )
    assert "---" not in picture_of_each_step(notebook)
    assert not [
        o for c in notebook.cells for o in c.get("outputs", []) if o.get("name") == "stderr"
    ]
