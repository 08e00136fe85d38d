"""Files of other libraries, by path alone."""

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

import checkpoints
from checkpoints import recognise, surgery
from tests.checkpoints.torch_files import write
from zoo.errors import UsageError


@pytest.mark.slow
def test_a_torch_file_equals_the_safetensors_file(golden, tmp_path):
    (tmp_path / "resnet18.safetensors").write_bytes(golden("resnet18_64")[0])
    first = checkpoints.load(tmp_path / "resnet18.safetensors")
    tensors = checkpoints.export_weights(first.model, first.variables)
    write(
        tmp_path / "resnet18-0a.pth", {"state_dict": {f"module.{k}": v for k, v in tensors.items()}}
    )
    second = checkpoints.load(tmp_path / "resnet18-0a.pth", in_channels=1, num_classes=4)
    assert second.fresh == ("params/head/bias", "params/head/kernel")
    assert second.preprocess.channels == 1
    assert len(second.card.source["notes"]) == 2
    kernels = [x.variables["params"]["stem"]["conv"]["kernel"] for x in (first, second)]
    np.testing.assert_allclose(kernels[1], kernels[0].sum(2, keepdims=True), rtol=1e-6)
    with pytest.raises(UsageError, match="they fit resnet18, not resnet34"):
        checkpoints.load(tmp_path / "resnet18-0a.pth", architecture="resnet34")


def test_a_file_whose_name_says_nothing(tmp_path):
    save_file({"w": np.ones(2)}, tmp_path / "x.safetensors")
    with pytest.raises(
        UsageError, match="does not say which model it is for; give `architecture=`"
    ):
        checkpoints.load(tmp_path / "x.safetensors")
    assert recognise.named_in("wide_resnet50_2-95faca4d.pth") == "wide_resnet50_2"


def test_more_channels_repeat_and_keep_the_size():
    kernel = jax.random.normal(jax.random.key(0), (3, 3, 3, 2))
    five = surgery.adapt_input(kernel, 5)
    np.testing.assert_allclose(five, kernel[:, :, [0, 1, 2, 0, 1]] * 3 / 5, rtol=1e-6)
