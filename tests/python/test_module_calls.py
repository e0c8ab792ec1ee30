"""Calling a module: its hooks, and the layer's path in the errors of a call."""

from __future__ import annotations

import pickle

import lamina
import pytest
from lamina import nn
from lamina.nn import _hooks

# -- hooks ---------------------------------------------------------------------------------------


def test_forward_hooks():
    log = []
    linear = nn.Linear(2, 1)
    x = lamina.ones(1, 2)
    linear.weight.data.copy_(lamina.tensor([[1.0, 2.0]]))
    linear.bias.data.fill_(0.5)
    plain = 3.5
    assert linear(x).item() == plain
    after = linear.register_forward_hook(lambda m, a, y: log.append((m, a[0], y.item())))
    linear.register_forward_hook(lambda m, a, y: y + 1)
    linear.register_forward_hook(lambda m, a, y: log.append("first"), prepend=True)
    assert linear(x).item() == plain + 1
    assert log == ["first", (linear, x, plain)]
    after.remove()
    after.remove()
    linear(x)
    assert log[2:] == ["first"]
    twice = linear.register_forward_pre_hook(lambda m, a: a[0] * 2)
    with twice:
        doubled = linear(x).item()
    assert doubled == linear(x * 2).item() != linear(x).item()


def test_hooks_with_keywords():
    class Add(nn.Module):
        def forward(self, x, *, y):
            return x + y

    add = Add()
    add.register_forward_pre_hook(lambda m, a, k: (a, {"y": k["y"] * 10}), with_kwargs=True)
    add.register_forward_hook(lambda m, a, k, out: (out, k["y"]), with_kwargs=True)
    assert add(1, y=2) == (21, 20)
    add.register_forward_pre_hook(lambda m, a, k: 3, with_kwargs=True)
    with pytest.raises(TypeError, match=r"must return None or a pair \(args, kwargs\), got int"):
        add(1, y=2)


class Fails(nn.Module):
    def forward(self, x, fails=True):
        if fails:
            raise ValueError("no")
        return x + 1


def test_hooks_that_are_always_called():
    seen = []
    module = Fails()
    module.register_forward_hook(lambda m, a, y: seen.append("plain"))
    handle = module.register_forward_hook(lambda m, a, y: seen.append((a, y)), always_call=True)
    module.register_forward_hook(
        lambda m, a, k, y: 1 / 0 if y is None else y * 10, always_call=True, with_kwargs=True
    )
    with pytest.raises(ValueError, match=r"^no"):  # not the second hook's ZeroDivisionError
        module(1)
    assert seen == [((1,), None)]
    assert module(1, False) == 20  # there it is a hook like others
    assert seen[1:] == ["plain", ((1, False), 2)]
    module.register_forward_hook(lambda m, a, y: [].pop(), prepend=True)
    with pytest.raises(IndexError, match="empty list"):  # a hook before it failed
        module(2, False)
    assert seen[3:] == [((2, False), 3)]
    handle.remove()
    with pytest.raises(ValueError, match=r"^no"):
        module(1)
    assert len(seen) == 4


def test_a_hook_is_not_lost_to_one_of_an_unpickled_module():
    module = Fails()
    module.register_forward_hook(always_two)
    twin = pickle.loads(pickle.dumps(module))
    key = next(iter(twin._hooks.after))
    _hooks._keys, kept = iter([key, key + 1]), _hooks._keys  # as a new process counts
    try:
        twin.register_forward_hook(lambda m, a, y: y + 1)
    finally:
        _hooks._keys = kept
    assert twin(1, False) == 3


def always_two(module, args, output):
    return 2


def test_a_module_without_hooks_has_no_hook_table():
    linear = nn.Linear(2, 1)
    assert linear._hooks is None
    handles = [
        linear.register_forward_hook(print),
        linear.register_forward_pre_hook(print),
        linear.register_full_backward_hook(print),
        linear.register_full_backward_pre_hook(print),
    ]
    assert linear._hooks is not None
    for handle in handles:
        handle.remove()
    assert linear._hooks is None


def values(gradients):
    return [None if g is None else g.tolist() for g in gradients]


def test_full_backward_hook():
    seen = []
    linear = nn.Linear(2, 2, bias=False)
    linear.weight.data.copy_(lamina.tensor([[1.0, 2.0], [3.0, 4.0]]))
    linear.register_full_backward_hook(lambda m, gi, go: seen.append((m, values(gi), values(go))))
    x = lamina.tensor([[1.0, 1.0]], requires_grad=True)
    # x also reaches the result past the layer: the hook must not see that part.
    (linear(x) * lamina.tensor([[1.0, 10.0]]) + x * 100).sum().backward()
    assert seen == [(linear, [[[31.0, 42.0]]], [[[1.0, 10.0]]])]
    assert x.grad.tolist() == [[131.0, 142.0]]
    assert linear.weight.grad.tolist() == [[1.0, 1.0], [10.0, 10.0]]
    linear(lamina.ones(1, 2)).sum().backward()  # no input requires grad
    assert seen[1] == (linear, [None], [[[1.0, 1.0]]])
    with lamina.no_grad():
        assert not linear(x).requires_grad
    assert len(seen) == 2


def test_full_backward_hook_changes_the_gradient():
    tanh = nn.Identity()
    tanh.register_full_backward_hook(lambda m, gi, go: (gi[0] * 2,))
    tanh.register_full_backward_hook(lambda m, gi, go: gi[0] + 1)
    x = lamina.ones(2, requires_grad=True)
    tanh(x).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    tanh.register_full_backward_hook(lambda m, gi, go: (gi[0], None))
    with pytest.raises(RuntimeError, match=r"returned 2 gradient\(s\) for 1 input"):
        tanh(x).sum().backward()


def test_full_backward_pre_hook():
    linear = nn.Linear(2, 1, bias=False)
    linear.weight.data.copy_(lamina.tensor([[1.0, 2.0]]))
    seen = []
    linear.register_full_backward_pre_hook(lambda m, go: (go[0] * 2,))
    linear.register_full_backward_pre_hook(lambda m, go: go[0] + 1, prepend=True)
    linear.register_full_backward_pre_hook(lambda m, go: seen.append(values(go)))
    linear.register_full_backward_hook(lambda m, gi, go: seen.append((values(gi), values(go))))
    x = lamina.tensor([[1.0, 3.0]], requires_grad=True)
    linear(x).sum().backward()
    # (1 + 1) * 2 arrives, for the input and for the weight
    assert seen == [[[[4.0]]], ([[[4.0, 8.0]]], [[[4.0]]])]
    assert x.grad.tolist() == [[4.0, 8.0]]
    assert linear.weight.grad.tolist() == [[4.0, 12.0]]
    linear.register_full_backward_pre_hook(lambda m, go: (go[0], None))
    with pytest.raises(RuntimeError, match=r"pre-hook returned 2 gradient\(s\) for 1 output"):
        linear(x).sum().backward()


def test_full_backward_hook_with_many_inputs_and_outputs():
    class Mix(nn.Module):
        def forward(self, x, factor, y):
            return x * factor + y.sum(), y * factor

    seen = []
    mix = Mix()

    def hook(module, grad_input, grad_output):
        seen.append((values(grad_input), values(grad_output)))
        return grad_input[0] * 10, None, grad_input[2]

    mix.register_full_backward_hook(hook)
    x = lamina.ones(2, requires_grad=True)
    y = lamina.ones(1, 3, requires_grad=True)
    first, second = mix(x, 3, y)
    (first.sum() + (second * 5).sum()).backward()
    # y reaches both sums: twice through y.sum(), and by 3 * 5 through the second output.
    assert seen == [([[3.0, 3.0], None, [[17.0] * 3]], [[1.0, 1.0], [[5.0] * 3]])]
    assert x.grad.tolist() == [30.0, 30.0]
    assert y.grad.tolist() == [[17.0] * 3]


# -- the layer's path in errors --------------------------------------------------------------------


class AutoEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(784, 512), nn.ReLU())

    def forward(self, x):
        return self.encoder(x)


def test_an_error_names_the_layer():
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below
        AutoEncoder()(lamina.zeros(32, 20))
    assert str(caught.value) == (
        "linear: input has 20 features but weight expects 784\n"
        "  input  [32, 20]\n"
        "  weight [512, 784]\n"
        "  in     model.encoder.0 (Linear)"
    )


class Raises(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, x):
        raise self.error


def raised(model):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the text is compared by the callers
        model(None)
    return caught.value


@pytest.mark.parametrize("kind", [ValueError, TypeError, IndexError, RuntimeError, OverflowError])
def test_the_error_stays_the_same_object(kind):
    error = kind("what")
    model = nn.Sequential(nn.Identity(), nn.Sequential(Raises(error)))
    assert raised(model) is error
    annotated = "what\n  in     model.1.0 (Raises)"
    assert str(error) == ("what" if kind is OverflowError else annotated)


def test_a_layer_called_alone_is_named_by_its_class():
    assert str(raised(Raises(ValueError("what")))) == "what\n  in     Raises"


def test_the_label_is_aligned():
    error = raised(nn.Sequential(Raises(ValueError("what\n  target_size [3]"))))
    assert str(error) == "what\n  target_size [3]\n  in          model.0 (Raises)"


def test_a_layer_that_is_no_registered_child():
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [Raises(ValueError("what"))]

        def forward(self, x):
            return self.layers[0](x)

    assert str(raised(Hidden())) == "what\n  in     model.<Raises> (Raises)"


def test_raising_again_does_not_double_the_line():
    error = ValueError("what")
    model = nn.Sequential(Raises(error))
    for _ in range(3):
        assert raised(model) is error
        assert str(error) == "what\n  in     model.0 (Raises)"

    class Catches(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            try:
                return self.inner(x)
            except ValueError as caught:
                raise caught from None

    assert str(raised(Catches(model))) == "what\n  in     model.inner.0 (Raises)"


def test_other_errors_are_left_alone():
    several = ValueError("what", 3)
    assert raised(nn.Sequential(Raises(several))) is several
    assert several.args == ("what", 3)
    bad = UnicodeDecodeError("ascii", b"\xff", 0, 1, "why")
    assert raised(nn.Sequential(Raises(bad))) is bad
    assert "why" in str(bad)
    assert str(raised(nn.Sequential(Raises(KeyError("k"))))) == "'k'"

    class Endless(nn.Module):
        def forward(self, x):
            return self(x)

    assert isinstance(raised(Endless()), RecursionError)


def test_an_annotated_error_pickles():
    error = raised(nn.Sequential(Raises(ValueError("what"))))
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
