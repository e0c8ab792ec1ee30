"""What the op table does not say of elementwise ops: numbers as operands, aliases, dtype limits."""

from __future__ import annotations

import inspect
import math
import operator

import lamina
import numpy as np
import pytest
from lamina import _core, autograd, special

FLOATS = ("float32", "float64")
INTS = ("uint8", "int32", "int64")


def of(name):
    return getattr(lamina, name)


# -- numbers as operands ---------------------------------------------------------------------------


def test_a_number_that_a_graph_keeps_is_not_written_over():
    """Numbers become tensors whose memory is used again, unless somebody holds it."""
    x = lamina.tensor([1.0, 2.0], requires_grad=True)
    parts = [x * 2.0, x * 3.0, 5.0 * x, x / 4.0, x * 7, x * 9]
    (g,) = autograd.grad(sum(part.sum() for part in parts), x)
    assert g.tolist() == [2.0 + 3.0 + 5.0 + 0.25 + 7 + 9] * 2
    a, b = lamina.tensor(1.5), lamina.tensor(2.5)
    assert [a.item(), b.item()] == [1.5, 2.5]
    assert lamina.where(lamina.tensor([True, False]), 1.0, 2.0).tolist() == [1.0, 2.0]
    assert lamina.tensor([5.0, -5.0]).clamp(-1.0, 2.0).tolist() == [2.0, -1.0]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("p", [2, 3, 0.5, -0.5, -1, 0, 1, 2.5, -2, 2.0])
def test_powers_by_a_number(dtype, p):
    """Products and roots stand in for some; values, gradients and in-place forms are alike."""
    x = np.random.default_rng(5).uniform(0.2, 3.0, 67).astype(dtype)
    exact = np.power(x.astype(np.longdouble), p)
    eps = float(np.finfo(dtype).eps)
    t = lamina.tensor(x, requires_grad=True)
    y = t**p
    assert (np.abs(y.detach().numpy() - exact) <= 1.5 * eps * exact).all()
    (g,) = autograd.grad(y.sum(), t, create_graph=True)
    slope = p * np.power(x.astype(np.longdouble), p - 1)
    assert (np.abs(g.detach().numpy() - slope) <= 4 * eps * np.abs(slope)).all()
    curve = p * (p - 1) * np.power(x.astype(np.longdouble), p - 2)
    second = autograd.grad(g.sum(), t)[0].numpy() if g.requires_grad else np.zeros_like(x)
    assert (np.abs(second - curve) <= 8 * eps * (np.abs(curve) + np.abs(slope / x))).all()
    own, out = lamina.tensor(x), lamina.empty(67, dtype=of(dtype))
    own **= p
    assert own.tolist() == y.tolist() == _core.pow(t.detach(), p, out=out).tolist()
    assert lamina.tensor(x).pow_(p).tolist() == y.tolist()


def test_a_square_is_exact_and_integers_stay_integers():
    x = lamina.tensor([-1.1, 3e19, 0.0, float("nan")])
    assert (x**2).tolist()[:3] == (x * x).tolist()[:3]
    ints = lamina.tensor([-7, 2, 3], dtype=lamina.int32)
    assert (ints**2).tolist() == [49, 4, 9]
    assert (ints**3).dtype == lamina.int32
    assert (ints**3).tolist() == [-343, 8, 27]
    assert (ints**2.0).dtype == lamina.float32
    with pytest.raises(TypeError, match=r"^pow: not defined for bool"):
        lamina.tensor([True]) ** True


NUMBERS = [0.0, -0.0, 1.0, -1.0, 0.1, -0.3, 7.0, -7.5, 1e10, 1e-10, 2.0**60, math.inf, -math.inf]


@pytest.mark.parametrize("dtype", FLOATS)
def test_floor_division_and_remainder_are_pythons(dtype):
    """1 // 0.1 is 9: the quotient is never rounded up first."""
    values = [float(v) for v in np.array(NUMBERS, dtype)]
    for y in values:
        if y == 0:
            continue
        finite = [x for x in values if math.isfinite(x)]
        x = lamina.tensor(finite, dtype=of(dtype))
        wanted = np.array([v % y for v in finite], dtype).tolist()
        assert (x % y).tolist() == pytest.approx(wanted, rel=1e-7, abs=0)
        wanted = np.array([v // y for v in finite], dtype).tolist()
        assert (x // y).tolist() == pytest.approx(wanted, rel=1e-7, abs=0)
    x = lamina.tensor([1.0, -1.0, math.inf], dtype=of(dtype))
    assert (x // 0.0).tolist() == [math.inf, -math.inf, math.inf]
    assert (x % 0.0).isnan().all()
    assert (lamina.tensor(1.0) // 0.1).item() == 9.0


def test_int_division_rounds_down_or_to_zero():
    x, y = lamina.tensor([7, -7, 7, -7, 6, -6]), lamina.tensor([3, 3, -3, -3, 3, 3])
    assert (x // y).tolist() == [2, -3, -3, 2, 2, -2]
    assert (x % y).tolist() == [1, 2, -2, -1, 0, 0]
    assert x.fmod(y).tolist() == [1, -1, 1, -1, 0, 0]
    assert lamina.div(x, y, rounding_mode="trunc").tolist() == [2, -2, -2, 2, 2, -2]
    big = lamina.tensor([2**62 + 1])
    assert ((big // 2).item(), (big % 2).item()) == (2**61, 1)
    for call in (x.__floordiv__, x.__mod__, x.fmod, x.floor_divide_, x.remainder_, x.fmod_):
        with pytest.raises(RuntimeError, match=r"^\w+: division of integers by zero$"):
            call(0)
    with pytest.raises(RuntimeError, match=r"^div: division of integers by zero$"):
        lamina.div(x, 0, rounding_mode="trunc")
    with pytest.raises(ValueError, match=r"^div: rounding_mode must be None, 'floor' or 'trunc'"):
        lamina.div(x, 2, rounding_mode="up")


# -- bits ------------------------------------------------------------------------------------------

BITWISE = {
    operator.and_: "bitwise_and",
    operator.or_: "bitwise_or",
    operator.xor: "bitwise_xor",
    operator.lshift: "bitwise_left_shift",
    operator.rshift: "bitwise_right_shift",
}


@pytest.mark.parametrize("symbol", BITWISE, ids=BITWISE.values())
@pytest.mark.parametrize("dtype", INTS)
def test_bitwise_operators(symbol, dtype):
    x = np.array([0, 1, 5, 100, 127, 255 if dtype == "uint8" else -100], dtype)
    y = np.array([3, 0, 2, 1, 5, 4], dtype)
    a, b = lamina.tensor(x), lamina.tensor(y)
    wanted = symbol(x, y)
    assert symbol(a, b).dtype == of(dtype)
    assert symbol(a, b).tolist() == wanted.tolist()
    assert getattr(_core, BITWISE[symbol])(a, b).tolist() == wanted.tolist()
    assert symbol(a, 3).tolist() == symbol(x, np.array(3, dtype)).tolist()
    assert symbol(3, b).tolist() == symbol(np.array(3, dtype), y).tolist()
    own = kept = a.clone()
    own = getattr(operator, "i" + symbol.__name__.strip("_"))(own, b)
    assert own is kept
    assert own.tolist() == wanted.tolist()
    assert (~a).tolist() == (~x).tolist()


def test_bits_of_bools_and_shifts_by_too_much():
    mask = lamina.tensor([True, False])
    assert (~mask).tolist() == [False, True]
    assert (~mask).dtype == lamina.bool
    assert mask.clone().bitwise_not_().tolist() == [False, True]
    assert (mask & 3).dtype == lamina.int64
    assert (mask ^ True).tolist() == [False, True]
    mask &= lamina.tensor([False, True])
    assert mask.tolist() == [False, False]
    x = lamina.tensor([1, -1])
    assert (x << 64).tolist() == (x << -1).tolist() == [0, 0]
    assert (x >> 64).tolist() == (x >> -1).tolist() == [0, -1]
    with pytest.raises(TypeError, match=r"^bitwise_left_shift: not defined for bool"):
        mask << mask
    with pytest.raises(TypeError, match=r"^bitwise_or_: only for bool and integer tensors"):
        lamina.ones(2).bitwise_or_(1)
    with pytest.raises(TypeError, match=r"^bitwise_not_: only for bool and integer tensors"):
        lamina.ones(2).bitwise_not_()


# -- clamping and replacing ------------------------------------------------------------------------


def test_clamp_by_numbers_and_by_tensors_is_the_same():
    x = np.array([math.nan, math.inf, -math.inf, -0.0, 0.0, 0.5, 1.0, 2.0, -3.0])
    for low, high in ((0.0, 1.0), (None, 0.5), (-1.0, None), (1.0, 0.0), (math.nan, 1.0), (0, 1)):
        wanted = x if low is None else np.maximum(x, low)
        wanted = wanted if high is None else np.minimum(wanted, high)
        numbers = (low, high)
        tensors = [v if v is None else lamina.tensor(v, dtype=lamina.float64) for v in numbers]
        for limits in (numbers, tensors):
            t = lamina.tensor(x, requires_grad=True)
            y = t.clamp(*limits)
            np.testing.assert_array_equal(y.detach().numpy(), wanted)
            g = autograd.grad(y.sum(), t)[0].numpy()
            inside = np.ones_like(x, bool)
            with np.errstate(invalid="ignore"):
                inside &= True if low is None else ~(x < low)
                inside &= True if high is None else ~(x > high)
            known = ~np.isnan(wanted)
            np.testing.assert_array_equal(g[known], inside[known].astype(float))
    ints = lamina.tensor([1, 5, 9])
    assert ints.clamp(2, 6).tolist() == [2, 5, 6]
    assert ints.clamp(2, 6).dtype == lamina.int64
    assert ints.clamp(2.5).tolist() == [2.5, 5.0, 9.0]
    assert ints.clip(max=4).tolist() == [1, 4, 4]
    with pytest.raises(TypeError, match=r"^clamp_: the result is float32 and can't be .* int64"):
        ints.clamp_(0.5, 2)


@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_to_num_knows_the_largest_number_of_the_dtype(dtype):
    x = lamina.tensor([math.nan, math.inf, -math.inf, 1.5], dtype=of(dtype))
    top = float(np.finfo(dtype).max)
    assert lamina.nan_to_num(x).tolist() == [0.0, top, -top, 1.5]
    assert x.nan_to_num_(1.0, 2.0).tolist() == [1.0, 2.0, -top, 1.5]
    assert lamina.nan_to_num(lamina.tensor([3])).tolist() == [3]


def test_logical_and_compared_forms_in_place():
    x = lamina.tensor([0.0, 1.5, -2.0], requires_grad=True)
    own = x * 1
    own.gt_(0.0)
    assert own.tolist() == [0.0, 1.0, 0.0]
    assert own.dtype == lamina.float32
    own.sum().backward()  # constants now: the gradient is zero, not that of what was there
    assert x.grad.tolist() == [0.0, 0.0, 0.0]
    y = lamina.tensor([0, 3, -1])
    assert y.logical_not_().tolist() == [1, 0, 0]
    assert lamina.logical_xor(lamina.tensor([0, 2, 2]), lamina.tensor([1, 1, 0])).tolist() == [
        True,
        False,
        True,
    ]


def test_where_with_a_condition_alone_gives_the_places():
    mask = np.array([[True, False, True], [False, False, True]])
    found = lamina.where(lamina.tensor(mask))
    assert [t.tolist() for t in found] == [i.tolist() for i in np.where(mask)]
    assert [t.tolist() for t in lamina.where(lamina.tensor([0.0, 2.0]))] == [[1]]


# -- what writes in place says so ------------------------------------------------------------------


def test_errors_name_the_form_that_was_called():
    leaf = lamina.ones(2, requires_grad=True)
    for name, args in (("add_", (1,)), ("exp_", ()), ("lerp_", (leaf, 0.5)), ("clamp_", (0, 1))):
        with pytest.raises(RuntimeError, match=rf"^{name}: "):
            getattr(leaf, name)(*args)
    x = lamina.ones(2)
    with pytest.raises(ValueError, match=r"^mul_: the operand does not broadcast to the tensor"):
        x.mul_(lamina.ones(3, 2))
    with pytest.raises(ValueError, match=r"^addcmul_: the operand does not broadcast"):
        x.addcmul_(x, lamina.ones(3, 2))
    with pytest.raises(TypeError, match=r"^add_: an operand must be a Tensor or a number"):
        x += "1"
    y = leaf * 1
    z = y.sin()
    y.mul_(2)
    with pytest.raises(RuntimeError, match=r"mul_"):
        z.sum().backward()


# -- derivatives at the ends -----------------------------------------------------------------------


def slope(function, *values):
    leaves = [lamina.tensor([v], dtype=lamina.float64, requires_grad=True) for v in values]
    return [g.item() for g in autograd.grad(function(*leaves).sum(), leaves)]


def test_derivatives_where_formulas_end():
    nan = math.nan
    assert slope(lamina.xlogy, 0.0, 0.0)[0] == 0.0
    assert slope(lamina.xlogy, 0.0, 2.0) == [math.log(2.0), 0.0]
    assert slope(lamina.fmax, 2.0, 2.0) == [1.0, 0.0]
    assert slope(lamina.fmin, nan, 2.0) == [0.0, 1.0]
    assert slope(lamina.fmax, 2.0, nan) == [1.0, 0.0]
    assert slope(lamina.maximum, 2.0, 2.0) == [0.5, 0.5]
    assert slope(lamina.atan2, 0.0, 0.0) == [0.0, 0.0]
    assert slope(lamina.sinc, 0.0) == [0.0]
    assert slope(lamina.logaddexp, 1000.0, 0.0) == [1.0, 0.0]
    assert slope(lamina.fmod, 5.5, -2.0) == [1.0, 2.0]
    assert slope(lamina.remainder, 5.5, -2.0) == [1.0, 3.0]
    assert slope(lamina.floor_divide, 5.5, 2.0) == [0.0, 0.0]
    x = lamina.tensor([0.0], dtype=lamina.float64, requires_grad=True)
    (g,) = autograd.grad(lamina.sinc(x), x, create_graph=True)
    assert autograd.grad(g, x)[0].item() == pytest.approx(-(math.pi**2) / 3, rel=1e-15)


# -- names -----------------------------------------------------------------------------------------


def test_aliases_have_names_and_signatures_of_their_own():
    assert inspect.signature(lamina.multiply) == inspect.signature(lamina.mul)
    assert lamina.multiply.__name__ == "multiply"
    assert lamina.multiply.__doc__.startswith(lamina.mul.__doc__[:20])
    x = lamina.tensor([1.5, -2.5])
    for alias, name in (("absolute", "abs"), ("negative", "neg"), ("fix", "trunc")):
        wanted = getattr(x, name)().tolist()
        assert getattr(x, alias)().tolist() == wanted
        assert getattr(x.clone(), alias + "_")().tolist() == wanted
    assert lamina.positive(x) is x


def test_special_has_the_functions_of_the_same_name():
    assert set(special.__all__) == {n for n in vars(special) if n[0] != "_"} - {"annotations"}
    assert lamina.special is special
    assert special.expit is lamina.sigmoid
    for name in special.__all__:
        if name != "expit":
            assert getattr(special, name) is getattr(lamina, name)


@pytest.mark.parametrize("dtype", FLOATS)
def test_finfo(dtype):
    ours, wanted = lamina.finfo(of(dtype)), np.finfo(dtype)
    for name in ("bits", "eps", "max", "min", "tiny", "smallest_normal", "resolution"):
        assert getattr(ours, name) == pytest.approx(float(getattr(wanted, name)), rel=1e-7)
    assert ours.eps == float(wanted.eps)
    assert ours.dtype == dtype
    assert ours == lamina.finfo(of(dtype))
    assert repr(ours).startswith("finfo(resolution=1e-")
    assert lamina.finfo() == lamina.finfo(lamina.get_default_dtype())
    with pytest.raises(TypeError, match=r"^finfo: needs a floating dtype, got int32; iinfo"):
        lamina.finfo(lamina.int32)


@pytest.mark.parametrize("dtype", INTS)
def test_iinfo(dtype):
    ours, wanted = lamina.iinfo(of(dtype)), np.iinfo(dtype)
    assert (ours.bits, ours.max, ours.min) == (wanted.bits, wanted.max, wanted.min)
    assert ours.dtype == dtype
    assert repr(ours).endswith(f"dtype={dtype})")
    for other in (lamina.bool, lamina.float32):
        with pytest.raises(TypeError, match=r"^iinfo: needs an integer dtype, got"):
            lamina.iinfo(other)
