"""Repositories that `push` makes, loaded by timm from the same hub."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import checkpoints
import zoo
from checkpoints import Card, Preprocess, Pretrained, build, convert, hub_folder
from tests.checkpoints.hub_server import running_hub

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]

REPO = "someone/pets"


@pytest.fixture(scope="module")
def reference():
    return pytest.importorskip("scripts.reference")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    with running_hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        monkeypatch.setenv("HF_TOKEN", "hf_someone")
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        template = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        server.writers["hf_someone"] = "someone"
        yield server


def random_weights(card):
    model = build.create_model(card)
    variables = zoo.init_variables(model, jax.random.key(5), build.images(card, model))
    return Pretrained(model, variables, card.preprocess, card, ())


@pytest.mark.parametrize(
    ("architecture", "channels", "classes", "overrides"),
    [
        ("resnet10t", 1, 5, {"drop_path": 0.1}),
        ("resnetv2_18d", 3, None, {}),
        ("tf_efficientnet_lite0", 4, 5, {}),
        ("tnt_s_patch16_224", 3, 5, {"image_size": 96}),
    ],
)
def test_timm_loads_the_same_repository(
    reference, hub, architecture, channels, classes, overrides, tmp_path
):
    see = Preprocess(96, 0.9, mean=(0.4, 0.5, 0.6)).with_channels(channels)
    card = Card("x", architecture, overrides, classes, preprocess=see, license="mit")
    pushed = random_weights(card)
    checkpoints.push(pushed, REPO)
    network = reference.timm.create_model(f"hf-hub:{REPO}", pretrained=True).eval()
    image = np.random.default_rng(0).integers(0, 255, (120, 150, 3), np.uint8)
    ours = checkpoints.load(f"hf-hub:{REPO}", cache_dir=tmp_path / "cache")
    x = (
        ours.preprocess(image)
        if channels in (1, 3)
        else see.normalize(image[:96, :96, [0, 1, 2, 0]])
    )
    found = np.asarray(ours.model.apply(ours.variables, jnp.asarray(x)[None], train=False))
    with reference.torch.inference_mode():
        theirs = reference.torch.from_numpy(x.transpose(2, 0, 1)[None].astype(np.float64))
        expected = network.double()(theirs).numpy()
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()
    config = reference.timm.data.resolve_model_data_config(network)
    assert tuple(config["input_size"]) == (channels, 96, 96)
    assert (config["crop_pct"], config["interpolation"]) == (0.9, "bicubic")
    np.testing.assert_allclose(config["mean"], see.mean)


def test_a_timm_user_may_ask_for_other_classes_and_channels(reference, hub):
    card = Card("x", "resnet10t", {}, 5, preprocess=Preprocess(96))
    checkpoints.push(random_weights(card), REPO)
    network = reference.timm.create_model(
        f"hf-hub:{REPO}", pretrained=True, num_classes=7, in_chans=1
    )
    assert network.get_classifier().out_features == 7


@pytest.mark.parametrize(
    "architecture",
    [
        *("resnet10t", "resnetv2_50x1_bit", "inception_v3", "nasnetalarge"),
        *("tnt_s_patch16_224", "tf_efficientnet_lite0"),
    ],
)
def test_first_and_last_layers_are_timms(reference, architecture):
    theirs = reference.timm.get_pretrained_cfg(architecture)
    found = convert.ends(zoo.create_model(architecture), "timm")
    assert found == (theirs.first_conv, theirs.classifier)


def test_the_list_of_timms_architectures_is_timms(reference):
    ours = zoo.list_models()
    assert hub_folder.timm_models() == {n for n in ours if reference.timm.is_model(n)}


def test_what_timm_writes_is_read(reference, tmp_path):
    """timm's own `save_for_hf`, whose configuration has entries that nothing here writes."""
    network = reference.timm.create_model("resnet10t", num_classes=5)
    reference.timm.models.save_for_hf(network, tmp_path, safe_serialization=True)
    loaded = checkpoints.load(tmp_path)
    assert loaded.card.num_classes == 5
    assert "jax_functional_zoo" not in json.loads((tmp_path / "config.json").read_text())
