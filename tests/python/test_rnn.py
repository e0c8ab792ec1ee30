"""Recurrent layers: packed sequences, dropout between layers, what a module of them offers."""

from __future__ import annotations

import copy
import pickle

import lamina
import numpy as np
import pytest
from lamina import nn
from lamina.autograd import gradcheck, gradgradcheck
from lamina.nn.utils import rnn
from op_check import assert_close
from op_table_row import spread, stream
from rnn_reference import stack

RNG = stream("recurrent modules")
KINDS = {
    "rnn": (nn.RNN, "tanh"),
    "lstm": (nn.LSTM, "lstm"),
    "gru": (nn.GRU, "gru"),
}
kinds = pytest.mark.parametrize("kind", sorted(KINDS))
EPS = 2.0**-52


def layer(kind, *args, **kwargs):
    lamina.manual_seed(1)
    return KINDS[kind][0](*args, **kwargs).double()


def arrays(module):
    return [np.asarray(v.tolist()) for v in module.state_dict().values()]


def states_of(ends):
    return list(ends) if isinstance(ends, tuple) else [ends]


def sequences(lengths, features=4):
    return [lamina.tensor(spread(RNG, (n, features)), requires_grad=True) for n in lengths]


# -- packed sequences ------------------------------------------------------------------------------


@kinds
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("lengths", [[5, 3, 3, 1], [2, 6, 1, 4, 6], [3], [2, 2, 2]])
def test_packed_sequences_are_run_as_if_each_were_alone(kind, bidirectional, lengths):
    """Values and every gradient; of 40 terms of size about one, 64 roundings and more are lost."""
    module = layer(kind, 4, 3, num_layers=2, bidirectional=bidirectional)
    together = sequences(lengths)
    start = lamina.tensor(
        spread(RNG, (2 * (1 + bidirectional), len(lengths), 3)), requires_grad=True
    )
    other = start.detach().clone().requires_grad_()
    packed, ends = module(
        rnn.pack_sequence(together, enforce_sorted=False),
        (start, start) if kind == "lstm" else start,
    )
    assert isinstance(packed, rnn.PackedSequence)
    found = rnn.unpack_sequence(packed)
    total = sum((y * y).sum() for y in found) + sum((s * s).sum() for s in states_of(ends))
    total.backward()
    gradients = [p.grad.numpy().copy() for p in module.parameters()]
    module.zero_grad()

    alone = [s.detach().clone().requires_grad_() for s in together]
    total = 0
    for i, sequence in enumerate(alone):
        h = other[:, i]
        y, last = module(sequence, (h, h) if kind == "lstm" else h)
        assert_close(found[i].detach().numpy(), y.detach().numpy(), 64 * EPS, "output")
        for a, b in zip(states_of(ends), states_of(last), strict=True):
            assert_close(a.detach()[:, i].numpy(), b.detach().numpy(), 64 * EPS, "state")
        total = total + (y * y).sum() + sum((s * s).sum() for s in states_of(last))
    total.backward()
    for a, b in zip(together, alone, strict=True):
        assert_close(a.grad.numpy(), b.grad.numpy(), 1024 * EPS, "gradient of the input")
    assert_close(start.grad.numpy(), other.grad.numpy(), 1024 * EPS, "gradient of the state")
    for a, p in zip(gradients, module.parameters(), strict=True):
        bound = 1024 * EPS * max(1.0, np.abs(a).max())
        assert_close(a, p.grad.numpy(), bound, "gradient of a parameter")


@kinds
def test_gradients_through_packed_sequences(kind):
    module = layer(kind, 2, 2, bidirectional=True)
    start = lamina.tensor(spread(RNG, (2, 3, 2)), requires_grad=True)

    def call(a, b, c, h, *weights):
        packed = rnn.pack_sequence([a, b, c], enforce_sorted=False)
        y, ends = module(packed, (h, h) if kind == "lstm" else h)
        return (y.data, *states_of(ends))

    inputs = (*sequences([2, 3, 1], 2), start, *module.parameters())
    assert gradcheck(call, inputs, atol=1e-6, rtol=1e-5)
    assert gradgradcheck(call, inputs, atol=1e-5, rtol=1e-5)


@kinds
def test_long_and_wide_layers_are_their_formulas(kind):
    """Past what W_hh may weigh for a task to have it to itself, and thin batches."""
    _, formula = KINDS[kind]
    for units, batch in [(70, 1), (70, 2), (300, 5), (300, 1)]:
        module = layer(kind, 6, units, bidirectional=True)
        x = spread(RNG, (4, batch, 6))
        y, ends = module(lamina.tensor(x))
        wanted = stack(formula, x, arrays(module), bidirectional=True)
        for got, want in zip([y, *states_of(ends)], wanted, strict=True):
            # a step sums `units` terms of at most 1 / sqrt(units), and passes its error on
            assert_close(got.detach().numpy(), want, 64 * units * EPS, f"{units} units")


# -- the helpers -----------------------------------------------------------------------------------


def test_packing_sorts_and_unpacking_restores_the_order():
    x = lamina.tensor(spread(RNG, (4, 3, 2)))
    lengths = [2, 4, 1]
    packed = rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    assert packed.sorted_indices.tolist() == [1, 0, 2]
    assert packed.unsorted_indices.tolist() == [1, 0, 2]
    assert packed.batch_sizes.tolist() == [3, 2, 1, 1]
    padded, found = rnn.pad_packed_sequence(packed, padding_value=-1.0, total_length=6)
    assert found.tolist() == lengths
    wanted = np.full((6, 3, 2), -1.0)
    for i, n in enumerate(lengths):
        wanted[:n, i] = x.numpy()[:n, i]
    np.testing.assert_array_equal(padded.numpy(), wanted)
    swapped = rnn.pack_padded_sequence(x.swapaxes(0, 1), lamina.tensor(lengths), True, False)
    again, _ = rnn.pad_packed_sequence(swapped, True, -1.0)
    np.testing.assert_array_equal(again.numpy(), wanted[:4].swapaxes(0, 1))


def test_lengths_out_of_order_are_refused_unless_sorted_here():
    x = lamina.ones(3, 2, 1)
    with pytest.raises(ValueError, match=r"^pack_padded_sequence: lengths must be in decreasing"):
        rnn.pack_padded_sequence(x, [1, 2])
    assert rnn.pack_padded_sequence(x, [1, 2], enforce_sorted=False).data.shape == (3, 1)


def test_padding_on_either_side():
    parts = [lamina.tensor([1, 2, 3]), lamina.tensor([4])]
    right = rnn.pad_sequence(parts, batch_first=True, padding_value=9)
    left = rnn.pad_sequence(parts, batch_first=True, padding_value=9, padding_side="left")
    assert right.tolist() == [[1, 2, 3], [4, 9, 9]]
    assert left.tolist() == [[1, 2, 3], [9, 9, 4]]
    assert right.dtype == lamina.int64
    with pytest.raises(ValueError, match=r"^pad_sequence: padding_side must be 'right' or 'left'"):
        rnn.pad_sequence(parts, padding_side="top")
    with pytest.raises(ValueError, match=r"^unpad_sequence: got 1 lengths for 2 sequences"):
        rnn.unpad_sequence(right, lamina.tensor([3]), batch_first=True)


def test_pad_packed_refuses_a_short_total():
    packed = rnn.pack_sequence([lamina.ones(3)])
    for total in (0, 2):
        with pytest.raises(ValueError, match=r"total_length . is less than the longest sequence"):
            rnn.pad_packed_sequence(packed, total_length=total)


def test_a_packed_sequence_converts_copies_and_pickles():
    packed = rnn.pack_sequence([lamina.ones(1), lamina.ones(3)], enforce_sorted=False)
    assert packed.to(lamina.float32) is packed
    assert packed.double().data.dtype == lamina.float64
    assert packed.double().float().long().int().data.dtype == lamina.int32
    assert packed.cpu() is packed
    assert not packed.is_cuda
    for twin in (copy.deepcopy(packed), pickle.loads(pickle.dumps(packed))):
        assert type(twin) is rnn.PackedSequence
        assert twin.unsorted_indices.tolist() == packed.unsorted_indices.tolist()
        assert twin.data.tolist() == packed.data.tolist()
    with pytest.raises(TypeError, match=r"^PackedSequence: batch_sizes must be a Tensor"):
        rnn.PackedSequence(lamina.ones(3))


# -- the modules -----------------------------------------------------------------------------------


@kinds
def test_dropout_between_layers_is_for_training(kind):
    module = layer(kind, 4, 64, num_layers=2, dropout=0.5)
    x = lamina.tensor(spread(RNG, (3, 5, 4)))
    a, b = module(x)[0], module(x)[0]
    assert (a != b).any()
    module.eval()
    wanted = stack(KINDS[kind][1], x.numpy(), arrays(module), layers=2)[0]
    assert_close(module(x)[0].detach().numpy(), wanted, 1024 * EPS, "without dropout")
    # With everything dropped the upper layer sees zeros: an LSTM of biases alone.
    module.train().dropout = 1.0
    blank = [np.zeros_like(w) if i == 4 else w for i, w in enumerate(arrays(module))]
    wanted = stack(KINDS[kind][1], x.numpy(), blank, layers=2)[0]
    assert_close(module(x)[0].detach().numpy(), wanted, 1024 * EPS, "all dropped")


def test_dropout_without_a_second_layer_is_pointed_out():
    with pytest.warns(UserWarning, match=r"^GRU: dropout is applied between layers"):
        nn.GRU(2, 2, dropout=0.5)


@kinds
def test_the_same_bits_on_any_number_of_threads(kind):
    before = lamina.get_num_threads()
    try:
        for units, batch in [(33, 21), (300, 17)]:
            module = layer(kind, 5, units, bidirectional=True).float()
            x = lamina.tensor(spread(RNG, (6, batch, 5)), dtype=lamina.float32, requires_grad=True)
            seen = []
            for threads in (1, 2, 3):
                lamina.set_num_threads(threads)
                module.zero_grad()
                x.grad = None
                y = module(x)[0]
                (y * y).sum().backward()
                seen.append(
                    [y.detach().numpy(), x.grad.numpy()]
                    + [p.grad.numpy().copy() for p in module.parameters()]
                )
            for other in seen[1:]:
                for a, b in zip(seen[0], other, strict=True):
                    np.testing.assert_array_equal(a, b)
    finally:
        lamina.set_num_threads(before)


@kinds
def test_names_of_weights_and_what_is_no_work(kind):
    module = layer(kind, 2, 3, num_layers=2, bidirectional=True)
    module.flatten_parameters()
    names = [
        [n for n, p in module.named_parameters() if p is w] for ws in module.all_weights for w in ws
    ]
    assert [n for (n,) in names] == [n for n, _ in module.named_parameters()]
    assert names[4] == ["weight_ih_l0_reverse"]


@kinds
def test_frozen_parameters_and_inputs_take_no_gradient(kind):
    module = layer(kind, 2, 3)
    x = lamina.tensor(spread(RNG, (2, 2, 2)), requires_grad=True)
    wanted = [p.numpy() for p in lamina.autograd.grad(module(x)[0].sum(), [x])]
    for name, p in module.named_parameters():
        p.requires_grad_(name in ("weight_hh_l0", "bias_hh_l0"))
    module(x)[0].sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), wanted[0])
    assert module.weight_ih_l0.grad is None
    assert module.bias_ih_l0.grad is None
    free = layer(kind, 2, 3)
    free(x.detach())[0].sum().backward()
    for name in ("weight_hh_l0", "bias_hh_l0"):
        a, b = getattr(module, name).grad.numpy(), getattr(free, name).grad.numpy()
        assert_close(a, b, 64 * EPS * max(1.0, np.abs(b).max()), name)


def test_a_backward_can_be_run_twice():
    """What forward kept is read, not used up."""
    module = layer("gru", 2, 3)
    loss = module(lamina.tensor(spread(RNG, (4, 2, 2))))[0].sum()
    first = lamina.autograd.grad(loss, list(module.parameters()), retain_graph=True)
    second = lamina.autograd.grad(loss, list(module.parameters()))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_a_result_written_to_is_refused_in_backward():
    module = layer("lstm", 2, 3)
    y = module(lamina.tensor(spread(RNG, (4, 2, 2))))[0]
    total = (y * 2).sum()
    y.detach().zero_()
    with pytest.raises(RuntimeError, match="lstm"):
        total.backward()


def test_a_state_made_of_the_input_gets_each_gradient_once():
    """The composed backward must not pass through what made one input from another."""
    module = layer("lstm", 3, 3)
    x = lamina.tensor(spread(RNG, (2, 2, 3)), requires_grad=True)

    def call(x):
        h = x[:1] * 2
        return module(x, (h, h * h))[0]

    assert gradcheck(call, (x,))
    assert gradgradcheck(call, (x,), atol=1e-6)


def test_training_learns_to_remember_the_first_step():
    lamina.manual_seed(0)
    rng = np.random.default_rng(0)
    module, head = nn.GRU(1, 8), nn.Linear(8, 1)
    optimizer = lamina.optim.Adam([*module.parameters(), *head.parameters()], lr=0.03)
    losses = []
    for _ in range(200):
        x = rng.choice([-1.0, 1.0], (6, 32, 1)).astype(np.float32)
        wanted = lamina.tensor((x[0] > 0).astype(np.float32))
        _, h = module(lamina.tensor(x))
        loss = nn.functional.binary_cross_entropy_with_logits(head(h[-1]), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.1 < 0.6 < np.mean(losses[:10])
