"""The same digits in every kind of file, and what is said of damaged ones."""

import io
import json
import struct
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image

import checkpoints
import train
from train.data.records import example
from train.data.records.crc32c import crc32c, masked
from zoo.errors import UsageError

ALL = "train+validation+test"
PER_FILE = 700


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def digits():
    return train.load_dataset("zoo_digits", ALL)


@pytest.fixture(scope="module")
def encoded(digits):
    """PNG and class of each digit."""
    found = []
    for i in range(len(digits)):
        file = io.BytesIO()
        Image.fromarray(digits[i]["input"][..., 0]).save(file, "PNG")
        found.append((file.getvalue(), int(digits[i]["label"])))
    return found


def varint(n):
    n %= 2**64
    return bytes([n & 0x7F | 0x80]) + varint(n >> 7) if n > 0x7F else bytes([n])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def message(png, label, name="image"):
    """A `tf.train.Example` with an image and a packed label."""
    values = {name: field(1, field(1, png)), "label": field(3, field(1, varint(label)))}
    entries = [field(1, field(1, n.encode()) + field(2, feature)) for n, feature in values.items()]
    return field(1, b"".join(entries))


def write_tar(path, examples):
    with tarfile.open(path, "w") as archive:
        for i, (png, label) in enumerate(examples):
            for name, content in ((f"{i:06}.png", png), (f"{i:06}.cls", b"%d" % label)):
                member = tarfile.TarInfo(f"./{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def framed(content):
    length = struct.pack("<Q", len(content))
    checksums = [struct.pack("<I", masked(part)) for part in (length, content)]
    return length + checksums[0] + content + checksums[1]


def write_tfrecord(path, examples):
    path.write_bytes(b"".join(framed(message(*e, name="image/encoded")) for e in examples))


def write_array_record(path, examples):
    writer = ArrayRecordWriter(str(path), "group_size:1")
    for png, label in examples:
        writer.write(message(png, label))
    writer.close()


def table(examples):
    feature = {"info": {"features": {"label": {"names": list("0123456789")}}}}
    images = [{"bytes": png, "path": None} for png, _ in examples]
    return pa.table(
        {"image": images, "label": [label for _, label in examples]}
    ).replace_schema_metadata({"huggingface": json.dumps(feature)})


def write_arrow(path, examples):
    found = table(examples)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, found.schema) as stream:
        stream.write_table(found, max_chunksize=100)


def write_parquet(path, examples):
    pq.write_table(table(examples), path, row_group_size=100)


WRITERS = {
    "train-{:05}.tar": write_tar,
    "digits-train.tfrecord-{:05}-of-00003": write_tfrecord,
    "digits.array_record-{:05}-of-00003": write_array_record,
    "train/data-{:05}-of-00003.arrow": write_arrow,
    "data/train-{:05}-of-00003.parquet": write_parquet,
}


@pytest.fixture(params=WRITERS)
def folder(request, encoded, tmp_path):
    for i, begin in enumerate(range(0, len(encoded), PER_FILE)):
        path = tmp_path / "digits" / request.param.format(i)
        path.parent.mkdir(parents=True, exist_ok=True)
        WRITERS[request.param](path, encoded[begin : begin + PER_FILE])
    return tmp_path / "digits"


def test_every_kind_of_file_gives_the_same_batches_to_the_bit(folder, digits):
    data = train.load_dataset(folder)
    assert (len(data), data.class_names) == (1797, digits.class_names)
    for i in (0, PER_FILE - 1, PER_FILE, 1796):
        np.testing.assert_array_equal(data[i]["input"], digits[i]["input"])
    preprocess = checkpoints.weights_info("resnet8.digits").preprocess
    options = {"preprocess": preprocess, "batch_size": 599, "seed": 3, "threads": 0}
    for position, count in ((0, 3), (1500, 1)):  # all of them, and from one epoch into the next
        ours, theirs = (
            train.train_batches(d, position=position, **options) for d in (data, digits)
        )
        for _ in range(count):
            found, expected = next(ours), next(theirs)
            np.testing.assert_array_equal(found["input"], expected["input"])
            np.testing.assert_array_equal(found["label"], expected["label"])
    again = train.load_dataset(folder)  # through the index that was kept
    np.testing.assert_array_equal(again[1000]["input"], digits[1000]["input"])
    assert data.contents() == again.contents()


def test_splits_are_named_by_files_and_slices_work(encoded, tmp_path):
    for split, part in {"train": encoded[:40], "val": encoded[40:60]}.items():
        write_tar(tmp_path / f"shard-{split}-0.tar", part)
    (tmp_path / "classes.txt").write_text("".join(f"digit {n}\n" for n in range(10)))
    assert train.data.load.splits(tmp_path) == ("train", "val")
    assert len(train.load_dataset(tmp_path, "train[10:]+validation[:50%]")) == 40
    data = train.load_dataset(tmp_path, "validation")
    assert data.class_names[3] == "digit 3"
    assert [data.label(i) for i in range(20)] == [label for _, label in encoded[40:60]]
    with pytest.raises(UsageError, match="has no split 'test'; it has 'train', 'val'"):
        train.load_dataset(tmp_path, "test")


def test_names_of_classes_may_stand_in_the_records(tmp_path, encoded):
    labels = ["cat", "dog", "cat"]
    images = [png for png, _ in encoded[:3]]
    pq.write_table(pa.table({"img": images, "label": labels}), tmp_path / "pets.parquet")
    data = train.load_dataset(tmp_path / "pets.parquet")
    assert data.class_names == ("cat", "dog")
    assert [data[i]["label"] for i in range(3)] == [0, 1, 0]


@pytest.mark.parametrize("at", [0, 3, 9, 12])
def test_a_damaged_record_is_named(at, encoded, tmp_path):
    path = tmp_path / "digits.tfrecord"
    write_tfrecord(path, encoded[:10])
    (tmp_path / "classes.txt").write_text("\n".join("0123456789"))
    content = bytearray(path.read_bytes())
    size = len(framed(message(*encoded[0], name="image/encoded")))
    content[at if at < 12 else size - 40] ^= 4  # of the length, its checksum, or the picture
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"record 0 is cut short or no record|checksum is another"):
        train.load_dataset(tmp_path)[0]


def test_a_file_that_was_cut_short_is_named(encoded, tmp_path):
    for name, write in {"a.tfrecord": write_tfrecord, "a.arrow": write_arrow}.items():
        folder = tmp_path / name.replace(".", "-")
        folder.mkdir()
        write(folder / name, encoded[:50])
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(UsageError, match=f"{name}' cannot be read as"):
            train.load_dataset(folder)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"image": b"no picture", "label": 1}, "record 0 of .* cannot be read as an image"),
        ({"image": 7, "label": 1}, "must hold a picture's bytes, got int"),
        ({"image": b"", "label": 1.5}, "has the label 1.5, and one class is wanted"),
        ({"picture": b"", "label": 1}, "has the fields label, picture, and none of image, img"),
    ],
)
def test_what_is_no_labelled_image_is_refused(row, words, tmp_path):
    pq.write_table(pa.table({name: [value] for name, value in row.items()}), tmp_path / "a.parquet")
    (tmp_path / "classes.txt").write_text("a\nb\n")
    data = train.load_dataset(tmp_path)
    with pytest.raises(UsageError, match=words):
        [data.label(0), data[0]]


def test_checksums_are_those_of_the_standard():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(b"") == 0
    assert crc32c(b"a") == 0xC1D04330


def test_messages_hold_what_was_written():
    found = example.parse(message(b"\x00png", 300))
    assert found == {"image": [b"\x00png"], "label": [300]}
    assert example.parse(message(b"", -2))["label"] == [-2]
    floats = field(2, field(1, np.array([0.5, -3], "<f4").tobytes()))
    assert example.parse(field(1, field(1, field(1, b"x") + field(2, floats)))) == {
        "x": [0.5, -3.0]
    }
    with pytest.raises(ValueError, match="cut short"):
        example.parse(message(b"png", 3)[:-1])
