"""Ours, whatever lies in the working directory.

>>> from jax_functional_zoo import checkpoints, train, zoo

`zoo`, `checkpoints` and `train` are names that a user's own files have too. Once this package is
imported they are found beside it and nowhere else, also by one another.
"""

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import checkpoints
    import train
    import zoo

__all__ = ["checkpoints", "train", "zoo"]

_HOME = Path(__file__).resolve().parents[1]


class _Beside(importlib.abc.MetaPathFinder):
    """Finds our three packages beside this one."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in __all__:
            return None
        found = importlib.machinery.PathFinder.find_spec(fullname, [str(_HOME)])
        if found is None or found.origin is None:
            raise ModuleNotFoundError(
                f"`jax_functional_zoo` lies in {_HOME}, where there is no package {fullname!r}: "
                "install jax-functional-zoo again.",
                name=fullname,
            )
        return found


def _require_ours(name: str) -> None:
    """Raises ImportError if a module of this name that is not ours has been imported."""
    module = sys.modules.get(name)
    if module is None:
        return
    file = getattr(module, "__file__", None)
    if file is None or Path(file).resolve() != _HOME / name / "__init__.py":
        raise ImportError(
            f"the module {name!r} has been imported from {file or 'a folder without __init__.py'}, "
            f"which is not ours ({_HOME / name}). Import `jax_functional_zoo` before it, and "
            "rename it if you need both.",
            name=name,
        )


def __getattr__(name: str) -> ModuleType:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    _require_ours(name)
    return importlib.import_module(name)


for _name in __all__:
    _require_ours(_name)
sys.meta_path.insert(0, _Beside())
