"""What of a network is trained and what is kept: pure functions from tree to tree.

`Parameters` is the pair of functions; `select` names leaves by their paths and `depths` numbers the
layers that hold them. The values: `zoo.parameters.frozen.frozen`, `zoo.parameters.lora.lora`,
`zoo.parameters.ternary.ternary`. How parameters are stored in fewer bytes is in
`zoo.parameters.stored`, and networks with other layers in `zoo.parameters.interception`.
"""

from zoo.parameters.depth import depths
from zoo.parameters.pair import Parameters, chained
from zoo.parameters.select import paths, select

__all__ = ["Parameters", "chained", "depths", "paths", "select"]
