"""Docstrings of what users meet first: their arguments are explained, their examples run."""

import doctest
import functools
import importlib
import inspect
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import checkpoints
import train
import train.methods
import zoo

KNOWN = {
    "train": train,
    "checkpoints": checkpoints,
    "zoo": zoo,
    "partial": functools.partial,
    "jax": jax,
    "jnp": jnp,
    "np": np,
    "optax": optax,
}
FUNCTIONS = [name for name in train.__all__ if inspect.isfunction(getattr(train, name))]
WITH_EXAMPLES = [name for name in train.__all__ if ">>>" in (getattr(train, name).__doc__ or "")]
METHODS = [f"train.methods.{m.name}" for m in pkgutil.iter_modules(train.methods.__path__)]


def run(documented, name, known):
    examples = doctest.DocTestParser().get_doctest(documented.__doc__, dict(known), name, None, 0)
    told = []
    result = doctest.DocTestRunner(verbose=False).run(examples, out=told.append)
    assert result.attempted > 0
    assert not result.failed, "".join(told)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_example_of_a_public_name_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(getattr(train, name), name, KNOWN)


@pytest.mark.parametrize("name", ["train", *METHODS])
def test_the_example_of_a_module_runs(name):
    module = importlib.import_module(name)
    run(module, name, {**{n: getattr(train, n) for n in train.__all__}, **KNOWN, **vars(module)})


def test_what_users_meet_first_has_an_example():
    first = {
        *("Config", "Objective", "create_state", "eval_batches", "evaluate", "finetune", "fit"),
        *("load_dataset", "make_optimizer", "make_schedule", "make_train_step", "on", "plan"),
        *("parallelize", "predict", "published", "supervised", "train_batches", "few_shot"),
        "image_grid",
    }
    assert first <= set(WITH_EXAMPLES)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_three_arguments_are_explained(name):
    function = getattr(train, name)
    if len(inspect.signature(function).parameters) < 3:
        return
    for argument in inspect.signature(function).parameters:
        told = f" {argument}:" in function.__doc__ or f"{argument}," in function.__doc__
        assert told, f"{name} does not say what `{argument}` is"
