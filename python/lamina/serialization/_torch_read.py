"""The two containers that ``torch.save`` has written, and the tensors in them."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections import Counter, OrderedDict
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

from lamina import _core
from lamina.serialization._format import DamagedError
from lamina.serialization._torch_pickle import (
    Function,
    Source,
    Unpickler,
    checked_key,
    fill,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from lamina._core import Tensor

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_MAX_DIMS = 12
_PLAIN = (type(None), bool, int, float, str, bytes, _core.Tensor, _core.dtype, _core.device)


class StorageType(NamedTuple):
    """Numbers in a file: how they lie there, and as what they are held here."""

    stored: str  # NumPy's name; "bfloat16" is ours
    size: int
    dtype: Any


class Storage(NamedTuple):
    """The numbers of one storage, as a tensor of one dimension."""

    base: Tensor
    numel: int


class TensorType(NamedTuple):
    """A class of tensors."""

    name: str


_STORAGES = {
    "FloatStorage": StorageType("<f4", 4, _core.float32),
    "DoubleStorage": StorageType("<f8", 8, _core.float64),
    "LongStorage": StorageType("<i8", 8, _core.int64),
    "IntStorage": StorageType("<i4", 4, _core.int32),
    "ByteStorage": StorageType("u1", 1, _core.uint8),
    "BoolStorage": StorageType("bool", 1, _core.bool),
    # Dtypes that Lamina lacks become the smallest one that holds all their values.
    "HalfStorage": StorageType("<f2", 2, _core.float32),
    "BFloat16Storage": StorageType("bfloat16", 2, _core.float32),
    "ShortStorage": StorageType("<i2", 2, _core.int32),
    "CharStorage": StorageType("i1", 1, _core.int32),
}


# -- what the whitelisted globals build ----------------------------------------------------------


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{shown(value)} where a size should be")
    return value


def _tensor(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any = False,
    _hooks: Any = None,
    _metadata: Any = None,
) -> Tensor:
    if not isinstance(storage, Storage):
        raise TypeError("a tensor without a storage")
    if not isinstance(size, tuple) or not isinstance(stride, tuple) or len(size) != len(stride):
        raise TypeError("sizes and strides are no tuples of one length")
    if len(size) > _MAX_DIMS:
        raise DamagedError(f"a tensor has {len(size)} dimensions; Lamina has at most {_MAX_DIMS}")
    sizes, strides = [_whole(n) for n in size], [_whole(n) for n in stride]
    start = _whole(offset)
    last = start + sum((n - 1) * step for n, step in zip(sizes, strides, strict=True))
    if 0 in sizes:
        start, strides = 0, [0] * len(sizes)
    elif last >= storage.numel:
        raise DamagedError(
            f"damaged: a tensor {sizes} with strides {strides} from element {start} "
            f"reaches outside its storage of {storage.numel} elements"
        )
    try:
        tensor = storage.base.as_strided(sizes, strides, start)
    except MemoryError:
        raise DamagedError(f"damaged: no tensor has sizes {sizes}") from None
    if requires_grad is True and tensor.is_floating_point():
        tensor.requires_grad_()
    return tensor


def _parameter(data: Any, requires_grad: Any, _hooks: Any, _state: Any = None) -> Tensor:
    from lamina.nn import Parameter

    if not isinstance(data, _core.Tensor):
        raise TypeError("a parameter without a tensor")
    return Parameter(data, requires_grad is True and data.is_floating_point())


def _from_type(function: Any, kind: Any, arguments: Any, _state: Any) -> Any:
    """Build a tensor that carries attributes of its own; they are dropped."""
    if not isinstance(function, Function) or function.build not in (_tensor, _parameter):
        raise TypeError("no tensor is rebuilt")
    if not isinstance(kind, TensorType) or not isinstance(arguments, tuple):
        raise TypeError("no tensor is rebuilt")
    return function.build(*arguments)


def _listed(items: Any) -> Any:
    """Return a list or tuple: a tensor could be iterated as well, for ever."""
    if not isinstance(items, (list, tuple)):
        raise TypeError(f"a {type(items).__name__} where a list should be")
    return items


def _ordered(pairs: Any = ()) -> OrderedDict[Any, Any]:
    return OrderedDict((checked_key(key), value) for key, value in map(_listed, _listed(pairs)))


def _counter(counts: Any) -> Counter[Any]:
    if not isinstance(counts, dict):
        raise TypeError(f"a {type(counts).__name__} where a dict should be")
    return Counter({key: _whole(count) for key, count in counts.items()})


def _set(items: Any = ()) -> set[Any]:
    return {checked_key(item) for item in _listed(items)}


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise TypeError("not the way pickle writes bytes")
    return text.encode("latin-1")


def _size(sizes: Any = ()) -> _core.Size:
    return _core.Size([_whole(n) for n in _listed(sizes)])


def _device(kind: Any, index: Any = None) -> _core.device:
    return _core.device(kind if index is None else f"{kind}:{_whole(index)}")


_BUILDERS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "collections.OrderedDict": _ordered,
    "collections.Counter": _counter,
    "builtins.set": _set,
    "__builtin__.set": _set,
    "_codecs.encode": _encode,
    "torch.Size": _size,
    "torch.device": _device,
}
_GLOBALS: dict[str, Any] = {name: Function(name, build) for name, build in _BUILDERS.items()}
_GLOBALS |= {f"torch.{name}": kind for name, kind in _STORAGES.items()}
_GLOBALS |= {f"torch.cuda.{name}": kind for name, kind in _STORAGES.items()}
_GLOBALS |= {
    f"torch.{name}": getattr(_core, name)
    for name in ("float32", "float64", "int64", "int32", "uint8", "bool")
}
# Only to be handed to _rebuild_from_type_v2.
_GLOBALS |= {
    name: TensorType(name)
    for name in (
        "torch.Tensor",
        "torch._tensor.Tensor",
        "torch.nn.parameter.Parameter",
        "torch.nn.parameter.Buffer",
    )
}
# What stands for a name or a storage while the pickle runs, and never in its result.
_MARKERS = (Function, Storage, StorageType, TensorType)


def _refuse(name: str) -> None:
    text = f"refuses the global {shown(name)[1:-1]}; only tensors and plain values are read"
    if name.startswith(("numpy.", "_codecs.")):
        text += " (a NumPy value: save a tensor or a number instead)"
    elif name.startswith(("torch._utils.", "torch._tensor.", "torch.storage.")) or (
        name.startswith("torch.") and (name.endswith("Storage") or name.count(".") == 1)
    ):
        text += " (a kind of tensor or dtype that Lamina lacks)"
    else:
        text += (
            " (if a whole model was saved: in PyTorch, torch.save(model.state_dict(), path) "
            "saves what can be read here)"
        )
    raise DamagedError(text)


def _checked(value: Any) -> Any:
    """Return the result once nothing but values is in it."""
    waiting, seen = [value], set()
    while waiting:
        item = waiting.pop()
        if isinstance(item, (dict, list, tuple, set)) and not isinstance(item, _MARKERS):
            if id(item) in seen:
                continue
            seen.add(id(item))
            waiting += [*item.values()] if isinstance(item, dict) else item
        elif not isinstance(item, _PLAIN):
            named = isinstance(item, (Function, TensorType))
            what = item.name if named else f"a {type(item).__name__}"
            raise DamagedError(f"refused: {what} stands where a value should be")
    return value


# -- storages ------------------------------------------------------------------------------------


class _Storages:
    """The storages that a pickle asks for, each made once."""

    def __init__(self, size: int) -> None:
        self.made: dict[str, tuple[Storage, StorageType]] = {}
        self._budget = size

    def __call__(self, reference: Any) -> Storage:
        if not isinstance(reference, tuple) or len(reference) < 5 or reference[0] != "storage":
            kind = reference[0] if isinstance(reference, tuple) and reference else reference
            raise DamagedError(f"refuses an object of the kind {shown(kind)} beside the pickle")
        _, kind, key, _, numel, *view = reference
        if not isinstance(kind, StorageType) or not isinstance(key, str) or len(key) > 200:
            raise DamagedError("damaged: a storage without type and name")
        if view not in ([], [None]):
            raise DamagedError("refused: storages that are parts of others (PyTorch before 0.4)")
        numel = _whole(numel)
        if key in self.made:
            storage, known = self.made[key]
            if known != kind or storage.numel != numel:
                raise DamagedError(f"damaged: storage {shown(key)} has two types or sizes")
            return storage
        self._budget -= numel * kind.size
        if self._budget < 0:
            raise DamagedError("cut or damaged: its storages are larger than the file")
        storage = Storage(_core.empty(numel, dtype=kind.dtype), numel)
        self.made[key] = (storage, kind)
        self.found(key, storage, kind)
        return storage

    def found(self, key: str, storage: Storage, kind: StorageType) -> None:
        """Do what is to be done when a storage is first met."""


def _fill(storage: Storage, kind: StorageType, read: Any) -> None:
    """Read a storage's numbers, in its own dtype, and convert them where they are held."""
    import numpy

    target = storage.base.numpy()
    if kind.stored == numpy.dtype(target.dtype).str.replace("|", ""):
        read(target.view("u1").data)
        return
    raw = numpy.empty(storage.numel * kind.size, "u1")
    read(raw.data)
    if kind.stored == "bool":
        if raw.size and raw.max() > 1:
            raise DamagedError("damaged: a bool storage holds bytes other than 0 and 1")
        target[...] = raw.view("bool")
    elif kind.stored == "bfloat16":  # the upper half of a float32
        target.view("u4")[...] = raw.view("<u2").astype("u4") << 16
    else:
        target[...] = raw.view(kind.stored)


# -- the zip archive of PyTorch 1.6 and later ----------------------------------------------------

_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


class _Archive:
    def __init__(self, file: BinaryIO, size: int) -> None:
        try:
            self._zip = zipfile.ZipFile(file)
        except _ZIP_ERRORS as error:
            raise DamagedError(f"cut or damaged: no zip archive ({shown(str(error))})") from None
        self._entries = {info.filename: info for info in self._zip.infolist()}
        for info in self._zip.infolist():
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
                raise DamagedError(
                    f"refused: entry {shown(info.filename)} is compressed or encrypted, which "
                    "torch.save never does"
                )
        # Entries that lie over each other would make a small file look large.
        if sum(info.file_size for info in self._zip.infolist()) > size:
            raise DamagedError("damaged: its entries are larger than the file")
        names = [name for name in self._entries if name.partition("/")[2] == "data.pkl"]
        if len(names) != 1:
            raise DamagedError("not a file of torch.save: a zip archive without one data.pkl")
        self.folder = names[0].removesuffix("data.pkl")
        if f"{self.folder}constants.pkl" in self._entries:
            raise DamagedError(
                "refused: a TorchScript archive, which holds a program; in PyTorch, "
                "torch.save(module.state_dict(), path) saves what can be read here"
            )

    def size(self, name: str) -> int | None:
        info = self._entries.get(self.folder + name)
        return None if info is None else info.file_size

    def read(self, name: str, view: memoryview) -> None:
        try:
            with self._zip.open(self._entries[self.folder + name]) as file:
                fill(file, view)
                if file.read(1):  # its end, where the checksum is compared
                    raise DamagedError(f"damaged: entry {shown(name)} is longer than it says")
        except _ZIP_ERRORS as error:
            text = f"cut or damaged: entry {shown(name)}: {shown(str(error))}"
            raise DamagedError(text) from None

    def bytes(self, name: str, most: int | None = None) -> bytes | None:
        size = self.size(name)
        if size is None or (most is not None and size > most):
            return None
        data = bytearray(size)
        self.read(name, memoryview(data))
        return bytes(data)


class _ZipStorages(_Storages):
    def __init__(self, archive: _Archive, size: int) -> None:
        super().__init__(size)
        self._archive = archive

    def found(self, key: str, storage: Storage, kind: StorageType) -> None:
        there, wanted = self._archive.size(f"data/{key}"), storage.numel * kind.size
        if there != wanted:
            has = "is missing" if there is None else f"has {there} bytes"
            raise DamagedError(
                f"cut or damaged: storage {shown(key)} {has}, where {wanted} bytes should be"
            )
        _fill(storage, kind, lambda view: self._archive.read(f"data/{key}", view))


def read_zip(file: BinaryIO, size: int) -> Any:
    archive = _Archive(file, size)
    order = archive.bytes("byteorder", most=16)
    if order is not None and order != b"little":
        raise DamagedError(
            f"refused: its numbers are {shown(order.decode('ascii', 'replace'))[1:-1]}-endian; "
            "only little-endian files are read"
        )
    data = archive.bytes("data.pkl") or b""
    source = Source(BytesIO(data), len(data))
    return _checked(Unpickler(source, _GLOBALS, _ZipStorages(archive, size), _refuse).load())


# -- the row of pickles of PyTorch before 1.6 ----------------------------------------------------


def _no_storage(reference: Any) -> Any:
    raise DamagedError("damaged: a storage where only numbers should be")


def read_legacy(file: BinaryIO, size: int) -> Any:
    source = Source(file, size)

    def plain() -> Any:
        return Unpickler(source, {}, _no_storage, _refuse).load()

    if plain() != _LEGACY_MAGIC:
        raise DamagedError("not a file of torch.save: it begins with another pickle")
    version, system = plain(), plain()
    if version != 1001:
        raise DamagedError(f"written in version {shown(version)} of PyTorch's format, not 1001")
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise DamagedError("refused: its numbers are big-endian; only little-endian files are read")
    storages = _Storages(size)
    value = _checked(Unpickler(source, _GLOBALS, storages, _refuse).load())
    keys = plain()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise DamagedError("damaged: it does not list its storages")
    for key in keys:
        if key not in storages.made:
            raise DamagedError(f"damaged: storage {shown(key)} belongs to no tensor")
        storage, kind = storages.made.pop(key)
        if int.from_bytes(source.take(8), "little", signed=True) != storage.numel:
            raise DamagedError(f"damaged: storage {shown(key)} has another size than it should")
        _fill(storage, kind, source.into)
    if storages.made:
        raise DamagedError(f"cut or damaged: storage {shown(next(iter(storages.made)))} is missing")
    return value
