"""What the scenarios with many peers share: a settled ring, keys with known writers, lookups, and who holds what."""

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from math import log2
from random import Random

from xor_fast.cext import ids
from xor_fast.config import Overlay
from xor_fast.core.node import Fetched, NewValue, Stored, Tuning
from xor_fast.errors import RequestFailed
from xor_fast.sim.fakes import FakeIdentity, FakeVerifier
from xor_fast.sim.meter import Meter, memory_kib
from xor_fast.sim.run import KIND, OVERLAY_NAME, overlay_for
from xor_fast.sim.scenarios.scenario import Options, Progress
from xor_fast.sim.settled import settle_at_once
from xor_fast.sim.storm import Storm
from xor_fast.sim.world import CUT, Host
from xor_fast.trust.signatures import Identity, Verifier

VALUE_SIZE = 120  # bytes: about what the registration of an XMPP user takes
WAIT = 120.0  # for the last lookups to end
REWRITING = 10.0  # seconds within which all writers begin to store anew
STEP = 1.0  # seconds of virtual time between two looks at the progress


class Key:
    """A user's name in the overlay: what it wrote last, and until when somebody has to have it. is_safe: nobody who
    holds it dies, so it has to be found whatever becomes of it."""

    __slots__ = ("expires", "is_safe", "older", "resource", "user", "value", "writer")

    def __init__(self, writer: Host) -> None:
        self.writer: Host = writer
        self.user: bytes = writer.node.identity.user_name
        self.resource: bytes = ids.resource_id(self.user)
        self.value: bytes = b""  # the last that was acknowledged
        self.older: frozenset[bytes] = frozenset()  # those before it
        self.expires: float = 0.0
        self.is_safe: bool = False


class Lookups:
    """What came of them. failed: somebody honest and living had the value, or it was safe; unheld: nobody had it any
    more; abandoned: their askers died meanwhile."""

    def __init__(self) -> None:
        self.asked = 0
        self.found = 0
        self.stale = 0  # found, but an older value than the last that was acknowledged when it was asked for
        self.failed = 0
        self.unheld = 0
        self.abandoned: int = 0
        self.under_way: Counter[Host] = Counter()  # by asker
        self.hops: Counter[int] = Counter()  # links that the request crossed
        self.times: list[float] = []
        self.failures: list[tuple[float, str]] = []

    @property
    def over(self) -> int:
        """Those with a result that counts."""
        return self.found + self.failed

    @property
    def ended(self) -> int:
        return self.over + self.unheld

    @property
    def success(self) -> float:
        """Of all that count: one that never ended has not succeeded, and where nobody asks, nothing has."""
        return self.found / max(1, self.asked - self.unheld - self.abandoned)

    def abandon(self, asker: Host) -> None:
        self.abandoned += self.under_way.pop(asker, 0)

    @property
    def mean_hops(self) -> float:
        return sum(hops * count for hops, count in self.hops.items()) / max(1, sum(self.hops.values()))

    @property
    def max_hops(self) -> int:
        return max(self.hops, default=0)

    def time(self, part: float) -> float:
        """The time in which this part of the lookups that found something did."""
        times = sorted(self.times)
        return times[min(int(part * len(times)), len(times) - 1)] if times else 0.0


def each_side(nodes: int, chosen: int | None) -> int:
    """Neighbours on each side of a settled ring: log2 of its size, at least the RFC's three."""
    return chosen if chosen is not None else max(3, round(log2(max(2, nodes))))


class Stage:
    """honest: does what it should; scenarios with liars say who does."""

    def __init__(
        self,
        options: Options,
        progress: Progress,
        *,
        overlay: Overlay | None = None,
        tuning: Tuning | None = None,
    ) -> None:
        self.options = options
        self.nodes: int = options.count("nodes")
        self.progress = progress
        self.memory_before: int = memory_kib()
        if tuning is None:
            tuning = Tuning(neighbours_each_side=options.maybe("neighbours"), fingers=options.count("fingers"))
        self._verifier = FakeVerifier()
        self.world: Storm = Storm(
            overlay or overlay_for(self.nodes), options.seed, self._identity, tuning, cut=min(CUT, 20 / self.nodes)
        )
        self.meter: Meter = Meter()
        self.world.meter = self.meter
        self.members: list[Host] = []  # living and part of the ring
        self.keys: list[Key] = []
        self.lookups: Lookups = Lookups()
        self.stores_failed: list[str] = []
        self.honest: Callable[[Host], bool] = lambda host: True
        self.random: Random = self.world.random("stage")
        self.writing: int = 0  # Stores under way
        self._asking = False

    # --- hosts ---------------------------------------------------------------------------------------

    def _identity(self, overlay: Overlay, random: Random, index: int) -> tuple[Identity, Verifier]:
        """All believe one verifier: its memory of certificates is no part of a node."""
        identity = FakeIdentity(random.randbytes(overlay.node_id_length), f"user{index}@{OVERLAY_NAME}".encode())
        return identity, self._verifier  # type: ignore[return-value]  # the same interface, by design

    def boot(self, overlay: Overlay | None = None) -> Host:
        """A new machine, not part of the ring yet."""
        return self.world.boot(self.world.machine(len(self.world.machines)), overlay=overlay)

    def settle(self, count: int | None = None, overlay: Overlay | None = None) -> list[Host]:
        """A ring of so many (default: all nodes of the options) that is there at once; of an overlay of its own."""
        count = self.nodes if count is None else count
        hosts = []
        for index in range(count):
            if index % 100 == 0:
                self.progress("settling", index, count)
            hosts.append(self.boot(overlay))
        tuning = self.world.tuning
        settle_at_once(self.world, hosts, each_side(count, tuning.neighbours_each_side), fingers=tuning.fingers)
        self.progress("settling", count, count)
        self.members += hosts
        # What is there now stays: the collector need not go through it again and again.
        gc.collect()
        gc.freeze()
        return hosts

    def join(self, then: Callable[[Host], None] = lambda host: None, host: Host | None = None) -> Host:
        """A newcomer, or a host that was booted already, through some members."""
        host = self.boot() if host is None else host
        through = self.random.sample(self.members, min(3, len(self.members)))

        def joined(now: float, outcome: RequestFailed | None) -> None:
            if outcome is None and host.alive:
                self.members.append(host)
                then(host)

        host.node.join(self.world.now, [other.address for other in through], joined)
        self.world.drain(host)
        return host

    def kill(self, host: Host, *, silently: bool = False) -> None:
        """For ever. silently: nobody's kernel says so."""
        self.leave_stage(host)
        self.lookups.abandon(host)
        machine = self.world.machine_of.pop(host)
        self.world.stop(machine, "gone", 0.0, silently=silently)
        # Thousands die: their tables are not kept. Events that still name a dead host look at `alive` first.
        machine.host = None
        self.world.hosts.remove(host)
        del host.node

    def draw(self, part: float) -> list[Host]:
        """A share of the members; one at least is left."""
        return self.random.sample(self.members, min(round(part * self.nodes), self.nodes - 1))

    def leave_stage(self, host: Host) -> None:
        """It no longer counts as a member."""
        if host in self.members:
            self.members.remove(host)

    # --- keys ----------------------------------------------------------------------------------------

    def store_all(self, hosts: Sequence[Host], lifetime: float, *, refresh: bool = True) -> list[Key]:
        """The user of each host stores, all within half a minute, and waits until that is over."""
        keys = [Key(host) for host in hosts]
        left = [len(keys)]
        for key in keys:
            first = self.world.now + self.random.uniform(0.0, min(30.0, 0.02 * len(keys)))
            self.world.at(first, self.store, key, lifetime, refresh, left)
        total = len(keys)
        while left[0] and self.world.now < 600:
            self.progress("storing", total - left[0], total)
            self.world.run(STEP)
        self.progress("storing", total, total)
        return keys

    def store(self, key: Key, lifetime: float, refresh: bool = True, left: list[int] | None = None) -> None:
        """Its writer stores; and again before half the lifetime is over, as long as it lives."""
        host = key.writer
        if not host.alive or host not in self.members:
            return
        self.writing += 1
        value = sha256(key.user + repr(self.world.now).encode()).digest().ljust(VALUE_SIZE, b".")

        def done(now: float, outcome: Stored | RequestFailed) -> None:
            self.writing -= 1
            if isinstance(outcome, Stored):
                if not key.value:
                    self.keys.append(key)
                key.older |= {key.value}
                key.value, key.expires = value, now + lifetime - 5.0
            else:
                self.stores_failed.append(f"{now:.1f} {host.name}: {outcome}")
            if left is not None:
                left[0] -= 1

        new = NewValue(host.node.node_id, value, int(lifetime))
        host.node.store(self.world.now, key.resource, KIND.id, [new], done)
        self.world.drain(host)
        if refresh:
            again = self.world.now + lifetime * self.random.uniform(0.4, 0.5)
            self.world.at(again, self.store, key, lifetime, refresh)

    def rewrite(self, keys: Iterable[Key], lifetime: float) -> None:
        """All writers store a new value."""
        for key in keys:
            self.world.at(self.world.now + self.random.uniform(0.0, REWRITING), self.store, key, lifetime, False)

    def holders(self, key: Key) -> list[Host]:
        """Living, honest members that have it."""
        return [host for host in self.members if self._is_holder(host, key)]

    def only_held(self) -> int:
        """No other keys are asked for from now on, since nobody dies any more: those that somebody holds have to be
        found. Gives how many nobody holds."""
        held = [key for key in self.keys if self.holders(key)]
        lost = len(self.keys) - len(held)
        for key in held:
            key.is_safe = True
        self.keys = held
        return lost

    def _is_holder(self, host: Host, key: Key) -> bool:
        if not host.alive or host.is_mute or not self.honest(host):
            return False
        shelf = host.node.storage.shelf(key.resource, KIND.id)
        return shelf is not None and bool(shelf.values)

    # --- lookups -------------------------------------------------------------------------------------

    def look_up_steadily(self, rate: float, askers: Callable[[], Host | None] | None = None) -> None:
        """So many lookups a second, at random moments, of random keys by random members, until `end_lookups`."""
        self._asking = True

        def one() -> None:
            if not self._asking:
                return
            asker = askers() if askers is not None else self.some_member()
            key = self.some_key()
            if asker is not None and key is not None:
                self.look_up(asker, key)
            self.world.at(self.world.now + self.random.expovariate(rate), one)

        self.world.at(self.world.now + self.random.expovariate(rate), one)

    def end_lookups(self) -> None:
        """No more of them, and those under way to their end."""
        self._asking = False
        self.run(WAIT, "waiting", lambda: not self.lookups.under_way.total())

    def some_member(self) -> Host | None:
        for _ in range(20):
            if self.members:
                host = self.random.choice(self.members)
                if host.alive and not host.is_mute and self.honest(host):
                    return host
        return None

    def some_key(self) -> Key | None:
        """One that has not expired."""
        while self.keys:
            at = self.random.randrange(len(self.keys))
            if self.keys[at].expires > self.world.now:
                return self.keys[at]
            self.keys[at] = self.keys[-1]
            self.keys.pop()
        return None

    def look_up(self, asker: Host, key: Key, over: Callable[[bool], None] = lambda found: None) -> None:
        began, older, lookups = self.world.now, key.older, self.lookups
        lookups.asked += 1
        lookups.under_way[asker] += 1

        def done(now: float, outcome: Fetched | RequestFailed) -> None:
            lookups.under_way[asker] -= 1
            values = [] if isinstance(outcome, RequestFailed) else [value.value for value in outcome.values]
            if values:
                assert isinstance(outcome, Fetched)
                lookups.found += 1
                lookups.stale += older.issuperset(values)  # not if one was written meanwhile, acknowledged yet or not
                lookups.times.append(now - began)
                lookups.hops[0 if outcome.owner == asker.node.node_id else outcome.hops + 1] += 1
            elif key.is_safe or self.holders(key):
                lookups.failed += 1
                why = str(outcome) if isinstance(outcome, RequestFailed) else "no value in the answer"
                lookups.failures.append((now, f"{asker.name} looks up {key.user.decode()}: {why}"))
            else:
                lookups.unheld += 1
            over(bool(values))

        asker.node.fetch(self.world.now, key.resource, KIND.id, done)
        self.world.drain(asker)

    def look_up_all(self, keys: Sequence[Key], gap: float = 0.05) -> None:
        """Each of these once, by some member, so many seconds apart; waits for the last."""
        total = self.lookups.asked + len(keys)
        for position, key in enumerate(keys):
            self.world.at(self.world.now + position * gap, self.look_up, self.random.choice(self.members), key)
        self.run(gap * len(keys) + WAIT, "looking up", lambda: self.lookups.ended >= total)

    # --- time ----------------------------------------------------------------------------------------

    def run(self, seconds: float, phase: str, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass and tell how far it is; until: looked at once a second."""
        end = self.world.now + seconds
        while self.world.now < end:
            self.progress(phase, seconds - (end - self.world.now), seconds)
            if until is not None and until():
                break
            self.world.run(min(STEP, end - self.world.now))
        self.progress(phase, seconds, seconds)
        return until is None or until()

    def problems(self, problems: Iterable[tuple[float, str]]) -> list[str]:
        return [f"{when:.1f} {text}" for when, text in problems][:20]
