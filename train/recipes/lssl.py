"""Gu et al. 2021, LSSL: https://arxiv.org/abs/2110.13985, tables 9 to 11.

Adam without decay of weights; a plateau of the training loss (theirs is of the validation's) leaves
a fifth of the rate. A and B learn at a rate of 1e-4, time steps at 1e-3. Each recipe has its `_f`
form, in which those stay as they begin. Images come from tensorflow-datasets, and any data set of
images may be given instead. `speech_commands` has the paper's ten words, and silence and unknown
words beside them. BIDMC wants a folder of arrays for `--dataset`, see `train.data.arrays`: targets
that are floats are learned by squared error.
"""

import dataclasses

from train.config import Config, OptimizerConfig

ADAM = OptimizerConfig(
    learning_rate=4e-3,
    schedule="plateau",
    rates={"transition": 1e-4, "log_dt": 1e-3},
    warmup=0.0,
    weight_decay=0.0,
    clip_norm=None,
)
SMNIST = Config(
    model="lssl_smnist", dataset="mnist", epochs=200.0, batch_size=50, optimization=ADAM
)
PMNIST = dataclasses.replace(
    SMNIST, model="lssl_pmnist", optimization=dataclasses.replace(ADAM, learning_rate=1e-3)
)
SCIFAR = dataclasses.replace(
    SMNIST,
    model="lssl_scifar",
    dataset="cifar10",
    optimization=dataclasses.replace(ADAM, learning_rate=2e-2),
)
SPEECH = Config(
    model="lssl_speech",
    dataset="speech_commands",
    epochs=50.0,
    batch_size=16,
    optimization=dataclasses.replace(ADAM, learning_rate=1e-2),
)
# Respiratory rate; heart rate and oxygen saturation have a rate of 1e-2.
BIDMC = Config(
    model="lssl_bidmc",
    epochs=500.0,
    batch_size=32,
    optimization=dataclasses.replace(ADAM, schedule="steps"),
)
TRAINED = {str(c.model): c for c in (SMNIST, PMNIST, SCIFAR, SPEECH, BIDMC)}


def fixed(config: Config) -> Config:
    """The recipe of the form whose transition is not trained, and so has no rate either."""
    optimization = dataclasses.replace(config.optimization, rates={})
    return dataclasses.replace(config, model=f"{config.model}_f", optimization=optimization)


RECIPES = TRAINED | {f"{name}_f": fixed(config) for name, config in TRAINED.items()}
ABOUT = {
    "lssl_smnist": "MNIST pixel by pixel.",
    "lssl_pmnist": "MNIST pixel by pixel, in a fixed random order.",
    "lssl_scifar": "CIFAR-10 pixel by pixel.",
    "lssl_speech": "Spoken words from 16,000 samples of raw sound.",
    "lssl_bidmc": "Respiratory rate from a folder of arrays that you give.",
}
ABOUT |= {f"{name}_f": f"{about} A, B and time steps stay." for name, about in ABOUT.items()}
