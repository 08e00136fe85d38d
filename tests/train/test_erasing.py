"""Random erasing on the device: areas and labels exact, alike on any devices, and timm's."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import train
from jax_functional_zoo.__main__ import main
from train import methods
from train.calls import Call
from train.methods.erasing import Draws, draw, random_erasing, rectangles
from train.noise import placed
from train.objective import Forward
from train.parallel import data_mesh
from zoo.errors import UsageError

SHAPE = (16, 12, 20, 3)


def batch_of(shape=SHAPE):
    images = np.random.default_rng(0).normal(size=shape).astype(np.float32) + 3
    return {"input": jnp.asarray(images), "label": jnp.arange(shape[0]) % 4}


def erased(batch, seed=0, **options):
    key = placed(jax.random.key(seed))
    return jax.jit(lambda b, k: random_erasing(**options)(b, b, k))(batch, key)


def test_one_rectangle_of_each_image_is_hidden_and_all_else_stays():
    batch = batch_of((256, 12, 20, 3))
    result = erased(batch, probability=1.0, scale=(0.1, 0.3), ratio=(0.5, 2.0))
    hidden = np.asarray(result["input"] == 0).all(axis=-1)
    np.testing.assert_array_equal(result["label"], batch["label"])
    np.testing.assert_array_equal(
        np.asarray(result["input"])[~hidden], np.asarray(batch["input"])[~hidden]
    )
    rows, columns = hidden.any(axis=2), hidden.any(axis=1)
    np.testing.assert_array_equal(hidden, rows[:, :, None] & columns[:, None])
    for side in (rows, columns):  # without gaps
        assert (np.abs(np.diff(side.astype(int), axis=1, prepend=0, append=0)).sum(1) == 2).all()
    shares = hidden.mean((1, 2))
    assert 0.08 < shares.min() < 0.12
    assert 0.28 < shares.max() < 0.33
    assert len(np.unique(hidden, axis=0)) > 240


def test_a_share_of_the_images_is_changed():
    batch = batch_of((400, 8, 8, 1))
    changed = (np.asarray(erased(batch)["input"] != batch["input"])).any((1, 2, 3))
    assert 0.18 < changed.mean() < 0.32
    assert not (erased(batch, probability=0.0)["input"] != batch["input"]).any()


def test_areas_are_those_that_were_drawn():
    drawn = draw(jax.random.key(0), 200)
    scale, ratio = (0.05, 0.2), (0.5, 2.0)
    mask = np.asarray(rectangles(drawn, (30, 40), scale, ratio))
    for n in range(200):
        area = (0.05 + 0.15 * float(drawn.area[n, 0])) * 1200
        aspect = np.exp(np.log(0.5) + np.log(4) * float(drawn.ratio[n, 0]))
        height, width = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        assert mask[n].sum() == height * width
    nowhere = rectangles(drawn, (1, 40), (0.5, 0.9), ratio)
    assert not nowhere.any()


def test_noise_is_normal_and_differs_by_image():
    batch = {"input": jnp.full((64, 16, 16, 3), 9.0), "label": jnp.zeros(64, int)}
    result = erased(batch, probability=1.0, scale=(0.5, 0.6), noise=True)["input"]
    noise = np.asarray(result[result != 9])
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02
    assert len(np.unique(noise)) > 0.98 * len(noise)


@pytest.mark.parametrize("noise", [False, True])
def test_what_is_hidden_goes_by_the_place_in_the_global_batch(noise):
    batch, mesh = batch_of(), data_mesh(8)
    transform = random_erasing(probability=0.7, noise=noise)

    def on_device(part, key):
        return transform(part, part, placed(key, "data"))["input"]

    spread = jax.shard_map(
        on_device, mesh=mesh, in_specs=(P("data"), P()), out_specs=P("data"), check_vma=False
    )
    found = jax.jit(spread)(batch, jax.random.key(3))
    expected = erased(batch, seed=3, probability=0.7, noise=noise)["input"]
    np.testing.assert_array_equal(found, expected)
    assert (np.asarray(expected != batch["input"]).any((1, 2, 3))).sum() > 5


def test_it_is_a_name_and_refuses_what_it_cannot_do(tmp_path, capsys):
    call = Call("random_erasing", {"probability": 1, "scale": [0.1, 0.2], "noise": True})
    objective = methods.objective_of([call], methods.Setting())
    assert isinstance(objective, train.Objective)
    with pytest.raises(UsageError, match="random_erasing is for images"):
        random_erasing()({"input": jnp.zeros((2, 5, 3))}, {}, jax.random.key(0))
    rest = ["--model", "resnet8", "--dataset", "zoo_digits", "--out", str(tmp_path / "run")]
    for option, said in (
        ("random_erasing:probability=2", "'probability' must be from 0 to 1, got 2"),
        (
            "random_erasing:scale=[0.3,0.1]",
            "`--objective` random_erasing: 'scale' must be two numbers in their order",
        ),
    ):
        assert main(["train", "--objective", option, *rest]) == 2
        assert said in capsys.readouterr().err


def test_transforms_of_a_config_are_those_of_its_objective():
    batch, key = batch_of((8, 6, 6, 1)), placed(jax.random.key(5))
    calls = [Call("distillation"), Call("mixup"), Call("random_erasing", {"probability": 1})]
    result = methods.transformed(calls, methods.Setting(), batch, key)
    seen = []

    def watch(forward, params, state, batch, key):
        seen.append(batch)
        return jnp.zeros(8), ({}, {})

    objective = train.Objective(watch)
    for call in calls[1:]:
        transform = methods.made(methods.TRANSFORMS[call.name], call, methods.Setting())
        objective = train.on(transform, objective)

    objective.loss(Forward(nn.Dense(1), {}, key), {}, None, batch, key)
    for x, y in zip(jax.tree.leaves(result), jax.tree.leaves(seen[0]), strict=True):
        np.testing.assert_array_equal(x, y)
    inner = methods.transformed(
        [Call("mixup"), Call("distillation")], methods.Setting(), batch, key
    )
    assert inner is batch


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
def test_rectangles_are_those_of_timm_on_the_same_draws(monkeypatch):
    reference = pytest.importorskip("scripts.reference")
    from timm.data import random_erasing as theirs

    rng, count, (height, width) = np.random.default_rng(0), 300, (24, 33)
    shapes = Draws((count,), (count, 10), (count, 10), (count,), (count,))
    drawn = Draws(*(jnp.asarray(rng.random(shape), jnp.float32) for shape in shapes))
    ours = rectangles(drawn, (height, width), (0.1, 0.9), (0.2, 5.0))
    eraser = theirs.RandomErasing(
        probability=1.0, min_area=0.1, max_area=0.9, min_aspect=0.2, device="cpu"
    )
    for n in range(count):
        own = [np.stack([drawn.area[n], drawn.ratio[n]], 1).ravel(), [drawn.top[n], drawn.left[n]]]
        uniform, places = map(iter, own)
        monkeypatch.setattr(theirs.random, "random", lambda: 0.0)
        monkeypatch.setattr(
            theirs.random, "uniform", lambda a, b, u=uniform: a + (b - a) * float(next(u))
        )
        monkeypatch.setattr(
            theirs.random, "randint", lambda a, b, u=places: int(float(next(u)) * (b - a + 1))
        )
        image = reference.torch.ones((3, height, width))
        np.testing.assert_array_equal(ours[n], eraser(image)[0].numpy() == 0)
