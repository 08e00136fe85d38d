"""Weights published on a hub on loopback, by its own client, and loaded from there."""

import dataclasses
import json
import re
import socket

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

import checkpoints
import zoo
from checkpoints import Card, Preprocess, Pretrained, hub_card, hub_folder, timm_hub
from checkpoints.preprocess import SequencePreprocess
from jax_functional_zoo.__main__ import main
from zoo.errors import UsageError

# The hub's client gives its own HTTP library a file in a way that this calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

REPO = "someone/pets"
TOKEN = "hf_someone"


@pytest.fixture
def uploads(hub, monkeypatch):
    """A hub that takes uploads of someone, who has logged in."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    hub.writers[TOKEN] = "someone"
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return hub


def fresh(card, shape):
    """Random weights of the network of a card."""
    model = zoo.create_model(card.architecture, num_classes=card.num_classes, **card.overrides)
    inputs = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    variables = zoo.init_variables(model, jax.random.key(3), inputs)
    return Pretrained(model, variables, card.preprocess, card, ())


@pytest.fixture(scope="module")
def pets():
    """Weights of an architecture that timm has."""
    card = Card(
        name="pets",
        architecture="resnet10t",
        overrides={"drop_path": 0.1},
        num_classes=3,
        class_names=("cat", "dog", "größer"),
        preprocess=Preprocess(40, 0.9, "bilinear", (0.5, 0.4, 0.3), (0.2, 0.2, 0.1)),
        license="mit",
        metrics={"top1": 0.9375, "top5": 1.0, "of": "pets:test", "count": 16},
        trained_on="pets | 48 images",
    )
    return fresh(card, (40, 40, 3))


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(dict(expected))
    jax.tree.map(np.testing.assert_array_equal, found, dict(expected))


def test_what_is_pushed_is_loaded_bit_for_bit(uploads, pets, tmp_path):
    url = checkpoints.push(pets, REPO)
    assert url == f"{uploads.endpoint}/{REPO}/commit/{uploads.commit}"
    assert uploads.messages == ["Weights of pets"]
    assert {file for _, file in uploads.files} == {"README.md", "config.json", "model.safetensors"}
    loaded = checkpoints.load(f"hf-hub:{REPO}", cache_dir=tmp_path / "cache")
    assert_same(loaded.variables, pets.variables)
    assert (loaded.model, loaded.preprocess) == (pets.model, pets.preprocess)
    source = loaded.card.source
    assert (source["kind"], source["repo"]) == ("hub", REPO)
    same = {"name": "pets", "source": None, "versions": {}, "parameters": None, "format": None}
    assert dataclasses.replace(loaded.card, **same) == pets.card


def test_a_second_push_of_the_same_is_no_commit(uploads, pets):
    first = checkpoints.push(pets, REPO)
    assert checkpoints.push(pets, REPO) == first
    assert len(uploads.messages) == 1
    other = jax.tree.map(lambda x: x + 1, dict(pets.variables))
    assert checkpoints.push(pets._replace(variables=other), REPO) != first
    assert len(uploads.messages) == 2


def test_the_folder_is_what_timm_reads(pets, tmp_path):
    hub_folder.write(pets, tmp_path, REPO)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    ours = config.pop("jax_functional_zoo")
    assert config == {
        "architecture": "resnet10t",
        "num_classes": 3,
        "label_names": ["cat", "dog", "größer"],
        "global_pool": "avg",
        "pretrained_cfg": {
            "input_size": [3, 40, 40],
            "fixed_input_size": False,
            "interpolation": "bilinear",
            "crop_pct": 0.9,
            "crop_mode": "center",
            "mean": [0.5, 0.4, 0.3],
            "std": [0.2, 0.2, 0.1],
            "num_classes": 3,
            "first_conv": "conv1.0",
            "classifier": "fc",
            "license": "mit",
        },
    }
    assert Card.from_dict(ours) == dataclasses.replace(pets.card, format="timm")
    (tmp_path / "config.json").write_text(json.dumps(config))  # as timm alone would write it
    plain = checkpoints.load(tmp_path)
    assert_same(plain.variables, pets.variables)
    assert (plain.preprocess, plain.card.class_names) == (pets.preprocess, pets.card.class_names)


@pytest.mark.parametrize("name", ["resnet8.digits", "tnt_nano.digits", "lssl_nano.digits"])
def test_what_timm_does_not_have_keeps_our_names(uploads, name, tmp_path):
    shipped = checkpoints.load(name)
    checkpoints.push(shipped, REPO, folder=tmp_path / "folder")
    tensors = load_file(tmp_path / "folder" / "model.safetensors")
    assert all(name.startswith(("params/", "batch_stats/")) for name in tensors)
    loaded = checkpoints.load(REPO, cache_dir=tmp_path / "cache")
    assert_same(loaded.variables, shipped.variables)
    assert (loaded.model, loaded.preprocess) == (shipped.model, shipped.preprocess)
    assert loaded.card.fingerprint == shipped.card.fingerprint
    assert_same(checkpoints.load(tmp_path / "folder").variables, shipped.variables)


def test_fields_that_timm_cannot_build_keep_our_names(pets):
    def names(**overrides):
        return hub_folder.names_of(dataclasses.replace(pets.card, overrides=overrides))

    assert names() == names(drop_path=0.2) == names(image_size=64) == "timm"
    assert names(width=32) == names(drop_path=0.2, width=32) == "zoo"


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels_come_back(channels, tmp_path):
    see = Preprocess(32, mean=(0.1, 0.2, 0.7)).with_channels(channels)
    card = Card("x", "resnet10t", num_classes=2, preprocess=see)
    hub_folder.write(fresh(card, (32, 32, channels)), tmp_path, REPO)
    assert checkpoints.load(tmp_path).preprocess == see


def front_matter(text):
    return yaml.safe_load(re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)[1])


def test_the_readme_has_front_matter_and_the_facts(pets):
    text = hub_card.text(dataclasses.replace(pets.card, format="timm"), REPO)
    assert front_matter(text) == {
        "library_name": "timm",
        "license": "mit",
        "pipeline_tag": "image-classification",
        "tags": ["jax", "flax", "jax-functional-zoo"],
        "model-index": [
            {
                "name": REPO,
                "results": [
                    {
                        "task": {"type": "image-classification"},
                        "dataset": {"type": "pets:test", "name": "pets:test"},
                        "metrics": [
                            {"type": "accuracy", "value": 0.9375, "name": "top1"},
                            {"type": "accuracy", "value": 1.0, "name": "top5"},
                        ],
                    }
                ],
            }
        ],
    }
    assert f'timm.create_model("hf-hub:{REPO}", pretrained=True)' in text
    assert "| trained on | pets \\| 48 images |" in text
    assert "| paper | https://arxiv.org/abs/1812.01187 |" in text


def test_what_is_not_stated_is_left_out_of_the_front_matter():
    card = Card("x", "lssl_nano", preprocess=SequencePreprocess(mean=(0.0,), std=(1.0,), length=9))
    text = hub_card.text(dataclasses.replace(card, license="llama3", notes="two\nlines"), REPO)
    assert front_matter(text) == {
        "library_name": "jax-functional-zoo",
        "license": "other",
        "license_name": "llama3",
        "tags": ["jax", "flax", "jax-functional-zoo"],
    }
    assert "| notes | two lines |" in text
    assert "license" not in front_matter(hub_card.text(card, REPO))
    assert "timm" not in text


@pytest.mark.parametrize(
    ("token", "repo", "message"),
    [
        ("hf_wrong", REPO, r"does not know the token: set HF_TOKEN to one that may write, from "),
        ("", REPO, r"wants to know who you are: set HF_TOKEN to one that may write"),
        (TOKEN, "else/pets", r"may not write there: ask else for access, or set HF_TOKEN to one"),
    ],
)
def test_a_token_that_may_not_write_is_a_sentence(uploads, pets, monkeypatch, token, repo, message):
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", "/nowhere")
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(UsageError, match=f"^{repo} could not be uploaded: .*{message}"):
        checkpoints.push(pets, repo)
    assert uploads.files == {}


def test_a_token_may_write_to_a_repository_that_it_may_not_make(uploads, pets):
    uploads.repositories["group/pets"] = None
    uploads.writers[TOKEN] = "group"
    uploads.may_make = False
    assert checkpoints.push(pets, "group/pets").endswith(uploads.commit)
    with pytest.raises(UsageError, match="may not write there"):
        checkpoints.push(pets, "group/cats")


def test_other_refusals_are_sentences(uploads, pets, monkeypatch):
    uploads.refuse = 429
    with pytest.raises(UsageError, match="status 429: too many were asked for"):
        checkpoints.push(pets, REPO)
    uploads.refuse = None
    monkeypatch.setattr(hub_card, "_LICENSES", ("none-of-the-hub",))
    strange = pets._replace(card=dataclasses.replace(pets.card, license="none-of-the-hub"))
    with pytest.raises(UsageError, match=r"Invalid metadata in README\.md"):
        checkpoints.push(strange, REPO)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    with pytest.raises(UsageError, match=rf"127\.0\.0\.1:{port} cannot be reached"):
        checkpoints.push(pets, REPO)


@pytest.mark.parametrize("repo", ["pets", "a/b/c", "../pets", "a b/c", "a/b--c", ""])
def test_names_that_are_none(pets, repo):
    with pytest.raises(UsageError, match="`repo` must be OWNER/NAME"):
        checkpoints.push(pets, repo)


def test_a_configuration_and_a_card_that_disagree_are_refused(pets, tmp_path):
    hub_folder.write(pets, tmp_path, REPO)
    config = tmp_path / "config.json"
    text = config.read_text(encoding="utf-8")
    for old, new, field in (
        ('"architecture": "resnet10t"', '"architecture": "resnet34"', "architecture"),
        ('"dog"', '"wolf"', "class_names"),
        ('"crop_pct": 0.9,', '"crop_pct": 0.8,', "preprocess"),
    ):
        assert old in text
        config.write_text(text.replace(old, new, 1), encoding="utf-8")
        with pytest.raises(UsageError, match=f"`{field}` is .* and in `jax_functional_zoo` "):
            timm_hub.described(config)
    config.write_text('{"architecture": "resnet8", "jax_functional_zoo": {"name": 3}}')
    with pytest.raises(UsageError, match="This is not the card of a checkpoint"):
        timm_hub.described(config)


def test_the_command(uploads, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert main(["push", "resnet8.digits", REPO, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "model.safetensors" in said
    assert "not uploaded; without --dry-run the files of runs/hub/someone--pets go to" in said
    assert uploads.requests == []
    folder = tmp_path / "runs" / "hub" / "someone--pets"
    assert_same(checkpoints.load(folder).variables, checkpoints.load("resnet8.digits").variables)

    assert main(["push", "resnet8.digits", REPO, "--private", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["commit"] == f"{uploads.endpoint}/{REPO}/commit/{uploads.commit}"
    assert uploads.repositories == {REPO: "private"}
    assert main(["verify", f"hf-hub:{REPO}"]) == 0
    assert "equal" in capsys.readouterr().out

    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert main(["push", "resnet8.digits", "someone/other"]) == 2
    assert "does not know the token" in capsys.readouterr().err
    assert main(["push", "resnet8.digits", "other"]) == 2
    assert "must be OWNER/NAME" in capsys.readouterr().err
