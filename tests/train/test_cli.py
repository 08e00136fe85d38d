"""The command line, called as its `main`; what needs a process of its own is in test_processes."""

import dataclasses
import errno
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from safetensors import SafetensorError
from safetensors.numpy import save_file
from sklearn.datasets import load_digits

import checkpoints
from jax_functional_zoo.__main__ import COMMANDS, main
from train import report
from train.cli.caches import configure_jax
from train.cli.options import options, spelled
from train.cli.predict import PredictArguments
from train.cli.train import TrainArguments
from train.pictures import image_grid
from train.predict import check_picture
from train.recipes import DESCRIBED, RECIPES
from zoo.errors import UsageError

SHIPPED = "resnet8.digits"

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
    command = importlib.import_module(f"train.cli.{name}")
    for option in dict(options(command.ARGUMENTS)).values():  # what messages speak of
        assert option in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "--clip-norm", "-1"), "`--clip-norm` must be positive and finite, got -1.0"),
        (("train", "--steps", "1", "--epochs", "1"), "give `--steps` or `--epochs`, not both"),
        (("train", "--rates", "head", "nan"), "`--rates` of 'head' must be positive"),
        (("train", "--dataset", "zoo_digits"), "`--model` or `--weights` is needed"),
        (("train", "--model", "resnet8"), "`--dataset` is needed"),
        (("finetune", "--recipe", "a", "--config", "b"), "give `--recipe` or `--config`, not both"),
        (("compile", "resnet8", "--batch-size", "0"), "`--batch-size` must be positive"),
    ],
)
def test_messages_speak_of_options(zoo, arguments, words):
    status, _, err = zoo(*arguments)
    assert status == 2
    assert err.splitlines()[-1].startswith(f"zoo {arguments[0]}: {words}")


def test_only_what_is_an_option_is_spelled_as_one():
    text = "`batch_size` of `zoo_digits`, `images`, `config`, `overrides`"
    assert spelled(text, TrainArguments) == (
        "`--batch-size` of `zoo_digits`, `images`, `--config`, `--set`"
    )
    assert spelled(text, PredictArguments) == (
        "`batch_size` of `zoo_digits`, `IMAGE...`, `config`, `overrides`"
    )
    assert spelled("`names`", lambda: None) == "`names`"


@pytest.mark.parametrize("command", ["train", "finetune"])
def test_recipes_are_listed_with_a_sentence_each(zoo, command):
    status, out, _ = zoo(command, "--recipe", "help")
    assert status == 0
    for name, recipe in DESCRIBED.items():
        assert name in out
        assert recipe.about.endswith(".")
        assert recipe.config.model or recipe.config.weights
    assert len({recipe.about for recipe in DESCRIBED.values()}) == len(DESCRIBED)
    assert "did you mean 'resnet8.digits'" in zoo(command, "--recipe", "resnet9.digits")[2]


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
    newest, best = (checkpoints.load(name).card for name in (run, f"{run}@best"))
    for path, known in ((run, newest), (f"{run}@best", best), (run / "steps/00000004", newest)):
        card = json.loads(zoo("info", path, "--json")[1])
        assert card["metrics"] == known.metrics
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
    assert f"{file}: took 'module.' off every name\n" in err
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
@pytest.mark.slow
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


@pytest.mark.slow
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
        (["train", "--model", "resnet8"], "`--dataset` is needed"),
        ([*TRAIN, "--train-split", "trian"], "trian"),
        ([*TRAIN, "--batch-size", "9"], "divisible by the 8 devices, got 9; use 8 or 16"),
        ([*TRAIN, "--steps", "3", "--epochs", "2"], "`--steps` or `--epochs`, not both"),
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
    assert "does not know the classes" in err
    assert "zoo finetune" in err


@pytest.fixture
def odd_images(tmp_path):
    """One picture in every way of storing pixels, in a folder whose name has a space."""
    folder = tmp_path / "odd pictures"
    folder.mkdir()
    pixels = (load_digits().images[3] * 255 / 16).astype(np.uint8)
    grey = Image.fromarray(pixels)
    grey.save(folder / "ünï cödé.png")
    grey.convert("RGBA").save(folder / "alpha.PNG")
    grey.convert("P").save(folder / "palette.gif")
    grey.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    Image.fromarray(pixels.astype(np.uint16) * 257).save(folder / "deep.png")
    grey.crop((0, 0, 1, 1)).save(folder / "one_pixel.png")
    grey.resize((4000, 10)).save(folder / "wide.webp")
    return folder


def test_predict_takes_odd_images_and_draws_them(zoo, odd_images, tmp_path):
    grid = tmp_path / "new folder" / "grid.png"
    status, out, err = zoo("predict", "--weights", SHIPPED, odd_images, "--save", grid, "--json")
    assert (status, err) == (0, "")
    first = {Path(r["image"]).name: r["top"][0]["class"] for r in json.loads(out)}
    for name in ("ünï cödé.png", "alpha.PNG", "palette.gif", "cmyk.jpg", "deep.png"):
        assert first[name] == "3", name
    assert len(first) == 7
    with Image.open(grid) as picture:
        assert np.asarray(picture.convert("L")).std() > 30
    assert [path.name for path in grid.parent.iterdir()] == ["grid.png"]


def test_predict_leaves_broken_files_out_if_asked(zoo, odd_images):
    (odd_images / "text.png").write_text("no image")
    (odd_images / "cut.png").write_bytes((odd_images / "deep.png").read_bytes()[:60])
    status, out, err = zoo("predict", "--weights", SHIPPED, odd_images)
    assert status == 2
    assert "cut.png' cannot be read as an image" in err
    status, out, err = zoo("predict", "--weights", SHIPPED, odd_images, "--skip-broken", "--json")
    assert (status, err) == (0, "broken images left out: 2\n")
    assert len(json.loads(out)) == 7


def test_predict_names_the_file_whose_pixels_it_does_not_take(zoo, tmp_path):
    Image.fromarray(np.zeros((8, 8), np.float32)).save(tmp_path / "height.tif")
    status, _, err = zoo("predict", "--weights", SHIPPED, tmp_path)
    assert status == 2
    assert "height.tif' cannot be used" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--save", "grid.xyz"], "must end in one of .png"),
        (["--save", "."], "must end in one of .png"),
        (["--save", "text/grid.png"], "could not write 'text/grid.png'"),
        (["--top", "0"], "`--top` must be at least 1, got 0"),
        (["--top", "few"], "invalid literal for int"),
    ],
)
def test_predict_refuses_what_it_cannot_do(zoo, options, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("L", (8, 8)).save("image.png")
    Path("text").write_text("no folder")
    status, _, err = zoo("predict", "--weights", SHIPPED, "image.png", *options)
    assert status == 2
    assert words in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["image.png", "text"]


def test_predict_wants_images(zoo):
    assert zoo("predict", "--weights", SHIPPED)[2].endswith(
        "give at least one image, or a folder of images\n"
    )


def test_titles_of_a_grid_hold_no_codes():
    """Which the library that draws would repeat on the terminal, in a warning: an error here."""
    grid = image_grid([np.zeros((8, 8), np.uint8)], ["a\x1b]0;title\x07\x08\x9b2J\u202eb"])
    assert np.asarray(grid).std() > 5


def test_a_grid_has_a_largest_size(tmp_path):
    with pytest.raises(UsageError, match=r"at most 1,000 images, got 1,001"):
        check_picture(tmp_path / "grid.png", 1001)


def test_both_spellings_of_an_option_choose_a_recipe(zoo):
    for words in (["--recipe", "none"], ["--recipe=none"]):
        status, _, err = zoo("train", *words)
        assert (status, err.split(";")[0]) == (2, "zoo train: no recipe 'none'")


def test_a_wrong_value_of_an_option_that_may_be_left_out_is_one_error(zoo):
    status, _, err = zoo("train", "--steps", "many")
    assert status == 2
    assert err.count("invalid literal") == 1
    assert "NoneType" not in err
    assert "--steps INT" in err


def test_none_takes_the_place_of_a_default(zoo):
    assert zoo(*TRAIN, "--clip-norm", "None", "--steps", "0")[2].count("`--steps` must be positive")


def test_a_narrow_terminal_shows_whole_names_and_says_what_is_left_out(monkeypatch, capsys):
    monkeypatch.setattr(report, "console", lambda: Console(width=40, file=sys.stdout))
    report.print_table(["name", "a", "b"], [["resnet50.a1_in1k", "x" * 15, "y" * 15]])
    out = capsys.readouterr().out
    assert "resnet50.a1_in1k  xxxxxxxxxxxxxxx" in out
    assert "y" not in out
    assert "too narrow for: b" in out


@pytest.mark.parametrize("arguments", [["list"], ["weights", "--json"]])
def test_a_reader_that_has_seen_enough_gets_no_traceback(arguments):
    """As in `zoo list | head -1`: the pipe is closed before anything is written."""
    code = "import sys; from jax_functional_zoo.__main__ import main; sys.exit(main(sys.argv[1:]))"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert "Traceback" not in done.stderr
    assert "Broken pipe" not in done.stderr
    assert done.returncode in (1, 141)  # 1 is what rich makes of it


def test_without_a_cache_directory_programs_are_compiled_anew(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    changes = {}
    unset = {"jax_compilation_cache_dir": None}
    config = SimpleNamespace(values=unset, update=changes.__setitem__)
    monkeypatch.setattr(jax, "config", config)
    configure_jax()
    assert changes == {}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    configure_jax()
    assert changes["jax_compilation_cache_dir"] == str(tmp_path / "jax-functional-zoo" / "xla")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/locked"), "denied: /locked"),
        (OSError(errno.ENOSPC, "No space left on device", "/full"), "no space left"),
        (OSError(errno.EROFS, "Read-only file system", "/mnt"), "Read-only file system: /mnt"),
        (RuntimeError("write() failed: No space left on device"), "no space left"),
    ],
)
def test_what_the_machine_refuses_is_a_sentence(zoo, monkeypatch, error, words):
    def fail(*_):
        raise error

    monkeypatch.setattr("train.cli.list.command", fail)
    status, _, err = zoo("list")
    assert status == 2
    assert err.startswith("zoo list: ")
    assert words in err


def test_a_run_directory_that_cannot_be_made_is_named(zoo, tmp_path):
    (tmp_path / "file").write_text("")
    for out, words in (("file", "is a file"), ("file/run", "cannot make `--out`")):
        status, _, err = zoo(*TRAIN, "--steps", "1", "--out", tmp_path / out)
        assert status == 2
        assert words in err
        assert "choose another `--out`" in err


def test_a_batch_that_groups_cannot_share_is_refused(zoo):
    words = "divisible by the 3 `--batch-norm-groups`, got 32; use 30 or 33"
    assert words in zoo(*TRAIN, "--steps", "1", "--batch-norm-groups", "3")[2]


def test_a_file_that_cannot_be_written_is_named(zoo, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise SafetensorError("I/O error: Permission denied (os error 13)")

    monkeypatch.setattr("safetensors.numpy.save_file", fail)
    status, _, err = zoo("convert", SHIPPED, "--to", tmp_path / "x.safetensors")
    assert status == 2
    assert "could not write" in err
    assert not list(tmp_path.iterdir())


def test_finetune_without_arguments_runs_the_transfer_recipe(zoo, monkeypatch, tmp_path):
    seen = []

    def record(config, *, compare_scratch, reporter):
        seen.append((config, compare_scratch))
        raise UsageError("enough")

    monkeypatch.setattr("train.cli.finetune.finetune", record)
    assert zoo("finetune")[0] == 2
    assert seen == [(RECIPES["resnet8.transfer"], True)]
