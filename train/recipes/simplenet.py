"""Hasanpour et al. 2016, SimpleNet on CIFAR-10: https://arxiv.org/abs/1608.06037, table 2.

`zoo train --recipe simplenet_cifar_5m.cifar10`, with the rule and the lengths of the authors' code
(Coderx7/SimpleNet_Pytorch, Cifar): Adadelta, whose rate falls tenfold five times in 540 epochs.

Left open: their code decays norms and biases too, ours kernels only; batches are of 64 by default
there and of 100 in the command of its page.
"""

from train.config import Config, OptimizerConfig
from train.recipes.imagenet import CIFAR, FLIP, PADDED
from train.recipes.recipe import Recipe

CIFAR10 = Config(
    model="simplenet_cifar_5m",
    dataset="cifar10",
    preprocess=CIFAR,
    epochs=540.0,
    batch_size=64,
    optimization=OptimizerConfig(
        optimizer="adadelta:rho=0.9,eps=0.001",
        learning_rate=0.1,
        schedule='steps:at=["100epochs","190epochs","306epochs","390epochs","440epochs"],factor=0.1',
        warmup=0.0,
        weight_decay=1e-3,
        clip_norm=None,
    ),
    augment=(PADDED, FLIP),
)
RECIPES = {
    "simplenet_cifar_5m.cifar10": Recipe(
        CIFAR10,
        "SimpleNet of 5.5 million parameters on CIFAR-10.",
        "Hasanpour et al. 2016, 1608.06037, and the authors' code",
        "1 GPU",
        0.9551,
        "CIFAR-10 test",
    )
}
