"""The weights in the package are as accurate as their cards say."""

from pathlib import Path

import pytest

import checkpoints
import train
from checkpoints import manifest

RELEASED = Path(checkpoints.__file__).parent / "released"
FAST = ("resnet8.digits",)
SHIPPED = [
    name if name in FAST else pytest.param(name, marks=pytest.mark.slow)
    for name in sorted(path.name for path in RELEASED.iterdir())
]
FLOORS = {
    "lssl_nano.digits": 0.97,
    "resnet8.rendered_digits": 0.95,
    "prototypes_nano.digits": 0.97,
}  # 0.98 for all others


@pytest.mark.parametrize("name", SHIPPED)
def test_accuracy(name):
    loaded = checkpoints.load(name)
    dataset, split = loaded.card.metrics["of"].split(":")
    data = train.load_dataset(dataset, split=split)
    found = train.evaluate(loaded.model, loaded.variables, data, preprocess=loaded.preprocess)
    assert found["count"] == loaded.card.metrics["count"]
    assert found["top1"] == pytest.approx(loaded.card.metrics["top1"], abs=2 / found["count"])
    assert found["top1"] >= FLOORS.get(name, 0.98)


def test_nothing_lies_beside_them():
    for directory in RELEASED.iterdir():
        files = {p.relative_to(directory).as_posix() for p in directory.rglob("*") if p.is_file()}
        assert files == {*manifest.read(directory)["files"], manifest.NAME}


def test_all_of_them_are_small():
    files = [file for file in RELEASED.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 12e6
    assert not [f for f in files if b"/tmp" in f.read_bytes() or b"/home" in f.read_bytes()]
