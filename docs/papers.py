"""The table of the papers from which the project grew, from `papers.json`."""

import json
from pathlib import Path
from typing import Any

from docs.tables import table

PAPERS = Path(__file__).with_name("papers.json")


def rows() -> list[dict[str, Any]]:
    """Every paper: its title; `modules` and `command` where there are some; `survey` if it is."""
    return json.loads(PAPERS.read_text("utf-8"))


def page() -> str:
    """The page of all papers."""
    papers = rows()
    here = sum("modules" in paper for paper in papers)
    surveys = sum("survey" in paper for paper in papers)
    text = (
        f"# Papers\n\nThe project grew out of {len(papers)} papers: {here} of them have code here, "
        f"{surveys} are surveys, and the others are planned. Architectures and methods of further "
        "papers name theirs where they stand."
    )
    cells = [[i + 1, paper["paper"], *_where(paper)] for i, paper in enumerate(papers)]
    return f"{text}\n\n{table(['', 'paper', 'module', 'command'], cells)}\n"


def _where(paper: dict[str, Any]) -> list[str]:
    if "modules" in paper:
        modules = ", ".join(f"`{module}`" for module in paper["modules"])
        return [modules, f"`{paper['command']}`" if "command" in paper else ""]
    return ["survey, nothing to run" if "survey" in paper else "planned", ""]
