"""Checkpoints as training scripts write them: every form gives the same weights."""

import numpy as np
import pytest

from checkpoints import readers
from checkpoints.readers import wrappers
from tests.checkpoints.torch_files import Call, Instance, View, write, write_legacy
from zoo.errors import UsageError

W, B = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(2, np.float32)
NET = {"conv1.weight": W, "conv1.bias": B, "layer1.0.bn.running_mean": 2 * B}
OLD = {name: 0 * array for name, array in NET.items()}
ONE = np.ones((), np.float32)
OPTIMIZER = {"state": {0: {"exp_avg": W}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
CODES = Call("_codecs.encode", ("\x00\x01", "latin1"))
DTYPE = Call("numpy.dtype", ("f8", False, True))
ARRAY = Call("numpy.core.multiarray._reconstruct", (Call("numpy.dtype", ()), (0,), CODES))


def named(prefix, tensors=NET):
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


FORMS = {
    "a tensor beside": {"epoch": 90, "state_dict": named("module."), "best_acc1": ONE},
    "AveragedModel": {"n_averaged": ONE, **named("module.")},
    "AveragedModel beside": {"model": OLD, "model_ema": {"n_averaged": ONE, **named("module.")}},
    "net.": {"state_dict": named("net.")},
    "backbone.": named("backbone."),
    "an unknown prefix": named("my_classifier.inner."),
    "_forward_module.": named("_forward_module.model."),
    "_fsdp_wrapped_module.": {
        "_fsdp_wrapped_module.conv1.weight": W,
        "_fsdp_wrapped_module.conv1.bias": B,
        "_fsdp_wrapped_module.layer1._fsdp_wrapped_module.0.bn.running_mean": 2 * B,
    },
    "compiled in DataParallel": named("module._orig_mod."),
    "a criterion among the names": {**named("net."), "criterion.weight": B},
    "a criterion beside": {"criterion": {"weight": B}, "model": NET},
    "a Lightning checkpoint": {
        "state_dict": {**named("model."), "loss_fn.weight": B},
        "hyper_parameters": {"lr": 0.1},
        "optimizer_states": OPTIMIZER,
    },
    "no EMA after all": {"model": NET, "ema": None},
    "an EMA without weights": {"model": NET, "ema": {"decay": 0.9, "num_updates": ONE}},
    "an EMA of a part": {"model": NET, "ema": {"conv1.weight": 0 * W}},
    "an EMA's shadow": {"model": OLD, "ema": {"decay": 0.9, "shadow": NET}},
    "an EMA among the names": {**named("model.", OLD), **named("ema_model.")},
    "EMA alone": {"ema": named("module.")},
    "online and EMA": {**named("online_model.", OLD), **named("ema_model."), "initted": ONE},
    "an unknown wrapper": {"my_network": NET, "optimizer_2": OPTIMIZER},
    "the optimizer first": {"optimizer": OPTIMIZER, "net": NET, "rng_state": B},
}
SETTINGS = {
    "collections.Counter": Call("collections.Counter", ({30: 1, 60: 1},)),
    "pathlib.PosixPath": Call("pathlib.PosixPath", ("/", "tmp", "x")),
    "pathlib._local.PosixPath": Call("pathlib._local.PosixPath", ("/", "tmp")),
    "an array": Instance("argparse.Namespace", {"mean": ARRAY}),
    "a scalar": Call("numpy._core.multiarray.scalar", (DTYPE, CODES)),
    "collections.deque": Call("collections.deque", ([1, 2], 10)),
    "a set": Call("__builtin__.set", (["a"],)),
    "odd keys": {Call("torch.device", ("cpu",)): 1, 2.5: 2, 10**12: 3, (1, 2): 4},
}


def assert_is_the_network(found):
    assert list(found) == list(NET)
    for name, array in NET.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("write_file", [write, write_legacy])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_weights(tmp_path, form, write_file):
    assert_is_the_network(readers.read(write_file(tmp_path / "x.pth", FORMS[form])))


@pytest.mark.parametrize("kind", SETTINGS)
def test_settings_beside_the_weights_are_inert(tmp_path, kind):
    value = {"model": NET, "lr_scheduler": SETTINGS[kind], "args": [SETTINGS[kind]]}
    found = readers.read_contents(write(tmp_path / "x.pth", value))
    assert_is_the_network(found.tensors)
    assert found.notes == ("took the weights under 'model', left lr_scheduler, args",)


def test_an_expanded_tensor(tmp_path):
    views = {"w": View("s", "float32", 1, (2, 3), (0, 1)), "b": View("s", "float32", 0, (4,), (0,))}
    found = readers.read(write(tmp_path / "x.pth", views, {"s": W.tobytes()}))
    np.testing.assert_array_equal(found["w"], np.tile(W.ravel()[1:4], (2, 1)))
    np.testing.assert_array_equal(found["b"], np.zeros(4))


def test_names_that_mean_something_stay(tmp_path):
    for names in (["fc.weight", "fc.bias"], ["backbone.w.x", "head.weight"], ["loss.weight"]):
        tensors = dict.fromkeys(names, W)
        assert list(wrappers.without_prefixes(tensors).tensors) == names


def test_several_networks_are_joined_and_not_chosen_from(tmp_path):
    found = readers.read_contents(write(tmp_path / "x.pth", {"G": NET, "D": {"w": B}}))
    assert list(found.tensors) == [*named("G."), "D.w"]
    assert found.notes == ("joined the tensors under G, D",)


def test_a_criterion_alone_is_no_network(tmp_path):
    with pytest.raises(UsageError, match=r"no named tensors but the keys criterion \(weight\)"):
        readers.read(write(tmp_path / "x.pth", {"criterion": {"weight": B}}))


def test_arrays_of_settings_are_never_made(tmp_path):
    """What stands for a call keeps nothing of its arguments."""
    value = {"model": NET, "args": {"mean": ARRAY, "path": SETTINGS["pathlib.PosixPath"]}}
    assert_is_the_network(readers.read(write(tmp_path / "x.pth", value)))
