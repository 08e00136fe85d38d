"""Every method is held to this: it learns, alike on any devices, and resumes to the same bits."""

import functools
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

import train
import zoo
from checkpoints import store
from checkpoints.card import Card
from train.methods.adversarial import adversarial
from train.methods.auxiliary import auxiliary, scheduled_drop_path
from train.methods.distillation import distillation, soft_cross_entropy
from train.methods.imbalance import class_weighted, focal
from train.methods.mixing import cutmix, mixup
from train.methods.prototypes import prototypes
from train.methods.rotation import Turned, rotation
from train.methods.sharpness import sharpness_aware
from train.methods.teacher import mean_teacher
from train.objective import Objective, next_examples
from train.parallel import data_mesh
from train.stored_state import from_stored, to_stored
from train.task import Mixture
from zoo.parameters import Parameters, select
from zoo.parameters.frozen import frozen
from zoo.parameters.lora import lora
from zoo.parameters.ternary import rounded, ternary
from zoo.prototypenet import PrototypeNet

SHAPE = jax.ShapeDtypeStruct((1, 6, 6, 1), jnp.float32)
CLASSES = 4


class Small(nn.Module):
    """Convolution, norm, dropout, two heads; the second counts in training only."""

    drop_path: float = 0.0

    @nn.compact
    def features(self, images, *, train, progress=1.0):
        x = zoo.layers.conv.Conv(8, (3, 3), name="conv")(images)
        x = nn.relu(zoo.layers.norm.BatchNorm(train=train, name="norm")(x))
        drop = zoo.layers.drop_path.DropPath(self.drop_path, train)
        x = x + drop(zoo.layers.conv.Conv(8, (3, 3), name="conv2")(x), progress)
        x = nn.Dropout(0.1, deterministic=not train)(x)
        dense = partial(nn.Dense, CLASSES)
        return dense(name="head")(x.mean((1, 2))), dense(name="other")(x.max((1, 2)))

    def __call__(self, images, *, train, progress=1.0):
        return self.features(images, train=train, progress=progress)[0]

    def with_auxiliary(self, images, *, train):
        return self.features(images, train=train)


def fresh(model, seed=0):
    return model.init(jax.random.key(seed), jnp.zeros((1, 6, 6, 1)), train=False)


def batch_of(size):
    rng = np.random.default_rng(0)
    label = (np.arange(size) % CLASSES).astype(np.int32)
    images = rng.normal(size=(size, 6, 6, 1)).astype(np.float32)
    images[:, :3] += label[:, None, None, None]
    images[:, :, :3] *= 1 + label[:, None, None, None] % 2
    return {"input": jnp.asarray(images), "label": jnp.asarray(label)}


MODEL = Small()
PLAIN = train.supervised()
TEACHER = fresh(MODEL, seed=7)
SGD = optax.sgd(0.05, momentum=0.9)
METHODS = {
    "supervised": (PLAIN, {}),
    "an average": (PLAIN, {"average": 0.9}),
    "mixup": (train.on(mixup(0.4), PLAIN), {}),
    "cutmix": (train.on(cutmix(), PLAIN), {}),
    "auxiliary": (auxiliary(weight=0.4), {}),
    "scheduled drop path": (
        scheduled_drop_path(PLAIN, steps=20),
        {"model": Small(drop_path=0.5)},
    ),
    "distillation": (distillation(MODEL, TEACHER, weight=0.5, temperature=2.0), {}),
    "soft distillation": (distillation(MODEL, TEACHER), {}),
    "mean teacher": (mean_teacher(decay=0.9), {}),
    "prototypes": (
        prototypes(weight=5.0, mean=0.5, std=0.2),
        {
            "model": PrototypeNet(6, widths=(4, 3), prototypes=5, num_classes=CLASSES),
            "optimizer": optax.adam(0.02),
        },
    ),
    "rotation": (rotation(), {}),
    "focal": (train.supervised(loss=focal(train.softmax_cross_entropy)), {}),
    "class weights": (
        train.supervised(loss=class_weighted(train.softmax_cross_entropy, np.arange(1.0, 5.0))),
        {},
    ),
    "adversarial": (adversarial(PLAIN, eps=0.05, steps=2, low=-4.0, high=8.0), {}),
    "sharpness": (PLAIN, {"optimizer": sharpness_aware(SGD, rho=0.02)}),
    "a schedule of accumulation": (PLAIN, {"optimizer": optax.MultiSteps(SGD, 2)}),
    "a plateau": (
        PLAIN,
        {"optimizer": optax.chain(SGD, optax.contrib.reduce_on_plateau(0.5, 2))},
    ),
    "a line search": (PLAIN, {"optimizer": optax.lbfgs(memory_size=3)}),
    "frozen": (train.supervised(train=False), {"parameters": frozen(["^conv"])}),
    "lora": (PLAIN, {"parameters": lora(2, whole=["^head/"])}),
    "ternary": (PLAIN, {"parameters": ternary(["^conv2/kernel"])}),
    "all at once": (
        train.on(mixup(), adversarial(auxiliary(), eps=0.01, steps=1)),
        {"parameters": lora(1, kernels=["conv2"], whole=["head", "other", "norm"]), "average": 0.5},
    ),
}


class Run:
    """A method with everything that it needs."""

    def __init__(self, name):
        self.objective, options = METHODS[name]
        self.model = options.get("model", MODEL)
        self.optimizer = options.get("optimizer", SGD)
        self.parameters = options.get("parameters")
        self.average = options.get("average")
        self.steps = 2 if name == "a line search" else 3  # its search amplifies the last bit

    def create(self, variables=None):
        return train.create_state(
            variables or fresh(self.model),
            self.optimizer,
            key=jax.random.key(1),
            objective=self.objective,
            parameters=self.parameters,
            average=self.average,
        )

    def step(self, how="jit", devices=1):
        step = train.make_train_step(
            self.model,
            self.optimizer,
            objective=self.objective,
            parameters=self.parameters,
            axis_name=None if how == "jit" else "data",
        )
        return train.parallelize(step, how, mesh=data_mesh(devices))


@functools.cache
def on_one_device(name):
    """What the first steps come to."""
    run = Run(name)
    return go(run.step(), run.create(), run.steps, batch_of(8))


def go(step, state, steps, batch):
    curve = []
    for _ in range(steps):
        state, metrics = step(state, batch, state.key)
        curve.append(float(metrics["loss"]))
    return state, curve, metrics


@pytest.mark.parametrize("name", METHODS)
def test_a_method_learns_and_resumes_to_the_same_bits(name, tmp_path):
    run, batch = Run(name), batch_of(8)
    step, begun = run.step(), run.create()
    kept = jax.tree.map(np.asarray, begun.kept)
    state, curve, metrics = go(step, begun, 20, batch)
    assert np.isfinite(curve).all()
    assert np.mean(curve[-3:]) < 0.95 * np.mean(curve[:2])
    assert metrics.keys() >= {"loss", "grad_norm", "update_norm", "param_norm"}
    jax.tree.map(np.testing.assert_array_equal, state.kept, kept)

    half, _, _ = go(step, run.create(), 8, batch)
    store.save(tmp_path / "half", to_stored(half, run.parameters), Card("half", "resnet8"))
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), to_stored(half, run.parameters)
    )
    tree = store.restore(tmp_path / "half", abstract)
    resumed, _, _ = go(step, from_stored(run.create(), tree, run.parameters), 12, batch)
    for ours, expected in zip(jax.tree.leaves(resumed), jax.tree.leaves(state), strict=True):
        if not jnp.issubdtype(ours.dtype, jax.dtypes.prng_key):
            np.testing.assert_array_equal(ours, expected)


WHERE = [("jit", 4), ("pmap", 2), ("shard_map", 2), ("shard_map", 4)]
# What each kind of method needs of several devices: partners, a teacher, statistics, factors.
FEW = {"mixup", "mean teacher", "rotation", "sharpness", "all at once"}


@pytest.fixture(
    scope="module",
    params=[pytest.param(n, marks=[] if n in FEW else pytest.mark.slow) for n in METHODS],
)
def name(request):
    """A method: its tests follow each other, so that it is compiled once for one device."""
    return request.param


@pytest.mark.parametrize(
    ("how", "devices"),
    [pytest.param(*w, marks=[] if w == ("shard_map", 2) else pytest.mark.slow) for w in WHERE],
)
def test_a_method_is_the_same_on_any_devices(name, how, devices):
    run, expected = Run(name), on_one_device(name)
    found = go(run.step(how, devices), run.create(), run.steps, batch_of(8))
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-4)
    for key, value in expected[2].items():
        np.testing.assert_allclose(found[2][key], value, rtol=5e-3, atol=1e-5, err_msg=key)
    for a, b in zip(
        jax.tree.leaves(train.published(found[0], run.parameters)),
        jax.tree.leaves(train.published(expected[0], run.parameters)),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", [n for n, (_, o) in METHODS.items() if "parameters" in o])
def test_what_is_split_joins_to_what_it_was(name):
    parameters, params = Run(name).parameters, fresh(MODEL)["params"]
    if name == "ternary":  # it changes what it is given, once
        params = parameters.join(*parameters.split(params))
    joined = parameters.join(*parameters.split(params))
    assert jax.tree.structure(joined) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, joined, params)


def test_a_frozen_run_trains_what_it_says():
    parameters = frozen(["^(?!head/)"])
    trained, kept = parameters.split(fresh(MODEL)["params"])
    assert trained.keys() == {"head"}
    assert "head" not in kept
    with pytest.raises(zoo.UsageError, match="leaves no parameter to train"):
        frozen(["."]).split(fresh(MODEL)["params"])


def test_lora_has_the_rank_that_it_says():
    parameters = lora(2, alpha=4.0, kernels=["conv2/kernel"])
    params = fresh(MODEL)["params"]
    trained, kept = parameters.split(params)
    factors = trained["conv2"]["kernel"]["lora"]
    assert {k: v.shape for k, v in factors.items()} == {"a": (72, 2), "b": (2, 8)}
    factors["b"] = jnp.ones((2, 8))
    change = parameters.join(trained, kept)["conv2"]["kernel"] - params["conv2"]["kernel"]
    np.testing.assert_allclose(
        change.reshape(72, 8), 2.0 * factors["a"] @ factors["b"], rtol=1e-4, atol=1e-5
    )
    assert jnp.linalg.matrix_rank(change.reshape(72, 8)) <= 2


def test_low_rank_maps_merge_into_the_kernels_beside_which_they_are():
    """Rank 2 beside the kernels of attention trains 1.5 % of `tnt_nano`, and the head."""
    model, shape = zoo.create_model("tnt_nano"), zoo.model_info("tnt_nano").input_shape
    images = jax.random.normal(jax.random.key(1), (2, *shape))
    params = zoo.init_variables(model, jax.random.key(0), images)["params"]
    adapted = lora(2, kernels="attention/.*kernel$", whole="^head/")
    trained, kept = adapted.split(params)
    count = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))  # noqa: E731
    share = (count(trained) - count(trained["head"])) / count(params)
    assert 0.014 < share < 0.016

    def beside(call, args, kwargs, context):
        y, path = call(*args, **kwargs), (*context.module.path, "kernel", "lora")
        if (*path, "a") not in flat or context.method_name != "__call__":
            return y
        return y + args[0] @ flat[*path, "a"] @ flat[*path, "b"]

    with jax.enable_x64(True):
        model = model.clone(dtype=jnp.float64)
        trained, kept, params = jax.tree.map(jnp.float64, (trained, kept, params))
        flat = flatten_dict(jax.tree.map(lambda leaf: leaf + 0.1, trained))
        head = {"head": unflatten_dict(flat)["head"]}
        with nn.intercept_methods(beside):
            expected = model.apply({"params": kept | head}, images, train=False)
        merged = adapted.join(unflatten_dict(flat), kept)
        found = model.apply({"params": merged}, images, train=False)
        np.testing.assert_allclose(found, expected, atol=1e-6)
        plain = model.apply({"params": params | head}, images, train=False)
    assert np.abs(found - plain).max() > 1e-2


@pytest.mark.parametrize("measure", ["median", "mean"])
def test_ternary_kernels_follow_their_formula(measure, key):
    w = np.asarray(jax.random.normal(key, (5, 4)), np.float64)
    size = np.sort(np.abs(w).ravel())[9] if measure == "median" else np.abs(w).mean()
    expected = size * np.clip(np.round(w / size), -1, 1)
    np.testing.assert_allclose(rounded(jnp.float32(w), measure), expected, rtol=1e-6)
    parameters = ternary(["w"], measure=measure)
    joined = parameters.join(*parameters.split({"w": jnp.float32(w), "b": jnp.ones(4)}))
    assert len(np.unique(joined["w"])) == 3
    grads = jax.grad(lambda t: (parameters.join(t, ())["w"] ** 2).sum())(
        {"w": jnp.float32(w), "b": jnp.ones(4)}
    )
    np.testing.assert_allclose(grads["w"], 2 * joined["w"], rtol=1e-6)
    assert not rounded(jnp.zeros((2, 2)), measure).any()


def test_the_next_example_is_that_of_the_global_batch():
    from jax.sharding import PartitionSpec as P

    x = jnp.arange(8)
    found = jax.shard_map(
        lambda x: next_examples(x, "data"),
        mesh=data_mesh(4),
        in_specs=P("data"),
        out_specs=P("data"),
    )(x)
    assert found.tolist() == next_examples(x, None).tolist() == [*range(1, 8), 0]


def test_mixed_labels_are_mixed_distributions():
    logits, labels = jax.random.normal(jax.random.key(0), (4, 5)), jnp.arange(4)
    mixture = Mixture(labels, labels[::-1], jnp.full(4, 0.3))
    target = 0.3 * jax.nn.one_hot(labels, 5) + 0.7 * jax.nn.one_hot(labels[::-1], 5)
    found = train.task.judged(train.softmax_cross_entropy, logits, mixture)
    np.testing.assert_allclose(found, train.softmax_cross_entropy(logits, target), rtol=1e-5)


def test_cutmix_shares_are_areas():
    batch = {"input": jnp.zeros((3, 9, 7, 1)), "label": jnp.arange(3)}
    other = {"input": jnp.ones((3, 9, 7, 1)), "label": jnp.arange(3) + 1}
    shares = set()
    for seed in range(8):
        mixed = cutmix()(batch, other, jax.random.key(seed))
        np.testing.assert_allclose(mixed["label"].share, 1 - mixed["input"].mean((1, 2, 3)), 1e-6)
        shares.add(float(mixed["label"].share[0]))
    assert len(shares) > 4


def test_distillation_of_oneself_has_the_teachers_entropy_and_no_gradient():
    z = jax.random.normal(jax.random.key(0), (3, 5))
    p = jax.nn.softmax(z / 2)
    np.testing.assert_allclose(
        soft_cross_entropy(z, z, 2.0), -4 * (p * jnp.log(p)).sum(-1), rtol=1e-5
    )
    gradient = jax.grad(lambda x: soft_cross_entropy(x, z, 2.0).sum())(z)
    np.testing.assert_allclose(gradient, np.zeros((3, 5)), atol=1e-6)


def test_a_teacher_is_an_argument_and_is_not_saved():
    run = Run("distillation")
    state = run.create()
    assert "memory" not in to_stored(state)["train"]
    step = train.make_train_step(run.model, run.optimizer, objective=run.objective)
    jaxpr = jax.make_jaxpr(step)(state, batch_of(4), state.key)
    assert all(np.size(constant) <= 1 for constant in jaxpr.consts)


def test_turned_data_hold_four_turns_of_each_image():
    data = train.load_dataset("zoo_digits", "test")
    turned = Turned(data)
    assert len(turned) == 4 * len(data)
    for n in range(4):
        np.testing.assert_array_equal(turned[4 + n]["input"], np.rot90(data[1]["input"], n))
        assert turned[4 + n]["label"] == n
    images = jnp.stack([jnp.asarray(data[1]["input"], jnp.float32)])
    batch = train.methods.rotation.turned({"input": images}, {}, None)
    np.testing.assert_array_equal(
        batch["input"], np.stack([turned[4 + n]["input"] for n in range(4)])
    )


def test_the_worst_input_stays_near_and_has_a_higher_loss(key):
    from zoo.attack import pgd

    weights = jax.random.normal(key, (5,))
    x = jax.random.uniform(key, (7, 5))
    found = pgd(lambda x: x @ weights, x, eps=0.1, step=0.1, steps=1)
    sign = jnp.sign(weights)[None]
    np.testing.assert_allclose(found, x + 0.1 * sign, rtol=1e-6)
    found = pgd(lambda x: x @ weights, x, key, eps=0.1, step=0.05, steps=9, low=0.0, high=1.0)
    np.testing.assert_allclose(found, jnp.clip(x + 0.1 * sign, 0, 1), atol=1e-6)


def test_parameters_are_chosen_by_the_first_pattern_that_matches():
    params = fresh(MODEL)["params"]
    chosen = select(params, {"conv2": 1, "kernel$": 2}, default=0)
    assert chosen["conv2"] == {"bias": 1, "kernel": 1} or chosen["conv2"] == {"kernel": 1}
    assert chosen["head"] == {"kernel": 2, "bias": 0}
    with pytest.raises(zoo.UsageError, match="'haed'; did you mean 'head'"):
        select(params, ["haed"])
    assert select(params, "head") == select(params, ["head"])
    with pytest.raises(zoo.UsageError, match="no regular expression"):
        select(params, ["("])


def step_with(objective=None, **options):
    model = MODEL
    step = train.make_train_step(model, SGD, objective=objective, **options)
    return step(
        train.create_state(fresh(model), SGD, key=jax.random.key(0)), batch_of(4), jax.random.key(0)
    )


def returning(change):
    def loss(forward, params, state, batch, key):
        outputs, stats = forward(params, batch["input"])
        return change(train.softmax_cross_entropy(outputs, batch["label"]), stats)

    return Objective(loss)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda losses, stats: (losses.mean(), (stats, {})),
            r"one loss per example, \(b,\), got \(\)",
        ),
        (lambda losses, stats: losses, r"must return losses, \(batch_stats, metrics\)"),
        (lambda losses, stats: (losses, {}), r"must return losses, \(batch_stats, metrics\)"),
        (lambda losses, stats: (losses, ({}, {})), "running statistics of all batch norms"),
        (lambda losses, stats: (losses, (stats, {"x": losses.sum()})), "metric 'x' must have one"),
    ],
)
def test_what_an_objective_must_return(change, message):
    with pytest.raises(zoo.UsageError, match=message):
        step_with(returning(change))


def test_halves_that_do_not_join_are_a_sentence():
    broken = Parameters(lambda p: ({"conv": p["conv"]}, {}), lambda trained, kept: trained)
    with pytest.raises(zoo.UsageError, match=r"must join to what they split: conv2/\w+ was"):
        train.create_state(fresh(MODEL), SGD, key=jax.random.key(0), parameters=broken)


def test_a_batch_of_images_is_told_the_name_of_today():
    step = train.make_train_step(MODEL, SGD)
    state = train.create_state(fresh(MODEL), SGD, key=jax.random.key(0))
    old = {"image": batch_of(4)["input"], "label": batch_of(4)["label"]}
    with pytest.raises(zoo.UsageError, match="call `image` `input`"):
        step(state, old, jax.random.key(0))
