"""The table of options of a run, each with the tests that use it."""

import ast
import dataclasses
import inspect
import itertools
import json
import re
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from docs.tables import table
from train import Augment, Config, OptimizerConfig
from train.augment import NAMES
from train.cli.options import options

TESTS = Path(__file__).parents[1] / "tests"
GROUPS = {
    "The run": Config,
    "The update rule": OptimizerConfig,
    "Short for some augmentations": Augment,
}
MAKERS = ("Config", "OptimizerConfig", "Augment", "replace", "config", "planned")  # of settings
FIELDS = {field.name for group in GROUPS.values() for field in dataclasses.fields(group)}
SHOWN = 2  # tests that a row links


def page(repository: str) -> str:
    """The page: options of `zoo train` and `zoo finetune`, which are fields of `train.Config` too.

    Args:
        repository: address of the source code, for links to tests.
    """
    parts = [
        "# Options",
        "Options of `zoo train` and `zoo finetune`; from Python they are the fields of "
        "`train.Config`, `train.OptimizerConfig` and `train.Augment`. *Tested by* links tests that "
        "use the option, found by reading them when this page was built.",
    ]
    used = tested_by()
    for title, group in GROUPS.items():
        rows = list(_rows(group, used, repository))
        parts.append(f"## {title}\n\n{table(['option', 'default', 'what', 'tested by'], rows)}")
    rows = [_augmentation(name, repository) for name in NAMES]
    parts.append(
        "## Augmentations\n\nNames for `--augment`, each with arguments as in "
        "`randaugment:num_ops=2,magnitude=9`.\n\n"
        + table(["name", "arguments", "what", "tested by"], rows)
    )
    return "\n\n".join(parts) + "\n"


def _rows(group: type, used: dict[str, list[Path]], repository: str) -> Iterator[list[str]]:
    words, spelled = sentences(group), dict(options(group))
    for field in dataclasses.fields(group):
        if field.name in words and field.name in spelled:
            tests = sorted(set(used[field.name]), key=lambda path: (path.name, str(path)))
            yield [
                f"`{spelled[field.name]}`",
                f"`{_default(field)}`",
                words[field.name].replace("|", "\\|"),
                _links(tests, repository),
            ]


def _augmentation(name: str, repository: str) -> list[str]:
    known = inspect.signature(NAMES[name]).parameters.values()
    given = ", ".join(f"{p.name}={json.dumps(p.default)}" for p in known)
    what = " ".join((inspect.getdoc(NAMES[name]) or "").partition("\n\n")[0].split())
    tests = [p for p in TESTS.rglob("test_*.py") if f'"{name}' in p.read_text(encoding="utf-8")]
    return [f"`{name}`", f"`{given}`" if given else "none", what, _links(sorted(tests), repository)]


def sentences(group: type) -> dict[str, str]:
    """What stands under each field of a dataclass."""
    body = ast.parse(textwrap.dedent(inspect.getsource(group))).body[0].body
    found = {}
    for field, text in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            found[field.target.id] = " ".join(ast.literal_eval(text.value).split())
    return found


def tested_by() -> dict[str, list[Path]]:
    """Test files by the field that they use: in a call or dict of settings, or as an option."""
    found = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for name in _fields_in(node):
                found[name].append(path)
    return found


def _fields_in(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call):
        made = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if made.removeprefix("_") in MAKERS:
            yield from (keyword.arg for keyword in node.keywords if keyword.arg)
    elif isinstance(node, ast.Dict) and {getattr(k, "value", None) for k in node.keys} <= FIELDS:
        yield from (key.value for key in node.keys)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        for option in re.findall(r"(?<![\w-])--([a-z][a-z0-9-]*)", node.value):
            yield {"set": "overrides"}.get(option, option.replace("-", "_"))


def _default(field: dataclasses.Field) -> str:
    value = field.default
    if value is dataclasses.MISSING:
        value = field.default_factory() if callable(field.default_factory) else None
    return str(value) if value not in ((), {}) else "none"


def _links(tests: list[Path], repository: str) -> str:
    root = TESTS.parent
    links = [
        f"[{path.name}]({repository}/blob/main/{path.relative_to(root).as_posix()})"
        for path in tests[:SHOWN]
    ]
    return ", ".join(links) + (f" and {len(tests) - SHOWN} more" if len(tests) > SHOWN else "")
