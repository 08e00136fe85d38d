"""What Hopular's estimators share: reading a table, training on it, predicting its target."""

from functools import partial
from numbers import Integral
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from sklearn.base import BaseEstimator
from sklearn.utils import Tags, check_array, check_random_state, check_X_y
from sklearn.utils.validation import check_is_fitted, validate_data

from train.tabular.encoding import (
    Table,
    encode,
    fill_up,
    learn_encoding,
    to_numbers,
)
from train.tabular.frames import (
    Columns,
    find_categorical,
    is_frame,
    read_array,
    read_frame,
    without_strings,
)
from train.tabular.memory import bytes_of, check_fits
from train.tabular.targets import (
    check_weights,
)
from train.tabular.training import (
    Settings,
    embed_memory,
    initial_parameters,
    predict_target,
    train_network,
)
from zoo.errors import UsageError
from zoo.hopular import Hopular, columns

ROWS = 32  # tables are filled up to a multiple of this, so that one program serves many sizes
QUERIES = 64  # rows predicted at a time, always: a row's result does not depend on its company
COUNTS = ("width", "depth", "heads", "epochs")


class HopularEstimator(BaseEstimator):
    """What both estimators share; see `HopularClassifier`."""

    def __init__(
        self,
        *,
        categorical: Any = (),
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

    def _fit(
        self,
        table: Columns,
        target: Float[np.ndarray, " n"],
        classes: int | None,
        weights: Float[np.ndarray, " n"] | None,
    ) -> None:
        """Trains on columns and a target of standardised numbers or class indices."""
        categorical = find_categorical(self.categorical, table)
        self.encoding_ = learn_encoding(table, categorical, weights)
        sizes = (*self.encoding_.sizes, classes or 1)
        self.model_ = Hopular(
            sizes,
            (*categorical, *([len(sizes) - 1] if classes else [])),
            width=self.width,
            depth=self.depth,
            heads=self.heads,
            scale=float(self.scale),
            input_dropout=float(self.dropout),
            lookup_dropout=float(self.dropout),
            output_dropout=float(self.dropout) / 10,
        )
        self.rows_ = len(target)
        self._check_memory(table.names, weights is not None)
        values = np.column_stack([to_numbers(table, self.encoding_), target])
        encoded = encode(values, self.model_.sizes, self.model_.discrete)
        more = self._filled - self.rows_
        self.weights_ = None if weights is None else np.pad(weights, (0, more)).astype(np.float32)
        self._train(fill_up(encoded, self._filled))

    @property
    def _filled(self) -> int:
        return -(-self.rows_ // ROWS) * ROWS

    def _check_memory(self, names: Any, weighted: bool) -> None:
        """Compiles the program of training, which its call then finds, for what it takes."""
        shape = jax.ShapeDtypeStruct
        n, d, c = self._filled, len(self.model_.sizes), columns(self.model_.sizes)
        table = Table(shape((n, c), jnp.float32), shape((n, d), bool))
        weights = shape((n,), jnp.float32) if weighted else None
        key = jax.random.key(0, impl="rbg")
        row = jnp.zeros((1, c))
        params = jax.eval_shape(partial(initial_parameters, model=self.model_), key, row)
        program = train_network.lower(
            params,
            table,
            self.rows_,
            key,
            self.epochs,
            weights,
            model=self.model_,
            settings=self._settings,
        )
        check_fits(bytes_of(program.compile()), self.rows_, self.model_.sizes[:-1], names)

    @property
    def _settings(self) -> Settings:
        return Settings(
            float(self.learning_rate),
            float(self.weight_decay),
            float(self.average),
            float(self.mask_probability),
            float(self.replace_probability),
        )

    def _train(self, table: Table) -> None:
        # Philox: on CPU the default generator takes longer than the network.
        draw, noise = jax.random.split(jax.random.key(seed_of(self.random_state), impl="rbg"))
        example = jnp.zeros((1, columns(self.model_.sizes)))
        params = initial_parameters(draw, example, model=self.model_)
        params = train_network(
            params,
            table,
            self.rows_,
            noise,
            self.epochs,
            self.weights_,
            model=self.model_,
            settings=self._settings,
        )
        memory = embed_memory(params, table, model=self.model_)
        self.params_, self.memory_ = jax.tree.map(np.asarray, (params, memory))

    def _predict(self, table: Any) -> Float[np.ndarray, "n k"]:
        """Logits or standardised values of the target."""
        check_is_fitted(self)
        (found,) = self._read(table)
        values = to_numbers(found, self.encoding_)
        values = np.pad(values, ((0, 0), (0, 1)), constant_values=np.nan)
        encoded = encode(values, self.model_.sizes, self.model_.discrete)
        encoded = fill_up(encoded, -(-len(values) // QUERIES) * QUERIES)
        predict = partial(predict_target, self.params_, self.memory_, self.rows_, model=self.model_)
        parts = [
            predict(Table(*(x[start : start + QUERIES] for x in encoded)), self.weights_)
            for start in range(0, len(encoded.rows), QUERIES)
        ]
        return np.concatenate(parts)[: len(values)].astype(np.float64)

    def _read(self, table: Any, target: Any = "no_validation", *, reset: bool = False) -> Any:
        """Columns of a table (and the target), after scikit-learn's checks."""
        table = without_strings(table)
        options = {"reset": reset, "dtype": None, "ensure_all_finite": "allow-nan"}
        if not is_frame(table):
            found: Any = validate_data(self, table, target, **options)
            array, *rest = found if reset else (found,)
            return read_array(array, getattr(self, "feature_names_in_", ())), *rest
        # Names and shape only: as one array, the columns would lose their types.
        validate_data(self, table, target, reset=reset, skip_check_array=True)
        shape = np.zeros(table.shape, bool)
        rest = check_X_y(shape, target, estimator=self)[1:] if reset else ()
        check_array(shape, estimator=self)
        return read_frame(table), *rest

    def _training_set(
        self, table: Any, target: Any, sample_weight: Any
    ) -> tuple[Columns, np.ndarray, Float[np.ndarray, " n"] | None]:
        """Columns, target and weights of samples."""
        self._check_parameters()
        found, target = self._read(table, target, reset=True)
        return found, target, check_weights(sample_weight, len(target))

    def _check_parameters(self) -> None:
        for name in COUNTS:
            value = getattr(self, name)
            if not isinstance(value, Integral) or value < 1:
                raise UsageError(f"`{name}` must be positive and a whole number, got {value!r}")
        for name in ("learning_rate", "scale"):
            if not getattr(self, name) > 0:
                raise UsageError(f"`{name}` must be positive, got {getattr(self, name)}")
        both = self.mask_probability + self.replace_probability
        if min(self.mask_probability, self.replace_probability) < 0 or both > 1:
            raise UsageError(
                "`mask_probability` and `replace_probability` must be at least 0 and together at "
                f"most 1, got {self.mask_probability} and {self.replace_probability}"
            )
        for name in ("dropout", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(
                    f"`{name}` must be at least 0 and below 1, got {getattr(self, name)}"
                )
        if not self.weight_decay >= 0:
            raise UsageError(f"`weight_decay` must be at least 0, got {self.weight_decay}")


def seed_of(random_state: Any) -> int:
    """A seed from what scikit-learn or NumPy takes for one; a generator moves on."""
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31 - 1))
    return int(check_random_state(random_state).randint(2**31 - 1))
