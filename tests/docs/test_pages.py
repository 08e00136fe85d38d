"""The pages of the site: their code runs, and prints what they show; their links lead somewhere."""

import ast
import importlib
import importlib.util
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import checkpoints
import train
import zoo
from jax_functional_zoo.__main__ import COMMANDS
from tests.docs import page
from train.cli.options import options

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MADE = ("tables", "reference", "tutorials", "_build")  # by docs/pages.py and Sphinx
PAGES = sorted(
    path.relative_to(DOCS).as_posix()
    for path in DOCS.rglob("*.md")
    if path.relative_to(DOCS).parts[0] not in MADE
)
RUNNING = [name for name in PAGES if list(page.parts((DOCS / name).read_text("utf-8")))]
PACKAGES = {"zoo": zoo, "checkpoints": checkpoints, "train": train}

every_page = pytest.mark.parametrize("name", PAGES)


def text_of(name):
    return (DOCS / name).read_text("utf-8")


def shell_lines(text):
    """Commands of a page, those that are only shown among them."""
    for block in re.findall(r"^```(?:sh|console|bash)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in re.sub(r"\\\n", "", block).splitlines():
            yield line.removeprefix("$ ")
    yield from (part.code for part in page.parts(text) if part.code.startswith("zoo "))


def option_mistakes(line):
    """Options of a `zoo` command that it does not have."""
    found = re.search(r"(?:^|[\s'\"])zoo ([a-z]+)((?:\s+[^&|;#'\"]*)?)", line)
    if not found:
        return []
    if found[1] not in COMMANDS:
        return [found[1]]
    module = importlib.import_module(f"train.cli.{found[1]}")
    known = {spelled for _, spelled in options(module.ARGUMENTS)} | {"--set", "--config", "--help"}
    words = [word.partition("=")[0] for word in found[2].split() if word.startswith("--")]
    return [word for word in words if word not in known]


@every_page
def test_commands_of_a_page_have_the_options_that_it_names(name):
    assert [m for line in shell_lines(text_of(name)) for m in option_mistakes(line)] == []


@pytest.mark.parametrize(
    ("line", "mistakes"),
    [
        ("zoo train --model resnet8 --steps 3", []),
        ("zoo train --modell resnet8", ["--modell"]),
        ("ssh vm --command='zoo train --stepps 3'", ["--stepps"]),
        ("zoo trian", ["trian"]),
        ("pip install zoo", []),
    ],
)
def test_a_wrong_option_is_found(line, mistakes):
    assert option_mistakes(line) == mistakes


@every_page
def test_names_of_ours_in_a_page_exist(name):
    for code in re.findall(r"^```python\n(.*?)^```", text_of(name), re.MULTILINE | re.DOTALL):
        for node in ast.walk(ast.parse(code)):
            owner = getattr(getattr(node, "value", None), "id", None)
            if isinstance(node, ast.Attribute) and owner in PACKAGES:
                assert hasattr(PACKAGES[owner], node.attr), f"{owner}.{node.attr}"


@every_page
def test_links_into_the_repository_lead_to_files(name):
    for path in re.findall(r"jax-functional-zoo/(?:blob|tree)/main/([\w./-]+)", text_of(name)):
        assert (ROOT / path).exists(), path


def test_every_page_is_in_the_table_of_contents():
    listed = re.findall(r"^([\w/.]+)$", text_of("index.md"), re.MULTILINE)
    assert set(PAGES) - {"index.md"} <= {f"{entry}.md" for entry in listed}


def test_every_public_name_is_in_the_reference():
    from docs import reference

    pages = reference.pages()
    for package in ("zoo", "checkpoints", "train"):
        for name in importlib.import_module(package).__all__:
            assert f":: {package}.{name}\n" in pages[package] or not inspect.getdoc(name), name


def test_every_row_of_the_catalogues_is_in_its_table():
    from docs import tables

    architectures, weights = tables.architectures(), tables.weights()
    assert all(f"| `{name}` |" in architectures for name in zoo.list_models())
    assert all(f"| `{name}` |" in weights for name in checkpoints.list_weights())
    assert "| `resnet50` | 25,557,032 | 4.11 | 224x224x3 |" in architectures


def test_every_paper_has_its_code_or_none():
    from docs import papers

    rows = papers.rows()
    assert len(rows) == 106
    for paper in rows:
        assert not paper.get("survey") or "modules" not in paper
        for module in paper.get("modules", ()):
            assert importlib.util.find_spec(module), module
        assert option_mistakes(paper.get("command", "")) == []
    assert "| 105 | Transformer in Transformer (TNT) | `zoo.tnt` | `zoo train" in papers.page()


def test_every_option_of_a_run_says_what_it_does_and_which_tests_use_it():
    from docs import options as table

    rows = re.findall(r"^\| `(--[\w-]+)` \| (.*)$", table.page("https://x"), re.MULTILINE)
    spelled = {s for group in table.GROUPS.values() for _, s in options(group)}
    assert {option for option, _ in rows} == spelled
    assert [option for option, row in rows if row.endswith("|  |")] == []


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("top-1  0.9806", "top-1 0.9778", True),
        ("a\n...\nb 1", "a\nanything 3\nb 2", True),
        ("daisy 28 %", "tulip 28 %", False),
        ("", "something", False),
    ],
)
def test_shown_and_printed_are_compared_but_for_numbers(shown, printed, same):
    assert page.agree(shown, printed) is same


def test_parts_of_a_page_are_found_in_order():
    text = "```python\nprint(1)\n```\n\n```text\n1\n```\n\n| there | here |\n| --- | --- |\n"
    text += "| `f()` | `x = 1` or `y = 2` |\n\n```console\n$ zoo \\\n  list\na\nb\n$ ls\n```\n"
    text += "```{code-block} python\n:caption: mine/new.py\n\nz = 3\n```\n"
    assert list(page.parts(text)) == [
        ("python", "print(1)\n", "1\n"),
        (page.HERE, "x = 1", None),
        (page.HERE, "y = 2", None),
        ("console", "zoo \\\n  list", "a\nb\n"),
        ("console", "ls", ""),
        ("file mine/new.py", "z = 3\n", None),
    ]


def test_a_block_with_a_caption_is_written_to_that_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page.run(page.Part("file mine/new.py", "z = 3\n", None), {})
    assert (tmp_path / "mine/new.py").read_text() == "z = 3\n"


def test_a_page_that_shows_something_else_is_found_and_corrected(tmp_path):
    path = tmp_path / "page.md"
    path.write_text('Read:\n\n```python\nx = "new"\nprint(x)\n```\n\n```text\nold\n```\n\nEnd.\n')
    assert len(page.check(path, update=True)) == 1
    assert page.check(path) == []
    assert "```text\nnew\n```\n\nEnd.\n" in path.read_text()


@pytest.mark.notebook
@pytest.mark.parametrize("name", RUNNING)
def test_the_code_of_a_page_runs_and_prints_what_it_shows(name, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    if "efficientnet_lite0." in (DOCS / name).read_text():  # it runs longer than it compiles
        environment.pop("XLA_FLAGS", None)
    run = subprocess.run(
        [sys.executable, "-m", "tests.docs.page", str(DOCS / name)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert run.returncode == 0, run.stdout + run.stderr
