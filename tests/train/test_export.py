"""`zoo export`: what is written answers as the network does, where nothing of the project is."""

import json
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import checkpoints
import zoo
from checkpoints.preprocess import INTERPOLATIONS, Preprocess
from jax_functional_zoo.__main__ import main
from tests.zoo.tiny import SHRINK, tiny
from train.export import check, pixels, program
from train.export.plain import plain
from zoo.errors import UsageError
from zoo.layers.windows import depthwise, window_max

pytest.importorskip("flatbuffers")
RANDOM = np.random.default_rng(0)
NAME = "resnet8.digits"
ALONE = """
import sys
sys.modules["flax"] = sys.modules["zoo"] = sys.modules["train"] = sys.modules["checkpoints"] = None
import jax, numpy as np
program = jax.export.deserialize(bytearray(open(sys.argv[1], "rb").read()))
for size, images in np.load(sys.argv[2]).items():
    np.save(f"{sys.argv[3]}/{size}.npy", program.call(images))
"""


@pytest.fixture
def export(capsys, tmp_path):
    """`export(...)`: exit status, stdout and stderr of `zoo export`, and where it writes."""
    out = tmp_path / "program"

    def run(*arguments):
        status = main(["export", "--out", str(out), *map(str, arguments)])
        return status, *capsys.readouterr(), out

    return run


def test_a_file_answers_where_neither_flax_nor_the_project_is(export, tmp_path):
    raw = ["--preprocess", "--input-size", "20", "14"]
    status, out, _, file = export("--weights", NAME, "--platforms", "cpu", "tpu", *raw, "--json")
    facts = json.loads(out)
    assert status == 0
    assert facts["bytes"] == file.stat().st_size
    assert facts["error"] < 1e-5
    assert set(facts["first_seconds"]) == {"1", "3", "17"}
    images = RANDOM.integers(0, 256, (17, 20, 14, 1), dtype=np.uint8)
    np.savez(tmp_path / "in.npz", **{str(n): images[:n] for n in (1, 3, 17)})
    arguments = [file, tmp_path / "in.npz", tmp_path]
    subprocess.run([sys.executable, "-P", "-c", ALONE, *map(str, arguments)], check=True)
    loaded = checkpoints.load(NAME)
    prepared = jnp.stack([loaded.preprocess(image) for image in images])
    expected = loaded.model.apply(loaded.variables, prepared, train=False)
    for size in (1, 3, 17):
        found = np.load(tmp_path / f"{size}.npy")
        assert np.abs(found - expected[:size]).max() < 1e-5 * np.abs(expected).max()


def test_a_program_that_differs_is_not_kept(export, monkeypatch):
    whole = program.forward
    monkeypatch.setattr(program, "forward", lambda *given: lambda x: 1.001 * whole(*given)(x))
    status, _, error, file = export("--weights", NAME)
    assert status == 2
    assert "differs from the network by 1.0e-03" in error
    assert list(file.parent.iterdir()) == []


def test_a_program_that_does_not_run_does_not_replace_another(export, monkeypatch, tmp_path):
    monkeypatch.setattr(program, "stablehlo", lambda *given, **options: b"nothing")
    (tmp_path / "program").write_text("another")
    status, _, error, file = export("--weights", NAME)
    assert status == 2
    assert "does not run by itself" in error
    assert file.read_text() == "another"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--platforms", "tpu"], "`--platforms` must include cpu"),
        (["--platforms", "cpu", "abacus"], "`--platforms` must be some of cpu, cuda, rocm, tpu"),
        (["--input-size", "8", "8"], "add `--preprocess`"),
        (["--preprocess", "--input-size", "0", "8"], "`--input-size` must be height and width"),
        (["--out", "missing/file"], "a directory that exists"),
    ],
)
def test_what_cannot_be_exported_is_a_sentence(export, arguments, words):
    status, _, error, file = export("--weights", NAME, *arguments)
    assert status == 2
    assert words in error
    assert not file.exists()


SIZES = ((32, 32), (37, 23), (9, 40), (16, 16))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("mode", ["center", "squash"])
def test_pixels_are_those_of_pillow(interpolation, mode):
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    preprocess = Preprocess(14, 0.875, interpolation, mean, std, mode)
    for size in SIZES:
        images = RANDOM.integers(0, 256, (2, *size, 3), dtype=np.uint8)
        found = jax.jit(pixels.preparing(preprocess, size))(images)
        expected = np.stack([preprocess(image) for image in images])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)  # a level is 1 / 255


def test_a_plain_program_has_one_form_and_computes_no_constants():
    kernel = jnp.asarray(RANDOM.normal(size=(3, 3, 1, 2)), jnp.float32)

    def function(x):
        x = depthwise(x, jnp.sin(kernel), 1, ((1, 1), (1, 1)))
        halve = lambda x, _: (window_max(x, 2, 1, ((0, 1), (0, 1))), None)  # noqa: E731
        return jax.lax.scan(halve, x, length=3)[0]

    x = jnp.asarray(RANDOM.normal(size=(2, 6, 6, 2)), jnp.float32)
    text = str(jax.make_jaxpr(plain(function))(x))
    assert "platform_index" in str(jax.make_jaxpr(function)(x))
    assert [word in text for word in ("platform_index", "custom_jvp", "sin", "conv", "scan")] == [
        *(False, False, False),
        *(True, True),
    ]
    np.testing.assert_allclose(jax.jit(plain(function))(x), function(x), rtol=1e-5, atol=1e-6)


FAMILIES = {zoo.model_info(name).family: name for name in zoo.list_models()[::-1]}
SLOW = pytest.mark.slow


def form(family):
    """A small network of a family, and the shape of one example."""
    name = FAMILIES[family]
    if family in SHRINK:
        return tiny(name)
    info = zoo.model_info(name)
    if family == "lssl":
        small = {"width": 4, "state_size": 4, "depth": 1, "num_classes": 3}
        return partial(zoo.create_model, name, **small), (5, info.channels)
    return partial(zoo.create_model, name), info.input_shape


@pytest.mark.parametrize("family", [pytest.param(f, marks=SLOW) for f in sorted(FAMILIES)])
def test_a_network_of_each_family_is_exported(family, tmp_path):
    build, shape = form(family)
    model, inputs = build(), check.examples(shape, jnp.float32)
    variables = zoo.init_variables(model, jax.random.key(0), jnp.asarray(inputs[:1]))
    outputs = jax.jit(partial(model.apply, train=False))(variables, inputs)
    file = tmp_path / "program"
    file.write_bytes(program.stablehlo(program.forward(model, variables), shape))
    tolerance = max(1e-5, zoo.model_info(FAMILIES[family]).tolerance)
    check.checked(file, inputs, np.asarray(outputs), tolerance)


@pytest.mark.slow
def test_bfloat16_takes_half_the_room(tmp_path):
    loaded = checkpoints.load("tnt_nano.digits")
    whole = program.stablehlo(*program.program_of(loaded))
    loaded = checkpoints.load("tnt_nano.digits", dtype="bfloat16")
    half = program.stablehlo(*program.program_of(loaded))
    assert len(half) < 0.65 * len(whole)
    (tmp_path / "program").write_bytes(half)
    inputs = check.examples(loaded.preprocess.shape, jnp.float32)
    answers = check.expected(loaded, inputs, raw=False)  # as rough, but for the same reason
    check.checked(tmp_path / "program", inputs, answers, 2e-2)


def test_images_have_the_channels_that_pictures_have():
    with pytest.raises(UsageError, match=r"pictures have 1 or 3 channels"):
        pixels.preparing(Preprocess(8, 1.0, "bicubic", (0.5,) * 2, (0.5,) * 2), None)
