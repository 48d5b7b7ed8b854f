"""A node on real sockets: the driver of the core on asyncio or uvloop, and its awaitable face.

All that happens to the node is followed by `turn`; once in a pass of the loop `_drain` then writes what the node has to
send, carries out its actions and moves the one timer.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any

from xor_fast import limits
from xor_fast.actions import Action, Address, ClosePort, Dial, Hangup, Left, Notice, OpenPort, Persist
from xor_fast.errors import RequestFailed, StateError
from xor_fast.net.applications import Application, Applications
from xor_fast.net.dialer import Dialer
from xor_fast.net.disk import Disk, Reports
from xor_fast.net.journal import Journal
from xor_fast.net.links import Links
from xor_fast.net.listener import Listener, address_of
from xor_fast.net.tls import Tls
from xor_fast.net.turn import Turn

if TYPE_CHECKING:
    from xor_fast.core.node import Fetched, NewValue, Node, Pong, Stored
    from xor_fast.messages import ArrayRange, Destination

_WALL_INTERVAL = 60.0  # the wall clock may be set while we run


class Peer:
    """Drives `node`: give it inputs at any time from the loop it was made in, and await its outcomes.

    sock   a listening socket (`listener.bind`) for overlay links, owned by the peer from now on; None for a client
    hosts  IP addresses for the ports of AppAttach; by default that of `sock`, or 127.0.0.1
    disk   where what is stored here is kept, owned by the peer from now on; what is on it is taken back at once. For a
           node made `durable`; without one such a node forgets all when it ends

    Make the node with the addresses other nodes reach `sock` at. `async with Peer(...) as peer` closes it at the end.
    """

    def __init__(
        self,
        node: "Node",
        tls: Tls,
        sock: socket.socket | None = None,
        *,
        hosts: tuple[str, ...] = (),
        journal: Journal | None = None,
        disk: Disk | None = None,
    ) -> None:
        self.node = node
        self.journal: Journal = journal or Journal()
        self._loop = asyncio.get_running_loop()
        self._since = monotonic()
        self._counts: Counter[str] = Counter(refused_handshakes=0, failed_handshakes=0, refused_descriptors=0)
        self._pending: set[asyncio.Future[Any]] = set()
        self._left = asyncio.Event()
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self.turn: Turn = Turn(self._drain)
        self._links = Links(node, self.turn)
        self._applications = Applications(node, self.turn)
        hosts = hosts or ((address_of(sock)[0],) if sock else ("127.0.0.1",))
        self._dialer = Dialer(node, tls, hosts, self._links, self._applications, self.journal, self._counts, self.turn)
        self._listener: Listener | None = None
        if sock is not None:
            self._listener = Listener(
                sock, tls, self._links.accepted, limits.MAX_HANDSHAKES, self.journal, self._counts
            )
        self._set_wall()
        self._disk = disk
        if disk is not None:
            self._restore(disk)

    async def __aenter__(self) -> "Peer":
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    # --- wishes ---

    async def wish(self, method: Callable[..., None], *args: Any) -> Any:
        """Call `method(now, *args, done)` of the node or a usage and wait for its outcome; raises RequestFailed."""
        if self._closed:
            raise StateError("the peer is closed: make a new one")
        outcome: asyncio.Future[Any] = self._loop.create_future()
        self._pending.add(outcome)
        try:
            method(monotonic(), *args, lambda _now, value: _settle(outcome, value))
            self.turn()
            return await outcome
        finally:
            self._pending.discard(outcome)

    def call(self, method: Callable[..., Any], *args: Any) -> Any:
        """Call `method(now, *args)` of the node or a usage, which has nothing to wait for."""
        result = method(monotonic(), *args)
        self.turn()
        return result

    def start_overlay(self) -> None:
        """Be the first peer of the overlay (RFC 6940 6.4.2.1)."""
        self.call(self.node.start_overlay)

    async def join(self, bootstrap: Sequence[Address]) -> None:
        """Become a peer; returns when the node is part of the ring. It keeps trying until `leave` or `close`."""
        await self.wish(self.node.join, bootstrap)

    async def connect(self, bootstrap: Sequence[Address]) -> None:
        """Become a client of the overlay (RFC 6940 4.2.1)."""
        await self.wish(self.node.connect, bootstrap)

    async def ping(self, destination_list: "tuple[Destination, ...]") -> "Pong":
        outcome: Pong = await self.wish(self.node.ping, destination_list)
        return outcome

    async def store(self, resource: bytes, kind: int, values: "Sequence[NewValue]", generation: int = 0) -> "Stored":
        outcome: Stored = await self.wish(partial(self.node.store, generation=generation), resource, kind, values)
        return outcome

    async def fetch(self, resource: bytes, kind: int, which: "Sequence[bytes | ArrayRange]" = ()) -> "Fetched":
        outcome: Fetched = await self.wish(partial(self.node.fetch, which=which), resource, kind)
        return outcome

    async def leave(self) -> None:
        """Leave in order, data handed on and Leave sent (RFC 6940 10.9), or after LEAVE_WAIT; then close."""
        self.call(self.node.leave)
        try:
            async with asyncio.timeout(limits.LEAVE_WAIT):
                await self._left.wait()
        except TimeoutError:
            self.journal.say("warning", f"the overlay did not take our leave within {limits.LEAVE_WAIT:g} s")
        await self.close()

    async def close(self) -> None:
        """Close all connections, after what is written already. Wishes under way end with RequestFailed."""
        if self._closed:
            return
        self._closed = True
        if self._listener is not None:
            self._listener.close()
        self._dialer.close()
        if self._timer is not None:
            self._timer.cancel()
        self._wall.cancel()
        for outcome in self._pending:
            _settle(outcome, RequestFailed(0x4, "the node was closed"))
        self._applications.close()
        self._links.close()
        end = monotonic() + limits.CLOSE_TIMEOUT
        while self._links.open | self._applications.open and monotonic() < end:
            await asyncio.sleep(0.01)
        for transport in self._links.open | self._applications.open:
            transport.abort()
        if self._disk is not None:
            self._disk.close()

    # --- what the owner may ask ---

    @property
    def counters(self) -> dict[str, int]:
        """Those of the node and of the driver."""
        return {**self.node.counters, **self._counts, "connections": len(self._links)}

    @property
    def address(self) -> Address | None:
        """Where overlay links are accepted; None for a client."""
        return self._listener.address if self._listener is not None else None

    @property
    def uptime(self) -> float:
        """Seconds since the peer was made."""
        return monotonic() - self._since

    def take_application(self, ticket: int) -> Application:
        """The connection an `AppConnection` speaks of. It is closed when nobody takes it within APP_ATTACH_TIMEOUT."""
        return self._applications.take(ticket)

    # --- the disk ---

    def _restore(self, disk: Disk) -> None:
        for complaint in disk.complaints:
            self.journal.say("warning", complaint)
        self.call(self.node.restore, disk.records())
        disk.start(self._report)

    def _report(self, reports: Reports) -> None:
        """In the thread of the disk."""
        self._loop.call_soon_threadsafe(self._written, reports)

    def _persist(self, action: Persist) -> None:
        if self._disk is not None:
            self._disk.write(action.ticket, action.records)
        else:
            self.call(self.node.persisted, action.ticket)

    def _written(self, reports: Reports) -> None:
        if self._closed:
            return
        now = monotonic()
        for ticket, failure in reports:
            if failure is None:
                self.node.persisted(now, ticket)
            else:
                self.node.persist_failed(now, ticket, failure)
        self.turn()

    # --- the turn ---

    def _drain(self) -> None:
        if self._closed:
            return
        node = self.node
        self._links.write(node.sends())
        for action in node.actions():
            self._carry_out(action)
        deadline = node.deadline
        if deadline is not None and (self._timer is None or deadline < self._timer_at):
            self._set_timer(deadline)

    def _carry_out(self, action: Action) -> None:
        match action:
            case Dial():
                self._dialer.dial(action)
            case Hangup(link, reason):
                self._links.hang_up(link, reason)
            case OpenPort():
                self._dialer.open_port(action)
            case ClosePort():
                self._dialer.close_port(action)
            case Persist():
                self._persist(action)
            case Notice(level, text):
                self.journal.say(level, text)
            case Left():
                self._left.set()

    def _set_timer(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        # uvloop counts whole milliseconds: one more, lest it wakes us just before the deadline, again and again
        self._timer = self._loop.call_later(max(0.0, deadline - monotonic()) + 0.001, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self.node.wake(monotonic())
        self.turn()

    def _set_wall(self) -> None:
        self.node.set_wall(monotonic(), time_ns() // 1_000_000)
        self._wall = self._loop.call_later(_WALL_INTERVAL, self._set_wall)
        self.turn()


def _settle(outcome: "asyncio.Future[Any]", value: Any) -> None:
    if outcome.done():
        return  # who wished has gone
    if isinstance(value, RequestFailed):
        outcome.set_exception(value)
    else:
        outcome.set_result(value)
