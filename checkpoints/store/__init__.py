"""Checkpoints on disk: complete and intact, or refused.

    directory/
      card.json       what the weights are, `checkpoints.card`
      manifest.json   size and SHA-256 of every file, `checkpoints.manifest`
      arrays/         Orbax, one checkpointable for each top-level key of the tree

Orbax alone lets some flipped bits through; the manifest does not. A run keeps its checkpoints as
`run/steps/00000120`.

In reading order: `layout` (where the parts lie), `arrays` (the only file that knows Orbax),
`together` (what processes agree on), `bucket` (the same in a bucket), `saving`, `restoring`, `run`
(the checkpoints of a run).
"""

from checkpoints.store.layout import is_checkpoint
from checkpoints.store.restoring import read_card, restore, restore_weights, verify
from checkpoints.store.run import best, keep, latest, step_path, steps
from checkpoints.store.saving import rewrite_card, save

__all__ = [
    "best",
    "is_checkpoint",
    "keep",
    "latest",
    "read_card",
    "restore",
    "restore_weights",
    "rewrite_card",
    "save",
    "step_path",
    "steps",
    "verify",
]
