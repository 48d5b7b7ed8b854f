"""`xor-fast sim torture`: 32 peers, everything that may go wrong, and after every event what must hold.

First the faults: nothing may ever be wrong (safety). Then they end, and within QUIET seconds the overlay has to be as
if nothing had been (liveness). One seed, one list of faults, one trace.
"""

import traceback
from collections.abc import Sequence
from functools import partial
from random import Random

import msgspec

from xor_fast import limits
from xor_fast.cext import ids
from xor_fast.config import Overlay
from xor_fast.core.node import Fetched, NewValue, Stored, Tuning
from xor_fast.core.topology import State
from xor_fast.errors import RequestFailed
from xor_fast.sim import checks
from xor_fast.sim.fakes import FakeIdentity, FakeVerifier
from xor_fast.sim.run import KIND, OVERLAY_NAME
from xor_fast.sim.storm import Machine, Storm
from xor_fast.sim.torture.faults import Fault, draw
from xor_fast.sim.torture.footprint import footprint
from xor_fast.sim.torture.promises import ROUNDING, Promises, Spot, Write
from xor_fast.sim.torture.traffic import Traffic
from xor_fast.sim.world import KERNEL_KEEPALIVE, Host
from xor_fast.trust.signatures import Identity, Verifier

MACHINES = 32
STORM = 60.0  # seconds of faults
UPDATE_INTERVAL = 10.0
HOLD_DOWN = 1.0
QUIET = 80.0  # seconds after the last fault by which all is well: a vanished peer is missed, two updates pass, and what
# is outside of its replica set is let go of
LIFETIME = 20 * 86400  # of a value: clocks that jump a day do not end it
SHORT_LIFE = 60  # of those that are seen to their end
FEWEST = 10  # below so many members nobody else is taken away
LONGEST_WISH = 60.0  # a lookup ends within limits.LOOKUP_TIME, a Store within its tries
LEAST_BOUND = 200  # entries of any table that are no leak, whatever it is
OF_REQUESTS = ("transactions", "attach", "fragments")  # parts whose tables are empty when nobody asks anything ...
REST = 10.0  # ... for longer than a request lives ...
FEW = 10  # ... but for upkeep

assert KERNEL_KEEPALIVE + 2 * UPDATE_INTERVAL + HOLD_DOWN + limits.SETTLING < QUIET
assert limits.DISK_RETRY_CEILING < QUIET


class Outcome(msgspec.Struct):
    """What one seed came to. Times are seconds of virtual time."""

    seed: int
    violations: list[str]
    faults: int
    events: int
    messages: int
    loops: int
    longest: int
    acknowledged: int
    stores_failed: int
    lookups: int
    lookups_failed: int
    losses_excused: int
    quiet: float
    virtual_seconds: float
    trace: str

    @property
    def ok(self) -> bool:
        return not self.violations


def plan_of(seed: int) -> list[Fault]:
    return draw(Random(f"{seed}/faults"), MACHINES, STORM)


def torture(seed: int, plan: Sequence[Fault] | None = None) -> Outcome:
    """plan: other faults than the seed's own."""
    return _Torture(seed, plan_of(seed) if plan is None else plan).run()


def _overlay() -> Overlay:
    return Overlay(
        instance_name=OVERLAY_NAME,
        sequence=1,
        kinds=(KIND,),
        no_ice=True,
        max_message_size=65536,
        update_interval=UPDATE_INTERVAL,
        ping_interval=30.0,
        reliability_timer=1.0,
    )


def _identity(overlay: Overlay, random: Random, index: int) -> tuple[Identity, Verifier]:
    """Two machines for each user."""
    node_id = random.getrandbits(128).to_bytes(16, "big")
    identity = FakeIdentity(node_id, f"user{index // 2}@{overlay.instance_name}".encode())
    return identity, FakeVerifier()  # type: ignore[return-value]  # the same interface, by design


class _Torture:
    def __init__(self, seed: int, plan: Sequence[Fault]) -> None:
        self.plan = plan
        self.storm = Storm(_overlay(), seed, _identity, Tuning(hold_down=HOLD_DOWN))
        self.promises = Promises(self.storm)
        self.traffic = Traffic(self.storm.overlay.initial_ttl)
        self.violations: list[str] = []
        self.outcomes = {"acknowledged": 0, "stores_failed": 0, "lookups": 0, "lookups_failed": 0}
        self.written = 0
        self.failures: list[str] = []  # of Stores
        self.counters: dict[bytes, int] = {}  # Resource-ID -> generation counter that the last Store left there
        self.open: dict[str, Host] = {}  # wishes that have not come to an end, and whose they are
        self.quiet = 0.0
        self.random = self.storm.random("workload")

    def run(self) -> Outcome:
        try:
            self._grow()
            self._endure()
            self._recover()
            self._read_everything()
            self._go_on()
        except _Stop:
            pass
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = f"{type(error).__name__}: {error} ({where.filename.rpartition('/')[2]}:{where.lineno})"
            self.violations.append(f"{self.storm.now:.3f} an exception came out: {text}")
        self.violations += self.promises.problems + self.traffic.problems
        return Outcome(
            seed=self.storm.seed,
            violations=self.violations,
            faults=len(self.plan),
            events=self.storm.events,
            messages=self.traffic.messages,
            loops=self.traffic.loops,
            longest=self.traffic.longest,
            losses_excused=self.promises.losses_excused,
            quiet=self.quiet,
            virtual_seconds=self.storm.now,
            trace=self.storm.trace,
            **self.outcomes,
        )

    # --- before: a settled ring ------------------------------------------------------------------------

    def _grow(self) -> None:
        storm = self.storm
        first = storm.boot(storm.machine(0))
        first.node.start_overlay(storm.now)
        storm.drain(first)
        for number in range(1, MACHINES):
            storm.at(0.5 * number, partial(storm.join, storm.machine(number)))
        self._must(60, lambda: len(self._members()) == MACHINES and checks.is_one_ring(storm), "the ring did not form")
        storm.watch, storm.frames = self.promises.look, self.traffic.sent
        storm.gone, storm.back = self.promises.gone, self.promises.back
        for machine in storm.machines:
            self._write(machine, exists=True)
        self._must(20, lambda: self.outcomes["acknowledged"] == MACHINES, "not everything could be stored")
        storm.run(2.0)

    def _must(self, seconds: float, what: "object", text: str) -> None:
        if not self.storm.run(seconds, what):  # type: ignore[arg-type]
            self.violations.append(f"{self.storm.now:.3f} {text}")
            raise _Stop

    def _members(self) -> list[Machine]:
        return [machine for machine in self.storm.machines if machine.member is not None]

    # --- the faults ------------------------------------------------------------------------------------

    def _endure(self) -> None:
        began = self.storm.now
        for fault in self.plan:
            self.storm.at(began + fault.at, partial(self._happen, fault))
        self.storm.run(STORM)

    def _happen(self, fault: Fault) -> None:
        storm, machine = self.storm, self.storm.machine(fault.machine)
        others = [storm.machine(number) for number in fault.others]
        what, seconds = fault.what, fault.seconds
        if what in ("store", "remove"):
            self._write(machine, exists=what == "store")
            return
        if what == "fetch":
            self._read(machine, others[0], must_be_new=False)
            return
        if what in ("stall", "mute", "partition", "slow", "jitter", "drop", "disk"):
            self.promises.disturbed(seconds + KERNEL_KEEPALIVE)
        if what in ("kill", "crash", "leave", "mute") and (not machine.is_up or len(self._members()) <= FEWEST):
            return
        if what == "kill":
            storm.stop(machine, fault.how, seconds)
        elif what == "crash":
            self.promises.disturbed(KERNEL_KEEPALIVE + HOLD_DOWN)
            storm.stop(machine, fault.how, seconds, silently=True)
        elif what == "leave" and machine.member is not None:
            machine.member.node.leave(storm.now)
            storm.drain(machine.host)  # type: ignore[arg-type]  # it is up
        elif what == "join" and not machine.is_up and not machine.is_due:
            storm.join(machine)
        elif what == "stall":
            storm.stall(machine, seconds)
        elif what == "mute":
            storm.mute(machine, seconds)
        elif what == "partition":
            storm.split(others, seconds)
        elif what == "cut":
            storm.cut(machine, others[0])
        elif what == "slow":
            storm.slow(machine, seconds, fault.amount)
        elif what == "jitter":
            storm.jitter(seconds, fault.amount)
        elif what == "drop":
            storm.drop(machine, seconds, fault.how == "sly")
        elif what == "lie":
            storm.lie(machine, seconds, fault.how)
        elif what == "disk":
            storm.spoil_disk(machine, seconds, fault.how)
        elif what == "clock":
            storm.set_clock(machine, fault.amount)

    # --- the workload ----------------------------------------------------------------------------------

    def _write(self, machine: Machine, exists: bool, lifetime: int = LIFETIME, generation: int = 0) -> None:
        host = machine.member
        if host is None:
            return
        node = host.node
        spot: Spot = (ids.resource_id(node.identity.user_name), node.node_id)
        self.written += 1
        value = f"{machine.number}/{self.written}".encode() if exists else b""

        write = Write(0, value, exists, self.storm.now + lifetime)
        wish = self._wish(host, f"{'store' if exists else 'removal'} {self.written}")

        def done(now: float, outcome: Stored | RequestFailed) -> None:
            del self.open[wish]
            if not write.time:  # answered by ourselves, within the wish
                outcomes.append(outcome)
            else:
                self._written(spot, write, outcome)

        outcomes: list[Stored | RequestFailed] = []
        new = NewValue(node.node_id, value, lifetime, exists)
        node.store(self.storm.now, spot[0], KIND.id, [new], done, generation)
        # Its time is the writer's to choose; it has to remember it (notes 5.18).
        write.time = node.writer.last((spot[0], KIND.id, spot[1]))[0]
        self.promises.wished(spot, write)
        for outcome in outcomes:
            self._written(spot, write, outcome)
        self.storm.drain(host)

    def _wish(self, host: Host, text: str) -> str:
        """A wish by name, until its end."""
        self.open[text] = host
        return text

    def _unended(self) -> list[str]:
        return [f"{host.name}: {wish} came to no end" for wish, host in self.open.items() if host.alive]

    def _written(self, spot: Spot, write: Write, outcome: Stored | RequestFailed) -> None:
        if isinstance(outcome, Stored):
            self.outcomes["acknowledged"] += 1
            self.counters[spot[0]] = outcome.generation
            self.promises.acknowledged(spot, write)
        else:
            self.outcomes["stores_failed"] += 1
            self.failures.append(f"{self.storm.now:.3f} {write} was not stored: {outcome}")

    def _read(self, machine: Machine, other: Machine, *, must_be_new: bool) -> None:
        host = machine.member
        if host is None:
            return
        resource = ids.resource_id(other.identity.user_name)
        self.outcomes["lookups"] += 1
        wish = self._wish(host, f"lookup {self.outcomes['lookups']} of machine {other.number}")

        def done(now: float, outcome: Fetched | RequestFailed) -> None:
            del self.open[wish]
            if isinstance(outcome, Fetched):
                self.promises.fetched(host, resource, outcome, must_be_new=must_be_new)
                return
            self.outcomes["lookups_failed"] += 1
            if must_be_new:
                self.violations.append(f"{now:.3f} {host.name}: lookup of machine {other.number}: {outcome}")

        host.node.fetch(self.storm.now, resource, KIND.id, done)
        self.storm.drain(host)

    # --- after: quiet ----------------------------------------------------------------------------------

    def _recover(self) -> None:
        storm = self.storm
        storm.heal()
        healed = storm.now
        wrong = self._not_well()
        while wrong and storm.now - healed < QUIET:
            storm.run(1.0)
            wrong = self._not_well()
        self.quiet = max(self.quiet, storm.now - healed)
        if wrong:
            self.violations += [f"{storm.now:.3f} after {QUIET:.0f} quiet seconds: {text}" for text in wrong[:8]]
            raise _Stop

    def _not_well(self) -> list[str]:
        hosts = [host for host in self.storm.alive if host.node.topology.state is not State.JOINED]
        outside = [f"{host.name} is {host.node.topology.state.value}" for host in hosts]
        if outside:
            return outside
        wrong = checks.wrong_neighbours(self.storm)
        if wrong:
            return wrong
        for host in self.storm.alive:
            if host.node.storage.ledger.disk.complaint:
                return [f"{host.name} has not found out that its disk can be written again"]
        ring = checks.ring_order(self.storm)
        sets = {}
        for spot in self.promises.places:
            claims = checks.claimants(self.storm, spot[0])
            if len(claims) != 1:
                return [f"{spot[0].hex()} is claimed by {', '.join(host.name for host in claims) or 'nobody'}"]
            first = ring.index(claims[0])
            sets[spot] = [ring[(first + step) % len(ring)] for step in range(min(3, len(ring)))]
        return list(self.promises.too_few_copies(sets))

    def _read_everything(self) -> None:
        storm = self.storm
        storm.run(5.0)
        loops = self.traffic.loops
        members = self._members()
        lookups, failed = self.outcomes["lookups"], self.outcomes["lookups_failed"]
        for machine in storm.machines[::2]:
            for reader in self.random.sample(members, 3):
                self._read(reader, machine, must_be_new=True)
        storm.run(20.0)
        self._end_wishes()
        if self.traffic.loops != loops:
            self.violations.append(f"{storm.now:.3f} {self.traffic.loops - loops} messages went in a circle in quiet")
        self.outcomes["lookups"], self.outcomes["lookups_failed"] = lookups, failed

    # --- and it goes on --------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Stores are taken again, their counters outlive an owner, and values end in time, whatever clocks say. At the
        end nothing has piled up."""
        storm, outcomes = self.storm, self.outcomes.copy()
        self._store_all({}, LIFETIME)  # who lost its disk learns by a refusal that it has written there before
        self._store_all({}, LIFETIME, must=True)
        storm.run(5.0)
        self._stop(checks.ring_order(storm)[:-2:3])  # of three who hold a value, one: the heir has the counter
        self._store_all(self.counters, LIFETIME, must=True)
        self._recover()
        self._stop(checks.ring_order(storm)[:3])  # all three: their disks have it
        self._recover()
        self._jump()
        ends = storm.now + SHORT_LIFE
        self._store_all(self.counters, SHORT_LIFE, must=True)
        self._jump()
        self._look_up_all()
        storm.run(ends + ROUNDING - storm.now)
        self.promises.over()
        self._look_up_all()
        storm.run(REST)
        for host in storm.alive:
            for path, size in footprint(host.node).items():
                if size > (FEW if path.partition(".")[0] in OF_REQUESTS else LEAST_BOUND):
                    self.violations.append(f"{storm.now:.3f} {host.name} keeps {size} entries in {path}")
        self.outcomes = outcomes

    def _jump(self) -> None:
        for machine in self.storm.machines:
            self.storm.set_clock(machine, self.random.choice((-3600.0, 3600.0)))

    def _stop(self, hosts: list[Host]) -> None:
        for host in hosts:
            self.storm.stop(self.storm.machine_of[host], "disk", 6.0)
        self.storm.run(3.0)

    def _store_all(self, counters: dict[bytes, int], lifetime: int, *, must: bool = False) -> None:
        """One machine of each user stores. counters: by place, what has to be there for it to be taken."""
        before, failed = self.counters.copy(), len(self.failures)
        writers = {ids.resource_id(machine.identity.user_name): machine for machine in self._members()}
        for resource, machine in writers.items():
            self._write(machine, True, lifetime, counters.get(resource, 0))
        self._end_wishes()
        if must:
            self.violations += self.failures[failed:]
            for resource in writers:
                was, counter = before.get(resource, 0), self.counters.get(resource, 0)
                if counter <= was:
                    text = f"the counter of {resource.hex()} was {was}, and after another Store it is {counter}"
                    self.violations.append(f"{self.storm.now:.3f} {text}")

    def _look_up_all(self) -> None:
        for machine in self.storm.machines[::2]:
            self._read(self.random.choice(self._members()), machine, must_be_new=True)
        self._end_wishes()

    def _end_wishes(self) -> None:
        self.storm.run(LONGEST_WISH, lambda: not self._unended())
        self.violations += [f"{self.storm.now:.3f} {text}" for text in self._unended()]


class _Stop(Exception):
    """Nothing more can be learned from this run."""
