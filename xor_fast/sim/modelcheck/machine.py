"""One real `Node`, driven input by input; what must not depend on the order of unrelated events is made not to."""

import heapq
from collections import Counter
from collections.abc import Callable
from hashlib import blake2b
from itertools import count
from random import Random
from typing import NamedTuple

from xor_fast import limits
from xor_fast.actions import Address, Dial, Hangup, Left
from xor_fast.cext import codec
from xor_fast.cext.switch import SELF, Received, Switch, Verdict
from xor_fast.config import Overlay
from xor_fast.core.node import _KEPT_CODES, NewValue, Node, Stored
from xor_fast.core.timers import Run, Timer, Timers
from xor_fast.core.topology import State
from xor_fast.core.tuning import Tuning
from xor_fast.errors import RequestFailed
from xor_fast.messages import Body, DataModel, Destination
from xor_fast.sim.fakes import FakeIdentity, FakeVerifier
from xor_fast.sim.modelcheck.shape import CLOCK_START, TICKETS, Shape, parts_of

LINKS_PER_PAIR = 4  # connections between the same two nodes at a time
WALL_MS = 1_800_000_000_000
_DATA_HEADER = 8  # type, sequence, 24-bit length (RFC 6940 6.6.2)
_DATA_FRAME, _ACK_FRAME = 128, 129
_ID_MEMORY = 30.0  # seconds; longer than any node remembers a transaction id (15 s)

Input = tuple[object, ...]
"""("message", link, bytes), ("up", link, dial or None), ("down", link), ("failed", dial), ("time", seconds), or a wish:
("start",), ("join", addresses), ("leave",), ("store", value). A link is peer * LINKS_PER_PAIR + connection."""
Output = tuple[object, ...]
"""("send", link, bytes), ("dial", dial), ("hangup", link), ("refuse", link), ("left",)."""
DialName = tuple[tuple[Address, ...], int]
"""Where to, and which of several under way to there."""


class Value(NamedTuple):
    """Something a node stores: where, which Kind, who writes it."""

    resource: bytes
    kind: int
    writer: int
    data: bytes


class View(NamedTuple):
    """What the checks want to know of a node. Sets of points and values are bits of a number."""

    deadline: float | None  # seconds from now
    state: State
    joined: bool
    claims: int
    holds: int
    acknowledged: int
    admits: int  # the node whose admission is under way, or -1
    ring: frozenset[int]  # the nodes in its routing table
    successors: tuple[bytes, ...]
    predecessors: tuple[bytes, ...]


class Cast(NamedTuple):
    """Who and what a model has: shared by all its worlds. points: the places whose claim is watched."""

    overlay: Overlay
    identities: tuple[FakeIdentity, ...]
    addresses: tuple[Address, ...]
    points: tuple[bytes, ...]
    values: tuple[Value, ...]
    tuning: Tuning

    def index_of(self, node_id: bytes) -> int:
        return next(i for i, identity in enumerate(self.identities) if identity.node_id == node_id)


class CoreError(Exception):
    """A step that must not be: the core raised."""


class _Steady(Random):
    """No chance: the middle of every range, the first of every choice, and transaction ids that were laid ready."""

    def __init__(self) -> None:
        super().__init__(0)
        self.next_id: int | None = None

    def random(self) -> float:
        return 0.5

    def getrandbits(self, k: int, /) -> int:
        if k == 64 and self.next_id is not None:
            given, self.next_id = self.next_id, None
            return given
        return 0


class _Links:
    """The switch, with links numbered by who is at the other end instead of by the order in which they came up."""

    _PLAIN = frozenset(
        {"ring", "node_id", "dirty", "has_inbox", "counters", "overlay", "initial_ttl", "max_message_size"}
    )

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
        self._inner: dict[int, int] = {}
        self._outer: dict[int, int] = {SELF: SELF, -1: -1}
        self.coming = -1  # the number of the link that is just coming up

    def __getattr__(self, name: str) -> object:
        if name not in self._PLAIN:
            raise AttributeError(f"modelcheck: Switch.{name} has to be said here, with its links translated")
        return getattr(self._switch, name)

    def open_link(self, now: float, node_id: bytes) -> int:
        inner = self._switch.open_link(now, node_id)
        if inner < 0:
            return -1
        self._inner[self.coming], self._outer[inner] = inner, self.coming
        return self.coming

    def close_link(self, link: int) -> None:
        inner = self._inner.pop(link, None)
        if inner is not None:
            del self._outer[inner]
            self._switch.close_link(inner)

    def link_of(self, node_id: bytes) -> int:
        return self._outer[self._switch.link_of(node_id)]

    def node_of(self, link: int) -> bytes | None:
        return self._switch.node_of(self._inner.get(link, -1))

    def links(self) -> list[int]:
        return sorted(self._inner)

    def set_full(self, link: int, is_full: bool) -> None:
        self._switch.set_full(self._inner.get(link, -1), is_full)

    def receive(self, now: float, link: int, data: bytes) -> bool:
        return self._switch.receive(now, self._inner.get(link, -1), data)

    def originate(self, now: float, message: bytes, link: int = -1) -> Verdict:
        if link >= 0 and link not in self._inner:
            return Verdict.DROPPED
        return self._switch.originate(now, message, self._inner[link] if link >= 0 else -1)

    def first_hop(self, message: bytes) -> int:
        return self._outer[self._switch.first_hop(message)]

    def sends(self) -> list[tuple[int, bytes]]:
        return [(self._outer[inner], data) for inner, data in self._switch.sends()]

    def take_inbox(self) -> list[Received]:
        return [received._replace(link=self._outer.get(received.link, -1)) for received in self._switch.take_inbox()]

    def silent_links(self, now: float) -> list[int]:
        return sorted(self._outer[inner] for inner in self._switch.silent_links(now))

    @property
    def silence_at(self) -> float:
        return self._switch.silence_at

    def silence_changes(self, now: float) -> list[tuple[int, bool]]:
        return sorted((self._outer[inner], is_silent) for inner, is_silent in self._switch.silence_changes(now))

    def idle_since(self, link: int) -> float:
        return self._switch.idle_since(self._inner.get(link, -1))

    def rtt(self, link: int) -> float:
        return self._switch.rtt(self._inner.get(link, -1))


class _Ordered(Timers):
    """Timers of the same moment run in an order that follows from what they are, not from when they were set."""

    def __init__(self) -> None:
        super().__init__()
        self.name: Callable[[Run | None], bytes] = lambda run: b""

    def at(self, when: float, run: Run) -> Timer:
        return super().at(round(when, 6), run)

    def run_due(self, now: float) -> None:
        due: list[Timer] = []
        while (deadline := self.deadline) is not None and deadline <= now:
            due.append(heapq.heappop(self._heap)[2])
        if len(due) > 1:
            due.sort(key=lambda timer: (timer.when, self.name(timer._run)))
        for timer in due:
            timer.fire(now)


class _Node(Node):
    """The node under test. Only ids are chosen otherwise: by what they stand for."""

    def __init__(self, cast: Cast, index: int) -> None:
        self.steady: _Steady = _Steady()
        identity, verifier = cast.identities[index], FakeVerifier(cast.overlay.node_id_length)
        super().__init__(
            cast.overlay,
            identity,  # type: ignore[arg-type]  # the same interface, by design
            verifier,  # type: ignore[arg-type]
            self.steady,
            addresses=(cast.addresses[index],),
            tuning=cast.tuning,
        )
        self.used: dict[tuple[bytes, int], float] = {}  # requests made: what they ask, for the how manieth time, when
        self.topology.updates.uptime = lambda now: 0  # type: ignore[method-assign]  # else no two moments would be alike

    def request(
        self,
        now: float,
        destination_list: tuple[Destination, ...],
        code: int,
        body: Body | bytes,
        done: Callable[..., None],
        *,
        link: int = -1,
        **options: object,
    ) -> int:
        asked = repr((self.node_id, destination_list, link)).encode() + codec.encode_contents(code, body)
        key = blake2b(asked, digest_size=8).digest()
        used = next((key, n) for n in count(1) if (key, n) not in self.used)
        self.used[used] = now
        number = blake2b(key + b"%d" % used[1], digest_size=8).digest()
        self.steady.next_id = int.from_bytes(number, "big")

        def over(now: float, outcome: object) -> None:
            if not isinstance(outcome, RequestFailed) and code not in _KEPT_CODES:
                self.used.pop(used, None)  # it has been answered: no copy of it is under way, and nobody remembers it
            done(now, outcome)

        return super().request(now, destination_list, code, body, over, link=link, **options)  # type: ignore[arg-type]

    def forget_ids(self, now: float) -> None:
        self.used = {used: when for used, when in self.used.items() if when + _ID_MEMORY > now}

    def ticket(self) -> int:
        return TICKETS + super().ticket()


class Machine:
    """A node and what its driver keeps. Inputs in, outputs out; everything an input sets off at once is over then."""

    def __init__(self, cast: Cast, index: int) -> None:
        self._cast = cast
        self.now: float = CLOCK_START
        self.node: _Node = _Node(cast, index)
        self._links = _Links(self.node.switch)
        self.node.switch = self._links  # type: ignore[assignment]
        self.node.set_wall(self.now, WALL_MS)
        self._dials: dict[DialName, int] = {}
        self._sequences: Counter[int] = Counter()  # of frames fed into each link
        self._acknowledged = 0
        self._parts = parts_of(self.node)
        self._names = {id(part): name for name, part in self._parts.items()}
        self._outputs: list[Output] = []
        timers = _Ordered()
        assert self.node.timers.deadline is None, "modelcheck: a new node has no timers yet"
        timers.name = lambda run: self._shape().digest(run)
        self.node.timers = timers
        self._names[id(timers)] = "node.timers"
        self._drain()

    # --- inputs --------------------------------------------------------------------------------------

    def apply(self, given: Input) -> tuple[Output, ...]:
        """CoreError if the core raises."""
        self._outputs = []
        try:
            getattr(self, f"_on_{given[0]}")(*given[1:])
            self._drain()
        except Exception as error:
            raise CoreError(f"the core raised {type(error).__name__}: {error}") from error
        return tuple(self._outputs)

    def _on_message(self, link: int, message: bytes) -> None:
        header = bytes((_DATA_FRAME,)) + self._sequences[link].to_bytes(4, "big") + len(message).to_bytes(3, "big")
        self._sequences[link] += 1
        if not self.node.receive(self.now, link, header + message):
            self._outputs.append(("refuse", link))

    def _on_up(self, link: int, dial: DialName | None) -> None:
        self._links.coming = link
        self._sequences[link] = 0
        other = self._cast.identities[link // LINKS_PER_PAIR]
        ticket = self._dials.pop(dial) if dial is not None else None
        if self.node.link_up(self.now, [c.certificate for c in other.certificates], ticket) < 0:
            self._outputs.append(("refuse", link))

    def _on_down(self, link: int) -> None:
        self.node.link_down(self.now, link, "reset by peer")

    def _on_failed(self, dial: DialName) -> None:
        self.node.dial_failed(self.now, self._dials.pop(dial), "connection refused")

    def _on_time(self, seconds: float) -> None:
        self.now = round(self.now + seconds, 6)
        self.node.set_wall(self.now, WALL_MS)  # stands still: a state come back to later is the same state
        self.node.forget_ids(self.now)

    def _on_start(self) -> None:
        self.node.start_overlay(self.now)

    def _on_join(self, bootstrap: tuple[Address, ...]) -> None:
        self.node.join(self.now, bootstrap, lambda now, outcome: None)

    def _on_leave(self) -> None:
        self.node.leave(self.now)

    def _on_store(self, number: int) -> None:
        value = self._cast.values[number]

        def done(now: float, outcome: Stored | RequestFailed) -> None:
            if isinstance(outcome, Stored):
                self._acknowledged |= 1 << number

        self.node.store(self.now, value.resource, value.kind, [NewValue(None, value.data, 86400 * 20)], done)

    # --- the drain rule --------------------------------------------------------------------------------

    def _drain(self) -> None:
        while True:
            for link, data in self.node.sends():
                self._send(link, data)
            actions = self.node.actions()
            deadline = self.node.deadline
            is_due = deadline is not None and deadline <= self.now
            if not actions and not is_due:
                return
            for action in actions:
                self._act(action)
            if is_due:
                self.node.wake(self.now)

    def _send(self, link: int, data: bytes) -> None:
        """Each message on its own; frames are acknowledged at once, so silence is not among the faults."""
        while data:
            if data[0] == _ACK_FRAME:
                data = data[9:]
                continue
            end = _DATA_HEADER + int.from_bytes(data[5:8], "big")
            self._outputs.append(("send", link, data[_DATA_HEADER:end]))
            self.node.receive(self.now, link, bytes((_ACK_FRAME,)) + data[1:5] + bytes(4))
            data = data[end:]

    def _act(self, action: object) -> None:
        if isinstance(action, Dial):
            rank = 0
            while (action.addresses, rank) in self._dials:
                rank += 1
            self._dials[action.addresses, rank] = action.ticket
            self._outputs.append(("dial", (action.addresses, rank)))
        elif isinstance(action, Hangup):
            self._outputs.append(("hangup", action.link))
        elif isinstance(action, Left):
            self._outputs.append(("left",))

    # --- what it is now --------------------------------------------------------------------------------

    def _shape(self) -> Shape:
        marks = self.node.storage.replication._marks
        return Shape(self._names, self.now, {ticket: name for name, ticket in self._dials.items()}, marks)

    def digest(self) -> bytes:
        """Equal for two machines that will answer every input alike."""
        parts = [part for name, part in sorted(self._parts.items()) if not isinstance(part, Timers)]
        ring = self.node.ring
        own = [list(ring), ring.joined, self._links.links(), self._acknowledged, sorted(self._dials)]
        return self._shape().digest(own, self.node.timers, *parts)

    def view(self) -> View:
        node, cast = self.node, self._cast
        deadline = node.deadline
        joiner = node.topology.admission._joiner
        return View(
            None if deadline is None else round(deadline - self.now, 6),
            node.topology.state,
            node.ring.joined,
            sum(1 << i for i, point in enumerate(cast.points) if node.ring.is_responsible(point)),
            sum(1 << i for i, value in enumerate(cast.values) if self._holds(i, value)),
            self._acknowledged,
            -1 if joiner is None else cast.index_of(joiner),
            frozenset(map(cast.index_of, node.ring)),
            tuple(node.ring.successors(limits.NEIGHBOURS_EACH_SIDE)),
            tuple(node.ring.predecessors(limits.NEIGHBOURS_EACH_SIDE)),
        )

    def _holds(self, number: int, value: Value) -> bool:
        """It, or a later one written over it."""
        shelf = self.node.storage.shelf(value.resource, value.kind)
        later = {other.data for other in self._cast.values[number:] if other.resource == value.resource}
        return shelf is not None and any(held.value(DataModel.SINGLE) in later for held in shelf.values.values())
