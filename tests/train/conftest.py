"""A folder of pictures, and the command line in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import train

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """An image folder: digits 0, 1 and 2, twelve of each, as RGB pictures of 40 pixels."""
    folder = tmp_path_factory.mktemp("pictures")
    data = train.load_dataset("zoo_digits", "validation")
    written = dict.fromkeys(("zero", "one", "two"), 0)
    for i in range(len(data)):
        image, label = data[i]["input"], data[i]["label"]
        name = list(written)[label] if label < 3 else None
        if name and written[name] < 12:
            (folder / name).mkdir(exist_ok=True)
            picture = Image.fromarray(np.repeat(image, 3, axis=-1)).resize((40, 40))
            picture.save(folder / name / f"{written[name]:02d}.png")
            written[name] += 1
    return folder


@pytest.fixture
def zoo_process(tmp_path):
    """`zoo_process("list", ...)`: starts the command line in an empty folder; returns the Popen."""
    started = []

    def start(*arguments, cwd=tmp_path, **environment):
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "jax_functional_zoo", *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
