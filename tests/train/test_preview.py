"""`--show-batch`: the first batch as the network will see it, and nothing else."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from PIL import Image

import train
from jax_functional_zoo.__main__ import main
from train.beginning import run_key
from train.calls import Call
from train.plan import plan
from train.preview import first_batch, title_of
from train.task import Mixture

METHODS = (Call("mixup", {"alpha": 0.5}), Call("random_erasing", {"probability": 1.0}))


def config(**changes):
    options = {"model": "resnet8", "dataset": "zoo_digits", "batch_size": 16, "steps": 1}
    return train.Config(**options | changes)


def test_the_batch_is_the_one_that_the_first_update_gets():
    wanted = config(objective=METHODS, augment=train.Augment(rotate=20.0))
    planned, seen = plan(wanted), []

    def watch(forward, params, state, batch, key):
        label = batch["label"].second
        jax.debug.callback(lambda *found: seen.extend(found), batch["input"], label)
        return jnp.zeros(16) * params["w"].sum(), (forward.batch_stats, {})

    objective = train.Objective(watch)
    for call in METHODS:
        made = train.methods.TRANSFORMS[call.name](train.methods.Setting(), **call.arguments)
        objective = train.on(made, objective)
    optimizer, variables = optax.sgd(0.1), {"params": {"w": jnp.zeros(1)}, "batch_stats": {}}
    state = train.create_state(variables, optimizer, key=run_key(0), objective=objective)
    step = jax.jit(train.make_train_step(nn.Dense(1), optimizer, objective=objective))
    batches = train.loop.training_batches(planned, 0)
    jax.block_until_ready(step(state, next(batches), state.key))
    batches.close()
    found = first_batch(planned)
    np.testing.assert_allclose(seen[0], found["input"], atol=1e-6)
    np.testing.assert_array_equal(seen[1], found["label"].second)


def test_titles_are_words():
    names = ("cat", "dog", "owl")
    assert title_of(np.array([2, 0]), names) == ["owl", "cat"]
    assert title_of(np.array([[1, 0, 1], [0, 0, 0]], np.float32), names) == ["cat, owl", "none"]
    assert title_of(np.array([1.23456], np.float32), names) == ["1.235"]
    mixed = Mixture(np.array([1]), np.array([2]), np.array([0.7]))
    assert title_of(mixed, names) == ["dog 70%\nowl 30%"]


def test_commands_draw_and_stop(pictures, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ["--model", "resnet8", "--dataset", str(pictures), "--batch-size", "16"]
    options += ["--augment", "randaugment", "--objective", "cutmix"]
    assert main(["train", *options, "--show-batch", "sub/batch.png"]) == 0
    assert "drawn: sub/batch.png, 16 images" in capsys.readouterr().out
    drawn = Image.open(tmp_path / "sub" / "batch.png")
    assert drawn.size[0] > drawn.size[1] > 200
    assert len(np.unique(np.asarray(drawn).reshape(-1, 3), axis=0)) > 50
    assert [path.name for path in tmp_path.iterdir()] == ["sub"]
    assert main(["train", *options, "--show-batch", "batch.txt"]) == 2
    assert "a picture's name must end in" in capsys.readouterr().err


def test_series_are_not_drawn(tmp_path, capsys):
    options = ["--model", "hopfield_lookup_nano", "--dataset", "zoo_tables/wine"]
    assert main(["train", *options, "--show-batch", str(tmp_path / "batch.png")]) == 2
    assert "`--show-batch` draws images, and zoo_tables/wine holds series" in (
        capsys.readouterr().err
    )
