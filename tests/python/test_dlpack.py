"""DLPack, both ways: the matrix of libraries, and capsules by hand for what they never send."""

from __future__ import annotations

import ctypes
import gc
import importlib
import importlib.util
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import lamina
import numpy as np
import pytest

DTYPES = ["bool", "uint8", "int32", "int64", "float32", "float64"]
LAYOUTS = {
    "plain": lambda x: x,
    "0-d": lambda x: x[1, 2, ...],
    "empty": lambda x: x[:0],
    "transposed": lambda x: x.T,
    "offset": lambda x: x[1:, 2:],
    "stepped": lambda x: x[:, ::2],
    "row": lambda x: x[2],
}


# -- the matrix ----------------------------------------------------------------------------------


class NumPy:
    name = "numpy"
    shares = True

    def __init__(self):
        self.module = importlib.import_module(self.name)

    def of(self, array):
        return array

    def take(self, tensor):
        return np.from_dlpack(tensor)

    def to_numpy(self, x):
        return np.asarray(x)

    def address(self, x):
        return x.ctypes.data

    def refuses(self, dtype, layout):
        return False


class Torch(NumPy):
    name = "torch"

    def of(self, array):
        return self.module.from_numpy(array)

    def take(self, tensor):
        return self.module.from_dlpack(tensor)

    def to_numpy(self, x):
        return x.numpy()

    def address(self, x):
        return x.data_ptr()


class Jax(NumPy):
    name = "jax"
    shares = False  # copies what is not aligned as it likes

    def __init__(self):
        super().__init__()
        self.module.config.update("jax_enable_x64", True)

    def of(self, array):
        return self.module.numpy.asarray(array)

    def take(self, tensor):
        return self.module.numpy.from_dlpack(tensor)

    def refuses(self, dtype, layout):
        return layout in ("stepped", "offset")  # "only trivial striding is supported"


class Mlx(NumPy):
    name = "mlx.core"
    shares = False

    def of(self, array):
        return self.module.array(array)

    def take(self, tensor):
        return self.module.from_dlpack(tensor)

    def to_numpy(self, x):
        return np.array(x)

    def refuses(self, dtype, layout):
        return dtype == "float64"  # becomes float32


OTHERS = [Torch, Jax, Mlx]
# A process has NumPy and at most one other: they start threads, which the tests of fork() may not
# meet, and one that crashes should not take the suite along.
OTHER = os.environ.get("LAMINA_DLPACK_OTHER", "")


@pytest.fixture(
    params=[NumPy, *(library for library in OTHERS if library.name == OTHER)],
    ids=lambda library: library.name,
)
def library(request):
    return request.param()


@pytest.mark.skipif(OTHER != "", reason="needs the process that has NumPy alone")
@pytest.mark.parametrize("name", [library.name for library in OTHERS])
def test_the_matrix_with(name):
    try:
        found = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        found = None
    if found is None:
        pytest.skip(f"needs {name}")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", name],
        capture_output=True,
        text=True,
        env={**os.environ, "LAMINA_DLPACK_OTHER": name},
        cwd=Path(__file__).parents[2],
        timeout=600,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


def example(dtype):
    return (np.arange(12).reshape(3, 4) % 5).astype(dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_to_another_library(library, dtype, layout):
    source = lamina.from_numpy(example(dtype))
    x = LAYOUTS[layout](source)
    if library.refuses(dtype, layout):
        pytest.skip(f"{library.name} does not take {dtype}, {layout}")
    theirs = library.take(x)
    array = library.to_numpy(theirs)
    expected = LAYOUTS[layout](example(dtype))
    assert array.dtype == dtype
    assert array.shape == expected.shape
    assert array.tolist() == expected.tolist()
    if library.shares and x.numel():
        assert library.address(theirs) == x.data_ptr()
        source.zero_()
        assert not library.to_numpy(theirs).any()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_from_another_library(library, dtype, layout):
    if dtype == "float64" and library.name == "mlx.core":
        pytest.skip("mlx.core makes float32 of float64")
    theirs = library.of(LAYOUTS[layout](example(dtype)))
    x = lamina.from_dlpack(theirs)
    expected = LAYOUTS[layout](example(dtype))
    assert str(x.dtype) == f"lamina.{dtype}"
    assert x.shape == expected.shape
    assert x.tolist() == expected.tolist()
    if library.shares and x.numel():
        assert x.data_ptr() == library.address(theirs)
        x.zero_()
        assert not library.to_numpy(theirs).any()


def test_the_consumer_outlives_the_tensor(library):
    x = lamina.arange(1000.0)
    theirs = library.take(x[10:20] if library.name != "jax" else x[:10])
    first = x[10].item() if library.name != "jax" else 0.0
    before = lamina.allocator_stats()["live_bytes"]
    del x
    gc.collect()
    junk = [lamina.full((1000,), -1.0) for _ in range(20)]  # would take the memory if it were free
    assert library.to_numpy(theirs)[0] == first
    del junk, theirs
    gc.collect()
    assert lamina.allocator_stats()["live_bytes"] <= before


def test_the_tensor_outlives_the_producer(library):
    theirs = library.of(np.arange(1000.0, dtype=np.float32))
    x = lamina.from_dlpack(theirs)[5:]
    del theirs
    gc.collect()
    junk = [library.of(np.full(1000, -1.0, np.float32)) for _ in range(20)]
    assert x[:3].tolist() == [5.0, 6.0, 7.0]
    del junk


def test_a_numpy_array_is_released_with_its_last_tensor():
    a = np.arange(3.0)
    ref = weakref.ref(a)
    x = lamina.from_dlpack(a)
    y = x[1:]
    del a, x
    gc.collect()
    assert ref() is not None
    # The last tensor may die in a thread that never saw NumPy.
    holder = [y]
    del y
    thread = threading.Thread(target=holder.clear)
    thread.start()
    thread.join()
    gc.collect()
    assert ref() is None


def test_read_only_memory_stays_read_only():
    a = np.arange(3.0)
    a.flags.writeable = False
    x = lamina.from_dlpack(a)
    with pytest.raises(RuntimeError, match="read-only"):
        x.zero_()
    back = np.from_dlpack(x)
    assert not back.flags.writeable
    with pytest.raises(BufferError, match=r"read-only.*max_version=\(1, 0\).*clone"):
        x.__dlpack__()
    assert np.from_dlpack(lamina.ones(2)).flags.writeable


# -- the arguments of the protocol ---------------------------------------------------------------


def name_of(capsule):
    get = ctypes.pythonapi.PyCapsule_GetName
    get.restype, get.argtypes = ctypes.c_char_p, [ctypes.py_object]
    return get(capsule).decode()


def test_the_version_is_the_newest_that_both_know():
    x = lamina.ones(2)
    assert name_of(x.__dlpack__()) == "dltensor"
    assert name_of(x.__dlpack__(max_version=(0, 8))) == "dltensor"
    assert name_of(x.__dlpack__(max_version=(1, 0))) == "dltensor_versioned"
    assert name_of(x.__dlpack__(max_version=(2, 5))) == "dltensor_versioned"


def test_device_and_stream():
    x = lamina.ones(2)
    assert x.__dlpack_device__() == (1, 0)
    assert name_of(x.__dlpack__(stream=None, dl_device=(1, 0), copy=False)) == "dltensor"
    with pytest.raises(BufferError, match=r"on cpu and cannot be exported to device \(2, 0\)"):
        x.__dlpack__(dl_device=(2, 0))
    with pytest.raises(ValueError, match="stream must be None on the cpu, got 3"):
        x.__dlpack__(stream=3)
    with pytest.raises(TypeError, match="max_version must be a tuple of two ints, got int"):
        x.__dlpack__(max_version=1)


def test_copy():
    x = lamina.ones(2)
    copied = lamina.from_dlpack(x.__dlpack__(copy=True))
    copied.zero_()
    assert x.tolist() == [1.0, 1.0]
    a = np.ones(2)
    lamina.from_dlpack(a, copy=True).zero_()
    assert a.tolist() == [1.0, 1.0]
    lamina.from_dlpack(a, copy=False).zero_()
    assert a.tolist() == [0.0, 0.0]
    backwards = np.arange(3.0)[::-1]
    assert lamina.from_dlpack(backwards).tolist() == [2.0, 1.0, 0.0]
    with pytest.raises(ValueError, match="a negative stride needs a copy, but copy=False"):
        lamina.from_dlpack(backwards, copy=False)
    assert lamina.from_dlpack(a, device="cpu").tolist() == [0.0, 0.0]


def test_gradients_are_not_lost_silently():
    x = lamina.ones(2, requires_grad=True)
    for y in (x, x * 2):
        with pytest.raises(BufferError, match=r"requires grad.*use tensor\.detach\(\)"):
            y.__dlpack__()
        with pytest.raises(RuntimeError, match=r"requires grad; use tensor\.detach\(\)"):
            lamina.from_dlpack(y)
    assert np.from_dlpack(x.detach()).tolist() == [1.0, 1.0]


def test_a_tensor_of_ours_keeps_its_count_of_writes():
    x = lamina.ones(2, requires_grad=True)
    data = x.detach().clone()
    y = (x * data).sum()
    lamina.from_dlpack(data).zero_()
    with pytest.raises(RuntimeError, match="mul"):
        y.backward()


def test_what_has_no_dlpack_is_refused():
    for thing in (3, [1.0], "text", object()):
        with pytest.raises(TypeError, match="from_dlpack: needs an object with __dlpack__"):
            lamina.from_dlpack(thing)
    for array, text in ((np.zeros(2, "f2"), "float16"), (np.zeros(2, "c8"), "complex64")):
        with pytest.raises(TypeError, match=f"no dtype for {text}; convert it to"):
            lamina.from_dlpack(array)


# -- capsules by hand ----------------------------------------------------------------------------


class Device(ctypes.Structure):
    _fields_ = (("type", ctypes.c_int32), ("index", ctypes.c_int32))


class DataType(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class DLTensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", Device),
        ("ndim", ctypes.c_int32),
        ("dtype", DataType),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Unversioned(ctypes.Structure):
    name = b"dltensor"
    _fields_ = (("tensor", DLTensor), ("context", ctypes.c_void_p), ("deleter", DELETER))


class Versioned(ctypes.Structure):
    name = b"dltensor_versioned"
    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", DELETER),
        ("flags", ctypes.c_uint64),
        ("tensor", DLTensor),
    )


class Producer:
    """Six float32 numbers, 0 to 5; counts how often its memory was given back."""

    def __init__(
        self,
        shape=(2, 3),
        strides=(3, 1),
        offset=0,
        dtype=(2, 32, 1),
        device=(1, 0),
        form=Unversioned,
        version=(1, 0),
        flags=0,
        null=False,
    ):
        self.freed = 0
        self.values = (ctypes.c_float * 16)(*range(16))
        self.shape = (ctypes.c_int64 * max(len(shape), 1))(*shape)
        self.strides = None if strides is None else (ctypes.c_int64 * max(len(shape), 1))(*strides)
        managed = self.managed = form()
        data = None if null else ctypes.addressof(self.values)
        managed.tensor = DLTensor(
            data, Device(*device), len(shape), DataType(*dtype), self.shape, self.strides, offset
        )
        if form is Versioned:
            managed.major, managed.minor = version
            managed.flags = flags
        managed.deleter = self.deleter = DELETER(self.free)
        self.device = device

    def free(self, _):
        self.freed += 1

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self):
        """As before version 1: no arguments, and no destructor on the capsule."""
        new = ctypes.pythonapi.PyCapsule_New
        new.restype = ctypes.py_object
        new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return new(ctypes.addressof(self.managed), type(self.managed).name, None)


@pytest.mark.parametrize("form", [Unversioned, Versioned])
def test_old_and_new_capsules(form):
    producer = Producer(form=form)
    x = lamina.from_dlpack(producer)
    assert x.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert x.data_ptr() == ctypes.addressof(producer.values)
    view = x.T
    del x
    assert producer.freed == 0
    del view
    assert producer.freed == 1


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"strides": None}, [[0, 1, 2], [3, 4, 5]]),
        ({"strides": (1, 2)}, [[0, 2, 4], [1, 3, 5]]),
        ({"strides": (0, 1)}, [[0, 1, 2], [0, 1, 2]]),
        ({"strides": (3, -1), "offset": 8}, [[2, 1, 0], [5, 4, 3]]),
        ({"strides": (-3, -1), "offset": 20}, [[5, 4, 3], [2, 1, 0]]),
        ({"offset": 4}, [[1, 2, 3], [4, 5, 6]]),
        ({"shape": (), "strides": ()}, 0),
        ({"shape": (), "strides": None, "offset": 12}, 3),
        ({"shape": (0, 3)}, []),
        ({"shape": (0,), "strides": None, "null": True}, []),
        ({"shape": (1, 2), "strides": (-(2**62), 1)}, [[0, 1]]),
        ({"device": (3, 0)}, [[0, 1, 2], [3, 4, 5]]),  # host memory pinned for CUDA
    ],
)
def test_layouts_and_offsets(options, expected):
    producer = Producer(**options)
    x = lamina.from_dlpack(producer)
    assert x.tolist() == expected
    assert (x + 1).sum().item() == np.sum(np.array(expected) + 1)


def test_memory_that_is_not_aligned_is_copied():
    producer = Producer(offset=2, shape=(2,), strides=(1,))
    raw = bytes(producer.values)[2:10]
    assert lamina.from_dlpack(producer).numpy().tobytes() == raw
    with pytest.raises(ValueError, match="not aligned needs a copy, but copy=False"):
        lamina.from_dlpack(Producer(offset=2).__dlpack__(), copy=False)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"dtype": (2, 32, 4)}, TypeError, r"no dtype for float32 in vectors \(lanes\)"),
        ({"dtype": (2, 16, 1)}, TypeError, "no dtype for float16; convert it to bool, uint8"),
        ({"dtype": (4, 16, 1)}, TypeError, "no dtype for bfloat16"),
        ({"dtype": (17, 8, 1)}, TypeError, "no dtype for type code 17"),
        ({"dtype": (0, 8, 1)}, TypeError, "no dtype for int8"),
        ({"device": (2, 0)}, RuntimeError, "no CUDA|reinstall"),
        ({"device": (8, 0)}, RuntimeError, r"does not have \(DLPack type 8\); move it to the CPU"),
        ({"shape": (-1, 3)}, ValueError, "cannot be negative"),
        ({"shape": (2**40, 2**40)}, MemoryError, "more elements than memory"),
        ({"strides": (2**62, 2**62)}, ValueError, "strides reach further than memory"),
        ({"strides": (-(2**63), 1)}, ValueError, "strides reach further than memory"),
        ({"shape": (1,) * 100, "strides": None}, ValueError, "dimensions, got 100"),
        ({"null": True}, RuntimeError, "no address"),
        ({"form": Versioned, "version": (2, 0)}, RuntimeError, r"version 2\.0.*reads version 1"),
    ],
)
def test_what_cannot_be_taken_is_refused_and_left_to_its_owner(options, error, text):
    if options.get("device") == (2, 0) and lamina.cuda.is_available():
        pytest.skip("needs a build without CUDA")
    producer = Producer(**options)
    with pytest.raises(error, match=f"from_dlpack: .*({text})|{text}"):
        lamina.from_dlpack(producer)
    assert producer.freed == 0  # these capsules have no destructor: nobody took them


def test_the_read_only_flag_is_kept():
    x = lamina.from_dlpack(Producer(form=Versioned, flags=1))
    with pytest.raises(RuntimeError, match="read-only"):
        x.add_(1)
    assert lamina.from_dlpack(Producer(form=Versioned)).add_(1).sum().item() == 21.0


def test_a_capsule_can_be_consumed_once():
    x = lamina.ones(2)
    for version in (None, (1, 0)):
        capsule = x.__dlpack__(max_version=version)
        assert lamina.from_dlpack(capsule).tolist() == [1.0, 1.0]
        with pytest.raises(RuntimeError, match="the capsule was consumed before"):
            lamina.from_dlpack(capsule)


def test_a_foreign_capsule_is_refused():
    import datetime

    with pytest.raises(TypeError, match=r"needs a capsule 'dltensor'.*got 'datetime"):
        lamina.from_dlpack(datetime.datetime_CAPI)


def test_capsules_that_nobody_consumes_free_their_tensor():
    gc.collect()
    before = lamina.allocator_stats()["live_bytes"]
    for version in (None, (1, 0)):
        capsule = lamina.ones(1000).__dlpack__(max_version=version)
        assert lamina.allocator_stats()["live_bytes"] > before
        del capsule
        assert lamina.allocator_stats()["live_bytes"] == before


class Liar:
    def __init__(self, device, capsule):
        self.device, self.capsule = device, capsule

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, **_):
        return self.capsule


@pytest.mark.parametrize("device", [None, (1,), ("cpu", 0), (1, 2**70), [1, 0]])
def test_a_producer_with_a_nonsense_device_is_refused(device):
    with pytest.raises(TypeError, match="__dlpack_device__ must return two ints"):
        lamina.from_dlpack(Liar(device, None))


def test_a_producer_without_a_capsule_is_refused():
    with pytest.raises(TypeError, match="__dlpack__ of a Liar returned no capsule but a int"):
        lamina.from_dlpack(Liar((1, 0), 3))


def test_the_producers_own_error_is_raised():
    class Broken(Liar):
        def __dlpack__(self, **_):
            raise BufferError("not today")

    with pytest.raises(BufferError, match="not today"):
        lamina.from_dlpack(Broken((1, 0), None))
