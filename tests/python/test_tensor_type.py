"""The Tensor as a Python object: identity, lifetime, garbage, operators, numbers, text."""

from __future__ import annotations

import copy
import gc
import importlib.util
import inspect
import pickle
import subprocess
import sys
import textwrap
import weakref
from pathlib import Path

import lamina
import pytest
from lamina import _core

# -- identity and lifetime ---------------------------------------------------------------------


T = lamina.tensor


class Named(lamina.Tensor):
    """A subclass with attributes of its own."""


def test_an_object_is_the_same_for_as_long_as_it_lives():
    p = lamina.ones(2, requires_grad=True)
    (p * p).sum().backward()
    assert p.grad is p.grad
    grad = p.grad
    assert p.grad is grad
    assert p.add_ is not None
    assert p.detach() is not p


def test_a_tensor_that_goes_through_native_code_comes_back_as_itself():
    x = lamina.ones(3)
    assert x.to(lamina.float32) is x
    assert x.contiguous() is x
    assert x.zero_() is x
    assert x.float() is x
    y = x
    y += 1
    assert y is x
    assert lamina.as_tensor(x) is x


def test_a_subclass_keeps_its_object_its_dict_and_its_memory():
    x = lamina.zeros(2)
    named = lamina.Tensor.__new__(Named, x)
    named.label = "first"
    assert type(named) is Named
    named.fill_(3.0)
    assert x.tolist() == [3.0, 3.0]
    assert named.add_(1) is named
    assert named.label == "first"
    assert type(named + 1) is lamina.Tensor
    assert isinstance(Named([1, 2]), Named)
    assert Named([1, 2]).dtype is lamina.float32


def test_a_parameter_that_is_alive_comes_back_out_of_the_graph():
    p = lamina.nn.Parameter(lamina.ones(2))
    seen = []
    p.register_hook(lambda grad: seen.append(p))
    p.sum().backward()
    assert seen[0] is p
    assert type(seen[0]) is lamina.nn.Parameter


def test_a_plain_tensor_has_no_dict():
    with pytest.raises(AttributeError):
        lamina.ones(1).note = 1


def test_weak_references_die_with_the_object():
    x = lamina.ones(1)
    ref = weakref.ref(x)
    assert ref() is x
    del x
    assert ref() is None


def test_objects_are_reused_without_mixing_up_what_they_were():
    for _ in range(3):
        many = [lamina.full((1,), float(i)) for i in range(300)]
        assert [t.item() for t in many] == [float(i) for i in range(300)]
        refs = [weakref.ref(t) for t in many]
        del many
        assert all(ref() is None for ref in refs)


def test_steady_work_leaves_memory_where_it_was():
    def step():
        x = lamina.ones(100, requires_grad=True)
        (x * 2).relu().sum().backward()
        assert x.grad is not None

    step()
    gc.collect()
    before = _core.allocator_stats()["live_bytes"]
    for _ in range(200):
        step()
    gc.collect()
    assert _core.allocator_stats()["live_bytes"] == before


# -- operators -----------------------------------------------------------------------------------


def test_operators_with_numbers_keep_the_tensors_dtype():
    x = lamina.tensor([7, -7])
    assert (x + 1).dtype is lamina.int64
    assert (x * 1.5).dtype is lamina.float32
    assert (x / 2).tolist() == [3.5, -3.5]
    assert (x // 2).tolist() == [3, -4]
    assert (x % 3).tolist() == [1, 2]
    assert (2 - x).tolist() == [-5, 9]
    assert (10 // lamina.tensor([4])).item() == 2
    assert (x**2).tolist() == [49, 49]
    assert (2 ** lamina.tensor([3])).item() == 8
    assert (-x).tolist() == [-7, 7]
    assert abs(x).tolist() == [7, 7]
    assert (+x) is x
    mask = x > 0
    assert mask.dtype is lamina.bool
    assert (~mask).tolist() == [False, True]
    assert ((mask | True) & mask ^ mask).tolist() == [False, False]


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda x: x.__iadd__(1), 8.0),
        (lambda x: x.__isub__(1), 6.0),
        (lambda x: x.__imul__(2), 14.0),
        (lambda x: x.__itruediv__(2), 3.5),
        (lambda x: x.__ifloordiv__(2), 3.0),
        (lambda x: x.__imod__(4), 3.0),
        (lambda x: x.__ipow__(2), 49.0),
        (lambda x: x.add_(1, alpha=3), 10.0),
        (lambda x: x.neg_(), -7.0),
        (lambda x: x.clamp_(max=2), 2.0),
        (lambda x: x.fill_(4), 4.0),
        (lambda x: x.copy_(lamina.tensor(9)), 9.0),
        (lambda x: x.masked_fill_(x > 5, 0), 0.0),
    ],
)
def test_writes_in_place_return_the_tensor(write, expected):
    x = lamina.tensor(7.0)
    alias = x.view(1)
    assert write(x) is x
    assert x.item() == expected == alias.item()


def test_comparison_is_elementwise_and_hash_is_identity():
    x, y = lamina.tensor([1, 2]), lamina.tensor([1, 3])
    assert (x == y).tolist() == [True, False]
    assert (x != y).tolist() == [False, True]
    assert (x == [1, 2]) is False
    assert (x == None) is False  # noqa: E711
    assert {x: 1}[x] == 1
    assert 2 in x
    assert 5 not in x


def test_python_numbers_from_tensors():
    assert float(lamina.tensor([2])) == 2.0
    assert int(lamina.tensor(2.7)) == 2
    assert range(10)[lamina.tensor(3)] == 3
    assert type(lamina.tensor(True).item()) is bool
    assert type(lamina.tensor(1).item()) is int
    assert not lamina.tensor([0.0])
    assert lamina.tensor([0.5])
    with pytest.raises(RuntimeError, match="truth of a tensor with 2 elements is ambiguous"):
        bool(lamina.ones(2))
    with pytest.raises(TypeError, match="only an integer tensor with one element can be an index"):
        range(3)[lamina.tensor(1.0)]
    with pytest.raises(RuntimeError, match="item: needs a tensor with one element"):
        lamina.ones(2).item()


def test_length_and_iteration_carry_gradient():
    x = lamina.ones(3, 2, requires_grad=True)
    assert len(x) == 3
    rows = list(x)
    (rows[1] * 4).sum().backward()
    assert x.grad.tolist() == [[0.0, 0.0], [4.0, 4.0], [0.0, 0.0]]
    with pytest.raises(TypeError, match="0-d tensor"):
        len(lamina.tensor(1))
    with pytest.raises(TypeError, match="0-d tensor"):
        iter(lamina.tensor(1))


def test_max_gives_named_values_and_indices():
    pair = lamina.tensor([[1.0, 5.0], [7.0, 2.0]]).max(1)
    values, indices = pair
    assert values is pair.values
    assert indices is pair[1]
    assert values.tolist() == [5.0, 7.0]
    assert indices.tolist() == [1, 0]


# -- text ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: lamina.tensor([[1.0, 2.0], [3.0, 4.5]]),
            "tensor([[1.0000, 2.0000],\n        [3.0000, 4.5000]])",
        ),
        (lambda: lamina.tensor([1.0, float("nan"), -float("inf")]), "tensor([1., nan, -inf])"),
        (lambda: lamina.tensor([0.1, 1000.5]), "tensor([1.0000e-01, 1.0005e+03])"),
        (lambda: lamina.tensor([-1, 10]), "tensor([-1, 10])"),
        (lambda: lamina.tensor([True, False]), "tensor([ True, False])"),
        (lambda: lamina.tensor(2.5), "tensor(2.5000)"),
        (lambda: lamina.zeros(2, 0), "tensor([], size=(2, 0))"),
        (
            lambda: lamina.tensor([[[1.0], [float("nan")]], [[-2.0], [float("inf")]]]),
            "tensor([[[ 1.],\n         [nan]],\n\n        [[-2.],\n         [inf]]])",
        ),
        (lambda: lamina.tensor([0.0, -0.0, float("nan")]), "tensor([0., -0., nan])"),
        (lambda: lamina.tensor([1e9, 1.0]), "tensor([1.0000e+09, 1.0000e+00])"),
        (lambda: lamina.tensor([9.9e-5]), "tensor([9.9000e-05])"),
        (
            lambda: lamina.arange(30.0),
            (
                "tensor([ 0.,  1.,  2.,  3.,  4.,  5.,  6.,  7.,  8.,  9., 10., 11., 12., 13.,\n"
                "        14., 15., 16., 17., 18., 19., 20., 21., 22., 23., 24., 25., 26., 27.,\n"
                "        28., 29.])"
            ),
        ),
        (
            lambda: lamina.full((16,), 1.5, requires_grad=True),
            "tensor(["
            + ", ".join(["1.5000"] * 9)
            + ",\n        "
            + ", ".join(["1.5000"] * 7)
            + "],\n       requires_grad=True)",
        ),
        (lambda: lamina.empty(0, dtype=lamina.int64), "tensor([], dtype=lamina.int64)"),
        (lambda: lamina.zeros(2, dtype=lamina.float64), "tensor([0., 0.], dtype=lamina.float64)"),
        (lambda: lamina.ones(1, requires_grad=True), "tensor([1.], requires_grad=True)"),
        (lambda: lamina.ones(1, requires_grad=True) * 2, "tensor([2.], grad_fn=<mul>)"),
        (
            lambda: lamina.arange(2000),
            "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])",
        ),
    ],
)
def test_repr_is_laid_out_as_pytorchs(make, text):
    assert repr(make()) == text


@pytest.fixture
def print_options():
    yield lamina.set_printoptions
    lamina.set_printoptions(profile="default")


@pytest.mark.parametrize(
    ("options", "make", "text"),
    [
        ({"precision": 2}, lambda: lamina.tensor([1 / 3, -2.0]), "tensor([ 0.33, -2.00])"),
        ({"precision": 0}, lambda: lamina.tensor([1.5, 2.0]), "tensor([2, 2])"),
        (
            {"threshold": 4, "edgeitems": 1},
            lambda: lamina.arange(20).reshape(4, 5),
            "tensor([[ 0,  ...,  4],\n        ...,\n        [15,  ..., 19]])",
        ),
        (
            {"threshold": 4, "edgeitems": 0},
            lambda: lamina.arange(5),
            "tensor([...], size=(5,))",
        ),
        (
            {"linewidth": 20},
            lambda: lamina.arange(5.0),
            "tensor([0., 1., 2.,\n        3., 4.])",
        ),
        ({"sci_mode": True}, lambda: T([1.0, 0.0]), "tensor([1.0000e+00, 0.0000e+00])"),
        (
            {"sci_mode": False},
            lambda: lamina.tensor([1e-5, 1e9]),
            "tensor([         0.0000, 1000000000.0000])",
        ),
        ({"profile": "short"}, lambda: lamina.tensor([0.123]), "tensor([0.12])"),
        (
            {"profile": "full", "linewidth": 20000},
            lambda: lamina.zeros(1001),
            "tensor([" + ", ".join(["0."] * 1001) + "])",
        ),
    ],
)
def test_print_options(print_options, options, make, text):
    print_options(**options)
    assert repr(make()) == text
    print_options(profile="default")
    assert repr(lamina.tensor([1.5])) == "tensor([1.5000])"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"precision": -1}, "precision must be 0 to 64, got -1"),
        ({"linewidth": 0}, "linewidth must be 1 to"),
        ({"edgeitems": -1}, "edgeitems must be 0 to"),
        ({"threshold": -2}, "threshold must not be negative, got -2"),
        ({"profile": "long"}, "must be 'default', 'short' or 'full', got 'long'"),
    ],
)
def test_wrong_print_options_change_nothing(print_options, options, text):
    with pytest.raises(ValueError, match="set_printoptions: .*" + text):
        print_options(**options)
    assert repr(lamina.tensor([1.5])) == "tensor([1.5000])"


def test_repr_of_a_large_tensor_is_short():
    text = repr(lamina.zeros(100, 100))
    assert text.count("\n") == 6
    assert text.count("...") == 7


def test_format():
    assert f"{lamina.tensor(2.5):.2f}" == "2.50"
    assert f"{lamina.tensor(3)}" == "3"
    assert f"{lamina.tensor([1])}" == "tensor([1])"
    with pytest.raises(TypeError, match="only a 0-d tensor takes a format"):
        format(lamina.ones(2), ".2f")


# -- copies and pickles --------------------------------------------------------------------------


def test_deepcopy_of_a_leaf():
    x = lamina.ones(2, requires_grad=True)
    x.grad = lamina.full((2,), 3.0)
    (both,) = copy.deepcopy([(x, x)])
    assert both[0] is both[1] is not x
    assert both[0].requires_grad
    assert both[0].grad.tolist() == [3.0, 3.0]
    both[0].data.zero_()
    assert x.tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match="deepcopy: only a leaf"):
        copy.deepcopy(x * 2)


def test_one_deepcopy_keeps_what_shares_memory_together():
    base = lamina.arange(6.0)
    tree = {
        "base": base,
        "row": base.view(2, 3)[1],
        "steps": base[::2],
        "turned": base.view(2, 3).T,
    }
    copied = copy.deepcopy(tree)
    for name, x in tree.items():
        assert copied[name].tolist() == x.tolist()
        assert copied[name].stride() == x.stride()
    copied["base"].mul_(10)
    assert copied["row"].tolist() == [30.0, 40.0, 50.0]
    assert copied["steps"].tolist() == [0.0, 20.0, 40.0]
    assert copied["turned"].tolist() == [[0.0, 30.0], [10.0, 40.0], [20.0, 50.0]]
    assert base.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    apart = [copy.deepcopy(base), copy.deepcopy(base)]
    assert apart[0].data_ptr() != apart[1].data_ptr()


def test_deepcopy_of_a_view_of_memory_that_is_not_ours():
    import numpy as np

    a = np.arange(6.0)
    a.flags.writeable = False
    x = lamina.from_numpy(a)[::2]
    copied = copy.deepcopy(x)
    copied.add_(1)
    assert copied.tolist() == [1.0, 3.0, 5.0]
    assert a.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_deepcopy_of_a_gradient_that_is_also_elsewhere():
    x = lamina.ones(2, requires_grad=True)
    x.sum().backward()
    both = copy.deepcopy({"x": x, "grad": x.grad})
    assert both["x"].grad is both["grad"]
    assert both["x"].is_leaf
    x.grad = None
    assert both["x"].grad.tolist() == [1.0, 1.0]


def test_copy_is_another_leaf_over_the_same_memory():
    x = lamina.ones(2, requires_grad=True)
    y = copy.copy(x)
    assert y is not x
    assert y.data_ptr() == x.data_ptr()
    assert y.requires_grad
    assert y.is_leaf
    named = lamina.Tensor.__new__(Named, x)
    named.label = "a"
    assert copy.copy(named).label == "a"
    assert type(copy.copy(named)) is Named


def test_data_is_the_memory_without_the_record():
    x = lamina.ones(3, requires_grad=True)
    assert not x.data.requires_grad
    assert x.data.data_ptr() == x.data_ptr()
    x.data.mul_(2)
    assert x.tolist() == [2.0, 2.0, 2.0]
    other = lamina.zeros(2, 2)
    x.data = other
    assert x.requires_grad
    assert x.is_leaf
    assert x.shape == (2, 2)
    assert x.data_ptr() == other.data_ptr()
    (x * 3).sum().backward()
    assert x.grad.tolist() == [[3.0, 3.0], [3.0, 3.0]]
    base = lamina.ones(4, requires_grad=True) * 1
    with pytest.raises(RuntimeError, match="data: a view that is part of a graph"):
        base[:2].data = lamina.zeros(2)
    plain = lamina.ones(4)
    view = plain[:2]
    view.data = lamina.zeros(2)
    view.add_(lamina.ones(2, requires_grad=True))
    assert view.requires_grad
    assert not plain.requires_grad
    with pytest.raises(TypeError, match="data must be a Tensor, got list"):
        x.data = [1.0]
    with pytest.raises(RuntimeError, match="requires grad cannot show int64 values"):
        x.data = lamina.zeros(2, dtype=lamina.int64)
    with pytest.raises(TypeError, match="data must be a Tensor, got nothing"):
        del x.data


def test_cuda_says_why_not():
    if lamina.cuda.is_available():
        assert lamina.ones(1).cuda().is_cuda
        return
    for call in (lambda x: x.cuda(), lambda x: x.cuda(0), lambda x: x.cuda("cuda:0")):
        with pytest.raises(RuntimeError, match="no CUDA here"):
            call(lamina.ones(1))


def in_another_process(x):
    return x, x.sum().item()


def test_tensors_and_modules_travel_to_other_processes():
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    model = lamina.nn.Sequential(lamina.nn.Linear(3, 2), lamina.nn.Tanh(), lamina.nn.Linear(2, 1))
    x = lamina.randn(4, 3)
    y = model(x).detach()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        back, total = pool.submit(in_another_process, x).result()
        there = pool.submit(model, x).result().detach()
        again = pool.submit(copy.deepcopy, model).result()
    assert back.tolist() == x.tolist()
    assert total == x.sum().item()
    assert there.tolist() == y.tolist()
    assert again(x).tolist() == y.tolist()
    assert all(p.requires_grad for p in again.parameters())


def test_deepcopy_and_pickle_keep_a_subclass():
    x = lamina.Tensor.__new__(Named, lamina.ones(2))
    x.label = ["a"]
    copied = copy.deepcopy(x)
    assert type(copied) is Named
    assert copied.label == ["a"]
    assert copied.label is not x.label


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(protocol):
    x = lamina.arange(6, dtype=lamina.float64).reshape(2, 3).T.requires_grad_()
    back = pickle.loads(pickle.dumps(x, protocol))
    assert back.requires_grad
    assert back.dtype is lamina.float64
    assert back.tolist() == x.tolist()
    back.data.add_(1)  # the memory is its own, and writable
    assert x.sum().item() == 15.0


@pytest.mark.parametrize("name", ["bool", "uint8", "int32", "int64", "float32", "float64"])
def test_dtypes_are_singletons(name):
    dtype = getattr(lamina, name)
    assert repr(dtype) == "lamina." + name
    assert pickle.loads(pickle.dumps(dtype)) is dtype is copy.deepcopy(dtype)
    assert {dtype: 1}[lamina.zeros(1, dtype=dtype).dtype] == 1
    assert dtype.is_floating_point == name.startswith("float")
    assert dtype.itemsize == lamina.zeros(1, dtype=dtype).element_size()


def test_devices():
    cpu = lamina.device("cpu")
    assert lamina.zeros(1).device == cpu
    assert str(cpu) == "cpu"
    assert cpu.type == "cpu"
    assert repr(cpu) == "device(type='cpu')"
    assert cpu.index is None
    assert lamina.device("cuda:1") == lamina.device("cuda", 1) != lamina.device("cuda")
    assert len({cpu, lamina.device("cpu"), lamina.device("cuda:0")}) == 2
    assert pickle.loads(pickle.dumps(lamina.device("cuda:1"))).index == 1


def test_shape_is_a_tuple():
    shape = lamina.zeros(2, 3).shape
    assert shape == (2, 3)
    assert isinstance(shape, tuple)
    assert shape.numel() == 6
    assert repr(shape) == "lamina.Size([2, 3])"
    assert pickle.loads(pickle.dumps(shape)) == shape
    assert _core.Size([4]).numel() == 4


# -- what is bound -------------------------------------------------------------------------------


def test_signatures_can_be_inspected():
    form = "(input, dim=None, keepdim=False, *, dtype=None, out=None)"
    assert str(inspect.signature(_core.sum)) == form
    assert str(inspect.signature(_core.Tensor.add_)) == "(self, /, other, *, alpha=1)"


def test_every_bound_name_has_a_line_of_documentation():
    for signature, _, doc in _core._signatures():
        assert doc.endswith("."), signature


def test_the_stub_is_up_to_date():
    root = Path(__file__).parents[2]
    spec = importlib.util.spec_from_file_location("core_stub", root / "tools" / "core_stub.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.STUB.read_text() == module.text()


def test_threads_and_cpu():
    info = _core.cpu_info()
    assert info["isa"] in info["available"]
    assert "ref" in info["available"]
    before = _core.get_num_threads()
    _core.set_num_threads(2)
    assert _core.get_num_threads() == 2
    _core.set_num_threads(before)
    assert _core.cuda_info()["available"] == (_core.cuda_info()["reason"] == "")


def test_allocator_stats_follow_what_is_alive():
    """In a process of its own: small blocks that other threads freed wait in lists of theirs."""
    code = """
        import lamina
        from lamina import _core
        before = _core.allocator_stats()["live_bytes"]
        x = lamina.empty(1 << 16)
        during = _core.allocator_stats()
        assert during["live_bytes"] - before >= 4 << 16
        assert during["peak_bytes"] >= during["live_bytes"]
        del x
        assert _core.allocator_stats()["live_bytes"] == before
        _core.empty_cache()
        assert _core.allocator_stats()["cached_bytes"] == 0
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
