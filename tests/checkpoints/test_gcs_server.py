"""The loopback bucket keeps the promises of the real one that its clients rely on."""

import json
import os
import urllib.error
import urllib.request

import fsspec
import pytest
import tensorstore as ts

from checkpoints import paths


@pytest.fixture
def files(bucket):
    paths.path("gs://zoo/x")  # sets the file system up
    return fsspec.filesystem("gcs")


def store(path):
    return ts.KvStore.open({"driver": "gcs", "bucket": "zoo", "path": path}).result()


def test_one_client_reads_what_another_has_written(bucket, files):
    body = os.urandom(300_000) + b"\r\n--==0==\r"
    files.pipe_file("zoo/a/one", body)
    assert store("a/")["one"] == body
    store("a/")["two"] = body
    assert files.cat_file("zoo/a/two") == body
    assert files.cat_file("zoo/a/two", start=7, end=90) == body[7:90]
    assert files.ls("zoo/a", detail=False) == ["zoo/a/one", "zoo/a/two"]
    assert store("a/").list().result() == [b"one", b"two"]


def test_an_upload_in_pieces_appears_whole_or_not_at_all(bucket, files):
    body = os.urandom(700_000)
    file = files.open("zoo/big", "wb", block_size=2**18)
    file.write(body[:600_000])
    assert "big" not in bucket.objects
    file.write(body[600_000:])
    file.close()
    assert bucket.objects["big"].body == body


def test_a_write_on_a_condition_that_does_not_hold_changes_nothing(bucket, files):
    files.pipe_file("zoo/a", b"1", mode="create")
    with pytest.raises(FileExistsError):
        files.pipe_file("zoo/a", b"2", mode="create")
    kept = store("")
    read = kept.read("a").result()
    assert kept.write("a", b"3", if_equal=read.stamp.generation).result()
    again = kept.write("a", b"4", if_equal=read.stamp.generation).result()
    assert again.generation == b""
    assert bucket.objects["a"].body == b"3"
    assert (
        kept.read("a", if_not_equal=kept.read("a").result().stamp.generation).result().value == b""
    )


def test_preconditions_and_pages_over_the_wire(bucket):
    root = f"{bucket.endpoint}/storage/v1/b/zoo/o"
    for name in ("d/1", "d/2", "d/e/3", "f"):
        bucket.write(name, b"x", {}, {})
    generation = bucket.objects["f"].generation
    for query, status in (
        (f"ifGenerationMatch={generation - 1}", 412),
        (f"ifGenerationNotMatch={generation}", 304),
        ("generation=1", 404),
    ):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"{root}/f?{query}")
        assert error.value.code == status
        error.value.close()
    found, token = [], ""
    while True:
        query = f"prefix=d/&delimiter=/&maxResults=1&pageToken={token}"
        with urllib.request.urlopen(f"{root}?{query}") as answer:
            page = json.load(answer)
        found += [item["name"] for item in page.get("items", [])] + page.get("prefixes", [])
        if (token := page.get("nextPageToken", "")) == "":
            break
    assert found == ["d/1", "d/2", "d/e/"]
