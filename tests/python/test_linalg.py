"""What lamina.linalg, cdist and einsum promise beyond the rows of the op table."""

from __future__ import annotations

import lamina
import numpy as np
import pytest
from lamina import autograd, linalg

RNG = np.random.default_rng(11)
M = RNG.standard_normal((3, 4, 4)) + 4 * np.eye(4)[[1, 0, 3, 2]]
RIGHT = RNG.standard_normal((3, 4, 2))
INF = float("inf")


def layouts(a):
    """The same matrices: transposed in memory, and every second element of something larger."""
    yield lamina.from_numpy(np.swapaxes(np.swapaxes(a, -1, -2).copy(), -1, -2))
    whole = np.full([2 * n for n in a.shape], 7.0)
    whole[1::2, 1::2, 1::2] = a
    yield lamina.from_numpy(whole)[1::2, 1::2, 1::2]


def test_matrices_may_lie_in_memory_in_any_order():
    a = lamina.tensor(M)
    for other in layouts(M):
        before = other.tolist()
        assert linalg.inv(other).tolist() == linalg.inv(a).tolist()
        assert linalg.solve(other, lamina.tensor(RIGHT)).tolist() == (
            linalg.solve(a, lamina.tensor(RIGHT)).tolist()
        )
        for x, y in zip(linalg.qr(other), linalg.qr(a), strict=True):
            assert x.tolist() == y.tolist()
        assert other.tolist() == before, "an operand was written"


def test_gradients_reach_a_batch_that_broadcasts():
    a, b = (lamina.tensor(v, requires_grad=True) for v in (M[0], RIGHT))
    assert autograd.gradcheck(linalg.solve, (a, b), eps=1e-5, rtol=1e-6, atol=2e-9)
    assert linalg.solve(a, b).shape == (3, 4, 2)


def test_a_vector_is_told_from_a_matrix_as_in_pytorch():
    a = lamina.tensor(M)
    assert linalg.solve(a, lamina.ones(3, 4).double()).shape == (3, 4)  # a batch of vectors
    assert linalg.solve(a, lamina.ones(4, 3).double()).shape == (3, 4, 3)  # one matrix
    assert linalg.solve(a[0], lamina.ones(4).double()).shape == (4,)


def test_the_error_is_a_runtime_error_of_its_own():
    assert issubclass(linalg.LinAlgError, RuntimeError)
    assert linalg.LinAlgError.__module__ == "lamina.linalg"
    with pytest.raises(linalg.LinAlgError, match=r"matrix 2 of the batch is singular"):
        linalg.inv(lamina.stack([lamina.eye(3), lamina.eye(3), lamina.zeros(3, 3)]))


def test_qr_has_named_parts_and_every_mode():
    a = RNG.standard_normal((5, 3))
    found = linalg.qr(lamina.tensor(a))
    assert found.Q is found[0]
    assert found.R is found[1]
    whole = linalg.qr(lamina.tensor(a), mode="complete")
    for got, want in zip(whole, np.linalg.qr(a, "complete"), strict=True):
        # The columns beyond the third are any basis; Householder's is the same one.
        np.testing.assert_allclose(got.numpy(), want, atol=64 * 2.3e-16)
    q, r = linalg.qr(lamina.tensor(a), "r")
    assert q.shape == (0,)
    assert r.tolist() == found.R.tolist()


def test_numbers_of_any_size_have_a_norm_of_qr():
    for size in (1e30, 1e-30):
        r = linalg.qr(lamina.tensor([[3 * size], [4 * size]])).R
        assert r.item() == pytest.approx(-5 * size, rel=4 * 1.2e-7)


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, INF])
def test_the_gradient_of_a_distance_of_zero_is_zero(p):
    x = lamina.tensor([[1.0, 2.0], [3.0, 5.0]], dtype=lamina.float64, requires_grad=True)
    lamina.cdist(x, x.detach(), p).sum().backward()
    apart = np.abs(np.diff(x.detach().numpy(), axis=0)[0])  # of the two points
    if p == INF:
        order = (apart == apart.max()).astype(float)
    else:
        order = apart ** (p - 1) / (apart**p).sum() ** (1 - 1 / p)
    np.testing.assert_allclose(x.grad.numpy(), np.array([-order, order]), rtol=1e-14)
    zero = lamina.zeros(3, requires_grad=True)
    linalg.vector_norm(zero, p).backward()
    assert zero.grad.tolist() == [0.0, 0.0, 0.0]


def test_the_second_derivative_at_zero_is_no_nan():
    x = lamina.zeros(3, dtype=lamina.float64, requires_grad=True)
    (g,) = autograd.grad(linalg.vector_norm(x), x, create_graph=True)
    (h,) = autograd.grad(g.sum(), x)
    assert h.tolist() == [0.0, 0.0, 0.0]


def test_distances_in_blocks_are_those_of_one_block():
    # 600 x 500 x 8 differences are more than are made at a time.
    x, y = (lamina.randn(n, 8, dtype=lamina.float64, requires_grad=True) for n in (600, 500))
    got = lamina.cdist(x, y)
    (got * lamina.linspace(1, 2, 500, dtype=lamina.float64)).sum().backward()
    dx, dy = x.grad.numpy(), y.grad.numpy()
    a, b = x.detach().numpy(), y.detach().numpy()
    d = a[:, None] - b[None]
    n = np.sqrt((d**2).sum(-1))
    np.testing.assert_allclose(got.detach().numpy(), n, rtol=16 * 2.3e-16)
    g = d * (np.linspace(1, 2, 500) / n)[..., None]
    np.testing.assert_allclose(dx, g.sum(1), atol=600 * 2.3e-16 * 16)
    np.testing.assert_allclose(dy, -g.sum(0), atol=600 * 2.3e-16 * 16)


def test_einsum_shows_where_it_can():
    x = lamina.zeros(3, 3)
    lamina.einsum("ii->i", x).fill_(2.0)  # a view of the diagonal
    lamina.einsum("ij->ji", x)[0, 1] = 5.0
    assert x.tolist() == [[2.0, 0.0, 0.0], [5.0, 2.0, 0.0], [0.0, 0.0, 2.0]]


def test_einsum_of_integers_and_of_sizes_that_broadcast():
    a = lamina.tensor([[1, 2], [3, 4]])
    assert lamina.einsum("ij,jk->ik", a, a).tolist() == [[7, 10], [15, 22]]
    assert lamina.einsum("ij,ij->i", lamina.ones(2, 3), lamina.ones(1, 3)).tolist() == [3.0, 3.0]
    assert lamina.einsum("ij,jk->k", lamina.ones(2, 1), lamina.ones(3, 2)).tolist() == [6.0, 6.0]


def test_products_do_not_read_what_beta_leaves_out():
    nan = lamina.full((2, 2), float("nan"))
    a = lamina.ones(2, 2)
    assert lamina.addmm(nan, a, a, beta=0).tolist() == [[2.0, 2.0], [2.0, 2.0]]
    nan.addmm_(a, a, beta=0)
    assert nan.tolist() == [[2.0, 2.0], [2.0, 2.0]]


def test_out_of_a_product_may_be_an_operand():
    a = lamina.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert lamina.matmul(a, a, out=a) is a
    assert a.tolist() == [[7.0, 10.0], [15.0, 22.0]]


def test_the_norm_of_an_empty_matrix_is_zero():
    for order in (1, INF, "fro"):
        for sizes in ((0, 3), (3, 0), (0, 0)):
            assert linalg.matrix_norm(lamina.ones(sizes), order).item() == 0.0
    assert linalg.matrix_norm(lamina.ones(2, 0, 3), 1).tolist() == [0.0, 0.0]


def test_names_that_are_missing_are_named():
    with pytest.raises(AttributeError, match=r"lamina.linalg has no 'svd' \(PyTorch's torch.lina"):
        linalg.svd  # noqa: B018
