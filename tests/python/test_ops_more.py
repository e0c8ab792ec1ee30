"""What the op table does not say row by row: that it is complete, operators, promotion, casts."""

from __future__ import annotations

import operator
import re

import lamina
import lamina.nn.functional as F
import numpy as np
import op_table
import pytest
from lamina import _core, autograd
from op_check import SIGNATURES

INTS = ("uint8", "int32", "int64")
FLOATS = ("float32", "float64")
ALL = ("bool", *INTS, *FLOATS)


def of(name):
    return getattr(lamina, name)


# -- the table is complete -------------------------------------------------------------------------


def test_every_native_op_has_a_row():
    """Whoever adds an op adds its row, or says in op_table.ELSEWHERE where it is tested."""
    rows = {row.name.split(":")[0] for row in op_table.ROWS}
    rows |= {alias for row in op_table.ROWS for alias in row.aliases}
    elsewhere = {name for names in op_table.ELSEWHERE.values() for name in names}
    covered = rows | {f"{name}_" for name in rows} | elsewhere | set(op_table.RANDOM)
    assert set(SIGNATURES) <= covered
    assert not elsewhere & rows
    assert elsewhere <= set(SIGNATURES), "a name in op_table.ELSEWHERE is gone"


def test_every_public_function_is_native_or_has_a_row():
    """`lamina` and `lamina.nn.functional` may export nothing that the table does not see."""
    callables = {
        name
        for module in (lamina, F)
        for name in module.__all__
        if type(getattr(module, name)) is type(_core.add)  # a function of the extension
    }
    assert callables <= set(SIGNATURES)


def test_rows_that_leave_a_check_out_say_why():
    for row in op_table.ROWS:
        if row.differentiable and not row.layouts:
            assert "layouts" in row.why, row.name


def test_no_row_is_there_twice():
    names = [row.name for row in op_table.ROWS]
    assert len(names) == len(set(names))


# -- random numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", op_table.RANDOM)
def test_random(name):
    draw, law, wrong = op_table.RANDOM[name]
    lamina.manual_seed(11)
    first, second = draw(), draw()
    law(first.numpy())
    assert not _core.equal(first, second)
    lamina.manual_seed(11)
    assert _core.equal(draw(), first)
    state = lamina.get_rng_state()
    again = draw()
    lamina.set_rng_state(state)
    assert _core.equal(draw(), again)
    lamina.manual_seed(12)
    assert not _core.equal(draw(), first)
    assert lamina.initial_seed() == 12
    for call, error, match in wrong:
        with pytest.raises(error, match=match):
            call()


def test_random_numbers_do_not_depend_on_layout_or_threads():
    def numbers():
        lamina.manual_seed(5)
        return lamina.empty(300, 70).normal_()

    before = lamina.get_num_threads()
    try:
        lamina.set_num_threads(1)
        alone = numbers()
        lamina.set_num_threads(3)
        assert _core.equal(numbers(), alone)
    finally:
        lamina.set_num_threads(before)
    lamina.manual_seed(5)
    columns = lamina.zeros(70, 300).t().normal_()
    assert _core.equal(columns, alone)


@pytest.mark.parametrize("seed", [-1, 2**64 - 1, 0, 2**40])
def test_seeds(seed):
    lamina.manual_seed(seed)
    assert lamina.initial_seed() == seed % 2**64
    with pytest.raises(TypeError, match=r"^manual_seed: the seed must be an int, got"):
        lamina.manual_seed(1.5)


# -- operators -------------------------------------------------------------------------------------

X = [[1.5, -2.0, 0.75], [3.0, 0.5, -1.25]]
OPERATORS = {
    operator.add: "add",
    operator.sub: "sub",
    operator.mul: "mul",
    operator.truediv: "div",
    operator.floordiv: "floor_divide",
    operator.mod: "remainder",
    operator.pow: "pow",
    operator.eq: "eq",
    operator.ne: "ne",
    operator.lt: "lt",
    operator.le: "le",
    operator.gt: "gt",
    operator.ge: "ge",
}


@pytest.mark.parametrize("symbol", OPERATORS, ids=OPERATORS.values())
def test_operators_are_the_functions(symbol):
    x = lamina.tensor(X)
    y = lamina.tensor([2.0, 0.5, 3.0])
    function = getattr(_core, OPERATORS[symbol])
    for left, right in ((x, y), (x, 2), (x, 0.5), (y, lamina.tensor(2.0))):
        np.testing.assert_array_equal(symbol(left, right).numpy(), function(left, right).numpy())
    reflected = symbol(2.0, x)
    np.testing.assert_array_equal(reflected.numpy(), symbol(lamina.full_like(x, 2.0), x).numpy())


@pytest.mark.parametrize("symbol", list(OPERATORS)[:7], ids=list(OPERATORS.values())[:7])
def test_augmented_operators_write_in_place(symbol):
    x = lamina.tensor(np.abs(X), dtype=lamina.float64, requires_grad=True)
    y = lamina.tensor([2.0, 0.5, 3.0], dtype=lamina.float64)
    in_place = getattr(operator, "i" + symbol.__name__.strip("_"))
    own = kept = x.clone()
    own = in_place(own, y)
    assert own is kept
    assert own._version > 0
    assert own.tolist() == symbol(x, y).tolist()
    wanted = autograd.grad(symbol(x, y).sum(), x)[0]
    assert autograd.grad(own.sum(), x)[0].tolist() == wanted.tolist()


def test_unary_operators_and_matmul():
    x = lamina.tensor(X)
    assert (-x).tolist() == (-np.array(X)).tolist()
    assert abs(x).tolist() == np.abs(X).tolist()
    assert +x is x
    np.testing.assert_allclose((x @ x.t()).numpy(), np.array(X) @ np.array(X).T, rtol=1e-6)
    mask = x > 0
    assert (~mask).tolist() == (np.array(X) <= 0).tolist()
    assert (mask & ~mask).any().item() is False
    assert (mask | ~mask).all().item() is True
    assert (mask ^ mask).any().item() is False
    with pytest.raises(TypeError, match=r"^bitwise_and: only for bool and integer tensors"):
        x & x
    for other in ("a", [1.0, 2.0, 3.0], None, np.ones(3, np.float32)):
        with pytest.raises(TypeError, match="an operand must be a Tensor or a number, got"):
            x + other


# -- promotion with 0-d tensors and Python numbers ------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "number", "wanted"),
    [
        ("bool", True, "bool"),
        ("bool", 3, "int64"),
        ("bool", 2.5, "float32"),
        ("uint8", True, "uint8"),
        ("uint8", 3, "uint8"),
        ("uint8", 2.5, "float32"),
        ("int32", 3, "int32"),
        ("int32", 2.5, "float32"),
        ("int64", 2.5, "float32"),
        ("float32", 2.5, "float32"),
        ("float64", 2, "float64"),
        ("float64", 2.5, "float64"),
    ],
)
def test_numbers_take_the_tensors_dtype_unless_of_a_higher_kind(dtype, number, wanted):
    for x in (lamina.ones(3, dtype=of(dtype)), lamina.tensor(1, dtype=of(dtype))):
        for result in (x * number, number * x, x.maximum(number)):
            assert result.dtype == of(wanted)
        assert lamina.result_type(x, number) == of(wanted)


KIND = {"bool": 0, "uint8": 1, "int32": 1, "int64": 1, "float32": 2, "float64": 2}


@pytest.mark.parametrize("shaped", ALL)
@pytest.mark.parametrize("point", ALL)
def test_0d_tensors_count_only_when_of_a_higher_kind(shaped, point):
    wanted = point if KIND[point] > KIND[shaped] else shaped
    x, y = lamina.ones(3, dtype=of(shaped)), lamina.tensor(1, dtype=of(point))
    assert (x * y).dtype == (y * x).dtype == of(wanted)
    assert lamina.result_type(x, y) == of(wanted)
    assert lamina.where(lamina.tensor([True, False, True]), x, y).dtype == of(wanted)
    wider = max(shaped, point, key=ALL.index)
    assert (x * y.reshape(1)).dtype == of(wider)


def test_the_default_dtype_is_what_floats_become():
    assert lamina.get_default_dtype() == lamina.float32
    try:
        lamina.set_default_dtype(lamina.float64)
        made = [lamina.tensor(1.5), lamina.zeros(2), lamina.rand(2), lamina.tensor([1]) * 0.5]
        made += [lamina.tensor([1]) / 2, lamina.arange(0.0, 1, 0.5), lamina.tensor([True]).exp()]
        assert {t.dtype for t in made} == {lamina.float64}
    finally:
        lamina.set_default_dtype(lamina.float32)
    with pytest.raises(TypeError, match=r"^set_default_dtype: must be .*, got int64"):
        lamina.set_default_dtype(lamina.int64)


def test_in_place_results_must_fit_the_tensor():
    ints = lamina.tensor([1, 2])
    with pytest.raises(TypeError, match=r"^add_: the result is float32 and can't be .* int64"):
        ints.add_(0.5)
    with pytest.raises(TypeError, match=r"^exp_: the result is float32 and can't be .* int64"):
        ints.exp_()
    with pytest.raises(TypeError, match=r"^sub_: not defined for bool"):
        lamina.tensor([True]).sub_(lamina.tensor([True]))
    with pytest.raises(TypeError, match=r"^neg_: not defined for bool"):
        lamina.tensor([True]).neg_()
    with pytest.raises(ValueError, match=r"^pow_: integers to negative integer powers"):
        ints.pow_(-1)
    halves = lamina.tensor([1.0, 2.0])
    assert halves.add_(lamina.tensor([0.5, 0.25], dtype=lamina.float64)).dtype == lamina.float32
    assert halves.tolist() == [1.5, 2.25]
    with pytest.raises(ValueError, match=r"does not broadcast to the tensor .*\n.*\[2\]"):
        halves.add_(lamina.ones(3, 2))


def test_integers_wrap_as_numpys_do():
    with np.errstate(over="ignore"):
        for dtype in INTS:
            top = np.iinfo(dtype).max
            x = np.array([top, 1], dtype)
            t = lamina.tensor(x)
            assert (t + t).tolist() == (x + x).tolist()
            assert (t * t).tolist() == (x * x).tolist()
            assert (-t).tolist() == (-x).tolist()
    big = lamina.tensor([2**53 + 1])
    assert big.sum().item() == 2**53 + 1
    assert (big + 0).item() == big.max().item() == 2**53 + 1


# -- casts -----------------------------------------------------------------------------------------

CASTS = {
    "float": "float32", "double": "float64", "long": "int64", "int": "int32", "byte": "uint8",
    "bool": "bool",
}  # fmt: skip


@pytest.mark.parametrize("source", ALL)
@pytest.mark.parametrize("target", ALL)
def test_casts(source, target):
    x = np.array([0, 1, 3, 200 if source != "bool" else 1]).astype(source)
    t = lamina.tensor(x)
    wanted = x.astype(target).tolist()
    forms = [t.to(of(target)), t.to(dtype=of(target)), t.to(lamina.ones(1, dtype=of(target)))]
    forms += [t.type_as(lamina.ones(1, dtype=of(target))), t.to("cpu", of(target))]
    forms += [getattr(t, name)() for name, made in CASTS.items() if made == target]
    for cast in forms:
        assert cast.dtype == of(target)
        assert cast.tolist() == wanted
        assert (cast is t or cast.data_ptr() == t.data_ptr()) == (source == target)
    assert t.to(of(target), copy=True).data_ptr() != t.data_ptr()
    assert t.is_floating_point() == (source in FLOATS)


def test_casts_carry_gradients_between_floats():
    x = lamina.tensor([1.0, 2.0], requires_grad=True)
    (x.double() * lamina.tensor([2.0, 3.0], dtype=lamina.float64)).sum().backward()
    assert x.grad.dtype == lamina.float32
    assert x.grad.tolist() == [2.0, 3.0]
    assert not x.long().requires_grad
    lamina.prod(x, dtype=lamina.float64).backward()
    assert x.grad.dtype == lamina.float32
    assert x.grad.tolist() == [4.0, 4.0]


def test_arrays_and_numbers():
    array = np.arange(6.0).reshape(2, 3)
    shared = lamina.from_numpy(array)
    array[0, 1] = 7
    assert shared[0, 1].item() == 7
    assert lamina.from_numpy(array[:, ::2].T).tolist() == array[:, ::2].T.tolist()
    assert shared.numpy().base is not None
    assert np.shares_memory(shared.numpy(), array)
    assert np.asarray(shared.t()).tolist() == array.T.tolist()
    copied = lamina.tensor(array)
    array[0, 0] = -1
    assert copied[0, 0].item() == 0
    with pytest.raises(TypeError, match=r"^from_numpy: needs a NumPy array, got list"):
        lamina.from_numpy([1.0])
    with pytest.raises(RuntimeError, match="requires grad"):
        copied.requires_grad_().numpy()
    for value in (3, 2.5, True):
        item = lamina.tensor(value).item()
        assert item == value
        assert type(item) is type(value)
    with pytest.raises(RuntimeError, match=r"^item: .*2"):
        lamina.ones(2).item()
    assert f"{lamina.tensor(0.125):.2f}" == "0.12"
    assert [int(lamina.tensor(7)), float(lamina.tensor(0.5))] == [7, 0.5]
    assert [10, 20, 30][lamina.tensor(2)] == 30


def test_truth_of_a_tensor():
    assert bool(lamina.tensor([[2.0]]))
    assert not lamina.tensor(0)
    text = re.escape("the truth of a tensor with 2 elements is ambiguous; use .any() or .all()")
    with pytest.raises(RuntimeError, match=text):
        bool(lamina.ones(2))
