"""Every row of the layer table: values, gradients, state, starting values, text, refusals."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import lamina
import numpy as np
import pytest
from lamina import nn
from lamina.autograd import gradcheck, gradgradcheck
from layer_table import CONTAINERS, NAMES, ROWS
from layer_table_row import Layer
from op_check import LAYOUTS, assert_close, listed
from op_table_row import is_real

rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def class_name(row: Layer) -> str:
    return row.name.split(":")[0]


def made(row: Layer, dtype: str) -> nn.Module:
    lamina.manual_seed(1)
    module = row.make().to(getattr(lamina, dtype)).train(row.training)
    # Away from the values that layers start with: a scale of 1 or a shift of 0 could be left out
    # of a formula unseen.
    rng = np.random.default_rng(2)
    with lamina.no_grad():
        for value in [*module.parameters(), *module.buffers()]:
            if value.is_floating_point():
                value.copy_(lamina.tensor(rng.uniform(0.2, 0.9, tuple(value.shape))))
    return module


def tensors(row: Layer, inputs: list[Any], dtype: str, grad: bool = False) -> list[Any]:
    out = []
    for place, value in enumerate(inputs):
        if not isinstance(value, np.ndarray):
            out.append(value)
        elif is_real(value):
            wants = grad and row.differentiable and place not in row.constant
            out.append(lamina.tensor(value.astype(dtype), requires_grad=wants))
        else:
            out.append(lamina.tensor(value))
    return out


def flat(result: Any) -> list[Any]:
    """The tensors of a result, nested tuples (an LSTM's) opened."""
    return [
        t for item in listed(result) for t in (flat(item) if isinstance(item, tuple) else [item])
    ]


def wanted_of(row: Layer, module: nn.Module, inputs: list[Any], dtype: str) -> list[Any]:
    state = {
        key: np.asarray(value.tolist(), np.float64 if value.is_floating_point() else np.int64)
        for key, value in module.state_dict().items()
    }
    arrays = [v.astype(dtype).astype(float) if is_real(v) else v for v in inputs]
    with np.errstate(all="ignore"):  # the mean of no terms
        return flat(row.reference(state, *arrays))


def assert_values(row: Layer, got: Any, wanted: list[Any], dtype: str, what: str) -> None:
    results = flat(got)
    assert len(results) == len(wanted), what
    for value, want in zip(results, wanted, strict=True):
        if want is None:
            continue
        want = np.asarray(want)
        assert tuple(value.shape) == want.shape, f"{what}: {tuple(value.shape)}, not {want.shape}"
        if want.dtype.kind != "f":
            np.testing.assert_array_equal(value.numpy(), want, what)
            continue
        assert value.dtype == getattr(lamina, dtype), what
        finite = np.abs(want[np.isfinite(want)])
        bound = row.ulps * float(np.finfo(dtype).eps) * (finite.max() if finite.size else 0.0)
        assert_close(value.detach().numpy(), want, bound, what)


def test_every_class_has_a_row():
    classes = {
        name
        for name in nn.__all__
        if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.Module)
    }
    assert sorted(set(NAMES) - classes) == []
    tested = {class_name(row) for row in ROWS}
    assert sorted(classes - tested - CONTAINERS) == []
    assert sorted(tested - classes) == []
    names = [row.name for row in ROWS]
    assert len(names) == len(set(names))


@rows
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values(row, dtype):
    for inputs in [row.inputs, *row.more]:
        module = made(row, dtype)
        wanted = wanted_of(row, module, inputs, dtype)  # before a call changes the buffers
        got = module(*tensors(row, inputs, dtype))
        assert_values(row, got, wanted, dtype, row.name)


@rows
@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_any_layout_in_memory(row, layout):
    if not row.layouts:
        return
    module = made(row, "float64")
    plain, laid = [], []
    for value in tensors(row, row.inputs, "float64"):
        if not isinstance(value, lamina.Tensor) or value.ndim == 0 or value.numel() == 0:
            plain.append(value)
            laid.append(value)
            continue
        memory, see, _ = LAYOUTS[layout](value.numpy())
        shown = see(lamina.tensor(memory))
        laid.append(shown)
        plain.append(lamina.tensor(shown.numpy().copy()))
    same = copy.deepcopy(module)
    for a, b in zip(flat(module(*laid)), flat(same(*plain)), strict=True):
        wanted = b.detach().numpy()
        if b.is_floating_point():
            finite = np.abs(wanted[np.isfinite(wanted)])
            bound = row.ulps * 2.0**-52 * (finite.max() if finite.size else 0.0)
            assert_close(a.detach().numpy(), wanted, bound, f"{row.name}, {layout}")
        else:
            np.testing.assert_array_equal(a.numpy(), wanted)


def call_of(row: Layer) -> tuple[Any, tuple[Any, ...]]:
    """A function of the inputs and the parameters, and those, for the checks of gradients."""
    module = made(row, "float64")
    inputs = tensors(row, row.inputs, "float64", grad=True)
    parameters = list(module.parameters())
    buffers = {key: value.clone() for key, value in module.named_buffers()}

    def function(*args: Any) -> Any:
        with lamina.no_grad():
            for key, value in module.named_buffers():
                value.copy_(buffers[key])
        lamina.manual_seed(3)
        outputs = flat(module(*args[: len(inputs)]))
        return tuple(y for y in outputs if y.is_floating_point() and y.requires_grad)

    return function, (*inputs, *parameters)


@rows
def test_gradient(row):
    if row.differentiable:
        function, arguments = call_of(row)
        assert gradcheck(function, arguments, eps=1e-6, atol=1e-6, rtol=1e-5)


@rows
def test_second_derivative(row):
    if row.differentiable and row.second:
        function, arguments = call_of(row)
        assert gradgradcheck(function, arguments, eps=1e-6, atol=1e-5, rtol=1e-5)


@rows
def test_what_is_left_out_has_a_reason(row):
    if not (row.differentiable and row.second and row.layouts):
        assert row.why


@rows
def test_state(row):
    module = row.make()
    assert {k: tuple(v.shape) for k, v in module.state_dict().items()} == row.state
    assert list(module.state_dict()) == list(row.state)
    source = made(row, "float32")
    other = row.make().train(row.training)
    other.load_state_dict(source.state_dict())
    for twin in (other, copy.deepcopy(source), pickle.loads(pickle.dumps(source))):
        twin.train(row.training)
        for key, value in source.state_dict().items():
            np.testing.assert_array_equal(twin.state_dict()[key].numpy(), value.numpy(), key)


@rows
def test_starts_as_the_law_says(row):
    assert sorted(row.laws) == sorted(row.state)
    lamina.manual_seed(4)
    samples: dict[str, list[np.ndarray]] = {key: [] for key in row.laws}
    drawn = any(law.cdf is not None for law in row.laws.values())
    for _ in range(4000 if drawn else 1):
        for key, value in row.make().state_dict().items():
            samples[key].append(np.asarray(value.numpy(), float).ravel())
        if all(
            law.cdf is None or sum(map(len, samples[key])) >= 4000 for key, law in row.laws.items()
        ):
            break
    for key, law in row.laws.items():
        values = np.sort(np.concatenate(samples[key]))
        if law.cdf is None:
            assert (values == law.value).all(), key
            continue
        # Kolmogorov and Smirnov's distance; a right law passes 1.95 / sqrt(n) once in a thousand.
        steps = np.arange(len(values) + 1) / len(values)
        expected = law.cdf(values)
        distance = max(np.abs(expected - steps[1:]).max(), np.abs(expected - steps[:-1]).max())
        assert distance <= 1.95 / np.sqrt(len(values)), key


@rows
def test_text(row):
    assert repr(row.make()) == row.shown


@rows
def test_refusals(row):
    for wrong in row.wrong:
        with pytest.raises(wrong.error, match=wrong.match):
            wrong.call()


@pytest.mark.parametrize("name", NAMES)
def test_documented_with_an_example(name):
    doc = getattr(nn, name).__doc__ or ""
    assert ">>>" in doc, f"{name} has no example"
