"""`lamina.nn.utils`: clipping gradients, and parameters as a vector."""

from __future__ import annotations

import lamina
import numpy as np
import pytest
from lamina import optim
from lamina.nn import utils
from test_optim_state import STATES, parameter

INF = float("inf")
RNG = np.random.default_rng(11)
SHAPES = [(3, 4), (), (7,), (0, 2), (300, 200)]


def with_gradients(values, dtype=lamina.float64):
    out = [lamina.zeros(2, dtype=dtype, requires_grad=True)]  # has none
    for value in values:
        p = lamina.zeros(value.shape, dtype=dtype, requires_grad=True)
        p.grad = lamina.tensor(value.tolist(), dtype=dtype).reshape(value.shape)
        out.append(p)
    return out


def norm_of(values, order):
    """The norm of the norms."""
    norms = np.array([np.linalg.norm(v.ravel(), order) for v in values if v.size])
    return np.linalg.norm(norms, order)


@pytest.mark.parametrize(("dtype", "rounding"), [(lamina.float64, 1e-13), (lamina.float32, 1e-6)])
@pytest.mark.parametrize("order", [2.0, 1.0, INF, 3.0, 0.5, 0.0])
def test_clip_grad_norm(order, dtype, rounding):
    values = [RNG.normal(size=shape) for shape in SHAPES]
    expected = norm_of(values, order)
    for limit in (expected / 3, expected * 3):
        params = with_gradients(values, dtype)
        kept = [p.grad for p in params]
        found = utils.clip_grad_norm_(params, limit, order)
        assert found.shape == ()
        assert found.dtype == dtype
        np.testing.assert_allclose(found.item(), expected, rtol=rounding)
        np.testing.assert_allclose(
            utils.get_total_norm([lamina.tensor(v.tolist()) for v in values[:3]], order).item(),
            norm_of(values[:3], order),
            rtol=1e-6,
        )
        factor = min(1.0, limit / (expected + 1e-6))
        assert params[0].grad is None
        for p, before, value in zip(params[1:], kept[1:], values, strict=True):
            assert p.grad is before  # in place
            np.testing.assert_allclose(p.grad.numpy(), value * factor, rtol=2 * rounding)


def test_the_norm_has_the_widest_dtype_and_does_not_overflow():
    params = with_gradients([np.array([3e30])], lamina.float32)
    params += with_gradients([np.array([4e30])])
    found = utils.clip_grad_norm_(params, 5.0)
    assert found.dtype == lamina.float64
    assert found.item() == pytest.approx(5e30, rel=1e-6)
    # The square of 3e30 is no float32: PyTorch gives infinity, and gradients of zero.
    params = with_gradients([np.array([3e30, 4e30])], lamina.float32)
    assert utils.clip_grad_norm_(params, 5.0).item() == pytest.approx(5e30, rel=1e-6)
    assert params[1].grad.tolist() == pytest.approx([3.0, 4.0], rel=1e-6)


def test_norms_that_are_not_finite():
    params = with_gradients([np.array([1.0, INF, 2.0])])
    with pytest.raises(RuntimeError, match=r"clip_grad_norm_: the total norm of order 2 is inf"):
        utils.clip_grad_norm_(params, 1.0, error_if_nonfinite=True)
    assert params[1].grad.tolist() == [1.0, INF, 2.0]
    with pytest.raises(RuntimeError, match=r"get_total_norm: the norm of order 2.0 is inf"):
        utils.get_total_norm(params[1].grad, error_if_nonfinite=True)
    assert utils.clip_grad_norm_(params, 1.0).item() == INF
    np.testing.assert_array_equal(params[1].grad.numpy(), [0.0, np.nan, 0.0])
    assert np.isnan(utils.clip_grad_norm_(params, 1.0).item())
    assert params[1].grad.isnan().all()


def test_none_and_one():
    assert utils.clip_grad_norm_([], 1.0).item() == 0.0
    assert utils.clip_grad_norm_(iter(with_gradients([])), 1.0).item() == 0.0
    p = with_gradients([np.array([3.0, 4.0])])[1]
    assert utils.clip_grad_norm_(p, 10.0).item() == 5.0
    assert p.grad.tolist() == [3.0, 4.0]  # to the bit, where there is nothing to clip


def test_clip_grads_with_norm():
    params = with_gradients([np.array([3.0]), np.array([4.0])])
    utils.clip_grads_with_norm_(params, 1.0, lamina.tensor(10.0))
    np.testing.assert_allclose(params[1].grad.item(), 0.3, rtol=1e-6)
    utils.clip_grads_with_norm_(params, 1.0, lamina.tensor(0.5))
    np.testing.assert_allclose(params[2].grad.item(), 0.4, rtol=1e-6)


def test_clip_grad_value():
    params = with_gradients([np.array([-5.0, 0.5, np.nan, INF, -INF]), np.array([[7.0]])])
    utils.clip_grad_value_(params, 2)
    np.testing.assert_array_equal(params[1].grad.numpy(), [-2.0, 0.5, np.nan, 2.0, -2.0])
    assert params[2].grad.tolist() == [[2.0]]


def test_strided_gradients_are_clipped_in_place():
    p = lamina.zeros(2, 3, dtype=lamina.float64, requires_grad=True)
    base = lamina.tensor([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]], dtype=lamina.float64)
    p.grad = base.t()
    assert not p.grad.is_contiguous()
    utils.clip_grad_norm_([p], 2.5)
    np.testing.assert_allclose(base.tolist(), [[1.5, 0], [0, 2], [0, 0]], rtol=1e-6)
    utils.clip_grad_value_([p], 1.0)
    np.testing.assert_allclose(base.tolist(), [[1, 0], [0, 1], [0, 0]], rtol=1e-6)


def test_a_clipped_gradient_is_a_write():
    """Whoever saved the gradient for a second derivative hears of it."""
    x = lamina.tensor([3.0], requires_grad=True)
    (g,) = lamina.autograd.grad((x**3).sum(), x, create_graph=True)
    y = (g * g).sum()
    p = lamina.zeros(1, requires_grad=True)
    p.grad = g.detach()
    utils.clip_grad_norm_([p], 1.0)
    with pytest.raises(RuntimeError, match="clip_grad_norm_"):
        y.backward()


def test_same_bits_on_any_number_of_threads():
    values = [RNG.normal(size=shape) for shape in SHAPES]
    before, found = lamina.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            lamina.set_num_threads(threads)
            params = with_gradients(values, lamina.float32)
            norm = utils.clip_grad_norm_(params, 1.0)
            found.append([norm.item(), *(p.grad.tolist() for p in params[1:])])
    finally:
        lamina.set_num_threads(before)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda p: utils.clip_grad_norm_(p, -1.0),
            ValueError,
            "clip_grad_norm_: max_norm must be at least 0, got -1",
        ),
        (lambda p: utils.clip_grad_norm_(p, np.nan), ValueError, "max_norm must be at least 0"),
        (
            lambda p: utils.clip_grad_norm_(p, 1.0, np.nan),
            ValueError,
            "clip_grad_norm_: the norm's order must not be NaN",
        ),
        (
            lambda p: utils.clip_grad_value_(p, -1.0),
            ValueError,
            "clip_grad_value_: clip_value must be at least 0, got -1",
        ),
        (
            lambda p: utils.clip_grads_with_norm_(p, -1.0, lamina.tensor(1.0)),
            ValueError,
            "clip_grads_with_norm_: max_norm must be at least 0",
        ),
        (
            lambda p: utils.get_total_norm([lamina.tensor([1, 2])]),
            TypeError,
            "total_norm: tensor must be float32 or float64|total_norm: .*int64",
        ),
        (lambda p: utils.clip_grad_norm_(3, 1.0), TypeError, "not iterable"),
    ],
)
def test_what_is_refused(call, error, text):
    params = with_gradients([np.array([1.0])])
    with pytest.raises(error, match=text):
        call(params)
    assert params[1].grad.tolist() == [1.0]


def test_nn_utils_says_what_it_lacks():
    with pytest.raises(AttributeError, match=r"lamina.nn.utils has no 'clip_grad_nrm_'.*nearest"):
        utils.clip_grad_nrm_  # noqa: B018
    assert lamina.nn.utils is utils


# -- clipping in the step --------------------------------------------------------------------------


def test_clipping_in_the_step():
    """Two groups, one of which goes up: the norm is that of all, and the gradients stay."""
    p, q = parameter(3.0, 0.0), parameter(4.0)
    optimizer = optim.SGD([{"params": [p]}, {"params": [q], "maximize": True}], lr=1.0)
    optimizer.max_grad_norm = 2.5
    p.grad, q.grad = lamina.tensor([3.0, 0.0]).double(), lamina.tensor([4.0]).double()
    optimizer.step()
    assert optimizer.grad_norm == 5.0
    assert p.tolist() == pytest.approx([1.5, 0.0], rel=1e-6)
    assert q.tolist() == pytest.approx([6.0], rel=1e-6)
    assert p.grad.tolist() == [3.0, 0.0]
    optimizer.max_grad_norm = 10.0  # nothing to clip
    optimizer.step()
    assert q.tolist() == pytest.approx([10.0], rel=1e-6)
    optimizer.zero_grad()
    optimizer.step()
    assert optimizer.grad_norm == 0.0


@pytest.mark.parametrize(("method", "options"), [case[:2] for case in STATES])
def test_clipping_in_the_step_is_clipping_before_it(method, options):
    ends = []
    for inside in (True, False):
        p = lamina.tensor([[1.0, -2.0]], dtype=lamina.float64, requires_grad=True)
        optimizer = method([p], lr=0.01, max_grad_norm=0.5 if inside else None, **options)
        for _ in range(5):
            optimizer.zero_grad()
            (p**4).sum().backward()
            if not inside:
                lamina.nn.utils.clip_grad_norm_([p], 0.5)
            optimizer.step()
        ends.append(np.array(p.tolist()))
    # The factor is applied in the same place, so that only its own rounding can differ.
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-14)


# -- vectors -------------------------------------------------------------------------------------


def test_parameters_to_vector_and_back():
    a = lamina.tensor([[1.0, 3.0], [2.0, 4.0]], requires_grad=True)
    b = lamina.tensor(5.0, requires_grad=True)
    vector = utils.parameters_to_vector([a, b])
    assert vector.tolist() == [1.0, 3.0, 2.0, 4.0, 5.0]
    (vector * lamina.arange(5.0)).sum().backward()
    assert a.grad.tolist() == [[0.0, 1.0], [2.0, 3.0]]
    assert b.grad.item() == 4.0
    utils.vector_to_parameters(vector.detach() * 10, [a, b])
    assert a.tolist() == [[10.0, 30.0], [20.0, 40.0]]
    assert b.item() == 50.0
    assert a.requires_grad


def test_vectors_that_do_not_fit():
    p = lamina.ones(2, 2)
    for wrong in (lamina.ones(3), lamina.ones(5), lamina.ones(2, 2)):
        with pytest.raises(ValueError, match="needs a vector of 4 elements, got"):
            utils.vector_to_parameters(wrong, [p])
    with pytest.raises(TypeError, match="vec must be a Tensor, got list"):
        utils.vector_to_parameters([1.0], [p])
    assert p.tolist() == [[1.0, 1.0], [1.0, 1.0]]
