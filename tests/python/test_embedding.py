"""Embeddings beyond their rows in the tables: what gets a gradient, norms, and frozen tables."""

from __future__ import annotations

import subprocess
import sys

import lamina
import lamina.nn.functional as F
import numpy as np
import pytest
from lamina import _core, nn, optim
from lamina.autograd import gradgradcheck

INDEX = lamina.tensor([1, 2, 1, 0, 1])


def weights(rows=4, columns=2):
    values = np.random.default_rng(0).standard_normal((rows, columns))
    return lamina.tensor(values, requires_grad=True)


@pytest.mark.parametrize("padding", [1, -3])
def test_a_padding_row_gets_no_gradient(padding):
    table = weights()
    F.embedding(INDEX, table, padding_idx=padding).sum().backward()
    np.testing.assert_array_equal(table.grad.numpy()[:, 0], [1, 0, 1, 0])
    # Nor does it in the gradient of the gradient.
    assert gradgradcheck(
        lambda t: F.embedding(INDEX, t, padding_idx=padding) ** 2, (weights(),), atol=1e-5
    )


def test_frequency_divides_the_gradient():
    table = weights()
    F.embedding(INDEX, table, scale_grad_by_freq=True).sum().backward()
    np.testing.assert_allclose(table.grad.numpy()[:, 0], [1, 1, 1, 0], rtol=1e-15)
    bag = weights()
    F.embedding_bag(
        INDEX, bag, lamina.tensor([0, 3]), mode="sum", scale_grad_by_freq=True
    ).sum().backward()
    np.testing.assert_allclose(bag.grad.numpy()[:, 0], [1, 1, 1, 0], rtol=1e-15)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_long_rows_that_are_read_are_scaled_down(p):
    table = weights()
    before = table.detach().numpy().copy()
    y = F.embedding(lamina.tensor([0, 2, 2]), table, max_norm=0.5, norm_type=p)
    after = table.detach().numpy()
    sizes = np.linalg.norm(before, p, axis=1)
    for row in range(4):
        scale = 0.5 / (sizes[row] + 1e-7) if row in (0, 2) and sizes[row] > 0.5 else 1.0
        np.testing.assert_allclose(after[row], before[row] * scale, rtol=1e-12)
    np.testing.assert_array_equal(y.detach().numpy(), after[[0, 2, 2]])


def test_many_indices_add_up_in_one_order():
    rng = np.random.default_rng(1)
    index = rng.integers(0, 50, 5000)
    slope = rng.standard_normal((5000, 33)).astype(np.float32)
    threads = lamina.get_num_threads()
    results = []
    try:
        for count in (1, 2):
            lamina.set_num_threads(count)
            table = lamina.zeros(50, 33, requires_grad=True)
            (F.embedding(lamina.tensor(index), table) * lamina.tensor(slope)).sum().backward()
            results.append(table.grad.numpy())
    finally:
        lamina.set_num_threads(threads)
    np.testing.assert_array_equal(*results)
    wanted, size = np.zeros((2, 50, 33))
    np.add.at(wanted, index, slope)
    np.add.at(size, index, np.abs(slope))
    most = np.bincount(index).max()
    assert (np.abs(results[0] - wanted) <= most * 2.0**-24 * size).all()


def test_the_padding_row_starts_at_zero():
    for layer in (nn.Embedding(5, 3, padding_idx=2), nn.EmbeddingBag(5, 3, padding_idx=-3)):
        assert layer.padding_idx == 2
        assert (layer.weight[2] == 0).all()
        assert (layer.weight != 0).sum() == 12


def test_settings_show():
    layer = nn.Embedding(
        5, 3, padding_idx=-1, max_norm=1.0, norm_type=1.0, scale_grad_by_freq=True, sparse=True
    )
    assert repr(layer) == (
        "Embedding(5, 3, padding_idx=4, max_norm=1.0, norm_type=1.0, scale_grad_by_freq=True, "
        "sparse=True)"
    )
    bag = nn.EmbeddingBag(5, 3, max_norm=2.0, mode="sum", padding_idx=0)
    assert repr(bag) == "EmbeddingBag(5, 3, max_norm=2.0, mode='sum', padding_idx=0)"


@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
def test_a_given_table_is_shared_and_frozen(kind):
    table = lamina.ones(3, 2)
    layer = kind.from_pretrained(table)
    assert not layer.weight.requires_grad
    assert layer.weight.data_ptr() == table.data_ptr()
    assert kind.from_pretrained(table, freeze=False).weight.requires_grad


def test_the_largest_of_equal_rows_is_the_first():
    table = lamina.ones(3, 2, requires_grad=True)
    F.embedding_bag(lamina.tensor([[2, 0, 1]]), table, mode="max").sum().backward()
    np.testing.assert_array_equal(table.grad.numpy(), [[0, 0], [0, 0], [1, 1]])


def test_empty_bags_pass_on_a_gradient_of_zeros():
    for mode in ("sum", "mean", "max"):
        table = weights()
        empty = lamina.zeros(0, dtype=lamina.int64)
        y = F.embedding_bag(empty, table, lamina.tensor([0, 0]), mode=mode)
        assert (y == 0).all()
        y.sum().backward()
        assert (table.grad == 0).all()


# -- gradients that touch few rows -----------------------------------------------------------------


@pytest.mark.parametrize("padding", [None, 1])
@pytest.mark.parametrize("by_frequency", [False, True])
def test_a_sparse_gradient_has_the_same_numbers(padding, by_frequency):
    grads = []
    for sparse in (False, True):
        table = weights()
        y = F.embedding(INDEX, table, padding, scale_grad_by_freq=by_frequency, sparse=sparse)
        (y * y).sum().backward()
        grads.append(table.grad.numpy().copy())
    np.testing.assert_array_equal(*grads)
    assert _core.touched_rows(table.grad).tolist() == [0, 1, 2]


def test_what_was_noted_of_a_gradient_holds_until_it_is_written():
    table = weights()
    F.embedding(INDEX, table, 1, sparse=True).sum().backward()
    assert _core.touched_rows(table.grad).tolist() == [0, 1, 2]  # row 1 was written, with zeros
    table.grad.mul_(2.0)
    assert _core.touched_rows(table.grad).tolist() == [0, 2]  # looked for
    F.embedding(lamina.tensor([3]), table, sparse=True).sum().backward()
    assert _core.touched_rows(table.grad).tolist() == [0, 2, 3]
    np.testing.assert_array_equal(table.grad.numpy()[:, 0], [2, 0, 2, 1])
    # The next tensor in that memory is another one.
    table.grad = None
    F.embedding(lamina.tensor([2]), table, sparse=True).sum().backward()
    assert _core.touched_rows(table.grad).tolist() == [2]


def test_a_bag_takes_it_too():
    layer = nn.EmbeddingBag(6, 3, mode="sum", sparse=True)
    layer(lamina.tensor([[5, 2], [2, 0]])).sum().backward()
    assert _core.touched_rows(layer.weight.grad).tolist() == [0, 2, 5]


HUGE = """
import resource
import lamina
import numpy as np
from lamina import nn
def resident():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
table = lamina.from_numpy(np.zeros((1 << 20, 256), np.float32))  # 1 GiB that nobody has touched
layer = nn.Embedding.from_pretrained(table, freeze=False, sparse=True)
index = lamina.tensor([5, 1 << 19, 7, 5])
before = resident()
for _ in range(3):
    layer.zero_grad()
    layer(index).sum().backward()
    assert lamina._core.touched_rows(layer.weight.grad).tolist() == [5, 7, 1 << 19]
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss counts KiB on Linux alone")
def test_a_step_leaves_the_other_rows_of_a_large_table_alone():
    done = subprocess.run(
        [sys.executable, "-c", HUGE], capture_output=True, text=True, check=True, timeout=120
    )
    assert int(done.stdout) < 1 << 25  # of the gradient's 1 GiB


def sparse_adam(start, gradients, lr=0.1, betas=(0.9, 0.999), eps=1e-8, sign=1):
    """PyTorch's formulae, row by row."""
    p, m, v = start.copy(), np.zeros_like(start), np.zeros_like(start)
    for t, g in enumerate(gradients, 1):
        for row in np.flatnonzero((g != 0).any(1)):
            m[row] += (1 - betas[0]) * (sign * g[row] - m[row])
            v[row] = betas[1] * v[row] + (1 - betas[1]) * g[row] ** 2
            size = lr * np.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t)
            p[row] -= size * m[row] / (np.sqrt(v[row]) + eps)
    return p


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("maximize", [False, True])
def test_sparse_adam_moves_the_rows_that_were_read(sparse, maximize):
    rng = np.random.default_rng(2)
    start = rng.standard_normal((20, 3))
    layer = nn.Embedding.from_pretrained(lamina.tensor(start), freeze=False, sparse=sparse)
    optimizer = optim.SparseAdam(layer.parameters(), lr=0.1, maximize=maximize)
    gradients = []
    for _ in range(30):
        index, slope = rng.integers(0, 19, 6), rng.standard_normal((6, 3))
        optimizer.zero_grad()
        (layer(lamina.tensor(index)) * lamina.tensor(slope)).sum().backward()
        gradients.append(layer.weight.grad.numpy().copy())
        optimizer.step()
    wanted = sparse_adam(start, gradients, sign=-1 if maximize else 1)
    np.testing.assert_allclose(layer.weight.detach().numpy(), wanted, rtol=1e-12)
    np.testing.assert_array_equal(layer.weight.detach().numpy()[19], start[19])
    # Its state goes the way of the others'.
    other = optim.SparseAdam(layer.parameters())
    other.load_state_dict(optimizer.state_dict())
    assert other.state[layer.weight]["step"] == 30
    assert other.param_groups[0]["lr"] == 0.1


def test_sparse_adam_refuses_what_makes_no_sense():
    for wrong in ({"lr": -1.0}, {"eps": -1.0}, {"betas": (1.0, 0.9)}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            optim.SparseAdam([weights()], **wrong)
    loss = optim.SparseAdam([weights()]).step(lambda: 3.0)
    assert loss == 3.0
