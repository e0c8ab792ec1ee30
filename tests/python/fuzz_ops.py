"""Calls of everything that is bound, with arguments that nobody would write.

Run by test_fuzz.py in a process of its own, for a crash ends the process; also a program:

    LAMINA_FUZZ_EXAMPLES=1000 LAMINA_FUZZ_SEED=7 python tests/python/fuzz_ops.py

Whatever the arguments, a call returns or raises one of the documented errors, at once: a size that
no memory holds is a MemoryError or ValueError. The process may have 1 GiB more than at its start,
so that such sizes are known without being tried.
"""

from __future__ import annotations

import copy
import faulthandler
import json
import operator
import os
import pickle
import sys
import warnings
from collections import Counter
from pathlib import Path

import hypothesis
import lamina
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lamina import _core

EXAMPLES = int(os.environ.get("LAMINA_FUZZ_EXAMPLES", "12"))
SEED = os.environ.get("LAMINA_FUZZ_SEED")
ONLY = os.environ.get("LAMINA_FUZZ_ONLY", "")
SECONDS_A_CALL = 60  # a call that takes longer hangs
GIB = 1 << 30

# It would change what later calls are run with.
LEFT_OUT = {"set_num_threads"}
ALLOWED = (
    ValueError,  # with UnicodeError
    TypeError,
    IndexError,
    RuntimeError,  # with NotImplementedError
    MemoryError,
    BufferError,
    OverflowError,
    AttributeError,
    ZeroDivisionError,  # of two Python numbers, where an operand came as a wrong argument
)
OF_CPP = ("std::", "lamina::", "basic_string", "vector<", "pybind11")

DTYPES = [lamina.float32, lamina.float64, lamina.int64, lamina.int32, lamina.uint8, lamina.bool]
SMALL = [0, 1, 2, 3, 4, 5]
EDGES = [-1, -2, -3, -5, 7, 64, 255, 256, 2**31 - 1, -(2**31), 2**31]
HUGE = [2**33, 2**40, 2**59, 2**62, 2**63 - 1, -(2**63), 2**63, -(2**70)]
FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e-8, 1e30, -1e300, 5e-324]
ODD_FLOATS = [float("inf"), float("-inf"), float("nan")]
WORDS = ["mean", "sum", "none", "floor", "trunc", "tanh", "", "cpu", "\0", "é" * 300, "ij", "2f"]
SHAPES = [(), (0,), (1,), (2,), (3,), (2, 3), (3, 2), (3, 3), (1, 3), (2, 1), (0, 3), (2, 0)]
SHAPES += [(2, 3, 4), (3, 3, 3), (1, 1, 1), (2, 0, 2), (1, 2, 3, 4), (2,) * 6, (1,) * 11, (70,)]

ints = st.one_of(*[st.sampled_from(SMALL)] * 5, st.sampled_from(EDGES), st.sampled_from(HUGE))
floats = st.one_of(st.sampled_from(FLOATS), st.sampled_from(ODD_FLOATS))
numbers = st.one_of(ints, floats, st.booleans())
sizes = st.lists(st.one_of(*[st.sampled_from(SMALL)] * 9, ints), max_size=5)


@st.composite
def tensors(draw, floating=False):
    """A tensor of any dtype, size and layout; of few shapes, so that several often fit."""
    shape = draw(st.sampled_from(SHAPES))
    dtype = draw(st.sampled_from(DTYPES[:2] if floating else DTYPES))
    rng = np.random.default_rng(draw(st.integers(0, 7)))
    layout = draw(st.sampled_from(["plain", "plain", "turned", "stepped", "spread", "offset"]))
    wide = (*shape[:-1], 2 * shape[-1] + 1) if shape and layout in ("stepped", "offset") else shape
    values = rng.integers(-1, 4, wide) + (rng.random(wide) if dtype.is_floating_point else 0)
    kind = draw(st.sampled_from(["plain"] * 4 + ["odd", "zero", "one"]))
    if kind in ("zero", "one"):
        values = np.full(wide, float(kind == "one"))
    elif kind == "odd" and values.size:
        odd = ODD_FLOATS if dtype.is_floating_point else [-(2**63), 2**63 - 1, 2**31]
        values = np.resize(np.array(odd), wide)
    with np.errstate(all="ignore"):
        x = lamina.from_numpy(np.array(values.astype(str(dtype).removeprefix("lamina."))))
    if layout == "turned":
        x = x.permute(list(reversed(range(x.ndim))))
    elif layout == "stepped" and shape:
        x = x[..., 1::2]
    elif layout == "offset" and shape:
        x = x[..., shape[-1] :][..., : shape[-1]]
    elif layout == "spread":
        x = x.expand([*draw(st.sampled_from([(), (1,), (2,)])), *shape])
    if dtype.is_floating_point and draw(st.booleans()):
        x.requires_grad_()
        if draw(st.booleans()):
            x = x * 1
    return x


arrays = st.sampled_from(
    [
        np.arange(3.0),
        np.ones((2, 3), np.float32)[::-1],
        np.array(2),
        np.zeros((0, 2), np.int8),
        np.array(["a"]),
        np.array([None]),
        np.zeros(2, [("a", "i4"), ("b", "f8")]),
        np.arange(4, dtype=">f4"),
        np.broadcast_to(np.float64(1), (2, 2)),
        np.float32(1),
    ]
)
objects = st.one_of(
    tensors(),
    numbers,
    arrays,
    sizes,
    st.sampled_from(WORDS),
    st.sampled_from(
        [None, (), {}, b"bytes", bytearray(8), object(), 1j, lambda *a: a, slice(None), ...]
    ),
    st.sampled_from([lamina.float32, lamina.device("cpu"), int, lamina.Tensor, np.float32, {}]),
    st.lists(tensors(), max_size=3),
    tensors().filter(lambda x: not x.requires_grad).map(lambda x: x.__dlpack__()),
    st.lists(st.one_of(numbers, sizes, arrays, st.none()), max_size=4),
)
index = st.one_of(
    ints,
    st.builds(slice, *[st.one_of(st.none(), ints)] * 3),
    st.sampled_from([None, ..., True, False, 1.5, "a", [0, 1], [True, False], [[0], [1]], ()]),
    tensors(),
    arrays,
)
indices = st.one_of(index, st.lists(index, max_size=4).map(tuple))
KINDS = {
    "Tensor": tensors(),
    "operand": st.one_of(tensors(), numbers),
    "number": numbers,
    "float": numbers,
    "int": ints,
    "bool": st.booleans(),
    "str": st.sampled_from(WORDS),
    "dtype": st.sampled_from([*DTYPES, float, int, bool]),
    "device": st.sampled_from(["cpu", lamina.device("cpu"), "cuda", "cuda:99", "nowhere", "cpu:1"]),
    "int[]": st.one_of(sizes, ints, st.just([1] * 70)),
    "Tensor[]": st.lists(tensors(), max_size=4),
    "Tensor?[]": st.lists(st.one_of(tensors(), st.none()), max_size=4),
    "generator": st.one_of(st.builds(lamina.Generator), objects),
    "object": objects,
    "index": indices,
}
# Where any number is meant but nearly all would be refused.
BY_NAME = {
    "reduction": st.sampled_from(["mean", "sum", "none", "all"]),
    "rounding_mode": st.sampled_from([None, "floor", "trunc", "up"]),
    "dim": st.one_of(*[st.integers(-3, 3)] * 9, ints),
    "split_size_or_sections": st.one_of(ints, sizes),
    "split_size": st.one_of(ints, sizes),
    "ndarray": st.one_of(arrays, objects),
    "ext_tensor": st.one_of(arrays, tensors(), objects),
    "memo": st.one_of(st.builds(dict), objects),
    "hook": st.sampled_from([lambda g: None, lambda g: g * 2, lambda g: g[:0], lambda g: 1, None]),
}


# Nearly no op takes arguments that have nothing to do with each other. Those of a family fit: cubes
# of one dtype, and what counts elements or dimensions stays among them.
FAMILIES = [(n, rank, dtype) for n in (1, 2, 3) for rank in (1, 2, 3) for dtype in DTYPES[:3]]
INTEGERS = {"index", "target"}
MASKS = {"mask", "condition"}


@st.composite
def relatives(draw, family, kind, name):
    """An argument of a family, or of another where there is none for its kind."""
    n, rank, dtype = family
    if kind in ("Tensor", "operand"):
        rng = np.random.default_rng(draw(st.integers(0, 7)))
        shape = (n,) * (draw(st.integers(0, rank)) if name in INTEGERS | {"bias"} else rank)
        values = rng.integers(0, n, shape) if name in INTEGERS else rng.integers(0, 3, shape)
        to = lamina.bool if name in MASKS else lamina.int64 if name in INTEGERS else dtype
        x = lamina.tensor(values).to(to)
        if to.is_floating_point and draw(st.booleans()):
            x.requires_grad_()
        if rank == 2 and draw(st.booleans()):
            x = x.T
        return x
    if kind in ("Tensor[]", "Tensor?[]"):
        return draw(st.lists(relatives(family, "Tensor", name), min_size=1, max_size=3))
    if kind == "int[]":
        return draw(
            st.one_of(
                st.permutations(range(rank)),
                st.just([n] * rank),
                st.just([n] * (rank + 1)),
                st.sampled_from([[n**rank], [-1], [1] * rank, 0]),
            )
        )
    if kind == "int":
        return draw(st.integers(0, rank - 1) if name.startswith("dim") else st.integers(0, n - 1))
    return draw(BY_NAME.get(name, KINDS[kind]))


@st.composite
def arguments(draw, line, method):
    """Positional and keyword arguments for a signature; now and then of a wrong type."""
    inside = line.partition("(")[2].partition(" -> ")[0].removesuffix(")")
    args, kwargs, by_name = [], {}, False
    family = draw(st.sampled_from([None, *FAMILIES])) if draw(st.booleans()) else None
    for position, part in enumerate(part for part in inside.split(", ") if part):
        if part == "*":
            by_name = True
            continue
        kind, _, name = part.partition(" ")
        name, has_default, _ = name.partition("=")
        if has_default and draw(st.integers(0, 3)):
            by_name = True
            continue
        variadic = kind.startswith("*")
        kind = kind.removeprefix("*")
        if kind.endswith("?") and draw(st.integers(0, 4)) == 0:
            value = None
        elif family:
            kind = kind.removesuffix("?")
            value = draw(relatives(family, "Tensor" if method and position == 0 else kind, name))
        elif method and position == 0:
            value = draw(tensors())
        elif draw(st.integers(0, 30)) == 0:
            value = draw(objects)
        else:
            kind = kind.removesuffix("?")
            value = draw(BY_NAME[name] if name in BY_NAME and kind != "int[]" else KINDS[kind])
        if by_name:
            kwargs[name] = value
        elif variadic and isinstance(value, list) and draw(st.booleans()):
            args.extend(value)
            by_name = True
        else:
            args.append(value)
    if draw(st.integers(0, 60)) == 0:
        args.append(draw(objects))
    return args, kwargs


def setter(name):
    return lambda x, value: setattr(x, name, value)


def written(x, key, value):
    x[key] = value
    return x


def deleted(x, key):
    del x[key]


# What is no row: operators, indexing, attributes, protocols.
OTHERS = [
    *(
        (f"operator.{name}({arguments})", getattr(operator, name))
        for arguments in ("Tensor a, operand b", "number a, Tensor b", "Tensor a, object b")
        for name in (
            *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"),
            *("and_", "or_", "xor", "eq", "ne", "lt", "le", "gt", "ge", "contains"),
            *("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand", "ior"),
        )
    ),
    *(
        (f"operator.{name}(Tensor a)", getattr(operator, name))
        for name in ("neg", "pos", "abs", "invert", "index", "truth", "length_hint")
    ),
    *((f"{f.__name__}(Tensor a)", f) for f in (int, float, complex, bool, len, list, repr, bytes)),
    ("getitem(Tensor x, index key)", operator.getitem),
    ("setitem(Tensor x, index key, operand value)", written),
    ("setitem_object(Tensor x, index key, object value)", written),
    ("delitem(Tensor x, index key)", deleted),
    *(
        (f"set_{name}(Tensor x, object value)", setter(name))
        for name in ("data", "grad", "requires_grad", "shape")
    ),
    ("set_data_of_tensor(Tensor x, Tensor value)", setter("data")),
    ("Tensor(object data)", lamina.Tensor),
    ("Size(object data)", lamina.Size),
    ("device(object type, object index)", lamina.device),
    ("memoryview(Tensor x)", memoryview),
    ("np.asarray(Tensor x)", np.asarray),
    ("np.add(Tensor x, operand y)", np.add),
    ("np.from_dlpack(Tensor x)", np.from_dlpack),
    ("pickle(Tensor x)", lambda x: pickle.loads(pickle.dumps(x))),
    ("copy(Tensor x)", copy.copy),
    ("deepcopy(Tensor[] x)", copy.deepcopy),
    ("tensor(object data)", lamina.tensor),
]


def rows():
    for signature, where, _ in _core._signatures():
        for line in signature.split("\n"):
            name = line.partition("(")[0]
            if name in LEFT_OUT:
                continue
            if where & 1:
                yield line, getattr(_core, name.replace(".", "_")), False
            if where & 2:
                yield f"Tensor.{line}", getattr(lamina.Tensor, name), True
    for line, function in OTHERS:
        yield line, function, False


def touch(value, depth=0):
    """Use what came out: look at it, copy it, walk back through its graph."""
    if isinstance(value, lamina.Tensor):
        repr(value)
        if value.numel() <= 4096:
            value.tolist()
            copied = value.clone()
            if copied.requires_grad:
                copied.sum().backward()
            else:
                copied.numpy()
    elif isinstance(value, (list, tuple)) and depth < 3:
        for item in value[:50]:
            touch(item, depth + 1)


def shown(value):
    if isinstance(value, lamina.Tensor):
        grad = " requires_grad" if value.requires_grad else ""
        return f"<{tuple(value.shape)} by {tuple(value.stride())} {value.dtype}{grad}>"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(shown, value[:8])) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {shown(v)}" for k, v in value.items()) + "}"
    return repr(value)[:100]


class Report:
    """Counts, and the call that is running, in a file that a crash leaves behind."""

    def __init__(self, path):
        self.outcomes = Counter()
        self.rows = 0
        self.never = []
        self.handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600) if path else None

    def started(self, text):
        if self.handle is not None:
            os.pwrite(self.handle, text.encode("utf-8", "replace")[:4000].ljust(4000), 0)


def check_error(error):
    """A documented error in the user's words."""
    text = str(error)
    assert text or isinstance(error, MemoryError), f"{type(error).__name__} without a text"
    assert not any(part in text for part in OF_CPP), text


def fuzz(line, function, method, report):
    worked = 0

    @settings(
        max_examples=EXAMPLES,
        derandomize=SEED is None,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(arguments(line, method))
    def check(call):
        nonlocal worked
        args, kwargs = call
        report.started(f"{line}\n  {shown(args)} {shown(kwargs)}")
        faulthandler.dump_traceback_later(SECONDS_A_CALL, exit=True)
        try:
            touch(function(*args, **kwargs))
        except ALLOWED as error:
            check_error(error)
            report.outcomes[type(error).__name__] += 1
        else:
            worked += 1
            report.outcomes["returned"] += 1
        finally:
            _core.set_default_dtype(lamina.float32)
            _core.set_grad_enabled(True)
            _core.set_printoptions(profile="default")

    run = check if SEED is None else hypothesis.seed(int(SEED))(check)
    run()
    report.rows += 1
    if not worked:
        report.never.append(line.partition("(")[0])


def limit_memory():
    """Allow 1 GiB more than now; a sanitizer has a limit of its own for that (see .ci)."""
    if sys.platform != "linux" or "ASAN_OPTIONS" in os.environ:
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    used = pages * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + GIB, resource.RLIM_INFINITY))


def main():
    faulthandler.enable()
    warnings.simplefilter("ignore")
    report = Report(os.environ.get("LAMINA_FUZZ_LOG"))
    limit_memory()
    chosen = [row for row in rows() if ONLY in row[0]]
    for line, function, method in chosen:
        fuzz(line, function, method, report)
    faulthandler.cancel_dump_traceback_later()
    counts = dict(report.outcomes.most_common())
    print(
        json.dumps(
            {
                "rows": report.rows,
                "calls": sum(counts.values()),
                "outcomes": counts,
                "never": report.never,
            }
        )
    )


if __name__ == "__main__":
    main()
