"""The cases that break tensor libraries: aliasing, long graphs, threads, fork, cycles, memory."""

from __future__ import annotations

import gc
import multiprocessing
import os
import re
import subprocess
import sys
import threading
import weakref

import lamina
import lamina.nn.functional as F
import numpy as np
import pytest
from lamina import _core, autograd, nn, optim

F64 = lamina.float64
TIGHT = {"eps": 1e-5, "rtol": 1e-6, "atol": 2e-9}


def leaf(values, dtype=F64):
    return lamina.tensor(values, dtype=dtype, requires_grad=True)


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-2, 2, shape)


# -- layouts and overlaps --------------------------------------------------------------------------


def test_broadcast_op_on_a_transposed_sliced_offset_input():
    a, b = numbers(7, 9), numbers(2, 1, 3, seed=1)
    x, y = leaf(a), leaf(b)

    def view(t):
        return t.T[1::3, 2:7:2]  # [3, 3], strides of both signs of neighbours, an offset

    def loss(x, y):
        return (view(x) * y - y.exp()) ** 2

    assert view(x).storage_offset() == 2 * 9 + 1
    assert not view(x).is_contiguous()
    wanted = (a.T[1::3, 2:7:2] * b - np.exp(b)) ** 2
    np.testing.assert_allclose(loss(x, y).detach().numpy(), wanted, rtol=1e-14)
    assert autograd.gradcheck(loss, (x, y), **TIGHT)
    loss(x, y).sum().backward()
    seen = np.zeros((9, 7), bool)
    seen[1::3, 2:7:2] = True
    assert ((x.grad.numpy() != 0) == seen.T).all()


@pytest.mark.parametrize("shift", [1, 3])
def test_an_out_that_half_covers_its_input_is_refused(shift):
    memory = lamina.arange(10.0)
    before = memory.tolist()
    for call in (
        lambda: _core.exp(memory[:-shift], out=memory[shift:]),
        lambda: _core.add(memory[shift:], 1.0, out=memory[:-shift]),
        lambda: memory[shift:].copy_(memory[:-shift]),
        lambda: memory[shift:].mul_(memory[:-shift]),
    ):
        with pytest.raises(RuntimeError, match="overlaps"):
            call()
        assert memory.tolist() == before


def test_an_out_that_is_its_input_is_fine_and_interleaved_ones_are():
    memory = lamina.arange(8.0)
    assert _core.add(memory, memory, out=memory).tolist() == [2.0 * i for i in range(8)]
    with pytest.raises(RuntimeError, match="overlaps"):
        _core.exp(memory.reshape(2, 4).t(), out=memory.reshape(4, 2))


def test_writes_to_expanded_memory_are_refused():
    row = lamina.zeros(3)
    for write in (
        lambda t: t.add_(1),
        lambda t: t.fill_(1),
        lambda t: t.copy_(lamina.ones(2, 3)),
        lambda t: t.normal_(),
        lambda t: _core.exp(lamina.ones(2, 3), out=t),
        lambda t: t.__setitem__((slice(None), 0), lamina.ones(2)),
    ):
        with pytest.raises(RuntimeError, match=r"several indices for one element"):
            write(row.expand(2, 3))
    assert row.tolist() == [0, 0, 0]


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3), ()])
def test_size_zero_and_0d_through_a_chain(shape):
    x = leaf(np.ones(shape))
    y = ((x + 1) * x.exp() - x.t() if x.ndim == 2 and 0 not in shape else (x + 1) * x.exp()).tanh()
    assert y.shape == x.shape
    y.sum().backward()
    assert x.grad.shape == x.shape
    assert x.reshape(-1).numel() == int(np.prod(shape))
    assert x.sum().item() == np.ones(shape).sum()


# -- in place --------------------------------------------------------------------------------------


def test_a_saved_output_that_was_overwritten_is_refused_with_both_names():
    x = leaf([1.0, 2.0])
    y = lamina.exp(x)
    y.add_(1)
    with pytest.raises(
        RuntimeError, match=r"^exp: backward needs its output as it was .* but add_? has changed it"
    ):
        y.sum().backward()


def test_a_saved_input_that_was_overwritten_is_refused_with_both_names():
    x = leaf([1.0, 2.0])
    y = x * 1.0
    z = y.log()
    y.mul_(2)
    with pytest.raises(RuntimeError, match=r"^log: backward needs its input .* but mul_? has"):
        z.sum().backward()


def test_what_does_not_save_the_tensor_may_be_overwritten():
    x = leaf([1.0, 2.0])
    y = x + 1
    z = y.sum()
    y.add_(1)
    z.backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_an_overwrite_through_any_view_is_seen():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    y = x.exp()
    y[0].zero_()
    with pytest.raises(RuntimeError, match=r"^exp: .* but \w+ has changed it"):
        y.sum().backward()


def test_writing_through_a_view_has_the_gradient_of_the_whole():
    weight = lamina.tensor(numbers(3, 4, seed=3))

    def column(x, v):
        whole = x * 1.0
        whole[:, 1].mul_(v)
        return whole.sin() * weight

    def before_and_after(x, v):
        whole = x * 1.0
        row = whole[1]
        earlier = row.sum()
        whole[:, 0] = v
        row.mul_(2.0)  # a view made before the write, of what was written
        return whole.exp() + row.sum() + earlier

    def block(x, v):
        whole = x.clone()
        whole.view(2, 6)[:, ::2].copy_(v.reshape(3, 1)[:2] * x[0, :3])
        return whole * weight, whole.t()[2].cos()

    x, v = leaf(numbers(3, 4)), leaf(numbers(3, seed=2))
    for function in (column, before_and_after, block):
        assert autograd.gradcheck(function, (x, v), **TIGHT)
        assert autograd.gradgradcheck(function, (x, v), **TIGHT)


def test_a_leaf_that_requires_grad_is_not_written_while_recording():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    for write in (
        lambda: x.add_(1),
        lambda: x[0].zero_(),
        lambda: x.t().mul_(2),
        lambda: x.__setitem__(0, 5.0),
        lambda: x.normal_(),
    ):
        with pytest.raises(RuntimeError, match=r"leaf that requires grad can't be written"):
            write()
    with lamina.no_grad():
        inside = x[0]
    with pytest.raises(RuntimeError, match=r"this view was made under no_grad\(\)"):
        inside.add_(1)
    assert x.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_writes_under_no_grad_to_parameters():
    p = nn.Parameter(lamina.ones(2, 3))
    (p * 2).sum().backward()
    with lamina.no_grad():
        p.add_(p.grad, alpha=-0.25)
        p[0].fill_(7.0)
        p.data[1, 2] = -1.0
    assert p.tolist() == [[7.0, 7.0, 7.0], [0.5, 0.5, -1.0]]
    assert p.is_leaf
    assert p.requires_grad
    p.grad = None
    (p * p).sum().backward()
    assert p.grad.tolist() == [[14.0, 14.0, 14.0], [1.0, 1.0, -2.0]]
    loss = (p * p).sum()
    with lamina.no_grad():
        p.zero_()
    with pytest.raises(RuntimeError, match=r"^mul: .* fill_ has changed it"):
        loss.backward()


# -- second derivatives ----------------------------------------------------------------------------


def test_second_derivatives_of_layers_by_themselves_and_together():
    x, w = leaf(numbers(5, 3)), leaf(numbers(4, 3, seed=1))
    gain, shift = leaf(numbers(4, seed=2)), leaf(numbers(4, seed=3))
    target = lamina.tensor([0, 3, 1, 1, 2])

    def network(x, w, gain, shift):
        y = F.batch_norm(F.linear(x, w), None, None, gain, shift, training=True)
        return F.cross_entropy(F.gelu(y), target, label_smoothing=0.1)

    assert autograd.gradcheck(network, (x, w, gain, shift), **TIGHT)
    assert autograd.gradgradcheck(network, (x, w, gain, shift), **TIGHT)
    for function in (
        lambda t: F.softmax(t, 1) ** 2,
        lambda t: F.log_softmax(t, 0).exp(),
        lambda t: F.gelu(t, approximate="tanh"),
    ):
        assert autograd.gradgradcheck(function, (x,), **TIGHT)


# -- long graphs -----------------------------------------------------------------------------------


def in_a_process(code):
    """Run code on its own: what it would kill, should it fail, is not this process."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


CHAIN = """
import lamina, threading
threading.stack_size(256 * 1024)  # no room for recursion
def run():
    x = lamina.tensor([1.0], dtype=lamina.float64, requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y * 1.00001 {more}
    {end}
thread = threading.Thread(target=run)
thread.start()
thread.join()
"""


def test_backward_through_100_000_ops():
    out = in_a_process(CHAIN.format(more="", end="y.backward(); print(repr(x.grad.item()))"))
    # 100,000 products, each rounded once, forward and backward
    assert abs(float(out) / np.exp(100_000 * np.log1p(1e-5)) - 1) < 2 * 100_000 * 2.3e-16


def test_a_graph_of_100_000_ops_dies_unrun():
    assert in_a_process(CHAIN.format(more="+ x", end="del y; print(x.grad)")) == "None"


def test_a_graph_of_100_000_views_and_in_place_writes():
    end = "z = y.view(1).clone()\n    z.sum().backward()\n    print(x.grad is not None)"
    assert in_a_process(CHAIN.format(more="; y = y.view(1)", end=end)) == "True"


# -- cycles and identity ---------------------------------------------------------------------------


def test_a_gradient_is_one_object():
    p = leaf([1.0, 2.0])
    (p * p).sum().backward()
    assert p.grad is p.grad
    kept = p.grad
    (p * p).sum().backward()  # adds into the same tensor
    assert p.grad is kept
    assert kept.tolist() == [4.0, 8.0]


def test_a_hook_that_holds_its_tensor_is_collected():
    class Tag:
        pass

    def cycle(of):
        tag = Tag()
        x = of()
        x.register_hook(lambda g, x=x, tag=tag: None)
        return weakref.ref(tag)

    for make in (
        lambda: leaf([1.0]),
        lambda: leaf([1.0]) * 2,  # a hook on what an op made
        lambda: nn.Parameter(lamina.ones(1)),
    ):
        tag = cycle(make)
        gc.collect()
        assert tag() is None


def test_a_module_whose_hook_holds_it_is_collected():
    layer = nn.Linear(2, 2)
    layer.weight.register_hook(lambda g, layer=layer: g)
    layer(lamina.ones(1, 2)).sum().backward()
    gone = weakref.ref(layer)
    del layer
    gc.collect()
    assert gone() is None


# -- threads, fork, bits ---------------------------------------------------------------------------


def network(seed, dropout=0.3):
    lamina.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(12, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(dropout), nn.Linear(64, 5)
    )


def train(model, data, target, steps=20):
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(data), target).backward()
        optimizer.step()
    return [value.numpy().tobytes() for value in model.state_dict().values()]


def digits(rows, seed):
    rng = np.random.default_rng(seed)
    data = lamina.tensor(rng.standard_normal((rows, 12)).astype(np.float32))
    return data, lamina.tensor(rng.integers(0, 5, rows))


def test_the_number_of_threads_does_not_show_in_the_bits():
    data, target = digits(700, 1)
    before = lamina.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            lamina.set_num_threads(threads)
            results.append(train(network(4), data, target))
    finally:
        lamina.set_num_threads(before)
    assert results[0] == results[1] == results[2]
    assert train(network(5), data, target) != results[0]


def test_two_python_threads_get_the_bits_that_each_gets_alone():
    data, target = digits(300, 2)
    alone = [train(network(seed, 0.0), data, target) for seed in (1, 2)]
    models = [network(seed, 0.0) for seed in (1, 2)]
    together: dict[int, list[bytes]] = {}
    start = threading.Barrier(2)

    def run(k):
        start.wait()
        together[k] = train(models[k], data, target)

    workers = [threading.Thread(target=run, args=(k,)) for k in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [together[0], together[1]] == alone


def test_threads_may_share_a_leaf():
    x = leaf(np.ones(1000))

    def run():
        for _ in range(50):
            (x * 2.0).sum().backward()

    workers = [threading.Thread(target=run) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert (x.grad == 2.0 * 50 * 4).all()


def busy():
    """Something that every thread of the pool takes part in."""
    return lamina.ones(400, 300).matmul(lamina.ones(300, 200)).exp().sum(1).mean().item()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
# Other libraries that are loaded may warn of forks; ours stands them.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_fork_after_a_parallel_region():
    before = lamina.get_num_threads()
    try:
        lamina.set_num_threads(3)
        wanted = busy()
        child = os.fork()
        if child == 0:  # no pytest in here
            os._exit(0 if busy() == wanted and lamina.get_num_threads() == 3 else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert busy() == wanted
        context = multiprocessing.get_context("fork")
        with context.Pool(2) as pool:
            assert pool.starmap(busy, [()] * 4) == [wanted] * 4
    finally:
        lamina.set_num_threads(before)


# -- memory ----------------------------------------------------------------------------------------


def resident_bytes():
    with open("/proc/self/statm") as f:  # noqa: PTH123
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_10_000_steps_leave_memory_where_it_was():
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.GELU(), nn.Linear(8, 3))
    optimizer = optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    data, target = lamina.ones(6, 4), lamina.tensor([0, 1, 2, 0, 1, 2])

    def steps(count):
        for _ in range(count):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(data), target)
            handle = loss.register_hook(lambda g: g)
            loss.backward()
            optimizer.step()
            handle.remove()

    steps(200)
    del_cycles()
    before = _core.allocator_stats()
    resident = resident_bytes() if sys.platform == "linux" else 0
    gc.disable()  # what only the collector would free counts as left behind
    try:
        steps(10_000)
    finally:
        gc.enable()
    after = _core.allocator_stats()
    assert after["live_bytes"] == before["live_bytes"]
    assert after["system_calls"] - before["system_calls"] <= 4  # none a step
    if sys.platform == "linux":
        assert resident_bytes() - resident < 4 << 20  # 400 bytes a step


def del_cycles():
    for _ in range(3):
        gc.collect()


# -- NaN, and where an error happened --------------------------------------------------------------


def test_nan_goes_through_and_does_not_hang():
    x = leaf(np.full((64, 12), np.nan), lamina.float32)
    model = network(1)
    loss = F.cross_entropy(model(x), lamina.zeros(64, dtype=lamina.int64))
    loss.backward()
    assert np.isnan(loss.item())
    assert x.grad.isnan().all()
    values, at = x.max(1)
    assert values.isnan().all()
    assert (at == 0).all()


def test_an_error_names_the_layer():
    model = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(784, 512), nn.ReLU()))
    text = (
        "linear: input has 20 features but weight expects 784\n"
        "  input  [32, 20]\n  weight [512, 784]\n  in     model.1.0 (Linear)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        model(lamina.ones(32, 20))


def test_an_empty_batch_through_batch_norm():
    weight = lamina.ones(3, requires_grad=True)
    bias = lamina.zeros(3, requires_grad=True)
    x = lamina.empty(0, 3)
    y = F.batch_norm(x, lamina.zeros(3), lamina.ones(3), weight, bias)
    y.sum().backward()
    assert y.shape == (0, 3)
    assert weight.grad.tolist() == bias.grad.tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        F.batch_norm(x, None, None, weight, bias, training=True)
