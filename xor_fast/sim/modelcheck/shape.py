"""What of a node decides its future, as plain data: two nodes of equal shape answer every input alike.

The object graph below `Node` is walked: attributes, slots, tables, and the closures and partials that wait for answers.

- Times are told relative to now, so that the same moment of two runs looks the same.
- The parts of a node stand for themselves (by their path), which also ends most cycles; a cycle that is left is told by
  how far back it leads.
- Tables and sets have no order. In the core the order of insertion decides in which order messages are made within one
  turn, never whether one is made.
- Tickets are named by what they were given for, links by who is at the other end (`machine.py`), transaction ids follow
  from what is asked: nothing depends on which of two independent events came first.
- Whose copies of a value count is told by their names: marks are numbers in the order of the first confirmation.
- Left out: counters, notices, round-trip times, when a link was last heard (it decides when an idle one is pinged), and
  what the owner set once (configuration, identity, tuning).
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import partial
from hashlib import blake2b
from types import BuiltinMethodType, CellType, FunctionType, MethodType
from typing import Any

from xor_fast.core.node import Node
from xor_fast.core.timers import Timer, Timers
from xor_fast.core.transactions import KeptAnswer

TICKETS = 1 << 100  # tickets are numbers from here on, so that they are told from all others
CLOCK_START = 1e6  # a float above half of it is a moment, below it a duration

_OF_THE_NODE = frozenset({  # what its owner set, what only tells, and what is told elsewhere (ring and links)
    "_actions", "_counts", "_handlers", "_last_complaint", "_settling", "_signer", "_tickets", "_transit_errors",
    "_wall_offset_ms", "addresses", "identity", "kinds", "node_id", "overlay", "ring", "rng", "steady", "switch",
    "tuning", "verifier",
})  # fmt: skip
_LEFT_OUT = frozenset({"_next_mark", "handlers", "sent_at"})  # of all others
_WITHOUT_ORDER = frozenset({"_attempts"})  # lists that are sets of things without a hash


class Shape:
    """The walk over one node at one moment. tickets: what each open ticket is called; marks: see `Replication`."""

    def __init__(
        self, parts: Mapping[int, str], now: float, tickets: Mapping[int, object], marks: Mapping[bytes, int]
    ) -> None:
        self._parts = parts
        self._now = now
        self._tickets = tickets
        self._marks = {mark: name for name, mark in marks.items()}
        self._above: list[int] = []  # the objects we are inside of

    def digest(self, *things: object) -> bytes:
        return blake2b(repr([self._inside(thing) for thing in things]).encode(), digest_size=16).digest()

    def _of(self, thing: object) -> object:
        kind = type(thing)
        if kind in _ATOMS:
            return thing
        if kind is bytes:
            return thing if len(thing) <= 32 else hash(thing)  # type: ignore[arg-type]
        if kind is int:
            return self._tickets.get(thing, "an old ticket") if thing >= TICKETS else thing  # type: ignore[call-overload, operator]
        if kind is float:
            return round(thing - self._now, 6) if thing > CLOCK_START / 2 else thing  # type: ignore[operator]
        name = self._parts.get(id(thing))
        if name is not None:
            return name
        if id(thing) in self._above:
            return f"^{len(self._above) - self._above.index(id(thing))}"
        return self._inside(thing)

    def _inside(self, thing: object) -> object:
        self._above.append(id(thing))
        contents = _WALKS.get(type(thing)) or _walk_for(type(thing))
        shape = contents(self, thing)
        self._above.pop()
        return shape

    def _sequence(self, thing: Iterable[object]) -> object:
        return [self._of(one) for one in thing]

    def _unordered(self, thing: Iterable[object]) -> object:
        return sorted([repr(self._of(one)) for one in thing])

    def _table(self, thing: Mapping[object, object]) -> object:
        return sorted([f"{self._of(key)!r}: {self._of(value)!r}" for key, value in thing.items()])

    def _method(self, thing: MethodType) -> object:
        return [self._of(thing.__self__), thing.__func__.__qualname__]

    def _function(self, thing: FunctionType) -> object:
        code = thing.__code__
        return [code.co_qualname, code.co_firstlineno, *map(self._cell, thing.__closure__ or ())]

    def _cell(self, cell: CellType) -> object:
        try:
            return self._of(cell.cell_contents)
        except ValueError:
            return "unset"

    def _partial(self, thing: "partial[object]") -> object:
        return [self._of(thing.func), *map(self._of, thing.args)]

    def _timer(self, thing: Timer) -> object:
        return round(thing.when - self._now, 6) if thing.active else "over"

    def _timers(self, thing: Timers) -> object:
        return sorted([f"{when - self._now:.6f} {self._of(t._run)!r}" for when, _, t in thing._heap if t.active])

    def _kept_answer(self, thing: KeptAnswer) -> object:
        return hash(thing.contents)  # its signature follows from these and the transaction id

    def _enum(self, thing: Enum) -> object:
        return thing.name

    def _name(self, thing: object) -> object:
        return type(thing).__qualname__

    def _object(self, thing: object) -> object:
        return [type(thing).__qualname__, *[self._attribute(thing, name) for name in _attributes(thing)]]

    def _attribute(self, thing: object, name: str) -> object:
        value: Any = getattr(thing, name, None)
        if name == "copies":  # of a mark that is taken back, none will ever be asked for
            return sorted(self._marks[mark] for mark in value if mark in self._marks)
        if name == "_marks":
            return sorted(value)
        if name in _WITHOUT_ORDER and type(value) is list:
            return self._unordered(value)
        return self._of(value)


_ATOMS = frozenset({type(None), bool, str})
_WALKS: dict[type, Callable[[Shape, Any], object]] = {
    tuple: Shape._sequence, list: Shape._sequence, deque: Shape._sequence,
    set: Shape._unordered, frozenset: Shape._unordered,
    MethodType: Shape._method, FunctionType: Shape._function, partial: Shape._partial, BuiltinMethodType: Shape._name,
    KeptAnswer: Shape._kept_answer,
}  # fmt: skip
_SLOTS: dict[type, tuple[str, ...]] = {}


def _walk_for(kind: type) -> Callable[[Shape, Any], object]:
    """How things of a type are told; found once."""
    bases: tuple[tuple[type, Callable[[Shape, Any], object]], ...] = (
        (Enum, Shape._enum), (Timer, Shape._timer), (Timers, Shape._timers), (tuple, Shape._sequence),
        (dict, Shape._table),
    )  # fmt: skip
    walk = next((walk for base, walk in bases if issubclass(kind, base)), Shape._object)
    _WALKS[kind] = walk
    return walk


def _attributes(thing: object) -> Iterable[str]:
    kind = type(thing)
    left_out = _OF_THE_NODE if isinstance(thing, Node) else _LEFT_OUT
    slots = _SLOTS.get(kind)
    if slots is None:
        names = {name for cls in kind.__mro__ for name in _slots(cls)} | set(getattr(kind, "__struct_fields__", ()))
        slots = _SLOTS[kind] = tuple(sorted(names - left_out - {"__dict__", "__weakref__"}))
    own: Mapping[str, object] | None = getattr(thing, "__dict__", None)
    return slots if own is None else [*slots, *sorted(own.keys() - left_out)]


def _slots(cls: type) -> tuple[str, ...]:
    slots = cls.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def parts_of(node: Node) -> dict[str, object]:
    """The node and all that is built into it, by path: what lives as long as the node."""
    parts: dict[str, object] = {"node": node}
    waiting: list[tuple[str, object]] = [("node", node)]
    while waiting:
        path, owner = waiting.pop()
        for name, value in vars(owner).items():
            is_part = (hasattr(value, "_node") and hasattr(value, "__dict__")) or isinstance(value, Timers)
            if name not in _OF_THE_NODE and is_part and value not in parts.values():
                parts[f"{path}.{name}"] = value
                if not isinstance(value, Timers):
                    waiting.append((f"{path}.{name}", value))
    return parts
