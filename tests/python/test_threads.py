"""Python threads that run graphs at once get the numbers that one thread gets."""

from __future__ import annotations

import threading

import lamina
import pytest
from lamina import autograd, nn
from lamina.nn import functional as F
from lamina.utils.checkpoint import checkpoint

THREADS = 4


def at_once(work):
    """Results of ``work(k)`` for each thread k, all started together; errors come through."""
    results, errors = [None] * THREADS, []
    start = threading.Barrier(THREADS)

    def run(k):
        try:
            start.wait(60)
            results[k] = work(k)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    if errors:
        raise errors[0]
    return results


class Scale(autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x * w

    @staticmethod
    def backward(ctx, grad):
        x, w = ctx.saved_tensors
        return grad * w, grad * x


def step(k, size=256):
    """A forward and backward pass of thread k, big enough that the GIL is given up."""
    x = (lamina.arange(size * 16, dtype=lamina.float64).view(size, 16) * (0.01 + k)).sin()
    w = (lamina.arange(16 * 300, dtype=lamina.float64).view(16, 300) * 0.37).cos().requires_grad_()
    v = lamina.full((300,), 0.5, dtype=lamina.float64).requires_grad_()
    hooked = []
    v.register_hook(lambda g: hooked.append(g.sum().item()))
    h = checkpoint(lambda x: Scale.apply((x @ w).tanh(), v), x)
    loss = F.cross_entropy(h, lamina.arange(size) % 300)
    gw, gv = autograd.grad(loss, [w, v], create_graph=True)
    (gw.square().sum() + gv.square().sum()).backward()
    return [loss.item(), hooked, gw.tolist(), w.grad.tolist(), v.grad.tolist()]


def test_independent_graphs():
    wanted = [step(k) for k in range(THREADS)]
    assert len({w[0] for w in wanted}) == THREADS
    for _ in range(5):
        assert at_once(step) == wanted


def test_graphs_over_shared_leaves():
    w = lamina.ones(64, 64, dtype=lamina.float64).requires_grad_()
    x = lamina.full((2048, 64), 0.5, dtype=lamina.float64)

    def work(k):
        for _ in range(10):
            (x @ w).sum().backward()

    at_once(work)
    assert (w.grad == THREADS * 10 * 2048 * 0.5).all()  # exact: every term is a power of two


def test_one_model_in_eval_mode_serves_all():
    lamina.manual_seed(0)
    net = nn.Sequential(nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 3)).eval()
    batches = [lamina.randn(500, 16) for _ in range(THREADS)]
    wanted = [net(x).tolist() for x in batches]

    @lamina.no_grad()
    def work(k):
        return [net(batches[k]).tolist() for _ in range(10)]

    for results, want in zip(at_once(work), wanted, strict=True):
        assert all(result == want for result in results)


def test_grad_mode_and_errors_belong_to_their_thread():
    def work(k):
        with lamina.set_grad_enabled(k % 2 == 0):
            for _ in range(50):
                y = lamina.ones(300, 300, requires_grad=True) * 2
                assert y.requires_grad is (k % 2 == 0)
                with pytest.raises(ValueError, match=rf"\[{k + 2}, 2\]"):
                    lamina.ones(k + 2, 2) @ lamina.ones(3, 1)
        return lamina.is_grad_enabled()

    assert at_once(work) == [True] * THREADS
