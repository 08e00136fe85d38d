"""The quick cases, and that the runner can fail; `python -m tests.golden` runs them all."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import zoo
from tests.golden import __main__ as command
from tests.golden import memory, runner, sequence
from tests.golden.constructors import parse_constructor

CASES = Path(__file__).parent / "cases"


@pytest.mark.parametrize("name", ["resnet18_64", "preprocess_photos"])
def test_case(name):
    outcome = runner.run(CASES / f"{name}.json")
    assert outcome.passed, outcome.failure


@pytest.fixture
def altered(tmp_path):
    """A copy of a case in which something was changed."""

    def alter(name, arrays=None, **source):
        case = json.loads((CASES / f"{name}.json").read_text())
        case["source"] |= source
        (tmp_path / f"{name}.json").write_text(json.dumps(case))
        if arrays is None:
            shutil.copy(CASES / f"{name}.npz", tmp_path)
        else:
            np.savez(tmp_path / f"{name}.npz", **(dict(np.load(CASES / f"{name}.npz")) | arrays))
        return tmp_path

    return alter


def test_a_variant_we_lack_is_a_failure_that_names_it(altered, capsys):
    folder = altered("resnet18_64", constructor="timm.create_model('resnet19', num_classes=10)")
    assert command.main(str(folder)) == 1
    out = capsys.readouterr().out
    assert "FAIL: no architecture 'resnet19'" in out
    assert "0 of 1 cases pass" in out


@pytest.mark.parametrize(
    "array",
    [
        "logits",
        "grad_norms",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("train_logits", "bn_var_norms")),
    ],
)
def test_a_difference_of_a_ten_thousandth_is_a_failure(altered, array):
    changed = np.load(CASES / "resnet18_64.npz")[array] * 1.0001
    outcome = runner.run(altered("resnet18_64", {array: changed}) / "resnet18_64.json")
    assert not outcome.passed
    assert "> 1e-05" in outcome.failure


def test_float32_is_held_to_what_the_reference_reaches_in_it():
    errors = {"float32_rel_err": {"logits": 8e-6}}
    assert runner.float32_tolerance({"diagnostics": errors}) == pytest.approx(3.2e-5)
    assert runner.float32_tolerance({}) == runner.TOLERANCE


def test_a_constructor_is_read_and_never_evaluated():
    source = {"constructor": "timm.create_model(exit())"}
    with pytest.raises(zoo.UsageError, match=r"no call with literal arguments.*exit"):
        parse_constructor({"source": source, "num_classes": 1})


@pytest.mark.parametrize(
    ("constructor", "expected"),
    [
        (
            "torchvision.models.googlenet(weights=None, num_classes=7)",
            ("torchvision", "googlenet", {"num_classes": 7, "aux_heads": True}),
        ),
        (
            "torchvision.models.inception_v3(aux_logits=False)",
            ("torchvision", "inception_v3", {"num_classes": 7}),
        ),
        (
            "timm.create_model('inception_v3', aux_logits=True)",
            ("timm", "inception_v3", {"num_classes": 7, "aux_heads": True}),
        ),
        (
            "keras.applications.inception_v3.InceptionV3(weights=None, classes=7)",
            ("keras", "inception_v3_keras", {"num_classes": 7}),
        ),
        (
            "timm.create_model('timm/resnet50.a1_in1k', False, num_classes=0, in_chans=1)",
            ("timm", "resnet50", {"num_classes": None}),
        ),
        (
            "timm.models.resnet.resnet26(cardinality=2, base_width=32, global_pool='avg')",
            ("timm", "resnet26", {"num_classes": 7, "groups": 2, "base_width": 32}),
        ),
        (
            "torchvision.models.get_model('googlenet', weights=None, transform_input=True)",
            ("torchvision", "googlenet", {"num_classes": 7, "aux_heads": True}),
        ),
        (
            "keras.applications.nasnet.NASNetMobile((64, 64, 3), weights=None)",
            ("keras", "nasnetamobile", {"num_classes": 7}),
        ),
        (
            "timm.create_model('tnt_b_patch16_224', img_size=(160, 96), drop_path_rate=0.1)",
            ("timm", "tnt_b_patch16_224", {"num_classes": 7, "image_size": (160, 96)}),
        ),
        (
            "simplenet.simplenetv1_9m_m1(num_classes=3, scale=0.5, drop_rates={6: 0.1, 15: 0.2})",
            (
                "simplenet",
                "simplenetv1_9m_m1",
                {"num_classes": 3, "drop_rates": (("stage1_pool", 0.0), ("head", 0.0))},
            ),
        ),
        (
            "simplenet.SimpleNet(3, 3, 0.5, 2, mode=1)",
            (
                "simplenet",
                "simplenet_cifar_310k",
                {"num_classes": 3, "scale": 0.5, "strides": (2, 2, 2)},
            ),
        ),
        (
            "SReT_wo_slice.SReT_S_wo_slice_finetune_384(pretrained=False, drop_path_rate=0.0)",
            ("sret", "sret_s_wo_slice_finetune_384", {"num_classes": 7}),
        ),
        (
            "SReT.SReT(224, 16, 8, [32, 32], groups1=[16, 2], recursive_num=[1, 2], num_classes=3)",
            (
                "sret",
                "sret_t",
                {
                    "num_classes": 3,
                    "image_size": 224,
                    "head_dims": (32, 32),
                    "slices": (16, 2),
                    "shared_blocks": (1, 2),
                    "recursions": (4, 5),
                },
            ),
        ),
    ],
)
def test_constructors_of_several_libraries(constructor, expected):
    case = {"source": {"constructor": constructor}, "num_classes": 7}
    library, name, overrides = parse_constructor(case)
    overrides.pop("permutation", None)
    assert (library, name, overrides) == expected


@pytest.mark.parametrize(
    ("constructor", "words"),
    [
        ("timm.create_model('resnet18', global_pool='max')", "`global_pool='max'`"),
        ("timm.create_model('tnt_s_patch16_224', global_pool='avg')", "avg.*there is 'token'"),
        ("timm.create_model('resnet18', output_stride=16)", "`output_stride=16`"),
        ("timm.create_model('resnet18', act_layer='silu')", "`act_layer='silu'` of timm"),
        ("monai.networks.nets.resnet18()", "no library 'monai'"),
    ],
)
def test_what_we_lack_is_named(constructor, words):
    with pytest.raises(zoo.UsageError, match=words):
        parse_constructor({"source": {"constructor": constructor}, "num_classes": 7})


def test_a_case_that_cannot_run_does_not_stop_the_others(altered):
    outcome = runner.run(altered("resnet18_64", {"logits": np.zeros(())}) / "resnet18_64.json")
    assert not outcome.passed
    assert not outcome.errors


def test_an_empty_folder_is_not_a_success(tmp_path):
    assert command.main(str(tmp_path)) == 1


def test_an_activation_that_torch_lacks_is_left_out_as_the_library_does():
    assert (
        memory.association({"input_size": 4, "association_activation": "gelu"}).activation is None
    )
    tanh = memory.association({"input_size": 4, "association_activation": "tanh"}).activation
    assert tanh(0.5) == pytest.approx(np.tanh(0.5))


def test_the_two_associations_of_a_decoder_may_be_called_anything():
    layer = memory.decoder({"self": {"input_size": 4}, "cross": {"input_size": 4, "num_heads": 2}})
    assert (layer.self_association.heads, layer.cross_association.heads) == (1, 2)


def test_arguments_of_a_measure_are_read_as_the_source_spells_them():
    arguments = {"double_B": False, "halve": True}
    config = {"d": 2, "measure": "jac", "measure_args": arguments}
    assert sequence.layer_fields(config)["transition"].keywords == {
        "double_b": False,
        "halve": True,
    }


@pytest.mark.parametrize(("limit", "rate"), [(-1, 1.0), (32, 2.0), (16, 1.0), (40, 2.0), (7, 0.0)])
def test_the_sampling_interval_is_a_rounded_ratio(limit, rate):
    assert sequence.rate_of({"l_max": limit}, 16) == rate
