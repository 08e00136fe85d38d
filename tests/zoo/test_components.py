"""Classification by components: probabilities are the sums of their reasons."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import train
from tests.golden.components import made
from train.methods.components import margin_loss
from zoo.errors import UsageError
from zoo.layers.components import ComponentClassifier, Reasoning


def test_probabilities_are_the_sums_of_their_reasons():
    model = ComponentClassifier(components=6, num_classes=3)
    inputs = jax.random.uniform(jax.random.key(0), (5, 2, 4))
    variables = model.init(jax.random.key(1), inputs, train=False)
    found = model.apply(variables, inputs, train=False)
    reasons = model.apply(variables, inputs, method="reasons")
    assert reasons.shape == (5, 2, 6, 3)
    np.testing.assert_allclose(found, reasons.sum((1, 2)), atol=1e-6)
    assert ((found >= 0) & (found <= 1)).all()
    assert sum(x.size for x in jax.tree.leaves(variables)) == 2 * 6 * 3 + 6 * 8


def test_what_is_asked_for_and_there_is_certain():
    # Class 0 asks for the first component, class 1 for its absence.
    table = jnp.array([[50.0, 0], [0, 0], [0, 50.0], [0, 0]])
    variables = {"params": {"reasoning": table}}
    found = Reasoning(2).apply(variables, jnp.array([[1.0, 0.3], [0.0, 0.9]]))
    np.testing.assert_allclose(found, [[1, 0], [0, 1]], atol=1e-6)


def test_the_margin_loss_ends_once_the_right_class_is_ahead():
    outputs = jnp.array([[0.9, 0.2, 0.5], [0.4, 0.3, 0.2]])
    loss = margin_loss(0.3)
    np.testing.assert_allclose(loss(outputs, jnp.array([0, 1])), [0, 0.4], rtol=1e-6)
    with pytest.raises(UsageError, match="`margin` must be positive"):
        margin_loss(0.0)


def test_inputs_of_a_case_are_arithmetic_of_uniform_numbers():
    spec = {"seed": 3, "shape": [4]}
    plain = made(spec)
    np.testing.assert_array_equal(made({**spec, "then": "times 2"}), 2 * plain)
    np.testing.assert_array_equal(made({**spec, "then": "-(u - 0.5) / 4"}), -(plain - 0.5) / 4)
    with pytest.raises(UsageError, match="no number"):
        made({**spec, "then": "exit()"})


STEPS = 400


@pytest.mark.slow
def test_digits_are_told_apart_by_forty_components():
    pixels, labels = load_digits(return_X_y=True)
    split = train_test_split(
        (pixels / 16).astype(np.float32), labels, test_size=0.25, random_state=0, stratify=labels
    )
    seen, unseen, known, wanted = map(jnp.asarray, split)
    model = ComponentClassifier(components=40, num_classes=10, sigma=0.4)
    variables = model.init(jax.random.key(0), seen[:1], train=False)
    # Components begin as examples, four of each class.
    first = np.concatenate([np.flatnonzero(known == k)[:4] for k in range(10)])
    params = {**variables["params"], "components": seen[first]}
    optimizer = optax.adam(optax.cosine_decay_schedule(0.1, STEPS))
    objective = train.supervised(loss=margin_loss(0.15))
    state = train.create_state({"params": params}, optimizer, key=jax.random.key(1))
    step = jax.jit(train.make_train_step(model, optimizer, objective=objective))
    for n in range(STEPS):
        rows = jax.random.permutation(jax.random.key(n), len(seen))[:128]
        state, _ = step(state, {"input": seen[rows], "label": known[rows]}, state.key)
    answers = model.apply(train.published(state), unseen, train=False).argmax(axis=-1)
    assert (answers == wanted).mean() >= 0.95  # 0.960 was measured; 0.942 with a margin of 0.3
