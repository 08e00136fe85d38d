"""Files of records, each of which can be read by its number.

open(path) -> Shard     one function for each format, in the table `FORMATS` by endings
"""

import json
import pathlib
import struct
import tarfile
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from train.data.records import example
from train.data.records.crc32c import masked
from train.data.records.index import Index, index_of, pieces, place, write

FRAME = struct.Struct("<QI")  # of a TFRecord: length and checksum; after the record its checksum


class Shard(NamedTuple):
    """A file of records.

    Attributes:
        path: of the file.
        length: number of records.
        read: number of a record -> its fields by name. Raises `ValueError` and the like.
        names: field -> names of its classes, where the file knows them.
    """

    path: pathlib.Path
    length: int
    read: Callable[[int], dict[str, Any]]
    names: dict[str, list[str]]


def webdataset(path: pathlib.Path) -> Shard:
    """A tar file; files in it that are called alike but for what follows a dot are one record."""
    index = index_of(path, _scan_tar)

    def read(row: int) -> dict[str, Any]:
        found: dict[str, Any] = pieces(path, index, row)
        return {**found, **json.loads(found["json"])} if "json" in found else found

    return Shard(path, len(index.offsets), read, {})


def _scan_tar(path: pathlib.Path) -> Index:
    records: dict[str, dict[str, tuple[int, int]]] = {}
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            folder, _, name = member.name.rpartition("/")
            key, _, field = name.partition(".")
            if member.isfile() and key and field:
                record = records.setdefault(f"{folder}/{key}", {})
                record[field.lower()] = member.offset_data, member.size
    fields = sorted({field for record in records.values() for field in record})
    table = [[record.get(field, (-1, 0)) for field in fields] for record in records.values()]
    places = np.array(table, np.int64).reshape(len(records), len(fields), 2)
    return Index(np.array(fields, np.str_), places[..., 0], places[..., 1])


def tfrecord(path: pathlib.Path) -> Shard:
    """Framed messages with checksums, which are `tf.train.Example`.

    https://www.tensorflow.org/tutorials/load_data/tfrecord
    """
    index = index_of(path, _scan_tfrecord)

    def read(row: int) -> dict[str, Any]:
        framed = pieces(path, index, row)["record"]
        message, checksum = framed[:-4], int.from_bytes(framed[-4:], "little")
        if masked(message) != checksum:
            raise ValueError("its checksum is another than what it holds gives")
        return example.parse(message)

    return Shard(path, len(index.offsets), read, {})


def _scan_tfrecord(path: pathlib.Path) -> Index:
    found: list[tuple[int, int]] = []
    size, at = path.stat().st_size, 0
    with path.open("rb") as file:
        while at < size:
            file.seek(at)
            head = file.read(FRAME.size)
            length, checksum = FRAME.unpack(head) if len(head) == FRAME.size else (size, None)
            at += FRAME.size + length + 4
            if masked(head[:8]) != checksum or at > size:
                raise ValueError(f"record {len(found)} is cut short or no record")
            found.append((at - length - 4, length + 4))
    places = np.array(found, np.int64).reshape(-1, 2)
    return Index(np.array(["record"]), places[:, :1], places[:, 1:])


def array_record(path: pathlib.Path) -> Shard:
    """Messages with an index of their own, which are `tf.train.Example`."""
    from array_record.python.array_record_module import ArrayRecordReader

    reader = ArrayRecordReader(str(path), options="readahead_buffer_size:0")
    read = lambda row: example.parse(reader.read([row])[0])  # noqa: E731
    return Shard(path, reader.num_records(), read, {})


def arrow(path: pathlib.Path) -> Shard:
    """A stream or a file of Arrow, as Hugging Face's `save_to_disk` writes it; mapped, not read."""
    import pyarrow as pa

    file = pa.memory_map(str(path))
    try:
        table = pa.ipc.open_stream(file).read_all()
    except pa.ArrowInvalid:
        table = pa.ipc.open_file(file).read_all()
    read = lambda row: {name: table[name][row].as_py() for name in table.column_names}  # noqa: E731
    return Shard(path, len(table), read, _class_names(table.schema))


def parquet(path: pathlib.Path) -> Shard:
    """Groups of rows, which can only be read whole: written once as Arrow beside the indices."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kept = place(path, "arrow")
    if not kept.exists():
        source = pq.ParquetFile(path)

        def convert(partial: pathlib.Path) -> None:
            with pa.ipc.new_stream(str(partial), source.schema_arrow) as stream:
                for batch in source.iter_batches():
                    stream.write_batch(batch)

        write(kept, convert)
    return arrow(kept)._replace(path=path)


def _class_names(schema: Any) -> dict[str, list[str]]:
    """Names of classes, which Hugging Face's `datasets` keeps in the schema."""
    told = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = told.get("info", {}).get("features", {})
    return {name: kind["names"] for name, kind in features.items() if "names" in kind}


FORMATS: dict[str, Callable[[pathlib.Path], Shard]] = {
    "tar": webdataset,
    "tfrecord": tfrecord,
    "tfrecords": tfrecord,
    "array_record": array_record,
    "arrayrecord": array_record,
    "arrow": arrow,
    "parquet": parquet,
}
