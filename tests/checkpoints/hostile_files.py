"""Files made to harm: each is small to write, and must be refused in little memory and time.

Functions take the path to write, and their names say what is wrong with the file.
"""

import io
import json
import os
import struct
import warnings
import zipfile
import zlib

import h5py
import numpy as np

from tests.checkpoints.keras_files import write_h5
from tests.checkpoints.torch_files import Call, View, dump, name, write, write_legacy

MEGABYTE = 1 << 20
W = np.arange(12, dtype=np.float32)
FLOOD = [k * ((1 << 61) - 1) for k in range(1, 3000)]  # integers of one hash


def program(body):
    """Writes a torch file whose pickle is some operations."""
    return lambda path: write(path, body, {"s": W.tobytes()})


def deep(levels, inside=b"N"):
    return b"(" * 0 + inside + b"\x85" * levels


def twice(levels):
    """A tuple of itself twice, over and over."""
    step = b"".join(
        b"q" + bytes([i]) + b"0h" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(levels)
    )
    return b")" + step


def remembered(value, place=0):
    return value + b"q" + bytes([place]) + b"0"


LIST = b"](" + b"K\x01" * 200_000 + b"e"
DICT = b"}(" + b"".join(b"J" + struct.pack("<i", i) + b"N" for i in range(50_000)) + b"u"
PICKLES = {
    "a dictionary copied by BUILD": remembered(DICT)
    + name("argparse.Namespace")
    + b")R"
    + b"h\x00b" * 500,
    "a list copied by torch.Size": remembered(LIST)
    + b"".join(name("torch.Size") + b"h\x00\x85R" for _ in range(500)),
    "pairs copied by OrderedDict": remembered(b"](" + b"K\x01N\x86" * 50_000 + b"e")
    + b"".join(name("collections.OrderedDict") + b"h\x00\x85R" for _ in range(500)),
    "a dictionary copied by OrderedDict": remembered(DICT)
    + b"".join(name("collections.OrderedDict") + b"h\x00\x85R" for _ in range(500)),
    "a list appended to itself": b"]q\x00" + b"(" + b"K\x01" * 1000 + b"e" + b"(h\x00h\x00e" * 10,
    "empty sets": b"\x8f" * MEGABYTE,
    "empty dictionaries": b"}" * MEGABYTE,
    "empty lists": b"]" * MEGABYTE,
    "nothing, many times": b"N" * (3 * MEGABYTE),
    "marks": b"(" * MEGABYTE,
    "a memo of one thing": b"N" + b"\x94" * MEGABYTE,
    "copies of the top": b"N" + b"2" * (2 * MEGABYTE),
    "a memo of colliding places": b"N" + b"".join(b"p%d\n" % n for n in FLOOD),
    "colliding keys": b"}(" + b"".join(dump(n) + b"N" for n in FLOOD) + b"u",
    "colliding members": b"\x8f(" + b"".join(map(dump, FLOOD)) + b"\x90",
    "a text of wide letters": dump("a" * (12 * MEGABYTE) + "\N{GRINNING FACE}"),
    "a number of ten megabytes": b"\x8b"
    + struct.pack("<i", 10 * MEGABYTE)
    + b"\x7f" * 10 * MEGABYTE,
    "a number of five thousand digits": b"L" + b"9" * 5000 + b"L\n",
    "a line without an end": b"I" + b"9" * MEGABYTE,
    "a text longer than the file": b"\x8d" + struct.pack("<Q", 1 << 62) + b"x",
    "a name of a megabyte": dump("a" * MEGABYTE) + dump("b" * MEGABYTE) + b"\x93",
    "a name with a line's end and a colour": dump("os\n\x1b[31m") + dump("x") + b"\x93",
    "a tuple of depth 500,000": deep(500_000),
    "a deep tuple as a key": b"}" + deep(100_000) + b"Ns",
    "a tuple of a billion parts": b"}" + dump("w") + twice(60) + b"s",
    "a tuple of a billion parts as a shape": name("torch._utils._rebuild_tensor_v2")
    + b"(NK\x00"
    + twice(60)
    + b"NNNtR",
    "a tensor made by another function": name("torch._tensor._rebuild_from_type_v2")
    + b"("
    + name("collections.OrderedDict")
    + b"N"
    + b"]\x85"
    + b"N"
    + b"tR",
    "a function called by keyword": name("torch.Size") + b")}\x92" + b"Q",
    "an instance by INST": b"(ios\nsystem\n",
    "an instance by OBJ": b"(cos\nsystem\no",
    "an extension": b"\x82\x01",
    "a persistent name as a line": b"Pstorage\n",
    "a storage of too few parts": dump(("storage", "x")) + b"Q",
    "a shared dictionary of dictionaries": b"}q\x00"
    + b"".join(
        b"}("
        + b"".join(dump(f"k{i}") + b"h" + bytes([level]) for i in range(100))
        + b"uq"
        + bytes([level + 1])
        for level in range(6)
    ),
    "a dictionary inside itself": b"}q\x00" + dump("model") + b"h\x00s",
}


def many_views_of_one_storage(path):
    views = {f"w{i}": View("s", "float32", 0, (MEGABYTE // 4,), (1,)) for i in range(200)}
    write(path, views, {"s": bytes(MEGABYTE)})


def an_expanded_tensor_of_a_terabyte(path):
    write(path, {"w": View("s", "float32", 0, (1 << 20, 1 << 18), (0, 0))}, {"s": W.tobytes()})


def a_size_beyond_64_bits(path):
    write(path, {"w": View("s", "float32", 0, (1 << 62, 1 << 62), (0, 0))}, {"s": W.tobytes()})


def a_conjugated_tensor(path):
    storage = Call(
        "torch._utils._rebuild_tensor_v2", (None, 0, (1,), (1,), False, {}, {"conj": True})
    )
    write(path, {"w": storage})


def names_that_grow_when_joined(path):
    inner = dump({f"w{i}": View("s", "float32", 0, (1,), (1,)) for i in range(50)})
    keys = b"".join(dump("k" * 5000 + str(i)) + inner for i in range(20))
    write(path, b"}(" + keys + b"u", {"s": W.tobytes()})


def names_of_a_thousand_parts(path):
    write(
        path,
        {"a." * 490 + str(i): View("s", "float32", 0, (9,), (1,)) for i in range(20)},
        {"s": W.tobytes()},
    )


def legacy_storage(length):
    def write_file(path):
        body = write_legacy(path, {"w": W}).read_bytes()
        at = len(body) - W.nbytes - 8
        path.write_bytes(body[:at] + struct.pack("<q", length) + body[at + 8 :])

    return write_file


def legacy_pickles_that_fill_memory_together(path):
    body = write_legacy(path, {"w": W}).read_bytes()
    at = body.index(b".", 15) + 1
    filler = b"\x80\x02" + b"}" * 200_000 + b"."
    path.write_bytes(body[:at] + filler * 3 + body[at:])


def legacy_names_of_storages_that_are_none(path):
    write_legacy(path, {"w": View("s" * 100, "float32", 0, (1,), (1,))}, {"s" * 100: W.tobytes()})
    body = path.read_bytes()
    at = body.rindex(b"](")
    path.write_bytes(body[:at] + b"}(NNu." + body[at:])


# Zip files


def npy(header, body=b"", version=b"\x01\x00"):
    length = struct.pack("<H" if version == b"\x01\x00" else "<I", len(header))
    return b"\x93NUMPY" + version + length + header.encode("latin1") + body


def npz(**members):
    def write_file(path):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in members.items():
                archive.writestr(f"{member}.npy", content)

    return write_file


HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': %s}\n"
NPZ = {
    "a negative length": npy(HEADER % "(-1,)", W.tobytes()),
    "a length beyond 64 bits": npy(HEADER % f"({1 << 62}, {1 << 62})", W.tobytes()),
    "a shape that is not there": npy(HEADER % "(1000000000,)"),
    "more numbers than the shape": npy(HEADER % "(3,)", W.tobytes()),
    "a header of brackets": npy("(" * 9000),
    "a header of signs": npy("-" * 9000 + "1"),
    "a header that computes": npy(HEADER % "(9**9**9,)"),
    "a header of four gigabytes": b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b" " * 1000,
    "numbers of two gigabytes each": npy(
        "{'descr': '|V2147483647', 'fortran_order': False, 'shape': (0,)}"
    ),
    "records": npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", bytes(4)),
    "objects": npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"cos\nsystem\n."),
    "text": npy("{'descr': '<U2', 'fortran_order': False, 'shape': (1,)}", bytes(8)),
    "another file": b"PK\x03\x04",
}


def an_array_that_inflates_past_what_it_declares(path):
    npz(w=npy(HEADER % f"({100 * MEGABYTE // 4},)", bytes(100 * MEGABYTE)))(path)
    _declare(path, 1000)


def an_array_that_declares_a_petabyte(path):
    npz(w=npy(HEADER % "(3,)", bytes(12)))(path)
    _declare(path, (1 << 32) - 2)


def _declare(path, size):
    """Sets the sizes that a zip file with one part states, in both places."""
    body = bytearray(path.read_bytes())
    at = body.find(b"PK\x01\x02")
    body[22:26] = body[at + 24 : at + 28] = struct.pack("<I", size)
    path.write_bytes(body)


def a_directory_of_a_million_parts(path):
    entry = b"PK\x01\x02" + bytes(24) + b"\x01\x00" + bytes(16) + b"x"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", b"")
    start = path.read_bytes()[: 30 + 1]
    listed = entry * 200_000
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 65535, 65535, len(listed), len(start), 0)
    path.write_bytes(start + listed + end)


def a_directory_that_counts_wrongly(path):
    npz(w=npy(HEADER % "(3,)", bytes(12)))(path)
    body = bytearray(path.read_bytes())
    body[-12:-10] = b"\x09\x00"
    path.write_bytes(body)


def a_longer_directory_of_absurd_numbers(path):
    npz(w=npy(HEADER % "(3,)", bytes(12)))(path)
    body = path.read_bytes()
    record = b"PK\x06\x06" + struct.pack(
        "<QHHIIQQQQ", 44, 45, 45, 0, 0, 1 << 60, 1 << 60, 1 << 62, 0
    )
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, len(body) - 22, 1)
    path.write_bytes(body[:-22] + record + locator + body[-22:])


def a_part_listed_twice(path):
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for shape in ("(3,)", "(1, 3)"):
            archive.writestr("w.npy", npy(HEADER % shape, bytes(12)))


def parts_that_overlap(path):
    """Many names for the same bytes; a local header has one name only."""
    npz(a=npy(HEADER % f"({MEGABYTE},)", bytes(4 * MEGABYTE)))(path)
    body = path.read_bytes()
    at = body.find(b"PK\x01\x02")
    entry = body[at : body.find(b"PK\x05\x06")]
    entries = b"".join(entry.replace(b"a.npy", bytes([98 + i]) + b".npy") for i in range(20))
    listed = entry + entries
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 21, 21, len(listed), at, 0)
    path.write_bytes(body[:at] + listed + end)


def an_encrypted_part(path):
    npz(w=npy(HEADER % "(3,)", bytes(12)))(path)
    body = bytearray(path.read_bytes())
    at = body.find(b"PK\x01\x02")
    body[6] |= 1
    body[at + 8] |= 1
    path.write_bytes(body)


def a_part_in_another_compression(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("w.npy", npy(HEADER % f"({MEGABYTE},)", bytes(4 * MEGABYTE)))


def a_compressed_pickle(path):
    write(path, b"N" * MEGABYTE, compression=zipfile.ZIP_DEFLATED)


# Safetensors


def safetensors(header, body=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()

    def write_file(path):
        path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + body)

    return write_file


def tensor(start, end, shape=(3,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


ENTRY = b'"w%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
SAFETENSORS = {
    "a header of exabytes": safetensors({}, length=1 << 63),
    "a header longer than the file": safetensors({"w": tensor(0, 12)}, bytes(12), length=1000),
    "a header of brackets": safetensors(b"{" + b'"a":[' * 100_000),
    "a long header of brackets": safetensors(b'{"a":' + b"[" * (2 * MEGABYTE)),
    "a long header of nothing": safetensors(
        b"{" + b",".join(ENTRY % i for i in range(40_000)) + b"}"
    ),
    "a name twice": safetensors(
        b'{"w":'
        + json.dumps(tensor(0, 12)).encode()
        + b',"w":'
        + json.dumps(tensor(0, 12, (1, 3))).encode()
        + b"}",
        bytes(12),
    ),
    "tensors that overlap": safetensors({"a": tensor(0, 12), "b": tensor(4, 16)}, bytes(16)),
    "a gap": safetensors({"a": tensor(0, 12), "b": tensor(16, 28)}, bytes(28)),
    "bytes behind the end": safetensors({"a": tensor(0, 12)}, bytes(13)),
    "a shape beyond 64 bits": safetensors({"a": tensor(0, 12, (1 << 62, 1 << 62))}, bytes(12)),
    "a shape of other size": safetensors({"a": tensor(0, 12, (4,))}, bytes(12)),
    "negative offsets": safetensors({"a": tensor(-12, 0)}, bytes(12)),
    "offsets backwards": safetensors({"a": tensor(12, 0)}, bytes(12)),
    "a shape of a thousand axes": safetensors({"a": tensor(0, 4, (1,) * 1000)}, bytes(4)),
    "an unknown type": safetensors({"a": tensor(0, 12, dtype="X9")}, bytes(12)),
    "no text": safetensors(b"{\xff\xfe}"),
    "a list": safetensors(b"{" * 0 + b"[1]     "),
    "metadata of numbers": safetensors({"__metadata__": {"a": [1]}, "w": tensor(0, 12)}, bytes(12)),
}


# HDF5 and Keras

LAYER = "dense/dense/kernel:0"


def h5(change):
    """A Keras file whose only array is replaced."""

    def write_file(path):
        write_h5(path, {"dense/kernel": W})
        with h5py.File(path, "a") as file:
            del file[LAYER]
            change(file, path)

    return write_file


def _soft_to_external(file, path):
    write_h5(path.with_name("secret"), {"dense/kernel": W})
    file["out"] = h5py.ExternalLink(path.with_name("secret"), "dense/dense")
    file[LAYER] = h5py.SoftLink("/out/kernel:0")


def _link_to_a_pipe(file, path):
    os.mkfifo(path.with_name("pipe"))
    file["model_weights"] = h5py.ExternalLink(path.with_name("pipe"), "/")
    file[LAYER] = W


def _external(place):
    def change(file, path):
        file.create_dataset(LAYER, (3,), "f4", external=[(place, 0, 12)])

    return change


def _virtual(file, path):
    write_h5(path.with_name("secret"), {"dense/kernel": W})
    layout = h5py.VirtualLayout((12,), "f4")
    layout[:] = h5py.VirtualSource(path.with_name("secret"), LAYER, (12,))
    file.create_virtual_dataset(LAYER, layout)


def _sparse(file, path):
    file.create_dataset(LAYER, (1 << 20, 1 << 20), "f4", chunks=(1024, 1024))


def _one_large_chunk(file, path):
    file.create_dataset(LAYER, (1,), "f4", maxshape=(None,), chunks=(1 << 28,))


def _inflating_chunk(file, path):
    data = file.create_dataset(LAYER, (4,), "f4", chunks=(4,), compression="gzip")
    data.id.write_direct_chunk((0,), zlib.compress(bytes(200 * MEGABYTE), 1))


def _many_names_for_one_array(file, path):
    data = file.create_dataset(
        "once", (4 * MEGABYTE,), "f4", chunks=(MEGABYTE,), compression="gzip"
    )
    for i in range(20):
        file[f"dense/dense/kernel{i}"] = data
    file[LAYER] = data


def _objects(file, path):
    file.create_dataset(LAYER, data=["text"], dtype=h5py.string_dtype())


def _long_attribute(file, path):
    file[LAYER] = W
    file.attrs.create("note", np.broadcast_to(np.zeros((), "S60000"), (1,)), dtype="S60000")
    file.create_dataset("x", (1 << 24,), "f8", compression="gzip", chunks=True)


H5 = {
    "a soft link to an external link": _soft_to_external,
    "an external link to a pipe": _link_to_a_pipe,
    "numbers in /etc/passwd": _external("/etc/passwd"),
    "numbers in a device": _external("/dev/zero"),
    "numbers in another file's array": _virtual,
    "an array that was never written": _sparse,
    "one large chunk": _one_large_chunk,
    "a chunk that inflates past its size": _inflating_chunk,
    "many names for one array": _many_names_for_one_array,
    "text for numbers": _objects,
    "an array that nobody asks for": _long_attribute,
}


def keras(config, body=None, compression=zipfile.ZIP_STORED):
    def write_file(path):
        content = io.BytesIO()
        with h5py.File(content, "w") as file:
            file["layers/dense/vars/0"] = W
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr("config.json", config)
            archive.writestr("model.weights.h5", content.getvalue() if body is None else body)

    return write_file


def one_array_under_many_names_of_a_keras_file(path):
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        zeros = np.zeros(4 * MEGABYTE, np.float32)
        for i in range(8):
            place = f"layers/dense_{i}/vars" if i else "layers/dense/vars"
            file.create_dataset(f"{place}/0", data=zeros, compression="gzip", chunks=(MEGABYTE,))
    layers = [
        {"class_name": "Dense", "config": {"name": f"d{i}", "use_bias": False}} for i in range(8)
    ]
    keras(json.dumps({"config": {"layers": layers}}), content.getvalue())(path)


KERAS = {
    "a configuration of brackets": keras("[" * 100_000),
    "a long configuration": keras("[" + "[]," * MEGABYTE + "[]]", compression=zipfile.ZIP_DEFLATED),
    "a configuration without layers": keras('{"config": {"layers": 3}}'),
    "layers without classes": keras('{"config": {"layers": [{}]}}'),
    "weights that are no HDF5 file": keras('{"config": {"layers": []}}', b"PK\x03\x04"),
    "weights of another class": keras(
        '{"config": {"layers": [{"class_name": "Dense", "config": {"name": "d"}}]}}'
    ),
}


# Lists of parts


def shards(text):
    def write_file(path):
        path.write_bytes(text if isinstance(text, bytes) else json.dumps(text).encode())

    return write_file


SHARDS = {
    "a part above": shards({"weight_map": {"w": "../x.safetensors"}}),
    "a part at a path": shards({"weight_map": {"w": "/etc/passwd"}}),
    "itself": shards({"weight_map": {"w": "x.index.json"}}),
    "a folder": shards({"weight_map": {"w": ".."}}),
    "a part that is not there": shards({"weight_map": {"w": "absent.safetensors"}}),
    "no names": shards({"weight_map": {}}),
    "a number": shards({"weight_map": {"w": 3}}),
    "a list": shards(["weight_map"]),
    "no text": shards(b"\xff\xfe"),
    "brackets": shards(b"[" * 100_000),
    "a name twice": shards(b'{"weight_map": {"w": "a", "w": "b"}}'),
    "twenty megabytes": shards(b'{"weight_map": ' + b" " * 20 * MEGABYTE + b"{}}"),
}


# No files at all


def a_pipe(path):
    os.mkfifo(path)


def a_link_to_a_pipe(path):
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to(path.with_name("pipe"))


def a_link_to_a_device(path):
    path.symlink_to("/dev/zero")


def a_link_to_a_file_of_the_system(path):
    """A regular file, of no length, that is read without end."""
    path.symlink_to("/proc/kmsg")


def a_link_to_itself(path):
    path.symlink_to(path)


def a_folder(path):
    path.mkdir()


def a_part_that_is_a_pipe(path):
    os.mkfifo(path.with_name("part"))
    path.write_text(json.dumps({"weight_map": {"w": "part"}}))


LOOSE = {
    "pth": (
        many_views_of_one_storage,
        an_expanded_tensor_of_a_terabyte,
        a_size_beyond_64_bits,
        a_conjugated_tensor,
        names_that_grow_when_joined,
        legacy_pickles_that_fill_memory_together,
        legacy_names_of_storages_that_are_none,
        a_compressed_pickle,
        a_pipe,
        a_link_to_a_pipe,
        a_link_to_a_device,
        a_link_to_a_file_of_the_system,
        a_link_to_itself,
        a_folder,
    ),
    "npz": (
        an_array_that_inflates_past_what_it_declares,
        an_array_that_declares_a_petabyte,
        a_directory_of_a_million_parts,
        a_directory_that_counts_wrongly,
        a_longer_directory_of_absurd_numbers,
        a_part_listed_twice,
        parts_that_overlap,
        an_encrypted_part,
        a_part_in_another_compression,
    ),
    "keras": (one_array_under_many_names_of_a_keras_file,),
    "index.json": (a_part_that_is_a_pipe,),
}
FILES = {
    **{f"pth: {words}": program(body) for words, body in PICKLES.items()},
    **{f"pth: a storage of {n} numbers": legacy_storage(n) for n in (-1, 1 << 62, 13, 11)},
    **{f"npz: {words}": npz(w=body) for words, body in NPZ.items()},
    **{f"safetensors: {words}": f for words, f in SAFETENSORS.items()},
    **{f"h5: {words}": h5(change) for words, change in H5.items()},
    **{f"keras: {words}": f for words, f in KERAS.items()},
    **{f"index.json: {words}": f for words, f in SHARDS.items()},
    **{f"{form}: {f.__name__}": f for form, found in LOOSE.items() for f in found},
}
