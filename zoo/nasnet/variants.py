"""The networks of the papers' tables."""

from functools import partial

from zoo.layers.factory import Factory
from zoo.layers.norm import BatchNorm
from zoo.nasnet.genotype import PNASNET_5
from zoo.nasnet.network import NASNet

# Zoph et al. 2018, table 2: NASNet-A (6 @ 4032) and (4 @ 1056).
nasnetalarge = partial(NASNet, skip_reduction=True)

# Keras: biased running variance, and zeros around maps.
_Keras = partial(
    NASNet,
    border=0.0,
    smallest=32,
    norm=Factory(BatchNorm, epsilon=1e-3, momentum=0.9997, unbiased=False),
)

nasnetalarge_keras = partial(_Keras, skip_reduction=True)

nasnetamobile = partial(_Keras, cells=(4, 4, 4), filters=44, stem_width=32)

# Zoph et al. 2018, table 1: NASNet-A (6 @ 768) and (7 @ 2304) for CIFAR.
_Cifar = partial(
    NASNet, stem_cells=0, count_padding=False, smallest=1, num_classes=10, norm=BatchNorm
)

nasneta_6_768 = partial(_Cifar, filters=32, stem_width=96)

nasneta_7_2304 = partial(_Cifar, cells=(7, 7, 7), filters=96, stem_width=288)

# Liu et al. 2018, table 5: PNASNet-5 (4 @ 4320); reductions take the place of normal cells.
pnasnet5large = partial(NASNet, genotype=PNASNET_5, cells=(4, 3, 3), filters=216)

# Not of the papers: NASNet-A (1 @ 288) for images of 8 to 32 pixels.
nasnet_nano = partial(_Cifar, cells=(1, 1, 1), filters=12, stem_width=24)
