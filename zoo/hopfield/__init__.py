"""Modern Hopfield networks: pooling, lookup, encoder and decoder blocks, and networks of them.

Ramsauer et al. 2020, "Hopfield Networks is All You Need", https://arxiv.org/abs/2008.02217.
Everything is batch first: stored patterns are (b, s, d), state patterns (b, t, d).

Which layer when: `Hopfield` relates two sets, or a set to itself, as attention does;
`HopfieldPooling` makes one vector of a set by asking it a learned question; `HopfieldLayer` looks
its input up in learned patterns. To *retrieve* stored patterns, nothing must be learned or
normalised on the way: that is `retrieve`, or the layer `STATIC`. Who knows the options of the
authors' library finds ours by `checkpoints.convert.hopfield.from_library`.

In reading order:

- `zoo.layers.association`: energy, retrieval and association as pure functions;
- `zoo.layers.hopfield`: the association as a layer, `Hopfield`, which Hopular uses too, and
  `zoo.layers.hopfield_options`, its options in groups;
- `layers`: pooling and lookup; `blocks`: encoder and decoder blocks;
- `bags`, `lookup`, `encoder`: a network of each, with its variants.
"""

from zoo.hopfield.bags import (
    HopfieldMIL,
    feature_instances,
    hopfield_mil,
    hopfield_mil_nano,
    tiles,
)
from zoo.hopfield.blocks import HopfieldDecoderLayer, HopfieldEncoderLayer
from zoo.hopfield.encoder import HopfieldEncoder, hopfield_encoder_nano
from zoo.hopfield.layers import HopfieldLayer, HopfieldPooling
from zoo.hopfield.lookup import HopfieldLookup, hopfield_lookup_nano
from zoo.layers.association import energy, retrieve
from zoo.layers.hopfield import STATIC, Hopfield
from zoo.layers.hopfield_options import NO_NORMS, Convergence, Maps, Norm, Norms, Sizes

__all__ = [
    "NO_NORMS",
    "STATIC",
    "Convergence",
    "Hopfield",
    "HopfieldDecoderLayer",
    "HopfieldEncoder",
    "HopfieldEncoderLayer",
    "HopfieldLayer",
    "HopfieldLookup",
    "HopfieldMIL",
    "HopfieldPooling",
    "Maps",
    "Norm",
    "Norms",
    "Sizes",
    "energy",
    "feature_instances",
    "hopfield_encoder_nano",
    "hopfield_lookup_nano",
    "hopfield_mil",
    "hopfield_mil_nano",
    "retrieve",
    "tiles",
]
