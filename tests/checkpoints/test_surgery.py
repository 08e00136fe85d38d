import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from checkpoints import surgery
from zoo.errors import UsageError

OLD = {"params": {"head": {"kernel": np.ones((4, 3))}, "stem": {"kernel": np.ones(2)}}}


def test_paths_name_every_kind_of_container():
    state = optax.sgd(0.1, momentum=0.9).init({"w": jnp.zeros(2)})
    assert list(surgery.flatten({"opt": state, "n": [1]})) == ["n/0", "opt/0/trace/w"]


def test_descriptions_of_arrays_structs_and_numbers_agree():
    array = {"a": jnp.zeros((2, 3), jnp.bfloat16), "k": jax.random.key(0)}
    struct = jax.eval_shape(lambda: array)
    assert surgery.describe(array) == surgery.describe(struct)
    assert surgery.describe(array) == {"a": "bfloat16[2,3]", "k": "key<fry>[]"}
    assert surgery.describe({"n": np.int64(3)}) == surgery.describe({"n": 3})


def test_diff_shows_every_disagreement():
    expected = {"a": "float32[2]", "b": "float32[3]", "same": "int32[]"}
    found = {"b": "float32[4]", "c": "int32[]", "same": "int32[]"}
    assert surgery.diff(expected, found) == [
        "missing:    a float32[2]",
        "differs:    b is float32[4], expected float32[3]",
        "unexpected: c int32[]",
    ]
    assert surgery.diff(expected, expected) == []


def test_only_the_head_is_fresh():
    stem = jax.ShapeDtypeStruct((2,), np.float64)
    template = {"params": {"head": {"kernel": np.zeros((4, 7))}, "stem": {"kernel": stem}}}
    tree, fresh = surgery.adapt(OLD, template)
    assert fresh == ("params/head/kernel",)
    np.testing.assert_array_equal(tree["params"]["stem"]["kernel"], np.ones(2))
    np.testing.assert_array_equal(tree["params"]["head"]["kernel"], np.zeros((4, 7)))


def test_a_difference_elsewhere_is_not_papered_over():
    stem = jax.ShapeDtypeStruct((5,), np.float64)
    template = {"params": {"head": {"kernel": np.zeros((4, 7))}, "stem": {"kernel": stem}}}
    with pytest.raises(UsageError, match=r"stem/kernel is float64\[2\], expected float64\[5\]"):
        surgery.adapt(OLD, template)


def test_count():
    assert surgery.count(OLD) == 14
