"""Inputs that mislead a network: pure functions of (loss, inputs, key).

One step: `fgsm`, `least_likely` (`step`). Many: `pgd` in the maximum norm, `pgd_l2` (`l2`) in the
Euclidean one. `queried` (`queries`) gives a function that is only asked a gradient, so that both
attack what they cannot look into. An attack that transfers is one on the mean loss of several
networks: `pgd(lambda x: (loss1(x) + loss2(x)) / 2, ...)`.

Bounds are in the units of the inputs. For those of pictures before normalisation, attack the
network behind it: `lambda x: loss(network((x - mean) / std))`, with `low=0.0, high=1.0`.

An attack that fails proves nothing: where gradients are masked (Athalye et al. 2018,
https://arxiv.org/abs/1802.00420, section 3), attacks without gradients succeed, random noise is as
good, or even an unbounded attack leaves some answers right. `zoo robust` looks for these signs.
"""

from zoo.attack.l2 import pgd_l2
from zoo.attack.pgd import pgd
from zoo.attack.queries import queried
from zoo.attack.step import fgsm, least_likely

__all__ = ["fgsm", "least_likely", "pgd", "pgd_l2", "queried"]
