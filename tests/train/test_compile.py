"""Compiling without running: for the devices that are here, and for TPUs that are not."""

import dataclasses
import json
from functools import partial

import jax
import jax.numpy as jnp
import optax
import pytest

import train
import zoo
from checkpoints import installation
from jax_functional_zoo.__main__ import main
from tests.zoo.tiny import tiny
from train import compile as ahead
from train.roofline import roofline_seconds
from zoo.errors import UsageError

ROWS = ("resnet18", "resnetv2_50x1_bit", "inception_v4", "nasnetamobile", "tnt_ti_patch16_224")
ROWS += ("sret_t",)
NANOS = ("lssl_nano", "hopfield_encoder_nano")
WRAPPERS = ("jit", "pmap", "shard_map")


def shapes_of(name):
    model = zoo.create_model(name)
    apply = partial(model.init, train=False)
    return jax.eval_shape(apply, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))


def nbytes(tree):
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("how", WRAPPERS)
def test_the_planned_memory_is_that_of_state_and_batch(how, key):
    model, optimizer = zoo.create_model("resnet8", num_classes=10), optax.adam(1e-3)
    compiled = ahead.compile_step(model, optimizer, (16, 8, 8, 1), how=how)
    variables = zoo.init_variables(model, key, jnp.zeros((1, 8, 8, 1)))
    state = train.create_state(variables, optimizer, key=key)
    arrays = (state.step, train.published(state), state.opt_state)
    share = 16 // 8 * (8 * 8 + 1) * 4
    assert compiled.arguments == nbytes(arrays) + nbytes(jax.random.key_data(key)) + share
    assert compiled.memory >= compiled.arguments + compiled.temporary > compiled.arguments
    assert compiled.collectives["all-reduce"] >= 1
    macs = zoo.model_info("resnet8").gmacs * 1e9 / 16  # at 8 pixels instead of 32
    assert 2 * 2 * 2 * macs < compiled.flops < 2 * 4 * 2 * macs  # two images, there and back


def test_a_batch_must_be_divisible():
    with pytest.raises(UsageError, match=r"divisible by the 8 devices, got 12; use 8 or 16"):
        ahead.compile_step(zoo.create_model("resnet8"), optax.sgd(0.1), (12, 8, 8, 1))


def test_the_command_prints_what_a_device_needs(capsys):
    arguments = ["compile", "resnet8", "--batch-size", "8", "--image-size", "8"]
    assert main([*arguments, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["batch"] == [8, 8, 8, 3]
    assert facts["devices"] == 8
    assert facts["memory"] > facts["state_and_batch"] > 0
    assert facts["hbm_bytes_per_image"] == facts["traffic"]  # one image for each device
    assert facts["flops_per_image"] == facts["flops"]
    assert facts["intensity"] == pytest.approx(facts["flops"] / facts["traffic"])
    assert facts["roofline_seconds"] is None
    gradients = sum(x.size * 4 for x in jax.tree.leaves(shapes_of("resnet8")["params"]))
    assert facts["collective_bytes"] >= gradients
    assert main([*arguments, "--ema", "0.99"]) == 0
    out = capsys.readouterr().out
    assert "MiB" in out
    assert "all-reduce" in out


def test_the_command_takes_the_options_of_a_run(capsys, tmp_path):
    """What is frozen has no moments; a moving average is as large as what is trained."""

    def needed(*options):
        given = ["--batch-size", "16", "--set", "stage_sizes=[1]", "width=8", *options]
        assert main(["compile", *given, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    fresh = ["--model", "resnet8", "--image-size", "8", "--num-classes", "3"]
    whole, average = needed(*fresh), needed(*fresh, "--ema", "0.99")
    assert whole["batch"] == [16, 8, 8, 3]
    trained = average["state_and_batch"] - whole["state_and_batch"]
    frozen = needed(*fresh, "--freeze", "^stem", "--optimizer", "lion")
    assert frozen["state_and_batch"] < whole["state_and_batch"] - 0.9 * trained  # one moment less
    sliced = needed(*fresh, "--accumulate", "2", "--objective", "mixup")
    assert sliced["temporary_bytes_per_image"] < whole["temporary_bytes_per_image"]
    run = train.Config(model="resnet8", dataset="zoo_digits", batch_size=16, image_size=8)
    (tmp_path / "config.json").write_text(json.dumps(dataclasses.asdict(run)))
    again = needed("--config", str(tmp_path))
    assert again["batch"] == [16, 8, 8, 3]
    assert again["dtype"] == "float32"


@pytest.mark.slow
def test_weights_are_compiled_with_their_own_inputs(capsys):
    options = ["--weights", "tnt_nano.digits", "--lora", "2", "--batch-size", "8", "--json"]
    assert main(["compile", *options]) == 0
    assert json.loads(capsys.readouterr().out)["batch"] == [8, 8, 8, 1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resnet8", "--batch-size", "0"], "`--batch-size` must be positive and finite, got 0"),
        (["resnet8", "--image-size", "-1"], "`--image-size` must be positive and finite, got -1"),
        (["hopfield_lookup_nano", "--image-size", "8"], "`--image-size` is for images"),
        (["--topology", "v5e:2x2"], "`--model` or `--weights` is needed"),
        (["resnet8", "--num-classes", "0"], "`--num-classes` must be positive, got 0"),
        (["resnet8", "--freeze", "^stm"], "did you mean 'stem'"),
        (["resnet9"], "no architecture 'resnet9'"),
        (["resnet8", "--largest-batch"], "`--largest-batch` needs the memory of a TPU"),
        (["resnet8", "--topology", "v5e"], "`--topology` must be a kind of TPU and the shape"),
    ],
)
def test_what_cannot_be_compiled_is_a_sentence(arguments, words, capsys, monkeypatch):
    monkeypatch.setattr(ahead, "find_spec", lambda name: True)
    assert main(["compile", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_without_libtpu_there_is_a_command_that_installs_it(capsys, monkeypatch):
    monkeypatch.setattr(ahead, "find_spec", lambda name: None)
    assert main(["compile", "resnet8", "--topology", "v5e:2x2"]) == 2
    assert installation.command("tpu") in capsys.readouterr().err


def test_the_roofline_is_the_longer_one_of_computing_and_moving():
    assert roofline_seconds("TPU v5 lite", 197e12, 1.0) == pytest.approx(1.0)
    assert roofline_seconds("TPU v5 lite", 1.0, 0.819e12) == pytest.approx(1.0)
    assert roofline_seconds("cpu", 1.0, 1.0) is None


def test_exchanges_are_read_from_the_text_of_a_program():
    text = """
      %a = (f32[64]{0:T(128)S(1)}, bf16[2,8]{1,0}) all-reduce(%x, %y), channel_id=2
      %s = (f32[4]{0}, f32[32]{0}) all-gather-start(%z), channel_id=3
      %d = f32[32]{0} all-gather-done(%s)
      %f = f32[9]{0} fusion(%d), metadata={op_name="all-reduce(1)"}
    """
    assert ahead.exchanges(text) == [("all-reduce", 64 * 4 + 16 * 2), ("all-gather", 128)]


@pytest.mark.parametrize(("first", "most"), [(8, 5000), (8, 1), (64, 37), (8192, 100)])
def test_the_largest_batch_is_found_to_an_eighth(first, most):
    tried = []

    def compiles(images):
        tried.append(images)
        if images > most * 8:
            raise ahead.TooLargeError("too large")
        return images

    found = ahead.largest_batch(compiles, first, 8)
    assert found % 8 == 0
    assert most * 8 * 8 / 9 - 8 <= found <= most * 8
    assert len(tried) == len(set(tried)) < 20


def test_not_even_one_example_is_an_error():
    def compiles(images):
        raise ahead.TooLargeError("too large")

    with pytest.raises(ahead.TooLargeError):
        ahead.largest_batch(compiles, 64, 8)


def test_what_does_not_fit_is_said_in_words():
    error = RuntimeError(
        "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO "
        "temporaries (45.03G) exceeds available HBM (15.75G)."
    )
    assert "1024 images per device does not fit into its memory of 15.75G" in str(
        ahead.too_large(error, 1024)
    )
    other = RuntimeError("INTERNAL: no")
    assert ahead.too_large(other, 1) is other


@pytest.fixture(scope="module")
def slice_of_four():
    pytest.importorskip("libtpu")
    return ahead.tpu_mesh("v5e:2x2")


@pytest.mark.tpu
@pytest.mark.parametrize("how", WRAPPERS)
def test_every_wrapper_compiles_for_tpus(how, slice_of_four):
    model = zoo.create_model("resnet8", num_classes=10, dtype=jnp.bfloat16)
    compiled = ahead.compile_step(
        model, optax.adam(1e-3), (64, 8, 8, 1), how=how, mesh=slice_of_four
    )
    assert compiled.code > 0
    assert compiled.collectives["all-reduce"] >= 1


@pytest.mark.tpu
@pytest.mark.parametrize("name", ROWS)
def test_every_family_of_images_compiles_for_tpus(name, slice_of_four):
    build, shape = tiny(name)
    model = build(dtype=jnp.bfloat16)
    compiled = ahead.compile_step(model, optax.sgd(0.1), (8, *shape), mesh=slice_of_four)
    assert compiled.memory > 0


@pytest.mark.tpu
@pytest.mark.parametrize("name", NANOS)
def test_sequences_and_memories_compile_for_tpus(name, slice_of_four):
    info = zoo.model_info(name)
    model = zoo.create_model(name, num_classes=info.num_classes)
    shape = (8, *info.input_shape)
    assert ahead.compile_step(model, optax.sgd(0.1), shape, mesh=slice_of_four).memory > 0


@pytest.mark.tpu
def test_each_norm_asks_the_other_devices_once_each_way(slice_of_four):
    model = zoo.create_model("resnet8", num_classes=10, dtype=jnp.bfloat16)
    norms = len(jax.tree.leaves(shapes_of("resnet8")["batch_stats"])) // 2
    compiled = ahead.compile_step(model, optax.sgd(0.1), (64, 8, 8, 3), mesh=slice_of_four)
    assert compiled.collectives["all-reduce"] <= 2 * norms + 1
    seconds = roofline_seconds("TPU v5 lite", compiled.flops, compiled.traffic)
    assert 0 < seconds < 1e-3


@pytest.mark.tpu
def test_one_chip_is_a_slice_too():
    pytest.importorskip("libtpu")
    assert ahead.tpu_mesh("v5e:1x1").size == 1
    with pytest.raises(UsageError, match=r"libtpu has no `topology` 'v5e:3x3'"):
        ahead.tpu_mesh("v5e:3x3")


@pytest.mark.tpu
def test_a_chip_of_sixteen_holds_a_sixteenth():
    """But for batch norms and the head, which are small."""
    pytest.importorskip("libtpu")
    model, optimizer = zoo.create_model("resnet8", num_classes=10, width=64), optax.adam(1e-3)
    whole, parts = (
        ahead.compile_step(model, optimizer, (64, 8, 8, 3), mesh=ahead.tpu_mesh("v5e:4x4", shape))
        for shape in (None, "fsdp=16")
    )
    assert parts.arguments < 1.3 / 16 * whole.arguments  # 1.22; arrays are padded to tiles
    assert parts.collectives["all-gather"] > 0
    assert "all-gather" not in whole.collectives


@pytest.mark.tpu
def test_a_step_that_does_not_fit_into_a_tpu_is_refused(slice_of_four):
    model = zoo.create_model("resnet8", num_classes=10)
    with pytest.raises(UsageError, match=r"does not fit into its memory of \S+G"):
        ahead.compile_step(model, optax.sgd(0.1), (2**20, 64, 64, 3), mesh=slice_of_four)
