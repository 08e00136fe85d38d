"""The command that installs an extra, from a clone and from a wheel."""

import re
import tomllib
from pathlib import Path

import pytest

from checkpoints import installation

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
CALL = re.compile(r"""installation\.command\(["'](\w+)["']\)""")
METADATA = """\
Metadata-Version: 2.4
Name: jax-functional-zoo
Version: 9.8.7
Requires-Dist: numpy>=2
Requires-Dist: importlib-resources>=6; python_version > '3'
Requires-Dist: gcsfs>=2024.6; extra == 'gcs'
Requires-Dist: jax[tpu]>=0.10.2; extra == "tpu"
Requires-Dist: timm==1.0.31; extra == 'reference'
Requires-Dist: keras==3.15.1; extra == 'reference'
"""


def test_a_clone_is_named(tmp_path, monkeypatch):
    assert installation.command("tpu") == f"pip install -e '{ROOT}[tpu]'"
    home = tmp_path / "it's here"
    home.mkdir()
    (home / "pyproject.toml").touch()
    monkeypatch.setattr(installation, "HOME", home)
    assert installation.command("gcs").endswith("""/it'"'"'s here[gcs]'""")


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """An environment in which a wheel of version 9.8.7 lies."""
    place = tmp_path / "jax_functional_zoo-9.8.7.dist-info"
    place.mkdir()
    (place / "METADATA").write_text(METADATA)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(installation, "HOME", tmp_path)


@pytest.mark.parametrize(
    ("extra", "libraries"),
    [
        ("gcs", "'gcsfs>=2024.6'"),
        ("tpu", "'jax[tpu]>=0.10.2'"),
        ("reference", "timm==1.0.31 keras==3.15.1"),
    ],
)
def test_of_a_wheel_the_libraries_are_named(wheel, extra, libraries):
    assert installation.command(extra) == f"pip install {libraries}"


def test_only_extras_that_there_are_are_asked_for():
    sources = [path for name in ("checkpoints", "train") for path in (ROOT / name).rglob("*.py")]
    calls = {call for path in sources for call in CALL.findall(path.read_text())}
    assert calls == {"export", "gcs", "reference", "tensorflow", "tpu"}  # and those of loggers
    assert calls | {"tensorboard", "wandb"} <= EXTRAS.keys()
