"""`lamina.autograd`: backward, grad, grad modes, gradcheck; and what `import lamina` costs."""

from __future__ import annotations

import math
import subprocess
import sys
import threading

import lamina
import pytest
from lamina import autograd


def leaf(values, dtype=lamina.float64):
    return lamina.tensor(values, dtype=dtype, requires_grad=True)


# -- import -----------------------------------------------------------------------------------


def test_import_loads_nothing_heavy():
    code = (
        "import sys; before = set(sys.modules); import lamina\n"
        "heavy = {'numpy', 'rich', 'matplotlib', 'safetensors', 'click', 'difflib', 'inspect'}\n"
        "print(sorted(heavy & (set(sys.modules) - before)))\n"
        "import numpy; print('numpy' in before)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split("\n")[:2] == ["[]", "False"]


def test_lazy_parts_arrive_when_asked_for():
    assert lamina.utils.data.DataLoader.__module__ == "lamina.utils.data.loader"
    assert callable(lamina.save)
    assert callable(lamina.load)
    assert {"utils", "datasets", "train", "save", "load", "relu"} <= set(dir(lamina))


def test_every_native_name_has_a_public_home():
    """Whoever binds an op decides where users find it, or says here that they do not."""
    homes = [lamina, lamina.nn.functional, autograd]
    behind_the_scenes = {
        "Node",
        "RemovableHandle",
        "batch_norm_act",
        "clip_grad_norm_",
        "clip_grad_value_",
        "clip_grads_with_norm_",
        "gather_rows",
        "col2im",
        "conv_act",
        "im2col",
        "grad_norm",
        "lerp_many",
        "linear_act",
        "optimizer_fits",
        "optimizer_group",
        "optimizer_step",
        "run_layers",
        "set_layers",
        "total_norm",
        "touched_rows",
        "zero_grad",
    }
    native = {name for name in dir(lamina._core) if not name.startswith("_")}
    public = set().union(*map(vars, homes)) | {"LinAlgError"}
    public |= {f"linalg_{name}" for name in lamina.linalg.__all__}
    homeless = native - public
    assert homeless <= behind_the_scenes


@pytest.mark.parametrize(
    ("module", "name", "text"),
    [
        (
            lamina,
            "mattmul",
            r"^lamina has no 'mattmul' \(PyTorch's torch.mattmul\); nearest: matmul",
        ),
        (
            lamina.nn,
            "Liner",
            r"^lamina.nn has no 'Liner' \(PyTorch's torch.nn.Liner\); nearest: Lin",
        ),
        (lamina.optim, "Adamm", r"^lamina.optim has no 'Adamm' .*nearest: Adam"),
        (lamina.nn.functional, "rlu", r"^lamina.nn.functional has no 'rlu' .*nearest: .*relu"),
        (lamina.nn.init, "eyes_", r"^lamina.nn.init has no 'eyes_' .*nearest: eye_"),
        (lamina.autograd, "grads", r"^lamina.autograd has no 'grads' .*nearest: grad"),
        (lamina, "qqqqqqq", r"^lamina has no 'qqqqqqq' \(PyTorch's torch.qqqqqqq\)$"),
        (lamina, "__qqq__", r"^module 'lamina' has no attribute '__qqq__'$"),
    ],
)
def test_an_absent_name_says_what_is_near(module, name, text):
    with pytest.raises(AttributeError, match=text):
        getattr(module, name)


# -- backward and grad ------------------------------------------------------------------------


def test_backward_adds_into_leaves():
    x = leaf([1.0, 2.0])
    y = x * x
    autograd.backward([y, y.sum()], [lamina.tensor([1.0, 10.0], dtype=lamina.float64), None])
    assert x.grad.tolist() == [2.0 * (1 + 1), 4.0 * (10 + 1)]
    autograd.backward(x.sum())
    assert x.grad.tolist() == [5.0, 45.0]


def test_grad_returns_and_leaves_grad_alone():
    x, y = leaf([3.0]), leaf([5.0])
    gx, gy = autograd.grad((x * y).sum(), [x, y])
    assert (gx.tolist(), gy.tolist()) == ([5.0], [3.0])
    assert x.grad is None
    assert y.grad is None
    assert not gx.requires_grad


def test_grad_of_grad():
    x = leaf(2.0)
    (first,) = autograd.grad(x**4, x, create_graph=True)
    (second,) = autograd.grad(first, x, create_graph=True)
    (third,) = autograd.grad(second, x)
    assert [first.item(), second.item(), third.item()] == [32.0, 48.0, 48.0]


def test_unused_inputs():
    x, other = leaf([1.0]), leaf([1.0, 1.0])
    y = x.sum()
    with pytest.raises(RuntimeError):
        autograd.grad(y, [x, other], retain_graph=True)
    assert autograd.grad(y, [x, other], retain_graph=True, allow_unused=True)[1] is None
    zeros = autograd.grad(y, [x, other], retain_graph=True, materialize_grads=True)[1]
    assert zeros.tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="materialize_grads=True needs allow_unused"):
        autograd.grad(y, x, allow_unused=False, materialize_grads=True)


def test_graph_is_freed_unless_kept():
    x = leaf([1.0])
    y = (x * x).sum()
    autograd.backward(y, retain_graph=True)
    autograd.backward(y)
    assert x.grad.tolist() == [4.0]
    with pytest.raises(RuntimeError):
        autograd.backward(y)


@pytest.mark.parametrize("function", [autograd.backward, lambda t, g=None: autograd.grad(t, t, g)])
def test_lists_must_fit(function):
    y = leaf([1.0]).sum()
    with pytest.raises(ValueError, match="expected at least one tensor, got none"):
        function([])
    with pytest.raises(ValueError, match=r"1 output\(s\) but 2 gradient\(s\)"):
        function([y], [None, None])


# -- grad modes -------------------------------------------------------------------------------


def test_modes_nest_and_are_put_back():
    assert lamina.is_grad_enabled()
    with lamina.no_grad():
        assert not lamina.is_grad_enabled()
        with lamina.enable_grad():
            assert lamina.is_grad_enabled()
            with lamina.set_grad_enabled(False), lamina.inference_mode(False):
                assert lamina.is_grad_enabled()
        assert not lamina.is_grad_enabled()
    assert lamina.is_grad_enabled()
    with pytest.raises(KeyError), lamina.no_grad():
        raise KeyError
    assert lamina.is_grad_enabled()


def test_no_grad_records_nothing():
    x = leaf([1.0])
    with lamina.no_grad():
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad


def test_one_object_may_be_entered_again():
    mode = lamina.no_grad()
    with mode:
        pass
    with mode:
        assert not lamina.is_grad_enabled()
    assert lamina.is_grad_enabled()


def test_set_grad_enabled_acts_at_once():
    lamina.set_grad_enabled(False)
    try:
        assert not lamina.is_grad_enabled()
    finally:
        lamina.set_grad_enabled(True)
    assert lamina.is_grad_enabled()
    with pytest.raises(TypeError, match="mode must be a bool, got 1"):
        lamina.set_grad_enabled(1)


@pytest.mark.parametrize(
    ("decorator", "inside"),
    [
        (lamina.no_grad(), False),
        (lamina.no_grad, False),
        (lamina.enable_grad(), True),
        (lamina.enable_grad, True),
        (lamina.inference_mode(), False),
        (lamina.inference_mode, False),
    ],
)
def test_decorators(decorator, inside):
    @decorator
    def function(value, *, key):
        """What it does."""
        return lamina.is_grad_enabled(), value, key

    assert function.__name__ == "function"
    assert function.__doc__ == "What it does."
    for outside in (True, False):
        with lamina.set_grad_enabled(outside):
            assert function(1, key=2) == (inside, 1, 2)
            assert lamina.is_grad_enabled() is outside


def test_set_grad_enabled_as_decorator_changes_nothing_by_itself():
    @lamina.set_grad_enabled(False)
    def function():
        return lamina.is_grad_enabled()

    assert lamina.is_grad_enabled()
    assert function() is False
    assert lamina.is_grad_enabled()


def test_generators_run_in_their_mode_and_their_caller_in_its_own():
    seen = []

    @lamina.no_grad()
    def numbers():
        try:
            got = yield lamina.is_grad_enabled()
            seen.append((got, lamina.is_grad_enabled()))
            try:
                yield "second"
            except KeyError:
                seen.append(("thrown", lamina.is_grad_enabled()))
                yield "third"
        finally:
            seen.append(("closed", lamina.is_grad_enabled()))
        return "never reached by close"

    generator = numbers()
    assert next(generator) is False
    assert lamina.is_grad_enabled()
    assert generator.send(7) == "second"
    assert generator.throw(KeyError) == "third"
    assert lamina.is_grad_enabled()
    generator.close()
    assert seen == [(7, False), ("thrown", False), ("closed", False)]

    @lamina.no_grad()
    def returns():
        yield 1
        return 2

    def delegate():
        return (yield from returns())

    outer = delegate()
    next(outer)
    with pytest.raises(StopIteration) as stop:
        next(outer)
    assert stop.value.value == 2


def test_the_mode_belongs_to_a_thread():
    seen = []
    with lamina.no_grad():
        thread = threading.Thread(target=lambda: seen.append(lamina.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


# -- gradcheck --------------------------------------------------------------------------------


class Scaled:
    """Multiplies by 2 forward while its gradient is that of a factor ``claimed``."""

    def __init__(self, claimed):
        self.claimed = claimed

    def __call__(self, x, y):
        difference = (2.0 - self.claimed) * x.detach()
        return y.sum(), x * self.claimed + difference


def test_gradcheck_passes_what_is_right():
    x, y = leaf([[0.3, -1.2], [2.0, 0.7]]), leaf([1.0])
    assert autograd.gradcheck(Scaled(2.0), (x, y))
    assert autograd.gradcheck(lambda a, n: a.tanh() * n, (x, 3))
    assert autograd.gradcheck(lambda a: a.T.exp().sum(0), x)
    assert x.tolist() == [[0.3, -1.2], [2.0, 0.7]]  # put back to the last bit
    assert x.grad is None


def test_gradcheck_says_where_it_is_wrong():
    x, y = leaf([0.5, 1.5]), leaf([1.0])
    with pytest.raises(autograd.GradcheckError) as caught:
        autograd.gradcheck(Scaled(1.5), (x, y))
    lines = str(caught.value).split("\n")
    assert lines[0] == "gradcheck: the gradient of output 1 with respect to input 0 is wrong"
    assert lines[1] == "  at         output [0], input [0]"
    assert math.isclose(float(lines[2].removeprefix("  numerical  ")), 2.0, rel_tol=1e-8)
    assert lines[3] == "  analytical 1.5"
    assert autograd.gradcheck(Scaled(1.5), (x, y), raise_exception=False) is False
    # 0.5 is off by what atol + rtol * 2 = 0.502 allows
    assert autograd.gradcheck(Scaled(1.5), (x, y), atol=0.5)


def test_gradcheck_sees_a_gradient_that_is_missing_or_nan():
    x = leaf([0.5])
    with pytest.raises(autograd.GradcheckError, match=r"analytical 0.0"):
        autograd.gradcheck(lambda a: (a * 2).detach(), x)
    with pytest.raises(autograd.GradcheckError, match="analytical nan"):
        autograd.gradcheck(lambda a: (a * 0).sqrt(), x)  # 0 everywhere, but by way of inf * 0


def test_gradcheck_refuses_what_it_cannot_check():
    with pytest.raises(ValueError, match="no input requires grad"):
        autograd.gradcheck(lambda a: a, lamina.ones(2, dtype=lamina.float64))
    with pytest.raises(ValueError, match="no floating point tensor"):
        autograd.gradcheck(lambda a: (), leaf([1.0]))
    with pytest.warns(UserWarning, match=r"input 0 is .*float32"):
        autograd.gradcheck(lambda a: a * 0, leaf([1.0], lamina.float32))


def test_gradgradcheck():
    x, y = leaf([[0.3, -1.2], [2.0, 0.7]]), leaf([0.5, 0.25])
    assert autograd.gradgradcheck(lambda a, b: (a * b).exp(), (x, y))
    assert autograd.gradgradcheck(lambda a: a**3, x, lamina.ones_like(x).requires_grad_())

    def wrong_second(a):  # the first derivative is right, but its x is taken for a constant
        return a * a.detach() + (a * a.detach()) - (a * a).detach()

    assert autograd.gradcheck(wrong_second, x)
    with pytest.raises(autograd.GradcheckError, match="with respect to input 0 is wrong"):
        autograd.gradgradcheck(wrong_second, x)
    assert autograd.gradgradcheck(wrong_second, x, raise_exception=False) is False


def test_gradgradcheck_leaves_the_random_stream_alone():
    lamina.manual_seed(3)
    expected = lamina.rand(4).tolist()
    lamina.manual_seed(3)
    autograd.gradgradcheck(lambda a: a.exp(), leaf([0.5, 1.0]))
    assert lamina.rand(4).tolist() == expected
