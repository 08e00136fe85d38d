"""Runs the code of a page of the site as a reader would, and compares what it prints.

    python -m tests.docs.page docs/start/predict.md             # status 1 if a page says otherwise
    python -m tests.docs.page --update docs/start/predict.md    # and corrects the page

In order, in one process and the working directory: blocks of `python`, whose output stands in a
block of `text` right below, if it is shown; lines of `console` that begin with "$ ", with their
output below; code blocks with a `:caption:`, which is the file that they are written to; and code
in the column "here" of tables. Numbers need not agree, "..." is anything.
"""

import ast
import contextlib
import io
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

PARTS = re.compile(
    r"^```python\n(?P<python>.*?)^```\n(?:\n*^```text\n(?P<text>.*?)^```\n)?"
    r"|^```console\n(?P<console>.*?)^```\n"
    r"|^```\{code-block\} \w+\n:caption: (?P<file>\S+)\n\n(?P<content>.*?)^```\n"
    r"|^(?P<table>\|(?:[^\n]*\|) here \|\n(?:\|[^\n]*\n)+)",
    re.MULTILINE | re.DOTALL,
)
NUMBER = re.compile(r"[-+]?\d[\d,.]*(?:e[-+]?\d+)?(?: ?%)?")
HERE = "column `here`"
FILE = "file "


class Part(NamedTuple):
    """Code of a page, with the output that it shows; None where it shows none."""

    kind: str
    code: str
    output: str | None


def parts(page: str) -> Iterator[Part]:
    """What of a page's text can be run, in order."""
    for found in PARTS.finditer(page):
        if found["python"] is not None:
            yield Part("python", found["python"], found["text"])
        elif found["console"] is not None:
            yield from _commands(found["console"])
        elif found["file"] is not None:
            yield Part(f"{FILE}{found['file']}", found["content"], None)
        else:
            yield from (Part(HERE, code, None) for code in _cells(found["table"]))


def _commands(console: str) -> Iterator[Part]:
    for found in re.finditer(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", console, re.MULTILINE):
        yield Part("console", found[1], found[2])


def _cells(table: str) -> Iterator[str]:
    for row in table.splitlines()[2:]:
        last = re.split(r"(?<!\\)\|", row)[-2]
        yield from (code.replace("\\|", "|").strip() for code in re.findall(r"`([^`]+)`", last))


def run(part: Part, namespace: dict[str, Any]) -> str:
    """Runs a part; returns what it prints, without the working directory and spaces at ends.

    Raises:
        Exception: whatever its Python raises.
    """
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        if part.kind == "console":
            _shell(part.code)
        elif part.kind.startswith(FILE):
            _write(Path(part.kind.removeprefix(FILE)), part.code)
        elif part.code.startswith("zoo "):
            _command(part.code)
        else:
            _execute(part.code, namespace, show=part.kind == "python")
    text = said.getvalue().replace(f"{Path.cwd()}/", "")
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE).strip("\n")


def _execute(code: str, namespace: dict[str, Any], *, show: bool) -> None:
    """As a notebook does: the value of a last line that is an expression is shown."""
    body = ast.parse(code)
    last = body.body.pop() if body.body and isinstance(body.body[-1], ast.Expr) else None
    exec(compile(body, "<page>", "exec"), namespace)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), "<page>", "eval"), namespace)
        if show and value is not None:
            sys.stdout.write(f"{value!r}\n")


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def _command(line: str) -> None:
    from jax_functional_zoo.__main__ import main

    if status := main(shlex.split(line)[1:]):
        raise RuntimeError(f"{line!r} ended with status {status}")


def _shell(command: str) -> None:
    line = command.replace("\\\n", "")
    words = shlex.split(line)
    if words[0] == "zoo" and not re.search(r"[|<>;&]", line):
        from jax_functional_zoo.__main__ import main

        with contextlib.suppress(SystemExit):
            main(words[1:])
        return
    done = subprocess.run(
        ["bash", "-c", line], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    sys.stdout.write(done.stdout)


def agree(shown: str, printed: str) -> bool:
    """Whether a page shows what was printed, but for numbers, spaces and what "..." leaves out."""
    pattern = ".*".join(re.escape(words.strip()) for words in _masked(shown).split("..."))
    return re.fullmatch(pattern, _masked(printed), re.DOTALL) is not None


def _masked(text: str) -> str:
    return " ".join(re.sub("─+", "─", NUMBER.sub("#", text)).split())


def check(path: Path, *, update: bool = False) -> list[str]:
    """Runs a page; returns what it shows wrongly, and corrects it if asked to."""
    text, namespace, wrong = path.read_text(encoding="utf-8"), {"__name__": "page"}, []
    for part in parts(text):
        printed = run(part, namespace)
        if part.output is None:
            continue
        if not agree(part.output, printed):
            wrong.append(
                f"{path}: {part.code.strip()}\nshows\n{part.output}\nand prints\n{printed}"
            )
        if update and not (agree(part.output, printed) and "..." in part.output):
            text = text.replace(_shown(part, part.output), _shown(part, printed), 1)
    if update:
        path.write_text(text, encoding="utf-8")
    return wrong


def _shown(part: Part, output: str) -> str:
    """A part with its output as it stands in a page."""
    ending = "\n" if output and not output.endswith("\n") else ""
    if part.kind == "console":
        return f"$ {part.code}\n{output}{ending}"
    return f"{part.code}```\n\n```text\n{output}{ending}```\n"


if __name__ == "__main__":
    updating = "--update" in sys.argv
    pages = [Path(word).resolve() for word in sys.argv[1:] if not word.startswith("--")]
    mistakes = [mistake for page in pages for mistake in check(page, update=updating)]
    sys.stdout.write("\n\n".join(mistakes))
    sys.exit(1 if mistakes and not updating else 0)
