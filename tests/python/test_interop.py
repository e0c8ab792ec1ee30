"""Data in and out: lists, numbers, NumPy, the buffer protocol."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from array import array
from fractions import Fraction

import lamina
import numpy as np
import pytest

PAIRS = [
    (np.bool_, lamina.bool),
    (np.uint8, lamina.uint8),
    (np.int32, lamina.int32),
    (np.int64, lamina.int64),
    (np.float32, lamina.float32),
    (np.float64, lamina.float64),
]


def test_import_needs_no_numpy():
    code = "import sys, lamina; lamina.ones(2) + 1; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# -- tensor() ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype", "shape"),
    [
        (1, lamina.int64, ()),
        (1.0, lamina.float32, ()),
        (True, lamina.bool, ()),
        ([1, 2.5], lamina.float32, (2,)),
        ([True, 2], lamina.int64, (2,)),
        ([], lamina.float32, (0,)),
        ([[], []], lamina.float32, (2, 0)),
        ([[1, 2, 3], (4, 5, 6)], lamina.int64, (2, 3)),
        (np.float64(1), lamina.float64, ()),
        ([np.float32(1), np.float32(2)], lamina.float32, (2,)),
        ([np.int32(1)], lamina.int32, (1,)),
        (np.zeros((2, 1)), lamina.float64, (2, 1)),
        ([np.zeros(3), np.ones(3)], lamina.float64, (2, 3)),
        (array("d", [1.0, 2.0]), lamina.float64, (2,)),
        (memoryview(b"abc"), lamina.uint8, (3,)),
        ([Fraction(1, 2)], lamina.float32, (1,)),
    ],
)
def test_dtype_and_shape_of_data(data, dtype, shape):
    x = lamina.tensor(data)
    assert (x.dtype, x.shape) == (dtype, shape)


def test_values_are_converted_as_asked():
    assert lamina.tensor([1.9, -1.9], dtype=lamina.int64).tolist() == [1, -1]
    assert lamina.tensor([0, 2], dtype=lamina.bool).tolist() == [False, True]
    assert lamina.tensor(np.arange(3), dtype=lamina.float32).tolist() == [0.0, 1.0, 2.0]
    assert lamina.tensor([2**62 + 1]).item() == 2**62 + 1
    assert lamina.tensor([lamina.tensor(1.5), 2]).tolist() == [1.5, 2.0]
    nested = lamina.tensor([lamina.ones(2), lamina.zeros(2)])
    assert nested.tolist() == [[1.0, 1.0], [0.0, 0.0]]


def test_the_default_dtype_is_that_of_floats():
    lamina.set_default_dtype(lamina.float64)
    try:
        assert lamina.tensor([1.0]).dtype is lamina.float64 is lamina.zeros(1).dtype
        assert lamina.tensor([1]).dtype is lamina.int64
    finally:
        lamina.set_default_dtype(lamina.float32)


def test_tensor_copies_always():
    array_ = np.zeros(2)
    x = lamina.tensor(array_)
    y = lamina.tensor(x)
    x.add_(1)
    assert array_.tolist() == [0.0, 0.0] == y.tolist()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([[1, 2], [3]], "expected a list of 2 at depth 1, got a list of 1"),
        ([1, [2]], "expected a number at depth 1, got a list of 1"),
        ([[1], 2], "expected a list of 1 at depth 1, got a number"),
        ([np.ones(2), np.ones(3)], r"expected sizes \[2\] at depth 1, got sizes \[3\]"),
        ([[1, 2], [3, [4]]], "expected a number at depth 2, got a list of 1"),
    ],
)
def test_ragged_lists_are_refused(data, text):
    with pytest.raises(ValueError, match="tensor: the lists are ragged: " + text):
        lamina.tensor(data)


@pytest.mark.parametrize("data", ["text", b"bytes", None, [None], ["a"], 1j, {"a": 1}, object()])
def test_what_is_no_number_is_refused(data):
    with pytest.raises(TypeError, match="tensor: expected numbers, lists or arrays of them, got"):
        lamina.tensor(data)


@pytest.mark.parametrize("value", [2**63, [10**30], [[1, -(2**63) - 1]]])
def test_integers_out_of_range_are_refused(value):
    with pytest.raises(ValueError, match="does not fit int64"):
        lamina.tensor(value)


# -- from NumPy ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("theirs", "ours"), PAIRS)
def test_from_numpy_shares_memory(theirs, ours):
    a = np.array([[0, 1, 0], [1, 1, 0]], dtype=theirs)
    x = lamina.from_numpy(a)
    assert x.dtype is ours
    assert x.shape == (2, 3)
    assert x.tolist() == a.tolist()
    a[0, 0] = 1
    assert x[0, 0].item() == 1
    x[1, 2] = 1
    assert a[1, 2] == 1
    assert x.numpy().dtype == theirs
    assert np.shares_memory(x.numpy(), a)


def test_layouts_that_a_tensor_can_show_are_shared():
    a = np.arange(24.0).reshape(2, 3, 4)
    for view in (a.T, a[:, ::2], a[1], np.broadcast_to(a[0], (5, 3, 4))):
        x = lamina.from_numpy(view)
        assert x.tolist() == view.tolist()
        assert np.shares_memory(x.numpy(), a)


def test_layouts_that_it_cannot_show_are_copied():
    a = np.arange(6.0)
    records = np.zeros(3, dtype=[("flag", np.uint8), ("x", np.float64)])
    records["x"] = [1.0, 2.0, 3.0]
    for view in (a[::-1], a.reshape(2, 3)[:, ::-1], records["x"]):
        x = lamina.from_numpy(view)
        assert x.tolist() == view.tolist()
        assert not np.shares_memory(x.numpy(), view)


def test_the_array_lives_as_long_as_the_tensor():
    a = np.arange(3.0)
    ref = weakref.ref(a)
    x = lamina.from_numpy(a)[1:]
    del a
    gc.collect()
    assert x.tolist() == [1.0, 2.0]
    assert ref() is not None
    del x
    gc.collect()
    assert ref() is None


def test_read_only_memory_is_not_written():
    a = np.arange(3.0)
    a.flags.writeable = False
    x = lamina.from_numpy(a)
    assert (x + 1).tolist() == [1.0, 2.0, 3.0]
    for write in (lambda: x.add_(1), lambda: x.__setitem__(0, 1.0), lambda: x.zero_()):
        with pytest.raises(RuntimeError, match="read-only"):
            write()
    assert not x.numpy().flags.writeable
    assert memoryview(x).readonly
    assert a.tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("array_", "text"),
    [
        (np.zeros(2, np.float16), "array of float16"),
        (np.zeros(2, np.int8), "array of int8"),
        (np.zeros(2, np.uint16), "array of uint16"),
        (np.zeros(2, np.complex64), "array of complex64"),
        (np.zeros(2, ">f4"), "big-endian"),
        (np.array(["a"]), "convert it with"),
        (np.array([object()]), "array of object"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), "cannot read the memory of a"),
    ],
)
def test_arrays_of_other_dtypes_are_refused(array_, text):
    for make in (lamina.from_numpy, lamina.tensor, lamina.as_tensor):
        with pytest.raises(TypeError, match=text):
            make(array_)


def test_from_numpy_wants_an_array():
    with pytest.raises(TypeError, match="from_numpy: needs a NumPy array, got list"):
        lamina.from_numpy([1])


def test_as_tensor_shares_where_it_can():
    a = np.zeros(2, np.float32)
    assert np.shares_memory(lamina.as_tensor(a).numpy(), a)
    assert not np.shares_memory(lamina.as_tensor(a, dtype=lamina.float64).numpy(), a)
    assert lamina.as_tensor([1, 2]).tolist() == [1, 2]


# -- to NumPy ------------------------------------------------------------------------------------


def test_numpy_shares_memory_and_keeps_it():
    x = lamina.arange(6.0).reshape(2, 3).T
    a = x.numpy()
    assert a.shape == (3, 2)
    assert a.strides == (4, 12)
    x.mul_(2)
    assert a.tolist() == [[0.0, 6.0], [2.0, 8.0], [4.0, 10.0]]
    a[0, 0] = 9
    assert x[0, 0].item() == 9.0
    del x
    gc.collect()
    assert a.sum() == 39.0


def test_an_exported_array_outlives_a_change_of_data():
    x = lamina.ones(3)
    a = x.numpy()
    x.data = lamina.zeros(2)
    gc.collect()
    assert a.tolist() == [1.0, 1.0, 1.0]


def test_numpy_refuses_what_requires_grad():
    x = lamina.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"use tensor\.detach\(\)\.numpy\(\)"):
        x.numpy()
    with pytest.raises(RuntimeError, match=r"use tensor\.detach\(\)\.numpy\(\)"):
        np.asarray(x)
    with pytest.raises(BufferError, match=r"use tensor\.detach\(\)"):
        memoryview(x)
    assert x.numpy(force=True).tolist() == [1.0, 1.0]


def test_numpy_functions_take_tensors():
    x = lamina.tensor([0.0, 1.0])
    assert np.asarray(x, dtype=np.int64).tolist() == [0, 1]
    assert np.shares_memory(np.asarray(x), x.numpy())
    assert not np.shares_memory(np.array(x), x.numpy())
    np.testing.assert_array_equal(x, [0.0, 1.0])


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda x: np.sin(x), np.sin(np.arange(3, dtype=np.float32))),
        (lambda x: np.add(x, x), np.arange(3, dtype=np.float32) * 2),
        (lambda x: np.add(x, np.ones(3)), np.arange(3.0) + 1),
        (lambda x: np.add(np.ones((2, 1)), x), np.arange(3.0) + np.ones((2, 1))),
        (lambda x: np.isnan(x), np.zeros(3, bool)),
        (lambda x: np.sqrt(x[1]), np.float32(1)),
        (lambda x: np.exp(x[:0]), np.zeros(0, np.float32)),
        (lambda x: np.floor(x.T), np.arange(3, dtype=np.float32)),
    ],
)
def test_ufuncs_give_tensors(call, expected):
    result = call(lamina.arange(3.0))
    assert type(result) is lamina.Tensor
    assert result.shape == expected.shape
    np.testing.assert_array_equal(result.numpy(), expected)
    assert str(result.dtype) == f"lamina.{expected.dtype}"


def test_ufuncs_with_several_results_and_with_out():
    x = lamina.tensor([1.0, 6.0])
    mantissa, exponent = np.frexp(x)
    assert (mantissa.tolist(), exponent.tolist()) == ([0.5, 0.75], [1, 3])
    assert exponent.dtype is lamina.int32
    out = np.zeros(2, np.float32)
    assert np.square(x, out=out) is out
    assert out.tolist() == [1.0, 36.0]


def test_ufuncs_refuse_what_they_would_lose():
    with pytest.raises(RuntimeError, match=r"requires grad.*use tensor\.detach\(\)\.numpy\(\)"):
        np.sin(lamina.ones(2, requires_grad=True))
    with pytest.raises(TypeError, match="no dtype for an array of float16; convert it"):
        np.sin(lamina.ones(2, dtype=lamina.uint8))  # NumPy's result for it


def test_asarray_shares_where_it_can():
    a = np.zeros(2, np.float32)
    x = lamina.ones(2)
    for source, address in (
        (a, a.ctypes.data),
        (x, x.data_ptr()),
        (x.__dlpack__(), x.data_ptr()),
        (memoryview(a), a.ctypes.data),
    ):
        assert lamina.asarray(source).data_ptr() == address
    assert lamina.asarray(x) is x
    assert lamina.asarray(a, copy=True).data_ptr() != a.ctypes.data
    assert lamina.asarray(a, copy=False).data_ptr() == a.ctypes.data
    assert lamina.asarray(a, dtype=lamina.int64).dtype is lamina.int64
    assert lamina.asarray([1, 2.5]).tolist() == [1.0, 2.5]
    assert lamina.asarray(3).dtype is lamina.int64
    assert lamina.asarray([1.0], requires_grad=True).requires_grad
    leaf = lamina.ones(2, requires_grad=True)
    assert not lamina.asarray(leaf).requires_grad
    assert lamina.asarray(leaf, requires_grad=True) is leaf


@pytest.mark.parametrize(
    ("data", "options", "text"),
    [
        ([1.0], {}, "a list or number"),
        (np.arange(3)[::-1], {}, "memory of this layout"),
        (np.zeros(2), {"dtype": lamina.float32}, "another dtype or device"),
        (lamina.ones(2), {"dtype": lamina.float64}, "another dtype or device"),
    ],
)
def test_asarray_without_a_copy_is_refused_where_it_needs_one(data, options, text):
    with pytest.raises(ValueError, match=f"asarray: {text} needs a copy, but copy=False"):
        lamina.asarray(data, copy=False, **options)


def test_array_protocol():
    x = lamina.tensor([0.0, 1.0])
    assert np.shares_memory(x.__array__(), x.numpy())
    assert not np.shares_memory(x.__array__(copy=True), x.numpy())
    assert x.__array__(np.int32).dtype == np.int32
    with pytest.raises(ValueError, match="another dtype needs a copy"):
        x.__array__(np.int32, copy=False)


def test_operators_with_numpy_scalars_give_tensors():
    x = lamina.tensor([1.0, 2.0])
    for number in (np.float64(2), np.float32(2), np.int64(2), np.array(2.0)):
        assert (x * number).dtype is lamina.float32
        assert isinstance(number * x, lamina.Tensor)
        assert (number * x).tolist() == [2.0, 4.0]
        assert (number - x).tolist() == [1.0, 0.0]
    assert (lamina.tensor([1]) * np.bool_(True)).dtype is lamina.int64


def test_arrays_are_not_operands():
    for op in (lambda: lamina.ones(2) + np.ones(2), lambda: np.ones(2) + lamina.ones(2)):
        with pytest.raises(TypeError, match=r"got numpy.ndarray; lamina.from_numpy\(...\)"):
            op()


# -- buffers -------------------------------------------------------------------------------------


def test_memoryview():
    x = lamina.arange(6, dtype=lamina.int32).reshape(2, 3)
    with memoryview(x) as view:
        assert view.shape == (2, 3)
        assert view.format == "i"
        assert not view.readonly
        view[1, 2] = 50
    assert x[1, 2].item() == 50
    assert bytes(memoryview(x[0])) == np.arange(3, dtype=np.int32).tobytes()
    with pytest.raises(BufferError, match="not contiguous"):
        array("B").frombytes(x.T)


def test_bytes_of_a_tensor():
    x = lamina.arange(6, dtype=lamina.int32).reshape(2, 3)
    assert bytes(x) == np.arange(6, dtype=np.int32).tobytes()
    assert bytes(x.T) == np.arange(6, dtype=np.int32).reshape(2, 3).T.tobytes()
    assert bytes(x[:0]) == b""
    assert bytes(lamina.tensor(True)) == b"\x01"


def test_a_buffer_in_the_order_that_is_asked_for():
    x = lamina.arange(6.0).reshape(2, 3)
    for y, c, fortran in ((x, True, False), (x.T, False, True), (x[:, ::2], False, False)):
        with memoryview(y) as view:
            assert (view.c_contiguous, view.f_contiguous) == (c, fortran)
            assert view.contiguous == (c or fortran)
        assert np.frombuffer(y.contiguous(), np.float32).tolist() == y.reshape(-1).tolist()
    with memoryview(lamina.tensor(2.5)) as view:
        assert (view.ndim, view.shape, view.tolist()) == (0, (), 2.5)


def test_tolist():
    x = lamina.arange(6).reshape(2, 3)
    assert x.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert x.T.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert lamina.tensor(1.5).tolist() == 1.5
    assert lamina.zeros(2, 0).tolist() == [[], []]
    assert lamina.tensor([True]).tolist() == [True]


def test_generator_state():
    lamina.manual_seed(7)
    assert lamina.initial_seed() == 7
    state = lamina.get_rng_state()
    assert state.dtype is lamina.uint8
    first = lamina.rand(5)
    lamina.set_rng_state(state)
    assert lamina.rand(5).tolist() == first.tolist()
    lamina.manual_seed(8)
    assert lamina.rand(5).tolist() != first.tolist()
    lamina.manual_seed(-1)
    assert lamina.initial_seed() == 2**64 - 1
    with pytest.raises(ValueError, match="set_rng_state: needs what get_rng_state returned"):
        lamina.set_rng_state(lamina.zeros(16))


def test_bytes_that_are_no_bools_are_refused():
    bad = np.array([[0, 1, 2], [1, 0, 0]], np.uint8).view(bool)
    for make in (lamina.from_numpy, lamina.tensor, lamina.asarray, lamina.from_dlpack):
        for array_ in (bad, bad.T, bad[:, ::2], bad[:, ::-1], np.broadcast_to(bad[0], (2**40, 3))):
            with pytest.raises(
                ValueError, match=r"bytes other than 0 and 1; use array.view\('uint8"
            ):
                make(array_) if array_.size < 100 else lamina.from_numpy(array_)
        assert make(bad[1:]).tolist() == [[True, False, False]]
    assert lamina.from_numpy(bad.view(np.uint8) != 0).tolist()[0] == [False, True, True]
    lamina.full((1000,), 255, dtype=lamina.uint8)
    assert set(lamina.empty(1000, dtype=lamina.bool).tolist()) == {False}
