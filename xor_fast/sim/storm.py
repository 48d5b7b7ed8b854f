"""A world in which things go wrong: machines that vanish, hang and come back, and a network that splits and slows.

`World` is the healthy one. What a fault means for a node is what it would be with kernels and TCP: a dead process
resets its connections, a dead machine is missed after the keepalive only, a partition delays bytes and loses none.
"""

from collections.abc import Callable
from random import Random

from xor_fast import limits
from xor_fast.actions import Address, Dial
from xor_fast.config import Overlay
from xor_fast.core.node import Tuning
from xor_fast.sim.disk import VirtualDisk
from xor_fast.sim.hostile import Liar, swallow
from xor_fast.sim.world import CUT, KERNEL_KEEPALIVE, PORT, Connection, Host, World
from xor_fast.trust.signatures import Identity, Verifier

RESTART = 0.3  # seconds from a watchdog's kill to the next run


class Machine:
    """One computer: its identity and address stay, runs of its node come and go."""

    def __init__(self, number: int, identity: Identity, verifier: Verifier, address: Address) -> None:
        self.number = number
        self.identity = identity
        self.verifier = verifier
        self.address: Address = address
        self.host: Host | None = None  # the present run
        self.disk: VirtualDisk | None = None  # what is there while it is down
        self.is_due = False  # down, and on its way back
        self.clock: float = 0.0  # seconds its wall clock is off
        self.liar: Liar | None = None

    @property
    def is_up(self) -> bool:
        return self.host is not None and self.host.alive

    @property
    def member(self) -> Host | None:
        """The present run, if it is part of the ring and moves."""
        host = self.host
        return host if host is not None and host.alive and not host.is_mute and host.node.ring.joined else None


class Storm(World):
    """frames: what looks at the bytes each host sends. gone, back: told of a host that was stopped, with its disk or
    without, and of a machine that runs again with what was there."""

    def __init__(
        self,
        overlay: Overlay,
        seed: int,
        make_identity: Callable[[Overlay, Random, int], tuple[Identity, Verifier]],
        tuning: Tuning,
        bootstraps: int = 4,
        cut: float = CUT,
    ) -> None:
        super().__init__(overlay, seed, tuning=tuning, cut=cut)
        self.machines: list[Machine] = []
        self.frames: Callable[[Host, bytes], None] | None = None
        self.gone: Callable[[Host, bool], None] = lambda host, with_disk: None
        self.back: Callable[[Machine], None] = lambda machine: None
        self.machine_of: dict[Host, Machine] = {}
        self._make_identity = make_identity
        self._identities = self.random("identities")
        self._bootstraps = bootstraps
        self._weather = self.random("weather")
        self._dark: set[Address] = set()  # machines that vanished: nobody says "refused" there
        self._splits: list[tuple[frozenset[Address], float]] = []
        self._slow: dict[Address, tuple[float, float]] = {}  # until, seconds more
        self._jitter: tuple[float, float] | None = None
        self._dropping: dict[Address, tuple[float, bool]] = {}  # until, sly

    # --- machines ------------------------------------------------------------------------------------

    def machine(self, number: int) -> Machine:
        """Machine by number; it is made (and its identity drawn) when it is asked for first."""
        while len(self.machines) <= number:
            count = len(self.machines)
            identity, verifier = self._make_identity(self.overlay, self._identities, count)
            address = (f"10.9.{count >> 8}.{count & 255}", PORT)
            self.machines.append(Machine(count, identity, verifier, address))
        return self.machines[number]

    def boot(self, machine: Machine, disk: VirtualDisk | None = None, overlay: Overlay | None = None) -> Host:
        """The next run of a machine, not yet joined."""
        wall_ms = self.wall_ms + int(1000 * machine.clock)
        host = self.add(machine.identity, machine.verifier, machine.address, disk, wall_ms, overlay)
        machine.host, machine.disk, machine.is_due = host, None, False
        self.machine_of[host] = machine
        self._dark.discard(host.address)
        if disk is not None:
            self.back(machine)
        return host

    def join(self, machine: Machine, disk: VirtualDisk | None = None) -> None:
        host = self.boot(machine, disk)
        bootstrap = [self.machine(number).address for number in range(self._bootstraps)]
        self._weather.shuffle(bootstrap)
        host.node.join(self.now, bootstrap, lambda now, outcome: None)
        self.drain(host)

    def set_clock(self, machine: Machine, seconds: float) -> None:
        machine.clock = seconds
        if machine.is_up and machine.host is not None:
            machine.host.node.set_wall(self.now, self.wall_ms + int(1000 * seconds))
            self.drain(machine.host)

    def stop(self, machine: Machine, fate: str, seconds: float, *, silently: bool = False) -> None:
        """It dies. fate: "gone", or back after `seconds`, with its "disk" or "blank"."""
        host = machine.host
        if host is None or not host.alive:
            return
        if machine.liar is not None:
            machine.liar.stop()
            machine.liar = None
        machine.disk = host.disk if fate == "disk" else None
        if silently:
            self._dark.add(host.address)
            self.vanish(host)
        else:
            self.kill(host)
        self.gone(host, fate == "disk")
        machine.is_due = fate != "gone"
        if machine.is_due:
            self.at(self.now + seconds, self._back, machine)

    def _back(self, machine: Machine) -> None:
        if machine.is_due and not machine.is_up:
            self.join(machine, machine.disk)

    def mute(self, machine: Machine, seconds: float) -> None:
        host = machine.host
        if host is None or not host.alive or host.is_mute:
            return
        host.is_mute = True
        self.record(b"mute", host)

        def watchdog() -> None:
            if host.alive:
                self.stop(machine, "disk", RESTART)

        self.at(self.now + seconds, watchdog)

    def spoil_disk(self, machine: Machine, seconds: float, why: str) -> None:
        if not machine.is_up or machine.host is None:
            return
        disk = machine.host.disk
        disk.fault = why

        def over() -> None:
            disk.fault = None

        self.at(self.now + seconds, over)

    def stall(self, machine: Machine, seconds: float) -> None:
        if machine.is_up and machine.host is not None:
            machine.host.asleep_until = max(machine.host.asleep_until, self.now + seconds)

    # --- the network ---------------------------------------------------------------------------------

    def split(self, machines: list[Machine], seconds: float) -> None:
        """These and the others do not reach each other for that long."""
        side = frozenset(machine.address for machine in machines)
        self._splits.append((side, self.now + seconds))
        for host in self.alive:
            for connection in host.links.values():
                if connection.hosts[0] is host:
                    self.at(self.now + KERNEL_KEEPALIVE, self._cut_off, connection)

    def _cut_off(self, connection: Connection) -> None:
        if self._apart_until(*connection.hosts) > self.now:
            self._close(connection, "timed out")

    def _apart_until(self, one: Host, other: Host) -> float:
        """When these two reach each other again; not above now: they do."""
        self._splits = [(side, until) for side, until in self._splits if until > self.now]
        ends = [until for side, until in self._splits if (one.address in side) != (other.address in side)]
        return max(ends, default=0.0)

    def heal(self) -> None:
        """No fault goes on: partitions, delays and evil end; what hangs is killed and back at once."""
        self._splits.clear()
        self._slow.clear()
        self._dropping.clear()
        self._jitter = None
        for machine in self.machines:
            self.set_clock(machine, 0.0)
            if machine.disk is not None:
                machine.disk.fault = None
            if machine.liar is not None:
                machine.liar.stop()
                machine.liar = None
            if machine.host is not None and machine.host.alive:
                machine.host.asleep_until = min(machine.host.asleep_until, self.now)
                self.rouse(machine.host)
                machine.host.disk.fault = None
                if machine.host.is_mute:
                    self.stop(machine, "disk", RESTART)
            elif machine.is_due:
                self._back(machine)

    def cut(self, one: Machine, other: Machine) -> None:
        if one.host is not None and one is not other:
            for connection in list(one.host.links.values()):
                if other.host in connection.hosts:
                    self._close(connection, "reset by peer")

    def slow(self, machine: Machine, seconds: float, more: float) -> None:
        self._slow[machine.address] = (self.now + seconds, more)

    def jitter(self, seconds: float, more: float) -> None:
        self._jitter = (self.now + seconds, more)

    def drop(self, machine: Machine, seconds: float, sly: bool) -> None:
        self._dropping[machine.address] = (self.now + seconds, sly)

    def lie(self, machine: Machine, seconds: float, how: str) -> None:
        if not machine.is_up or machine.host is None or machine.liar is not None:
            return
        liar = machine.liar = Liar(machine.host.node, how)

        def over() -> None:
            liar.stop()
            if machine.liar is liar:
                machine.liar = None

        self.at(self.now + seconds, over)

    # --- where the healthy world is bent -----------------------------------------------------------

    def delay(self, connection: Connection) -> float:
        delay = connection.latency
        if self._slow:
            for host in connection.hosts:
                until, more = self._slow.get(host.address, (0.0, 0.0))
                if until > self.now:
                    delay += more
        if self._jitter is not None and self._jitter[0] > self.now:
            delay += self._weather.uniform(0.0, self._jitter[1])
        return delay

    def _send(self, host: Host, link: int, data: bytes) -> None:
        if self._dropping:
            until, sly = self._dropping.get(host.address, (0.0, False))
            if until > self.now:
                data = swallow(data, self.overlay.initial_ttl, sly)
        if self.frames is not None:
            self.frames(host, data)
        World._send(self, host, link, data)

    def _arrive(self, connection: Connection, end: int, data: bytes) -> None:
        host = connection.hosts[end]
        if not host.alive and connection.open and host.address in self._by_address:
            self._close(connection, "reset by peer")  # the next run of that machine knows nothing of it
            return
        if not connection.hosts[1 - end].alive:
            return  # it vanished: nobody is left to send again what was held up
        apart = self._apart_until(*connection.hosts) if self._splits else 0.0
        if apart > self.now:
            # TCP sends it again and again; later bytes of this direction wait behind it.
            connection.arrives[1 - end] = max(connection.arrives[1 - end], apart)
            self.at(apart, self._arrive, connection, end, data)
            return
        World._arrive(self, connection, end, data)

    def _dial(self, host: Host, dial: Dial) -> None:
        waited = 0.0
        for number, address in enumerate(dial.addresses):
            there = self._by_address.get(address)
            if address in self._dark or (there is not None and self._apart_until(host, there[0]) > self.now):
                waited += limits.DIAL_TIMEOUT
                continue
            if waited == 0.0:
                break
            rest = dial._replace(addresses=dial.addresses[number:])
            self._call(host, waited, self._dial_now, host, rest)
            return
        else:
            self._call(host, waited, host.node.dial_failed, dial.ticket, "timed out")
            return
        super()._dial(host, dial)

    def _dial_now(self, now: float, host: Host, dial: Dial) -> None:
        self._dial(host, dial)

    def _connected(self, host: Host, dial: Dial, target: tuple[Host, int | None], latency: float) -> None:
        if self._apart_until(host, target[0]) > self.now or target[0].address in self._dark:
            self._call(host, limits.DIAL_TIMEOUT, host.node.dial_failed, dial.ticket, "timed out")
            return
        super()._connected(host, dial, target, latency)
