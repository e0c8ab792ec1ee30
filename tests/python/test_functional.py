"""`autograd.functional`: products with Jacobians and Hessians, against the formulas."""

from __future__ import annotations

import lamina
import numpy as np
import pytest
from lamina import autograd
from lamina.autograd import functional

rng = np.random.default_rng(4)
A = rng.normal(size=(3, 2))
B = rng.normal(size=(3, 3))
SYMMETRIC = B + B.T


def t(a, **kwargs):
    return lamina.tensor(a, dtype=lamina.float64, **kwargs)


def close(got, wanted):
    np.testing.assert_allclose(got.detach().numpy(), wanted, rtol=1e-13, atol=1e-13)


def linear(x):
    return t(A) @ x


def quadratic(x):
    return (x * (t(SYMMETRIC) @ x)).sum() / 2


def bilinear(x, y):
    return x * y.sum(), (x**2).sum()


X2, X3, V3 = rng.normal(size=2), rng.normal(size=3), rng.normal(size=3)


def test_vjp():
    y, g = functional.vjp(linear, t(X2), t(V3))
    close(y, A @ X2)
    close(g, A.T @ V3)
    assert not y.requires_grad
    assert not g.requires_grad
    # Two inputs, two outputs: gradients of v0 . (x sum(y)) + v1 sum(x^2).
    _, (gx, gy) = functional.vjp(bilinear, (t(X3), t(X2)), (t(V3), t(2.0)))
    close(gx, V3 * X2.sum() + 2 * 2 * X3)
    close(gy, np.full(2, V3 @ X3))
    assert functional.vjp(quadratic, t(X3))[1].shape == (3,)  # v is 1


def test_jvp():
    y, g = functional.jvp(linear, t(X2), t(X2))
    close(y, A @ X2)
    close(g, A @ X2)
    _, (g0, g1) = functional.jvp(bilinear, (t(X3), t(X2)), (t(V3), t([1.0, 2.0])))
    close(g0, V3 * X2.sum() + X3 * 3.0)
    close(g1, 2 * X3 @ V3)


@pytest.mark.parametrize("product", [functional.hvp, functional.vhp])
def test_hessian_products(product):
    y, g = product(quadratic, t(X3), t(V3))
    close(y, X3 @ SYMMETRIC @ X3 / 2)
    close(g, SYMMETRIC @ V3)
    _, (gx, gy) = product(lambda x, y: (x * x).sum() * y.sum(), (t(X3), t(X2)), (t(V3), t(X2)))
    close(gx, 2 * V3 * X2.sum() + 2 * X3 * X2.sum())
    close(gy, np.full(2, 2 * X3 @ V3))


def test_jacobian_and_hessian():
    close(functional.jacobian(linear, t(X2)), A)
    close(functional.hessian(quadratic, t(X3)), SYMMETRIC)
    ((jxx, jxy), (jsx, jsy)) = functional.jacobian(bilinear, (t(X3), t(X2)))
    close(jxx, np.eye(3) * X2.sum())
    close(jxy, np.repeat(X3[:, None], 2, 1))
    close(jsx, 2 * X3)
    close(jsy, np.zeros(2))
    ((hxx, hxy), (hyx, hyy)) = functional.hessian(
        lambda x, y: (x * x).sum() * y.sum(), (t(X3), t(X2))
    )
    close(hxx, 2 * np.eye(3) * X2.sum())
    close(hxy, np.repeat(2 * X3[:, None], 2, 1))
    close(hyx, np.repeat(2 * X3[None], 2, 0))
    close(hyy, np.zeros((2, 2)))
    assert functional.jacobian(lambda x: x[:0], t(X3)).shape == (0, 3)
    assert functional.jacobian(lambda x: x.view(1, 3), t(X3)).shape == (1, 3, 3)


def test_create_graph():
    x = t(X3, requires_grad=True)
    j = functional.jacobian(lambda x: x**3, x, create_graph=True)
    (g,) = autograd.grad(j.sum(), x)
    close(g, 6 * X3)
    y, p = functional.hvp(lambda x: (x**4).sum(), x, t(V3), create_graph=True)
    (g,) = autograd.grad(p.sum(), x, retain_graph=True)
    close(g, 24 * X3 * V3)
    (g,) = autograd.grad(y, x)
    close(g, 4 * X3**3)
    v = t(V3, requires_grad=True)
    _, p = functional.jvp(lambda x: x**3, x, v, create_graph=True)
    (g,) = autograd.grad(p.sum(), v)
    close(g, 3 * X3**2)
    _, p = functional.vjp(lambda x: x**3, x, v, create_graph=True)
    assert autograd.grad(p.sum(), [x, v])[0].tolist() == pytest.approx(6 * X3 * V3)
    assert x.grad is None
    with lamina.no_grad():  # works within it all the same
        close(functional.jacobian(linear, t(X2)), A)


def test_what_is_independent_is_zero_or_with_strict_an_error():
    def constant(x):
        return lamina.ones(2, dtype=lamina.float64)

    def one_of_two(x, y):
        return x * 2

    assert functional.vjp(constant, t(X3), t([1.0, 1.0]))[1].tolist() == [0.0] * 3
    assert functional.jvp(constant, t(X3), t(V3))[1].tolist() == [0.0] * 2
    assert functional.jvp(linear, t(X2), t(X2))[1].shape == (3,)
    assert functional.hvp(lambda x: x.sum(), t(X3), t(V3))[1].tolist() == [0.0] * 3
    assert functional.jacobian(one_of_two, (t(X3), t(X2)))[1].shape == (3, 2)
    with pytest.raises(RuntimeError, match="vjp: with strict=True every output must depend"):
        functional.vjp(constant, t(X3), t([1.0, 1.0]), strict=True)
    with pytest.raises(RuntimeError, match=r"jacobian: with strict=True every input .* input 1"):
        functional.jacobian(one_of_two, (t(X3), t(X2)), strict=True)
    with pytest.raises(RuntimeError, match="hvp: with strict=True"):
        functional.hvp(lambda x: x.sum(), t(X3), t(V3), strict=True)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: functional.vjp(linear, t(X2), t(X2)),
            ValueError,
            r"^vjp: v must have the shape of outputs\n  outputs \[3\], .* 0\n  v      \[2\]",
        ),
        (
            lambda: functional.vjp(linear, t(X2)),
            ValueError,
            r"^vjp: v may be left out only where outputs is one tensor with one element; .*\[3\]",
        ),
        (
            lambda: functional.jvp(linear, t(X2), (t(X2), t(X2))),
            ValueError,
            r"^jvp: inputs has 1 tensor\(s\), but v has 2",
        ),
        (
            lambda: functional.hvp(linear, t(X2), t(X2)),
            RuntimeError,
            r"^hvp: the function must return one Tensor with one element, got \[3\]",
        ),
        (lambda: functional.jacobian(linear, 3), TypeError, "^jacobian: inputs must be a Tensor"),
        (
            lambda: functional.jacobian(lambda x: 3, t(X2)),
            TypeError,
            "^jacobian: outputs must be a Tensor or a tuple of them, got 3",
        ),
        (
            lambda: functional.jacobian(linear, t(X2), vectorize=True),
            NotImplementedError,
            "^jacobian: vectorize=True is not there",
        ),
        (
            lambda: functional.hessian(quadratic, t(X3), outer_jacobian_strategy="forward-mode"),
            NotImplementedError,
            "^hessian: strategy must be 'reverse-mode', got 'forward-mode'",
        ),
    ],
)
def test_wrong_calls(call, error, text):
    with pytest.raises(error, match=text):
        call()
