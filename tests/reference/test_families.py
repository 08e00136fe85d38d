"""Models that timm and torchvision make: weights imported and exported, logits compared."""

import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import checkpoints
import zoo
from tests.golden import compare, fill

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]

CARDS = [checkpoints.weights_info(name) for name in checkpoints.list_weights()]
TIMM = sorted({card.architecture for card in CARDS if card.format == "timm"})

# Architecture and side of the images: one row of every family, and variants that differ most.
COMPUTED = [
    ("timm", "resnet18", 65),
    ("timm", "resnet26t", 65),
    ("timm", "ecaresnet26t", 65),
    ("timm", "seresnext50_32x4d", 65),
    ("timm", "resnetv2_50", 65),
    ("timm", "resnetv2_50x1_bit", 65),
    ("timm", "inception_v4", 79),
    ("timm", "efficientnet_b0", 65),
    ("timm", "tf_efficientnet_b1", 64),
    ("timm", "efficientnet_lite0", 65),
    ("timm", "tnt_s_patch16_224", 224),
    ("torchvision", "resnet18", 65),
    ("torchvision", "googlenet", 79),
    ("torchvision", "inception_v3", 79),
]


@pytest.fixture(scope="module")
def reference():
    return pytest.importorskip("scripts.reference")


@pytest.fixture(scope="module")
def make(reference):
    """`make(library, name)`: a fresh model of the library, with ten classes."""

    def timm(name):
        return reference.timm.create_model(name, num_classes=10)

    def torchvision(name):
        inception = name in ("googlenet", "inception_v3")
        keywords = {"aux_logits": True, "init_weights": False} if inception else {}
        return reference.torchvision.models.get_model(name, num_classes=10, **keywords)

    return lambda library, name: {"timm": timm, "torchvision": torchvision}[library](name).eval()


def build(library, name):
    """Our model for the library's; torchvision's Inceptions have auxiliary heads."""
    auxiliary = library == "torchvision" and name in ("googlenet", "inception_v3")
    return zoo.create_model(name, num_classes=10, **({"aux_heads": True} if auxiliary else {}))


def assert_comes_back(model, tensors, library):
    variables = checkpoints.import_weights(model, tensors, library)
    exported = checkpoints.export_weights(model, variables, library)
    assert list(exported) == list(tensors)
    for name, tensor in tensors.items():
        assert exported[name].dtype == tensor.dtype
        np.testing.assert_array_equal(exported[name], tensor, err_msg=name)
    return variables, exported


def cheap(tensor):
    """An array like a tensor without content: small in memory, different along every axis."""
    if not tensor.is_floating_point():
        return np.zeros(tensor.shape, np.int64)
    strides = [4 * (axis + 1) for axis in range(tensor.ndim)]
    reach = sum((n - 1) * stride // 4 for n, stride in zip(tensor.shape, strides, strict=True))
    values = np.arange(reach + 1, dtype=np.float32)
    return np.lib.stride_tricks.as_strided(values, tensor.shape, strides, writeable=False)


@pytest.mark.parametrize("name", TIMM)
def test_every_tensor_of_timm_comes_back_and_counts_agree(reference, name):
    with reference.torch.device("meta"):
        theirs = reference.timm.create_model(name)
    tensors = {n: cheap(t) for n, t in theirs.state_dict().items()}
    assert_comes_back(zoo.create_model(name), tensors, "timm")
    assert sum(p.numel() for p in theirs.parameters()) == zoo.model_info(name).parameters


@pytest.mark.parametrize(("library", "name", "side"), COMPUTED)
def test_logits(reference, make, library, name, side):
    theirs, ours = make(library, name), build(library, name)
    fresh = {n: t.numpy() for n, t in theirs.state_dict().items()}
    tensors = {n: fill.fill_tensor(n, t.shape, 1.0).astype(t.dtype) for n, t in fresh.items()}
    variables, exported = assert_comes_back(ours, tensors, library)
    torch = reference.torch
    theirs.load_state_dict({n: torch.from_numpy(t) for n, t in exported.items()}, strict=True)
    images = fill.uniform(zlib.crc32(name.encode()), (2, side, side, 3)).astype(np.float32)
    batch = torch.from_numpy(images.transpose(0, 3, 1, 2))
    with torch.no_grad():
        rounded, expected = theirs(batch), theirs.double()(batch.double())
    logits = jax.jit(lambda v, x: ours.apply(v, x, train=False))(variables, jnp.asarray(images))
    # Where the library's own float32 is off by as much (BiT at 65 pixels: 9e-6), twice that.
    own = compare.relative(rounded, expected)
    assert compare.relative(logits, expected) < max(1e-5, 2 * own)
