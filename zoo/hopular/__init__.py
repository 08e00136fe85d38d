r"""Hopular: modern Hopfield networks for tables.

Schäfl, Gruber, Bitto-Nemling & Hochreiter 2022, "Hopular: Modern Hopfield Networks for Tabular
Data", https://arxiv.org/abs/2206.00664. The training set is a memory that every block looks up.
Each of d attributes, targets included, is embedded with e channels; a block relates the row
to all rows of the memory, then the attributes of the row to each other:

.. math::
    a = \mathrm{LN}_s(\xi), \quad a \leftarrow a + H_s(\mathrm{LN}_s(E(M)), a), \qquad
    f = \mathrm{LN}_f(a), \quad \xi \leftarrow f + H_f(\mathrm{LN}_f(E(x)), f)

(the shortcuts carry the *normalised* values, as in the authors' code; the paper writes
\(\xi + H(\xi)\)). The output is a linear map to logits and values of all attributes.

A row is the concatenation over attributes of [values, mask bit]: a numeric attribute has one
standardised value, a categorical one a one-hot vector. A masked attribute is zeros and a mask bit
of 1, a missing one is zeros and 0.

In reading order:

- `embedding`: rows as attributes of a few channels;
- `block`: one block; `zoo.layers.hopfield` is the association in it;
- `network`: the network, over all rows or a chunk at a time.
"""

from zoo.hopular.block import Block
from zoo.hopular.embedding import Embedding, columns
from zoo.hopular.network import Hopular, RowMask

__all__ = ["Block", "Embedding", "Hopular", "RowMask", "columns"]
