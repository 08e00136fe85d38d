"""Stochastic depth: in training, whole residual branches are left out at random."""

import flax.linen as nn
import jax
from jaxtyping import Array, Float


class DropPath(nn.Module):
    """Zeroes the branch of each example with probability `rate`; the others make up for it.

    Huang et al. 2016, https://arxiv.org/abs/1603.09382. Draws from the stream "drop_path", only
    in training and only if `rate` is positive.

    ScheduledDropPath (Zoph et al. 2018, https://arxiv.org/abs/1707.07012, appendix A.5) calls it
    with `progress`, the share of training that is over: the probability is then
    `rate * progress`.
    """

    rate: float
    train: bool

    @nn.compact
    def __call__(
        self, x: Float[Array, "b ..."], progress: float | Float[Array, ""] = 1.0
    ) -> Float[Array, "b ..."]:
        if not self.train or self.rate == 0:
            return x
        kept = 1 - self.rate * progress
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        keep = jax.random.bernoulli(self.make_rng("drop_path"), kept, shape)
        return x * (keep / kept).astype(x.dtype)
