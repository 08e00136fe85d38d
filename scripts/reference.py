"""The reference libraries, imported so that they work beside any build of PyTorch.

torchvision registers shapes of its compiled operators on import and fails where these were built
for another PyTorch. Models and weight enumerations need none of them, so an empty module takes
that file's place; timm imports torchvision itself and therefore has to come after it.
"""

import os
import sys
from types import ModuleType

os.environ.setdefault("KERAS_BACKEND", "jax")
sys.modules.setdefault(
    "torchvision._meta_registrations", ModuleType("torchvision._meta_registrations")
)

import keras
import timm
import torch
import torchvision

__all__ = ["keras", "timm", "torch", "torchvision"]
