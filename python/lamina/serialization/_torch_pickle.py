"""An interpreter for the few pickle opcodes that PyTorch's files of plain state need.

It builds dicts, lists, tuples, sets, numbers, strings and bytes, and what the caller's table of
globals and its rule for storages give. An opcode or a global that is not in the tables is refused
by name; nothing is imported and nothing is called that is not in the table. Work and memory are
bounded by the size of the file.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from lamina.serialization._format import DamagedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import BinaryIO

# A container object of one opcode takes up to 200 bytes: real files need a few per tensor.
_MAX_OPCODES = 5_000_000
_MAX_NAME = 1000  # characters of a global, and of a string that is a key
_MARK = object()


class Function(NamedTuple):
    """What a whitelisted global that may be called does."""

    name: str
    build: Callable[..., Any]


class Source:
    """Bytes read in order; never more than there are."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self.left = size
        self.size = size

    def take(self, count: int) -> bytes:
        if not 0 <= count <= self.left:
            raise DamagedError("cut or damaged: it ends in the middle of a value")
        data = self._file.read(count)
        if len(data) != count:
            raise DamagedError("cut or damaged: it ends in the middle of a value")
        self.left -= count
        return data

    def into(self, view: memoryview) -> None:
        """Fill ``view``."""
        if view.nbytes > self.left:
            raise DamagedError("cut or damaged: it ends in the middle of a storage")
        self.left -= view.nbytes
        fill(self._file, view)

    def line(self) -> str:
        data = bytearray()
        while (byte := self.take(1)) != b"\n":
            data += byte
            if len(data) > _MAX_NAME:
                raise DamagedError("damaged: a global has a name without end")
        return data.decode("utf-8", "backslashreplace")


def fill(file: Any, view: memoryview) -> None:
    """Read until ``view`` is full."""
    done = 0
    while done < view.nbytes:
        count = file.readinto(view[done:])
        if not count:
            raise DamagedError("cut or damaged: it ends in the middle of a storage")
        done += count


def shown(text: object) -> str:
    """Quote a text or number of the file, cut where it is long; of other values, the type."""
    if isinstance(text, str):
        text = text[:80]
    elif not isinstance(text, (int, float)):  # a list, say, may be of any depth
        return f"a {type(text).__name__}"
    listed = ascii(text)
    return listed if len(listed) <= 80 else listed[:77] + "..."


class Unpickler:
    """Runs one pickle.

    Parameters
    ----------
    source : Source
        Where the opcodes come from.
    globals : mapping of str to Any
        What a dotted name stands for: a `Function`, or a value.
    storage : callable
        Gets the tuple that stands for a storage, and gives the storage.
    refuse : callable
        Gets the name of a global that is not in the table, and raises.
    """

    def __init__(
        self,
        source: Source,
        globals: Mapping[str, Any],
        storage: Callable[[Any], Any],
        refuse: Callable[[str], None],
    ) -> None:
        self._source = source
        self._globals = globals
        self._storage = storage
        self._refuse = refuse
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        # What calls may go through in all. An honest file uses each argument once; a hostile
        # one would hand one long list to a thousand calls.
        self._budget = source.size + 1000

    def load(self) -> Any:
        """Run to the end and return the value."""
        opcodes = 0
        try:
            while (opcode := self._source.take(1)[0]) != _STOP:
                opcodes += 1
                if opcodes > _MAX_OPCODES:
                    raise DamagedError(f"refused: more than {_MAX_OPCODES:,} values")
                step = _STEPS.get(opcode)
                if step is None:
                    raise DamagedError(f"refuses the pickle opcode {_opcode_name(opcode)}")
                step(self)
            (value,) = self._stack
        except (IndexError, KeyError, TypeError, ValueError, OverflowError, struct.error) as error:
            raise DamagedError(
                f"damaged: its pickle makes no sense ({shown(str(error))})"
            ) from None
        return value

    # -- the stack ----------------------------------------------------------------------------

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise ValueError("a mark where a value should be")
        return value

    def _pop_to_mark(self) -> list[Any]:
        stack = self._stack
        place = len(stack) - 1
        while stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise ValueError("no mark")
        items = stack[place + 1 :]
        del stack[place:]
        return items

    def _top(self, kind: type) -> Any:
        value = self._stack[-1]
        if not isinstance(value, kind):
            raise TypeError(f"{type(value).__name__} where a {kind.__name__} should be")
        return value

    def _number(self, count: int, signed: bool = False) -> int:
        return int.from_bytes(self._source.take(count), "little", signed=signed)

    def _text(self, count: int) -> None:
        data = self._source.take(self._number(count))
        self._push(data.decode("utf-8", "surrogatepass"))

    def _bytes(self, count: int) -> None:
        self._push(self._source.take(self._number(count)))

    def _tuple(self, count: int) -> None:
        items = [self._pop() for _ in range(count)]
        self._push(tuple(reversed(items)))

    # -- containers ---------------------------------------------------------------------------

    def _append(self) -> None:
        value = self._pop()
        self._top(list).append(value)

    def _appends(self) -> None:
        items = self._pop_to_mark()
        self._top(list).extend(items)

    def _set_items(self, items: list[Any]) -> None:
        target = self._top(dict)
        if len(items) % 2:
            raise ValueError("a key without a value")
        for place in range(0, len(items), 2):
            target[checked_key(items[place])] = items[place + 1]

    def _set_item(self) -> None:
        value, key = self._pop(), self._pop()
        self._set_items([key, value])

    def _add_items(self) -> None:
        items = self._pop_to_mark()
        self._top(set).update(checked_key(item) for item in items)

    # -- names and calls ----------------------------------------------------------------------

    def _global(self, module: str, name: str) -> None:
        dotted = f"{module}.{name}"
        if dotted not in self._globals:
            self._refuse(dotted)
        self._push(self._globals[dotted])

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise TypeError("the name of a global is no text")
        if len(name) + len(module) > _MAX_NAME:
            raise ValueError("a global has a name without end")
        self._global(module, name)

    def _reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, Function):
            raise DamagedError(f"refuses to call a {type(function).__name__}")
        if not isinstance(arguments, tuple):
            raise TypeError("arguments of a call are no tuple")
        self._budget -= len(arguments)
        for value in arguments:
            if isinstance(value, (list, tuple, dict, set, str, bytes)):
                self._budget -= len(value)
        if self._budget < 0:
            raise DamagedError("refused: it asks for far more work than its size explains")
        try:
            self._push(function.build(*arguments))
        except (TypeError, ValueError, RuntimeError, LookupError, AttributeError) as error:
            text = f"damaged: {function.name} got wrong arguments ({shown(str(error))})"
            raise DamagedError(text) from None

    def _build(self) -> None:
        """Set attributes: only a dict that PyTorch gave notes of its own has any, and they go."""
        self._pop()
        if type(self._stack[-1]).__name__ != "OrderedDict":
            raise DamagedError(f"refuses to set attributes of a {type(self._stack[-1]).__name__}")

    # -- the memo -----------------------------------------------------------------------------

    def _put(self, count: int) -> None:
        self._memo[self._number(count)] = self._stack[-1]

    def _memoize(self) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _get(self, count: int) -> None:
        self._push(self._memo[self._number(count)])


def checked_key(key: Any) -> Any:
    """Return a key of a dict whose hash and comparison cost nothing, or refuse it."""
    if isinstance(key, (str, bytes)):
        if len(key) <= _MAX_NAME:
            return key
        raise DamagedError("refused: a key of a dict is a very long text")
    if key is None or isinstance(key, (bool, float)):
        return key
    if isinstance(key, int) and -(2**63) <= key < 2**63:
        return key
    raise DamagedError(f"refused: a key of a dict is a {type(key).__name__}")


def _opcode_name(opcode: int) -> str:
    import pickletools

    known: dict[str, Any] = pickletools.code2op  # type: ignore[attr-defined]
    found = known.get(chr(opcode))
    return f"{found.name}" if found else f"{opcode:#04x} (there is none)"


def _proto(u: Unpickler) -> None:
    version = u._number(1)
    if version > 5:
        raise DamagedError(f"written in pickle protocol {version}; protocols up to 5 are read")


def _frame(u: Unpickler) -> None:
    u._source.take(8)  # how far one may read ahead: we do not


def _drop(u: Unpickler) -> None:
    u._stack.pop()


_STOP = ord(".")
_STEPS: dict[int, Callable[[Unpickler], None]] = {
    ord(code): step
    for code, step in {
        "\x80": _proto,
        "\x95": _frame,
        "(": lambda u: u._push(_MARK),
        "0": _drop,
        "N": lambda u: u._push(None),
        "\x88": lambda u: u._push(True),
        "\x89": lambda u: u._push(False),
        "J": lambda u: u._push(u._number(4, signed=True)),
        "K": lambda u: u._push(u._number(1)),
        "M": lambda u: u._push(u._number(2)),
        "\x8a": lambda u: u._push(u._number(u._number(1), signed=True)),  # LONG1
        "G": lambda u: u._push(struct.unpack(">d", u._source.take(8))[0]),
        "U": lambda u: u._text(1),  # as Python 2 wrote its strings
        "T": lambda u: u._text(4),
        "X": lambda u: u._text(4),
        "\x8c": lambda u: u._text(1),
        "\x8d": lambda u: u._text(8),
        "B": lambda u: u._bytes(4),
        "C": lambda u: u._bytes(1),
        "\x8e": lambda u: u._bytes(8),
        "]": lambda u: u._push([]),
        "}": lambda u: u._push({}),
        ")": lambda u: u._push(()),
        "\x8f": lambda u: u._push(set()),
        "\x85": lambda u: u._tuple(1),
        "\x86": lambda u: u._tuple(2),
        "\x87": lambda u: u._tuple(3),
        "t": lambda u: u._push(tuple(u._pop_to_mark())),
        "a": Unpickler._append,
        "e": Unpickler._appends,
        "s": Unpickler._set_item,
        "u": lambda u: u._set_items(u._pop_to_mark()),
        "\x90": Unpickler._add_items,
        "c": lambda u: u._global(u._source.line(), u._source.line()),
        "\x93": Unpickler._stack_global,
        "R": Unpickler._reduce,
        "b": Unpickler._build,
        "Q": lambda u: u._push(u._storage(u._pop())),
        "q": lambda u: u._put(1),
        "r": lambda u: u._put(4),
        "\x94": Unpickler._memoize,
        "h": lambda u: u._get(1),
        "j": lambda u: u._get(4),
    }.items()
}
