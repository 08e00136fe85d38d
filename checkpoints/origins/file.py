"""A file of another library on this machine."""

from typing import Any

from checkpoints import build, weights_file
from checkpoints.card import Card
from checkpoints.origins.request import Request


def claims(request: Request) -> bool:
    """A path that is there and no directory."""
    if request.is_remote:
        return False
    return request.place.exists() and not request.place.is_dir()


def read(request: Request) -> tuple[Card, dict[str, Any]]:
    """Whatever format and library it is of."""
    card, tensors = weights_file.load_file(request.place, **request.file_options)
    abstract = build.abstract_variables(build.create_model(card), card)
    return card, build.filled(abstract, tensors)
