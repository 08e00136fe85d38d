"""Rules of the source that no linter knows."""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import flax.linen as nn
import pytest

import checkpoints
import train
import zoo
from zoo.catalogue import CATALOGUE
from zoo.layers.factory import Layers, ModuleFactory
from zoo.layers.network import Network

ROOT = Path(zoo.__file__).parent.parent
FAMILIES = sorted({zoo.model_info(name).family for name in CATALOGUE} | {"hopular"})
PACKAGES = [family for family in FAMILIES if (ROOT / "zoo" / family).is_dir()]
NAMES = re.compile(rf"(?<![a-z])({'|'.join([*FAMILIES, *CATALOGUE])})")
# What is of one family, or a table of what families are called.
OF_FAMILIES = ("zoo/catalogue.py", "checkpoints/convert", "train/recipes", "train/tabular")
SHARED_LAYERS = "zoo/layers"


def generic_files():
    """Source files that are for every family."""
    own = [f"zoo/{family}" for family in FAMILIES]
    for package in ("zoo", "checkpoints", "train"):
        for path in sorted((ROOT / package).rglob("*.py")):
            place = path.relative_to(ROOT).as_posix()
            if not place.startswith((*OF_FAMILIES, SHARED_LAYERS, *own)):
                yield place


def names_in(tree):
    """Families that code refers to: in texts that are no docstrings, and in imports."""
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        text = ""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = "" if id(node) in documentation else node.value
        elif isinstance(node, ast.ImportFrom):
            text = f"{node.module} {' '.join(alias.name for alias in node.names)}"
        elif isinstance(node, ast.Import):
            text = " ".join(alias.name for alias in node.names)
        elif isinstance(node, ast.Attribute):
            text = node.attr
        if found := NAMES.search(text):
            yield node.lineno, found[0]


def test_generic_code_knows_no_family_by_name():
    trees = {place: ast.parse((ROOT / place).read_text("utf-8")) for place in generic_files()}
    assert len(trees) > 100
    assert [(place, *found) for place, tree in trees.items() for found in names_in(tree)] == []


@pytest.mark.parametrize(
    "code",
    ["import zoo.tnt", "x = zoo.nasnet", "f('lssl_nano')", "from zoo import sret"],
)
def test_a_family_is_found_wherever_code_names_it(code):
    assert list(names_in(ast.parse(code)))


@pytest.mark.parametrize("family", PACKAGES)
def test_files_of_a_family_are_short_and_its_docstring_names_each(family):
    folder = ROOT / "zoo" / family
    story = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    for path in folder.glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 250, path
        assert path.stem == "__init__" or f"`{path.stem}`" in story, path


def modules():
    """Classes of the package `zoo` that are modules of Flax's."""
    for info in pkgutil.walk_packages(zoo.__path__, "zoo."):
        for value in vars(importlib.import_module(info.name)).values():
            is_module = inspect.isclass(value) and issubclass(value, nn.Module)
            if is_module and value.__module__ == info.name:
                yield value


def makes_modules(field):
    made = getattr(field.default, "func", field.default)  # of a partial
    return inspect.isclass(made) and issubclass(made, nn.Module)


def test_fields_of_networks_name_their_factories_alike():
    names = {f.name for kind in modules() for f in dataclasses.fields(kind) if makes_modules(f)}
    assert len(names) > 5
    assert {name for name in names if not name.endswith("_cls")} == {"conv", "norm"}


def test_blocks_take_one_bundle_of_factories():
    for kind in modules():
        taken = {f.name for f in dataclasses.fields(kind) if f.type == ModuleFactory}
        assert issubclass(kind, Network) or len(taken & set(Layers._fields)) < 2, kind


def exported_functions():
    """Names and functions of what the packages export, and of public methods of its classes."""
    for package in (zoo, checkpoints, train):
        for name in package.__all__:
            value = getattr(package, name)
            if inspect.isfunction(value):
                yield f"{package.__name__}.{name}", value
            for method, found in vars(value).items() if inspect.isclass(value) else ():
                function = getattr(found, "__func__", found)  # of class and static methods
                if inspect.isfunction(function) and not method.startswith("_"):
                    yield f"{package.__name__}.{name}.{method}", function


def arguments(function):
    return [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]


def test_public_functions_of_three_or_more_arguments_describe_each():
    many = {name: f for name, f in exported_functions() if len(arguments(f)) >= 3}
    assert len(many) > 20
    assert [name for name, f in many.items() if "Args:" not in (f.__doc__ or "")] == []
