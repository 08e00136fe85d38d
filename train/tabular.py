r"""Hopular as scikit-learn estimators for small tables: `HopularClassifier`, `HopularRegressor`.

Schäfl et al. 2022, https://arxiv.org/abs/2206.00664, sections 3 and 4. The target is one more
attribute, masked in every row that is asked about and visible in the memory, which is the training
set. Training predicts the target and all other attributes of every row, of which some are masked
and some replaced by those of other rows; a row never sees itself in the memory:

.. math:: L = \gamma L_{\mathrm{features}} + (1 - \gamma) L_{\mathrm{target}}, \qquad
    \gamma \text{ falls from 1 to 0 along a cosine}

with cross entropies and squared errors averaged over attributes. LAMB with clipped gradients, and
an average of the parameters that is what predicts, as published; the published length is 10,000
epochs of the full batch, of which `epochs` is what the default asks for.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Key
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from zoo.errors import UsageError
from zoo.hopular import Hopular, columns

ROWS = 32  # tables are filled up to a multiple of this, so that one program serves many sizes
QUERIES = 64  # rows predicted at a time, always: a row's result does not depend on its company


class Settings(NamedTuple):
    """How a network is trained; see `HopularClassifier`."""

    learning_rate: float
    weight_decay: float
    average: float
    mask_probability: float
    replace_probability: float


class Table(NamedTuple):
    """Encoded rows: for each attribute its values and a mask bit.

    Attributes:
        rows: as `zoo.hopular` wants them, nothing masked; missing values are zeros.
        known: which attributes are there.
    """

    rows: Any  # float (n, columns), of NumPy or JAX
    known: Any  # bool (n, d)


def encode(
    values: Float[np.ndarray, "n d"], sizes: Sequence[int], discrete: Sequence[int]
) -> Table:
    """Rows of standardised numbers and class indices as a table; NaN is missing."""
    known = ~np.isnan(values)
    parts = []
    for j, size in enumerate(sizes):
        column = np.where(known[:, j], values[:, j], 0)
        part = np.zeros((len(values), size + 1), np.float32)
        if j in discrete:
            part[np.arange(len(values)), column.astype(int)] = known[:, j]
        else:
            part[:, 0] = column
        parts.append(part)
    return Table(np.concatenate(parts, axis=1), known)


def fill_up(table: Table, rows: int) -> Table:
    """The table with rows of nothing at its end."""
    return Table(*(np.pad(x, ((0, rows - len(x)), (0, 0))) for x in table))


def layout(sizes: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The attribute of every column, and which columns are mask bits."""
    owner = np.repeat(np.arange(len(sizes)), np.add(sizes, 1))
    return owner, np.append(owner[1:] != owner[:-1], True)


def hide(
    table: Table, hidden: Bool[Array, "n d"], sizes: Sequence[int]
) -> Float[Array, "n columns"]:
    """Rows in which some attributes are masked: their values are zeros, their mask bits 1."""
    owner, bit = layout(sizes)
    return jnp.where(hidden[:, owner], jnp.asarray(bit, jnp.float32)[None], table.rows)


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
    outputs: Float[Array, "n out"], table: Table, sizes: Sequence[int], discrete: Sequence[int]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean loss of the attributes that are there: of all features, and of the target."""
    d, most = len(sizes), max(sizes)
    place = np.arange(most)[None]
    real = place < np.array(sizes)[:, None]
    starts = np.cumsum([0, *sizes[:-1]])[:, None]
    found = outputs[:, np.where(real, starts + place, 0)]  # (n, d, most)
    truth = table.rows[:, np.where(real, starts + np.arange(d)[:, None] + place, 0)]
    truth = jnp.where(real[None], truth, 0)
    scores = jax.nn.log_softmax(jnp.where(real[None], found, -1e30))
    entropy = -(truth * jnp.where(real[None], scores, 0)).sum(axis=-1)
    error = jnp.square(found[..., 0] - truth[..., 0])
    kind = np.isin(np.arange(d), discrete)[None]
    each = jnp.where(table.known, jnp.where(kind, entropy, error), 0).sum(axis=0)
    counts = table.known.sum(axis=0)
    each = each / jnp.maximum(counts, 1)
    features = each[:-1].sum() / jnp.maximum((counts[:-1] > 0).sum(), 1)
    return features, each[-1]


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
        model: the network.
        settings: how it is trained.
    """
    optimizer = make_optimizer(settings, steps)
    index = jnp.arange(len(table.rows))
    # Nobody sees itself, nor rows of nothing.
    mask = (index[:, None] == index[None]) | (index >= rows)[None]

    def objective(params: Any, key: Key[Array, ""], share: Array) -> Array:
        noise, dropout = jax.random.split(key)
        noisy = corrupt(table, rows, noise, model.sizes, settings)
        outputs: Any = model.apply(
            {"params": params}, noisy, table.rows, mask=mask, train=True, rngs={"dropout": dropout}
        )
        features, target = losses(outputs, table, model.sizes, model.discrete)
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


@partial(jax.jit, static_argnames="model")
def embed_memory(params: Any, table: Table, *, model: Hopular) -> Any:
    """What every block looks up: the memory, embedded once."""
    return model.apply({"params": params}, table.rows, method="remember")


@partial(jax.jit, static_argnames="model")
def predict_target(
    params: Any, memory: Any, rows: Array, queries: Table, *, model: Hopular
) -> Float[Array, "n k"]:
    """Logits or value of the last attribute of queries, in which it is masked."""
    size = memory[0].keys.shape[1]
    hidden = jnp.zeros(queries.known.shape, bool).at[:, -1].set(True)
    mask = jnp.broadcast_to((jnp.arange(size) >= rows)[None], (len(queries.rows), size))
    outputs: Any = model.apply(
        {"params": params},
        hide(queries, hidden, model.sizes),
        memory,
        mask=mask,
        method="recall",
    )
    return outputs[:, -model.sizes[-1] :]


class HopularEstimator(BaseEstimator):
    """What both estimators share; see `HopularClassifier`."""

    def __init__(
        self,
        *,
        categorical: Sequence[int] = (),
        width: int = 8,
        depth: int = 2,
        heads: int = 4,
        scale: float = 1.0,
        epochs: int = 200,
        learning_rate: float = 0.01,
        weight_decay: float = 0.1,
        average: float = 0.98,
        mask_probability: float = 0.025,
        replace_probability: float = 0.175,
        dropout: float = 0.1,
        random_state: Any = None,
    ):
        self.categorical = categorical
        self.width = width
        self.depth = depth
        self.heads = heads
        self.scale = scale
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.average = average
        self.mask_probability = mask_probability
        self.replace_probability = replace_probability
        self.dropout = dropout
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _fit(self, features: np.ndarray, target: np.ndarray, classes: int | None) -> None:
        """Trains on features as they came and a target of numbers or class indices."""
        self._check_parameters(features.shape[1])
        self._learn_encoding(features)
        sizes = [len(self.categories_.get(j, ())) or 1 for j in range(features.shape[1])]
        discrete = [*self.categories_, *([len(sizes)] if classes else [])]
        self.model_ = Hopular(
            (*sizes, classes or 1),
            tuple(discrete),
            width=self.width,
            depth=self.depth,
            heads=self.heads,
            scale=float(self.scale),
            input_dropout=float(self.dropout),
            lookup_dropout=float(self.dropout),
            output_dropout=float(self.dropout) / 10,
        )
        values = np.column_stack([self._numbers(features), target])
        table = encode(values, self.model_.sizes, self.model_.discrete)
        self.rows_ = len(values)
        padded = fill_up(table, -(-self.rows_ // ROWS) * ROWS)
        self._train(padded)

    def _train(self, table: Table) -> None:
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        # Philox: on CPU the default generator takes longer than the network.
        draw, noise = jax.random.split(jax.random.key(seed, impl="rbg"))
        example = jnp.zeros((1, columns(self.model_.sizes)))
        params = initial_parameters(draw, example, model=self.model_)
        params = train_network(
            params,
            table,
            self.rows_,
            noise,
            self.epochs,
            model=self.model_,
            settings=Settings(
                float(self.learning_rate),
                float(self.weight_decay),
                float(self.average),
                float(self.mask_probability),
                float(self.replace_probability),
            ),
        )
        memory = embed_memory(params, table, model=self.model_)
        self.params_, self.memory_ = jax.tree.map(np.asarray, (params, memory))

    def _predict(self, features: Any) -> Float[np.ndarray, "n k"]:
        """Logits or standardised values of the target."""
        check_is_fitted(self)
        features = self._validated(features, reset=False)
        unknown = np.full((len(features), 1), np.nan)
        values = np.column_stack([self._numbers(features), unknown])
        table = encode(values, self.model_.sizes, self.model_.discrete)
        table = fill_up(table, -(-len(values) // QUERIES) * QUERIES)
        predict = partial(predict_target, self.params_, self.memory_, self.rows_, model=self.model_)
        parts = [
            predict(Table(*(x[start : start + QUERIES] for x in table)))
            for start in range(0, len(table.rows), QUERIES)
        ]
        return np.concatenate(parts)[: len(values)].astype(np.float64)

    def _validated(self, features: Any, *targets: Any, reset: bool = True) -> Any:
        """Features (and the target) as scikit-learn wants them checked; NaN is allowed."""
        dtype = None if len(self.categorical) else np.float64
        options = {"dtype": dtype, "ensure_all_finite": "allow-nan", "reset": reset}
        if targets:
            return validate_data(self, features, targets[0], multi_output=False, **options)
        return validate_data(self, features, **options)

    def _learn_encoding(self, features: np.ndarray) -> None:
        """Categories of categorical columns; mean and spread of the others."""
        self.categories_ = {
            int(j): sorted({str(v) for v in features[:, j] if not _missing(v)})
            for j in self.categorical
        }
        numeric = [j for j in range(features.shape[1]) if j not in self.categories_]
        values = np.full(features.shape, np.nan)
        values[:, numeric] = features[:, numeric].astype(np.float64)
        some = np.atleast_1d(~np.isnan(values).all(axis=0))
        self.mean_, self.spread_ = np.zeros(len(some)), np.ones(len(some))
        self.mean_[some] = np.nanmean(values[:, some], axis=0)
        self.spread_[some] = np.nanstd(values[:, some], axis=0)
        self.spread_[self.spread_ <= 1e-12 * np.maximum(np.abs(self.mean_), 1)] = 1

    def _numbers(self, features: np.ndarray) -> Float[np.ndarray, "n d"]:
        """Standardised numbers and indices of categories; NaN where missing or never seen."""
        values = np.full(features.shape, np.nan)
        for j in range(features.shape[1]):
            if j in self.categories_:
                index = {name: i for i, name in enumerate(self.categories_[j])}
                values[:, j] = [
                    np.nan if _missing(v) else index.get(str(v), np.nan) for v in features[:, j]
                ]
            else:
                column = features[:, j].astype(np.float64)
                values[:, j] = (column - self.mean_[j]) / self.spread_[j]
        return values

    def _check_parameters(self, features: int) -> None:
        for name in ("width", "depth", "heads", "epochs", "learning_rate", "scale"):
            if not getattr(self, name) > 0:
                raise UsageError(f"`{name}` must be positive, got {getattr(self, name)}")
        both = self.mask_probability + self.replace_probability
        if min(self.mask_probability, self.replace_probability) < 0 or both > 1:
            raise UsageError(
                "`mask_probability` and `replace_probability` must be at least 0 and together at "
                f"most 1, got {self.mask_probability} and {self.replace_probability}"
            )
        if any(not 0 <= j < features for j in self.categorical):
            raise UsageError(
                f"`categorical` must be indices of {features} columns, got {self.categorical}"
            )


class HopularClassifier(ClassifierMixin, HopularEstimator):
    """Hopular as a scikit-learn classifier of small tables.

    Missing values are NaN (None too, in categorical columns); a category never seen in training
    counts as missing.

    Args:
        categorical: indices of categorical columns, of any values; the others are numbers.
        width: channels of an attribute. Published: 32.
        depth: blocks. Published: 4 or 8.
        heads: associations side by side. Published: 8 or 16.
        scale: factor of the usual inverse temperature. Published: 1, 100 or 1000.
        epochs: updates on the whole training set. Published: 10,000, with early stopping.
        learning_rate: peak of LAMB's rate. Published: 0.001.
        weight_decay: LAMB's.
        average: decay of the average of parameters that predicts.
        mask_probability: share of the attributes masked in training.
        replace_probability: share replaced by those of other rows.
        dropout: of embeddings and associations; a tenth of it in front of the output.
        random_state: seed, generator or None.

    Attributes:
        classes_: the classes, in order.
        model_, params_: the network and its parameters.
        memory_: what its blocks look up, embedded once.
    """

    def fit(self, X: Any, y: Any) -> "HopularClassifier":  # noqa: N803
        """Learns from a table and its classes.

        Raises:
            ValueError: scikit-learn's checks of shapes, types and parameters.
        """
        check_classification_targets(y) if y is not None else None
        features, target = self._validated(X, y)
        self.classes_, index = np.unique(target, return_inverse=True)
        self._fit(features, index.astype(np.float64), len(self.classes_))
        return self

    def predict_proba(self, X: Any) -> Float[np.ndarray, "n k"]:  # noqa: N803
        """Probability of each class of `classes_`."""
        logits = self._predict(X)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The most probable class."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]


class HopularRegressor(RegressorMixin, HopularEstimator):
    """Hopular as a scikit-learn regressor of small tables; parameters of `HopularClassifier`."""

    def fit(self, X: Any, y: Any) -> "HopularRegressor":  # noqa: N803
        """Learns from a table and its numbers.

        Raises:
            ValueError: scikit-learn's checks of shapes, types and parameters.
        """
        features, target = self._validated(X, y)
        target = column_or_1d(target, warn=True).astype(np.float64)
        self.target_mean_, self.target_spread_ = target.mean(), target.std() or 1.0
        self._fit(features, (target - self.target_mean_) / self.target_spread_, None)
        return self

    def predict(self, X: Any) -> Float[np.ndarray, " n"]:  # noqa: N803
        """The expected value."""
        return self._predict(X)[:, 0] * self.target_spread_ + self.target_mean_


def _missing(value: Any) -> bool:
    return value is None or value != value
