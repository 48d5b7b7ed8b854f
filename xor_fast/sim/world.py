"""A world of nodes: virtual clock, one heap of events, connections with latency that cut bytes into random pieces.

Everything is drawn from one seed, each part with a generator of its own, so that a change in one does not shift the
others. `trace` is a hash over every event; the same seed gives the same trace in every process.
"""

import heapq
from collections.abc import Callable, Sequence
from hashlib import sha256
from random import Random
from struct import Struct
from zlib import crc32

from xor_fast import limits
from xor_fast.actions import Address, ClosePort, Dial, Hangup, Left, Notice, OpenPort, Persist, Purpose
from xor_fast.config import Overlay
from xor_fast.core.node import Node, Tuning
from xor_fast.sim.disk import LATENCY, VirtualDisk
from xor_fast.sim.meter import Meter
from xor_fast.trust.signatures import Identity, Verifier

START_MS = 1_800_000_000_000  # the wall clock of every node when the world begins
PORT = 6084
FIRST_APP_PORT = 20000
CUT = 0.2  # share of the writes that arrive in pieces
_STAMP = Struct("<d8sII")  # of an event: when, what, whom it befell, CRC of the bytes
KERNEL_KEEPALIVE = limits.TCP_KEEPALIVE_IDLE + limits.TCP_KEEPALIVE_INTERVAL * limits.TCP_KEEPALIVE_PROBES


class Connection:
    """One TLS connection; end 0 dialled, end 1 accepted. Bytes arrive in order, in pieces, after the latency."""

    __slots__ = ("arrives", "hosts", "latency", "links", "open", "tickets")

    def __init__(self, dialler: "Host", accepter: "Host", latency: float) -> None:
        self.hosts: tuple[Host, Host] = (dialler, accepter)
        self.links: list[int] = [-1, -1]  # the number each node gave it, or -1
        self.tickets: list[int | None] = [None, None]  # of an application connection
        self.latency: float = latency
        self.arrives: list[float] = [0.0, 0.0]  # when the last piece sent by each end arrives
        self.open: bool = True


class Host:
    """One simulated machine with one node, and what its driver keeps."""

    def __init__(
        self,
        world: "World",
        index: int,
        identity: Identity,
        verifier: Verifier,
        node_random: Random,
        address: Address | None = None,
        disk: VirtualDisk | None = None,
        wall_ms: int | None = None,
        overlay: Overlay | None = None,
    ) -> None:
        self.world = world
        self.index = index
        self.name: str = f"n{index}"
        self.address: Address = address or (f"10.{index >> 16 & 255}.{index >> 8 & 255}.{index & 255}", PORT)
        self.certificates: list[bytes] = [c.certificate for c in identity.certificates]  # what its TLS end shows
        self.node: Node = Node(
            overlay or world.overlay,
            identity,
            verifier,
            node_random,
            addresses=(self.address,),
            tuning=world.tuning,
            durable=True,
        )
        self.disk: VirtualDisk = disk or VirtualDisk()
        self.alive = True
        self.is_mute = False  # takes bytes and does nothing: a hung process
        self.asleep_until: float = 0.0  # a machine without a moment for it: whatever happens to it waits until then
        self.held: list[tuple[Callable[..., object], tuple[object, ...]]] = []  # in the order in which it happened
        self.links: dict[int, Connection] = {}
        self.applications: dict[int, Connection] = {}  # by ticket, once handed over
        self.ports: dict[int, Address] = {}
        self.wake_at: float | None = None
        self.notices: list[str] = []
        self.has_left = False
        self.node.set_wall(world.now, world.wall_ms if wall_ms is None else wall_ms)
        self.node.restore(world.now, self.disk.content())


class World:
    def __init__(
        self,
        overlay: Overlay,
        seed: int,
        *,
        latency: tuple[float, float] = (0.010, 0.060),
        tuning: Tuning | None = None,
        cut: float = CUT,
    ) -> None:
        """cut: share of the writes that arrive in pieces; each piece costs large worlds an event."""
        self.overlay = overlay
        self.seed = seed
        self.now: float = 0.0
        self.tuning: Tuning = tuning or Tuning()  # of every host
        self.hosts: list[Host] = []
        self._added = 0
        self.events: int = 0
        self.bytes_carried: int = 0
        self.meter: Meter | None = None  # sees what goes over the links, if somebody wants to know
        self.watch: Callable[[Host], None] | None = None  # looks at a host after each of its events
        self._latency = latency
        self._cut_share = cut
        self._heap: list[tuple[float, int, Callable[..., object], tuple[object, ...]]] = []
        self._order = 0
        self._network = self.random("network")
        self._trace = sha256()
        self._by_address: dict[Address, tuple[Host, int | None]] = {}  # listening: host, ticket of an AppAttach port

    def random(self, name: str) -> Random:
        """A generator of its own for each part of the world."""
        return Random(f"{self.seed}/{name}")

    @property
    def wall_ms(self) -> int:
        return START_MS + int(self.now * 1000)

    @property
    def trace(self) -> str:
        """Hash over all that has happened."""
        return self._trace.hexdigest()

    # --- events --------------------------------------------------------------------------------------

    def at(self, when: float, run: Callable[..., object], *arguments: object) -> None:
        self._order += 1
        heapq.heappush(self._heap, (when if when > self.now else self.now, self._order, run, arguments))

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Let virtual time pass; stops early when `until` holds, and tells whether it does."""
        end, heap = self.now + seconds, self._heap
        while until is None or not until():
            if not heap or heap[0][0] > end:
                self.now = end
                return until is not None and until()
            self.now, _, run, arguments = heapq.heappop(heap)
            self.events += 1
            run(*arguments)
        return True

    def record(self, what: bytes, host: Host, data: bytes = b"") -> None:
        self._trace.update(_STAMP.pack(self.now, what, host.index, crc32(data)))

    # --- hosts ---------------------------------------------------------------------------------------

    def add(
        self,
        identity: Identity,
        verifier: Verifier,
        address: Address | None = None,
        disk: VirtualDisk | None = None,
        wall_ms: int | None = None,
        overlay: Overlay | None = None,
    ) -> Host:
        """address, disk: by default its own; those of a host that was killed for its next run. wall_ms: its clock.
        overlay: of which it has the document, if not of the world's."""
        self._added += 1
        index = self._added
        host = Host(self, index, identity, verifier, self.random(f"node {index}"), address, disk, wall_ms, overlay)
        self.hosts.append(host)
        self._by_address[host.address] = (host, None)
        return host

    @property
    def alive(self) -> list[Host]:
        return [host for host in self.hosts if host.alive]

    def kill(self, host: Host) -> None:
        """As kill -9: no word from it; the others see their connections reset."""
        self._end(host, b"killed")
        for connection in [*host.links.values(), *host.applications.values()]:
            self._close(connection, "reset by peer")

    def vanish(self, host: Host) -> None:
        """As a machine without power: not even a reset; the others' kernels miss it when they keep idle links alive."""
        self._end(host, b"vanished")
        for connection in [*host.links.values(), *host.applications.values()]:
            self.at(self.now + KERNEL_KEEPALIVE, self._close, connection, "keepalive timed out")

    def _end(self, host: Host, what: bytes) -> None:
        host.alive = False
        self.record(what, host)
        if host.disk.under_way:
            host.disk.crash(self.random(f"disk {host.index}"))
        self._by_address.pop(host.address, None)
        for address in host.ports.values():
            self._by_address.pop(address, None)

    def drain(self, host: Host) -> None:
        """The drain rule: bytes, actions, deadline."""
        node = host.node
        for link, data in node.sends():
            self._send(host, link, data)
        for action in node.actions():
            self._act(host, action)
        deadline = node.deadline
        if deadline is not None and (host.wake_at is None or deadline < host.wake_at):
            host.wake_at = deadline
            self.at(deadline, self._wake, host, deadline)
        if self.watch is not None:
            self.watch(host)

    def _sleeps(self, host: Host, run: Callable[..., object], *arguments: object) -> bool:
        """Then it is done when the host wakes up, and so is all that happens meanwhile, in its order."""
        if self.now >= host.asleep_until and not host.held:
            return False
        if not host.held:
            self.at(host.asleep_until, self.rouse, host)
        host.held.append((run, arguments))
        return True

    def rouse(self, host: Host) -> None:
        """It may have fallen asleep again before the end."""
        if self.now < host.asleep_until:
            self.at(host.asleep_until, self.rouse, host)
            return
        held, host.held = host.held, []
        for run, arguments in held:
            run(*arguments)

    def _wake(self, host: Host, when: float) -> None:
        if not host.alive or host.is_mute or host.wake_at != when:
            return
        if self._sleeps(host, self._wake, host, when):
            return
        host.wake_at = None
        self.record(b"wake", host)
        host.node.wake(self.now)
        self.drain(host)

    # --- what nodes ask for --------------------------------------------------------------------------

    def _act(self, host: Host, action: object) -> None:
        if isinstance(action, Dial):
            self._dial(host, action)
        elif isinstance(action, Hangup):
            connection = host.links.get(action.link)
            if connection is not None:
                self._close(connection, action.reason)
        elif isinstance(action, OpenPort):
            address = (host.address[0], FIRST_APP_PORT + action.ticket % 40000)
            host.ports[action.ticket] = address
            self._by_address[address] = (host, action.ticket)
            self._call(host, self._latency[0], host.node.port_opened, action.ticket, (address,))
        elif isinstance(action, ClosePort):
            self._by_address.pop(host.ports.pop(action.ticket, ("", 0)), None)
        elif isinstance(action, Persist):
            host.disk.under_way.append(action)
            self._call(host, LATENCY, self._persist, host, action)
        elif isinstance(action, Notice):
            host.notices.append(f"{self.now:.3f} {action.level}: {action.text}")
        elif isinstance(action, Left):
            host.has_left = True
            self.kill(host)

    def _persist(self, now: float, host: Host, persist: Persist) -> None:
        failure = host.disk.write(persist)
        if failure is None:
            host.node.persisted(now, persist.ticket)
        else:
            host.node.persist_failed(now, persist.ticket, failure)

    def _call(self, host: Host, after: float, run: Callable[..., object], *arguments: object) -> None:
        """run(now, *arguments), if the host is there by then."""
        self.at(self.now + after, self._called, host, run, arguments)

    def _called(self, host: Host, run: Callable[..., object], arguments: tuple[object, ...]) -> None:
        if host.alive and not host.is_mute and not self._sleeps(host, self._called, host, run, arguments):
            self.record(b"call", host)
            run(self.now, *arguments)
            self.drain(host)

    def _dial(self, host: Host, dial: Dial) -> None:
        latency = self._network.uniform(*self._latency)
        for address in dial.addresses:
            found = self._by_address.get(address)
            if found is not None and found[0] is not host:
                # TCP and TLS 1.3 take two round trips until both ends have seen the other's certificate.
                self.at(self.now + 4 * latency, self._connected, host, dial, found, latency)
                return
        self._call(host, 2 * latency, host.node.dial_failed, dial.ticket, "connection refused")

    def _connected(self, host: Host, dial: Dial, target: tuple[Host, int | None], latency: float) -> None:
        accepter, port_ticket = target
        for one in (host, accepter):
            if self._sleeps(one, self._connected, host, dial, target, latency):
                return
        if not (host.alive and accepter.alive and not accepter.is_mute):
            if host.alive:
                self._call(host, 0.0, host.node.dial_failed, dial.ticket, "reset by peer")
            return
        connection = Connection(host, accepter, latency)
        if dial.purpose is Purpose.APPLICATION:
            self._hand_over(connection, dial.ticket, port_ticket)
            return
        # The server's end is up first, the client's a moment later.
        ends = ((1, accepter, host, None), (0, host, accepter, dial.ticket))
        for end, own, other, ticket in ends:
            if not connection.open and ticket is not None:
                own.node.dial_failed(self.now, ticket, "refused")
                self.drain(own)
            if not connection.open or not own.alive:
                return
            self.record(b"link up", own)
            link = own.node.link_up(self.now, other.certificates, ticket)
            connection.links[end] = link
            if link >= 0:
                own.links[link] = connection
            else:
                self._close(connection, "refused")
            self.drain(own)

    def link(self, dialler: Host, accepter: Host) -> None:
        """An overlay link between two hosts that is there at once, as if it had been made long ago."""
        connection = Connection(dialler, accepter, self._network.uniform(*self._latency))
        for end, own, other in ((1, accepter, dialler), (0, dialler, accepter)):
            link = own.node.link_up(self.now, other.certificates, None)
            assert link >= 0, f"{own.name} refused a link with {other.name}: {own.node.actions()}"
            connection.links[end] = link
            own.links[link] = connection

    def _hand_over(self, connection: Connection, ticket: int, port_ticket: int | None) -> None:
        dialler, accepter = connection.hosts
        connection.tickets = [ticket, port_ticket]
        for own, other, own_ticket in ((accepter, dialler, port_ticket), (dialler, accepter, ticket)):
            if own_ticket is None or not connection.open:
                self._close(connection, "not an application port")
                return
            own.applications[own_ticket] = connection
            self.record(b"app up", own)
            if not own.node.app_up(self.now, own_ticket, other.certificates):
                del own.applications[own_ticket]
                self._close(connection, "refused")
            self.drain(own)

    # --- bytes ---------------------------------------------------------------------------------------

    def _send(self, host: Host, link: int, data: bytes) -> None:
        connection = host.links.get(link)
        if connection is None or not connection.open:
            return
        end = 0 if connection.links[0] == link and connection.hosts[0] is host else 1
        self.bytes_carried += len(data)
        if self.meter is not None:
            self.meter.count(data)
        for piece in self._cut(data):
            arrival = max(self.now + self.delay(connection), connection.arrives[end])
            connection.arrives[end] = arrival
            self.at(arrival, self._arrive, connection, 1 - end, piece)

    def delay(self, connection: Connection) -> float:
        """How long the next piece takes."""
        return connection.latency

    def _cut(self, data: bytes) -> Sequence[bytes]:
        """In up to three pieces, at random places: reassembly is exercised all the time."""
        if len(data) < 2 or self._network.random() >= self._cut_share:
            return (data,)
        cuts = sorted(self._network.randrange(1, len(data)) for _ in range(self._network.randint(1, 2)))
        return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if start < end]

    def _arrive(self, connection: Connection, end: int, data: bytes) -> None:
        host, link = connection.hosts[end], connection.links[end]
        if not connection.open or not host.alive or host.is_mute or link < 0:
            return
        if self._sleeps(host, self._arrive, connection, end, data):
            return
        self.record(b"bytes", host, data)
        if not host.node.receive(self.now, link, data):
            self._close(connection, "framing broken")
        self.drain(host)

    def _close(self, connection: Connection, reason: str) -> None:
        """Both ends learn of it, the living ones after the latency."""
        if not connection.open:
            return
        connection.open = False
        for end, host in enumerate(connection.hosts):
            link, ticket = connection.links[end], connection.tickets[end]
            if ticket is not None:
                host.applications.pop(ticket, None)
            if link >= 0 and host.links.pop(link, None) is not None and host.alive:
                self._call(host, connection.latency, host.node.link_down, link, reason)
