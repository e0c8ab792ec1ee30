"""Gradients as a Tensor's attributes, and hooks: what they see, keep alive and leave behind."""

from __future__ import annotations

import gc
import threading
import weakref

import lamina
import pytest

# -- hooks and garbage ---------------------------------------------------------------------------


def test_hook_sees_and_replaces_the_gradient():
    x = lamina.tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    seen = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    handle = x.register_hook(lambda g: g * 10)
    y.sum().backward()
    assert seen == [[1.0, 1.0]]
    assert x.grad.tolist() == [30.0, 30.0]
    handle.remove()
    handle.remove()
    x.grad = None
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_an_exception_in_a_hook_arrives_as_it_was_raised():
    class SpecialError(Exception):
        pass

    error = SpecialError("from the hook")

    def hook(grad):
        raise error

    x = lamina.ones(1, requires_grad=True)
    x.register_hook(hook)
    with pytest.raises(SpecialError) as caught:
        x.sum().backward()
    assert caught.value is error


def test_a_hook_must_return_a_tensor():
    x = lamina.ones(1, requires_grad=True)
    x.register_hook(lambda g: 3)
    with pytest.raises(TypeError, match="hook: must return a Tensor or None, got int"):
        x.sum().backward()


@pytest.mark.parametrize("leaf", [True, False])
def test_a_hook_that_keeps_a_reference_cycle_is_collected(leaf):
    x = lamina.ones(2, requires_grad=True)
    t = x if leaf else x * 2

    class Holder:
        def __init__(self, tensor):
            self.tensor = tensor

        def __call__(self, grad):
            return None

    holder = Holder(t)
    t.register_hook(holder)
    dead = weakref.ref(holder), weakref.ref(t)
    del holder, t, x
    gc.collect()
    assert [ref() for ref in dead] == [None, None]


def test_a_hook_that_refers_to_its_own_handle_is_collected():
    class Once:
        def __call__(self, grad):
            self.handle.remove()

    x = lamina.ones(2, requires_grad=True)
    once = Once()
    once.handle = x.register_hook(once)
    dead = weakref.ref(once)
    (x * 2).sum().backward()
    del once, x
    gc.collect()
    assert dead() is None


def test_a_hook_lives_on_without_the_object_it_was_registered_on():
    x = lamina.ones(1, requires_grad=True)
    y = x * 2
    calls = []
    handle = y.register_hook(lambda g: calls.append(1))
    z = y * 2
    del y
    gc.collect()
    z.backward(lamina.ones(1), retain_graph=True)
    assert calls == [1]
    handle.remove()
    z.backward(lamina.ones(1))
    assert calls == [1]


def test_many_hooks_that_come_and_go_leave_nothing():
    p = lamina.ones(1, requires_grad=True)

    def hook(grad):
        return None

    alive = weakref.ref(hook)
    for _ in range(100):
        p.register_hook(hook).remove()
    del hook
    assert alive() is None


def test_backward_lets_other_threads_run():
    x = lamina.ones(1, requires_grad=True)
    entered, release = threading.Event(), threading.Event()

    def hook(grad):
        entered.set()
        assert release.wait(10)  # needs the main thread, hence the GIL is shared

    x.register_hook(hook)
    worker = threading.Thread(target=lambda: (x * 2).sum().backward())
    worker.start()
    assert entered.wait(10)
    assert lamina.ones(2).sum().item() == 2.0
    release.set()
    worker.join(10)
    assert not worker.is_alive()
    assert x.grad.item() == 2.0


# -- gradients as attributes ---------------------------------------------------------------------


def test_grad_can_be_set_and_deleted():
    x = lamina.zeros(2, requires_grad=True)
    assert x.grad is None
    x.grad = lamina.ones(2)
    assert x.grad.tolist() == [1.0, 1.0]
    del x.grad
    assert x.grad is None
    with pytest.raises(ValueError, match="grad: must have the tensor's sizes"):
        x.grad = lamina.ones(3)
    with pytest.raises(TypeError, match="grad must be a Tensor or None, got int"):
        x.grad = 1


def test_requires_grad_is_settable_on_leaves():
    x = lamina.zeros(2)
    x.requires_grad = True
    assert x.requires_grad
    assert x.is_leaf
    assert x.requires_grad_(False) is x
    assert not x.requires_grad
    with pytest.raises(TypeError, match="requires_grad must be a bool, got int"):
        x.requires_grad = 1
    with pytest.raises(TypeError, match="requires_grad must be a bool, got nothing"):
        del x.requires_grad


def test_data_shares_memory_and_may_be_replaced():
    p = lamina.ones(2, requires_grad=True)
    p.data.mul_(5)
    assert p.tolist() == [5.0, 5.0]
    assert not p.data.requires_grad
    p.data = lamina.zeros(3, dtype=lamina.float64)
    assert p.shape == (3,)
    assert p.dtype is lamina.float64
    assert p.requires_grad
    (p * 2).sum().backward()
    assert p.grad.dtype is lamina.float64


def test_grad_fn_names_the_op_and_leads_to_its_inputs():
    x = lamina.ones(2, requires_grad=True)
    y = x * 2
    z = y.exp()
    assert repr(z.grad_fn) == "<exp>"
    assert z.grad_fn.name() == "exp"
    (after,) = [edge for edge in z.grad_fn.next_functions if edge[0] is not None]
    assert after == (y.grad_fn, 0)
    assert hash(y.grad_fn) == hash(after[0])
    assert x.grad_fn is None
    assert x.is_leaf
    assert not z.is_leaf


def test_retain_grad_and_detach_in_place():
    x = lamina.ones(2, requires_grad=True)
    y = x * 2
    y.retain_grad()
    assert y.retains_grad
    y.sum().backward()
    assert y.grad.tolist() == [1.0, 1.0]
    z = x * 2
    assert z.detach_() is z
    assert z.is_leaf
    assert not z.requires_grad


def test_version_counts_writes():
    x = lamina.ones(2)
    before = x._version
    x.add_(1)
    x[0] = 3.0
    assert x._version == before + 2 == x[0]._version
