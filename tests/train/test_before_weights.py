"""What is wrong with a run is told before weights are fetched and before anything is written."""

import pytest

from checkpoints.origins import published
from jax_functional_zoo.__main__ import main

WEIGHTS = "resnet18.a1_in1k"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--freeze", "^stam"], "no parameter has a path with '^stam'; did you mean 'stem"),
        (["--freeze", "["], "'[' is no regular expression"),
        (["--freeze", "."], "leaves no parameter to train"),
        (["--lora", "4", "--dataset", "zoo_digits"], "finds no kernel of two axes, as dense maps"),
        (["--lora", "0"], "`rank` must be at least 1, got 0"),
        (["--rates", "stam", "1e-3"], "`--rates` are of trained parameters: no parameter has"),
        (["--set", "widht=8"], "widht"),
        (["--model", "resnet34"], "are of resnet18, not of `--model` resnet34"),
        (["--task", "regression", "--class-weights", "balanced"], "is for one class of several"),
        (["--task", "multilabel", "--label-smoothing", "0.1"], "is for one class of several"),
        (["--task", "multilabel", "--objective", "focal"], "is for one class of several"),
        (["--task", "regression", "--sampling", "balanced"], "`--sampling` is for one class of"),
        (["--dataset", "zoo_tables/wine"], "read images, and zoo_tables/wine holds series"),
    ],
)
def test_it_is_a_sentence_before_anything_is_fetched(options, said, tmp_path, capsys, monkeypatch):
    def fetched(*_):
        raise AssertionError("weights were fetched")

    monkeypatch.setattr(published, "read", fetched)
    out = tmp_path / "run"
    data = [] if "--dataset" in options else ["--dataset", "zoo_digits"]
    run = ["finetune", "--weights", WEIGHTS, *data, "--out", str(out), "--steps", "1"]
    assert main([*run, *options]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_all_is_well_and_the_weights_are_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "read", lambda _: 1 / 0)
    run = ["finetune", "--weights", WEIGHTS, "--dataset", "zoo_digits", "--freeze", "^stem"]
    with pytest.raises(ZeroDivisionError):
        main([*run, "--image-size", "32", "--out", str(tmp_path / "run"), "--steps", "1"])
