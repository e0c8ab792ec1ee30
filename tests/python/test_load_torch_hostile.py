"""`load_torch` runs no code: hostile and damaged files end in one clear error."""

from __future__ import annotations

import io
import pickle
import random
import zipfile
from pathlib import Path

import lamina
import numpy as np
import pytest

DATA = Path(__file__).resolve().parents[1] / "data"
MODULE_HINT = r"torch.save\(model.state_dict\(\), path\) saves what can be read"


def zipped(data, **entries):
    """An archive as PyTorch makes it around a pickle, with storages by number."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        for name, content in entries.items():
            archive.writestr(f"archive/{name.replace('__', '/')}", content)
    out.seek(0)
    return out


def tensor_pickle(size=b"K\x02\x85", stride=b"K\x01\x85", offset=b"K\x00", numel=b"K\x02"):
    return (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage"
        b"\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + numel + b"tQ" + offset + size + stride
        + b"\x89ccollections\nOrderedDict\n)RtR."
    )  # fmt: skip


FLOATS = np.array([1.0, 2.0], "<f4").tobytes()


def test_the_hand_made_archive_is_one():
    assert lamina.load_torch(zipped(tensor_pickle(), data__0=FLOATS)).tolist() == [1.0, 2.0]


def test_strings_of_python_2():
    data = b"\x80\x02}U\x01aT\x03\x00\x00\x00\xc3\xa9bs."
    assert lamina.load_torch(zipped(data)) == {"a": "éb"}


class Calls:
    """Pickles as a call of a function with arguments."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (eval, "builtins.eval"),
        (exec, "builtins.exec"),
        (getattr, "builtins.getattr"),
        (__import__, "builtins.__import__"),
        (print, "builtins.print"),
        (open, "_?io.open"),
        (Path, r"pathlib.*Path"),
        (pickle.loads, "_?pickle.loads"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_no_code_runs(function, name, protocol, capsys):
    data = pickle.dumps({"a": Calls(function, "print('ran')")}, protocol)
    name = name.replace("builtins", "__builtin__") if protocol == 2 else name
    with pytest.raises(ValueError, match=f"refuses the global {name}; only tensors"):
        lamina.load_torch(zipped(data))
    assert "ran" not in capsys.readouterr().out


def test_os_system_is_refused_by_name(tmp_path):
    ran = tmp_path / "ran"
    data = b"cos\nsystem\nX" + len(f"touch {ran}").to_bytes(4, "little")
    data += f"touch {ran}".encode() + b"\x85R."
    for file in (zipped(data), zipped(b"\x80\x02" + data)):
        with pytest.raises(ValueError, match="load_torch: the file object: refuses the global os"):
            lamina.load_torch(file)
    assert not ran.exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("torch_module.pt", r"refuses the global torch.nn.modules.linear.Linear.*" + MODULE_HINT),
        ("torch_complex.pt", r"the global torch.ComplexFloatStorage.*dtype that Lamina lacks"),
        ("torch_sparse.pt", r"the global torch._utils._rebuild_sparse_tensor.*Lamina lacks"),
    ],
)
def test_what_pytorch_saves_and_we_have_not(name, text):
    with pytest.raises(ValueError, match=f"{name}: {text}|{name}: refuses {text}"):
        lamina.load_torch(DATA / name)


FIVE = b"K\x05"
MANY = b"(" + b"K\x01" * 13 + b"t"
HUGE = b"\x8a\x08" + (2**62).to_bytes(8, "little")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (zipped(tensor_pickle(size=b"K\x03\x85"), data__0=FLOATS), "reaches outside its storage"),
        (zipped(tensor_pickle(offset=b"K\x01"), data__0=FLOATS), "from element 1 reaches outside"),
        (zipped(tensor_pickle(stride=b"K\x02\x85"), data__0=FLOATS), r"strides \[2\] from elemen"),
        (zipped(tensor_pickle(stride=HUGE + b"\x85"), data__0=FLOATS), "reaches outside"),
        (zipped(tensor_pickle(size=HUGE + b"\x85"), data__0=FLOATS), "reaches outside"),
        (
            zipped(tensor_pickle(HUGE * 2 + b"\x86", b"K\x00K\x00\x86"), data__0=FLOATS),
            "no tensor has sizes",
        ),
        (zipped(tensor_pickle(size=b"J\xff\xff\xff\xff\x85"), data__0=FLOATS), "-1 where a size s"),
        (zipped(tensor_pickle(offset=b"J\xff\xff\xff\xff"), data__0=FLOATS), "-1 where a size sh"),
        (zipped(tensor_pickle(size=b"K\x01K\x01\x86"), data__0=FLOATS), "no tuples of one length"),
        (zipped(tensor_pickle(MANY, MANY), data__0=FLOATS), "13 dimensions; Lamina has at most"),
        (zipped(tensor_pickle(numel=HUGE), data__0=FLOATS), "storages are larger than the file"),
        (zipped(tensor_pickle(numel=FIVE), data__0=FLOATS), "'0' has 8 bytes, where 20 bytes"),
        (zipped(tensor_pickle()), "storage '0' is missing"),
        (zipped(tensor_pickle(), data__0=FLOATS, byteorder=b"big"), "numbers are big-endian; only"),
        (zipped(b"\x80\x02]", data__0=FLOATS), "ends in the middle of a value"),
        (zipped(b"\x80\x09]."), "pickle protocol 9; protocols up to 5"),
        (zipped(b"\x80\x02I1\n."), "refuses the pickle opcode INT"),
        (zipped(b"\x80\x02(c__builtin__\neval\no."), "refuses the global __builtin__.eval"),
        (zipped(b"\x80\x02i__builtin__\neval\n."), "refuses the pickle opcode INST"),
        (zipped(b"\x80\x02)\x81."), "refuses the pickle opcode NEWOBJ"),
        (zipped(b"\x80\x02\x82\x01."), "refuses the pickle opcode EXT1"),
        (zipped(b"\x80\x02\x97."), "refuses the pickle opcode NEXT_BUFFER"),
        (zipped(b"\x80\x02\xfe."), r"refuses the pickle opcode 0xfe \(there is none\)"),
        (zipped(b"\x80\x02."), "its pickle makes no sense"),
        (zipped(b"\x80\x02K\x01h\x07."), "its pickle makes no sense"),
        (zipped(b"\x80\x02K\x01K\x02."), "its pickle makes no sense"),
        (zipped(b"\x80\x02K\x01a."), "its pickle makes no sense"),
        (zipped(b"\x80\x02}(K\x01u."), "makes no sense .'a key without a value'"),
        (zipped(b"\x80\x02K\x01)R."), "refuses to call a int"),
        (zipped(b"\x80\x02}}b."), "refuses to set attributes of a dict"),
        (zipped(b"\x80\x02}]K\x01s."), "a key of a dict is a list"),
        (zipped(b"\x80\x02}K\x01\x85K\x01s."), "a key of a dict is a tuple"),
        (zipped(b"\x80\x02ccollections\nOrderedDict\n."), "OrderedDict stands where a value"),
        (zipped(b"\x80\x02ctorch\nFloatStorage\n."), "a StorageType stands where a value"),
        (zipped(b"\x80\x02ctorch.nn.parameter\nParameter\n."), "Parameter stands where a value"),
        (zipped(b"\x80\x02K\x05Q."), "an object of the kind 5 beside the pickle"),
        (zipped(b"\x80\x02X\xff\xff\xff\xffabc."), "ends in the middle of a value"),
        (zipped(b"\x80\x02c" + b"a" * 2000), "a global has a name without end"),
        (io.BytesIO(b""), r"not a file of torch.save \(0 bytes"),
        (io.BytesIO(b"PK\x03\x04 and no more"), "no zip archive"),
        (io.BytesIO(b"{'a': 1}"), "not a file of torch.save.*lamina.load reads"),
        (io.BytesIO(pickle.dumps([1, 2], 2)), "begins with another pickle"),
    ],
)
def test_hostile_and_damaged_files(file, text):
    file.seek(0)
    with pytest.raises(ValueError, match=f"load_torch: the file object: .*{text}"):
        lamina.load_torch(file)


def test_an_archive_that_is_something_else():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("m/data.pkl", b"N.")
        archive.writestr("m/constants.pkl", b"N.")
    with pytest.raises(ValueError, match="a TorchScript archive, which holds a program"):
        lamina.load_torch(io.BytesIO(out.getvalue()))
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("word/document.xml", b"<x/>")
    with pytest.raises(ValueError, match=r"a zip archive without one data\.pkl"):
        lamina.load_torch(io.BytesIO(out.getvalue()))


def test_a_zip_bomb_is_not_unpacked():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", tensor_pickle(numel=b"J\x00\x00\x00\x10"))
        archive.writestr("archive/data/0", bytes(1 << 24))
    out.seek(0)
    with pytest.raises(ValueError, match=r"is compressed or encrypted, which torch\.save never"):
        lamina.load_torch(out)


def test_one_list_is_not_handed_to_a_million_calls():
    """Each call would be work that the size of the file does not explain."""
    texts = b"\x80\x02(" + b"X\x01\x00\x00\x00a" * 1000 + b"tq\x000"
    calls = b"c__builtin__\nset\nq\x010(" + b"h\x01h\x00\x85R" * 1000 + b"t."
    with pytest.raises(ValueError, match="far more work than its size explains"):
        lamina.load_torch(zipped(texts + calls))
    many = b"\x8a\x06" + (2**40).to_bytes(6, "little") + b"\x85"
    rows = tensor_pickle(many, b"K\x00\x85")[:-1]  # of one number
    call = b"\x80\x02c__builtin__\nset\n" + rows[2:] + b"\x85R."
    with pytest.raises(ValueError, match="a Tensor where a list should be"):
        lamina.load_torch(zipped(call, data__0=FLOATS))


def test_deep_nesting_is_no_crash():
    deep = lamina.load_torch(zipped(b"\x80\x02)" + b"\x85" * 100_000 + b"."))
    assert len(deep) == 1
    with pytest.raises(ValueError, match="a key of a dict is a tuple"):
        lamina.load_torch(zipped(b"\x80\x02})" + b"\x85" * 100_000 + b"K\x01s."))
    with pytest.raises(ValueError, match="of the kind a tuple"):
        lamina.load_torch(zipped(b"\x80\x02)" + b"\x85" * 100_000 + b"Q."))


@pytest.mark.parametrize("name", ["torch_zip.pt", "torch_legacy.pt", "torch_protocol4.pt"])
def test_every_cut_is_refused(name):
    data = (DATA / name).read_bytes()
    for size in [*range(0, len(data), 37), len(data) - 1]:
        with pytest.raises(ValueError, match="load_torch: the file object: "):
            lamina.load_torch(io.BytesIO(data[:size]))


@pytest.mark.parametrize("name", ["torch_zip.pt", "torch_legacy.pt", "torch_protocol4.pt"])
def test_mutated_files_are_read_or_refused(name):
    rng = random.Random(name)
    whole = (DATA / name).read_bytes()
    refused = 0
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(rng.choice([1, 1, 3])):
            place = rng.randrange(len(data))
            kind = rng.randrange(3)
            if kind == 0:
                data[place] = rng.randrange(256)
            elif kind == 1:
                del data[place : place + rng.randrange(1, 9)]
            else:
                data[place:place] = rng.randbytes(rng.randrange(1, 5))
        file = io.BytesIO(bytes(data))
        if data[:2] == b"PK" and rng.random() < 0.7:  # past the checksums, into the pickle
            file = mutated_pickle(whole, rng)
        text = refusal(file)
        assert text is None or text.startswith("load_torch: the file object: ")
        assert len(text or "") < 700
        refused += text is not None
    assert refused > 100


def refusal(file):
    try:
        lamina.load_torch(file)
    except ValueError as error:
        return str(error)
    return None


def mutated_pickle(whole, rng):
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as source, zipfile.ZipFile(out, "w") as target:
        for info in source.infolist():
            content = bytearray(source.read(info))
            if info.filename.endswith("data.pkl"):
                place = rng.randrange(len(content))
                if rng.random() < 0.5:
                    content[place] = rng.randrange(256)
                else:
                    content[place:place] = content[rng.randrange(len(content)) :][:9]
            target.writestr(info.filename, bytes(content))
    out.seek(0)
    return out
