"""What an overlay has promised to those who stored in it, kept beside the overlay and compared with what it holds.

A place is one key of one user. Each place has one writer, whose storage times tell which of its values is newer.
"""

from collections.abc import Iterator

from xor_fast.cext import codec
from xor_fast.core.node import Fetched
from xor_fast.core.values import Held
from xor_fast.messages import DataModel, StoreKindData
from xor_fast.sim.run import KIND
from xor_fast.sim.storm import Machine, Storm
from xor_fast.sim.world import Host

COPIES = 3  # the owner and the next two successors (RFC 6940 10.4)
REPAIR = 10.0  # calm seconds after which a value that had lost a copy has to have it again; hold-down 1 s
ROUNDING = 4.0  # seconds by which a copy may end before or after its value
_RECORD_HEAD = 40  # of a value on the disk: its end and whose certificates, before its StoreKindData (core/ledger.py)

Spot = tuple[bytes, bytes]
"""Resource-ID, dictionary key"""


class Write:
    """exists: False for a removal. ends: virtual time."""

    __slots__ = ("ends", "exists", "time", "value")

    def __init__(self, time: int, value: bytes, exists: bool, ends: float) -> None:
        self.time: int = time
        self.value: bytes = value
        self.exists: bool = exists
        self.ends: float = ends

    def may_end(self, now: float) -> bool:
        """A copy of it: each hand that passed it on has made its life shorter by less than a second (7.4.1.1)."""
        return now > self.ends - ROUNDING

    def is_over(self, now: float) -> bool:
        """It is swept once a second."""
        return now > self.ends + ROUNDING / 2

    def __str__(self) -> str:
        return f"{self.value.decode() if self.exists else 'removal'} of {self.time}"


class Place:
    def __init__(self) -> None:
        self.writes: dict[int, Write] = {}  # by storage_time
        self.promised: Write | None = None  # the newest that was acknowledged
        self.holders: dict[Host | Machine, int] = {}  # storage_time held; a Machine that is down: on its disk
        self.whole_at: float = 0.0  # the calm moment at which it last had all copies
        self.was_let_go = False  # since then, by somebody who could have kept it
        self.takers: dict[int, set[Machine]] = {}  # storage_time -> who has held that value at some time
        self.died: dict[int, int] = {}  # storage_time -> how many holders of it died without a disk

    def copies(self) -> int:
        assert self.promised is not None
        return sum(time >= self.promised.time for time in self.holders.values())

    def deaths(self) -> int:
        """Of those that had the promised value, or a newer one."""
        assert self.promised is not None
        return sum(count for time, count in self.died.items() if time >= self.promised.time)

    def ever(self) -> int:
        """How many machines have had the promised value, or a newer one."""
        assert self.promised is not None
        return len(set().union(*(who for time, who in self.takers.items() if time >= self.promised.time)))


class Promises:
    """Looks at hosts (`look`), is told of wishes and outcomes, and collects what is wrong in `problems`."""

    def __init__(self, storm: Storm) -> None:
        self.places: dict[Spot, Place] = {}
        self.problems: list[str] = []
        self.losses_excused: int = 0
        self.single: int = 0  # acknowledged when one machine only had ever had them
        self._storm = storm
        self._seen: dict[Host | Machine, dict[Spot, tuple[int, bool, bytes]]] = {}
        self._there: dict[Host, list[Held]] = {}
        self._calm = 0.0  # seconds without a fault that may hinder repair
        self._calm_at = 0.0
        self._disturbed_until = 0.0

    # --- time in which repair can be asked for -----------------------------------------------------------

    def disturbed(self, seconds: float) -> None:
        """For that long from now, a fault may hinder any repair."""
        self.calm()
        self._disturbed_until = max(self._disturbed_until, self._storm.now + seconds)

    def calm(self) -> float:
        now = self._storm.now
        self._calm += max(0.0, now - max(self._calm_at, self._disturbed_until))
        self._calm_at = now
        return self._calm

    # --- what is asked for and answered ----------------------------------------------------------------

    def wished(self, spot: Spot, write: Write) -> None:
        self.places.setdefault(spot, Place()).writes[write.time] = write

    def acknowledged(self, spot: Spot, write: Write) -> None:
        place = self.places[spot]
        if place.promised is not None and write.time < place.promised.time:
            return  # both were under way, and a new owner may have had the older before it got the newer; that stays
        self.look_at_all()
        place.promised = write
        place.whole_at, place.was_let_go = self.calm(), False
        if not place.copies():
            if place.deaths():
                self._lost(place)
            else:
                self._wrong(f"{write} was acknowledged and nobody holds it")
        elif place.ever() < 2:
            self.single += 1
            if self.single > self._counted_single():
                self._wrong(f"{write} was acknowledged with one copy, and that was not counted")

    def fetched(self, reader: Host, resource: bytes, outcome: Fetched, *, must_be_new: bool) -> None:
        """Nothing is readable that its writer did not write there. must_be_new: nothing older than was promised."""
        found: dict[bytes, int] = {}
        for value in outcome.values:
            assert isinstance(value.key, bytes)
            place = self.places.get((resource, value.key))
            write = place.writes.get(value.storage_time) if place else None
            if write is None or not write.exists or write.value != value.value:
                self._wrong(f"{reader.name} read {value.value!r} of {value.storage_time}: never written there")
            found[value.key] = value.storage_time
        if not must_be_new:
            return
        for (there, key), place in self.places.items():
            if there != resource or place.promised is None:
                continue
            time = found.get(key)
            if place.promised.is_over(self._storm.now):
                if time is not None:
                    self._wrong(f"{reader.name} read {place.writes.get(time)} after the end of {place.promised}")
            elif time is None and place.promised.exists:
                newer = any(not w.exists and w.time > place.promised.time for w in place.writes.values())
                if not newer:  # a removal that was not acknowledged may have been carried out all the same
                    self._wrong(f"{reader.name} did not find {place.promised}")
            elif time is not None and time < place.promised.time:
                self._wrong(f"{reader.name} read {place.writes.get(time)}, older than {place.promised}")

    # --- what is held --------------------------------------------------------------------------------

    def look(self, host: Host) -> None:
        """After an event at a host: what it holds now, compared with what it held before."""
        there = _values(host) if host.alive else []
        if there == self._there.get(host):
            return  # the very same ones: a `Held` is not rewritten, another takes its place
        self._there[host] = there
        before = self._seen.get(host, {})
        after = contents(host) if host.alive else {}
        if after == before:
            return
        self._seen[host] = after
        for spot, (time, exists, value) in after.items():
            if before.get(spot) == (time, exists, value):
                continue
            if spot in before and time < before[spot][0]:
                self._wrong(f"{host.name} took {value!r} of {time} in place of one of {before[spot][0]}")  # 7.4.1.1
            place = self.places.get(spot)
            write = place.writes.get(time) if place else None
            if place is None or write is None or write.exists != exists or write.value != value:
                self._wrong(f"{host.name} holds {value!r} of {time}, never written there")
            else:
                self._holds(place, host, time)
            if _on_disk(host, spot) != time:
                self._wrong(f"{host.name} shows {value!r} of {time}, which is not on its disk")
        for spot in before.keys() - after.keys():
            self._releases(self.places[spot], host, died=not host.alive)

    def look_at_all(self) -> None:
        for host in self._storm.alive:
            self.look(host)

    def gone(self, host: Host, with_disk: bool) -> None:
        """A host was stopped; its values stay on its disk, or not."""
        self._there.pop(host, None)
        seen = self._seen.pop(host, {})
        if with_disk:
            self._move(seen, host, self._storm.machine_of[host])
        else:
            for spot in seen:
                self._releases(self.places[spot], host, died=True)

    def back(self, machine: Machine) -> None:
        """A machine runs again: what was on its disk is there, or has been let go of."""
        assert machine.host is not None
        self._move(self._seen.pop(machine, {}), machine, machine.host)
        self.look(machine.host)

    def _move(self, seen: dict[Spot, tuple[int, bool, bytes]], one: Host | Machine, other: Host | Machine) -> None:
        self._seen[other] = seen
        for spot in seen:
            holders = self.places[spot].holders
            if one in holders:
                holders[other] = holders.pop(one)

    def _holds(self, place: Place, host: Host | Machine, time: int) -> None:
        place.holders[host] = time
        machine = host if isinstance(host, Machine) else self._storm.machine_of[host]
        place.takers.setdefault(time, set()).add(machine)
        if place.promised is not None:
            self._count(place)

    def _releases(self, place: Place, host: Host | Machine, died: bool) -> None:
        if place.promised is not None:
            self._count(place)
        time = place.holders.pop(host, None)
        if time is None:
            return
        if died:
            place.died[time] = place.died.get(time, 0) + 1
        if place.promised is None or time < place.promised.time or place.promised.may_end(self._storm.now):
            return
        place.was_let_go = place.was_let_go or not died
        if not place.copies():
            self._lost(place)

    def _count(self, place: Place) -> None:
        if place.copies() >= COPIES:
            place.whole_at, place.was_let_go = self.calm(), False

    def _lost(self, place: Place) -> None:
        """The last copy is gone. Excused if all there were, two at least, died within the time a repair takes."""
        calm = self.calm() - place.whole_at
        if place.was_let_go:
            self._wrong(f"{place.promised} was let go of by the last that had it")
        elif calm > REPAIR:
            self._wrong(f"{place.promised} was lost with its last copy: for {calm:.1f} calm seconds no other was made")
        elif place.deaths() < 2 and not self._counted_single():
            self._wrong(f"{place.promised} was acknowledged and nobody but the one that died had it")
        else:
            self.losses_excused += 1
        place.promised = None

    def _counted_single(self) -> int:
        """How often an owner has acknowledged with its own copy only, and counted that."""
        return sum(host.node.counters.get("stores_acknowledged_with_one_copy", 0) for host in self._storm.hosts)

    def too_few_copies(self, replica_sets: "dict[Spot, list[Host]]") -> Iterator[str]:
        """Places whose replica set does not hold the newest value there is."""
        for spot, hosts in replica_sets.items():
            place = self.places[spot]
            if place.promised is None:
                continue
            newest = max(place.holders.values(), default=0)
            for host in hosts:
                if place.holders.get(host) != newest:
                    yield f"{host.name} does not hold {place.writes.get(newest)}, but {place.holders.get(host)}"
            extra = [h.name for h in place.holders if isinstance(h, Host) and h not in hosts]
            if extra:
                yield f"{', '.join(extra)}: copies of {place.writes.get(newest)} outside the replica set"

    def over(self) -> None:
        """Nothing is held whose time is over."""
        for place in self.places.values():
            if place.promised is not None and place.promised.is_over(self._storm.now):
                for host, time in place.holders.items():
                    if isinstance(host, Host):
                        self._wrong(f"{host.name} still holds {place.writes.get(time)}: its time is over")

    def _wrong(self, text: str) -> None:
        self.problems.append(f"{self._storm.now:.3f} {text}")


def _values(host: Host) -> list[Held]:
    everywhere = bytes(16)
    shelves = host.node.storage.shelves.within(everywhere, everywhere)
    return [held for shelf in shelves for held in shelf.values.values()]


def _on_disk(host: Host, spot: Spot) -> int | None:
    """The storage_time of the value that a restart would find there."""
    resource, key = spot
    record = host.disk.records.get(b"v" + resource + KIND.id.to_bytes(4, "big") + key)
    if record is None:
        return None
    kind_data = codec.decode_struct(StoreKindData, record[_RECORD_HEAD:], 16)
    return kind_data.values[0].storage_time


def contents(host: Host) -> dict[Spot, tuple[int, bool, bytes]]:
    """What a host holds: storage_time, does it exist, the value."""
    held = {}
    everywhere = bytes(16)
    for shelf in host.node.storage.shelves.within(everywhere, everywhere):
        for key, there in shelf.values.items():
            held[shelf.resource, key] = (there.storage_time, there.exists, there.value(DataModel.DICTIONARY))
    return held
