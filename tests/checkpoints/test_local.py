"""Files of other libraries, by path alone."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import checkpoints
import zoo
from checkpoints import identify, recognise, released, surgery
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
    with pytest.raises(
        UsageError, match=r"names and shapes of resnet18, .*they do not fit resnet34"
    ):
        checkpoints.load(tmp_path / "resnet18-0a.pth", architecture="resnet34")


def test_a_file_whose_name_says_nothing(tmp_path):
    save_file({"w": np.ones(2)}, tmp_path / "x.safetensors")
    with pytest.raises(UsageError, match="does not say which model it is for; give `architecture`"):
        checkpoints.load(tmp_path / "x.safetensors")
    assert recognise.named_in("wide_resnet50_2-95faca4d.pth") == "wide_resnet50_2"


def test_more_channels_repeat_and_keep_the_size():
    kernel = jax.random.normal(jax.random.key(0), (3, 3, 3, 2))
    five = surgery.adapt_input(kernel, 5)
    np.testing.assert_allclose(five, kernel[:, :, [0, 1, 2, 0, 1]] * 3 / 5, rtol=1e-6)


@pytest.fixture
def file(tmp_path):
    """`file(name, architecture)`: a file of random weights under torch's names."""

    def write_file(name, architecture="resnet8", channels=3, **changes):
        model = zoo.create_model(architecture)
        size = zoo.model_info(architecture).image_size
        image = jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32)
        shapes = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), image)
        zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), dict(shapes))
        tensors = checkpoints.export_weights(model, zeros, "torchvision") | changes
        save_file(tensors, tmp_path / name)
        return tmp_path / name

    return write_file


@pytest.fixture
def known(monkeypatch):
    """`known(name, **source)`: makes another row of the catalogue, of resnet8."""

    def add(name, **source):
        card = checkpoints.Card(
            name=name,
            architecture="resnet8",
            num_classes=10,
            preprocess=HALF,
            source={"kind": "url", "url": f"https://example.org/{name}.safetensors"} | source,
            license="mit",
            label_set="imagenet1k",
        )
        monkeypatch.setattr(released, "_published", lambda: PUBLISHED | {name: card})
        identify._by_file_name.cache_clear()

    yield add
    identify._by_file_name.cache_clear()


PUBLISHED = released._published()
HALF = checkpoints.Preprocess(24, 0.9, "bilinear", (0.5,) * 3, (0.5,) * 3)


def said(caplog):
    return " ".join(record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("kind", ["sha256", "sha256_prefix", "md5"])
def test_the_hash_says_what_a_file_is(file, known, kind, caplog):
    """Whatever it is called: architecture, preprocessing, classes and licence."""
    path = file("some_file.safetensors")
    digests = identify.digests(path)
    digests["sha256_prefix"] = digests["sha256"][:8]
    known("resnet8.mine", **{kind: digests[kind]})
    card = checkpoints.load(path).card
    assert (card.architecture, card.preprocess, card.license) == ("resnet8", HALF, "mit")
    assert card.source["checked"] == "its hash is that of resnet8.mine"
    assert not caplog.records


@pytest.mark.parametrize("name", ["resnet8.mine.safetensors", "x_resnet8.mine.safetensors"])
def test_the_name_says_it_with_a_notice(file, known, name, caplog):
    known("resnet8.mine", sha256="0" * 64)
    card = checkpoints.load(file(name)).card
    assert card.preprocess == HALF
    assert "it is taken for resnet8.mine by its name" in said(caplog)
    assert "mean=(0.5, 0.5, 0.5)" in said(caplog)
    assert "`preprocess_like`" in said(caplog)


def test_the_name_of_other_weights_is_another(file, known, caplog):
    known("resnet8.mine")
    card = checkpoints.load(file("resnet8.mine_finetuned.safetensors")).card
    assert card.license is None
    assert "published weights of resnet8 see images like resnet8.mine" in said(caplog)


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("googlenet-1378be20.pth", "googlenet.imagenet1k_v1"),
        ("inception_v3_google-0cc3c7bd.pth", "inception_v3.imagenet1k_v1"),
        ("NASNet-large.h5", "nasnetalarge_keras.imagenet"),
        ("tnt_s_81.5.pth.tar", "tnt_s_patch16_224.huawei_in1k"),
        ("resnet18.a1_in1k.safetensors", "resnet18.a1_in1k"),
        ("resnet18.a1_in1k_mine.safetensors", None),
        ("resnet50.pth", None),
        ("model.safetensors", None),
    ],
)
def test_published_names(name, weights):
    found = identify.published(name, {"sha256": "f" * 64, "md5": "f" * 32})
    assert (found.card.name if found else None) == weights
    assert found is None or not found.certain


def test_the_architecture_says_it_with_a_notice(file, caplog):
    """The same network, saved anew by its owner: the mean and spread are not ImageNet's."""
    path = file("googlenet-mine.safetensors", "googlenet")
    preprocess = checkpoints.load(path).preprocess
    assert preprocess == PUBLISHED["googlenet.imagenet1k_v1"].preprocess
    assert preprocess.mean == (0.5,) * 3
    assert "see images like googlenet.imagenet1k_v1 mostly" in said(caplog)
    caplog.clear()
    loaded = checkpoints.load(path, preprocess_like="resnet18.a1_in1k")
    assert loaded.preprocess == PUBLISHED["resnet18.a1_in1k"].preprocess
    assert loaded.card.source["preprocess"] == "like resnet18.a1_in1k, as was asked"
    assert not caplog.records


def test_weights_that_disagree_are_named():
    usual = identify.usual("inception_v3")
    assert usual.others
    for other in usual.others:
        found = PUBLISHED[other].preprocess
        assert (found.mean, found.std) != (usual.preprocess.mean, usual.preprocess.std)


def test_nothing_published_is_said_too(file, caplog):
    assert checkpoints.load(file("resnet8.safetensors")).preprocess.image_size == 32
    assert "no weights of resnet8 are published" in said(caplog)
    caplog.clear()
    grey = checkpoints.load(file("resnet8_grey.safetensors", channels=1)).preprocess
    assert grey.channels == 1
    assert f"mean=({grey.mean[0]}" in said(caplog)


def test_preprocess_like_is_for_files_and_names_weights(file):
    path = file("resnet8.safetensors")
    for name in ("resnet18", "resnet18.a9_in1k", "x" * 10**6):
        with pytest.raises(UsageError, match="`preprocess_like` must be the name of weights"):
            checkpoints.load(path, preprocess_like=name)
    with pytest.raises(UsageError, match="`preprocess_like` is for files"):
        checkpoints.load("resnet8.digits", preprocess_like="resnet18.a1_in1k")


@pytest.mark.parametrize("name", ["resnet8-0676ba61", "resnet8-0676BA61 (1)", "a-1a2b3c4d5e6f7a8b"])
def test_digits_that_do_not_fit_are_refused(file, name):
    with pytest.raises(UsageError, match=r"says that its hash begins with .*, and its SHA-256 is"):
        checkpoints.load(file(f"{name}.safetensors"), architecture="resnet8")


@pytest.mark.parametrize("length", [8, 12, 64])
def test_digits_that_fit_are_taken(file, length):
    path = file("resnet8.safetensors")
    digits = identify.digests(path)["sha256"][:length]
    named = path.rename(path.with_name(f"resnet8-{digits}.safetensors"))
    assert checkpoints.load(named).card.architecture == "resnet8"


@pytest.mark.parametrize(
    "name", ["resnet8-20240131", "resnet8-00012000", "resnet8-0a", "r8-effaced"]
)
def test_other_digits_are_no_hash(name):
    identify.check_digits(f"{name}.pth", {"sha256": "0" * 64})


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, bool])
def test_integers_are_no_weights(file, dtype):
    """Those of a quantised head would be taken for logits a hundred times as large."""
    head = {"fc.weight": np.ones((10, 64), dtype)}
    with pytest.raises(UsageError, match=r"! fc\.weight is \w+, the model has floating-point"):
        checkpoints.load(file("resnet8.safetensors", **head))


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ml_dtypes.bfloat16])
def test_floats_of_any_width_are(file, dtype):
    head = {"fc.weight": np.ones((10, 64), dtype)}
    loaded = checkpoints.load(file("resnet8.safetensors", **head))
    assert loaded.variables["params"]["head"]["kernel"].dtype == jnp.float32


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_named(file, value, tmp_path):
    bias = np.zeros(10, np.float32)
    bias[3] = value
    path = file("resnet8.safetensors", **{"fc.bias": bias})
    with pytest.warns(UserWarning, match=r"holds NaN or infinities.*: params/head/bias\."):
        loaded = checkpoints.load(path)
    saved = checkpoints.save(tmp_path / "saved", loaded.variables, loaded.card)
    with pytest.warns(UserWarning, match=r"holds NaN or infinities.*: params/head/bias\."):
        checkpoints.load(saved)


def test_the_difference_shows_both_sides(file):
    tensors = load_file(file("resnet8.safetensors"))
    tensors = {f"encoder.body.{k}": v for k, v in tensors.items()} | {"encoder.extra": np.ones(3)}
    with pytest.raises(UsageError) as refused:
        checkpoints.import_weights(zoo.create_model("resnet8"), tensors)
    lines = str(refused.value).splitlines()
    assert "0 of its 37 names and shapes are there" in lines[0]
    assert re.match(
        r"the file has 38 tensors, every name begins with 'encoder\.': encoder\.", lines[1]
    )
    assert re.match(r"the model has 37 tensors: \w+\S* \(", lines[2])
    assert any(line.startswith("- ") for line in lines)
    assert "+ encoder.extra (3,)  (not in the model)" in lines or "more" in lines[-1]
    assert len(lines) < 40


def test_what_fits_was_compared_by_shapes_only(file, tmp_path):
    """Anti-aliased networks have the same names and shapes as those without."""
    path = file("resnet8.safetensors").rename(tmp_path / "x.safetensors")
    with pytest.raises(UsageError, match="have the names and shapes of resnet8, and no more than"):
        checkpoints.load(path)


@pytest.mark.parametrize("architecture", ["lssl_smnist_f", "hopfield_mil"])
def test_files_of_other_families(architecture, tmp_path, caplog):
    """Channels are those of the tensors, not those of a photograph."""
    model, info = zoo.create_model(architecture), zoo.model_info(architecture)
    image = jax.ShapeDtypeStruct((1, *info.input_shape), jnp.float32)
    shapes = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), image)
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), dict(shapes))
    source = checkpoints.sources(model)[0]
    save_file(checkpoints.export_weights(model, zeros, source), tmp_path / "x.safetensors")
    loaded = checkpoints.load(tmp_path / "x.safetensors", architecture=architecture)
    assert loaded.preprocess.shape == info.input_shape
