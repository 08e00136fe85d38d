"""What is installed, what an import costs, and what the README promises."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import checkpoints

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def imported_by(statement):
    """Top-level names of the modules that a statement brings in."""
    script = (
        f"import sys; {statement}; print(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(found.stdout.split())


def test_zoo_imports_neither_optimisers_nor_storage_nor_other_frameworks():
    heavy = {"optax", "orbax", "torch", "tensorflow", "PIL", "tensorflow_datasets"}
    assert not imported_by("import zoo") & heavy


def test_the_command_line_starts_without_what_it_does_not_need():
    needless = {"orbax", "tensorflow_datasets", "grain", "matplotlib", "sklearn", "torch"}
    assert not imported_by("import train.commands.show, train.commands.use") & needless


def test_nothing_needs_tensorflow_or_torch():
    script = "import train, checkpoints; train.load_dataset('zoo_digits')[0]"
    assert not imported_by(script) & {"tensorflow", "torch"}


def test_the_readme_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ten_lines, *others = BLOCKS
    assert sum(bool(line) for line in ten_lines.splitlines()) <= 10
    namespace = {}
    exec(ten_lines, namespace)
    metrics = eval(capsys.readouterr().out)
    assert metrics["count"] == 360
    assert metrics["top1"] > 0.96  # before fine-tuning it is 0.94
    for block in others:
        exec(block, namespace)
    assert checkpoints.load("runs/ten-lines").card.class_names == tuple("0123456789")
    assert namespace["probabilities"].shape == (1, 10)
    assert namespace["logits"].shape == (1, 10)
    assert "38 of 40" in capsys.readouterr().out


@pytest.mark.slow
def test_the_wheel_holds_the_three_packages_and_the_weights(tmp_path):
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {
        "zoo",
        "checkpoints",
        "train",
    }
    shipped = {name.split("/")[2] for name in names if name.startswith("checkpoints/released/")}
    assert shipped == {path.name for path in (ROOT / "checkpoints/released").iterdir()}
    assert {"zoo/py.typed", "checkpoints/py.typed", "train/py.typed"} <= set(names)
