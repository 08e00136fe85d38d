"""Optimisation: pure steps, one impure loop, exact evaluation.

>>> data = train.load_dataset("zoo_digits", "test")
>>> loaded = checkpoints.load("resnet8.digits")
>>> metrics = train.evaluate(
...     loaded.model, loaded.variables, data, preprocess=loaded.preprocess
... )
>>> metrics["count"], metrics["top1"] > 0.97
(360, True)

`train.fit(train.Config(model="resnet8", dataset="zoo_digits"))` trains, logs, saves and resumes.
"""

from checkpoints.retention import Retention
from train.augment import Augment
from train.compress import compress
from train.config import Config, Evaluation, OptimizerConfig
from train.data import eval_batches, evaluation_split, few_shot, load_dataset, train_batches
from train.evaluation import evaluate
from train.finetune import finetune
from train.folds import cross_validate
from train.loop import Result, fit
from train.losses import softmax_cross_entropy
from train.mesh import data_mesh, make_mesh
from train.objective import Forward, Objective, Remade, calling, on, supervised
from train.optimizer import make_optimizer
from train.parallel import parallelize
from train.pictures import image_grid
from train.plan import Plan, plan
from train.predict import predict
from train.probe import probe
from train.schedules import make_schedule
from train.signals import Interrupted
from train.state import TrainState, create_state, published
from train.step import make_train_step
from train.task import CLASSES, MULTILABEL, NUMBERS, Task
from zoo.parameters import Parameters, select

__all__ = [
    "CLASSES",
    "MULTILABEL",
    "NUMBERS",
    "Augment",
    "Config",
    "Evaluation",
    "Forward",
    "Interrupted",
    "Objective",
    "OptimizerConfig",
    "Parameters",
    "Plan",
    "Remade",
    "Result",
    "Retention",
    "Task",
    "TrainState",
    "calling",
    "compress",
    "create_state",
    "cross_validate",
    "data_mesh",
    "eval_batches",
    "evaluate",
    "evaluation_split",
    "few_shot",
    "finetune",
    "fit",
    "image_grid",
    "load_dataset",
    "make_mesh",
    "make_optimizer",
    "make_schedule",
    "make_train_step",
    "on",
    "parallelize",
    "plan",
    "predict",
    "probe",
    "published",
    "select",
    "softmax_cross_entropy",
    "supervised",
    "train_batches",
]
