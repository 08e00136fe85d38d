"""Settings that are known to work, by name: `zoo train --recipe resnet8.digits`."""

from train.config import Config
from train.recipes import (
    bags,
    bit,
    cifar_resnet,
    digits,
    efficientnet,
    hopfield,
    inception,
    lssl,
    nasnet,
    resnet,
    resnet_rs,
    simplenet,
    sret,
    strikes_back,
    tnt,
)
from train.recipes.recipe import Recipe as Recipe

PAPERS = (
    *(resnet, strikes_back, resnet_rs, cifar_resnet, bit, inception, nasnet, efficientnet),
    *(simplenet, tnt, sret),
)
_SHIPS = "the weights that ship with the package"
DESCRIBED: dict[str, Recipe] = {
    "resnet8.digits": Recipe(digits.RESNET8, f"A ResNet for handwritten digits: {_SHIPS}."),
    "resnet20.digits": Recipe(digits.RESNET20, f"A deeper ResNet for the same: {_SHIPS}."),
    "inception_nano.digits": Recipe(digits.INCEPTION_NANO, f"Inception for the same: {_SHIPS}."),
    "nasnet_nano.digits": Recipe(digits.NASNET_NANO, f"NASNet's cells for the same: {_SHIPS}."),
    "simplenet_nano.digits": Recipe(
        digits.SIMPLENET_NANO, f"A plain column of convolutions for the same: {_SHIPS}."
    ),
    "prototypes_nano.digits": Recipe(
        digits.PROTOTYPES_NANO, f"A network of fifteen prototypes that can be drawn: {_SHIPS}."
    ),
    "tnt_nano.digits": Recipe(
        digits.TNT_NANO, f"Transformer in transformer for the same: {_SHIPS}."
    ),
    "sret_nano.digits": Recipe(
        digits.SRET_NANO, f"A sliced recursive transformer for the same: {_SHIPS}."
    ),
    "resnet8.rendered_digits": Recipe(
        digits.RENDERED, f"A ResNet for printed digits: {_SHIPS}, which `zoo finetune` begins from."
    ),
    "lssl_nano.digits": Recipe(digits.LSSL_NANO, f"Handwritten digits pixel by pixel: {_SHIPS}."),
    "hopfield_mil_nano.digit_bags": Recipe(
        bags.HOPFIELD_MIL, f"Is there a nine among sixteen digits? {_SHIPS.capitalize()}."
    ),
    "hopfield_encoder_nano.digits": Recipe(
        hopfield.ENCODER, "Handwritten digits pixel by pixel, through blocks of associations."
    ),
    "hopfield_lookup_nano.breast_cancer": Recipe(
        hopfield.BREAST_CANCER, "A table of 30 columns, looked up in learned patterns."
    ),
    "hopfield_lookup_nano.wine": Recipe(hopfield.WINE, "The same for a table of 13 columns."),
    **{name: Recipe(config, lssl.ABOUT[name]) for name, config in lssl.RECIPES.items()},
    **{name: recipe for paper in PAPERS for name, recipe in paper.RECIPES.items()},
    "resnet8.transfer": Recipe(
        digits.TRANSFER, "From printed digits to handwriting, with five images of each class."
    ),
}
RECIPES: dict[str, Config] = {name: recipe.config for name, recipe in DESCRIBED.items()}
TRAIN = Config()
FINETUNE = digits.FINETUNE
TRANSFER = digits.TRANSFER
