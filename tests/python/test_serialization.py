"""Saving and loading: whatever happens to a file, its content or a clear error."""

import collections
import io
import json
import math
import os
import random
import stat

import lamina
import numpy as np
import pytest
from lamina import load, save
from lamina._files import atomic_write


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def dumps(obj):
    buffer = io.BytesIO()
    save(obj, buffer)
    return buffer.getvalue()


def loads(data):
    return load(io.BytesIO(data))


def round_trip(obj):
    return loads(dumps(obj))


def same(a, b):
    """Equality of trees in types, keys, order and bits."""
    if isinstance(a, lamina.Tensor):
        return (
            isinstance(b, lamina.Tensor)
            and a.dtype == b.dtype
            and same(a.detach().numpy(), b.detach().numpy())
        )
    if type(a) is not type(b):
        return False
    if isinstance(a, (np.ndarray, np.generic)):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        pairs = zip(a.items(), b.items(), strict=True)
        return len(a) == len(b) and all(same(p, q) for p, q in pairs)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(p, q) for p, q in zip(a, b, strict=True))
    if isinstance(a, float):
        return math.copysign(1, a) == math.copysign(1, b) and (a == b or (a != a and b != b))
    return a == b


@pytest.fixture
def tree():
    lamina.manual_seed(1)
    return {
        "model": {"0.weight": lamina.randn(5, 3), "0.bias": lamina.zeros(5), "steps": 12},
        7: [1, -2.5, True, None, "naïve \udc80 \n", b"\x00\xff bytes"],
        "labels": lamina.tensor([3, 1, 2]),
        "array": np.arange(6, dtype=np.float64).reshape(2, 3),
    }


# ------------------------------------------------------------------------------ damaged files


def check_harmless(data, tree, path):
    path.write_bytes(data)
    try:
        loaded = load(path)
    except ValueError as error:
        complaint = str(error)
    else:
        complaint = None
    assert same(loaded, tree) if complaint is None else str(path) in complaint


def test_cut_at_every_byte(tree, tmp_path):
    data = dumps(tree)
    path = tmp_path / "cut.safetensors"
    for end in range(len(data)):
        path.write_bytes(data[:end])
        with pytest.raises(ValueError, match=r"cut|damaged|not written") as caught:
            load(path)
        assert str(path) in str(caught.value)


def test_1000_random_corruptions(tree, tmp_path):
    data = dumps(tree)
    rng = random.Random(20240229)
    path = tmp_path / "bad.safetensors"
    for _ in range(1000):
        broken = bytearray(data)
        kind = rng.randrange(4)
        start = rng.randrange(len(data))
        stop = min(len(data), start + rng.randint(1, 16))
        if kind == 0:
            broken[start] ^= 1 << rng.randrange(8)
        elif kind == 1:
            broken[start:stop] = rng.randbytes(stop - start)
        elif kind == 2:
            del broken[start:stop]
        else:
            broken[start:start] = rng.randbytes(stop - start)
        check_harmless(bytes(broken), tree, path)


def test_every_bit_of_the_header(tree, tmp_path):
    data = dumps(tree)
    header = 8 + int.from_bytes(data[:8], "little")
    path = tmp_path / "bit.safetensors"
    for position in range(header):
        broken = bytearray(data)
        broken[position] ^= 1 << (position % 8)
        check_harmless(bytes(broken), tree, path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 8,
        b"\xff" * 100,
        b"PK\x03\x04 not a zip either",
        (2).to_bytes(8, "little") + b"[]",
        (4).to_bytes(8, "little") + b"null",
        (200000).to_bytes(8, "little") + b"[" * 200000,
    ],
)
def test_foreign_bytes(data, tmp_path):
    path = tmp_path / "foreign.bin"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"foreign\.bin"):
        load(path)


def test_other_programs_safetensors_are_named_as_such(tmp_path):
    from safetensors.numpy import save_file

    save_file({"w": np.ones(3, np.float32)}, str(tmp_path / "x.safetensors"))
    with pytest.raises(ValueError, match=r"not written by lamina\.save"):
        load(tmp_path / "x.safetensors")


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"\x80\x02"])
def test_files_of_torch_save_are_sent_to_load_torch(start, tmp_path):
    (tmp_path / "x.pt").write_bytes(start + bytes(99))
    with pytest.raises(ValueError, match=r"x\.pt: .*; lamina\.load_torch reads what torch\.save"):
        load(tmp_path / "x.pt")


def forged(tree_text, arrays):
    """A file whose digest is right and whose tree is not."""
    from lamina.serialization._format import digest_of
    from safetensors.numpy import save as raw_save

    digest = digest_of(tree_text, arrays.items())
    metadata = {"format": "1", "tree": tree_text, "digest": digest}
    return raw_save(arrays, {"lamina": json.dumps(metadata)})


@pytest.mark.parametrize(
    "tree_text",
    [
        '{"value": {"tensor": 0}, "leaves": []}',
        '{"value": {"tensor": 0}, "leaves": [["missing"]]}',
        '{"value": {"code": "import os"}, "leaves": []}',
        '{"value": {"dict": [[[], 1]]}, "leaves": []}',
        '{"value": {"array": 0}, "leaves": [["w", [9], [1], 0]]}',
        '{"value": {"array": 0}, "leaves": [["w", [2], [-1], 0]]}',
        '{"value": {"tensor": 0}, "leaves": [["w", [9], [1], 0]]}',
        '{"value": ' + '{"tuple": [' * 5000 + "]}" * 5000 + ', "leaves": []}',
        "[]",
    ],
)
def test_forged_trees_are_refused(tree_text):
    with pytest.raises(ValueError, match="malformed"):
        loads(forged(tree_text, {"w": np.zeros(3, np.float32)}))


def test_nothing_is_unpickled(tmp_path):
    import pickle

    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "trap"), "w"))

    (tmp_path / "p.pt").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match=r"p\.pt"):
        load(tmp_path / "p.pt", weights_only=False)
    assert not (tmp_path / "trap").exists()


# ------------------------------------------------------------------------------------ content

VALUES = [
    None,
    True,
    0,
    -(2**63),
    2**63,
    -(2**200),
    1.5,
    -0.0,
    float("inf"),
    float("-inf"),
    float("nan"),
    5e-324,
    "",
    "text \udcff \x00",
    b"",
    bytes(range(256)),
    [],
    (),
    {},
    [(), [()], {"": {}}],
    {1: "a", "1": "b", -5: {2**70: None}},
    np.float32(1.25),
    np.bool_(True),
    np.array(3, np.int32),
    np.zeros((0, 4), np.uint8),
    np.array([float("nan"), -0.0]),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_round_trip(value):
    assert same(round_trip(value), value)
    assert same(round_trip({"nested": [value, (value,)]}), {"nested": [value, (value,)]})


@pytest.mark.parametrize("name", ["bool", "uint8", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (2, 3, 4)])
def test_tensor_dtypes_and_shapes(name, shape):
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape) % 2
    tensor = lamina.tensor(values.astype(name))
    assert str(tensor.dtype).endswith(name)
    assert same(round_trip(tensor), tensor)


def test_dict_order_and_subclasses():
    loaded = round_trip(collections.OrderedDict([("z", 1), ("a", 2)]))
    assert type(loaded) is dict
    assert list(loaded) == ["z", "a"]


def test_tensors_are_saved_as_data():
    weight = lamina.ones(3, requires_grad=True)
    loaded = round_trip({"w": weight * 2, "p": weight})
    assert loaded["w"].tolist() == [2, 2, 2]
    assert not loaded["w"].requires_grad
    assert not loaded["p"].requires_grad


def test_noncontiguous_and_byte_swapped():
    base = lamina.arange(12).view(3, 4)
    assert same(round_trip(base.t()), base.t())
    assert same(round_trip(base[:, ::2]), base[:, ::2])
    assert same(round_trip(np.arange(5)[::-2]), np.arange(5)[::-2])
    swapped = round_trip(np.arange(4, dtype=">i4"))
    assert swapped.tolist() == [0, 1, 2, 3]


def test_the_same_tensor_comes_back_as_one():
    tied = lamina.ones(4)
    loaded = round_trip({"encoder": tied, "decoder": [tied]})
    assert loaded["encoder"] is loaded["decoder"][0]


@pytest.mark.parametrize(
    "make", [lambda: lamina.arange(24).view(4, 6), lambda: np.arange(24).reshape(4, 6)]
)
@pytest.mark.parametrize("with_base", [True, False])
def test_views_share_storage_again(make, with_base):
    base = make()
    turned = base.T
    views = {"t": turned[1:, 1:], "rows": base[1:3], "steps": base[:, ::2], "one": base[1, 1]}
    if isinstance(base, np.ndarray):
        views["one"] = base[1, 1, ...]
    tree = {"base": base, **views} if with_base else views
    loaded = round_trip(tree)
    assert same(loaded, tree)
    loaded["rows"][0, :] = -7  # row 1 of the base
    assert loaded["t"][:, 0].tolist() == [-7] * 5
    assert loaded["steps"][1].tolist() == [-7] * 3
    assert int(loaded["one"]) == -7
    if with_base:
        assert loaded["base"][1].tolist() == [-7] * 6


def test_shared_storage_is_stored_once():
    base = lamina.zeros(1000)
    alone, shared = len(dumps([base])), len(dumps([base, base[10:], base.view(10, 100)]))
    assert shared < alone + 1000  # a second copy would add 4,000 bytes


def test_loaded_tensors_can_be_written():
    loaded = round_trip([lamina.zeros(2), np.zeros(2)])
    loaded[0].add_(1)
    loaded[1] += 1
    assert loaded[0].tolist() == loaded[1].tolist() == [1, 1]


def test_safetensors_reads_the_file(tree, tmp_path):
    from safetensors.numpy import load_file

    save(tree, tmp_path / "m.safetensors")
    entries = load_file(str(tmp_path / "m.safetensors"))
    assert sorted(entries) == ["7.5", "array", "labels", "model.0.bias", "model.0.weight"]
    np.testing.assert_array_equal(entries["model.0.weight"], tree["model"]["0.weight"].numpy())


def test_names_that_collide_stay_apart():
    tree = {"a": {"b": lamina.zeros(1)}, "a.b": lamina.ones(1), "__metadata__": lamina.ones(2)}
    assert same(round_trip(tree), tree)


def test_same_tree_same_bytes(tree):
    assert dumps(tree) == dumps(tree)


# ------------------------------------------------------------------------------------- errors


def test_unsupported_values_say_where():
    cases = [
        ({"a": [1, {2, 3}]}, r"obj\['a'\]\['1'\] is a set"),
        ({"a": lambda: 0}, r"obj\['a'\] is a function"),
        ({(1, 2): 0}, r"obj has the key \(1, 2\), a tuple"),
        ({True: 0}, "key True, a bool"),
        ({"o": np.array([None])}, r"obj\['o'\] is of dtype object"),
        ({"o": np.array(["x"])}, "of dtype <U1"),
        ({"o": np.ma.masked_array([1], [True])}, "masked"),
        ({"m": lamina.nn.Linear(1, 1)}, "save its state_dict"),
        (collections.namedtuple("Point", "x")(1), "is a Point"),
    ]
    for tree, text in cases:
        with pytest.raises(TypeError, match=text):
            dumps(tree)


def test_cycles_and_depth():
    cycle = []
    cycle.append({"again": cycle})
    with pytest.raises(ValueError, match=r"obj\['0'\]\['again'\] contains itself"):
        dumps(cycle)
    deep = []
    for _ in range(99):
        deep = [deep]
    assert round_trip(deep) == deep
    with pytest.raises(ValueError, match="more than 100 levels"):
        dumps([deep])
    twice = [1]
    assert round_trip([twice, twice]) == [[1], [1]]  # not a cycle


def test_a_failed_save_leaves_the_old_file(tree, tmp_path):
    path = tmp_path / "m.safetensors"
    save(tree, path)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        save({"bad": object()}, path)
    assert path.read_bytes() == before
    assert names(tmp_path) == ["m.safetensors"]


def test_a_file_opened_as_text_is_refused(tree, tmp_path):
    save(tree, tmp_path / "m")
    with (
        open(tmp_path / "m", encoding="latin-1") as file,  # noqa: PTH123
        pytest.raises(TypeError, match=r"reading gave str, not bytes; open it in mode 'rb'"),
    ):
        load(file)
    with open(tmp_path / "m", "rb") as file:  # noqa: PTH123
        assert same(load(file), tree)


def test_file_objects_are_written_where_they_stand(tree, tmp_path):
    with open(tmp_path / "two", "w+b") as file:  # noqa: PTH123
        file.write(b"head")
        save(tree, file)
        file.seek(4)
        assert same(load(file), tree)
    assert names(tmp_path) == ["two"]


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        load(tmp_path / "absent")
    with pytest.raises(FileNotFoundError):
        save(1, tmp_path / "absent" / "x")


def test_atomic_write_survives_a_failing_disk(tmp_path, monkeypatch):
    path = tmp_path / "file"
    atomic_write(path, "old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        atomic_write(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_atomic_write_follows_links_and_the_umask(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "file")
    old = os.umask(0o027)
    try:
        atomic_write(tmp_path / "link", b"x")
    finally:
        os.umask(old)
    assert (tmp_path / "link").is_symlink()
    assert stat.S_IMODE((tmp_path / "real" / "file").stat().st_mode) == 0o640
