"""One row per architecture: how it is built, its exact size, its input, its paper."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn

from zoo import (
    deepmad,
    efficientnet,
    hopfield,
    inception,
    lnlstm,
    lssl,
    nasnet,
    prototypenet,
    resnet,
    resnetv2,
    simplenet,
    sret,
    tnt,
)


class Row(NamedTuple):
    """A row of the catalogue.

    Attributes:
        build: constructor of the Linen module; keyword arguments override its fields.
        parameters: exact number of trainable parameters with the default head; as the reference's
            own constructor has it where there is one (`python -m scripts.counts`).
        example: shape of one input, without the batch, that `parameters` and `gmacs` refer to; a
            number is the side of a square RGB image, in pixels.
        gmacs: 10⁹ multiply-adds of convolutions and matrix products for one input, as published,
            else counted. Products of queries, keys and values are in the figures of TNT and SReT
            (the other image families have none, but for the maps of channel attention, which are
            in too); those for group norm and standardised weights count these as well. LSSL's
            are counted with the making of the kernels, once a batch, without Fourier transforms
            and solves.
        paper: arXiv number.
        reads: "image", or "series" for networks of any series, to which an image is one of pixels.
        tolerance: up to which share of the largest output two computations in float32, on any
            device, count as equal.
    """

    build: Callable[..., Any]
    parameters: int
    example: int | tuple[int, ...]
    gmacs: float
    paper: str
    reads: str = "image"
    tolerance: float = 1e-5

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input: (height, width, channels), or (length, channels) of a sequence."""
        return (self.example, self.example, 3) if isinstance(self.example, int) else self.example


_Series = partial(Row, reads="series")
_LongSeries = partial(_Series, tolerance=1e-4)  # long sums in float32

# fmt: off
_EFFICIENTNETS = {
    "efficientnet_b0": Row(efficientnet.efficientnet_b0, 5_288_548, 224, 0.3858, "1905.11946"),
    "efficientnet_b1": Row(efficientnet.efficientnet_b1, 7_794_184, 240, 0.6868, "1905.11946"),
    "efficientnet_b2": Row(efficientnet.efficientnet_b2, 9_109_994, 260, 0.9936, "1905.11946"),
    "efficientnet_b3": Row(efficientnet.efficientnet_b3, 12_233_232, 300, 1.827, "1905.11946"),
    "efficientnet_b4": Row(efficientnet.efficientnet_b4, 19_341_616, 380, 4.394, "1905.11946"),
    "efficientnet_b5": Row(efficientnet.efficientnet_b5, 30_389_784, 456, 10.27, "1905.11946"),
    "efficientnet_b6": Row(efficientnet.efficientnet_b6, 43_040_704, 528, 19.07, "1905.11946"),
    "efficientnet_b7": Row(efficientnet.efficientnet_b7, 66_347_960, 600, 37.75, "1905.11946"),
    "efficientnet_lite0": Row(
        efficientnet.efficientnet_lite0, 4_652_008, 224, 0.3852, "1905.11946"),
    "efficientnet_lite1": Row(
        efficientnet.efficientnet_lite1, 5_416_680, 240, 0.6002, "1905.11946"),
    "efficientnet_lite2": Row(
        efficientnet.efficientnet_lite2, 6_092_072, 260, 0.8597, "1905.11946"),
    "efficientnet_lite3": Row(efficientnet.efficientnet_lite3, 8_197_096, 280, 1.383, "1905.11946"),
    "efficientnet_lite4": Row(
        efficientnet.efficientnet_lite4, 13_006_568, 300, 2.553, "1905.11946"),
}

CATALOGUE: dict[str, Row] = {
    # He et al. 2015, table 1
    "resnet18": Row(resnet.resnet18, 11_689_512, 224, 1.82, "1512.03385"),
    "resnet26": Row(resnet.resnet26, 15_995_176, 224, 2.36, "1512.03385"),
    "resnet34": Row(resnet.resnet34, 21_797_672, 224, 3.67, "1512.03385"),
    "resnet50": Row(resnet.resnet50, 25_557_032, 224, 4.11, "1512.03385"),
    "resnet101": Row(resnet.resnet101, 44_549_160, 224, 7.83, "1512.03385"),
    "resnet152": Row(resnet.resnet152, 60_192_808, 224, 11.56, "1512.03385"),
    # He et al. 2018, figure 2, and the s and t forms
    "resnet10t": Row(resnet.resnet10t, 5_435_488, 224, 1.1, "1812.01187"),
    "resnet14t": Row(resnet.resnet14t, 10_081_632, 224, 1.69, "1812.01187"),
    "resnet18d": Row(resnet.resnet18d, 11_708_744, 224, 2.06, "1812.01187"),
    "resnet26d": Row(resnet.resnet26d, 16_014_408, 224, 2.6, "1812.01187"),
    "resnet26t": Row(resnet.resnet26t, 16_011_872, 256, 3.35, "1812.01187"),
    "resnet34d": Row(resnet.resnet34d, 21_816_904, 224, 3.91, "1812.01187"),
    "resnet50c": Row(resnet.resnet50c, 25_576_264, 224, 4.35, "1812.01187"),
    "resnet50d": Row(resnet.resnet50d, 25_576_264, 224, 4.35, "1812.01187"),
    "resnet50s": Row(resnet.resnet50s, 25_680_808, 224, 5.47, "1812.01187"),
    "resnet101d": Row(resnet.resnet101d, 44_568_392, 224, 8.08, "1812.01187"),
    "resnet152d": Row(resnet.resnet152d, 60_212_040, 224, 11.8, "1812.01187"),
    "resnet200d": Row(resnet.resnet200d, 64_693_064, 256, 20.0, "1812.01187"),
    # Wu & He 2018
    "resnet50_gn": Row(resnet.resnet50_gn, 25_557_032, 224, 4.14, "1803.08494"),
    # Xie et al. 2016, table 1
    "resnext50_32x4d": Row(resnet.resnext50_32x4d, 25_028_904, 224, 4.26, "1611.05431"),
    "resnext50d_32x4d": Row(resnet.resnext50d_32x4d, 25_048_136, 224, 4.5, "1611.05431"),
    "resnext101_32x4d": Row(resnet.resnext101_32x4d, 44_177_704, 224, 8.01, "1611.05431"),
    "resnext101_32x8d": Row(resnet.resnext101_32x8d, 88_791_336, 224, 16.48, "1611.05431"),
    "resnext101_64x4d": Row(resnet.resnext101_64x4d, 83_455_272, 224, 15.52, "1611.05431"),
    # Zagoruyko & Komodakis 2016, table 8
    "wide_resnet50_2": Row(resnet.wide_resnet50_2, 68_883_240, 224, 11.43, "1605.07146"),
    "wide_resnet101_2": Row(resnet.wide_resnet101_2, 126_886_696, 224, 22.8, "1605.07146"),
    # Hu et al. 2017, table 1
    "seresnet50": Row(resnet.seresnet50, 28_088_024, 224, 4.11, "1709.01507"),
    "seresnet152d": Row(resnet.seresnet152d, 66_841_080, 256, 15.42, "1709.01507"),
    "seresnext50_32x4d": Row(resnet.seresnext50_32x4d, 27_559_896, 224, 4.26, "1709.01507"),
    # Wang et al. 2019
    "ecaresnet26t": Row(resnet.ecaresnet26t, 16_011_916, 256, 3.35, "1910.03151"),
    "ecaresnet50d": Row(resnet.ecaresnet50d, 25_576_350, 224, 4.35, "1910.03151"),
    "ecaresnet50t": Row(resnet.ecaresnet50t, 25_573_814, 224, 4.32, "1910.03151"),
    "ecaresnet101d": Row(resnet.ecaresnet101d, 44_568_563, 224, 8.08, "1910.03151"),
    "ecaresnet269d": Row(resnet.ecaresnet269d, 102_093_077, 320, 41.53, "1910.03151"),
    # Bello et al. 2021, table 7
    "resnetrs50": Row(resnet.resnetrs50, 35_691_912, 224, 4.48, "2103.07579"),
    "resnetrs101": Row(resnet.resnetrs101, 63_618_696, 192, 6.04, "2103.07579"),
    "resnetrs152": Row(resnet.resnetrs152, 86_621_576, 256, 15.59, "2103.07579"),
    "resnetrs200": Row(resnet.resnetrs200, 93_209_992, 256, 20.18, "2103.07579"),
    # He et al. 2015, section 4.2 (table 6)
    "resnet8": Row(resnet.resnet8, 75_290, 32, 0.0122, "1512.03385"),
    "resnet20": Row(resnet.resnet20, 269_722, 32, 0.0406, "1512.03385"),
    "resnet32": Row(resnet.resnet32, 464_154, 32, 0.0689, "1512.03385"),
    "resnet44": Row(resnet.resnet44, 658_586, 32, 0.0972, "1512.03385"),
    "resnet56": Row(resnet.resnet56, 853_018, 32, 0.1255, "1512.03385"),
    "resnet110": Row(resnet.resnet110, 1_727_962, 32, 0.2529, "1512.03385"),
    # He et al. 2016
    "resnetv2_18": Row(resnetv2.resnetv2_18, 11_687_720, 224, 1.82, "1603.05027"),
    "resnetv2_18d": Row(resnetv2.resnetv2_18d, 11_706_952, 224, 2.06, "1603.05027"),
    "resnetv2_34": Row(resnetv2.resnetv2_34, 21_795_880, 224, 3.67, "1603.05027"),
    "resnetv2_34d": Row(resnetv2.resnetv2_34d, 21_815_112, 224, 3.91, "1603.05027"),
    "resnetv2_50": Row(resnetv2.resnetv2_50, 25_549_352, 224, 4.11, "1603.05027"),
    "resnetv2_50d_gn": Row(resnetv2.resnetv2_50d_gn, 25_568_584, 224, 4.38, "1603.05027"),
    "resnetv2_101": Row(resnetv2.resnetv2_101, 44_541_480, 224, 7.83, "1603.05027"),
    # Kolesnikov et al. 2019, section 3
    "resnetv2_50x1_bit": Row(resnetv2.resnetv2_50x1_bit, 25_549_352, 224, 4.23, "1912.11370"),
    "resnetv2_101x1_bit": Row(resnetv2.resnetv2_101x1_bit, 44_541_480, 224, 8.04, "1912.11370"),
    "resnetv2_152x2_bit": Row(resnetv2.resnetv2_152x2_bit, 236_335_208, 224, 46.95, "1912.11370"),
    # Szegedy et al. 2014, table 1
    "googlenet": Row(inception.googlenet, 6_624_904, 224, 1.498, "1409.4842"),
    # Szegedy et al. 2015, table 1
    "inception_v3": Row(inception.inception_v3, 23_834_568, 299, 5.73, "1512.00567"),
    "inception_v3_keras": Row(inception.inception_v3_keras, 23_817_352, 299, 5.73, "1512.00567"),
    # Szegedy et al. 2016, figures 3 to 18
    "inception_v4": Row(inception.inception_v4, 42_679_816, 299, 12.28, "1602.07261"),
    "inception_resnet_v1": Row(inception.inception_resnet_v1, 22_756_328, 299, 6.21, "1602.07261"),
    "inception_resnet_v2": Row(inception.inception_resnet_v2, 55_843_464, 299, 13.18, "1602.07261"),
    "inception_resnet_v2_keras": Row(
        inception.inception_resnet_v2_keras, 55_813_192, 299, 13.18, "1602.07261"),
    # GoogLeNet's blocks for small images
    "inception_nano": Row(inception.inception_nano, 152_746, 32, 0.0396, "1409.4842"),
    # Zoph et al. 2018, tables 1 and 2
    "nasnetalarge": Row(nasnet.nasnetalarge, 88_753_150, 331, 23.89, "1707.07012"),
    "nasnetalarge_keras": Row(nasnet.nasnetalarge_keras, 88_753_150, 331, 23.8, "1707.07012"),
    "nasnetamobile": Row(nasnet.nasnetamobile, 5_289_978, 224, 0.564, "1707.07012"),
    "nasneta_6_768": Row(nasnet.nasneta_6_768, 3_346_538, 32, 0.544, "1707.07012"),
    "nasneta_7_2304": Row(nasnet.nasneta_7_2304, 32_590_954, 32, 5.15, "1707.07012"),
    # Liu et al. 2018, table 5
    "pnasnet5large": Row(nasnet.pnasnet5large, 86_057_668, 331, 25.04, "1712.00559"),
    # NASNet's cells for small images
    "nasnet_nano": Row(nasnet.nasnet_nano, 137_734, 32, 0.0235, "1707.07012"),
    # Tan & Le 2019, table 2, and the Lite forms, padded on both sides alike or as TensorFlow does
    **_EFFICIENTNETS,
    **{f"tf_{name}": row._replace(build=getattr(efficientnet, f"tf_{name}"))
       for name, row in _EFFICIENTNETS.items()},
    # Hasanpour et al. 2016, and the authors' code: github.com/Coderx7/SimpleNet_Pytorch
    "simplenetv1_small_m1_05": Row(
        simplenet.simplenetv1_small_m1_05, 1_506_792, 224, 0.341, "1608.06037"),
    "simplenetv1_small_m2_05": Row(
        simplenet.simplenetv1_small_m2_05, 1_506_792, 224, 0.428, "1608.06037"),
    "simplenetv1_small_m1_075": Row(
        simplenet.simplenetv1_small_m1_075, 3_287_272, 224, 0.759, "1608.06037"),
    "simplenetv1_small_m2_075": Row(
        simplenet.simplenetv1_small_m2_075, 3_287_272, 224, 0.954, "1608.06037"),
    "simplenetv1_5m_m1": Row(simplenet.simplenetv1_5m_m1, 5_752_808, 224, 1.342, "1608.06037"),
    "simplenetv1_5m_m2": Row(simplenet.simplenetv1_5m_m2, 5_752_808, 224, 1.689, "1608.06037"),
    "simplenetv1_9m_m1": Row(simplenet.simplenetv1_9m_m1, 9_508_968, 224, 2.774, "1608.06037"),
    "simplenetv1_9m_m2": Row(simplenet.simplenetv1_9m_m2, 9_508_968, 224, 3.555, "1608.06037"),
    "simplenet_cifar_310k": Row(simplenet.simplenet_cifar_310k, 312_362, 32, 0.056, "1608.06037"),
    "simplenet_cifar_460k": Row(simplenet.simplenet_cifar_460k, 385_790, 32, 0.073, "1608.06037"),
    "simplenet_cifar_5m": Row(simplenet.simplenet_cifar_5m, 5_498_378, 32, 0.652, "1608.06037"),
    "simplenet_cifar_5m_extra_pool": Row(
        simplenet.simplenet_cifar_5m_extra_pool, 5_498_378, 32, 0.632, "1608.06037"),
    "simplenet_nano": Row(simplenet.simplenet_nano, 87_882, 32, 0.0236, "1608.06037"),
    # Shen et al. 2023, tables 1 and 2, in the structures that the authors published
    "deepmad_r18": Row(deepmad.deepmad_r18, 11_826_088, 224, 1.812, "2303.02165"),
    "deepmad_r34": Row(deepmad.deepmad_r34, 21_690_160, 224, 3.635, "2303.02165"),
    "deepmad_r50": Row(deepmad.deepmad_r50, 25_441_144, 224, 4.043, "2303.02165"),
    "deepmad_29m_224": Row(deepmad.deepmad_29m_224, 28_669_956, 224, 4.324, "2303.02165"),
    "deepmad_29m_288": Row(deepmad.deepmad_29m_288, 28_703_630, 288, 4.322, "2303.02165"),
    "deepmad_50m": Row(deepmad.deepmad_50m, 49_408_964, 224, 8.45, "2303.02165"),
    "deepmad_89m": Row(deepmad.deepmad_89m, 88_325_780, 224, 15.03, "2303.02165"),
    # Li et al. 2018, section 4.1
    "prototypes_mnist": Row(
        prototypenet.prototypes_mnist, 44_153, (28, 28, 1), 0.000667, "1710.04806"),
    "prototypes_nano": Row(prototypenet.prototypes_nano, 7_161, (8, 8, 1), 0.0000163, "1710.04806"),
    # Han et al. 2021, table 1
    "tnt_ti_patch16_224": Row(tnt.tnt_ti_patch16_224, 6_076_408, 224, 1.4, "2103.00112"),
    "tnt_s_patch16_224": Row(tnt.tnt_s_patch16_224, 23_768_584, 224, 5.25, "2103.00112"),
    "tnt_s_legacy_patch16_224": Row(
        tnt.tnt_s_legacy_patch16_224, 23_755_336, 224, 5.24, "2103.00112"),
    "tnt_b_patch16_224": Row(tnt.tnt_b_patch16_224, 65_428_680, 224, 14.1, "2103.00112"),
    # TNT's and SReT's blocks for small images
    "tnt_nano": Row(tnt.tnt_nano, 234_858, 32, 0.0288, "2103.00112"),
    "sret_nano": Row(sret.sret_nano, 88_578, 32, 0.0542, "2111.05297"),
    # Shen et al. 2022, and the authors' table: github.com/szq0214/SReT
    "sret_t": Row(sret.sret_t, 4_755_979, 224, 1.1, "2111.05297"),
    "sret_lt": Row(sret.sret_lt, 4_988_024, 224, 1.2, "2111.05297"),
    "sret_lt_16_14_1": Row(sret.sret_lt_16_14_1, 4_988_024, 224, 1.2, "2111.05297"),
    "sret_s": Row(sret.sret_s, 20_899_692, 224, 4.2, "2111.05297"),
    "sret_t_wo_slice": Row(sret.sret_t_wo_slice, 4_755_979, 224, 1.4, "2111.05297"),
    "sret_lt_wo_slice": Row(sret.sret_lt_wo_slice, 4_988_024, 224, 1.4, "2111.05297"),
    "sret_s_wo_slice": Row(sret.sret_s_wo_slice, 20_899_692, 224, 4.7, "2111.05297"),
    "sret_t_distill": Row(sret.sret_t_distill, 4_755_979, 224, 1.1, "2111.05297"),
    "sret_lt_distill": Row(sret.sret_lt_distill, 4_988_024, 224, 1.2, "2111.05297"),
    "sret_s_distill": Row(sret.sret_s_distill, 20_899_692, 224, 4.2, "2111.05297"),
    "sret_t_wo_slice_distill": Row(
        sret.sret_t_wo_slice_distill, 4_755_979, 224, 1.4, "2111.05297"),
    "sret_lt_wo_slice_distill": Row(
        sret.sret_lt_wo_slice_distill, 4_988_024, 224, 1.4, "2111.05297"),
    "sret_s_wo_slice_distill": Row(
        sret.sret_s_wo_slice_distill, 20_899_692, 224, 4.7, "2111.05297"),
    "sret_t_wo_slice_finetune_384": Row(
        sret.sret_t_wo_slice_finetune_384, 4_853_259, 384, 6.4, "2111.05297"),
    "sret_s_wo_slice_finetune_384": Row(
        sret.sret_s_wo_slice_finetune_384, 21_091_212, 384, 18.5, "2111.05297"),
    "sret_s_wo_slice_finetune_512": Row(
        sret.sret_s_wo_slice_finetune_512, 21_317_004, 512, 42.8, "2111.05297"),
    # Gu et al. 2021, tables 1, 2 and 4; "f": A, B and the time steps stay as they begin
    "lssl_smnist": _LongSeries(lssl.lssl_smnist, 207_638, (28, 28, 1), 17.06, "2110.13985"),
    "lssl_pmnist": _LongSeries(lssl.lssl_pmnist, 207_638, (28, 28, 1), 17.06, "2110.13985"),
    "lssl_scifar": _LongSeries(lssl.lssl_scifar, 2_116_626, (32, 32, 3), 184.3, "2110.13985"),
    "lssl_speech": _LongSeries(lssl.lssl_speech, 799_762, (16000, 1), 49.14, "2110.13985"),
    "lssl_bidmc": _LongSeries(lssl.lssl_bidmc, 206_605, (4000, 2), 21.71, "2110.13985"),
    "lssl_smnist_f": _LongSeries(lssl.lssl_smnist_f, 201_482, (28, 28, 1), 17.06, "2110.13985"),
    "lssl_pmnist_f": _LongSeries(lssl.lssl_pmnist_f, 201_482, (28, 28, 1), 17.06, "2110.13985"),
    "lssl_scifar_f": _LongSeries(lssl.lssl_scifar_f, 2_108_426, (32, 32, 3), 184.3, "2110.13985"),
    "lssl_speech_f": _LongSeries(lssl.lssl_speech_f, 795_146, (16000, 1), 49.14, "2110.13985"),
    "lssl_bidmc_f": _LongSeries(lssl.lssl_bidmc_f, 200_449, (4000, 2), 21.71, "2110.13985"),
    "lssl_nano": _LongSeries(lssl.lssl_nano, 27_666, (8, 8, 1), 0.0556, "2110.13985"),
    # Ba et al. 2016, for small images
    "lnlstm_nano": _Series(lnlstm.lnlstm_nano, 34_698, (8, 8, 1), 0.0021, "1607.06450"),
    # Ramsauer et al. 2020, appendices A.2 and A.3, and forms for small images
    "hopfield_mil": _Series(hopfield.hopfield_mil, 179_202, (32, 230), 0.00365, "2008.02217"),
    "hopfield_mil_nano": _Series(
        hopfield.hopfield_mil_nano, 10_754, (32, 32, 1), 0.000134, "2008.02217"),
    "hopfield_lookup_nano": _Series(
        hopfield.hopfield_lookup_nano, 20_162, (30,), 0.000143, "2008.02217"),
    "hopfield_encoder_nano": _Series(
        hopfield.hopfield_encoder_nano, 24_362, (8, 8, 1), 0.00171, "2008.02217"),
}
# fmt: on


def family_of(model: nn.Module) -> str:
    """The module or package of `zoo` that a model's class is from; of another class, its package.

    >>> family_of(resnet.resnet18())
    'resnet'
    """
    module = type(model).__module__.removeprefix("zoo.").removeprefix("layers.")
    return module.partition(".")[0]
