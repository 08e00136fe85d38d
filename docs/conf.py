"""How Sphinx makes the site: `sphinx-build -W docs docs/_build`."""

import re
import shutil
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from docs import pages

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Repository"]

project = PROJECT["name"]
version = release = PROJECT["version"]
author = "the authors of jax-functional-zoo"
copyright = author

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "jupyter_execute", "**/__pycache__"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the pages and notebooks run in the tests
copybutton_prompt_text = "$ "

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
maximum_signature_line_length = 80

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"{project} {version}"
html_theme_options = {
    "source_repository": REPOSITORY,
    "source_branch": "main",
    "source_directory": "docs/",
    "top_of_page_buttons": ["view"],
}


def as_restructured_text(app, what, name, obj, options, lines):
    r"""Docstrings write code as `x` and formulas in a line as `\(x\)`; Sphinx wants otherwise."""
    text = "\n".join(lines)
    text = re.sub(r"(?<![`:\w])`([^`]+)`(?!`)(?=(\w)?)", _literal, text)
    text = re.sub(r"\\\((.+?)\\\)", r":math:`\1`", text, flags=re.DOTALL)
    lines[:] = text.split("\n")


def _literal(found):
    return f"``{found[1]}``" + (r"\ " if found[2] else "")


def with_pages(app):
    """Writes the pages that are made from the code, and takes in the notebooks."""
    pages.write(Path(app.srcdir), REPOSITORY)
    tutorials = Path(app.srcdir, "tutorials")
    tutorials.mkdir(exist_ok=True)
    for notebook in (ROOT / "colab").glob("*.ipynb"):
        shutil.copy2(notebook, tutorials)


def setup(app):
    """Has the other pages written before Sphinx reads them."""
    app.connect("builder-inited", with_pages)
    app.connect("autodoc-process-docstring", as_restructured_text, priority=100)  # before napoleon
