"""`zoo convert`."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

import checkpoints
from checkpoints import paths
from train.cli.arguments import parse
from train.report import console
from zoo.errors import UsageError, printable


@dataclasses.dataclass(frozen=True)
class ConvertArguments:
    """Writes weights under another library's names, or a file of another library as a checkpoint.

    Tensors keep every bit; those of other shapes, and names that are not known, are refused.

        zoo convert resnet8.digits --to x.safetensors
        zoo convert resnet34.pth --out runs/resnet34
        zoo convert mine.pth --model resnet50 --preprocess-like resnet50.a1_in1k --out runs/mine
    """

    weights: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="WEIGHTS")]
    """A name of `zoo weights`, a run, a checkpoint directory, or a file of weights."""
    to: str | None = None
    """Safetensors file to write under the names of another library."""
    target: str | None = None
    """The library, as in timm, torchvision or keras; None is the first that has the model."""
    out: str | None = None
    """Checkpoint directory to write, which every command takes as `--weights`."""
    model: str | None = None
    """Architecture of a file whose name does not say it, as in resnet50."""
    preprocess_like: str | None = None
    """Published weights that see images as those of a file do: size, crop, mean and spread."""


ARGUMENTS = ConvertArguments


def command(argv: list[str]) -> None:
    """`zoo convert`."""
    arguments = parse(ConvertArguments, "convert", argv)
    if (arguments.to is None) == (arguments.out is None):
        raise UsageError("give either `--to FILE.safetensors` or `--out DIRECTORY`")
    if arguments.target is not None and arguments.to is None:
        raise UsageError("`--target` says whose names `--to` writes; `--out` writes our own")
    to = None if arguments.to is None else paths.local(arguments.to)
    if to is not None:
        _check_file(to)
    loaded = checkpoints.load(
        arguments.weights,
        architecture=arguments.model,
        preprocess_like=arguments.preprocess_like,
    )
    if to is not None:
        written = _export(loaded, to, arguments.target)
    else:
        written = checkpoints.save(str(arguments.out), loaded.variables, loaded.card)
    console().print(printable(f"written: {written}"), soft_wrap=True)


def _export(loaded: checkpoints.Pretrained, path: Path, target: str | None) -> Path:
    """Writes the file beside its place first, so that it is there whole or not at all."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    target = target or _first_library(loaded)
    tensors = checkpoints.export_weights(loaded.model, loaded.variables, target)
    partial = path.with_name(f".{path.name}.partial")
    try:
        save_file(tensors, partial, metadata={"format": "pt"})  # what PyTorch's libraries ask for
        partial.rename(path)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"could not write {str(path)!r}: {reason}") from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def _first_library(loaded: checkpoints.Pretrained) -> str:
    known = checkpoints.sources(loaded.model)
    if not known:
        raise UsageError(f"no library's names for {loaded.card.architecture} are known")
    return known[0]


def _check_file(path: Path) -> None:
    """Refuses before anything is loaded what could not be written in the end."""
    if path.suffix != ".safetensors":
        raise UsageError(f"`--to` writes safetensors files, so it must end in that, got {path}")
    if path.exists():
        raise UsageError(f"{str(path)!r} exists and is not overwritten; choose a new name")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"there is no directory {str(path.parent)!r} to write {path.name} to")
