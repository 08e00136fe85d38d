r"""Training and reading of a network whose memory is its training set.

The target is one more attribute, the last, masked in every row that is asked about and visible in
the memory. Training predicts the target and all other attributes of every row, of which some are
masked and some replaced by those of other rows; a row never sees itself in the memory:

.. math:: L = \gamma L_{\mathrm{features}} + (1 - \gamma) L_{\mathrm{target}}, \qquad
    \gamma \text{ falls from 1 to 0 along a cosine}

with cross entropies and squared errors averaged over attributes. A row of weight w counts as w
rows, in the losses and in what a lookup finds.

Schäfl et al. 2022, https://arxiv.org/abs/2206.00664, sections 3 and 4.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Key

from train.tabular.encoding import Table, hide, layout
from zoo.hopular import Hopular


class Settings(NamedTuple):
    """How a network is trained; see `HopularClassifier`."""

    learning_rate: float
    weight_decay: float
    average: float
    mask_probability: float
    replace_probability: float


def corrupt(
    table: Table,
    rows: Array | int,
    key: Key[Array, ""],
    sizes: Sequence[int],
    settings: Settings,
) -> Float[Array, "n columns"]:
    """Rows with the target, which is last, masked, and some others masked or replaced.

    A replacement is the attribute of a row drawn among the first `rows`.
    """
    draw, pick = jax.random.split(key)
    chance = jax.random.uniform(draw, table.known.shape)
    source = jax.random.randint(pick, table.known.shape, 0, rows)
    most = settings.mask_probability + settings.replace_probability
    owner, _ = layout(sizes)
    others = table.rows[source[:, owner], jnp.arange(len(owner))[None]]
    swapped = (chance >= settings.mask_probability) & (chance < most) & table.known
    noisy = jnp.where(swapped[:, owner], others, table.rows)
    masked = (chance < settings.mask_probability) & table.known
    return hide(Table(noisy, table.known), masked.at[:, -1].set(True), sizes)


def losses(
    outputs: Float[Array, "n out"],
    table: Table,
    sizes: Sequence[int],
    discrete: Sequence[int],
    weights: Float[Array, " n"] | None = None,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean loss of the attributes that are there: of all features, and of the target."""
    shares = jnp.asarray(table.known, jnp.float32)
    if weights is not None:
        shares = shares * weights[:, None]
    each = jnp.zeros(len(sizes))
    for attributes in alike(sizes, discrete):
        loss = loss_of(outputs, table.rows, attributes, sizes, discrete)
        each = each.at[attributes].set((loss * shares[:, attributes]).sum(axis=0))
    counts = shares.sum(axis=0)
    each = each / jnp.where(counts > 0, counts, 1)
    features = each[:-1].sum() / jnp.maximum((counts[:-1] > 0).sum(), 1)
    return features, each[-1]


def alike(sizes: Sequence[int], discrete: Sequence[int]) -> list[Int[np.ndarray, " a"]]:
    """Attributes of the same kind and size together."""
    kinds = np.column_stack([np.isin(np.arange(len(sizes)), discrete), sizes])
    return [np.flatnonzero((kinds == one).all(axis=1)) for one in np.unique(kinds, axis=0)]


def loss_of(
    outputs: Float[Array, "n out"],
    rows: Float[Array, "n columns"],
    attributes: Int[np.ndarray, " a"],
    sizes: Sequence[int],
    discrete: Sequence[int],
) -> Float[Array, "n a"]:
    """Cross entropy or squared error of attributes that are alike."""
    starts = np.cumsum([0, *sizes[:-1]])[attributes, None]
    place = np.arange(sizes[attributes[0]])[None]
    found = outputs[:, starts + place]
    truth = rows[:, starts + attributes[:, None] + place]  # past a mask bit for each before
    if attributes[0] in discrete:
        return -(truth * jax.nn.log_softmax(found)).sum(axis=-1)
    return jnp.square(found - truth)[..., 0]


def make_optimizer(settings: Settings, steps: Array | int) -> optax.GradientTransformation:
    """LAMB with clipped gradients; the rate rises over a twentieth of the steps, then falls."""

    def rate(count: Any) -> Any:
        progress = count / steps
        rise = jnp.minimum(progress * 20, 1)
        return settings.learning_rate * rise * 0.5 * (1 + jnp.cos(jnp.pi * progress))

    lamb = optax.lamb(rate, b1=0.9, b2=0.999, eps=1e-6, weight_decay=settings.weight_decay)
    return optax.chain(optax.clip_by_global_norm(1.0), lamb)


@partial(jax.jit, static_argnames="model")
def initial_parameters(key: Key[Array, ""], row: Array, *, model: Hopular) -> Any:
    """Fresh parameters."""
    return model.init(key, row, row, train=False)["params"]


@partial(jax.jit, static_argnames=("model", "settings"))
def train_network(
    params: Any,
    table: Table,
    rows: Array,
    key: Key[Array, ""],
    steps: Array,
    weights: Float[Array, " n"] | None = None,
    *,
    model: Hopular,
    settings: Settings,
) -> Any:
    """Averaged parameters after `steps` updates on the whole table.

    Args:
        params: initial parameters.
        table: the training set, with rows of nothing after the first `rows`.
        rows: how many rows are real.
        key: of noise and dropout.
        steps: updates.
        weights: as how many rows each row counts; None if as one.
        model: the network.
        settings: how it is trained.
    """
    optimizer = make_optimizer(settings, steps)
    index = jnp.arange(len(table.rows))

    def mask(asked: Int[Array, " n"]) -> Array:
        """Nobody sees itself, nor rows of nothing."""
        forbidden = (asked[:, None] == index[None]) | (index >= rows)[None]
        return forbidden if weights is None else weighted(forbidden, weights)

    def objective(params: Any, key: Key[Array, ""], share: Array) -> Array:
        noise, dropout = jax.random.split(key)
        noisy = corrupt(table, rows, noise, model.sizes, settings)
        outputs: Any = model.apply(
            {"params": params}, noisy, table.rows, mask=mask, train=True, rngs={"dropout": dropout}
        )
        features, target = losses(outputs, table, model.sizes, model.discrete, weights)
        return share * features + (1 - share) * target

    def update(step: Array, state: Any) -> Any:
        params, opt_state, average = state
        share = 0.5 * (1 + jnp.cos(jnp.pi * step / steps))
        gradients = jax.grad(objective)(params, jax.random.fold_in(key, step), share)
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        params = optax.apply_updates(params, updates)
        decay = jnp.minimum(settings.average, (1 + step) / (10 + step))
        return params, opt_state, optax.incremental_update(params, average, 1 - decay)

    state = (params, optimizer.init(params), params)
    return jax.lax.fori_loop(0, steps, update, state)[2]


def weighted(forbidden: Bool[Array, "n m"], weights: Float[Array, " m"]) -> Float[Array, "n m"]:
    """What is added to scores, so that a row of weight w is found like w rows."""
    return jnp.where(forbidden, -jnp.inf, jnp.log(weights)[None])


@partial(jax.jit, static_argnames="model")
def embed_memory(params: Any, table: Table, *, model: Hopular) -> Any:
    """What every block looks up: the memory, embedded once."""
    return model.apply({"params": params}, table.rows, method="remember")


@partial(jax.jit, static_argnames="model")
def predict_target(
    params: Any,
    memory: Any,
    rows: Array,
    queries: Table,
    weights: Float[Array, " m"] | None = None,
    *,
    model: Hopular,
) -> Float[Array, "n k"]:
    """Logits or value of the last attribute of queries, in which it is masked.

    Args:
        params: of the network.
        memory: what its blocks look up.
        rows: how many rows of the memory are real.
        queries: what is asked about.
        weights: as how many rows those of the memory count.
        model: the network.
    """
    size = memory[0].keys.shape[1]
    hidden = jnp.zeros(queries.known.shape, bool).at[:, -1].set(True)
    mask = jnp.broadcast_to((jnp.arange(size) >= rows)[None], (len(queries.rows), size))
    outputs: Any = model.apply(
        {"params": params},
        hide(queries, hidden, model.sizes),
        memory,
        mask=mask if weights is None else weighted(mask, weights),
        method="recall",
    )
    return outputs[:, -model.sizes[-1] :]
