"""`zoo doctor`: is this installation sound?"""

import platform
import sys
from importlib.machinery import PathFinder
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
HOME = Path(__file__).resolve().parents[2]


def command(argv: list[str]) -> None:
    """`zoo doctor`."""
    parse(show_health, "doctor", argv)


def show_health(*, json: bool = False) -> None:
    """Shows versions, devices and caches, and whether it is our packages that are imported here.

    Args:
        json: print JSON instead of a table.
    """
    facts = {"python": f"{platform.python_version()} ({sys.executable})"}
    facts |= {name: _version(name) for name in LIBRARIES}
    facts |= {"devices": _devices()} | _caches()
    places = {name: _from_here(name) for name in OURS}
    facts |= {f"import {name}, from here": str(place) for name, place in places.items()}
    shadowed = {name: place for name, place in places.items() if place != HOME / name}
    facts["packages"] = f"shadowed: {', '.join(shadowed)}" if shadowed else "all ours"
    if json:
        emit_json(facts)
    else:
        rows = [[name, value] for name, value in facts.items()]
        console().print(table(["", ""], rows, numbers=False))
    if shadowed:
        name, place = next(iter(shadowed.items()))
        raise UsageError(
            f"this program uses ours, but in this folder `import {name}` gives {place}: write "
            f"`from jax_functional_zoo import {name}`, or rename what lies there"
        )


ARGUMENTS = show_health


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


def _from_here(name: str) -> Path | None:
    """What a program imports that is started in the working directory: a file or a folder."""
    found = PathFinder.find_spec(name, ["", *sys.path])
    if found is None:
        return None
    places = list(found.submodule_search_locations or [found.origin])
    return Path(str(places[0])).resolve()
