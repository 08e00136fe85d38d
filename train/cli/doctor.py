"""`zoo doctor`: is this installation sound?"""

import importlib
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from train.cli.arguments import parse
from train.cli.caches import cache_directory
from train.cli.output import emit_json
from train.report import console, table
from zoo.errors import UsageError

LIBRARIES = (
    *("jax-functional-zoo", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint"),
    *("tensorflow-datasets", "grain", "array_record", "huggingface_hub", "numpy"),
)
OURS = ("zoo", "checkpoints", "train")


def command(argv: list[str]) -> None:
    """`zoo doctor`."""
    parse(show_health, "doctor", argv)


def show_health(*, json: bool = False) -> None:
    """Shows versions, devices and caches, and whether our packages are the ones imported.

    Args:
        json: print JSON instead of a table.
    """
    facts = {"python": f"{platform.python_version()} ({sys.executable})"}
    facts |= {name: _version(name) for name in LIBRARIES}
    facts |= {"devices": _devices()} | _caches()
    shadowed = [name for name in OURS if not _is_ours(name)]
    facts["packages"] = f"shadowed: {', '.join(shadowed)}" if shadowed else "all ours"
    if json:
        emit_json(facts)
    else:
        rows = [[name, value] for name, value in facts.items()]
        console().print(table(["", ""], rows, numbers=False))
    if shadowed:
        where = {name: importlib.import_module(name).__file__ for name in shadowed}
        raise UsageError(f"another module hides ours: {where}; rename it or leave its folder")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _devices() -> str:
    import jax

    kinds = [f"{d.platform}:{d.device_kind}" for d in jax.devices()]
    return ", ".join(f"{kinds.count(k)} x {k}" for k in dict.fromkeys(kinds))


def _caches() -> dict[str, str]:
    import jax
    from huggingface_hub.constants import HF_HUB_CACHE

    return {
        "compiled programs": str(jax.config.values["jax_compilation_cache_dir"]),
        "converted weights": str(cache_directory() / "weights"),
        "hub downloads": str(HF_HUB_CACHE),
    }


def _is_ours(name: str) -> bool:
    found = importlib.import_module(name).__file__
    return found is not None and Path(found).parents[1] == Path(__file__).parents[2]
