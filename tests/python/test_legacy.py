"""PyTorch's older constructors: Tensor(...), FloatTensor(...) and its like."""

from __future__ import annotations

import lamina
import numpy as np
import pytest

KINDS = {
    "FloatTensor": lamina.float32,
    "DoubleTensor": lamina.float64,
    "LongTensor": lamina.int64,
    "IntTensor": lamina.int32,
    "ByteTensor": lamina.uint8,
    "BoolTensor": lamina.bool,
}


@pytest.mark.parametrize("name", KINDS)
def test_typed_constructors(name):
    make, kind = getattr(lamina, name), KINDS[name]
    x = make([[1, 0], [3, 1]])
    assert x.dtype == kind
    assert x.tolist() == np.array([[1, 0], [3, 1]]).astype(repr(kind).split(".")[1]).tolist()
    assert make(2, 3).shape == make(lamina.Size([2, 3])).shape == (2, 3)
    assert make((2, 3)).tolist() == make([2, 3]).tolist()
    assert make(np.array([1, 0])).shape == (2,)
    assert make().shape == make(0).shape == (0,)
    same = make(x)
    assert same.data_ptr() == x.data_ptr()
    other = lamina.IntTensor if name == "FloatTensor" else lamina.FloatTensor
    with pytest.raises(TypeError, match=rf"^{name}: needs a tensor of {kind}, got one of"):
        make(other([1]))
    with pytest.raises(TypeError, match=rf"^{name}: takes data, or sizes as ints, got \(2, 'a'\)"):
        make(2, "a")
    with pytest.raises(ValueError, match="-2"):
        make(-2)
    assert isinstance(x, make)
    assert not isinstance(x, other)
    assert not isinstance([1], make)


def test_the_untyped_constructor():
    assert lamina.Tensor([1, 2]).dtype == lamina.float32
    assert lamina.Tensor(2, 3).shape == lamina.Tensor(lamina.Size([2, 3])).shape == (2, 3)
    assert lamina.Tensor((2, 3)).tolist() == [2.0, 3.0]
    assert lamina.Tensor(4).shape == (4,)
    assert lamina.Tensor().shape == (0,)
    x = lamina.ones(2, requires_grad=True)
    assert lamina.Tensor(x).data_ptr() == x.data_ptr()
    assert not lamina.Tensor(x).requires_grad
    with pytest.raises(TypeError, match=r"^Tensor: makes float32, got a tensor of int64; convert"):
        lamina.Tensor(lamina.tensor([1]))
    with pytest.raises(TypeError, match=r"^Tensor: takes the data or the sizes"):
        lamina.Tensor(2, 3.5)
    assert lamina.nn.Parameter(lamina.tensor([1]), requires_grad=False).dtype == lamina.int64


def test_new_tensor():
    x = lamina.ones(2, dtype=lamina.float64)
    y = x.new_tensor([1, 2])
    assert (y.dtype, y.tolist()) == (lamina.float64, [1.0, 2.0])
    assert x.new_tensor(3, dtype=lamina.int32).dtype == lamina.int32
    assert x.new_tensor([1.5], requires_grad=True).requires_grad
    copy = x.new_tensor(x)
    assert copy.data_ptr() != x.data_ptr()
    with pytest.raises(TypeError, match=r"^new_tensor: argument 'dtype' must be"):
        x.new_tensor([1], dtype="float32")
