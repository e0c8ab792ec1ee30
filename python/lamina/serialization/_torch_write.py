"""From a tree of values to the bytes of a file that ``torch.load`` reads."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections import OrderedDict
from io import BytesIO
from typing import TYPE_CHECKING, Any

from lamina import _core
from lamina.serialization._write import _MAX_DEPTH, _layout, _place

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

_STORAGE_NAMES = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}
_ALIGNMENT = 64  # where storages begin, so that they can be mapped into memory


def serialize_torch(obj: Any) -> bytes:
    writer = _Writer()
    writer.find_tensors(obj, (), [])
    writer.place_tensors()
    writer.value(obj)
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "archive/data.pkl", b"\x80\x02" + bytes(writer.out) + b".")
        _add(archive, "archive/byteorder", b"little")
        for place, array in enumerate(writer.entries.values()):
            data = array.astype(array.dtype.newbyteorder("<"), copy=False)
            _add(archive, f"archive/data/{place}", data.tobytes())
        _add(archive, "archive/version", b"3\n")
    return out.getvalue()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name)
    start = archive.start_dir + 30 + len(name) + 4
    padding = -start % _ALIGNMENT
    info.extra = struct.pack("<HH", 0x4246, padding) + b"Z" * padding
    archive.writestr(info, data)


class _Writer:
    """Writes opcodes of pickle protocol 2."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.entries: dict[str, Array] = {}
        self._leaves: list[tuple[str, str, Array]] = []
        self._tensors: dict[int, int] = {}  # id -> place in _leaves
        self._references: list[Any] = []
        self._kept: list[Any] = []  # so that no id is given to something new
        self._written: set[int] = set()

    def find_tensors(self, obj: Any, path: tuple[str, ...], parents: list[int]) -> None:
        if isinstance(obj, _core.Tensor):
            if id(obj) not in self._tensors:
                self._tensors[id(obj)] = len(self._leaves)
                self._kept.append(obj)
                name = ".".join(path) or "value"
                self._leaves.append(("tensor", name, obj.detach().cpu().numpy()))
            return
        if isinstance(obj, dict) or type(obj) in (list, tuple):
            if id(obj) in parents:
                raise ValueError(f"save_torch: {_place(path)} contains itself")
            if len(parents) >= _MAX_DEPTH:
                raise ValueError(
                    f"save_torch: {_place(path)} is nested more than {_MAX_DEPTH} levels deep"
                )
            for key, item in obj.items() if isinstance(obj, dict) else enumerate(obj):
                if not isinstance(key, (str, int, float)):
                    raise TypeError(
                        f"save_torch: {_place(path)} has the key {key!r}, a {type(key).__name__}; "
                        "keys must be strings or numbers"
                    )
                self.find_tensors(item, (*path, str(key)), [*parents, id(obj)])
            return
        if obj is not None and type(obj) not in (bool, int, float, str):
            raise TypeError(
                f"save_torch: {_place(path)} is a {type(obj).__name__}; only dicts, lists, "
                "tuples, numbers, strings, None and tensors can be saved"
                + (" (a module: save its state_dict())" if hasattr(obj, "state_dict") else "")
            )

    def place_tensors(self) -> None:
        self.entries, self._references = _layout(self._leaves)

    def value(self, obj: Any) -> None:
        if isinstance(obj, _core.Tensor):
            self._tensor(obj)
        elif isinstance(obj, dict):
            if isinstance(obj, OrderedDict):
                self._call("collections", "OrderedDict", ())
            else:
                self.out += b"}"
            self.out += b"("
            for key, item in obj.items():
                self.value(key)
                self.value(item)
            self.out += b"u"
        elif isinstance(obj, list):
            self.out += b"]("
            for item in obj:
                self.value(item)
            self.out += b"e"
        elif isinstance(obj, tuple):
            self.out += b"("
            for item in obj:
                self.value(item)
            self.out += b"t"
        else:  # less the protocol number in front and the stop behind
            plain = obj if obj is None or type(obj) in (bool, int, float) else str(obj)
            self.out += pickle.dumps(plain, 2)[2:-1]

    def _values(self, *objs: Any) -> None:
        for obj in objs:
            self.value(obj)

    def _call(self, module: str, name: str, arguments: tuple[Any, ...]) -> None:
        self.out += f"c{module}\n{name}\n".encode()
        self.value(arguments)
        self.out += b"R"

    def _tensor(self, tensor: _core.Tensor) -> None:
        place = self._tensors[id(tensor)]
        memo = struct.pack("<I", place + 1)  # 0 is where pickle.dumps puts every text
        if place in self._written:
            self.out += b"j" + memo
            return
        self._written.add(place)
        from lamina.nn import Parameter

        parameter = isinstance(tensor, Parameter)
        if parameter:
            self.out += b"ctorch._utils\n_rebuild_parameter\n("
        entry, *view = self._references[place]
        shape, strides, offset = view or (list(tensor.shape), _steps(tensor.shape), 0)
        array = self.entries[entry]
        number = list(self.entries).index(entry)
        self.out += b"ctorch._utils\n_rebuild_tensor_v2\n(("
        self.value("storage")
        self.out += f"ctorch\n{_STORAGE_NAMES[array.dtype.name]}\n".encode()
        self._values(str(number), "cpu", int(array.size))
        self.out += b"tQ"
        wants = tensor.requires_grad and not parameter
        self._values(offset, tuple(shape), tuple(strides), wants)
        self._call("collections", "OrderedDict", ())
        self.out += b"tR"
        if parameter:
            self.value(tensor.requires_grad)
            self._call("collections", "OrderedDict", ())
            self.out += b"tR"
        self.out += b"r" + memo


def _steps(shape: Any) -> list[int]:
    """Give the strides of a contiguous tensor."""
    steps, step = [], 1
    for size in reversed(shape):
        steps.append(step)
        step *= max(size, 1)
    return steps[::-1]
