"""What of a network is trained and what is kept: pure functions from tree to tree.

`Parameters` is the pair of functions; `select` names leaves by their paths and `depths` numbers the
layers that hold them. The values: `zoo.parameters.frozen.frozen`, `zoo.parameters.lora.lora`,
`zoo.parameters.ternary.ternary`.
"""

from zoo.parameters.depth import depths
from zoo.parameters.pair import Parameters, chained
from zoo.parameters.select import paths, select

__all__ = ["Parameters", "chained", "depths", "paths", "select"]
