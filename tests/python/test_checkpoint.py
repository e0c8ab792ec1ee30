"""`utils.checkpoint`: the same numbers with less memory."""

from __future__ import annotations

import gc
import weakref

import lamina
import pytest
from lamina import autograd, nn
from lamina.utils.checkpoint import checkpoint, checkpoint_sequential


def leaf(*shape):
    return lamina.randn(*shape, dtype=lamina.float64).requires_grad_()


def model():
    lamina.manual_seed(1)
    return nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.GELU(), nn.Dropout(0.5), nn.Linear(8, 3)
    ).double()


def gradients(call, x, net, **kwargs):
    lamina.manual_seed(5)  # for the dropout
    loss = call(x).square().sum()
    return loss, autograd.grad(loss, [x, *net.parameters()], **kwargs)


def same(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        assert a.tolist() == b.tolist()


def test_gradients_are_those_of_a_plain_call():
    net, x = model(), leaf(6, 4)
    plain, wanted = gradients(net, x, net)
    loss, found = gradients(lambda x: checkpoint(net, x), x, net)
    assert loss.item() == plain.item()
    same(found, wanted)
    x.grad = None
    lamina.manual_seed(5)
    checkpoint(net, x).square().sum().backward()
    same([x.grad, *(p.grad for p in net.parameters())], wanted)


def test_second_derivatives_are_those_of_a_plain_call():
    net, x = model(), leaf(6, 4)
    _, first = gradients(net, x, net, create_graph=True)
    wanted = autograd.grad(first[0].square().sum(), [x, *net.parameters()], allow_unused=True)
    _, again = gradients(lambda x: checkpoint(net, x), x, net, create_graph=True)
    found = autograd.grad(again[0].square().sum(), [x, *net.parameters()], allow_unused=True)
    for a, b in zip(found, wanted, strict=True):
        assert (a is None) is (b is None)
        assert a is None or a.tolist() == b.tolist()
    w = leaf(4, 4)
    assert autograd.gradcheck(lambda x, w: checkpoint(lambda v: (v @ w).tanh(), x), (leaf(2, 4), w))
    assert autograd.gradgradcheck(
        lambda x, w: checkpoint(lambda v: (v @ w).tanh().exp(), x), (leaf(2, 4), w)
    )


def test_the_middle_of_a_graph_and_inputs_without_gradient():
    w, data = leaf(3), lamina.ones(3, dtype=lamina.float64)
    y = checkpoint(lambda a, b: a.exp() * b.exp(), w * 2, data)
    y.sum().backward()
    expected = 2 * (2 * w.detach()).exp() * data.exp()
    assert (w.grad - expected).abs().max().item() < 1e-14 * expected.abs().max().item()
    w.grad = None
    checkpoint(lambda b: (b * w).exp(), data).sum().backward()  # only through the closure
    assert (w.grad - w.detach().exp()).abs().max().item() < 1e-14


def calls(function):
    seen = []

    def counted(*args, **kwargs):
        seen.append(lamina.is_grad_enabled())
        return function(*args, **kwargs)

    return counted, seen


def test_it_runs_twice_and_only_when_needed():
    function, seen = calls(lambda x: x.exp().sin())
    y = checkpoint(function, leaf(3))
    assert seen == [True]
    y.sum().backward()
    assert seen == [True, True]
    with lamina.no_grad():
        assert not checkpoint(function, leaf(3)).requires_grad
    assert seen == [True, True, False]
    checkpoint(function, leaf(3))  # dropped: never again
    assert len(seen) == 4
    y = checkpoint(function, leaf(3)).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert len(seen) == 6


def test_nested():
    inner, seen = calls(lambda x, scale: (x * scale).exp())
    x, scale = leaf(3), leaf(3)

    def outer(x):
        return checkpoint(inner, x.sin(), scale=scale) * checkpoint(inner, x.cos(), scale)

    def plain(x):
        return (x.sin() * scale).exp() * (x.cos() * scale).exp()

    wanted = autograd.grad(plain(x).sum(), [x, scale])
    found = autograd.grad(checkpoint(outer, x).sum(), [x, scale])
    same(found, wanted)
    assert len(seen) == 6  # two calls: forward, within the outer's second run, and for themselves
    assert autograd.gradgradcheck(lambda x: checkpoint(outer, x), x)


def test_keyword_arguments_and_structures():
    x, y = leaf(3), leaf(3)

    def function(pair, *, flag, other=None):
        assert flag == "yes"
        return (pair[0] * other).exp(), pair[1], None

    out, passed, none = checkpoint(function, (x * 1, [1]), flag="yes", other=y * 1)
    assert (passed, none) == ([1], None)
    out.sum().backward()
    wanted = (x * y).exp().detach()
    assert (x.grad - wanted * y.detach()).abs().max().item() <= 1e-15 * wanted.abs().max().item()


def test_the_stream_of_random_numbers():
    x = lamina.ones(1000, dtype=lamina.float64, requires_grad=True)
    lamina.manual_seed(3)
    y = checkpoint(lambda x: nn.functional.dropout(x, 0.5).exp(), x)
    state = lamina.get_rng_state().tolist()
    y.sum().backward()
    assert lamina.get_rng_state().tolist() == state
    kept = y.detach() > 1
    assert ((x.grad != 0) == kept).all()  # the same mask


def test_memory():
    """In multiples of an activation; each of eight layers saves its input, of which one is x."""
    x = lamina.zeros(1 << 16, requires_grad=True)

    def kept(call):
        gc.collect()
        before = lamina.allocator_stats()["live_bytes"]
        y = call()
        live = lamina.allocator_stats()["live_bytes"] - before
        y.sum().backward()
        x.grad = None
        return round(live / (4 << 16), 1)

    def plain(value):
        for _ in range(8):
            value = value.sin()
        return value

    assert kept(lambda: plain(x)) == 7 + 1  # and the result
    assert kept(lambda: checkpoint(plain, x)) == 1
    # The ends of the first parts, what the last saves beside that, and the result.
    assert kept(lambda: checkpoint_sequential([lamina.sin] * 8, 2, x)) == 1 + 3 + 1
    assert kept(lambda: checkpoint_sequential([lamina.sin] * 8, 4, x)) == 3 + 1 + 1

    def outer(value):  # only the outermost argument is kept: the inner ones are computed again
        return checkpoint(plain, checkpoint(plain, value))

    assert kept(lambda: checkpoint(outer, x)) == 1


def test_nothing_is_kept_once_backward_is_done():
    class Held:
        pass

    held = Held()
    alive = weakref.ref(held)

    def function(x, held=held):
        assert held is not None
        return x.exp()

    y = checkpoint(function, leaf(3)).sum()
    del held, function
    gc.collect()
    assert alive() is not None
    y.backward()
    gc.collect()
    assert alive() is None


def test_an_argument_written_meanwhile_is_refused():
    a = leaf(3) * 1
    y = checkpoint(lambda a: a.exp().sin(), a)
    a.add_(1)
    with pytest.raises(
        RuntimeError, match=r"^checkpoint: backward needs its input .* but add_ has"
    ):
        y.sum().backward()


def test_a_function_that_does_something_else_the_second_time():
    state = []

    def more(x):
        state.append(1)
        return (x.exp() if len(state) == 1 else x.exp().sin()).cos()

    def other(x):
        state.append(1)
        return (x if len(state) == 1 else x[:2]).exp()

    for function, text in (
        (more, r"^checkpoint: 2 tensors were saved .* the first time, but 3(.|\n)*the same each"),
        (other, r"^checkpoint: tensor 0 .* different(.|\n)*before \[3\] float64\n  now    \[2\] f"),
    ):
        state.clear()
        with pytest.raises(RuntimeError, match=text):
            checkpoint(function, leaf(3)).sum().backward()


def test_an_error_of_the_second_run_comes_through():
    state = []

    def fails(x):
        state.append(1)
        if len(state) == 2:
            raise KeyError("second")
        return x.exp()

    y = checkpoint(fails, leaf(3))
    with pytest.raises(KeyError, match="second"):
        y.sum().backward()
    x = leaf(3)  # and the next op saves its tensors as ever
    x.exp().sum().backward()
    assert x.grad.tolist() == x.exp().tolist()


def test_other_functions_within():
    class Cube(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, grad):
            return grad * 3 * ctx.saved_tensors[0] ** 2

    assert autograd.gradcheck(lambda x: checkpoint(Cube.apply, x * 1), leaf(3))
    assert autograd.gradgradcheck(lambda x: checkpoint(Cube.apply, x * 1), leaf(3))

    def penalty(x):  # a backward pass inside
        with lamina.enable_grad():  # for the differences, too
            x = x if x.requires_grad else x.detach().requires_grad_()
            (g,) = autograd.grad((x**3).sum(), x, create_graph=True)
            return g * x

    assert autograd.gradcheck(lambda x: checkpoint(penalty, x * 1), leaf(3))

    def in_place(x):
        y = x.exp() * 1
        y.mul_(x)
        return y.sin()

    assert autograd.gradcheck(lambda x: checkpoint(in_place, x * 1), leaf(3))


def test_sequential():
    net, x = model(), leaf(6, 4)
    _, wanted = gradients(net, x, net)
    for segments in (1, 2, 5):
        _, found = gradients(lambda x, n=segments: checkpoint_sequential(net, n, x), x, net)
        same(found, wanted)
    with pytest.raises(ValueError, match="segments must be from 1 to the number of functions, 5"):
        checkpoint_sequential(net, 6, x)


def test_the_older_form_is_refused():
    with pytest.raises(NotImplementedError, match="use_reentrant=True is not there"):
        checkpoint(lambda x: x, leaf(3), use_reentrant=True)
