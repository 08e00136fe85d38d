"""Weights: where they are, how they are read, how they fit a model.

>>> import checkpoints
>>> checkpoints.list_weights("resnet18.*")
['resnet18.a1_in1k', ...]
>>> model, variables, preprocess, card, fresh = checkpoints.load("resnet18.a1_in1k")
>>> logits = model.apply(variables, preprocess(image)[None], train=False)
"""

from checkpoints.card import Card
from checkpoints.convert import export_weights, import_weights, sources
from checkpoints.preprocess import Preprocess
from checkpoints.pretrained import Pretrained, load
from checkpoints.released import list_weights, weights_info
from checkpoints.store import save
from checkpoints.upload import push

__all__ = [
    "Card",
    "Preprocess",
    "Pretrained",
    "export_weights",
    "import_weights",
    "list_weights",
    "load",
    "push",
    "save",
    "sources",
    "weights_info",
]
