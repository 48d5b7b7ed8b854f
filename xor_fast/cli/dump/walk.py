"""A walk over bytes by the table of `layout`, which gives a tree.

The codec, which is fast, gives no offsets and stops at the first mistake. The walk gives every field its offset and
size, keeps what it had read when it comes upon a mistake, and goes on behind the length that bounds it. What is right
and what is wrong, the codec says.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from xor_fast.cli.dump.layout import LAYOUTS, Entry, Field, Form, Items, Opaque, Part, Select, Simple, name_of, text_of
from xor_fast.errors import WireError
from xor_fast.messages import DataModel

_WIDTHS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "boolean": 1, "bytes2": 2, "bytes4": 4, "bytes16": 16}
Value = int | bytes | bool | None


@dataclass(slots=True)
class Node:
    """A field, an item of a list, or a whole structure.

    offset, size  bytes from the start of the input; the size counts a length that belongs to it
    prefix        bytes of that length, which stand first
    reading       the word of the table that says how the value is to be understood
    value         of an integer or bytes; None where children say it
    meaning       the value as a person reads it
    details       what is known of it besides, for a certificate say
    """

    name: str
    form: str
    offset: int
    size: int = 0
    prefix: int = 0
    reading: str = ""
    value: Value = None
    meaning: str = ""
    children: "list[Node]" = field(default_factory=list)
    is_list: bool = False
    details: dict[str, object] = field(default_factory=dict)

    @property
    def end(self) -> int:
        return self.offset + self.size

    def child(self, name: str) -> "Node | None":
        return next((child for child in self.children if child.name == name), None)

    def walk(self) -> "Iterator[Node]":
        """Itself and all below it, in the order of the bytes."""
        yield self
        for child in self.children:
            yield from child.walk()


class Walk:
    """One pass over `data`.

    read      called with each field that has a reading, for its meaning and for what lies within it
    problems  what the walk could not read, in order; offsets from the start of data
    """

    def __init__(
        self,
        data: bytes,
        node_id_length: int = 16,
        kinds: Mapping[int, DataModel] | None = None,
        read: "Callable[[Walk, Node], None] | None" = None,
    ) -> None:
        self.data = data
        self.problems: list[WireError] = []
        self._node_id_length = node_id_length
        self._kinds = kinds or {}
        self._read = read
        self._at = 0
        self._end = len(data)
        self._open: list[Node] = []  # from the outermost to the one being read

    def structure(self, name: str, start: int, end: int) -> Node:
        """The structure of this name in data[start:end]; it may end before `end`."""
        self._at, self._end, self._open = start, end, []
        top = Node("", name, start)
        try:
            self._fill(top, name)
        except WireError as problem:
            self.problems.append(problem)
            self._unread(top)
        top.size = self._at - start
        return top

    def inside(self, node: Node, name: str) -> None:
        """What the bytes of `node` hold: the structure `name`, which must fill them."""
        at = self._at, self._end
        self._at, self._end = node.offset + node.prefix, node.end
        with self._bounded(self._end - self._at, node):
            self._fill(node, name)
        self._at, self._end = at
        node.form, node.value = name, None

    @property
    def end(self) -> int:
        """Where what is being read must end."""
        return self._end

    def find(self, name: str) -> Node | None:
        """The nearest field of this name that was read before, outwards."""
        for node in reversed(self._open):
            found = node.child(name)
            if found is not None and found.value is not None:
                return found
        return None

    # --- bytes ---

    def _broken(self, rule: str) -> WireError:
        structure = next((node.form for node in reversed(self._open) if node.form in LAYOUTS), "?")
        return WireError(self._at, structure, rule)

    def _take(self, count: int) -> bytes:
        if count > self._end - self._at:
            raise self._broken("cut short")
        self._at += count
        return self.data[self._at - count : self._at]

    def _number(self, width: int) -> int:
        return int.from_bytes(self._take(width), "big")

    @contextmanager
    def _bounded(self, size: int, node: Node) -> Iterator[None]:
        """`size` bytes that what is read within must fill. A mistake within ends there; they are stepped over."""
        if size > self._end - self._at:
            raise self._broken("a length reaches past its container")
        outer, self._end, depth = self._end, self._at + size, len(self._open)
        try:
            yield
            if self._at < self._end:
                raise self._broken("bytes left over")
        except WireError as problem:
            self.problems.append(problem)
            del self._open[depth:]
            self._unread(node)
        self._at, self._end = self._end, outer

    def _unread(self, node: Node) -> None:
        if self._at < self._end:
            rest = Node("unread", "rest", self._at)
            rest.value = self._take(self._end - self._at)
            rest.size = len(rest.value)
            node.children.append(rest)

    # --- fields ---

    def _fill(self, node: Node, name: str) -> None:
        """The fields of a structure as children of `node`, whose form becomes `name`."""
        node.form = name
        self._open.append(node)
        self._entries(LAYOUTS[name], node)
        self._open.pop()

    def _entries(self, entries: tuple[Entry, ...], node: Node) -> None:
        for entry in entries:
            if isinstance(entry, Field):
                self._field(entry.name, entry.form, entry.reading, node)
            elif isinstance(entry, Part):
                start = self._at
                length = self._number(entry.width)
                node.children.append(Node("length", f"u{8 * entry.width}", start, entry.width, value=length))
                with self._bounded(length, node):
                    self._entries(entry.entries, node)
            else:
                self._entries(self._case(entry), node)

    def _case(self, select: Select) -> tuple[Entry, ...]:
        label = self._label(select.selector)
        if label in select.cases:
            return select.cases[label]
        if "else" not in select.cases:
            raise self._broken(f"an unknown {select.selector}")
        return select.cases["else"]

    def _label(self, selector: str) -> str:
        if selector == "first_bit":
            return str(self.data[self._at] >> 7) if self._at < self._end else "0"
        if selector == "model":
            kind = self.find("kind")
            model = self._kinds.get(kind.value) if kind and isinstance(kind.value, int) else None
            return "else" if model is None else DataModel(model).name
        found = self._open[-1].child(selector)
        assert found is not None
        return name_of(found.reading, found.value)

    def _field(self, name: str, form: Form, reading: str, parent: Node) -> None:
        node = Node(name, text_of(form), self._at)
        if isinstance(form, Items):
            self._items(node, form, reading, parent)
        elif isinstance(form, Simple) and form.name in LAYOUTS:
            parent.children.append(node)
            try:
                self._fill(node, form.name)
            finally:
                node.size = self._at - node.offset
        else:
            try:
                self._leaf(node, form)
            except WireError:
                self._at = node.offset  # its length belongs to what is not read
                raise
            parent.children.append(node)
            node.reading = reading
            if self._read is not None and reading:
                self._read(self, node)

    def _items(self, node: Node, form: Items, reading: str, parent: Node) -> None:
        node.is_list = True
        if isinstance(form.length, int):
            length, node.prefix = self._number(form.length), form.length
        else:
            counted = self._open[-1].child(form.length)
            assert counted is not None
            assert isinstance(counted.value, int)
            length = counted.value
        node.size = node.prefix
        parent.children.append(node)
        with self._bounded(length, node):
            while self._at < self._end:
                self._field(f"[{len(node.children)}]", form.item, reading, node)
        node.size = self._at - node.offset

    def _leaf(self, node: Node, form: Simple | Opaque) -> None:
        name = form.name if isinstance(form, Simple) else ""
        if isinstance(form, Opaque) or name == "ResourceId":
            node.prefix = form.width if isinstance(form, Opaque) else 1
            node.value = self._take(self._number(node.prefix))
        elif name == "NodeId":
            node.value = self._take(self._node_id_length)
        elif name == "rest":
            node.value = self._take(self._end - self._at)
        elif name.startswith("bytes"):
            node.value = self._take(_WIDTHS[name])
        else:
            number = self._number(_WIDTHS[name])
            node.value = bool(number) if name == "boolean" and number < 2 else number
        node.size = self._at - node.offset
