"""Random changes of training examples, by NumPy and Pillow, as pure functions of a generator.

Read `operation` first: a change is a pair of functions, one draws and one acts. `geometry`,
`colour` and `erasing` hold single changes; `spaces` the changes that policies choose from and their
strength; `policies` RandAugment, TrivialAugment and AutoAugment, whose tables are in `learned`;
`augmix` AugMix. `augmentation` puts a crop and operations together, `decoding` reads large JPEG
files at less than their size. `table` is the one table of names; `shorthand` says the usual ones by
six numbers, and `checks` what is wrong with an argument. Mixup, CutMix and erasing of whole batches
happen on the device: `train.methods`.
"""

from train.augment.augmentation import Augmentation
from train.augment.operation import Operation
from train.augment.shorthand import Augment, calls_of, shortened
from train.augment.table import NAMES, augmentation_of

__all__ = [
    "NAMES",
    "Augment",
    "Augmentation",
    "Operation",
    "augmentation_of",
    "calls_of",
    "shortened",
]
