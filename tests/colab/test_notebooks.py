"""The tutorials: paired, short, and executed as a reader would."""

import ast
import base64
import io
import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.checkpoints.hub_server import running_hub

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "colab").glob("*.py"))
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
    assert NAMES == ["01_classify", "02_finetune", "03_devices"]


@every_notebook
def test_text_and_notebook_are_the_same_and_outputs_are_stripped(source):
    notebook = json.loads(source.with_suffix(".ipynb").read_text())
    written = [(c["cell_type"], "".join(c["source"]).strip()) for c in notebook["cells"]]
    assert written == cells(source), "run: jupytext --to ipynb --update colab/*.py"
    assert not any(c.get("outputs") or c.get("execution_count") for c in notebook["cells"])


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


@every_notebook
def test_the_badge_leads_to_the_notebook(source):
    path = repository().removeprefix("https://github.com/")
    address = f"https://colab.research.google.com/github/{path}/blob/main/colab/{source.stem}.ipynb"
    for page in (source, ROOT / "README.md", ROOT / "colab/README.md"):
        assert address in page.read_text(), f"{page.name} does not link {address}"


@pytest.mark.parametrize(
    "page", ["README.md", "colab/README.md", *(f"colab/{n}.py" for n in NAMES)]
)
def test_no_page_names_another_repository(page):
    owner = repository().removeprefix("https://github.com/")
    elsewhere = (ROOT / page).read_text().replace(owner, "")
    assert "/jax-functional-zoo" not in elsewhere


def execute(source, folder, *, switch=("", ""), first=None):
    """Runs the first cells of a notebook, or all, in an empty folder; returns it with its outputs.

    `switch` is a text and what to put in its place.
    """
    import nbclient
    import nbformat

    notebook = nbformat.reads(source.with_suffix(".ipynb").read_text(), as_version=4)
    notebook.cells = notebook.cells[:first]
    for cell in notebook.cells:
        cell.source = cell.source.replace(*switch)
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


@pytest.mark.notebook
@pytest.mark.filterwarnings("default")  # the client's own, of its event loop and sockets
@every_notebook
def test_it_runs_from_top_to_bottom(source, tmp_path, monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    notebook = execute(source, tmp_path)
    shown = list(pictures(notebook))
    steps = sum(text.startswith("## ") for kind, text in cells(source) if kind == "markdown")
    assert len(shown) >= steps / 3
    assert all(np.asarray(picture.convert("L")).std() > 5 for picture in shown), "a blank picture"
    streams = [o for c in notebook.cells for o in c.get("outputs", []) if o.output_type == "stream"]
    assert not [o.text for o in streams if o.name == "stderr"]
    assert all(o.text.count("\n") <= 15 for o in streams)


@pytest.mark.notebook
@pytest.mark.filterwarnings("default")
def test_a_file_that_hides_the_package_is_named(tmp_path, monkeypatch):
    (tmp_path / "train.py").write_text("")
    notebook = execute(SOURCES[0], tmp_path, first=2)
    assert "train.py hides the package 'train'" in notebook.cells[1].outputs[0].text


@pytest.mark.notebook
@pytest.mark.filterwarnings("default")
def test_the_switch_turns_to_published_weights(tmp_path, monkeypatch, golden):
    """From a hub on loopback, with the numbers of a golden case instead of trained ones."""
    with running_hub() as server:
        server.add("timm/resnet50.a1_in1k", "model.safetensors", golden("resnet50_224_c1000")[0])
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        switch = ('WEIGHTS = "resnet8.digits"', 'WEIGHTS = "resnet50.a1_in1k"')
        notebook = execute(SOURCES[0], tmp_path, switch=switch)
    assert len(list(pictures(notebook))) >= 6
    assert "resnet50.a1_in1k: 25,557,032 parameters" in str(notebook.cells)
