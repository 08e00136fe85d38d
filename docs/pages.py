"""Pages that are made from the code: tables of what there is, the command line, the reference."""

import contextlib
import importlib
import io
import os
from pathlib import Path

from docs import options, papers, reference, tables


def write(folder: Path, repository: str) -> None:
    """Writes every such page below `folder`; a page that has not changed is left alone.

    Args:
        folder: the source of the site.
        repository: address of the source code, which the tables link.
    """
    contents = {
        "tables/architectures.md": tables.architectures(),
        "tables/weights.md": tables.weights(),
        "tables/recipes.md": tables.recipes(),
        "tables/options.md": options.page(repository),
        "tables/papers.md": papers.page(),
        "reference/commands.md": commands(),
        **{f"reference/{name}.md": text for name, text in reference.pages().items()},
    }
    for name, text in contents.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def commands() -> str:
    """What `--help` of every command prints."""
    from jax_functional_zoo.__main__ import COMMANDS

    parts = ["# The program `zoo`", "Every command, as its `--help` describes it."]
    for name in COMMANDS:
        parts.append(f"## zoo {name}\n\n```text\n{_help(name)}\n```")
    return "\n\n".join(parts) + "\n"


def _help(name: str) -> str:
    command = importlib.import_module(f"train.cli.{name}").command
    said, before = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "88"
    try:
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            command(["--help"])
    finally:
        os.environ.pop("COLUMNS") if before is None else os.environ.update(COLUMNS=before)
    return said.getvalue().strip()
