"""TNT to and from its sources, on the names of the reference implementations."""

import json
from pathlib import Path

import numpy as np
import pytest

import checkpoints
import zoo
from tests.golden import fill

CASES = Path(__file__).parents[1] / "golden" / "cases"


def state_dict(name):
    case = json.loads((CASES / f"{name}.json").read_text())
    return {n: t.astype(np.float32) for n, t in fill.fill_state_dict(case).items()}


@pytest.mark.parametrize(
    ("case", "classes"), [("tnt_s_patch16_224_c1000", 1000), ("tnt_s_legacy_patch16_224", 10)]
)
def test_timm_round_trip_is_exact(case, classes):
    tensors = state_dict(case)
    model = zoo.create_model(case.removesuffix("_c1000"), num_classes=classes)
    exported = checkpoints.export_weights(model, checkpoints.import_weights(model, tensors))
    assert_same(exported, tensors)


RENAMED = {  # the repository's words for timm's
    "patch_pos": "outer_pos",
    "pixel_embed": "patch_embed",
    "norm_in": "inner_norm1",
    "attn_in": "inner_attn",
    "norm_mlp_in": "inner_norm2",
    "mlp_in": "inner_mlp",
    "norm1_proj": "proj_norm1",
    "norm2_proj": "proj_norm2",
    "norm_out": "outer_norm1",
    "attn_out": "outer_attn",
    "norm_mlp": "outer_norm2",
    "mlp": "outer_mlp",
}


def repository(tensors):
    """The same tensors as the authors' repository stores them."""
    renamed = {}
    for name, tensor in tensors.items():
        if name == "patch_pos":
            renamed["outer_tokens"] = np.zeros((1, 196, 384), np.float32)
        if name == "pixel_pos":
            renamed["inner_pos"] = tensor.reshape(1, 24, 16).swapaxes(1, 2)
            continue
        renamed[".".join(RENAMED.get(part, part) for part in name.split("."))] = tensor
    return renamed


def test_the_repository_s_names_mean_the_same_and_round_trip():
    tensors = state_dict("tnt_s_patch16_224_c1000")
    theirs = repository(tensors)
    model = zoo.create_model("tnt_s_patch16_224")
    variables = checkpoints.import_weights(model, theirs, "tnt")
    assert_same(checkpoints.export_weights(model, variables, "timm"), tensors)
    assert_same(checkpoints.export_weights(model, variables, "tnt"), theirs)


def test_the_repository_s_unused_tensor_is_wanted_too():
    theirs = repository(state_dict("tnt_s_patch16_224_c1000"))
    del theirs["outer_tokens"]
    with pytest.raises(zoo.UsageError, match=r"- outer_tokens \(1, 196, 384\)"):
        checkpoints.import_weights(zoo.create_model("tnt_s_patch16_224"), theirs, "tnt")


def test_another_image_size_has_other_positions():
    tensors = state_dict("tnt_s_patch16_224_c1000")
    model = zoo.create_model("tnt_s_patch16_224", image_size=(224, 112))
    tensors["patch_pos"] = tensors["patch_pos"][:, :99]
    variables = checkpoints.import_weights(model, tensors)
    assert variables["params"]["patch_positions"].shape == (1, 99, 384)


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].flags.c_contiguous
        np.testing.assert_array_equal(found[name], tensor)
