"""`zoo push`."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

import checkpoints
from checkpoints import hub, hub_folder, manifest, paths, upload
from train.cli.arguments import parse
from train.cli.output import emit_json
from train.report import console, print_table
from zoo.errors import printable


@dataclasses.dataclass(frozen=True)
class PushArguments:
    """Publishes weights as a repository of the Hugging Face hub, by one commit.

    The repository has the weights as safetensors, in timm's names where timm has the architecture,
    a configuration that timm reads too, and the card as a README. `hf-hub:OWNER/NAME` then loads
    them wherever a name of weights is taken. HF_TOKEN says who you are.

        zoo push runs/pets someone/pets --dry-run
        zoo push runs/pets@best someone/pets --private
    """

    weights: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="WEIGHTS")]
    """A name of `zoo weights`, a run, a checkpoint directory, or a file of weights."""
    repo: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OWNER/NAME")]
    """The repository; it is made if it is not there."""
    private: bool = False
    """Make a repository that only its owner sees."""
    dry_run: bool = False
    """Write the folder, say what would be uploaded, and upload nothing."""
    out: str | None = None
    """Folder for the files; None is `runs/hub/OWNER--NAME`."""
    json: bool = False
    """Print JSON: repo, folder, files, commit."""


ARGUMENTS = PushArguments


def command(argv: list[str]) -> None:
    """`zoo push`."""
    arguments = parse(PushArguments, "push", argv)
    repo = arguments.repo
    upload.check_name(repo)
    folder = paths.local(arguments.out or Path("runs", "hub", repo.replace("/", "--")))
    loaded = checkpoints.load(arguments.weights)
    files = hub_folder.write(loaded, folder, repo)
    commit = None
    if not arguments.dry_run:
        message = f"Weights of {loaded.card.name}"
        commit = upload.upload(files, repo, arguments.private, message)
    rows = [
        {"file": path.name, "bytes": path.stat().st_size, "sha256": manifest.sha256(path)}
        for path in files
    ]
    if arguments.json:
        return emit_json({"repo": repo, "folder": str(folder), "files": rows, "commit": commit})
    print_table(["file", "bytes", "SHA-256"], [[*row.values()] for row in rows])
    end = (
        f"not uploaded; without --dry-run the files of {folder} go to {hub.endpoint()}/{repo}"
        if commit is None
        else f'uploaded: {commit}\nload them with checkpoints.load("hf-hub:{repo}")'
    )
    console().print(printable(end), soft_wrap=True)
    return None
