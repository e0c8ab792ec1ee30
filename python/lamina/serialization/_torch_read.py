"""The two containers that ``torch.save`` has written."""

from __future__ import annotations

import struct
import zipfile
import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Any

from lamina import _core
from lamina.serialization._format import DamagedError
from lamina.serialization._torch_globals import (
    GLOBALS,
    Storage,
    StorageType,
    checked,
    refuse,
    whole,
)
from lamina.serialization._torch_pickle import Source, Unpickler, fill, shown

if TYPE_CHECKING:
    from typing import BinaryIO

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


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
        numel = whole(numel)
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
    return checked(Unpickler(source, GLOBALS, _ZipStorages(archive, size), refuse).load())


# -- the row of pickles of PyTorch before 1.6 ----------------------------------------------------


def _no_storage(reference: Any) -> Any:
    raise DamagedError("damaged: a storage where only numbers should be")


def read_legacy(file: BinaryIO, size: int) -> Any:
    source = Source(file, size)

    def plain() -> Any:
        return Unpickler(source, {}, _no_storage, refuse).load()

    if plain() != _LEGACY_MAGIC:
        raise DamagedError("not a file of torch.save: it begins with another pickle")
    version, system = plain(), plain()
    if version != 1001:
        raise DamagedError(f"written in version {shown(version)} of PyTorch's format, not 1001")
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise DamagedError("refused: its numbers are big-endian; only little-endian files are read")
    storages = _Storages(size)
    value = checked(Unpickler(source, GLOBALS, storages, refuse).load())
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
