"""`load_torch` and `save_torch`: PyTorch's files, read and written without PyTorch.

The files in tests/data were written by PyTorch 2.13: what is in them stands in `expected` below.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import lamina
import numpy as np
import pytest
from lamina import nn

DATA = Path(__file__).resolve().parents[1] / "data"


def expected():
    base = np.arange(24, dtype="float32").reshape(4, 6)
    return {
        "state": OrderedDict(
            {
                "0.weight": np.array([[0, 1], [2, 3]], "float32"),
                "0.bias": np.array([10, 11], "float32"),
                "1.weight": np.array([20, 21], "float32"),
                "1.bias": np.array([30, 31], "float32"),
                "1.running_mean": np.zeros(2, "float32"),
                "1.running_var": np.ones(2, "float32"),
                "1.num_batches_tracked": np.array(0),
            }
        ),
        "views": [base, base.T, base[1:3, ::2], base[2, 3], np.stack([base[0]] * 2), base[:0]],
        "again": base,
        "parameter": np.array([1, 2], "float32"),
        "frozen": np.array([3], "float32"),
        "leaf": np.array([4], "float32"),
        "dtypes": {
            "float64": np.array([0, 1, 2], "float64"),
            "int64": np.array([0, 1, 2], "int64"),
            "int32": np.array([0, 1, 2], "int32"),
            "uint8": np.array([0, 1, 2], "uint8"),
            "bool": np.array([False, True, True]),
            "int16": np.array([0, 1, 2], "int32"),  # the smallest dtype here that holds them
            "int8": np.array([0, 1, 2], "int32"),
        },
        "half": np.array([0.5, -2, 65504, 2**-24, np.inf, np.nan], "float32"),
        "bfloat": np.array([0.5, -2, 2.0**127, 2.0**-133, -np.inf, np.nan], "float32"),
        "plain": [
            *(1, -5, 2**40, 1.5, "text é", None, True, False, b"\x00\xff", (1, 2, (3,))),
            {"a": [{}], 7: "seven"},
        ],
        "set": {3, 4},
        "counter": Counter({5: 2}),
        "size": (2, 3),
    }


def assert_same(got, want, path="value"):
    if isinstance(want, (np.ndarray, np.generic)):
        array = got.detach().numpy()
        assert array.dtype == want.dtype, path
        assert array.shape == want.shape, path
        np.testing.assert_array_equal(array, want, path)
    elif isinstance(want, dict):
        assert type(got) is type(want), path
        assert list(got) == list(want), path
        for key, item in want.items():
            assert_same(got[key], item, f"{path}[{key!r}]")
    elif isinstance(want, (list, tuple)):
        assert isinstance(got, type(want)), path
        assert len(got) == len(want), path
        for place, item in enumerate(want):
            assert_same(got[place], item, f"{path}[{place}]")
    else:
        assert type(got) is type(want), path
        assert got == want, path


@pytest.mark.parametrize("name", ["torch_zip.pt", "torch_legacy.pt"])
def test_everything_that_can_be_read(name):
    got = lamina.load_torch(DATA / name)
    assert_same(got, expected())
    assert isinstance(got["parameter"], nn.Parameter)
    assert got["parameter"].requires_grad
    assert isinstance(got["frozen"], nn.Parameter)
    assert not got["frozen"].requires_grad
    assert got["leaf"].requires_grad
    assert got["leaf"].is_leaf
    assert type(got["leaf"]) is lamina.Tensor
    assert not got["views"][0].requires_grad
    assert isinstance(got["size"], lamina.Size)
    whole, transposed, part, one, repeated, _ = got["views"]
    assert got["again"] is whole
    assert transposed.stride() == (1, 6)
    assert (part.stride(), part.storage_offset()) == ((6, 2), 6)
    assert repeated.stride() == (0, 1)
    whole[2, 3] = -1.0  # all of them are the same memory
    assert transposed[3, 2].item() == one.item() == -1.0


def test_a_state_dict_fits_its_model():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    assert model.load_state_dict(lamina.load_torch(DATA / "torch_zip.pt")["state"]) == ([], [])
    assert model[0].bias.tolist() == [10.0, 11.0]


def test_an_optimizers_state_in_protocol_4():
    got = lamina.load_torch(str(DATA / "torch_protocol4.pt"))
    assert got["epoch"] == 3
    moments = got["optimizer"]["state"][0]
    # After two gradients of (1, 2): 1 - 0.9^2, and 1 - 0.999^2, of the gradient and its square.
    assert moments["exp_avg"].tolist() == pytest.approx([0.19, 0.38], rel=1e-6)
    assert moments["exp_avg_sq"].tolist() == pytest.approx([0.001999, 0.007996], rel=1e-5)
    assert got["optimizer"]["param_groups"][0]["betas"] == (0.9, 0.999)


def test_from_an_open_file_and_from_bytes():
    path = DATA / "torch_zip.pt"
    with path.open("rb") as file:
        assert lamina.load_torch(file)["plain"][0] == 1
    assert lamina.load_torch(io.BytesIO(path.read_bytes()))["plain"][0] == 1
    with path.open(encoding="latin-1") as file, pytest.raises(TypeError, match="open it in mode"):
        lamina.load_torch(file)
    with pytest.raises(FileNotFoundError):
        lamina.load_torch(DATA / "nothing.pt")


# -- writing -------------------------------------------------------------------------------------


def written(obj):
    buffer = io.BytesIO()
    lamina.save_torch(obj, buffer)
    buffer.seek(0)
    return buffer


def saved_tree():
    base = lamina.arange(12.0).reshape(3, 4)
    return {
        "state": nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).state_dict(),
        "parameters": list(nn.Linear(2, 2).parameters()),
        "views": [base, base.t(), base[1], base[:, 1:3], lamina.zeros(0, 2), lamina.tensor(2.0)],
        "again": base,
        "leaf": lamina.ones(2, requires_grad=True),
        "dtypes": {
            name: lamina.ones(3, dtype=getattr(lamina, name))
            for name in ("float32", "float64", "int64", "int32", "uint8", "bool")
        },
        "plain": [
            1,
            -3,
            2**70,
            1.5,
            math.inf,
            "é\n",
            None,
            True,
            (),
            (1, (2,)),
            {"a": []},
            {4: {}},
        ],
    }


def arrays(value):
    """The same tree with arrays for tensors."""
    if isinstance(value, lamina.Tensor):
        return value.detach().numpy()
    if isinstance(value, dict):
        return type(value)((key, arrays(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return type(value)(arrays(item) for item in value)
    return value


def test_what_is_written_is_read_again(tmp_path):
    tree = saved_tree()
    path = tmp_path / "tree.pt"
    lamina.save_torch(tree, path)
    got = lamina.load_torch(path)
    assert_same(got, arrays(tree))
    assert [type(p) for p in got["parameters"]] == [nn.Parameter, nn.Parameter]
    assert got["leaf"].requires_grad
    assert got["again"] is got["views"][0]
    got["views"][0][1, 0] = -1.0
    assert got["views"][1][0, 1].item() == got["views"][2][0].item() == -1.0


def test_storages_are_aligned():
    with zipfile.ZipFile(written(saved_tree())) as archive:
        assert archive.testzip() is None
        for info in archive.infolist():
            if "/data/" in info.filename and info.file_size:
                header = info.header_offset + 30 + len(info.filename) + len(info.extra)
                assert header % 64 == 0, info.filename


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        ({"a": [nn.ReLU()]}, TypeError, r"save_torch: obj\['a'\]\['0'\] is a ReLU.*its state_dict"),
        ({"a": np.zeros(2)}, TypeError, r"obj\['a'\] is a ndarray; only dicts"),
        ({"a": b"x"}, TypeError, r"obj\['a'\] is a bytes"),
        ({(1,): 2}, TypeError, r"obj has the key \(1,\), a tuple; keys must be"),
    ],
)
def test_what_cannot_be_written(value, error, text):
    with pytest.raises(error, match=text):
        written(value)


def test_what_contains_itself():
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(ValueError, match=r"save_torch: obj\['0'\] contains itself"):
        written(loop)


# -- PyTorch itself ------------------------------------------------------------------------------


def test_pytorch_reads_what_we_write():
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    tree = saved_tree()
    got = torch.load(written(tree), weights_only=True)
    assert got["views"][1].stride() == (1, 4)
    assert got["again"] is got["views"][0]
    got_arrays = {key: got[key] for key in ("state", "dtypes")}
    for key, part in got_arrays.items():
        for name, tensor in part.items():
            want = arrays(tree[key][name])
            assert tensor.numpy().dtype == want.dtype
            np.testing.assert_array_equal(tensor.numpy(), want)
    assert [type(p) for p in got["parameters"]] == [torch.nn.Parameter] * 2
    assert got["plain"] == tree["plain"]
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    model.load_state_dict(got["state"])


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
def test_we_read_what_pytorch_writes(options):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    state = torch.nn.Linear(5, 3).state_dict()
    buffer = io.BytesIO()
    torch.save({"model": state, "half": state["weight"].half()}, buffer, **options)
    buffer.seek(0)
    got = lamina.load_torch(buffer)
    ours = nn.Linear(5, 3)
    ours.load_state_dict(got["model"])
    np.testing.assert_array_equal(ours.weight.detach().numpy(), state["weight"].numpy())
    np.testing.assert_array_equal(got["half"].numpy(), state["weight"].half().float().numpy())
