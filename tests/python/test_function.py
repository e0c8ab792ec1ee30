"""`autograd.Function`: operations whose forward and backward are written in Python."""

from __future__ import annotations

import gc
import weakref

import lamina
import pytest
from lamina import autograd
from lamina.autograd.function import once_differentiable


def leaf(values):
    return lamina.tensor(values, dtype=lamina.float64, requires_grad=True)


class Cube(autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * 3 * x**2


class Exp(autograd.Function):
    """Saves its output."""

    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[0]


class Scale(autograd.Function):
    """In the form with setup_context; a number and an optional tensor among the arguments."""

    @staticmethod
    def forward(x, factor, shift):
        y = x * factor
        return y if shift is None else y + shift

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, ctx.factor, shift = inputs
        ctx.save_for_backward(shift)
        ctx.sizes = tuple(output.shape)

    @staticmethod
    def backward(ctx, grad):
        (shift,) = ctx.saved_tensors
        assert tuple(grad.shape) == ctx.sizes
        return grad * ctx.factor, None, grad if shift is not None else None


class TwoOutputs(autograd.Function):
    """Sine and cosine, and where the sine is positive."""

    @staticmethod
    def forward(ctx, x):
        s, c, sign = x.sin(), x.cos(), (x.sin() > 0).double()
        ctx.save_for_backward(s, c)
        ctx.mark_non_differentiable(sign)
        return s, c, sign

    @staticmethod
    def backward(ctx, gs, gc_, gsign):
        assert gsign.tolist() == [0.0] * len(gsign)
        s, c = ctx.saved_tensors
        return gs * c - gc_ * s


X = [0.3, -1.2, 2.0]


def test_gradients_first_and_second():
    for function in (Cube.apply, Exp.apply, lambda x: TwoOutputs.apply(x)[:2]):
        assert autograd.gradcheck(function, leaf(X))
        assert autograd.gradgradcheck(function, leaf(X))
    assert autograd.gradcheck(Scale.apply, (leaf(X), 2.5, leaf(X)))
    assert autograd.gradgradcheck(Scale.apply, (leaf(X), 2.5, leaf(X)))
    assert Scale.apply(leaf(X), 2.0, None).tolist() == [0.6, -2.4, 4.0]


def test_third_derivative_through_a_saved_output():
    x = leaf(0.7)
    y = Exp.apply(x)
    for _ in range(3):
        (y,) = autograd.grad(y, x, create_graph=True)
    assert y.item() == pytest.approx(2.013752707470477, rel=1e-15)  # exp(0.7)


def test_it_is_a_node_of_the_graph():
    x = leaf(X)
    y = Cube.apply(x * 2)
    assert y.grad_fn.name() == "Cube"
    assert [(n.name(), nr) for n, nr in y.grad_fn.next_functions] == [("mul", 0)]
    assert not y.is_leaf
    s, c, sign = TwoOutputs.apply(x)
    assert s.grad_fn == c.grad_fn
    assert (s.requires_grad, c.requires_grad, sign.requires_grad) == (True, True, False)
    c.sum().backward()
    assert x.grad.tolist() == (-x.detach().sin()).tolist()


def test_needs_input_grad_and_who_is_recorded():
    seen = []

    class Product(autograd.Function):
        @staticmethod
        def forward(ctx, x, y, n):
            seen.append((ctx.needs_input_grad, lamina.is_grad_enabled()))
            ctx.save_for_backward(x, y)
            return x * y * n

        @staticmethod
        def backward(ctx, grad):
            seen.append((ctx.needs_input_grad, lamina.is_grad_enabled()))
            x, y = ctx.saved_tensors
            return grad * y * 2, grad * x * 2, None

    x, y = leaf(X), lamina.tensor(X, dtype=lamina.float64)
    Product.apply(x, y, 2).sum().backward()
    assert seen == [((True, False, False), False), ((True, False, False), False)]
    assert x.grad.tolist() == (y * 2).tolist()
    assert y.grad is None
    autograd.grad(Product.apply(x, y, 2).sum(), x, create_graph=True)
    assert seen[-1] == ((True, False, False), True)
    assert Product.apply(y, y, 2).grad_fn is None
    with lamina.no_grad():
        assert Product.apply(x, y, 2).grad_fn is None


def test_unused_outputs_have_zero_gradients_or_none():
    seen = []

    class Split(autograd.Function):
        @staticmethod
        def forward(ctx, x, zeros):
            ctx.set_materialize_grads(zeros)
            return x * 1, x * 2

        @staticmethod
        def backward(ctx, a, b):
            seen.append((a if a is None else a.tolist(), b.tolist()))
            return b * 2, None

    for zeros in (True, False):
        Split.apply(leaf([1.0, 2.0]), zeros)[1].sum().backward()
    assert seen == [([0.0, 0.0], [1.0, 1.0]), (None, [1.0, 1.0])]


def test_outputs_that_are_integers_or_no_tensors():
    seen = []

    class Peak(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x.argmax())
            ctx.size = len(x)
            return x.argmax(), x.max(), "text"

        @staticmethod
        def backward(ctx, position, peak, text):
            seen.append((position.tolist(), position.dtype, text))
            one_hot = lamina.arange(ctx.size) == ctx.saved_tensors[0]
            return peak * one_hot

    x = leaf(X)
    position, peak, text = Peak.apply(x)
    assert (position.requires_grad, peak.requires_grad, text) == (False, True, "text")
    peak.backward()
    assert x.grad.tolist() == [0.0, 0.0, 1.0]
    assert seen == [(0, lamina.int64, None)]


def test_gradients_are_brought_to_the_inputs_sizes_and_dtype():
    class Add(autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, grad):
            return grad, grad.double()

    x, y = lamina.ones(2, 3, requires_grad=True), lamina.ones(3, requires_grad=True)
    Add.apply(x, y).sum().backward()
    assert y.grad.tolist() == [2.0, 2.0, 2.0]
    assert y.grad.dtype == lamina.float32


# -- in place, views, identities ------------------------------------------------------------------


class InPlace(autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(2)

    @staticmethod
    def backward(ctx, grad):
        return grad * 2


def test_an_input_written_in_place():
    x = leaf(X)
    y = x * 1
    version = y._version
    z = InPlace.apply(y)
    assert z is y
    assert y.grad_fn.name() == "InPlace"
    assert y._version > version
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]
    base = x * 1
    InPlace.apply(base[1:])  # through a view
    x.grad = None
    base.sum().backward()
    assert x.grad.tolist() == [1.0, 2.0, 2.0]
    with pytest.raises(RuntimeError, match=r"^InPlace: a leaf that requires grad can't be written"):
        InPlace.apply(x)


def test_dirty_inputs_must_come_back():
    class Loses(InPlace):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.mul_(2) + 1

    with pytest.raises(RuntimeError, match=r"^Loses: forward marked a tensor dirty but does "):
        Loses.apply(leaf(X) * 1)


def test_an_input_that_is_returned_keeps_its_own_history():
    class Reverse(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, grad):
            return -grad

    x = leaf(X)
    y = Reverse.apply(x)
    assert y is not x
    assert x.is_leaf
    assert y.data_ptr() == x.data_ptr()
    (y.sum() + x.sum()).backward()
    assert x.grad.tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(RuntimeError, match=r"^mul_: this view was made under no_grad"):
        y.mul_(2)


# -- what is saved ---------------------------------------------------------------------------------


def test_what_was_saved_must_not_be_written():
    x = leaf(X) * 1
    y = Cube.apply(x)
    x.add_(1)
    with pytest.raises(
        RuntimeError, match=r"^Cube: backward needs its input .* but add_ has chang"
    ):
        y.sum().backward()
    y = Exp.apply(leaf(X))
    y.mul_(2)
    with pytest.raises(RuntimeError, match=r"^Exp: backward needs its output .* but mul_ has chan"):
        y.sum().backward()


def test_a_freed_graph_says_what_to_do():
    y = Cube.apply(leaf(X)).sum()
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(RuntimeError, match=r"^Cube: backward .* second time(.|\n)*retain_graph"):
        y.backward()


def test_nothing_is_left_behind():
    class Held:
        pass

    class Keeps(Cube):
        @staticmethod
        def forward(ctx, x):
            ctx.held = Held()
            alive.append(weakref.ref(ctx.held))
            return Cube.forward(ctx, x)

    alive = []
    Keeps.apply(leaf(X))
    Keeps.apply(leaf(X)).sum().backward()
    gc.collect()
    assert [held() for held in alive] == [None, None]


# -- errors ----------------------------------------------------------------------------------------


def returning(value):
    class Bad(autograd.Function):
        @staticmethod
        def forward(ctx, x, n):
            return x * n

        @staticmethod
        def backward(ctx, grad):
            return value(grad) if callable(value) else value

    return lambda: Bad.apply(leaf(X), 2).sum().backward()


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (
            lambda g: g,
            RuntimeError,
            r"^Bad: backward returned 1 gradient\(s\), but forward has 2 argument\(s\); return",
        ),
        (lambda g: (g, None, g), RuntimeError, r"^Bad: backward returned 3 gradient\(s\)"),
        (
            lambda g: (g[:2], None),
            ValueError,
            r"^Bad: .* gradient of other sizes than argument 0 of (.|\n)*\[3\]\n  gradient \[2\]",
        ),
        (
            lambda g: (1.5, None),
            TypeError,
            "^Bad: backward must return Tensors or None, got float for argument 0",
        ),
    ],
)
def test_a_backward_that_returns_the_wrong_thing(value, error, text):
    with pytest.raises(error, match=text):
        returning(value)()


def test_extra_nones_are_fine():
    returning(lambda g: (g, None, None))()


def test_a_forward_that_is_wrong():
    class Lists(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return [x]

    class Saves(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x, 3)

    with pytest.raises(TypeError, match=r"^Lists: forward must return a Tensor or a tuple .*list"):
        Lists.apply(leaf(X))
    with pytest.raises(TypeError, match=r"^Saves: save_for_backward takes .* int at position 1"):
        Saves.apply(leaf(X))
    with pytest.raises(TypeError, match=r"^Cube: a Function is never made .* Cube.apply"):
        Cube()
    with pytest.raises(NotImplementedError, match="must define the static method forward"):
        autograd.Function.apply(leaf(X))


def test_an_error_of_ones_own_comes_through():
    class Fails(Cube):
        @staticmethod
        def backward(ctx, grad):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        Fails.apply(leaf(X)).sum().backward()


def test_once_differentiable():
    class Sine(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        @once_differentiable
        def backward(ctx, grad):
            assert not lamina.is_grad_enabled()
            return grad * ctx.saved_tensors[0].cos()

    x = leaf(X)
    assert autograd.gradcheck(Sine.apply, x)
    (first,) = autograd.grad(Sine.apply(x).sum(), x, create_graph=True)
    assert first.tolist() == x.detach().cos().tolist()
    with pytest.raises(RuntimeError, match=r"^Sine: its backward is marked @once_differ"):
        first.sum().backward()
