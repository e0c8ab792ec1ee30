"""The data sets and the checks on other people's files."""

import hashlib
import zipfile

import lamina
import numpy as np
import pytest
from lamina.datasets import digits, load_npz, moons, spirals, split_rule, xor


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
