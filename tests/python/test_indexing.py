"""Indexing: NumPy is the reference for values, central differences for gradients."""

from __future__ import annotations

import lamina
import numpy as np
import pytest

X = np.arange(24, dtype=np.float64).reshape(2, 3, 4)

# Basic and advanced indices of a [2, 3, 4] array that NumPy reads the same way.
INDICES = [
    0,
    -1,
    (1, 2),
    (1, 2, 3),
    (slice(None), 1),
    slice(1, None),
    slice(-1, None),
    slice(5, 9),
    slice(None, None, 2),
    (slice(None), slice(None, None, 2), slice(1, 4, 2)),
    (Ellipsis, 0),
    (0, Ellipsis),
    (0, Ellipsis, 1),
    Ellipsis,
    (),
    None,
    (slice(None), None, 1),
    (None, Ellipsis, None),
    [0, 1],
    [1, 0, 1],
    [],
    [[0, 1], [1, 0]],
    ([0, 1], [1, 2]),
    ([0, 1], slice(None), [1, 2]),
    ([0, 1], slice(None), 3),
    (slice(None), [0, 2], [1, 3]),
    (slice(None), [0, 2]),
    (slice(1), [0, 2], slice(1, 3)),
    ([[0], [1]], [[0, 2]]),
    ([0, 1], None, [1, 2]),
    (Ellipsis, [0, 1]),
    np.array([1, 0]),
    np.array([[0], [1]]),
    np.int64(1),
    np.array(1),
    X > 5,
    X[:, :, 0] > 5,
    X[:, 0, 0] > 5,
    (slice(None), X[0, :, 0] > 3),
    (slice(None), X[0] > 3),
    (Ellipsis, np.array([True, False, True, False])),
    (1, np.array([True, False, True])),
    ([True, False], [0]),
    True,
    False,
    np.zeros((2, 3, 4), bool),
]
IDS = [str(i) for i in range(len(INDICES))]


def as_lamina(index):
    """The same index with tensors in place of arrays."""
    if isinstance(index, tuple):
        return tuple(as_lamina(part) for part in index)
    return lamina.tensor(index) if isinstance(index, np.ndarray) else index


@pytest.mark.parametrize("index", INDICES, ids=IDS)
def test_reading(index):
    expected = X[index]
    for form in (index, as_lamina(index)):
        got = lamina.from_numpy(X)[form]
        assert got.shape == expected.shape
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("index", INDICES, ids=IDS)
def test_reading_a_layout_that_is_not_contiguous(index):
    base = np.arange(96, dtype=np.float64).reshape(4, 4, 6)
    view = base.transpose(2, 1, 0)[1:5:2, :3]  # [2, 3, 4], offset and strided
    np.testing.assert_array_equal(lamina.from_numpy(view)[index], view[index])


@pytest.mark.parametrize("index", INDICES, ids=IDS)
def test_writing_a_number(index):
    expected = X.copy()
    expected[index] = -1.0
    x = lamina.tensor(X)
    x[index] = -1.0
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("index", INDICES, ids=IDS)
def test_writing_a_tensor(index):
    values = -1.0 - np.arange(X[index].size, dtype=np.float64).reshape(X[index].shape)
    expected = X.copy()
    expected[index] = values
    for value in (lamina.tensor(values), values):
        x = lamina.tensor(X)
        x[as_lamina(index)] = value
        np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("index", INDICES, ids=IDS)
def test_gradient_of_reading_counts_how_often_an_element_was_read(index):
    weights = 1.0 + np.arange(X[index].size, dtype=np.float64).reshape(X[index].shape)
    expected = np.zeros_like(X)
    np.add.at(expected, index, weights)
    x = lamina.tensor(X, requires_grad=True)
    (x[as_lamina(index)] * lamina.tensor(weights)).sum().backward()
    np.testing.assert_array_equal(x.grad, expected)


@pytest.mark.parametrize(
    "index",
    [0, (slice(None), 1), (Ellipsis, slice(None, None, 2)), [1, 0], (slice(None), [0, 2]), X > 5],
    ids=str,
)
def test_gradient_of_writing(index):
    weights = np.linspace(1.0, 2.0, X.size).reshape(X.shape)
    inside = np.zeros(X.shape, bool)
    inside[index] = True
    x = lamina.tensor(X, requires_grad=True)
    values = lamina.zeros(X[index].shape, dtype=lamina.float64, requires_grad=True)
    y = x * 1
    y[index] = values
    (y * lamina.tensor(weights)).sum().backward()
    np.testing.assert_array_equal(x.grad, np.where(inside, 0.0, weights))
    np.testing.assert_array_equal(values.grad, weights[index])


def test_gradient_of_writing_a_number_or_a_broadcast_value():
    x = lamina.ones(2, 3, requires_grad=True)
    value = lamina.tensor(4.0, requires_grad=True)
    y = x * 2
    y[0] = 5.0
    y[:, 1] = value
    y.sum().backward()
    assert x.grad.tolist() == [[0.0, 0.0, 0.0], [2.0, 0.0, 2.0]]
    assert value.grad.item() == 2.0


def test_basic_indices_are_views_and_arrays_are_copies():
    x = lamina.zeros(2, 3)
    x[0][1] = 1.0
    x[..., 2].add_(2)
    x[[1]].add_(100)
    x[x > 50].add_(100)
    assert x.tolist() == [[0.0, 1.0, 2.0], [0.0, 0.0, 2.0]]
    y = x[...]
    assert y is not x
    y.zero_()
    assert x.sum().item() == 0.0


def test_values_broadcast_and_are_cast():
    x = lamina.zeros(2, 3, dtype=lamina.int64)
    x[:, 0] = lamina.tensor([1.9, 2.9])
    x[0] = lamina.ones(1, 1, 3)
    x[[1], 2] = 7
    assert x.tolist() == [[1, 1, 1], [2, 0, 7]]
    with pytest.raises(ValueError, match=r"does not broadcast(.|\n)*\[2\]"):
        x[0] = lamina.ones(2)
    with pytest.raises(
        TypeError, match="the value must be a Tensor, a number or an array, got str"
    ):
        x[0] = "a"


def test_integers_beside_arrays_are_selections_as_in_pytorch():
    # NumPy would put the array's dimension in front here.
    x = lamina.from_numpy(X)
    got = x[0, :, [0, 1]]
    assert got.shape == (3, 2)
    np.testing.assert_array_equal(got, X[0][:, [0, 1]])


def test_a_leaf_that_requires_grad_is_not_written():
    x = lamina.zeros(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        x[0] = 1.0
    with lamina.no_grad():
        x[0] = 1.0
    assert x.tolist() == [1.0, 0.0]


def test_a_zero_dimensional_tensor():
    x = lamina.tensor(3.0)
    assert x[()].shape == ()
    assert x[...].item() == 3.0
    assert x[None].tolist() == [3.0]
    x[...] = 4.0
    assert x.item() == 4.0
    with pytest.raises(IndexError, match="too many indices: the tensor has 0 dimensions"):
        x[0]


@pytest.mark.parametrize(
    ("index", "error", "text"),
    [
        (2, IndexError, "index 2 is out of range for dimension 0 of size 2"),
        (-3, IndexError, "index -3 is out of range for dimension 0 of size 2"),
        ((0, 3), IndexError, "index 3 is out of range for dimension 1 of size 3"),
        ((None, 0, None, 0, 9), IndexError, "index 9 is out of range for dimension 2 of size 4"),
        ([0, 5], IndexError, "index 5 is out of range for dimension 0 of size 2"),
        ((slice(None), [0, -4]), IndexError, "index -4 is out of range for dimension 1 of size 3"),
        ((0, 0, 0, 0), IndexError, "too many indices: the tensor has 3 dimensions"),
        ((Ellipsis, Ellipsis), IndexError, "may occur only once"),
        (1.5, IndexError, "an index is an int, a slice, None, Ellipsis, .* got float"),
        ("a", IndexError, "got str"),
        ([1.5], IndexError, "must be int64, int32 or bool, got float32"),
        (np.zeros(2, np.uint8), IndexError, "uint8 could mean a mask or positions"),
        ([True, False, True], IndexError, r"mask's sizes do not fit(.|\n)*mask   \[3\]"),
        (slice(None, None, -1), ValueError, "step must be positive, got -1"),
        (slice(None, None, 0), ValueError, "slice step cannot be zero"),
    ],
)
def test_bad_indices(index, error, text):
    x = lamina.from_numpy(X)
    with pytest.raises(error, match=text):
        x[index]
    with pytest.raises(error, match=text):
        lamina.tensor(X)[index] = 0.0


def test_parts_cannot_be_deleted():
    with pytest.raises(TypeError, match="cannot be deleted"):
        del lamina.ones(2)[0]


HUGE = 2**62


@pytest.mark.parametrize(
    ("call", "sizes"),
    [
        (lambda x: x[::HUGE, 1::HUGE], (1, 1, 4)),
        (lambda x: x.unfold(2, 2, HUGE), (2, 3, 1, 2)),
        (lambda x: x.diagonal(HUGE), (4, 0)),
        (lambda x: x.diagonal(-(2**63)), (4, 0)),
        (lambda x: x.tril(-(2**63)), (2, 3, 4)),
        (lambda x: x.roll(-(2**63), 0), (2, 3, 4)),
    ],
)
def test_steps_and_offsets_of_any_size(call, sizes):
    assert call(lamina.from_numpy(X)).shape == sizes


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: x.narrow(0, 1, 2**63 - 1), IndexError, "narrow: start 1 and length"),
        (lambda x: x.repeat(HUGE, 1, 1), MemoryError, "^repeat: .* copies of 2 elements are more"),
        (lambda x: x.tile(HUGE), MemoryError, "^tile: .* copies of 4 elements are more"),
        (lambda x: x[:, :0].tile(HUGE, 1, 1), MemoryError, "^tile: "),
        (lambda x: x.repeat_interleave(HUGE), MemoryError, "^repeat_interleave: .* copies of 24"),
        (lambda x: x.tile(2**30, 2**30, 2**30), MemoryError, "more elements than memory can hold"),
    ],
)
def test_what_no_memory_could_hold(call, error, text):
    with pytest.raises(error, match=text):
        call(lamina.from_numpy(X))


def test_parts_of_an_empty_tensor_can_be_written_and_have_gradients():
    x = lamina.zeros(2, 0, requires_grad=True)
    y = x * 1
    y[1] = 3.0
    y[:, :0] += 1.0
    y.sum().backward()
    assert x.grad.shape == (2, 0)


def test_a_bool_mask_writes_in_order_and_integers_keep_the_last():
    x = lamina.zeros(2, 3)
    x[lamina.tensor([[True, False, True], [False, True, False]])] = lamina.tensor([1.0, 2.0, 3.0])
    assert x.tolist() == [[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]]
    x[[0, 0], [1, 1]] = lamina.tensor([5.0, 6.0])
    assert x[0, 1].item() == 6.0
    x[0, [1, 2]] += 1.0
    assert x[0].tolist() == [1.0, 7.0, 3.0]


def test_scattering_to_one_place_keeps_the_last():
    index = lamina.tensor([[1, 1, 0]])
    got = lamina.zeros(1, 3).scatter_(1, index, lamina.tensor([[5.0, 6.0, 7.0]]))
    assert got.tolist() == [[7.0, 6.0, 0.0]]


def test_scatter_takes_its_source_from_its_own_memory():
    x = lamina.tensor([1.0, 2.0, 3.0])
    x.scatter_(0, lamina.tensor([1, 2, 0]), x)
    assert x.tolist() == [3.0, 1.0, 2.0]
    x.scatter_add_(0, lamina.tensor([1, 2, 0]), x)
    assert x.tolist() == [5.0, 4.0, 3.0]


def test_indices_of_scatter_are_watched_by_the_gradient():
    x = lamina.ones(2, 3, requires_grad=True)
    index = lamina.tensor([[0, 1]])
    y = x.gather(1, index)
    index += 1
    with pytest.raises(RuntimeError, match=r"gather.*modified|written|in place"):
        y.sum().backward()
