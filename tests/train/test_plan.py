"""What a config comes to, before anything is trained."""

import jax.numpy as jnp
import pytest

import train
from zoo.errors import UsageError


def planned(**fields):
    config = train.Config(model="resnet8", dataset="zoo_digits", steps=3, **fields)
    return train.plan(config)


def test_a_split_to_evaluate_on_is_the_one_that_was_named():
    plan = planned(eval_split="validation[:10%]")
    assert (plan.evaluation.split, len(plan.evaluation)) == ("validation[:10%]", 36)


def test_images_of_each_class_are_drawn_by_the_seed():
    first, again, other = (planned(per_class=2, seed=seed).training for seed in (0, 0, 1))
    labels = [first[i]["label"] for i in range(len(first))]
    assert sorted(labels) == [k for k in range(10) for _ in range(2)]
    inputs = [[data[i]["input"].tobytes() for i in range(20)] for data in (first, again, other)]
    assert inputs[0] == inputs[1] != inputs[2]


def test_prepared_data_is_looked_for_where_the_config_says(tmp_path):
    assert len(planned(data_dir=str(tmp_path)).training) == 1077
    assert (tmp_path / "zoo_digits").is_dir()
    with pytest.raises(UsageError, match="oxford_iiit_pet"):
        train.plan(train.Config(model="resnet8", dataset="oxford_iiit_pet", data_dir=str(tmp_path)))


def test_a_fresh_model_sees_images_as_the_config_says():
    fields = {"crop_pct": 0.5, "mean": [0.1, 0.2, 0.3], "interpolation": "bilinear"}
    found = planned(preprocess=fields, image_size=16).network.card.preprocess
    assert (found.image_size, found.crop_pct, found.interpolation) == (16, 0.5, "bilinear")
    assert found.mean == pytest.approx((0.2,))  # of grey images
    assert found.std == (0.5,)
    for wrong, words in (({"image_size": 8}, "option of its own"), ({"crop": 1}, "no field")):
        with pytest.raises(UsageError, match=words):
            planned(preprocess=wrong)
    config = train.Config(weights="resnet8.digits", dataset="zoo_digits", preprocess=fields)
    with pytest.raises(UsageError, match="`preprocess` goes with `model`"):
        train.plan(config)


def test_the_computation_is_in_the_dtype_that_was_asked_for():
    assert planned(dtype="bfloat16").network.model.dtype == jnp.bfloat16
    assert planned().network.model.dtype == jnp.float32
