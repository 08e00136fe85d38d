"""Options of a command, from the signature or the fields of what they are passed to."""

import contextlib
import dataclasses
import io
import json
import sys
import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar

from zoo.errors import UsageError

T = TypeVar("T")


def parse(
    what: Callable[..., T], name: str, argv: list[str], *, pairs: bool = False, **options: Any
) -> T:
    """Parses the arguments of a command from the signature or fields of `what`, and calls it.

    With `pairs`, each flag can be set and taken back, whatever its default: `--flip`, `--no-flip`.
    """
    import tyro

    config = (tyro.conf.OmitArgPrefixes, *(() if pairs else (tyro.conf.FlagCreatePairsOff,)))
    registry = tyro.constructors.ConstructorRegistry()
    for rule in (_optional, _method, _augmentations, _assignments, _evaluations, _retention):
        registry.primitive_rule(rule)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                what, prog=f"zoo {name}", args=argv, config=config, registry=registry, **options
            )
    except SystemExit as stop:
        if (refused := _usage_error(stop)) is not None:
            said = io.StringIO()  # one sentence, as for all that the user can mend
            raise refused from stop
        raise
    finally:
        sys.stderr.write(said.getvalue())


def _usage_error(error: BaseException | None) -> UsageError | None:
    """What made a field's dataclass refuse its values, which tyro tells in a box and as an exit."""
    while error is not None and not isinstance(error, UsageError):
        error = error.__context__
    return error


def _optional(kind: Any) -> Any:
    """Rule of tyro that reads `T | None` as T, or as None where that word is given.

    Its own rule calls the value `{None}|INT` in the help, and a wrong one by two errors.
    """
    from tyro.constructors import ConstructorRegistry, PrimitiveTypeInfo

    inner = [member for member in typing.get_args(kind.type) if member is not types.NoneType]
    if kind.type_origin is not types.UnionType or len(inner) != 1:
        return None
    spec: Any = ConstructorRegistry.get_primitive_spec(
        PrimitiveTypeInfo.make(inner[0], kind.markers)
    )
    return dataclasses.replace(
        spec,
        instance_from_str=lambda s: None if s == ["None"] else spec.instance_from_str(s),
        is_instance=lambda value: value is None or spec.is_instance(value),
        str_from_instance=lambda v: ["None"] if v is None else spec.str_from_instance(v),
    )


def _method(kind: Any) -> Any:
    """Rule of tyro for a method with arguments, `mixup:alpha=0.2`."""
    from tyro.constructors import PrimitiveConstructorSpec

    from train.calls import Call

    if kind.type is not Call:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="NAME:ARGUMENT=VALUE,...",
        instance_from_str=lambda words: Call.parsed(words[0]),
        is_instance=lambda value: isinstance(value, Call),
        str_from_instance=lambda call: [str(call)],
    )


def _augmentations(kind: Any) -> Any:
    """Rule of tyro for augmentations, `random_resized_crop randaugment:magnitude=9`."""
    from tyro.constructors import PrimitiveConstructorSpec

    from train.augment.shorthand import Augmentations, calls_of
    from train.calls import Call

    if kind.type != Augmentations:
        return None
    return PrimitiveConstructorSpec(
        nargs="*",
        metavar="[NAME:ARGUMENT=VALUE,... ...]",
        instance_from_str=lambda words: tuple(map(Call.parsed, words)),
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda augment: [str(call) for call in calls_of(augment)],
    )


def _assignments(kind: Any) -> Any:
    """Rule of tyro for fields with JSON values, `drop_path=0.1 aux_heads=true`."""
    from tyro.constructors import PrimitiveConstructorSpec

    from train.calls import assignment

    if kind.type != dict[str, Any]:
        return None
    return PrimitiveConstructorSpec(
        nargs="*",
        metavar="[FIELD=VALUE ...]",
        instance_from_str=lambda words: dict(map(assignment, words)),
        is_instance=lambda value: isinstance(value, dict),
        str_from_instance=lambda fields: [f"{n}={json.dumps(v)}" for n, v in fields.items()],
    )


def _evaluations(kind: Any) -> Any:
    """Rule of tyro for named evaluations, `val:split=validation big:image_size=288`."""
    from tyro.constructors import PrimitiveConstructorSpec

    from train.config import Evaluation

    if kind.type != dict[str, Evaluation]:
        return None
    return PrimitiveConstructorSpec(
        nargs="*",
        metavar="[NAME:FIELD=VALUE,... ...]",
        instance_from_str=lambda words: dict(map(Evaluation.parsed, words)),
        is_instance=lambda value: isinstance(value, dict),
        str_from_instance=lambda named: [f"{name}:{value}" for name, value in named.items()],
    )


def _retention(kind: Any) -> Any:
    """Rule of tyro for what is kept, `newest=3 best=val/top1`."""
    from tyro.constructors import PrimitiveConstructorSpec

    from checkpoints.retention import Retention
    from train.calls import assignment
    from train.typed_json import from_json

    if kind.type is not Retention:
        return None
    return PrimitiveConstructorSpec(
        nargs="*",
        metavar="[FIELD=VALUE ...]",
        instance_from_str=lambda w: from_json(Retention, dict(map(assignment, w)), "`retention`"),
        is_instance=lambda value: isinstance(value, Retention),
        str_from_instance=lambda kept: [f"{name}={value}" for name, value in vars(kept).items()],
    )
