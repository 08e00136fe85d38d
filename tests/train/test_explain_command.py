"""`zoo explain`: maps and figures of digits, and what is refused."""

import json

import numpy as np
import pytest
from PIL import Image

import checkpoints
import train
from checkpoints.preprocess import SequencePreprocess, open_image
from jax_functional_zoo.__main__ import main
from train.honest import explanations, maps
from zoo.errors import UsageError

WEIGHTS = "resnet8.digits"


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A folder with a four and a nine."""
    folder, data = tmp_path_factory.mktemp("digits"), train.load_dataset("zoo_digits", "test")
    for wanted in (4, 9):
        pixels = next(data[i]["input"] for i in range(len(data)) if data[i]["label"] == wanted)
        Image.fromarray(pixels[..., 0]).save(folder / f"{wanted}.png")
    return folder


def refusal(capsys, *arguments):
    assert main(["explain", *map(str, arguments)]) == 2
    return capsys.readouterr().err


def test_a_folder_becomes_a_picture_and_figures(digits, tmp_path, capsys):
    methods, file = "gradcam,occlusion,saliency", tmp_path / "new" / "map.png"
    options = ["--weights", WEIGHTS, "--method", methods, "--save", str(file), "--json"]
    assert main(["explain", str(digits), *options]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert [(e["image"], e["method"]) for e in found] == [
        (image, method) for image in ("4.png", "9.png") for method in methods.split(",")
    ]
    assert [e["class"][0] for e in found[::3]] == ["4", "9"]
    assert all(0 <= e["deletion"] <= 1 and 0 <= e["insertion"] <= 1 for e in found)
    passes = explanations.passes(methods.split(","), 8)
    assert f"2 pictures of 8 pixels, 3 methods: about {2 * passes:,} passes" in said.err
    with Image.open(file) as opened:
        picture = np.asarray(opened.convert("RGB"))
    assert picture.shape[0] < picture.shape[1]
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100
    assert not list(file.parent.glob(".*"))


def test_a_page_holds_the_picture_and_says_names_as_they_are(tmp_path):
    found = explanations.Explanation(
        np.eye(4, dtype=np.float32), dict.fromkeys(("deletion", "insertion", "entropy"), 0.5)
    )
    found.figures["seconds"] = 1.0
    row = maps.Row("<b>.png", "a & b, 9.0%", np.zeros((4, 4, 1), np.uint8), {"gradcam": found})
    maps.save([row], tmp_path / "map.html")
    page = (tmp_path / "map.html").read_text()
    assert "&lt;b&gt;.png" in page
    assert "a &amp; b" in page
    assert "data:image/png;base64," in page
    shown = maps.overlay(row.pixels, found.map)
    assert shown[0, 0].sum() > shown[0, 1].sum()


def test_every_method_makes_a_map_of_a_shipped_network(digits):
    loaded = checkpoints.load(WEIGHTS)
    image = loaded.preprocess(open_image(digits / "4.png"))
    for name in ("guided", "lime"):
        found = explanations.explained(loaded, name, image, 4)
        assert found.map.shape == (8, 8)
        assert (found.map >= 0).all()
        assert found.map.max() > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--method", "gradcamm"], "did you mean 'gradcam'?"),
        (["--method", ","], "`--method` must name some of saliency"),
        (["--baseline", "2"], "`--baseline` must be a shade from 0 to 1, got 2.0"),
        (["--save", "map.jpg"], "`--save` must end in one of .png, .html"),
        (["--target", "10"], "`--target` must be one of the 10 classes"),
        (["--stage", "stage9", "--method", "gradcam"], "`--stage` must be one of stem, stage1"),
        (["--method", "rollout"], "attention rollout is for transformers"),
    ],
)
def test_what_cannot_be_met_is_refused(digits, capsys, options, said):
    assert said in refusal(capsys, digits / "4.png", "--weights", WEIGHTS, *options)


def test_weights_of_series_are_refused():
    with pytest.raises(UsageError, match="maps are curves over time"):
        explanations.check_pictures(SequencePreprocess(mean=(0.0,), std=(1.0,), length=5))
