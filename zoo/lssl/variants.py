"""The networks of the paper's tables."""

from functools import partial

from zoo.lssl.network import LSSL

# Tables 1, 2, 4 and 11: width H, states N, channels M, blocks, dropout.
lssl_smnist = partial(LSSL, width=128, state_size=128, depth=6, dropout=0.2)

lssl_pmnist = partial(lssl_smnist, permutation_seed=0)

lssl_scifar = partial(LSSL, width=256, state_size=256, depth=4, channels=4, dropout=0.3)

lssl_speech = partial(LSSL, width=256, state_size=128, depth=4, channels=2, dropout=0.2)

lssl_bidmc = partial(LSSL, width=128, state_size=128, depth=6, num_classes=1, dropout=0.1)

# "LSSL-f": A, B and the time steps stay as they begin.
lssl_smnist_f = partial(lssl_smnist, learn="none", learn_dt=False)

lssl_pmnist_f = partial(lssl_pmnist, learn="none", learn_dt=False)

lssl_scifar_f = partial(lssl_scifar, learn="none", learn_dt=False)

lssl_speech_f = partial(lssl_speech, learn="none", learn_dt=False)

lssl_bidmc_f = partial(lssl_bidmc, learn="none", learn_dt=False)

# Small images, pixel by pixel.
lssl_nano = partial(LSSL, width=64, state_size=32, depth=4, dt_range=(1e-2, 0.5))
