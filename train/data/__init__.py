"""Data sets, and batches of them: see `load_dataset`, `train_batches` and `eval_batches`."""

from train.data.dataset import Dataset, Example, few_shot, found
from train.data.load import evaluation_split, load_dataset, splits
from train.data.pipeline import Batch, eval_batches, train_batches

__all__ = [
    "Batch",
    "Dataset",
    "Example",
    "eval_batches",
    "evaluation_split",
    "few_shot",
    "found",
    "load_dataset",
    "splits",
    "train_batches",
]
