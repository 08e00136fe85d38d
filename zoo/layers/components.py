r"""Classification by components: a class is what should be there and what should not.

Components are detected with \(d_k \in [0, 1]\); a class has for each the share of its reasoning
that asks for it, \(r^+_k\), and the share that asks for its absence, \(r^-_k\), all of which sum to
one:

.. math:: p_c = \sum_k d_k\, r^+_{kc} + (1 - d_k)\, r^-_{kc}

Saralajew et al. 2019, "Classification-by-Components", https://papers.nips.cc/paper/8546, in the
form of Saralajew et al. 2024, https://arxiv.org/abs/2412.15499, equation 4, without indefinite
reasoning.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from zoo.errors import UsageError


class Reasoning(nn.Module):
    """Probabilities of classes from detections of components.

    Attributes:
        num_classes: how many there are.
    """

    num_classes: int

    @nn.compact
    def shares(self, components: int) -> Float[Array, "2 k c"]:
        """What each class asks for, and what it asks not to be there; each class sums to 1."""
        shape = (2 * components, self.num_classes)
        logits = self.param("reasoning", nn.initializers.normal(1.0), shape, jnp.float32)
        return jax.nn.softmax(logits, axis=0).reshape(2, components, self.num_classes)

    def reasons(self, detections: Float[Array, "b k"]) -> Float[Array, "b 2 k c"]:
        """What the presence and the absence of each component add to each class's probability."""
        present = jnp.stack([detections, 1 - detections], axis=1)
        return present[..., None] * self.shares(detections.shape[-1])[None]

    def __call__(self, detections: Float[Array, "b k"]) -> Float[Array, "b c"]:
        """Probability of each class: the sum of its reasons. They need not sum to one."""
        wanted, unwanted = self.shares(detections.shape[-1])
        return detections @ wanted + (1 - detections) @ unwanted


class ComponentClassifier(nn.Module):
    r"""Components are points: \(d_k = \exp(-|x - w_k|^2 / (\sigma^2 n))\) of n numbers.

    Attributes:
        components: number of points.
        num_classes: how many there are.
        sigma: width of a detection, a root mean square distance in units of the inputs.
    """

    components: int
    num_classes: int
    sigma: float = 0.3

    def setup(self) -> None:
        if not self.sigma > 0:
            raise UsageError(f"`sigma` must be positive, got {self.sigma}")
        self.reasoning = Reasoning(self.num_classes)

    def __call__(self, inputs: Float[Array, "b ..."], *, train: bool) -> Float[Array, "b c"]:
        """Probabilities of classes."""
        del train
        return self.reasoning(self.detections(inputs))

    @nn.compact
    def detections(self, inputs: Float[Array, "b ..."]) -> Float[Array, "b k"]:
        """How much of each component there is."""
        x = inputs.reshape(len(inputs), -1)
        shape = (self.components, x.shape[-1])
        points = self.param("components", nn.initializers.uniform(1.0), shape, jnp.float32)
        distance = jnp.square(x[:, None] - points[None]).mean(axis=-1)
        return jnp.exp(-distance / self.sigma**2)

    def reasons(self, inputs: Float[Array, "b ..."]) -> Float[Array, "b 2 k c"]:
        """What the presence and the absence of each component add to each class's probability."""
        return self.reasoning.reasons(self.detections(inputs))
