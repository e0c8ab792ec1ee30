"""What backward does at the leaves: hooks that run after, and reaching chosen tensors only."""

from __future__ import annotations

import gc
import weakref

import lamina
import pytest
from lamina import autograd, nn, optim
from lamina.utils.checkpoint import checkpoint


def leaf(values):
    return lamina.tensor(values, dtype=lamina.float64, requires_grad=True)


# -- register_post_accumulate_grad_hook ------------------------------------------------------------


def test_the_hook_sees_the_leaf_with_its_gradient():
    x = leaf([1.0, 2.0])
    seen = []
    x.register_hook(lambda g: g * 10)
    handle = x.register_post_accumulate_grad_hook(lambda t: seen.append((t is x, t.grad.tolist())))
    (x * x).sum().backward()
    (x * 3).sum().backward()
    assert seen == [(True, [20.0, 40.0]), (True, [50.0, 70.0])]
    autograd.grad((x * x).sum(), x)  # accumulates nothing
    handle.remove()
    x.sum().backward()
    assert len(seen) == 2


def test_an_optimizer_step_within_backward():
    torch_like = []
    w = nn.Parameter(lamina.ones(3))
    step = optim.SGD([w], lr=0.5)

    def hook(parameter):
        step.step()
        step.zero_grad()
        torch_like.append(parameter.grad)
        return "ignored"

    w.register_post_accumulate_grad_hook(hook)
    (w * 2).sum().backward()
    assert w.tolist() == [0.0, 0.0, 0.0]
    assert torch_like == [None]


def test_hooks_run_in_order_and_may_remove_themselves():
    x = leaf([1.0])
    seen = []

    def first(t):
        seen.append("first")
        handle.remove()

    handle = x.register_post_accumulate_grad_hook(first)
    x.register_post_accumulate_grad_hook(lambda t: seen.append("second"))
    x.sum().backward()
    x.sum().backward()
    assert seen == ["first", "second", "second"]


def test_a_cycle_through_the_hook_is_collected():
    x = leaf([1.0])

    class Holder:
        def __init__(self, tensor):
            self.tensor = tensor

        def __call__(self, tensor):
            pass

    holder = Holder(x)
    x.register_post_accumulate_grad_hook(holder)
    dead = weakref.ref(holder)
    x.sum().backward()
    del holder, x
    gc.collect()
    assert dead() is None


def test_only_leaves_have_one():
    x = leaf([1.0])
    with pytest.raises(
        RuntimeError, match=r"^register_post_accumulate_grad_hook: only a leaf coll"
    ):
        (x * 2).register_post_accumulate_grad_hook(print)
    with pytest.raises(
        RuntimeError, match=r"^register_post_accumulate_grad_hook: .*not require gra"
    ):
        x.detach().register_post_accumulate_grad_hook(print)
    with pytest.raises(
        TypeError, match=r"^register_post_accumulate_grad_hook: the hook must be cal"
    ):
        x.register_post_accumulate_grad_hook(3)


# -- backward(inputs=...) --------------------------------------------------------------------------


def test_backward_into_chosen_inputs():
    x, y, z = leaf([1.0, 2.0]), leaf([3.0, 4.0]), leaf([1.0])
    middle = x * y
    loss = middle.exp().sum()
    loss.backward(inputs=[x, middle], retain_graph=True)
    expected = middle.detach().exp()
    assert middle.grad.tolist() == expected.tolist()
    assert x.grad.tolist() == (expected * y.detach()).tolist()
    assert y.grad is None
    autograd.backward(loss, inputs=y, retain_graph=True)
    assert y.grad.tolist() == (expected * x.detach()).tolist()
    loss.backward(inputs=[x, z])  # adds up; what is not in the graph is left alone
    assert x.grad.tolist() == (2 * expected * y.detach()).tolist()
    assert z.grad is None


def test_backward_into_inputs_runs_their_hooks():
    x = leaf([1.0])
    seen = []
    x.register_hook(lambda g: seen.append(g.item()))
    x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.item()))
    (x * 3).sum().backward(inputs=[x])
    assert seen == [3.0, 3.0]


def test_backward_into_inputs_refuses():
    x = leaf([1.0])
    with pytest.raises(ValueError, match=r"^backward: inputs must not be empty; leave it out"):
        x.sum().backward(inputs=[])
    with pytest.raises(RuntimeError, match=r"^backward: input 0 does not require grad"):
        x.sum().backward(inputs=[x.detach()])


def test_batches_of_gradients_are_refused():
    x = leaf([1.0])
    with pytest.raises(
        NotImplementedError, match=r"^grad: is_grads_batched=True is not there; call"
    ):
        autograd.grad(x * 1, x, lamina.ones(2, 1), is_grads_batched=True)


# -- memory ----------------------------------------------------------------------------------------


def test_memory_returns_to_its_level():
    """After graphs with hooks, Functions, checkpoints and second derivatives, used or dropped."""

    class Square(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad):
            return 2 * grad * ctx.saved_tensors[0]

    x = leaf([1.0, 2.0])

    def graphs():
        y = Square.apply(checkpoint(lambda v: Square.apply(v.exp()), x * 1))
        y.register_hook(lambda g: g * 1)
        (g,) = autograd.grad(y.sum(), x, create_graph=True)
        g.sum().backward()
        x.grad = None
        Square.apply(checkpoint(lambda v: Square.apply(v.exp()), x * 1))  # dropped

    graphs()
    gc.collect()
    before = lamina.allocator_stats()["live_bytes"]
    objects = len(gc.get_objects())
    for _ in range(1000):
        graphs()
    gc.collect()
    assert lamina.allocator_stats()["live_bytes"] == before
    assert len(gc.get_objects()) - objects < 100


def test_a_leaf_goes_from_graph_to_graph():
    """What collects its gradient waits for the next graph, and takes the leaf as it is then."""
    p = lamina.ones(2, requires_grad=True)
    (p * 2).sum().backward()
    p.data, p.grad = lamina.ones(3), None
    first, second = (p * 2).sum(), (p * p * 3).sum()  # two graphs at once
    handle = p.register_hook(lambda g: g * 10)
    first.backward()
    assert p.grad.tolist() == [20.0] * 3
    handle.remove()
    second.backward()
    assert p.grad.tolist() == [26.0] * 3


def test_a_leaf_used_often_adds_up_in_order():
    """Without a hook a leaf takes each gradient as it comes; with one, the sum: the same bits."""
    lamina.manual_seed(0)
    scales = lamina.randn(7, 5)

    def gradient(hook):
        p = lamina.ones(5, requires_grad=True)
        if hook:
            p.register_hook(lambda g: None)
        sum((p * s).sum() for s in scales).backward()
        return p.grad

    assert gradient(False).tolist() == gradient(True).tolist()


def test_a_gradient_that_the_graph_uses_is_added_to_last():
    p = lamina.tensor([1.0, 2.0], requires_grad=True)
    q = lamina.tensor([1.0, 1.0], requires_grad=True)
    p.grad = lamina.tensor([3.0, 4.0])
    ((p * p.grad).sum() + (p * p.grad).sum()).backward()
    assert p.grad.tolist() == [9.0, 12.0]
    # p has one edge here, but its gradient is an input of what runs after it.
    z = (q * p.grad).sum() + (p * 1).sum()
    z.backward()
    assert q.grad.tolist() == [9.0, 12.0]
    assert p.grad.tolist() == [10.0, 13.0]


def test_who_watches_changes_no_number():
    """1e8 + 4 is 1e8 in float32, but 1e8 + (4 + 4) is not: contributions are added up first."""

    def gradient(how):
        w = lamina.ones(1, requires_grad=True)
        w.grad = lamina.tensor([1e8])
        if how == "hook":
            w.register_hook(lambda g: None)
        loss = (w * 4).sum() + (w * 4).sum()
        loss.backward(inputs=[w] if how == "inputs" else None)
        return w.grad.item()

    assert gradient("plain") == gradient("hook") == gradient("inputs") == 1e8 + 8


def test_a_hook_that_comes_during_backward_sees_the_whole():
    w = lamina.tensor([1.0, 2.0], requires_grad=True)
    a = w * 2
    seen = []
    a.register_hook(lambda g: w.register_hook(lambda whole: seen.append(whole.tolist())) and None)
    (a * w).sum().backward()
    assert seen == [[4.0, 8.0]]
