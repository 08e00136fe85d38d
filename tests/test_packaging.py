"""What is installed, what an import costs, and what the README promises."""

import ast
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import checkpoints
import jax_functional_zoo

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
    return set(found.stdout.splitlines()[-1].split())  # it may print something itself


def test_zoo_imports_neither_optimisers_nor_storage_nor_other_frameworks():
    heavy = {"optax", "orbax", "torch", "tensorflow", "PIL", "tensorflow_datasets"}
    assert not imported_by("import zoo") & heavy


def test_the_command_line_starts_without_what_it_does_not_need():
    needless = {"orbax", "tensorflow_datasets", "grain", "matplotlib", "sklearn", "torch"}
    assert not imported_by("import train.cli.list, train.cli.evaluate") & needless


def test_help_waits_for_nothing():
    calls = "main([]), main(['--help']), main(['--version']), main(['trian'])"
    found = imported_by(f"from jax_functional_zoo.__main__ import main; {calls}")
    assert {"difflib", "importlib"} <= found
    assert not found & {"jax", "flax", "numpy", "zoo", "checkpoints", "train", "tyro", "rich"}


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
    assert 0 < namespace["metrics"]["entropy"] < 2.31  # the method of one's own was trained with
    assert "38 of 40" in capsys.readouterr().out


@pytest.fixture
def crowded(tmp_path):
    """A folder where a user's own `train.py`, `zoo/` and `checkpoints/` lie."""
    for name in ("zoo", "checkpoints"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise RuntimeError('{name} of the user')")
    (tmp_path / "train.py").write_text("raise RuntimeError('train of the user')")
    return tmp_path


def run_in(folder, *arguments):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_the_ten_lines_run_from_a_train_py_beside_folders_of_the_same_names(crowded):
    (crowded / "train.py").write_text(BLOCKS[0].replace("), 100)", "), 2)"))
    run = run_in(crowded, "train.py")
    assert run.returncode == 0, run.stderr
    assert ast.literal_eval(run.stdout)["count"] == 360


def test_the_program_runs_beside_folders_of_the_same_names(crowded):
    run = run_in(crowded, "-m", "jax_functional_zoo", "list", "resnet8")
    assert run.returncode == 0, run.stderr
    assert "resnet8" in run.stdout


def test_doctor_says_what_names_give_in_a_working_directory(crowded):
    (crowded / "zoo" / "__init__.py").unlink()  # a folder without it hides nothing
    run = run_in(crowded, "-P", "-m", "jax_functional_zoo", "doctor")
    assert run.returncode == 2
    rows = dict(re.findall(r"import (\w+), from here +(\S+)", run.stdout))
    assert rows["train"] == str(crowded / "train.py")
    assert rows["checkpoints"] == str(crowded / "checkpoints")
    assert rows["zoo"] == str(ROOT / "zoo")
    assert "shadowed: checkpoints, train" in run.stdout
    assert "write `from jax_functional_zoo import checkpoints`" in run.stderr


def test_a_foreign_module_that_was_imported_before_is_named(crowded):
    (crowded / "train.py").write_text("")
    run = run_in(crowded, "-c", "import train, jax_functional_zoo")
    assert f"'train' has been imported from {crowded / 'train.py'}" in run.stderr
    assert "ImportError" in run.stderr


def test_the_distributions_name_gives_the_packages_that_are_imported_already():
    assert jax_functional_zoo.checkpoints is checkpoints
    with pytest.raises(AttributeError, match="no attribute 'models'"):
        _ = jax_functional_zoo.models


@pytest.mark.slow
def test_the_wheel_holds_the_packages_and_the_weights(tmp_path):
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {
        "zoo",
        "checkpoints",
        "train",
        "jax_functional_zoo",
    }
    shipped = {name.split("/")[2] for name in names if name.startswith("checkpoints/released/")}
    assert shipped == {path.name for path in (ROOT / "checkpoints/released").iterdir()}
    assert {"zoo/py.typed", "checkpoints/py.typed", "train/py.typed"} <= set(names)
