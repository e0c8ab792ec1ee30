"""What a wrong argument says: the function, the argument, the rule, and what arrived."""

from __future__ import annotations

import lamina
import numpy as np
import pytest
from lamina import _core
from lamina.nn import functional as F

X = lamina.zeros(2, 3)

TYPE_ERRORS = [
    (
        lambda: _core.relu(),
        "relu: argument 'input' is missing; it takes relu(input, inplace=False, *, out=None)",
    ),
    (
        lambda: _core.relu([1.0]),
        (
            "relu: argument 'input' must be a Tensor, got list; "
            "lamina.tensor(...) makes a Tensor of it"
        ),
    ),
    (
        lambda: _core.relu(np.ones(2)),
        "got numpy.ndarray; lamina.from_numpy(...) makes a Tensor of it",
    ),
    (
        lambda: _core.sin(X, X),
        "sin: too many positional arguments; it takes sin(input, *, out=None)",
    ),
    (lambda: _core.relu(X, y=1), "relu: unexpected keyword argument 'y'; it takes relu(input"),
    (lambda: X.relu(1), "relu: too many positional arguments; it takes relu(*, out=None)"),
    (lambda: _core.add(X, other=1, input=X), "add: argument 'input' is given twice"),
    (lambda: X.add("1"), "add: argument 'other' must be a Tensor or a number, got str"),
    (lambda: X.sum("a"), "sum: argument 'dim' must be an int or a tuple of ints or None, got str"),
    (
        lambda: X.sum((0, 1.5)),
        (
            "sum: argument 'dim' must be an int or a tuple of ints or None, got "
            "tuple with float at position 1"
        ),
    ),
    (lambda: X.sum(0, 1), "sum: argument 'keepdim' must be a bool, got int"),
    (
        lambda: X.sum(dtype="float32"),
        "sum: argument 'dtype' must be a dtype such as lamina.float32 or None, got str",
    ),
    (
        lambda: _core.zeros(2, "a"),
        "zeros: argument 'size' must be an int or a tuple of ints, got str",
    ),
    (
        lambda: _core.zeros(2, device=3),
        "zeros: argument 'device' must be a device such as 'cpu' or None, got int",
    ),
    (lambda: _core.cat(X), "cat: argument 'tensors' must be a list or tuple of Tensors, got"),
    (
        lambda: _core.cat([X, 1]),
        (
            "cat: argument 'tensors' must be a list or tuple of Tensors, got list "
            "with int at position 1"
        ),
    ),
    (lambda: _core.gelu(X, approximate=1), "gelu: argument 'approximate' must be a str, got int"),
    (lambda: X.fill_([1]), "fill_: argument 'value' must be a number, got list"),
    (lambda: X.view(2.0), "view: argument 'shape' must be an int or a tuple of ints, got float"),
    (lambda: X.select(0, None), "select: argument 'index' must be an int, got None"),
    (lambda: X.__add__([1]), "add: an operand must be a Tensor or a number, got list"),
    (lambda: X.__rsub__([1]), "sub: an operand must be a Tensor or a number, got list"),
    (lambda: X < "a", "lt: an operand must be a Tensor or a number, got str"),
    (lambda: X // None, "floor_divide: an operand must be a Tensor or a number, got None"),
    (lambda: X & X, "bitwise_and: only for bool and integer tensors, got float32"),
    (
        lambda: X.split("a"),
        "split: argument 'split_size_or_sections' must be an int or a list of ints, got str",
    ),
    (lambda: X.register_hook(3), "register_hook: the hook must be callable, got int"),
    (
        lambda: X.requires_grad_("yes"),
        "requires_grad_: argument 'requires_grad' must be a bool, got str",
    ),
    (lambda: _core.manual_seed(1.5), "manual_seed: the seed must be an int, got float"),
    (
        lambda: _core.set_grad_enabled(1),
        "set_grad_enabled: argument 'mode' must be a bool, got int",
    ),
    (lambda: _core.device(3), "device: takes a name such as 'cpu', got int"),
    (
        lambda: _core.backward([X], [3]),
        (
            "backward: argument 'grad_tensors' must be a list or tuple of Tensors "
            "or None or None, got list with int at position 0"
        ),
    ),
    (lambda: lamina.Tensor(1.5, 2), "Tensor: takes the data or the sizes of a tensor"),
    (lambda: setattr(X, "grad", 3), "grad must be a Tensor or None, got int"),
    (lambda: setattr(X, "data", [1]), "data must be a Tensor, got list"),
]


@pytest.mark.parametrize(("call", "text"), TYPE_ERRORS, ids=[t for _, t in TYPE_ERRORS])
def test_wrong_arguments_are_type_errors_in_plain_words(call, text):
    with pytest.raises(TypeError) as error:
        call()
    message = str(error.value)
    assert text in message
    for word in ("::", "std", "pybind", "incompatible function arguments", "lamina._core"):
        assert word not in message


def test_overloads_list_what_they_take_and_what_arrived():
    with pytest.raises(TypeError) as error:
        X.max("a", keepdim=None)
    assert str(error.value) == (
        "max: takes max()\n"
        "     or max(dim, keepdim=False)\n"
        "     or max(other)\n"
        "  got   (str, keepdim=None)"
    )


def test_other_types_may_still_bring_their_own_operator():
    class Other:
        def __radd__(self, other):
            return "radd"

    assert X + Other() == "radd"
    with pytest.raises(TypeError, match="unsupported operand"):
        X + object()
    with pytest.raises(TypeError, match="unsupported operand"):
        X @ 2


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: X.view(5), ValueError, r"view: .*(.|\n)*\[2, 3\]"),
        (lambda: X.sum(2), IndexError, "sum: .*2"),
        (lambda: X + lamina.zeros(4), ValueError, r"add: .*(.|\n)*\[2, 3\](.|\n)*\[4\]"),
        (
            lambda: F.linear(X, lamina.zeros(5, 4)),
            ValueError,
            "linear: input has 3 features but weight expects 4",
        ),
        (lambda: lamina.zeros(2, -1), ValueError, "negative"),
        (lambda: lamina.zeros([1] * 13), ValueError, "a tensor has at most 12 dimensions, got 13"),
        (lambda: lamina.zeros(*[1] * 13), ValueError, "a tensor has at most 12 dimensions, got 13"),
        (lambda: lamina.zeros(2**62, 8), MemoryError, r"\[4611686018427387904, 8\]"),
        (lambda: lamina.empty(2**57), MemoryError, "cannot allocate"),
        (lambda: lamina.zeros(2**70), OverflowError, "too big|too large"),
        (lambda: X.item(), RuntimeError, r"item: needs a tensor with one element, got \[2, 3\]"),
        (lambda: X.backward(), RuntimeError, "backward: "),
        (
            lambda: X.to("gpu"),
            RuntimeError,
            "no device 'gpu'; there are 'cpu', 'cuda' and 'cuda:N'",
        ),
        (lambda: X.to("cuda:x"), RuntimeError, "no device 'cuda:x'"),
        (
            lambda: _core.div(X, 2, rounding_mode="up"),
            ValueError,
            "rounding_mode must be None, 'floor' or 'trunc', got 'up'",
        ),
        (
            lambda: _core.gelu(X, approximate="x"),
            ValueError,
            "approximate must be 'none' or 'tanh', got 'x'",
        ),
        (
            lambda: _core.mse_loss(X, X, "average"),
            ValueError,
            "mse_loss: reduction must be 'none', 'mean' or 'sum', got 'average'",
        ),
        (
            lambda: lamina.tensor([1]) // 0,
            RuntimeError,
            "floor_divide: division of integers by zero",
        ),
        (lambda: lamina.tensor([1]).requires_grad_(), RuntimeError, "only floating"),
        (lambda: lamina.tensor([1]).__iadd__(1.5), TypeError, "int64"),
        (
            lambda: X.narrow(1, 2, 2),
            IndexError,
            "narrow: start 2 and length 2 exceed dimension 1 with size 3",
        ),
        (
            lambda: X.repeat(2),
            ValueError,
            "repeat: needs one count for each of the 2 dimensions, got 1",
        ),
        (lambda: _core.set_num_threads(0), ValueError, "set_num_threads: needs 1 to"),
        (lambda: X.size(2), IndexError, "size: .*2"),
    ],
)
def test_what_does_not_fit_names_the_rule(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_cuda_that_is_not_there_says_why():
    if _core.cuda_info()["available"]:
        pytest.skip("there is a CUDA device")
    with pytest.raises(RuntimeError, match="device: no CUDA here: "):
        X.to("cuda")
    with pytest.raises(RuntimeError, match="device: no CUDA here: "):
        lamina.zeros(1, device=lamina.device("cuda:0"))


def test_numbers_are_accepted_in_every_form():
    assert lamina.zeros(np.int64(2), lamina.tensor(3)).shape == (2, 3)
    assert X.sum(np.int32(0), np.bool_(True)).shape == (1, 3)
    assert lamina.full((1,), np.float32(0.5)).item() == 0.5
    assert lamina.full((1,), lamina.tensor(2)).dtype is lamina.int64
    assert lamina.zeros(size=(1, 2)).shape == lamina.zeros([1, 2]).shape == (1, 2)
    assert lamina.zeros(2, dtype=float).dtype is lamina.float64
    assert X.permute(1, 0).shape == X.permute((1, 0)).shape == X.permute(dims=(1, 0)).shape
