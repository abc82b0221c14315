"""A pickle reader that imports, calls and compiles nothing that a pickle names.

Python's own unpickler runs what the file says. This one interprets the opcodes (documented in the
standard library's ``pickletools``) and builds only plain values. It looks a global up in a table
of our own functions, and refuses by name what is not there. A budget counts opcodes, texts and
copies, so that time and memory stay bounded for any file.
"""

import contextlib
import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from jax_origin.checkpoints.file_part import FilePart
from jax_origin.checkpoints.rename import CheckpointError


class Known(NamedTuple):
    """A global that a pickle may name: our function for it, or None if it may not be called."""

    name: str
    call: Callable[..., Any] | None = None


class Budget:
    """How many steps one file may take, one for each opcode or 32 bytes of text.

    A latent diffusion model's training checkpoint, optimizer included, takes a quarter of them.
    """

    def __init__(self, file: FilePart, steps: int = 1 << 20):
        self._file, self._left = file, steps

    def spend(self, steps: int) -> None:
        """Spends some steps; a CheckpointError if none are left."""
        self._left -= steps
        if self._left < 0:
            raise self._file.error("refused: a pickle of more steps than any checkpoint needs")


def load_pickle(
    file: FilePart,
    start: int,
    find: Callable[[str], Known | None],
    budget: Budget,
    *,
    persistent: Callable[[Any], Any] | None = None,
) -> tuple[Any, int]:
    """Reads one pickle of protocol 2 to 5.

    Args:
      file: The file; byte strings in the pickle become ranges of it, and are not read.
      start: Where in `file` the pickle begins.
      find: Finds a global by its dotted name. None refuses it; a ValueError says why.
      budget: How many steps it may take.
      persistent: Gives the value of a persistent id; without it, such ids are refused.

    Returns:
      The value, and where in `file` the pickle ends.

    Raises:
      CheckpointError: If the pickle is damaged, names an unknown global, or takes too many steps.
    """
    return _Machine(file, start, find, budget, persistent).run()


_MOST_TEXT, _MOST_LINE, _MOST_NUMBER = 16 << 20, 4096, 256  # bytes
_MARK = object()


class _Machine:
    def __init__(
        self,
        file: FilePart,
        start: int,
        find: Callable[[str], Known | None],
        budget: Budget,
        persistent: Callable[[Any], Any] | None,
    ):
        self.file, self.find, self.budget, self.persistent = file, find, budget, persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.buffer, self.buffer_start, self.position = b"", start, start

    def run(self) -> tuple[Any, int]:
        while True:
            opcode = self.take(1)
            self.budget.spend(1)
            if opcode == b".":
                return self.pop(), self.position
            handler = _HANDLERS.get(opcode)
            if handler is None:
                raise self.damaged(f"opcode {opcode!r} is none of protocol 2 to 5")
            handler(self)

    def damaged(self, what: str) -> CheckpointError:
        return self.file.error(f"damaged pickle ({what})")

    # What the pickle is read from.

    def take(self, size: int) -> bytes:
        at = self.position - self.buffer_start
        if at + size > len(self.buffer):
            more = max(size, min(1 << 16, self.file.size - self.position))
            self.buffer, self.buffer_start = self.file.read(self.position, more), self.position
            at = 0
        self.position += size
        return self.buffer[at : at + size]

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> bytes:
        taken = bytearray()
        while (byte := self.take(1)) != b"\n":
            taken += byte
            if len(taken) > _MOST_LINE:
                raise self.damaged("an endless line")
        return bytes(taken)

    def encoded(self, size: int) -> bytes:
        if size > _MOST_TEXT:
            raise self.damaged(f"a text of {size} bytes")
        self.budget.spend(size >> 5)
        return self.take(size)

    def text(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise self.damaged("a text that is not utf-8") from None

    def push_bytes(self, size: int) -> None:
        self.push(self.file.part(self.position, size))
        self.position += size

    def text_of_python_2(self, size: int) -> None:
        # Python 2 had one type for text and bytes: what is no text is bytes.
        data = self.encoded(size)
        try:
            self.push(data.decode("utf-8"))
        except UnicodeDecodeError:
            self.push(data)

    # The stack and the memo.

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        self.top()
        return self.stack.pop()

    def drop(self) -> None:
        if not self.stack:
            raise self.damaged("nothing to drop")
        self.stack.pop()

    def top(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise self.damaged("nothing to take")
        return self.stack[-1]

    def pop_to_mark(self) -> list[Any]:
        values: list[Any] = []
        while self.stack:
            value = self.stack.pop()
            if value is _MARK:
                return values[::-1]
            values.append(value)
        raise self.damaged("no mark")

    def get(self, key: int) -> None:
        if key not in self.memo:
            raise self.damaged("a value that was not kept")
        self.push(self.memo[key])

    def key(self, value: Any) -> Any:
        # Flat: hashing nested tuples of shared parts may take for ever.
        if isinstance(value, Known):
            return value.name
        if value is None or type(value) in (str, int, float, bool):
            return value
        if type(value) is tuple and len(value) <= 16:
            if all(
                type(v) in (int, float, bool) or (type(v) is str and len(v) < 256) for v in value
            ):
                return value
        raise self.damaged(f"a {type(value).__name__} as a key")

    def set_items(self, values: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, dict) or len(values) % 2:
            raise self.damaged("items of what is no mapping")
        for name, value in zip(values[::2], values[1::2], strict=True):
            target[self.key(name)] = value

    def append(self, values: list[Any]) -> None:
        target = self.top()
        if type(target) is not list:
            raise self.damaged("appending to what is no list")
        target.extend(values)

    def add(self, values: list[Any]) -> None:
        target = self.top()
        if type(target) is not set:
            raise self.damaged("adding to what is no set")
        target.update(map(self.key, values))

    def push_tuple(self, size: int) -> None:
        values = [self.pop() for _ in range(size)]
        self.push(tuple(reversed(values)))

    # Globals, and calls of them.

    def named(self, module: Any, name: Any) -> Known:
        if type(module) is not str or type(name) is not str:
            raise self.damaged("a global without a name")
        dotted = f"{'builtins' if module == '__builtin__' else module}.{name}"
        try:
            known = self.find(dotted)
        except ValueError as error:
            raise self.refused(dotted, str(error)) from None
        if known is None:
            raise self.refused(dotted, "neither a plain value nor part of a tensor")
        return known

    def refused(self, dotted: str, why: str) -> CheckpointError:
        shown = dotted if dotted.isprintable() else ascii(dotted)
        return self.file.error(f"refused {shown:.120}: {why}")

    def global_of_lines(self) -> Known:
        module, name = self.line(), self.line()
        return self.named(self.text(module), self.text(name))

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        self.push(self.named(module, name))

    def call(self, function: Any, arguments: Any) -> None:
        if not isinstance(function, Known) or type(arguments) is not tuple:
            raise self.damaged("a call of what is no function")
        if function.call is None:
            raise self.refused(function.name, "it may be named, not called")
        self.budget.spend(len(arguments))
        self.charge(arguments)
        with self.guarded(lambda why: self.refused(function.name, f"wrong arguments ({why})")):
            self.push(function.call(*arguments))

    @contextlib.contextmanager
    def guarded(self, error_for: Callable[[str], CheckpointError]) -> Iterator[None]:
        """Around a call of ours with what the pickle says: anything at all."""
        try:
            yield
        except CheckpointError:
            raise
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
            raise error_for(f"{error!s:.200}") from None

    def charge(self, arguments: tuple[Any, ...]) -> None:
        # A call may copy what it is given, and the same value may be given many times.
        for argument in arguments:
            if isinstance(argument, (list, tuple, set, frozenset, dict)):
                self.budget.spend(len(argument))
            elif isinstance(argument, (str, bytes)):
                self.budget.spend(len(argument) >> 5)

    def reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        self.call(function, arguments)

    def new_with_names(self) -> None:
        if self.pop() != {}:
            raise self.damaged("a call with named arguments")
        self.reduce()

    def build(self) -> None:
        state, target = self.pop(), self.top()
        build = getattr(target, "build", None)
        if build is None:
            if isinstance(target, dict):
                return  # Attributes of an OrderedDict: a state_dict's _metadata, for one.
            raise self.damaged(f"a state for a {type(target).__name__}")
        self.charge((state,))
        wrong = f"a wrong state for a {type(target).__name__}"
        with self.guarded(lambda why: self.damaged(f"{wrong}: {why}")):
            build(state)

    def persistent_id(self, value: Any) -> None:
        if self.persistent is None:
            raise self.file.error("refused a persistent id: nothing here says what it refers to")
        with self.guarded(lambda why: self.file.error(f"refused a persistent id: {why}")):
            self.push(self.persistent(value))

    def protocol(self) -> None:
        if (version := self.number("<B")) > 5:
            raise self.damaged(f"protocol {version}")

    def long(self, size: int) -> None:
        if not 0 <= size <= _MOST_NUMBER:
            raise self.damaged(f"a number of {size} bytes")
        self.push(int.from_bytes(self.take(size), "little", signed=True))


Handler = Callable[[_Machine], Any]


def _unsupported(what: str) -> Handler:
    def handler(machine: _Machine) -> None:
        raise machine.file.error(f"refused a pickle with {what}")

    return handler


def _memoise(machine: _Machine, key: int) -> None:
    machine.memo[key] = machine.top()


def _push_set(machine: _Machine) -> None:
    machine.budget.spend(3)  # An empty set is large.
    machine.push(set())


# One line an opcode, by the name that pickletools has for it.
_HANDLERS: dict[bytes, Handler] = {
    b"(": lambda m: m.push(_MARK),  # MARK
    b"0": _Machine.drop,  # POP
    b"1": lambda m: m.pop_to_mark(),  # POP_MARK
    b"2": lambda m: m.push(m.top()),  # DUP
    b"J": lambda m: m.push(m.number("<i")),  # BININT
    b"K": lambda m: m.push(m.number("<B")),  # BININT1
    b"M": lambda m: m.push(m.number("<H")),  # BININT2
    b"N": lambda m: m.push(None),  # NONE
    b"Q": lambda m: m.persistent_id(m.pop()),  # BINPERSID
    b"R": _Machine.reduce,  # REDUCE
    b"T": lambda m: m.text_of_python_2(m.number("<I")),  # BINSTRING
    b"U": lambda m: m.text_of_python_2(m.number("<B")),  # SHORT_BINSTRING
    b"X": lambda m: m.push(m.text(m.encoded(m.number("<I")))),  # BINUNICODE
    b"a": lambda m: m.append([m.pop()]),  # APPEND
    b"b": _Machine.build,  # BUILD
    b"c": lambda m: m.push(m.global_of_lines()),  # GLOBAL
    b"}": lambda m: m.push({}),  # EMPTY_DICT
    b"e": lambda m: m.append(m.pop_to_mark()),  # APPENDS
    b"h": lambda m: m.get(m.number("<B")),  # BINGET
    b"j": lambda m: m.get(m.number("<I")),  # LONG_BINGET
    b"]": lambda m: m.push([]),  # EMPTY_LIST
    b"q": lambda m: _memoise(m, m.number("<B")),  # BINPUT
    b"r": lambda m: _memoise(m, m.number("<I")),  # LONG_BINPUT
    b"s": lambda m: m.set_items([m.pop(), m.pop()][::-1]),  # SETITEM
    b"t": lambda m: m.push(tuple(m.pop_to_mark())),  # TUPLE
    b")": lambda m: m.push(()),  # EMPTY_TUPLE
    b"u": lambda m: m.set_items(m.pop_to_mark()),  # SETITEMS
    b"G": lambda m: m.push(m.number(">d")),  # BINFLOAT
    b"\x80": _Machine.protocol,  # PROTO
    b"\x81": _Machine.reduce,  # NEWOBJ: making an object of a class is a call of it
    b"\x85": lambda m: m.push_tuple(1),  # TUPLE1
    b"\x86": lambda m: m.push_tuple(2),  # TUPLE2
    b"\x87": lambda m: m.push_tuple(3),  # TUPLE3
    b"\x88": lambda m: m.push(True),  # NEWTRUE
    b"\x89": lambda m: m.push(False),  # NEWFALSE
    b"\x8a": lambda m: m.long(m.number("<B")),  # LONG1
    b"\x8b": lambda m: m.long(m.number("<i")),  # LONG4
    b"B": lambda m: m.push_bytes(m.number("<I")),  # BINBYTES
    b"C": lambda m: m.push_bytes(m.number("<B")),  # SHORT_BINBYTES
    b"\x8c": lambda m: m.push(m.text(m.encoded(m.number("<B")))),  # SHORT_BINUNICODE
    b"\x8d": lambda m: m.push(m.text(m.encoded(m.number("<Q")))),  # BINUNICODE8
    b"\x8e": lambda m: m.push_bytes(m.number("<Q")),  # BINBYTES8
    b"\x8f": _push_set,  # EMPTY_SET
    b"\x90": lambda m: m.add(m.pop_to_mark()),  # ADDITEMS
    b"\x91": lambda m: m.push(frozenset(map(m.key, m.pop_to_mark()))),  # FROZENSET
    b"\x92": _Machine.new_with_names,  # NEWOBJ_EX
    b"\x93": _Machine.stack_global,  # STACK_GLOBAL
    b"\x94": lambda m: _memoise(m, len(m.memo)),  # MEMOIZE
    b"\x95": lambda m: m.number("<Q"),  # FRAME: a hint for buffering
    b"\x96": lambda m: m.push_bytes(m.number("<Q")),  # BYTEARRAY8
    # EXT1, EXT2 and EXT4; then NEXT_BUFFER and READONLY_BUFFER.
    **dict.fromkeys((b"\x82", b"\x83", b"\x84"), _unsupported("extension codes")),
    **dict.fromkeys((b"\x97", b"\x98"), _unsupported("data outside of it")),
}
