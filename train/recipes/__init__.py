"""Settings that are known to work, by name: `zoo train --recipe resnet8.digits`."""

from train.config import Config
from train.recipes import bags, digits, hopfield, lssl

RECIPES: dict[str, Config] = {
    "resnet8.digits": digits.RESNET8,
    "resnet20.digits": digits.RESNET20,
    "inception_nano.digits": digits.INCEPTION_NANO,
    "nasnet_nano.digits": digits.NASNET_NANO,
    "tnt_nano.digits": digits.TNT_NANO,
    "sret_nano.digits": digits.SRET_NANO,
    "resnet8.rendered_digits": digits.RENDERED,
    "lssl_nano.digits": digits.LSSL_NANO,
    "hopfield_mil_nano.digit_bags": bags.HOPFIELD_MIL,
    "hopfield_encoder_nano.digits": hopfield.ENCODER,
    "hopfield_lookup_nano.breast_cancer": hopfield.BREAST_CANCER,
    "hopfield_lookup_nano.wine": hopfield.WINE,
    **lssl.RECIPES,
    "resnet8.transfer": digits.TRANSFER,
}
TRAIN = Config()
FINETUNE = digits.FINETUNE
TRANSFER = digits.TRANSFER
