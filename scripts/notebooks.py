"""Notebooks from the texts in colab/, with their outputs: `python -m scripts.notebooks [NAME ...]`.

Outputs are what a reader on the web sees: pictures of few colours, and printed lines. The hash of
the code that made them is kept, so that a test finds those that no longer belong to it.
"""

import base64
import hashlib
import io
import sys
import tempfile
from pathlib import Path
from typing import Any

import jupytext
import nbclient
import nbformat
from PIL import Image

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "colab"
WIDEST, COLOURS = 900, 48  # pixels of a picture, and colours in it


def main(names: list[str]) -> None:
    """Runs the notebooks of these names, or all, each in an empty folder, and writes them."""
    for source in sorted(FOLDER.glob("*.py")):
        if not names or source.stem in names:
            with tempfile.TemporaryDirectory() as folder:
                notebook = executed(source, folder)
            nbformat.write(notebook, source.with_suffix(".ipynb"))


def executed(source: Path, folder: str) -> Any:
    """The notebook of a text with the outputs of a run in `folder`, small."""
    text = source.read_text(encoding="utf-8")
    notebook = jupytext.reads(text, fmt="py:percent")
    options = {
        "timeout": 600,
        "kernel_name": "python3",
        "resources": {"metadata": {"path": folder}},
    }
    nbclient.NotebookClient(notebook, **options).execute()
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "code": fingerprint(notebook),
    }
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell{number}", {}
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = [small(output) for output in cell.outputs]
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    first.metadata = {"tags": ["hide-input"]}  # on the site; it installs the package
    return notebook


def fingerprint(notebook: Any) -> str:
    """Hash of all code cells."""
    code = "\n".join(cell["source"] for cell in notebook.cells if cell["cell_type"] == "code")
    return hashlib.sha256(code.encode()).hexdigest()


def small(output: Any) -> Any:
    """An output with its picture in few colours, and without what counts runs."""
    if "execution_count" in output:
        output.execution_count = None
    if "image/png" in output.get("data", {}):
        picture = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
        picture = picture.convert("RGB")
        picture.thumbnail((WIDEST, WIDEST))
        buffer = io.BytesIO()
        picture.quantize(COLOURS).save(buffer, "png", optimize=True)
        output.data = {"image/png": base64.b64encode(buffer.getvalue()).decode()}
        output.metadata = {}
    return output


if __name__ == "__main__":
    main(sys.argv[1:])
