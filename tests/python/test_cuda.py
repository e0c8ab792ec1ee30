"""CUDA through Lamina's own functions; without a GPU, what says so.

The kernels' own tests are native and run anywhere (tests/native/test_cuda_*.cpp).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lamina
import numpy as np
import pytest

INFO = lamina.cuda_info()
needs_cuda = pytest.mark.skipif(not INFO["available"], reason=f"CUDA: {INFO['reason']}")


def test_info_has_devices_or_a_reason() -> None:
    assert set(INFO) == {"available", "reason", "devices"}
    if INFO["available"]:
        assert INFO["reason"] == ""
        assert INFO["devices"]
    else:
        assert INFO["reason"]
        assert INFO["devices"] == []


@pytest.mark.skipif(INFO["available"], reason="CUDA is here")
def test_a_tensor_on_cuda_says_why_not() -> None:
    with pytest.raises(RuntimeError, match=INFO["reason"]):
        lamina.zeros(2, device="cuda")
    with pytest.raises(RuntimeError, match=INFO["reason"]):
        lamina.zeros(2).to("cuda:1")


def on_both(f: Callable[..., Any], *arrays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """f of the arrays on the CPU and on CUDA."""
    here = [lamina.tensor(a) for a in arrays]
    there = f(*(t.to("cuda") for t in here))
    assert there.device.type == "cuda"
    return f(*here).numpy(), there.cpu().numpy()


def close(f: Callable[..., Any], *arrays: np.ndarray, ulps: float = 8, scale: float = 1) -> None:
    cpu, cuda = on_both(f, *arrays)
    assert cpu.dtype == cuda.dtype
    assert cpu.shape == cuda.shape
    if cpu.dtype.kind != "f":
        np.testing.assert_array_equal(cuda, cpu)
        return
    eps = float(np.finfo(cpu.dtype).eps)
    np.testing.assert_allclose(cuda, cpu, rtol=ulps * eps, atol=ulps * eps * scale)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@needs_cuda
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8", "bool"])
def test_there_and_back(dtype: str, rng: np.random.Generator) -> None:
    x = rng.integers(0, 2 if dtype == "bool" else 100, (3, 1000)).astype(dtype)
    np.testing.assert_array_equal(lamina.tensor(x).to("cuda").cpu().numpy(), x)


@needs_cuda
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "name", ["neg", "abs", "sqrt", "exp", "log", "log1p", "sin", "cos", "tanh", "sigmoid", "relu"]
)
def test_unary(name: str, dtype: str, rng: np.random.Generator) -> None:
    x = rng.uniform(0.1, 4, (37, 129)).astype(dtype)
    close(getattr(lamina, name), x)
    close(lambda t: getattr(lamina, name)(t.T), x)


@needs_cuda
@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "maximum", "minimum", "lt", "eq"])
def test_binary_broadcasts_and_promotes(name: str, rng: np.random.Generator) -> None:
    x = rng.standard_normal((5, 1, 70)).astype("float32")
    y = rng.integers(1, 9, (6, 70))
    close(getattr(lamina, name), x, y)


@needs_cuda
@pytest.mark.parametrize("dim", [0, 1, 2, (0, 1), (0, 2), None])
def test_reductions(dim: Any, rng: np.random.Generator) -> None:
    x = rng.standard_normal((30, 7, 500)).astype("float32")
    # The order of summation differs: an error grows with the sum of absolute values.
    close(lambda t: t.sum(dim), x, scale=x.size / 10)
    close(lambda t: t.amax(() if dim is None else dim), x)


@needs_cuda
def test_a_sum_has_the_same_bits_every_time(rng: np.random.Generator) -> None:
    x = lamina.tensor(rng.standard_normal(1_000_003).astype("float32")).to("cuda")
    sums = {x.sum().item() for _ in range(20)}
    assert len(sums) == 1


@needs_cuda
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (33, 65, 17), (300, 200, 100), (1024, 1024, 64)])
def test_matmul(shape: tuple[int, int, int], dtype: str, rng: np.random.Generator) -> None:
    m, n, k = shape
    a = rng.integers(-8, 9, (m, k)).astype(dtype)  # exact in any order
    b = rng.integers(-8, 9, (k, n)).astype(dtype)
    for f in (
        lambda s, t: s @ t,
        lambda s, t: (t.T @ s.T).T,
    ):
        cpu, cuda = on_both(f, a, b)
        np.testing.assert_array_equal(cuda, cpu)


@needs_cuda
def test_gradients_of_a_small_network(rng: np.random.Generator) -> None:
    x = rng.standard_normal((64, 20)).astype("float32")
    w = rng.standard_normal((20, 30)).astype("float32")
    b = rng.standard_normal(30).astype("float32")
    grads = []
    for device in ("cpu", "cuda"):
        inputs = lamina.tensor(x).to(device)
        weight, bias = (lamina.tensor(a).to(device).requires_grad_() for a in (w, b))
        (lamina.tanh(inputs @ weight + bias) ** 2).sum().backward()
        grads.append([weight.grad.cpu().numpy(), bias.grad.cpu().numpy()])
    for cpu, cuda in zip(*grads, strict=True):
        np.testing.assert_allclose(cuda, cpu, rtol=1e-4, atol=1e-4)  # sums of 64 float32 terms


@needs_cuda
def test_an_op_without_a_kernel_says_so() -> None:
    with pytest.raises(NotImplementedError, match="no kernel for it on cuda:0"):
        lamina.softmax(lamina.ones(2, 3).to("cuda"), 1)
