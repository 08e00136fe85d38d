"""How this project was installed, and so how an extra of it is."""

import importlib.metadata
import shlex
from pathlib import Path

NAME = "jax-functional-zoo"
HOME = Path(__file__).resolve().parents[1]


def command(extra: str) -> str:
    """The shell command that installs what an extra of `pyproject.toml` needs.

    It asks no index for this project itself: in a clone it names the clone, and where a wheel was
    installed it names the libraries of the extra.
    """
    if (HOME / "pyproject.toml").is_file():
        return f"pip install -e {shlex.quote(f'{HOME}[{extra}]')}"
    return f"pip install {' '.join(map(shlex.quote, _libraries(extra)))}"


def _libraries(extra: str) -> list[str]:
    """Requirements of an extra, as the metadata of the installed wheel has them."""
    try:
        required = importlib.metadata.requires(NAME) or []
    except importlib.metadata.PackageNotFoundError:
        required = []
    parts = [requirement.partition(";") for requirement in required]
    wanted = f"extra == '{extra}'"
    found = [name.strip() for name, _, marker in parts if wanted in marker.replace('"', "'")]
    return found or [f"{NAME}[{extra}]"]
