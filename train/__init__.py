"""Optimisation: pure steps, one impure loop, exact evaluation.

>>> import train
>>> result = train.fit(train.Config(model="resnet8", dataset="zoo_digits", epochs=30))
"""

from train.augment import Augment
from train.config import Config, OptimizerConfig
from train.data import eval_batches, evaluation_split, few_shot, load_dataset, train_batches
from train.evaluation import evaluate
from train.finetune import finetune
from train.loop import Result, fit
from train.losses import softmax_cross_entropy
from train.objective import Forward, Objective, Remade, calling, on, supervised
from train.optimizer import make_optimizer, make_schedule
from train.parallel import data_mesh, parallelize
from train.pictures import image_grid
from train.predict import predict
from train.signals import Interrupted
from train.state import TrainState, create_state, published
from train.step import make_train_step
from train.task import CLASSES, NUMBERS, Task
from zoo.parameters import Parameters, select

__all__ = [
    "CLASSES",
    "NUMBERS",
    "Augment",
    "Config",
    "Forward",
    "Interrupted",
    "Objective",
    "OptimizerConfig",
    "Parameters",
    "Remade",
    "Result",
    "Task",
    "TrainState",
    "calling",
    "create_state",
    "data_mesh",
    "eval_batches",
    "evaluate",
    "evaluation_split",
    "few_shot",
    "finetune",
    "fit",
    "image_grid",
    "load_dataset",
    "make_optimizer",
    "make_schedule",
    "make_train_step",
    "on",
    "parallelize",
    "predict",
    "published",
    "select",
    "softmax_cross_entropy",
    "supervised",
    "train_batches",
]
