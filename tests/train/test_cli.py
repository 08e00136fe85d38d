"""The command line, called as its `main`; what needs a process of its own is in test_processes."""

import dataclasses
import json

import pytest
from PIL import Image
from safetensors.numpy import save_file

import checkpoints
from train.cli import COMMANDS, main

TRAIN = [
    *("train", "--model", "resnet8", "--dataset", "zoo_digits", "--batch-size", "32"),
    *("--log-every", "1"),
]


@pytest.fixture
def zoo(capsys):
    """`zoo(...)`: exit status, stdout and stderr of a command."""

    def run(*arguments):
        try:
            status = main([str(a) for a in arguments])
        except SystemExit as stop:  # tyro, for --help and for options that do not exist
            status = stop.code
        return status, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run of `zoo train`."""
    directory = tmp_path_factory.mktemp("runs") / "digits"
    assert main([*TRAIN, "--steps", "4", "--out", str(directory), "--json"]) == 0
    return directory


def test_without_arguments_it_explains_itself(zoo):
    status, out, _ = zoo()
    assert status == 0
    assert all(name in out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(zoo, name):
    status, out, _ = zoo(name, "--help")
    assert status == 0
    assert f"usage: zoo {name}" in out


@pytest.mark.parametrize("name", ["train", "finetune"])
def test_training_commands_take_the_promised_options(zoo, name):
    _, out, _ = zoo(name, "--help")
    for option in (
        *("model", "weights", "dataset", "steps", "epochs", "batch-size", "learning-rate"),
        *("seed", "parallel", "out", "resume", "json"),
    ):
        assert f"--{option} " in out or f"--{option}," in out or f"--{option}\n" in out, option


def test_list(zoo):
    assert "25,557,032" in zoo("list", "resnet50")[1]
    names = [row["name"] for row in json.loads(zoo("list", "--family", "resnet", "--json")[1])]
    assert "resnet50" in names


def test_weights_show_licences(zoo):
    _, out, _ = zoo("weights", "resnet18.*")
    assert "cc-by-nc-4.0" in out
    assert "resnet18.fb_ssl_yfcc100m_ft_in1k" in out
    assert out.count("non-commercial") == 2


def test_info_of_an_architecture_and_of_weights(zoo):
    assert "resnet50.a1_in1k" in zoo("info", "resnet50")[1]
    card = json.loads(zoo("info", "resnet50.a1_in1k", "--json")[1])
    assert card["license"] == "apache-2.0"
    _, out, _ = zoo("info", "resnet50.fb_swsl_ig1b_ft_in1k")
    for name in dataclasses.asdict(checkpoints.weights_info("resnet50.fb_swsl_ig1b_ft_in1k")):
        assert f" {name.replace('_', ' ')} " in out


def test_info_of_runs_checkpoints_and_files(zoo, run, tmp_path):
    newest = checkpoints.load(run).card
    for path in (run, f"{run}@best", run / "steps" / "00000004"):
        card = json.loads(zoo("info", path, "--json")[1])
        assert card["metrics"] == newest.metrics
        assert card["class_names"] == list("0123456789")
    file = tmp_path / "resnet8.safetensors"
    assert zoo("convert", run, "--to", file)[0] == 0
    source = json.loads(zoo("info", file, "--json")[1])["source"]
    assert source["checked"].startswith("names and shapes only")
    assert zoo("info", tmp_path)[0] == 2


def test_what_is_taken_off_a_file_is_said(zoo, run, tmp_path):
    loaded = checkpoints.load(run)
    tensors = checkpoints.export_weights(loaded.model, loaded.variables)
    file = tmp_path / "resnet8.safetensors"
    save_file({f"module.{name}": tensor for name, tensor in tensors.items()}, file)
    _, out, err = zoo("evaluate", "--weights", file, "--dataset", "zoo_digits", "--json")
    assert err == f"{file}: took 'module.' off every name\n"
    assert json.loads(out)["count"] == 360


def test_doctor(zoo):
    status, out, _ = zoo("doctor")
    assert status == 0
    assert "all ours" in out
    assert "8 x cpu" in out


def test_train_says_where_everything_is(zoo, tmp_path):
    status, out, err = zoo(*TRAIN, "--steps", "2", "--out", tmp_path / "run")
    assert (status, err) == (0, "")
    assert out.strip().splitlines()[-1].endswith(str(tmp_path / "run"))
    assert "trained" in out


@pytest.mark.parametrize("how", ["pmap", "shard_map"])
def test_train_runs_under_every_wrapper(zoo, run, how, tmp_path):
    assert zoo(*TRAIN, "--steps", "4", "--parallel", how, "--out", tmp_path / how)[0] == 0
    curves = [
        [json.loads(line)["loss"] for line in (d / "metrics.jsonl").read_text().splitlines()]
        for d in (run, tmp_path / how)
    ]
    assert curves[1] == pytest.approx(curves[0], rel=1e-5)


def test_evaluate_a_run(zoo, run):
    status, out, _ = zoo("evaluate", "--weights", run, "--json")
    assert status == 0
    assert json.loads(out).keys() == {"top1", "top5", "loss", "count"}
    assert json.loads(out)["count"] == 360
    assert "zoo_digits:test" in zoo("evaluate", "--weights", run)[1]


def test_predict_files_and_folders(zoo, run, pictures, tmp_path):
    grid = tmp_path / "new" / "grid.png"
    one = pictures / "two" / "00.png"
    status, out, _ = zoo("predict", "--weights", run, one, pictures / "one", "--save", grid)
    assert status == 0
    assert out.count("%") == 13 * 5
    with Image.open(grid) as picture:
        assert picture.width > 500
    _, out, _ = zoo("predict", "--weights", run, one, "--json", "--top", "3")
    (answer,) = json.loads(out)
    assert answer["image"] == str(one)
    probabilities = [guess["probability"] for guess in answer["top"]]
    assert len(probabilities) == 3
    assert probabilities == sorted(probabilities, reverse=True)


def test_finetune_on_a_folder_gives_a_fresh_head(zoo, run, pictures, tmp_path):
    out = tmp_path / "tuned"
    status, text, _ = zoo(
        *("finetune", "--weights", run, "--dataset", pictures, "--steps", "2", "--batch-size", "8"),
        *("--out", out, "--json"),
    )
    assert status == 0
    found = json.loads(text)
    assert found["scratch"] is None  # never trained twice unless asked for
    assert found["after"]["count"] == found["before"]["count"]
    _, text, _ = zoo("predict", "--weights", out, pictures / "two" / "00.png")
    assert all(name in text for name in ("zero", "one", "two"))
    again = json.loads(zoo("evaluate", "--weights", out, "--dataset", pictures, "--json")[1])
    assert again == pytest.approx(found["after"])


def test_finetune_compares_with_scratch_if_asked(zoo, tmp_path):
    status, text, _ = zoo(
        *("finetune", "--weights", "resnet8.digits", "--dataset", "zoo_digits", "--steps", "2"),
        *("--batch-size", "8", "--compare-scratch", "--out", tmp_path / "x", "--json"),
    )
    assert status == 0
    assert json.loads(text)["scratch"]["count"] == 360
    assert (tmp_path / "x" / "from_scratch" / "metrics.jsonl").exists()
    # Weights that were trained on are not held to what their origin answers.
    assert checkpoints.weights_info("resnet8.digits").fingerprint is not None
    assert checkpoints.load(tmp_path / "x").card.fingerprint is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trane"], "no command 'trane'; did you mean 'train'"),
        (["info", "resnet5"], "'resnet50'"),
        (["list", "rasnet"], "no architecture matches 'rasnet'"),
        (["weights", "resnet50.b7"], "no weights match 'resnet50.b7'"),
        (["evaluate", "--weights", "resnet50"], "resnet50.a1_in1k"),
        (["evaluate", "--weights", "no/such/run"], "no/such/run"),
        (["predict", "--weights", "resnet18.a1_in1k", "nothing.png"], "no such image: nothing.png"),
        (["train", "--recipe", "resnet9.digits"], "no recipe 'resnet9.digits'"),
        (["train", "--model", "resnet8", "--dataset", "zoo_digts"], "zoo_digits"),
        (["train", "--model", "resnet8"], "`dataset` is needed"),
        ([*TRAIN, "--train-split", "trian"], "trian"),
        ([*TRAIN, "--batch-size", "9"], "divisible by the 8 devices, got 9; use 8 or 16"),
        ([*TRAIN, "--steps", "3", "--epochs", "2"], "`steps` or `epochs`, not both"),
        (["finetune", "--dataset", "zoo_digits"], "`--weights` is needed"),
    ],
)
def test_what_the_user_can_mend_is_a_sentence(zoo, arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = zoo(*arguments)
    assert status == 2
    assert words in err
    assert "Traceback" not in out + err
    assert not list(tmp_path.iterdir())


def test_options_that_do_not_exist_are_refused(zoo):
    status, out, err = zoo("train", "--modle", "resnet8")
    assert status == 2
    assert "--model" in out + err


def test_weights_for_other_classes_are_refused(zoo, run, pictures):
    status, _, err = zoo("evaluate", "--weights", run, "--dataset", pictures)
    assert status == 2
    assert "tells 10 classes apart" in err
    assert "zoo finetune" in err
