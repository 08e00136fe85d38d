"""Prepared data sets of tensorflow-datasets: where they lie, and what is missing where they do not.

The embedded builders are prepared on first use. Any other data set has to be prepared
beforehand, which may need TensorFlow and a download; the error says with which command.
"""

import contextlib
import io
import json
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core.read_only_builder import builder_from_files
from tensorflow_datasets.core.registered import DatasetNotFoundError
from tensorflow_datasets.core.utils.file_utils import list_data_dirs

from checkpoints import installation
from train.data import mirror
from train.data.digit_bags import ZooDigitBags
from train.data.digits import ZooDigits
from train.data.mnist5k import ZooMnist5k
from train.data.real_series import ZooSeries
from train.data.rendered_digits import ZooRenderedDigits
from train.data.tables import ZooTables
from train.data.textures import ZooTextures
from zoo.errors import UsageError, closest, shown

EMBEDDED: dict[str, type[tfds.core.GeneratorBasedBuilder]] = {
    "zoo_digits": ZooDigits,
    "zoo_digit_bags": ZooDigitBags,
    "zoo_mnist5k": ZooMnist5k,
    "zoo_rendered_digits": ZooRenderedDigits,
    "zoo_series": ZooSeries,
    "zoo_tables": ZooTables,
    "zoo_textures": ZooTextures,
}


def find_builder(name: str, data_dir: str | os.PathLike | None = None) -> tfds.core.DatasetBuilder:
    """Finds a prepared data set; prepares it if it is an embedded one.

    Raises:
        UsageError: there is no such data set, or it is not prepared, or not as ArrayRecord. Where
            a command mends it, the message holds that command.
    """
    stem, _, config = name.partition(":")[0].partition("/")
    if data_dir is not None:
        data_dir = os.fspath(mirror.local(data_dir, stem))
    if stem in EMBEDDED and config in ("", *EMBEDDED[stem].builder_configs):
        prepare_embedded(EMBEDDED[stem](data_dir=data_dir, config=config or None))
    for folder in list_data_dirs(data_dir):
        require_known_features(pathlib.Path(folder).expanduser() / stem)
    try:
        builder = builder_from_files(name, data_dir=data_dir)
    except (DatasetNotFoundError, ValueError):
        raise UsageError(why_missing(name, data_dir)) from None
    except ModuleNotFoundError as error:
        raise UsageError(
            f"data set {name!r} has a feature, such as audio, that is read with {error.name} only: "
            f"{installation.command('tensorflow')}; or give a folder of arrays, see "
            "`train.data.arrays`"
        ) from error
    check_random_access(builder)
    return builder


def require_known_features(folder: pathlib.Path) -> None:
    """Refuses data sets whose features are of classes that are not tensorflow-datasets' own.

    It would import any module that a features.json names.

    Raises:
        UsageError: there is one, or the file is no JSON.
    """
    for path in folder.glob("**/features.json") if folder.is_dir() else ():
        try:
            tree = json.loads(path.read_text(encoding="utf-8"))
            foreign = next((k for k in _classes(tree) if not KNOWN_CLASS.fullmatch(k)), None)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"'{path}' holds no JSON that can be read: {error}") from error
        if foreign is not None:
            raise UsageError(
                f"'{path}' names a feature of class {shown(foreign)}, which is not one of "
                "tensorflow-datasets' own, and whose code would be run; remove the folder, or "
                "prepare the data set with features of tensorflow-datasets"
            )


KNOWN_CLASS = re.compile(r"tensorflow_datasets\.core\.features\.(\w+\.)*[A-Z]\w*")


def _classes(tree: Any) -> Iterator[str]:
    """Names of classes anywhere in a features.json, of today's form and of earlier ones."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            is_class = key in ("pythonClassName", "python_class_name", "type")
            if is_class and isinstance(value, str):
                yield value
            else:
                yield from _classes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _classes(value)


def prepare_embedded(builder: tfds.core.DatasetBuilder) -> None:
    """Writes an embedded data set unless it is there already: silent, and takes some seconds.

    Raises:
        UsageError: the data directory cannot be written, or is full.
    """
    try:
        with quiet():
            builder.download_and_prepare(file_format="array_record")
    except (OSError, RuntimeError) as error:  # the writer of ArrayRecord raises the latter
        if (pathlib.Path(builder.data_dir) / "dataset_info.json").exists():
            return  # another process was faster
        raise UsageError(
            f"cannot write data set {builder.name!r} to {builder.data_dir} ({error}); choose "
            "another `data_dir`, or set TFDS_DATA_DIR"
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps progress bars and greetings of tensorflow-datasets off the terminal."""
    sink = io.StringIO()
    with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
        yield


def check_random_access(builder: tfds.core.DatasetBuilder) -> None:
    """Raises a UsageError with the command that converts, if the files have no random access."""
    formats = {file_format.value for file_format in builder.info.available_file_formats()}
    if "array_record" not in formats:
        arguments = f"None, 'array_record', dataset_version_dir={os.fspath(builder.data_dir)!r}"
        raise UsageError(
            f"data set {builder.name!r} in {builder.data_dir} is stored as "
            f"{' and '.join(formats)}, which cannot be read at random; convert it with: "
            f"{installation.command('tensorflow')} "
            'apache-beam && python -c "from tensorflow_datasets.scripts.cli.convert_format_utils '
            f'import convert_dataset; convert_dataset({arguments})"'
        )


def why_missing(name: str, data_dir: str | None) -> str:
    """What to tell somebody whose data set was not found."""
    stem = re.split("[/:]", name)[0]
    if stem in EMBEDDED:
        configs = [f"{stem}/{config}" for config in EMBEDDED[stem].builder_configs] or [stem]
        there = ", ".join(f"{config}:{EMBEDDED[stem].VERSION}" for config in configs)
        return f"unknown data set {name!r}; there is {there}"
    known = tfds.list_builders(with_community_datasets=False)
    if stem in known:
        place = f", data_dir={data_dir!r}" if data_dir else ""
        return (
            f"data set {name!r} is not prepared; prepare it with: "
            f"{installation.command('tensorflow')} && "
            'python -c "import tensorflow_datasets as tfds; '
            f"tfds.builder({name!r}, file_format='array_record'{place}).download_and_prepare()\""
        )
    names = {*EMBEDDED, *prepared_names(data_dir), *known}
    return (
        f"unknown data set {name!r}: neither a folder nor a name of tensorflow-datasets"
        f"{closest(name, names)}"
    )


def prepared_names(data_dir: str | None) -> set[str]:
    """Names of the data sets that lie in the data directories."""
    folders = [pathlib.Path(folder).expanduser() for folder in list_data_dirs(data_dir)]
    return {
        path.relative_to(folder).parts[0]
        for folder in folders
        for path in folder.glob("*/**/features.json")
    }
