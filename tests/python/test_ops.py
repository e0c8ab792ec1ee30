"""Every public op, checked against the op table (op_table.py)."""

from __future__ import annotations

import re
import warnings

import lamina
import numpy as np
import op_check
import op_table
import op_table_math
import op_table_pointwise
import op_table_scan
import pytest
from lamina import _core, autograd
from op_check import SIGNATURES, assert_result, listed, operation, sources, tensors, weighted
from op_table_row import FLOATS, Row, Sample, is_real

ROWS = {row.name: row for row in op_table.ROWS}

# Central differences of step h = 1e-5 in float64 are off by h^2 / 6 of a third derivative and by
# 2e-16 / h of the values, some 1e-11 each for the samples' numbers.
DIFFERENCES = {"eps": 1e-5, "rtol": 1e-6, "atol": 2e-9}

INTS = ("bool", "uint8", "int32", "int64")
ALL = (*INTS, *FLOATS)


def has_float(row: Row) -> bool:
    return any(is_real(a) for sample in row.samples for a in sample.args)


def differentiable(row: Row) -> bool:
    return row.differentiable and has_float(row)


# -- 1, 4: values ----------------------------------------------------------------------------------


def forms(row: Row, sample: Sample):
    """The op itself, its aliases, and its method where the function has one."""
    yield operation(row)
    if row.call or not isinstance(sample.args[0], np.ndarray):
        return
    for name in (row.name, *row.aliases):
        wheres = [where for _, where in SIGNATURES.get(name, [])]
        if any(where & 2 for where in wheres):
            yield lambda x, *args, _n=name, **kwargs: getattr(x, _n)(*args, **kwargs)
        if name != row.name and any(where & 1 for where in wheres):
            yield getattr(_core, name)


def check_forward(row: Row) -> None:
    for dtype in FLOATS if has_float(row) else ["float32"]:
        for plain in [*row.samples, *row.wide]:
            sample = plain.cast(dtype)
            for function in forms(row, sample):
                result = function(*tensors(sample), **sample.kwargs)
                assert_result(row, sample, result, dtype)


def check_edges(row: Row) -> None:
    """Size 0 and 0-d, forward and backward."""
    for dtype in FLOATS:
        for plain in row.edges:
            sample = plain.cast(dtype)
            arguments = tensors(sample, row if row.differentiable else None)
            result = operation(row)(*arguments, **sample.kwargs)
            assert_result(row, sample, result, dtype)
            outputs = [y for y in listed(result) if getattr(y, "requires_grad", False)]
            if outputs:
                autograd.backward([y.sum() for y in outputs])
                for x in sources(arguments):
                    assert x.grad is None or x.grad.shape == x.shape


def check_specials(row: Row) -> None:
    """NaN, infinities, zeros of either sign and subnormal numbers, as NumPy has them."""
    for dtype in FLOATS:
        for plain in row.specials(dtype):
            sample = plain.cast(dtype)
            result = operation(row)(*tensors(sample), **sample.kwargs)
            assert_result(row, sample, result, dtype, specials=True)


# -- 2, 3: gradients -------------------------------------------------------------------------------


def small(sample: Sample) -> bool:
    return all(a.size <= 18 for a in sample.args if isinstance(a, np.ndarray))


def gradient_case(row: Row, sample: Sample):
    kwargs = sample.kwargs
    return lambda *args: operation(row)(*args, **kwargs), tensors(sample, row)


def check_gradient(row: Row) -> None:
    for sample in row.samples:
        if any(is_real(a) for a in sample.args):
            function, arguments = gradient_case(row, sample)
            assert autograd.gradcheck(function, arguments, **DIFFERENCES)


def check_second(row: Row) -> None:
    for sample in filter(small, row.samples[:6]):
        if any(is_real(a) for a in sample.args):
            function, arguments = gradient_case(row, sample)
            assert autograd.gradgradcheck(function, arguments, **DIFFERENCES)


def gradients(row: Row, sample: Sample, create_graph: bool) -> list[np.ndarray]:
    arguments = tensors(sample, row)
    result = operation(row)(*arguments, **sample.kwargs)
    wanted = sources(arguments)
    found = autograd.grad(
        weighted(result), wanted, create_graph=create_graph, materialize_grads=True
    )
    return [g.detach().double().numpy() for g in found]


def check_paths(row: Row) -> None:
    """The fused backward in float32 and float64, and the composed one that create_graph takes.

    float64 is held to differences by check_gradient; here float32, and longer inputs, are held to
    float64. 128 eps: a derivative such as 1 / (1 + x) magnifies a rounding by up to 100.
    """
    for sample in [*row.samples, *row.wide]:
        if not any(is_real(a) for a in sample.args):
            continue
        narrow = sample.cast("float32")
        wide = Sample(
            *[a.astype(float) if getattr(a, "dtype", 0) == "float32" else a for a in narrow.args],
            **sample.kwargs,
        )
        exact = gradients(row, wide, False)
        for found, eps in (
            (gradients(row, wide, True), 2.3e-16),
            (gradients(row, narrow, False), 1.2e-7),
            (gradients(row, narrow, True), 1.2e-7),
        ):
            for g, want in zip(found, exact, strict=True):
                scale = np.abs(want) if row.error is None else np.abs(want).max(initial=0.0)
                bound = 128 * eps * np.maximum(scale, 1.0)
                op_check.assert_close(g, want, bound, f"{row.name}{sample} gradient")


# -- 4: layouts ------------------------------------------------------------------------------------


def check_layouts(row: Row) -> None:
    """Transposed, sliced and expanded inputs give what contiguous copies of them give."""
    for sample in row.samples:
        for layout in op_check.LAYOUTS:
            plain, other, leaves = op_check.laid_out(row, sample, layout)
            wanted = operation(row)(*plain, **sample.kwargs)
            got = operation(row)(*other, **sample.kwargs)
            what = f"{row.name}{sample} {layout}"
            for y, want in zip(listed(got), listed(wanted), strict=True):
                if isinstance(y, lamina.Tensor):
                    same_numbers(y.detach().numpy(), want.detach().numpy(), what)
                else:
                    assert y == want, what
            if not row.differentiable or not any(y.requires_grad for y in listed(got)):
                continue
            weighted(wanted).backward()
            weighted(got).backward()
            for x, leaf in zip(plain, leaves, strict=True):
                if isinstance(x, lamina.Tensor) and x.grad is not None:
                    gradient, back = x.grad.numpy(), leaf[1]
                    same_numbers(leaf[0].grad.numpy(), back(gradient), what + " gradient")


def same_numbers(got: np.ndarray, wanted: np.ndarray, what: str) -> None:
    """Equal but for the order in which at most a few dozen terms of size about 1 were added."""
    assert got.shape == wanted.shape, what
    scale = np.nanmax(np.abs(wanted), initial=1.0) if wanted.dtype.kind == "f" else 0
    np.testing.assert_allclose(got, wanted, rtol=0, atol=64 * 2.3e-16 * scale, err_msg=what)


# -- 6: dtypes -------------------------------------------------------------------------------------

KEPT = {d: d for d in ALL}
FLOAT = {d: d if d in FLOATS else "float32" for d in ALL}
REFUSED = dict.fromkeys(INTS)
# The result's dtype for each dtype of the first tensor; None where it is refused with a TypeError.
DTYPE_RULES = {
    "keep": KEPT,
    "number": {**KEPT, "bool": None},
    "float": FLOAT,
    "floating": {**KEPT, **REFUSED},
    "sum": {**KEPT, **dict.fromkeys(INTS, "int64")},
    "bool": dict.fromkeys(ALL, "bool"),
    "truth": {**dict.fromkeys(ALL, "bool"), "uint8": "uint8"},  # as PyTorch says
    "position": dict.fromkeys(ALL, "int64"),
    "diff": KEPT,
    "clamp": {**FLOAT},  # with limits that are floats
    "masked_fill": KEPT,
    "where": KEPT,
}
BINARY_RULES = ("promote", "promote number", "promote float")


def numbers(a: np.ndarray, dtype: str) -> np.ndarray:
    """Some small positive numbers of a dtype in place of an array's."""
    return (1 + np.arange(a.size) % 2).reshape(a.shape).astype(dtype)


def converted(sample: Sample, first: str, others: str | None = None) -> Sample:
    args = list(sample.args)
    kinds = [first] + [others or first] * len(args)
    at = 0
    for k, a in enumerate(args):
        if is_real(a):
            args[k] = numbers(a, kinds[at])
            at += 1
    return Sample(*args, **sample.kwargs)


def promoted(a: str, b: str) -> str:
    """PyTorch's lattice, for two tensors with dimensions."""
    return max(a, b, key=ALL.index)


def check_dtypes(row: Row) -> None:
    sample = row.samples[0]
    function = operation(row)
    pairs = [(d, d) for d in ALL]
    if row.dtypes in BINARY_RULES:
        pairs = [(a, b) for a in ALL for b in ALL]
    for first, second in pairs:
        rule = DTYPE_RULES.get(row.dtypes)
        wanted = rule[first] if rule else promoted(first, second)
        if row.dtypes == "promote float":
            wanted = FLOAT[wanted]
        if row.dtypes == "promote number" and wanted == "bool":
            wanted = None
        case = converted(sample, first, second)
        arguments = tensors(case)
        if wanted is None:
            with pytest.raises(TypeError, match=first):
                function(*arguments, **case.kwargs)
            continue
        result = function(*arguments, **case.kwargs)
        y = listed(result)[0]
        assert y.dtype == getattr(lamina, wanted), f"{row.name} of {first} and {second}"
        exact = reference_of(row, case)
        if wanted not in FLOATS:  # as a cast does: bools saturate, integers wrap
            exact = exact.astype(np.int64 if wanted != "bool" else bool).astype(wanted)
        np.testing.assert_allclose(y.double().numpy(), exact, rtol=1e-6, atol=1e-6)


def reference_of(row: Row, case: Sample) -> np.ndarray:
    args = [
        a.astype(np.float64) if isinstance(a, np.ndarray) and not keeps(row, k) else a
        for k, a in enumerate(case.args)
    ]
    with np.errstate(all="ignore"):
        wanted = np.asarray(listed(row.reference(*args, **case.kwargs))[0])
    return wanted.astype(float)


def keeps(row: Row, k: int) -> bool:
    """Arguments that are masks, targets or indices."""
    sample = row.samples[0].args[k]
    return isinstance(sample, np.ndarray) and not is_real(sample)


# -- 7: in place, into an output, through a view ---------------------------------------------------


def in_place_names(row: Row) -> list[str]:
    elsewhere = [n for names in op_table.ELSEWHERE.values() for n in names]
    names = [f"{name}_" for name in (row.name, *row.aliases)]
    return [name for name in names if name in SIGNATURES and name not in elsewhere]


def in_place_form(name: str):
    """A method or, of an activation, a function."""
    return getattr(lamina.Tensor, name, None) or getattr(_core, name)


def in_place_samples(row: Row) -> list[Sample]:
    """Those whose result has the sizes of the first argument."""
    return [
        s
        for s in row.samples
        if isinstance(s.args[0], np.ndarray)
        and (is_real(s.args[0]) or not has_float(row))
        and op_check.reference(row, s)[0].shape == s.args[0].shape
    ]


def check_in_place(row: Row) -> None:
    for name in in_place_names(row):
        check_in_place_form(row, name)


def check_in_place_form(row: Row, name: str) -> None:
    def in_place(x, *args, **kwargs):
        own = x.clone()
        version, address = own._version, own.data_ptr()
        result = in_place_form(name)(own, *args, **kwargs)
        assert result is own
        assert own._version > version, f"{name} must be seen by who saved the tensor"
        assert own.data_ptr() == address
        return own

    for sample in in_place_samples(row):
        for layout in ("plain", "transposed", "sliced"):
            if layout == "plain":
                first, second = tensors(sample, row), tensors(sample, row)
            elif sample.args[0].ndim and sample.args[0].size:
                first, _, _ = op_check.laid_out(row, sample, layout)
                second, _, _ = op_check.laid_out(row, sample, layout)
            wanted = operation(row)(*first, **sample.kwargs)
            got = in_place(*second, **sample.kwargs)
            assert got.tolist() == wanted.tolist(), f"{name}{sample} {layout}"
            if not wanted.requires_grad:
                assert not row.differentiable
                continue
            weighted(wanted).backward()
            weighted(got).backward()
            for x, y in zip(sources(first), sources(second), strict=True):
                assert y.grad.tolist() == x.grad.tolist(), f"{name}{sample} {layout} gradient"
        check_strided_write(row, name, sample)


def check_strided_write(row: Row, name: str, sample: Sample) -> None:
    """Written through a view, the elements between stay as they were."""
    memory, see, _ = op_check.sliced(np.atleast_1d(sample.args[0]))
    whole = lamina.tensor(memory)
    shown = see(whole)
    x = shown.clone()
    wanted = operation(row)(x, *tensors(sample)[1:], **sample.kwargs)
    in_place_form(name)(shown, *tensors(sample)[1:], **sample.kwargs)
    assert shown.tolist() == wanted.tolist()
    mask = np.ones(memory.shape, bool)
    mask[(slice(1, None, 2),) * memory.ndim] = False
    assert (whole.numpy()[mask] == 1).all()


def takes_out(row: Row) -> bool:
    return any("? out=" in line for line, _ in SIGNATURES.get(row.name, []))


def check_out(row: Row) -> None:
    function = operation(row)
    for sample in row.samples:
        arguments = tensors(sample)
        wanted = function(*arguments, **sample.kwargs)
        out = lamina.empty_like(wanted)
        version = out._version
        assert function(*arguments, **sample.kwargs, out=out) is out
        assert out.tolist() == wanted.tolist()
        assert out._version > version
        # Into every second column of something larger.
        shape = tuple(wanted.shape)
        if not shape:
            continue
        memory = lamina.full((*shape[:-1], 2 * shape[-1]), 7.0, dtype=wanted.dtype)
        between = memory[..., 1::2].tolist()
        function(*arguments, **sample.kwargs, out=memory[..., ::2])
        assert memory[..., ::2].tolist() == wanted.tolist()
        assert memory[..., 1::2].tolist() == between
    sample = row.samples[0]
    arguments = tensors(sample)
    wanted = function(*arguments, **sample.kwargs)
    with pytest.raises(ValueError, match=rf"^{row.name}: out has the wrong sizes\n"):
        function(*arguments, **sample.kwargs, out=lamina.ones(7, dtype=lamina.float64))
    if wanted.is_floating_point():
        with pytest.raises(TypeError, match=rf"^{row.name}: the result is float64 and can't be"):
            function(*arguments, **sample.kwargs, out=wanted.long())
    # Of those whose operands may as well be flat.
    flat = (*op_table_pointwise.ROWS, *op_table_math.ROWS, *op_table_scan.ROWS)
    if wanted.shape == arguments[0].shape and any(row is r for r in flat):
        overlapping(row, function)
    if row.differentiable:
        with pytest.raises(RuntimeError, match=rf"^{row.name}: out= takes no part in gradients"):
            function(*tensors(sample, row), **sample.kwargs, out=lamina.empty_like(wanted))


def overlapping(row: Row, function) -> None:
    """An out= that is an operand is fine; one that half covers it would be read after writing.

    It is refused, or written when all was read, by ops that have no kernel of their own.
    """
    first, *rest = tensors(row.samples[0])
    memory = lamina.cat([first.reshape(-1), first.reshape(-1)[:1]])
    kept = memory.clone()
    rest = [r.reshape(-1) if isinstance(r, lamina.Tensor) else r for r in rest]
    expected = function(kept[:-1], *rest).tolist()
    try:
        function(memory[:-1], *rest, out=memory[1:])
    except RuntimeError as e:
        assert re.match(rf"{row.name}: the output overlaps operand", str(e))  # noqa: PT017
        assert memory.tolist() == kept.tolist()
    else:
        assert memory[1:].tolist() == expected
        assert memory[0].item() == kept[0].item()
    wanted = function(first, *tensors(row.samples[0])[1:])
    assert function(first, *tensors(row.samples[0])[1:], out=first) is first
    assert first.tolist() == wanted.tolist()


def check_view(row: Row) -> None:
    """A view shows the same memory, and a write through it has the right gradient."""
    for sample in row.samples:
        x = tensors(sample)[0]
        low, high = x.data_ptr(), x.data_ptr() + x.numel() * x.element_size()
        for y in listed(operation(row)(x, *sample_rest(sample))):
            assert y.numel() == 0 or low <= y.data_ptr() < high
        before = x.clone()
        view = listed(operation(row)(x, *sample_rest(sample)))[0]
        if 0 in view.stride():  # one element seen several times
            with pytest.raises(RuntimeError, match=r"^mul_?: .*expanded.*clone\(\)"):
                view.mul_(3.0)
            continue
        if view.numel() == 0:
            continue
        view.mul_(3.0)
        assert not _core.equal(x, before)
        assert x._version > 0

        def write(x, sample=sample):
            own = x * 1.0
            shown = listed(operation(row)(own, *sample_rest(sample)))[0]
            shown.mul_(3.0)
            return own.sin(), shown.exp()

        if row.differentiable:
            leaf = tensors(sample, row)[0]
            assert autograd.gradcheck(write, (leaf,), **DIFFERENCES)


def sample_rest(sample: Sample) -> list:
    """The other arguments, by position."""
    return [*tensors(sample)[1:], *sample.kwargs.values()]


# -- 8: errors -------------------------------------------------------------------------------------


def check_errors(row: Row) -> None:
    for wrong in row.wrong:
        with pytest.raises(wrong.error, match=wrong.match):
            wrong.call()


CHECKS = {
    "forward": (check_forward, lambda row: True),
    "gradient": (check_gradient, differentiable),
    "paths": (check_paths, differentiable),
    "second": (check_second, lambda row: differentiable(row) and row.second),
    "layouts": (check_layouts, lambda row: row.layouts),
    "edges": (check_edges, lambda row: row.edges),
    "specials": (check_specials, lambda row: row.specials),
    "dtypes": (check_dtypes, lambda row: row.dtypes),
    "inplace": (check_in_place, in_place_names),
    "out": (check_out, takes_out),
    "view": (check_view, lambda row: row.is_view),
    "errors": (check_errors, lambda row: row.wrong),
}
CASES = [
    pytest.param(check, row, id=f"{row.name}[{name}]")
    for row in op_table.ROWS
    for name, (check, applies) in CHECKS.items()
    if applies(row)
]


@pytest.mark.parametrize(("check", "row"), CASES)
def test_op(check, row):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(row)
