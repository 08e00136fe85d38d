"""Labels are what they are said to be, and classes are paired by their names."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

import train
import zoo
from checkpoints.card import Card
from checkpoints.preprocess import Preprocess
from jax_functional_zoo.__main__ import main
from train.data.pairing import paired


@dataclasses.dataclass
class Listed:
    """A data set of a user's own."""

    labels: tuple
    class_names: tuple = ("a", "b", "c")
    task: str | None = None
    name, split, skipped = "listed", "train", 0

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return {"input": np.zeros((8, 8, 1), np.uint8), "label": self.labels[index]}


PIXELS = Preprocess(image_size=8, crop_pct=1.0, mean=(0.5,), std=(0.5,))


def read(data, batches):
    return next(iter(batches(data, preprocess=PIXELS, batch_size=len(data))))


def training(data, **options):
    return train.train_batches(data, seed=0, **options)


@pytest.mark.parametrize("batches", [training, train.eval_batches])
@pytest.mark.parametrize(
    ("labels", "task", "said"),
    [
        ((0, -1), None, r"has the label -1, and its 3 classes are numbered from 0 to 2; unlabel"),
        ((0, 3), None, "has the label 3, and its 3 classes are numbered from 0 to 2"),
        ((0, 1.5), "classes", "has the label 1.5"),
        ((np.array([1, 0, 1]), np.array([0, 1, 1])), None, "multi-hot labels are not supported"),
        ((0.5, float("nan")), "numbers", "has the label nan, which is not finite"),
        ((0.5, 1.0), None, "give it an attribute `task = 'numbers'`"),
    ],
)
def test_a_label_that_is_none_is_refused(batches, labels, task, said):
    with pytest.raises(zoo.UsageError, match=said):
        read(Listed(labels, task=task), batches)


def test_labels_that_are_some_are_taken():
    assert read(Listed((0, 2, 1)), train.eval_batches)["label"].tolist() == [0, 2, 1]
    numbers = read(Listed((0.5, -3.0), task="numbers"), train.eval_batches)["label"]
    assert numbers.tolist() == [0.5, -3.0]


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ([-1, 1, -1], "must be classes numbered from 0, got -1"),
        ([0, 4000, 1], "3 classes with numbers up to 4000, and 2 is none of them"),
        ([[1, 0], [1, 1], [0, 1]], "has 2 targets for each example"),
        ([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], "multi-hot labels are not supported"),
    ],
)
def test_targets_of_arrays_are_checked_when_they_are_opened(targets, said, tmp_path):
    (tmp_path / "train").mkdir()
    np.save(tmp_path / "train" / "inputs.npy", np.zeros((3, 5, 1), np.float32))
    np.save(tmp_path / "train" / "targets.npy", np.array(targets))
    with pytest.raises(zoo.UsageError, match=said):
        train.load_dataset(tmp_path, "train")
    if "4000" in said:  # with names, classes without examples are meant
        (tmp_path / "classes.txt").write_text("\n".join(f"class {n}" for n in range(4001)))
        assert len(train.load_dataset(tmp_path, "train").class_names) == 4001


def test_classes_are_paired_by_name():
    card = Card("w", "resnet8", num_classes=4, class_names=("Cat", "dog", "great_white", "owl"))
    data = Listed((0, 1, 1), class_names=("Great White ", "cat"))
    found = paired(data, card)
    assert [found[i]["label"] for i in range(3)] == [2, 0, 0]
    assert [found.label(i) for i in range(3)] == [2, 0, 0]
    assert found.class_names == card.class_names
    same = Listed((0,), class_names=card.class_names)
    assert paired(same, card) is same


def test_a_class_that_weights_do_not_know_is_refused():
    card = Card("w", "resnet8", num_classes=2, class_names=("cat", "dog"))
    with pytest.raises(zoo.UsageError, match=r"know the classes 'lion' of listed: .* 'cat', 'dog'"):
        paired(Listed((0,), class_names=("cat", "lion")), card)
    with pytest.raises(zoo.UsageError, match="know the classes '0', '1'"):
        paired(Listed((0,), class_names=("0", "1")), card)


def test_numbers_pair_with_numbers_where_weights_name_no_classes():
    data = Listed((0,), class_names=("0", "1"))
    assert paired(data, Card("w", "resnet8", num_classes=2)) is data
    with pytest.raises(zoo.UsageError, match="tells 3 classes apart and names none"):
        paired(data, Card("w", "resnet8", num_classes=3))


def test_imagenet_is_known_by_identifiers_and_by_names():
    card = Card("w", "resnet50", num_classes=1000, label_set="imagenet1k")
    for name, number in (("n01440764", 0), ("tench", 0), ("n15075141", 999), ("goldfish", 1)):
        assert paired(Listed((0,), class_names=(name,)), card)[0]["label"] == number


def test_evaluation_does_not_go_by_the_order_of_names(tmp_path, capsys):
    digits = train.load_dataset("zoo_digits", "test")
    words = ["Zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    for i in range(60):
        example = digits[i]
        for root, name in (("same", str(example["label"])), ("words", words[example["label"]])):
            (tmp_path / root / name).mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(example["input"][..., 0])
            image.save(tmp_path / root / name / f"{i}.png")
    evaluate = ["evaluate", "--weights", "resnet8.digits", "--split", "all", "--json", "--dataset"]
    assert main([*evaluate, str(tmp_path / "same")]) == 0
    assert '"top1": 1.0' in capsys.readouterr().out
    assert main([*evaluate, str(tmp_path / "words")]) == 2
    said = capsys.readouterr().err
    assert "'Zero'" in said
    assert "'0', '1'" in said
