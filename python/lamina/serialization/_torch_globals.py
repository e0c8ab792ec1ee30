"""What the names in PyTorch's pickles stand for, and what may be in their result."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

from lamina import _core
from lamina.serialization._format import DamagedError
from lamina.serialization._torch_pickle import Function, checked_key, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina._core import Tensor

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


def whole(value: Any) -> int:
    """Return a size, offset or count, or refuse it."""
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
    sizes, strides = [whole(n) for n in size], [whole(n) for n in stride]
    start = whole(offset)
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
    return Counter({key: whole(count) for key, count in counts.items()})


def _set(items: Any = ()) -> set[Any]:
    return {checked_key(item) for item in _listed(items)}


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise TypeError("not the way pickle writes bytes")
    return text.encode("latin-1")


def _size(sizes: Any = ()) -> _core.Size:
    return _core.Size([whole(n) for n in _listed(sizes)])


def _device(kind: Any, index: Any = None) -> _core.device:
    return _core.device(kind if index is None else f"{kind}:{whole(index)}")


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
GLOBALS: dict[str, Any] = {name: Function(name, build) for name, build in _BUILDERS.items()}
GLOBALS |= {f"torch.{name}": kind for name, kind in _STORAGES.items()}
GLOBALS |= {f"torch.cuda.{name}": kind for name, kind in _STORAGES.items()}
GLOBALS |= {
    f"torch.{name}": getattr(_core, name)
    for name in ("float32", "float64", "int64", "int32", "uint8", "bool")
}
# Only to be handed to _rebuild_from_type_v2.
GLOBALS |= {
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


def refuse(name: str) -> None:
    """Raise for a global that is in no table."""
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


def checked(value: Any) -> Any:
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
