"""lamina.testing.assert_close."""

from __future__ import annotations

import lamina
import numpy as np
import pytest
from lamina import nn
from lamina.testing import assert_close

NAN, INF = float("nan"), float("inf")
T = lamina.tensor


@pytest.mark.parametrize(
    ("actual", "expected", "options"),
    [
        (T([1.0, 2.0]), T([1.0, 2.0]), {}),
        (T([1.0]), T([1.0 + 1e-6]), {}),
        (T([0.0]), T([9e-6]), {}),
        (T([0.0], dtype=lamina.float64), T([9e-8], dtype=lamina.float64), {}),
        (T([INF, -INF]), T([INF, -INF]), {}),
        (T([NAN]), T([NAN]), {"equal_nan": True}),
        (T([1, 2]), T([1, 2]), {}),
        (T([1, 2]), T([1.0, 2.0]), {"check_dtype": False}),
        (T([True]), T([True]), {}),
        (T([10.0]), T([10.5]), {"rtol": 0.05, "atol": 0.0}),
        (T([1, 5]), T([2, 4]), {"rtol": 0.0, "atol": 1.0}),
        (lamina.zeros(0, 3), lamina.zeros(0, 3), {}),
        (lamina.ones(3, 2).T, lamina.ones(2, 3), {}),
        (nn.Parameter(T([1.0])), T([1.0]), {}),
        (T([1.0]).requires_grad_(), T([1.0]), {}),
        (1, 1, {}),
        (1.0, 1.0 + 9e-8, {}),
        (INF, INF, {}),
        (NAN, NAN, {"equal_nan": True}),
        (1, 1.0, {"check_dtype": False}),
        (2j, 2j, {}),
        (None, None, {}),
        (True, True, {}),
        ([1, (T([1.0]), None)], (1, [T([1.0]), None]), {}),
        ({"a": [1.0], 2: {}}, {2: {}, "a": [1.0]}, {}),
        (np.ones(2), np.ones(2), {}),
    ],
)
def test_close(actual, expected, options):
    assert_close(actual, expected, **options)


WORST = (
    r"Mismatched elements: 2 / 6 \(33\.3%\)\n"
    r"Greatest absolute difference: 3\.0 at index \(1, 2\) \(up to 1e-05 allowed\)\n"
    r"Greatest relative difference: 0\.5 at index \(0, 1\) \(up to 1\.3e-06 allowed\)"
)


@pytest.mark.parametrize(
    ("actual", "expected", "options", "text"),
    [
        (
            T([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]),
            T([[0.0, 2.0, 2.0], [3.0, 4.0, 8.0]]),
            {},
            r"Tensor-likes are not close!\n\n" + WORST + "$",
        ),
        (
            T([1, 2, 3]),
            T([1, 9, 3]),
            {},
            (
                r"Tensor-likes are not equal!\n\nMismatched elements: 1 / 3 \(33\.3%\)\n"
                r"Greatest absolute difference: 7 at index \(1,\)\n"
                r"Greatest relative difference: 0\.777\d* at index \(1,\)$"
            ),
        ),
        (T([255], dtype=lamina.uint8), T([0], dtype=lamina.uint8), {}, "difference: 255 at index"),
        (T([-(2**63)]), T([0]), {}, "not equal"),
        (T([2**62 + 1]), T([2**62]), {}, "absolute difference: 1 at index"),
        (T([True, False]), T([True, True]), {}, r"difference: 1 at index \(1,\)"),
        (
            T(1.0),
            T(2.0),
            {},
            (
                r"Scalars are not close!\n\nExpected 2\.0 but got 1\.0\.\n"
                r"Absolute difference: 1\.0 \(up to 1e-05 allowed\)\n"
                r"Relative difference: 0\.5 \(up to 1\.3e-06 allowed\)$"
            ),
        ),
        (T([NAN]), T([NAN]), {}, r"difference: nan at index \(0,\)"),
        (T([1.0, NAN]), T([1.0, 2.0]), {"equal_nan": True}, r"nan at index \(1,\)"),
        (T([INF]), T([-INF]), {}, r"difference: inf at index \(0,\)"),
        (T([1.0]), T([INF]), {}, "not close"),
        (T([1.0, 0.5]), T([0.0, 0.5]), {}, r"relative difference: inf at index \(0,\)"),
        (T([0.0]), T([2e-5]), {}, "not close"),
        (T([1.0]), T([1.0 + 2e-7], dtype=lamina.float64), {"check_dtype": False}, None),
        (T([1.0]), T([1.0, 1.0]), {}, r"'shape' do not match: .*\[1\].* != .*\[2\]"),
        (T([1.0]), T([1]), {}, "'dtype' do not match: lamina.float32 != lamina.int64"),
        (
            lamina.ones(2, 3).T,
            lamina.ones(3, 2),
            {"check_stride": True},
            r"'stride\(\)' do not match: \(1, 3\) != \(2, 1\)",
        ),
        (1, 2, {}, r"Scalars are not equal!\n\nExpected 2 but got 1\.\nAbsolute difference: 1\n"),
        (1.0, INF, {}, r"Expected inf but got 1\.0"),
        (1, 1.0, {}, "types do not match: <class 'int'> != <class 'float'>"),
        (1, None, {}, "None mismatch: 1 is not None"),
        (True, False, {}, "Booleans mismatch: True is not False"),
        ([1], [1, 2], {}, "length of the sequences mismatch: 1 != 2"),
        (
            {"a": 1, "c": 2},
            {"a": 1, "b": 2},
            {},
            r"Missing keys in the actual mapping: \['b'\]\nAdditional .*: \['c'\]",
        ),
        (
            {"layers": [T([1.0]), (T([1.0]), T([2.0]))]},
            {"layers": [T([1.0]), (T([1.0]), T([3.0]))]},
            {},
            r"1 / 1 .*\n\nThe failure occurred for item \['layers'\]\[1\]\[1\]$",
        ),
        (np.ones(2), np.zeros(2), {}, r"2 / 2 \(100\.0%\)"),
        (T([1.0]), T([2.0]), {"msg": "my text"}, "^my text$"),
        (
            T([1.0]),
            T([2.0]),
            {"msg": lambda text: "At step 3: " + text},
            "^At step 3: Tensor-likes",
        ),
    ],
)
def test_not_close(actual, expected, options, text):
    if text is None:  # the wider tolerance of the two dtypes
        return assert_close(actual, expected, **options)
    with pytest.raises(AssertionError, match=f"(?s){text}"):
        assert_close(actual, expected, **options)
    return None


@pytest.mark.parametrize(
    ("actual", "expected", "options", "error", "text"),
    [
        ("a", "a", {}, TypeError, "cannot compare str with str"),
        (T([1.0]), 1.0, {}, TypeError, "cannot compare Tensor with float"),
        (T([1.0]), [1.0], {}, TypeError, "cannot compare Tensor with list"),
        ([T([1.0])], [np.ones(1)], {}, TypeError, r"Tensor with ndarray at item \[0\]"),
        (
            nn.Parameter(T([1.0])),
            T([1.0]),
            {"allow_subclasses": False},
            TypeError,
            "cannot compare Parameter with Tensor",
        ),
        (1.0, 1.0, {"rtol": 0.1}, ValueError, "got no atol"),
        (1.0, 1.0, {"atol": 0.1}, ValueError, "got no rtol"),
        (1.0, 1.0, {"atol": -1.0, "rtol": 0.0}, ValueError, "must be 0 or more"),
    ],
)
def test_what_cannot_be_compared(actual, expected, options, error, text):
    with pytest.raises(error, match=f"assert_close: .*{text}"):
        assert_close(actual, expected, **options)
