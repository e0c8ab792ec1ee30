"""Attention beyond its rows in the tables: memory, dropout, layouts, and what layers make of it."""

from __future__ import annotations

import copy
import math
import subprocess
import sys

import lamina
import lamina.nn.functional as F
import numpy as np
import pytest
from lamina import nn
from lamina.autograd import gradcheck, gradgradcheck

ATTEND = F.scaled_dot_product_attention


def random(*sizes, seed=0, dtype="float64", grad=False):
    values = np.random.default_rng(seed).standard_normal(sizes)
    return lamina.tensor(values.astype(dtype), requires_grad=grad)


def operands(*sizes, dtype="float64", grad=True):
    return [random(*sizes, seed=i, dtype=dtype, grad=grad) for i in range(3)]


MEMORY = """
import lamina
from lamina.nn.functional import scaled_dot_product_attention
q, k, v = (lamina.ones(1, 1, {length}, 16, requires_grad=True) for _ in range(3))
scaled_dot_product_attention(q, k, v, is_causal=True).sum().backward()
print(lamina._core.allocator_stats()["peak_bytes"])
"""


def test_memory_grows_with_the_length():
    def peak(length):
        command = [sys.executable, "-c", MEMORY.format(length=length)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        return int(done.stdout)

    # Four times for four times the length; sixteen times if scores were kept.
    assert peak(8192) < 5 * peak(2048)


@pytest.mark.parametrize("p", [0.3, 1.0])
def test_dropout_is_the_same_backward_and_in_the_second_derivative(p):
    q, k, v = operands(1, 2, 5, 3)

    def attend(*args):
        lamina.manual_seed(3)
        return ATTEND(*args, dropout_p=p)

    assert gradcheck(attend, (q, k, v), eps=1e-6, atol=1e-7)
    assert gradgradcheck(attend, (q, k, v), eps=1e-6, atol=1e-6)
    # The recorded gradient is the fused one.
    fused = lamina.autograd.grad(attend(q, k, v).sum(), (q, k, v))
    recorded = lamina.autograd.grad(attend(q, k, v).sum(), (q, k, v), create_graph=True)
    for a, b in zip(fused, recorded, strict=True):
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), atol=1e-13)


def test_dropout_drops_as_often_as_it_says_and_scales_the_rest():
    keys, queries = 50, 400
    q, k = lamina.zeros(queries, 4), lamina.zeros(keys, 4)  # every weight is 1 / keys
    lamina.manual_seed(5)
    weights = ATTEND(q, k, lamina.eye(keys), dropout_p=0.25).numpy()
    kept = weights[weights != 0]
    np.testing.assert_allclose(kept, 1 / (0.75 * keys), rtol=1e-6)
    n = keys * queries
    assert abs(kept.size / n - 0.75) < 4 * math.sqrt(0.25 * 0.75 / n)


def test_any_number_of_threads_gives_the_same_bits():
    threads = lamina.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            lamina.set_num_threads(count)
            q, k, v = operands(2, 3, 150, 16, dtype="float32")
            y = ATTEND(q, k, v, is_causal=True)
            y.sum().backward()
            results.append([t.detach().numpy() for t in (y, q.grad, k.grad, v.grad)])
    finally:
        lamina.set_num_threads(threads)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_heads_are_joined_without_a_copy():
    x = random(2, 5, 3 * 8, grad=True)
    q, k, v = (part.view(2, 5, 2, 4).transpose(1, 2) for part in x.chunk(3, -1))
    y = ATTEND(q, k, v)
    assert y.transpose(1, 2).reshape(2, 5, 8).data_ptr() == y.data_ptr()
    first = x.transpose(0, 1).contiguous().detach()  # [L, N, ...]
    q, k, v = (part.view(5, 2, 2, 4).permute(1, 2, 0, 3) for part in first.chunk(3, -1))
    z = ATTEND(q, k, v)
    assert z.permute(2, 0, 1, 3).reshape(5, 2, 8).data_ptr() == z.data_ptr()
    np.testing.assert_array_equal(z.numpy(), y.detach().numpy())


def test_gradients_of_a_joint_projection_are_those_of_its_parts():
    x = random(2, 5, 3 * 8, grad=True)
    parts = [part.detach().clone().requires_grad_() for part in x.chunk(3, -1)]

    def attend(q, k, v):
        q, k, v = (part.view(2, 5, 2, 4).transpose(1, 2) for part in (q, k, v))
        return (ATTEND(q, k, v, is_causal=True) * random(2, 2, 5, 4, seed=9)).sum()

    attend(*x.chunk(3, -1)).backward()
    attend(*parts).backward()
    joined = np.concatenate([part.grad.numpy() for part in parts], -1)
    np.testing.assert_array_equal(x.grad.numpy(), joined)
    # Also where one of the three goes elsewhere too, so that its gradient is a sum.
    x.grad = None
    q, k, v = x.chunk(3, -1)
    (attend(q, k, v) + q.sum()).backward()
    joined[..., :8] += 1
    np.testing.assert_allclose(x.grad.numpy(), joined, rtol=0, atol=4 * np.finfo(float).eps * 4)


def test_a_split_that_is_used_in_part_has_zeros_elsewhere():
    x = random(3, 6, grad=True)
    first, _, last = x.split([1, 2, 3], dim=1)
    (2 * first.sum() + 3 * last.sum()).backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.tile([2, 0, 0, 3, 3, 3], (3, 1)))
    _, middle, _ = x.split([1, 2, 3], dim=1)
    (slope,) = lamina.autograd.grad((middle**2).sum(), x, create_graph=True)
    (second,) = lamina.autograd.grad(slope.sum(), x)
    np.testing.assert_array_equal(second.numpy(), np.tile([0, 2, 2, 0, 0, 0], (3, 1)))


def test_a_part_of_a_split_may_be_written():
    x = random(2, 4, grad=True)
    y = x * 1
    left, right = y.chunk(2, 1)
    left.mul_(3)
    (y.sum() + right.sum()).backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.tile([3, 3, 2, 2], (2, 1)))


# -- layers ----------------------------------------------------------------------------------------


def padded(batch, length):
    mask = np.zeros((batch, length), bool)
    mask[0, -1] = True
    return lamina.tensor(mask)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("extra", [False, True])
def test_weights_are_an_extra(batch_first, extra):
    lamina.manual_seed(0)
    layer = nn.MultiheadAttention(
        8, 2, batch_first=batch_first, add_bias_kv=extra, add_zero_attn=extra
    ).double()
    x = random(3, 5, 8) if batch_first else random(5, 3, 8)
    causal = nn.Transformer.generate_square_subsequent_mask(5).double()
    for masks in (
        {},
        {"key_padding_mask": padded(3, 5)},
        {"attn_mask": causal},
        {"attn_mask": causal, "is_causal": True},
        {"attn_mask": causal, "is_causal": True, "key_padding_mask": padded(3, 5)},
        {"attn_mask": causal == -math.inf, "key_padding_mask": padded(3, 5)},
    ):
        with_weights, weights = layer(x, x, x, **masks)
        without, none = layer(x, x, x, need_weights=False, **masks)
        assert none is None
        assert tuple(weights.shape) == (3, 5, 5 + 2 * extra)
        np.testing.assert_allclose(weights.detach().sum(-1).numpy(), 1.0, rtol=1e-12)
        np.testing.assert_allclose(
            without.detach().numpy(), with_weights.detach().numpy(), atol=1e-13
        )


def test_the_batch_may_be_left_out():
    lamina.manual_seed(0)
    layer = nn.MultiheadAttention(8, 2).double()
    x = random(5, 8)
    one, weights = layer(x, x, x, key_padding_mask=padded(1, 5)[0], average_attn_weights=False)
    many, more = layer(
        *[x.unsqueeze(1)] * 3, key_padding_mask=padded(1, 5), average_attn_weights=False
    )
    np.testing.assert_array_equal(one.detach().numpy(), many.squeeze(1).detach().numpy())
    np.testing.assert_array_equal(weights.detach().numpy(), more.squeeze(0).detach().numpy())


def test_dropout_is_for_training():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.5, batch_first=True)
    x = random(2, 5, 8, dtype="float32")
    assert (layer(x) != layer(x)).any()
    layer.eval()
    assert (layer(x) == layer(x)).all()


def test_layers_of_a_stack_are_copies():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0)
    stack = nn.TransformerEncoder(layer, 3)
    assert len({id(p) for p in [*layer.parameters(), *stack.parameters()]}) == 4 * 12
    first, second = stack.layers[0], stack.layers[1]
    np.testing.assert_array_equal(
        first.linear1.weight.detach().numpy(), second.linear1.weight.detach().numpy()
    )
    with lamina.no_grad():
        first.linear1.weight.zero_()
    assert (second.linear1.weight != 0).any()
    assert copy.deepcopy(stack).layers[2].self_attn.num_heads == 2


def test_a_causal_mask_is_known_when_it_is_seen():
    lamina.manual_seed(0)
    stack = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), 2
    ).double()
    x = random(2, 5, 8)
    mask = nn.Transformer.generate_square_subsequent_mask(5, dtype=lamina.float64)
    seen = []
    stack.layers[0].register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["is_causal"]), with_kwargs=True
    )
    outputs = [
        stack(x, mask=mask),
        stack(x, mask=mask == -math.inf),
        stack(x, mask=mask + 0.0, is_causal=False),
        stack(x, mask=mask, is_causal=True),
    ]
    assert seen == [True, True, False, True]
    for other in outputs[1:]:
        np.testing.assert_allclose(other.detach().numpy(), outputs[0].detach().numpy(), atol=1e-13)
    stack(x, mask=mask.triu(2))
    assert seen[-1] is False


@pytest.mark.parametrize("activation", [F.gelu, nn.Tanh(), lambda x: x.clamp(min=0)])
def test_any_function_may_be_the_activation(activation):
    layer = nn.TransformerEncoderLayer(8, 2, 16, activation=activation)
    assert tuple(layer(lamina.zeros(5, 3, 8)).shape) == (5, 3, 8)


def test_a_transformer_takes_parts_of_ones_own():
    model = nn.Transformer(8, 2, custom_encoder=Doubled(), custom_decoder=Added())
    y = model(lamina.ones(3, 2, 8), lamina.ones(3, 2, 8))
    assert (y == 3).all()


class Doubled(nn.Module):
    def forward(self, src, **masks):
        return 2 * src


class Added(nn.Module):
    def forward(self, tgt, memory, **masks):
        return tgt + memory
