"""Places that a user names."""

import importlib.util
import os
from pathlib import Path

import pytest
from etils import epath

from checkpoints import installation, paths
from zoo.errors import UsageError


def test_a_local_path_is_a_path_and_home_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for place in ("runs/a", Path("runs/a"), "./gs", "a:b/c"):
        assert paths.path(place) == Path(place)
        assert not paths.is_remote(place)
    assert paths.path("~/runs/a") == paths.path(Path("~/runs/a")) == tmp_path / "runs" / "a"
    assert paths.path("a/~/b") == Path("a/~/b")
    with pytest.raises(UsageError, match="the home of a user who is not known"):
        paths.path("~nobody_of_this_name/x")


@pytest.mark.parametrize("place", ["gs://b/run", Path("gs://b/run"), "gs:/b/run", "gs:///b/run"])
def test_an_address_is_an_address_even_where_pathlib_has_seen_it(place):
    found = paths.path(place)
    assert isinstance(found, epath.Path)
    assert os.fspath(found) == os.fspath(paths.path(found)) == "gs://b/run"
    assert paths.is_remote(place)
    assert paths.is_remote(found)


@pytest.mark.parametrize("place", ["https://x.org/a", "gz://bucket/run", "file:///tmp/a"])
def test_other_addresses_are_refused(place):
    assert paths.is_remote(place)
    with pytest.raises(UsageError, match="is no address that can be read or written"):
        paths.path(place)


@pytest.mark.parametrize("place", ["gs://", "gs:///", "gs:/"])
def test_an_address_without_a_bucket_is_refused(place):
    with pytest.raises(UsageError, match="names no bucket; write gs://BUCKET/FOLDER"):
        paths.path(place)


@pytest.mark.parametrize(
    ("place", "how"),
    [("gs://b/run", installation.command("gcs")), ("s3://b/run", "pip install s3fs")],
)
def test_without_its_library_the_sentence_says_what_to_install(monkeypatch, place, how):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as error:
        paths.path(place)
    assert str(error.value).endswith(f": {how}")
