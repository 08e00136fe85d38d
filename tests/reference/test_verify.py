"""What `checkpoints` takes from timm and torchvision, beside timm and torchvision."""

import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import checkpoints
import zoo
from checkpoints import Card, Preprocess, build, surgery
from jax_functional_zoo.__main__ import main
from zoo.layers.norm import BatchNorm

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]

CATALOGUE = Path(checkpoints.__file__).with_name("released.json")


@pytest.fixture(scope="module")
def reference():
    return pytest.importorskip("scripts.reference")


def saved(directory, architecture, size=64, channels=3, classes=10, **overrides):
    model = zoo.create_model(architecture, num_classes=classes, **overrides)
    image = jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32)
    preprocess = Preprocess(size).with_channels(channels)
    card = Card(architecture, architecture, overrides, classes, preprocess=preprocess)
    return checkpoints.save(directory, zoo.init_variables(model, jax.random.key(5), image), card)


@pytest.mark.parametrize(
    ("library", "architecture", "options"),
    [
        ("timm", "resnet18", {}),
        ("timm", "resnet26t", {"channels": 1}),
        ("timm", "resnetv2_50", {"classes": None}),
        ("timm", "tnt_s_patch16_224", {"size": 96, "image_size": 96}),
        ("torchvision", "resnet18", {}),
        ("torchvision", "googlenet", {}),
    ],
)
def test_verify_against_the_library(reference, capsys, tmp_path, library, architecture, options):
    directory = saved(tmp_path / "x", architecture, **options)
    assert main(["verify", str(directory), "--against", library, "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["against"].startswith(f"{library} ")
    assert 0 < row["error"] < 1e-5


def test_verify_tells_another_network_apart(reference, capsys, tmp_path, monkeypatch):
    """A norm's epsilon that is slightly off, which no shape and no name gives away."""
    directory = saved(tmp_path / "x", "resnet18")
    create_model = build.create_model

    def wrong(card, dtype=None):
        return create_model(card, dtype).clone(norm=partial(BatchNorm, epsilon=1e-3))

    monkeypatch.setattr(build, "create_model", wrong)
    assert main(["verify", str(directory), "--against", "timm"]) == 2
    assert "differs from timm" in capsys.readouterr().err


def test_verify_says_what_a_library_lacks(reference, capsys, tmp_path):
    assert main(["verify", "resnet8.digits", "--against", "timm"]) == 2
    assert "timm has no resnet8; only its fingerprint can be compared" in capsys.readouterr().err
    directory = saved(tmp_path / "x", "resnet18", width=32)
    assert main(["verify", str(directory), "--against", "timm"]) == 2
    assert "timm cannot build resnet18 with `width`" in capsys.readouterr().err


@pytest.mark.parametrize("channels", [1, 2, 4, 5, 7])
def test_other_channels_are_timms(reference, channels):
    kernel = np.random.default_rng(0).standard_normal((7, 7, 3, 8)).astype(np.float32)
    theirs = reference.torch.from_numpy(kernel.transpose(3, 2, 0, 1))
    expected = reference.timm.models.adapt_input_conv(channels, theirs).numpy()
    found = np.asarray(surgery.adapt_input(jnp.asarray(kernel), channels))
    np.testing.assert_allclose(found.transpose(3, 2, 0, 1), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("old", "new"), [(14, 24), (14, 7), (14, 16), (7, 31)])
def test_other_sizes_are_timms(reference, old, new):
    table = np.random.default_rng(0).standard_normal((1, 1 + old * old, 12)).astype(np.float32)
    expected = reference.timm.layers.resample_abs_pos_embed(
        reference.torch.from_numpy(table), new_size=[new, new], num_prefix_tokens=1
    ).numpy()
    found = surgery.resize_positions(jnp.asarray(table), expected.shape)
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def test_the_catalogue_is_what_the_script_writes(reference):
    """All but the accuracies, which come from a table that no library brings."""
    from scripts import released

    made = released.every_row({})
    known = json.loads(CATALOGUE.read_text(encoding="utf-8"))
    released.keep_recorded(made, known)
    by_name = {row["name"]: row for row in made if row["architecture"] in zoo.list_models()}
    assert by_name.keys() == {row["name"] for row in known}
    for row in known:
        expected = json.loads(json.dumps(by_name[row["name"]]))
        if row["format"] == "timm":
            expected["metrics"] = row["metrics"]
        assert row == expected


def test_every_tag_of_timm_is_in_the_catalogue(reference):
    ours = set(zoo.list_models())
    tags = {n for n in reference.timm.list_pretrained() if n.partition(".")[0] in ours}
    assert len(tags) > 120
    assert tags <= set(checkpoints.list_weights())
