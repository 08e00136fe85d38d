"""Networks of other libraries as calls; the extra `[reference]` installs what they need."""

import importlib
import os
import sys
import types
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from checkpoints import installation
from checkpoints.convert.keras_applications import KERAS
from train.bench.ours import LEARNING_RATE, ours
from train.bench.timing import Call, Calls
from zoo.errors import UsageError


def _library(name: str, needed: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            f"`against` {needed} needs {name}, which is not installed: "
            f"{installation.command('reference')}"
        ) from error


def pytorch(network: Any, images: np.ndarray, labels: np.ndarray) -> Calls:
    """A PyTorch network on the GPU if there is one, else on as many threads as cores."""
    torch: Any = importlib.import_module("torch")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    network = network.to(device)
    optimizer = torch.optim.SGD(network.parameters(), LEARNING_RATE)
    x = torch.from_numpy(np.moveaxis(images, -1, 1).copy()).to(device)
    y = torch.from_numpy(labels.astype(np.int64)).to(device)
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None

    def forward() -> None:
        network.eval()
        with torch.inference_mode():
            network(x)
        wait()

    def step() -> None:
        network.train()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(x), y).backward()
        optimizer.step()
        wait()

    return Calls(Call(forward), Call(step))


def timm_network(name: str) -> Any:
    """The network of that name in timm.

    Raises:
        UsageError: timm is not installed, or has no such network.
    """
    # timm asks torchvision for transforms only; its compiled part may not load.
    sys.modules.setdefault(
        "torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations")
    )
    timm = _library("timm", "timm")
    if not timm.is_model(name):
        raise UsageError(f"timm has no {name!r}")
    return timm.create_model(name)


def timm(name: str, images: np.ndarray, labels: np.ndarray) -> Calls:
    """The network of timm, eager."""
    return pytorch(timm_network(name), images, labels)


def torch_compile(name: str, images: np.ndarray, labels: np.ndarray) -> Calls:
    """The network of timm under `torch.compile`."""
    network = timm_network(name)
    return pytorch(importlib.import_module("torch").compile(network), images, labels)


def keras(name: str, images: np.ndarray, labels: np.ndarray) -> Calls:
    """The network of Keras on JAX, compiled as ours is.

    Raises:
        UsageError: Keras is not installed, or has no such network.
    """
    if name not in KERAS:
        raise UsageError(f"of Keras there are {', '.join(KERAS)}; got {name!r}")
    os.environ.setdefault("KERAS_BACKEND", "jax")
    library = _library("keras", "keras")
    build = getattr(library.applications, KERAS[name])
    network = build(weights=None, classifier_activation=None)
    fixed = [v.value for v in network.non_trainable_variables]
    held = {"params": [v.value for v in network.trainable_variables], "fixed": fixed}
    inputs, classes = jnp.asarray(images), jnp.asarray(labels)

    def loss(params: Any, fixed: Any, images: Any) -> Any:
        logits, fixed = network.stateless_call(params, fixed, images, training=True)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, classes)
        return losses.mean(), fixed

    @jax.jit
    def update(params: Any, fixed: Any, images: Any) -> Any:
        (_, fixed), grads = jax.value_and_grad(loss, has_aux=True)(params, fixed, images)
        return [p - LEARNING_RATE * g for p, g in zip(params, grads, strict=True)], fixed

    @jax.jit
    def evaluate(params: Any, fixed: Any, images: Any) -> Any:
        return network.stateless_call(params, fixed, images, training=False)[0]

    def step() -> None:
        held["params"], held["fixed"] = update(held["params"], held["fixed"], inputs)
        jax.block_until_ready(held)

    def forward() -> None:
        jax.block_until_ready(evaluate(held["params"], fixed, inputs))

    return Calls(Call(forward), Call(step))


def linen(name: str, images: np.ndarray, labels: np.ndarray) -> Calls:
    """Our network with the convolutions of `flax.linen.Conv`."""
    return ours(name, images, labels, linen=True)


PEERS: dict[str, Callable[[str, np.ndarray, np.ndarray], Calls]] = {
    "timm": timm,
    "torch-compile": torch_compile,
    "keras": keras,
    "linen": linen,
}
