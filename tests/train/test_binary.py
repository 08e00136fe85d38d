"""Binary cross entropy on classes, and batches that are mixed in one of two ways."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from train.methods.binary import binary, targets
from train.methods.mixing import mixup_or_cutmix
from train.objective import Forward
from train.task import Mixture


class Identity(nn.Module):
    def __call__(self, inputs, *, train):
        return inputs


LABELS = jnp.array([0, 2])
MIXTURE = Mixture(LABELS, jnp.array([1, 2]), jnp.array([0.9, 0.9]))


def test_targets_are_what_is_there():
    np.testing.assert_allclose(targets(LABELS, 3), [[1, 0, 0], [0, 0, 1]])
    np.testing.assert_allclose(targets(MIXTURE, 3), [[0.9, 0.1, 0], [0, 0, 1]], atol=1e-6)
    half = MIXTURE._replace(share=jnp.array([0.7, 0.7]))
    np.testing.assert_allclose(targets(MIXTURE, 3, threshold=0.2), [[1, 0, 0], [0, 0, 1]])
    np.testing.assert_allclose(targets(half, 3, threshold=0.2), [[1, 1, 0], [0, 0, 1]])
    smooth = targets(LABELS, 4, smoothing=0.2)
    np.testing.assert_allclose(smooth[0], [0.85, 0.05, 0.05, 0.05], rtol=1e-6)


def test_the_loss_is_the_mean_of_questions():
    logits = jnp.array([[2.0, -1.0, 0.5], [0.0, 1.0, -3.0]])
    batch = {"input": logits, "label": MIXTURE}
    forward = Forward(Identity(), {}, jax.random.key(0))
    losses, (_, measured) = binary(threshold=0.05).loss(forward, {}, None, batch, None)
    yes, no = np.log1p(np.exp(-np.asarray(logits))), np.log1p(np.exp(np.asarray(logits)))
    wanted = np.array([[1, 1, 0], [0, 0, 1]])
    np.testing.assert_allclose(losses, (wanted * yes + (1 - wanted) * no).mean(1), rtol=1e-5)
    np.testing.assert_array_equal(measured["top1"], [1, 0])
    with pytest.raises(zoo.UsageError, match="`threshold` must be at least 0 and below 1"):
        binary(threshold=1.0)


@pytest.mark.parametrize(("share", "ways"), [(0.0, {"sum"}), (0.5, {"sum", "box"}), (1.0, {"box"})])
def test_a_batch_is_mixed_in_one_way_or_the_other(share, ways):
    transform = jax.jit(mixup_or_cutmix(mixup=0.5, cutmix=1.0, share=share))
    ours, theirs = jnp.zeros((2, 8, 8, 1)), jnp.ones((2, 8, 8, 1))
    labels = jnp.array([0, 1])
    found = set()
    for seed in range(12):
        mixed = transform(
            {"input": ours, "label": labels},
            {"input": theirs, "label": labels[::-1]},
            jax.random.key(seed),
        )
        pixels = np.asarray(mixed["input"])
        is_sum = len(np.unique(pixels)) == 1 and pixels.flat[0] not in (0, 1)
        found.add("sum" if is_sum else "box")
        np.testing.assert_allclose(pixels.mean((1, 2, 3)), 1 - mixed["label"].share, atol=1e-5)
    assert found == ways
    with pytest.raises(zoo.UsageError, match="`share` must be from 0 to 1"):
        mixup_or_cutmix(share=2.0)
