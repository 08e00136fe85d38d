"""NASNet: cells that were found by search on small images, stacked into networks of any size.

- NASNet: Zoph, Vasudevan, Shlens & Le, "Learning Transferable Architectures for Scalable Image
  Recognition", 2018, https://arxiv.org/abs/1707.07012.
- PNASNet-5: Liu, Zoph, Neumann et al., "Progressive Neural Architecture Search", 2018,
  https://arxiv.org/abs/1712.00559.

A cell is *data*; one generic cell builds them all from the operations of the search space. Where
the papers are silent we follow the authors' published code: how the two inputs of a cell are
brought to its width and resolution. In reading order:

- `operations`: the search space; `genotype`: cells as data, and the papers';
- `cell`: the module that a genotype becomes; `auxiliary`: the classifier on an inner map;
- `network`: where the cells of a network stand, and what runs through them;
- `variants`: the papers' networks.
"""

from zoo.nasnet.auxiliary import Auxiliary
from zoo.nasnet.cell import Cell, FactorizedReduction, Operation, Projection
from zoo.nasnet.genotype import (
    INPUTS,
    NASNET_A,
    PNASNET_5,
    Block,
    CellGenotype,
    Edge,
    Genotype,
    genotype_from_json,
    genotype_to_json,
    random_genotype,
)
from zoo.nasnet.network import NASNet, Place, places
from zoo.nasnet.operations import OPERATIONS
from zoo.nasnet.variants import (
    nasnet_nano,
    nasneta_6_768,
    nasneta_7_2304,
    nasnetalarge,
    nasnetalarge_keras,
    nasnetamobile,
    pnasnet5large,
)

__all__ = [
    "INPUTS",
    "NASNET_A",
    "OPERATIONS",
    "PNASNET_5",
    "Auxiliary",
    "Block",
    "Cell",
    "CellGenotype",
    "Edge",
    "FactorizedReduction",
    "Genotype",
    "NASNet",
    "Operation",
    "Place",
    "Projection",
    "genotype_from_json",
    "genotype_to_json",
    "nasnet_nano",
    "nasneta_6_768",
    "nasneta_7_2304",
    "nasnetalarge",
    "nasnetalarge_keras",
    "nasnetamobile",
    "places",
    "pnasnet5large",
    "random_genotype",
]
