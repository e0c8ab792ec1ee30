"""The data sets and the checks on other people's files."""

import gzip
import hashlib
import http.server
import socket
import threading
import tracemalloc
import zipfile
from pathlib import Path

import lamina
import numpy as np
import pytest
from lamina.datasets import (
    digits,
    fashion,
    fashion_mnist,
    load_npz,
    moons,
    read_idx,
    spirals,
    split_rule,
    xor,
)


def arrays(split):
    return [tensor.numpy() for tensor in split.tensors]


def together(data):
    parts = [arrays(part) for part in (data.train, data.validation, data.test)]
    return (np.concatenate([part[i] for part in parts]) for i in (0, 1))


@pytest.fixture
def saved(tmp_path):
    def save(**content):
        np.savez(tmp_path / "mine.npz", **content)
        return tmp_path / "mine.npz"

    return save


# ------------------------------------------------------------------------------------- digits


def test_digits_are_the_uci_test_part():
    data = digits()
    x, y = together(data)
    # The class counts that the UCI description gives for optdigits.tes.
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert x.shape == (1797, 64)
    assert x.dtype == np.float32
    assert y.dtype == np.int64
    assert x.min() == 0
    assert x.max() == 1
    levels = x * 16
    assert (levels == levels.round()).all()
    assert (data.name, data.n_features, data.n_classes) == ("digits", 64, 10)


def test_digits_equal_scikit_learns():
    sklearn = pytest.importorskip("sklearn.datasets")
    source = sklearn.load_digits()
    data = digits()
    rows = split_rule(source.target)
    for part in ("train", "validation", "test"):
        x, y = arrays(getattr(data, part))
        np.testing.assert_array_equal(x * 16, source.data[rows[part]])
        np.testing.assert_array_equal(y, source.target[rows[part]])


def test_digits_show_their_digit():
    x, y = arrays(digits().train)
    # The centre of a zero is empty, that of a one is not.
    centre = x.reshape(-1, 8, 8)[:, 3:5, 3:5].mean(axis=(1, 2))
    assert centre[y == 0].mean() < 0.1
    assert centre[y == 1].mean() > 0.6


def test_attribution_ships_with_the_data():
    from importlib.resources import files

    text = (files("lamina.datasets") / "data" / "digits.ATTRIBUTION.md").read_text()
    for part in ("Alpaydin", "Kaynak", "CC BY 4.0", "optdigits"):
        assert part in text


# ----------------------------------------------------------------------------- the split rule


def rule_by_hand(labels):
    """The documented rule in plain integers."""
    seen, parts = {}, {"train": [], "validation": [], "test": []}
    for row, label in enumerate(labels):
        seen[label] = k = seen.get(label, 0) + 1
        position = 2654435769 * k % 2**32
        if 2 * 2**32 <= 10 * position < 4 * 2**32:
            parts["test"].append(row)
        elif 4 * 2**32 <= 10 * position < 5 * 2**32:
            parts["validation"].append(row)
        else:
            parts["train"].append(row)
    return parts


def test_split_follows_its_rule():
    labels = np.random.default_rng(0).integers(0, 4, 1000)
    rows = split_rule(labels)
    assert {part: row.tolist() for part, row in rows.items()} == rule_by_hand(labels.tolist())


def test_split_is_stratified_and_complete():
    for n in (3, 10, 57, 1000):
        rows = split_rule(np.arange(3 * n) % 3)
        assert sorted(np.concatenate(list(rows.values())).tolist()) == list(range(3 * n))
        for part, share in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
            counts = np.bincount(rows[part] % 3, minlength=3)
            assert (counts == counts[0]).all()
            # A golden-ratio sequence misses any interval's share by less than 2 points here.
            assert abs(counts[0] - share * n) < 2
    assert len(split_rule([0, 0, 0])["test"]) == 1


# --------------------------------------------------------------------------------------- toys


@pytest.mark.parametrize("make", [xor, moons, spirals])
def test_toys_come_from_their_seed(make):
    digest = [
        hashlib.sha256(b"".join(a.tobytes() for a in together(make(seed=seed)))).hexdigest()
        for seed in (4, 4, 5)
    ]
    assert digest[0] == digest[1] != digest[2]
    data = make(n=90)
    x, y = together(data)
    assert len(x) == len(y) == 90
    assert x.dtype == np.float32
    assert y.dtype == np.int64
    assert sorted(set(y.tolist())) == list(range(data.n_classes))
    counts = np.bincount(y)
    assert counts.max() - counts.min() <= 1
    for bad in (39, 100.0):
        with pytest.raises(ValueError, match="at least 40"):
            make(n=bad)
    for bad in (-0.1, float("nan")):
        with pytest.raises(ValueError, match="noise"):
            make(noise=bad)


def test_toys_without_noise_lie_where_they_should():
    x, y = together(xor(noise=0))
    assert ((x[:, 0] != x[:, 1]) == (y == 1)).all()
    assert {tuple(row) for row in x.tolist()} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    for part in (xor(noise=0).validation, xor(noise=0).test):
        assert {tuple(row) for row in arrays(part)[0].tolist()} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    x, y = together(moons(noise=0))
    centre = np.where(y[:, None] == 0, [0, 0], [1, 0.5])
    np.testing.assert_allclose(np.linalg.norm(x - centre, axis=1), 1, atol=4e-7)
    assert ((x[:, 1] >= 0) == (y == 0))[np.abs(x[:, 1] - 0.25) > 0.3].all()
    x, y = together(spirals(noise=0, arms=4, turns=0.5))
    radius = np.linalg.norm(x, axis=1)
    turn = np.arctan2(x[:, 1], x[:, 0]) / (2 * np.pi) - 0.5 * radius - y / 4
    away = radius > 1e-3  # nearer, the angle of a float32 point means nothing
    np.testing.assert_allclose((turn - turn.round())[away], 0, atol=1e-4)
    with pytest.raises(ValueError, match="2 arms"):
        spirals(arms=1)


def test_toys_leave_the_generator_alone():
    lamina.manual_seed(0)
    expected = lamina.rand(3).tolist()
    lamina.manual_seed(0)
    moons(seed=8)
    assert lamina.rand(3).tolist() == expected


# --------------------------------------------------------------------------------- load_npz


def test_load_npz(saved):
    x = np.arange(240).reshape(20, 3, 2, 2)
    y = (np.arange(20) % 2).astype(np.uint8)
    data = load_npz(saved(x=x, y=y))
    assert (data.name, data.n_features, data.n_classes) == ("mine", 12, 2)
    rows = split_rule(y)
    np.testing.assert_array_equal(arrays(data.test)[0], x.reshape(20, 12)[rows["test"]])
    assert arrays(data.train)[1].dtype == np.int64


X, Y = np.ones((12, 2)), np.arange(12) % 3
nan = X.copy()
nan[4, 1] = nan[7, 0] = np.nan
inf = X.copy()
inf[11, 1] = -np.inf
huge = X.copy()
huge[0, 0] = 1e39


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"y": Y}, r"no array 'x' \(it holds y\)"),
        ({"x": X, "labels": Y}, r"no array 'y' \(it holds labels, x\)"),
        ({}, "it holds nothing"),
        ({"x": nan, "y": Y}, r"2 values that are NaN or infinite, the first in row 4, column 1"),
        ({"x": inf, "y": Y}, r"1 values .* row 11, column 1"),
        ({"x": huge, "y": Y}, r"1 values .* row 0, column 0"),
        ({"x": X * 1j, "y": Y}, "complex128, not real"),
        ({"x": np.array([["a"]] * 12), "y": Y}, "not real numbers"),
        ({"x": np.ones(12), "y": Y}, r"shape \[12\]"),
        ({"x": np.ones((0, 2)), "y": Y}, r"shape \[0, 2\]"),
        ({"x": X, "y": Y[:11]}, "12 rows but y has 11"),
        ({"x": X, "y": Y[:, None]}, r"shape \[12, 1\]"),
        ({"x": X, "y": Y.astype(float)}, r"holds float64; y\.astype"),
        ({"x": X, "y": np.where(Y == 2, -1, Y)}, r"4 labels out of range 0 … 11 .* -1 in row 2"),
        ({"x": X, "y": np.where(Y == 2, 12, Y)}, r"first 12 in row 2"),
        ({"x": X, "y": np.where(Y == 2, 2**63, Y).astype(np.uint64)}, r"9223372036854775808 in"),
        ({"x": X, "y": np.where(Y == 2, 3, Y)}, "label 2 occurs 0 times"),
        ({"x": X, "y": np.where(np.arange(12) < 2, 1, 0)}, "label 1 occurs 2 times"),
        ({"x": X, "y": np.zeros(12, int)}, "only the label 0"),
        ({"x": X, "y": np.array([None] * 12)}, "Python objects"),
    ],
)
def test_wrong_archives(saved, content, text):
    path = saved(**content)
    with pytest.raises(ValueError, match=text) as caught:
        load_npz(path)
    assert str(path) in str(caught.value)


def test_files_that_are_no_arrays(tmp_path, saved):
    for name, content in (
        ("text.npz", b"hello"),
        ("empty.npz", b""),
        ("pickle.npz", b"\x80\x04K\x01."),
        ("zip.npz", b"PK\x03\x04" + bytes(50)),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name}: is not a NumPy file"):
            load_npz(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("x.npy", "no array")
    with pytest.raises(ValueError, match=r"other\.npz"):
        load_npz(tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError):
        load_npz(tmp_path / "absent.npz")
    np.save(tmp_path / "one.npy", X)
    with pytest.raises(ValueError, match="no array 'x'"):
        load_npz(tmp_path / "one.npy")


def test_an_archive_cut_anywhere(saved, tmp_path):
    whole = saved(x=X, y=Y).read_bytes()
    path = tmp_path / "cut.npz"
    for end in range(0, len(whole), 5):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match=r"cut\.npz"):
            load_npz(path)


# -------------------------------------------------------------------------------------- IDX

IDX_TYPES = {
    0x08: ("u1", lamina.uint8),
    0x09: ("i1", lamina.int32),
    0x0B: (">i2", lamina.int32),
    0x0C: (">i4", lamina.int32),
    0x0D: (">f4", lamina.float32),
    0x0E: (">f8", lamina.float64),
}


def idx(array, code=0x08):
    """The bytes of an IDX file, written after the format's description."""
    values = np.asarray(array).astype(IDX_TYPES[code][0])
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return bytes([0, 0, code, values.ndim]) + sizes + values.tobytes()


@pytest.fixture
def written(tmp_path):
    def write(content):
        (tmp_path / "some.idx").write_bytes(content)
        return tmp_path / "some.idx"

    return write


@pytest.mark.parametrize("code", IDX_TYPES)
@pytest.mark.parametrize("shape", [(5,), (2, 3), (4, 1, 2, 3), (0,), (3, 0, 2), (1,) * 12])
def test_read_idx(written, code, shape):
    in_file, dtype = IDX_TYPES[code]
    rng = np.random.default_rng(code)
    if in_file[-2] == "f":
        values = rng.standard_normal(shape).astype(in_file)
    else:
        limits = np.iinfo(in_file)
        values = rng.integers(limits.min, limits.max, shape, np.int64, endpoint=True)
    for content in (idx(values, code), gzip.compress(idx(values, code))):
        tensor = read_idx(written(content))
        assert tensor.dtype == dtype
        assert tuple(tensor.shape) == shape
        np.testing.assert_array_equal(tensor.numpy(), values)


def test_extreme_values_of_idx(written):
    for code, values in (
        (0x08, [0, 255]),
        (0x09, [-128, 127]),
        (0x0B, [-32768, 32767]),
        (0x0C, [-(2**31), 2**31 - 1]),
        (0x0E, [5e-324, -np.inf, 1e308]),
    ):
        assert read_idx(written(idx(values, code))).tolist() == values


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is not an IDX file .starts with nothing"),
        (b"\0\0\x08", "starts with 00 00 08;"),
        (b"hello world", "is not an IDX file .starts with 68 65 6c 6c;"),
        (b"\x01\0\x08\x01" + bytes(9), "is not an IDX file"),
        (b"\0\0\x0a\x01" + bytes(9), "type 0a is none of 08 09 0b 0c 0d 0e"),
        (b"\0\0\x08\0", "has no dimension"),
        (b"\0\0\x08\x02\0\0\0\x01\0\0", "ends within its header"),
        (idx([1, 2, 3])[:-1], r"sizes \[3\] make 3 bytes of values, but it has only 2"),
        (idx([1, 2, 3]) + b"\0", r"sizes \[3\] make 3 bytes of values, but it has more"),
        (idx([1.5], 0x0E)[:-1], r"sizes \[1\] make 8 bytes of values, but it has only 7"),
        (b"\0\0\x08\x01\xff\xff\xff\xff1", r"4294967295 bytes of values, but it has only 1"),
        (b"\0\0\x0e\x03" + b"\xff" * 12, r"make 633825299\d+ bytes of values, but it has only 0"),
        (b"\0\0\x08\x03" + bytes(4) + b"\xff" * 8, "more elements than memory can hold"),
        (b"\0\0\x08\x0d" + b"\0\0\0\1" * 13 + b"1", "at most 12 dimensions, got 13"),
        (gzip.compress(b"hello"), "is not an IDX file"),
        (gzip.compress(idx([1, 2]) + b"1"), "but it has more"),
        (gzip.compress(idx([1, 2]))[:-3], "is a damaged gzip file"),
        (gzip.compress(idx([1, 2]))[:-8] + bytes(8), "is a damaged gzip file .CRC"),
        (gzip.compress(idx([1, 2])) + b"no", "bytes follow the end of the gzip"),
        (b"\x1f\x8b", "is a damaged gzip file"),
        (b"\x1f\x8b\x07" + bytes(20), "is a damaged gzip file"),
    ],
)
def test_wrong_idx_files(written, content, text):
    path = written(content)
    with pytest.raises(ValueError, match=text) as caught:
        read_idx(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_idx_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "absent.idx")
    with pytest.raises(IsADirectoryError):
        read_idx(tmp_path)


def test_a_mutated_idx_is_read_or_refused(written):
    """A change of any byte: other values, or an error of ours; a header lies at its own cost."""
    rng = np.random.default_rng(0)
    whole = idx(rng.integers(0, 256, (3, 4)))
    for content in (whole, gzip.compress(whole, mtime=0)):
        for place in range(len(content)):
            for value in {0, 1, 127, 255, content[place] ^ 0x80, *rng.integers(0, 256, 3).tolist()}:
                changed = bytearray(content)
                changed[place] = value
                path = written(bytes(changed))
                try:
                    held = read_idx(path).numel()
                except ValueError as refusal:
                    held = refusal
                assert held == 12 or str(held).startswith(f"{path}: ")
        for end in range(len(content)):
            with pytest.raises(ValueError, match=r"some\.idx: is not an IDX|make 12|damaged"):
                read_idx(written(content[:end]))


def test_idx_takes_no_more_memory_than_there_are_values(written):
    """A header of 4 GB over 1 MB of values."""
    for pack in (bytes, gzip.compress):
        path = written(pack(b"\0\0\x08\x02" + b"\0\x01\0\0" * 2 + bytes(1 << 20)))
        tracemalloc.start()
        try:
            with pytest.raises(ValueError, match=r"make 4294967296 bytes .* only 1048576"):
                read_idx(path)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 4 << 20


# ----------------------------------------------------------------------------- Fashion-MNIST

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
FASHION_FILES = {
    # As its README publishes them: MD5 of the packed file.
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}


def published(name):
    """The published file: Debian packed anew, without the name and the time in the header."""
    if not DEBIAN.is_dir():
        pytest.skip("needs Debian's dataset-fashion-mnist")
    content = (DEBIAN / name).read_bytes()
    seconds = 1504176627 - (21 if name.startswith("train") else 0)
    header = b"\x1f\x8b\x08\x08" + seconds.to_bytes(4, "little") + content[8:10]
    return header + name.removesuffix(".gz").encode() + b"\0" + content[10:]


def small_fashion():
    """Files of the same names and form: 12 pictures to train, 4 to test."""
    rng = np.random.default_rng(0)
    for part, n in (("train", 12), ("t10k", 4)):
        pixels = rng.integers(0, 256, (n, 28, 28))
        yield f"{part}-images-idx3-ubyte.gz", gzip.compress(idx(pixels), mtime=0)
        yield f"{part}-labels-idx1-ubyte.gz", gzip.compress(idx(np.arange(n) % 10), mtime=0)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A machine without Fashion-MNIST."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("LAMINA_DATA", raising=False)
    monkeypatch.setattr(fashion, "_SYSTEM", tmp_path / "system")
    return tmp_path


def put(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in small_fashion():
        (folder / name).write_bytes(content)
    return folder


def test_fashion_mnist_is_the_published_one():
    for name, digest in FASHION_FILES.items():
        content = published(name)
        assert hashlib.md5(content, usedforsecurity=False).hexdigest() == digest
        assert fashion._FILES[name] == (len(content), hashlib.sha256(content).hexdigest())
    data = fashion_mnist(DEBIAN)
    assert (data.name, data.n_features, data.n_classes) == ("fashion-mnist", 784, 10)
    pixels = np.frombuffer(
        gzip.decompress(published("train-images-idx3-ubyte.gz")), np.uint8, -1, 16
    )
    labels = np.frombuffer(
        gzip.decompress(published("train-labels-idx1-ubyte.gz")), np.uint8, -1, 8
    )
    pixels = pixels.reshape(60_000, 784)
    for part, rows in ((data.train, slice(50_000)), (data.validation, slice(50_000, None))):
        x, y = arrays(part)
        assert (x.dtype, y.dtype) == (np.float32, np.int64)
        assert (x == pixels[rows] / np.float32(255)).all()
        assert (y == labels[rows]).all()
    assert np.bincount(arrays(data.test)[1]).tolist() == [1000] * 10
    # Trousers are bright where the legs are and dark between them.
    x, y = arrays(data.train)
    legs = x[y == 1].reshape(-1, 28, 28)[:, 20:, :].mean(axis=(0, 1))
    assert legs[14] < legs[10]
    assert legs[14] < legs[17]


def test_fashion_mnist_is_searched_in_order(home, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"download=True.*dataset-fashion-mnist") as caught:
        fashion_mnist()
    assert str(home / ".cache/lamina/fashion-mnist") in str(caught.value)
    put(home / "system/fashion-mnist")
    assert len(fashion_mnist().test) == 4
    first = home / ".cache/lamina/fashion-mnist"
    put(first)
    (first / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx([9] * 4)))
    assert arrays(fashion_mnist().test)[1].tolist() == [9] * 4
    own = put(home / "data/fashion-mnist")
    (own / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx([8] * 4)))
    monkeypatch.setenv("LAMINA_DATA", str(home / "data"))
    assert arrays(fashion_mnist().test)[1].tolist() == [8] * 4
    (own / "train-labels-idx1-ubyte.gz").unlink()  # no longer all four
    assert arrays(fashion_mnist().test)[1].tolist() == [9] * 4
    with pytest.raises(FileNotFoundError, match=str(own)) as caught:
        fashion_mnist(own)
    assert f"{own} (which lacks train-labels-idx1-ubyte.gz);" in str(caught.value)
    assert f"fashion_mnist({str(own)!r}, download=True)" in str(caught.value)


def test_unpacked_files_will_do(home):
    folder = put(home / "here")
    packed = arrays(fashion_mnist(folder).train)
    for name, content in small_fashion():
        (folder / name).unlink()
        (folder / name.removesuffix(".gz")).write_bytes(gzip.decompress(content))
    data = fashion_mnist(str(folder))
    for one, other in zip(arrays(data.train), packed, strict=True):
        np.testing.assert_array_equal(one, other)
    assert arrays(data.validation)[1].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("train-images-idx3-ubyte", idx(np.zeros((12, 28, 27))), r"uint8 of shape \['n', 28, 28\]"),
        ("train-images-idx3-ubyte", idx(np.zeros((12, 28, 28)), 0x0D), "but has lamina.float32"),
        ("train-images-idx3-ubyte", idx(np.zeros((11, 28, 28))), "has 11 pictures, but .* 12"),
        (
            "t10k-labels-idx1-ubyte",
            idx(np.zeros((4, 1))),
            r"but has lamina.uint8 of shape \[4, 1\]",
        ),
        ("t10k-labels-idx1-ubyte", idx([0, 1, 10, 2]), "labels are 0 … 9, but one is 10"),
        ("t10k-labels-idx1-ubyte", b"<html>", "is not an IDX file"),
    ],
)
def test_other_files_under_fashion_mnists_names(home, name, content, text):
    folder = put(home / "here")
    (folder / f"{name}.gz").write_bytes(content)
    with pytest.raises(ValueError, match=text) as caught:
        fashion_mnist(folder)
    assert str(folder / name) in str(caught.value)


@pytest.fixture
def server(monkeypatch):
    """A web server on this machine in the place of the real one; what it has, and was asked for."""
    files, asked = {}, []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.removeprefix("/")
            asked.append(name)
            if name not in files:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(files[name][0]))
            self.end_headers()
            self.wfile.write(files[name][1])

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr(fashion, "_URL", f"http://127.0.0.1:{running.server_port}/")
        yield files, asked
        running.shutdown()
        thread.join()


def test_download(home, server):
    files, asked = server
    for name in FASHION_FILES:
        content = published(name)
        files[name] = (len(content), content)
    data = fashion_mnist(download=True)
    assert len(data.train) == 50_000
    assert asked == list(FASHION_FILES)
    folder = home / ".cache/lamina/fashion-mnist"
    assert sorted(path.name for path in folder.iterdir()) == sorted(FASHION_FILES)
    assert len(fashion_mnist(download=True).test) == 10_000  # from the folder now
    assert len(asked) == 4


def test_download_goes_where_it_is_told(home, server, monkeypatch):
    files, asked = server
    small = dict(small_fashion())
    digests = {n: (len(small[n]), hashlib.sha256(small[n]).hexdigest()) for n in FASHION_FILES}
    monkeypatch.setattr(fashion, "_FILES", digests)
    files.update({name: (len(content), content) for name, content in small.items()})
    monkeypatch.setenv("LAMINA_DATA", str(home / "data"))
    assert len(fashion_mnist(download=True).train) == 10
    assert (home / "data/fashion-mnist/t10k-labels-idx1-ubyte.gz").is_file()
    there = home / "there"
    assert len(fashion_mnist(there, download=True).train) == 10
    (there / "train-labels-idx1-ubyte.gz").unlink()
    asked.clear()
    assert len(fashion_mnist(there, download=True).train) == 10
    assert asked == ["train-labels-idx1-ubyte.gz"]  # the others are there


def test_download_keeps_nothing_wrong(home, server):
    files, _ = server
    name = next(iter(FASHION_FILES))
    with pytest.raises(OSError, match=f"cannot fetch http.*{name}.*404"):
        fashion_mnist(download=True)
    files[name] = (5, b"hello")
    with pytest.raises(ValueError, match=f"{name} is not the file that was published"):
        fashion_mnist(download=True)
    files[name] = (500, b"hello")  # the connection ends early
    with pytest.raises((OSError, ValueError), match=name):
        fashion_mnist(download=True)
    assert list((home / ".cache/lamina/fashion-mnist").iterdir()) == []
    (home / "file").write_text("x")
    with pytest.raises(OSError, match="file"):
        fashion_mnist(home / "file/folder", download=True)


def test_download_from_nowhere(home, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, nobody listens
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr(fashion, "_URL", f"http://127.0.0.1:{taken.getsockname()[1]}/")
        with pytest.raises(OSError, match="cannot fetch http"):
            fashion_mnist(download=True)
