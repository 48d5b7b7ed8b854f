"""What survives `kill -9`: node processes, many acknowledged values, and lookups all the while.

A value counts as acknowledged from the instant its answer came. A lookup counts as failed unless it gives the one
value that the writer stored last: the acknowledged one, or one whose answer was still out when the lookup began.
Lookups begin at a steady rate, whatever becomes of those before; they go through nodes that are not killed, for where
the asker's own node dies nobody is left to be answered.
"""

import asyncio
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from math import ceil
from time import monotonic
from typing import Self

import msgspec

from tests.processes.overlay import Member, ProcessOverlay
from xor_fast.cext import ids
from xor_fast.cli.data import DataDirectory
from xor_fast.cli.running import passing_client
from xor_fast.config import KindDefinition
from xor_fast.core.node import Fetched, NewValue, Stored
from xor_fast.errors import RequestFailed
from xor_fast.messages import DataModel
from xor_fast.net.peer import Peer

# One certificate may write at 255 places spread over the ring (RFC 6940 7.3.4).
KIND = KindDefinition(0xF0000001, "", DataModel.SINGLE, "NODE-MULTIPLE", 1, 64, 255)
PLACES = 250  # of one writer
HOLDERS = 3  # of each value: the owner and two replicas (10.4)
LIFETIME = 86400
AT_ONCE = 32  # stores or lookups under way while all places are gone through
PATIENCE = 60.0  # seconds after which a value that is not found counts as lost, and a ring as not repaired
ABSENT = "absent"

Progress = Callable[[str, int, int], None]
"""progress(phase, done, total)"""


class Row(msgspec.Struct, kw_only=True):
    """One step: what was done, how many are gone after it, and the lookups made during it. Times in seconds.

    steady: lookups began at a steady rate, of any value. repair: until the living were one ring again and each held
    all it should. median, slowest: of the lookups that succeeded. orphans: lookups that failed, but not to the blame of
    any node, for all who held the value were down.
    why: reasons of failed lookups. problems: what was not repaired within PATIENCE.
    """

    step: str
    steady: bool
    gone: int = 0
    seconds: float = 0.0
    repair: float | None = None
    lookups: int = 0
    failed: int = 0
    orphans: int = 0
    median: float = 0.0
    slowest: float = 0.0
    writes: int = 0
    why: dict[str, int] = {}
    problems: list[str] = []


class Place:
    """A Resource-ID with its only writer. sent and acknowledged: versions of its value, from 1; 0 for none."""

    __slots__ = ("acknowledged", "resource", "sent", "writer")

    def __init__(self, writer: Peer, number: int) -> None:
        self.writer = writer
        self.resource = ids.resource_id(writer.node.node_id + bytes([number]))
        self.acknowledged = 0
        self.sent = 0

    async def store(self) -> bool:
        """A new version. Not to be called again before it has ended."""
        self.sent += 1
        version, value = self.sent, NewValue(None, self.sent.to_bytes(8) + self.resource, LIFETIME)

        def store(now: float, done: Callable[[float, Stored | RequestFailed], None]) -> None:
            def over(now: float, outcome: Stored | RequestFailed) -> None:
                if isinstance(outcome, Stored):
                    self.acknowledged = version  # in this very instant: whatever dies from now on must not take it
                done(now, outcome)

            self.writer.node.store(now, self.resource, KIND.id, [value], over)

        try:
            await self.writer.wish(store)
        except RequestFailed:
            return False
        return True

    def wrong(self, found: Fetched, oldest: int) -> str | None:
        """What is wrong with an answer, if the version `oldest` was acknowledged before it was asked for."""
        if len(found.values) != 1:
            return ABSENT if not found.values else "several values"
        value = found.values[0].value
        version = int.from_bytes(value[:8])
        if value[8:] != self.resource or version > self.sent:
            return "never stored"
        return None if version >= oldest else "an older value"


class Survival:
    """`stores` values in `overlay`, written and looked up by clients of the `hosts`, which are never killed.

    rate, writes: lookups and new versions a second, while something is killed, repaired or started.
    """

    def __init__(
        self,
        overlay: ProcessOverlay,
        hosts: Sequence[Member],
        stores: int,
        rate: float,
        writes: float,
        progress: Progress,
    ) -> None:
        self.overlay = overlay
        self.hosts = hosts
        self.rows: list[Row] = []
        self.lost: list[str] = []
        self.places: list[Place] = []
        self._clients: list[Peer] = []
        self._writers: Sequence[DataDirectory] = ()
        self._stores = stores
        self._rate = rate
        self._writes = writes
        self._progress = progress
        self._times: list[float] = []
        self._orphans: set[Place] = set()  # whose holders are all down
        self._exit = AsyncExitStack()

    async def __aenter__(self) -> Self:
        writers = [self.overlay.enroll(f"writer{number}") for number in range(ceil(self._stores / PLACES))]
        await self._connect(writers)
        for client in self._clients:
            self.places += [Place(client, i) for i in range(1, min(PLACES, self._stores - len(self.places)) + 1)]
        random.shuffle(self.places)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._exit.aclose()

    async def _connect(self, writers: Sequence[DataDirectory]) -> None:
        for number, data in enumerate(writers):
            through = passing_client(data, [self.hosts[number % len(self.hosts)].address])
            self._clients.append(await self._exit.enter_async_context(through))
        self._writers = writers

    # --- the steps -----------------------------------------------------------------------------------

    async def fill(self) -> None:
        """Every value is stored until it is acknowledged, and then on all its holders."""
        async with self._step("store all", steady=False) as row:
            waiting = iter(self.places)

            async def work() -> None:
                for place in waiting:
                    while not await place.store():
                        await asyncio.sleep(0.5)
                    row.writes += 1
                    self._progress(row.step, row.writes, len(self.places))

            await asyncio.gather(*(work() for _ in range(AT_ONCE)))
            await self._repair(row)

    async def kill_pairs(self, share: float, hold_down: float) -> None:
        """Two at a time, every other time two neighbours, with the time for repair between, until `share` are gone."""
        goal = ceil(share * len(self.overlay.members))
        number = 0
        while (gone := self.gone) < goal:
            number += 1
            pair = self._pair(neighbours=number % 2 == 0)
            async with self._step(f"kill {pair[0]} and {pair[1]}" + ", neighbours" * (number % 2 == 0)) as row:
                await self._kill(pair)
                await self._repair(row, hold_down)
            self._progress("kill pairs", min(gone + 2, goal), goal)
        await self.look_all_up()

    async def kill_and_restart(self, share: float, outage: float, hold_down: float) -> None:
        """`share` of all at once; `outage` seconds later they are started again in their directories.

        They are drawn until some values have lost all their holders: without those no disk would be needed."""
        for _ in range(1000):
            victims = random.sample(self._killable(), ceil(share * len(self.overlay.members)))
            if orphans := self._places_held_by(victims):
                break
        async with self._step(f"kill {len(victims)} at once: {len(orphans)} values have no holder") as row:
            self._orphans = orphans
            await self._kill(victims)
            await asyncio.sleep(outage)
        async with self._step("start them again") as row:
            await asyncio.to_thread(self.overlay.restart, *victims)
            await self._repair(row, hold_down)
        self._orphans = set()
        await self.look_all_up()

    async def black_out(self) -> None:
        """All at once, the hosts as well, and started again. Values are only read from then on."""
        async with self._step("kill all, start them again", steady=False) as row:
            await self._kill(self.overlay.members)
            await asyncio.to_thread(self.overlay.restart, *self.overlay.members)
            await self._exit.aclose()
            self._clients.clear()
            await self._connect(self._writers)
            await self._repair(row)
        await self.look_all_up()

    async def look_all_up(self) -> None:
        """At the end: whoever is not found, is looked for again until PATIENCE is over."""
        end = monotonic() + PATIENCE
        async with self._step("look all up", steady=False) as row:
            missing = await self._look_up(self.places, row)
            while missing and monotonic() < end:
                await asyncio.sleep(2.0)
                missing = await self._look_up(missing, None)
        self.lost += [place.resource.hex() for place in missing]
        self.places = [place for place in self.places if place not in missing]  # nobody can bring them back

    @property
    def gone(self) -> int:
        return len(self.overlay.members) - len(self.overlay.alive)

    def _killable(self) -> list[Member]:
        return [member for member in self.overlay.alive if member not in self.hosts]

    def _pair(self, *, neighbours: bool) -> Sequence[Member]:
        victims = self._killable()
        if not neighbours:
            return random.sample(victims, 2)
        order = sorted(self.overlay.alive, key=lambda member: member.node_id)
        pairs = [pair for pair in zip(order, order[1:] + order[:1], strict=True) if set(pair) <= set(victims)]
        return random.choice(pairs) if pairs else random.sample(victims, 2)

    async def _kill(self, victims: Sequence[Member]) -> None:
        for member in victims:
            member.kill()
        for member in victims:
            await asyncio.to_thread(member.child.end)

    # --- is it repaired? -----------------------------------------------------------------------------

    async def _repair(self, row: Row, hold_down: float = 0.0) -> None:
        """Wait until the living are one ring and each holds as many values as it should."""
        began = monotonic()
        while problems := await asyncio.to_thread(self.unrepaired):
            if monotonic() - began > hold_down + PATIENCE:
                row.problems = problems
                return
            await asyncio.sleep(0.5)
        row.repair = monotonic() - began

    def unrepaired(self) -> list[str]:
        """What is to be, from Node-IDs and Resource-IDs alone."""
        problems = self.overlay.wrong_neighbours()
        if not problems:
            due = Counter(node_id for holders in self._holders() for node_id in holders)
            for member in self.overlay.alive:
                if (held := member.status()["store"]["values"]) < due[member.node_id]:
                    problems.append(f"{member} holds {held} values and not {due[member.node_id]}")
        return problems

    def _holders(self) -> Iterator[list[bytes]]:
        """Of each place: the living Node-ID at or after it owns it (10.1), the next two hold the replicas."""
        order = sorted(member.node_id for member in self.overlay.alive)
        for place in self.places:
            first = bisect_left(order, place.resource)
            yield [order[(first + step) % len(order)] for step in range(min(HOLDERS, len(order)))]

    def _places_held_by(self, victims: Sequence[Member]) -> set[Place]:
        """By these and nobody else."""
        gone = {member.node_id for member in victims}
        return {place for place, holders in zip(self.places, self._holders(), strict=True) if gone.issuperset(holders)}

    # --- lookups -------------------------------------------------------------------------------------

    async def look_up(self, place: Place, row: Row | None) -> bool:
        """Through a client drawn by chance. row: where it counts."""
        oldest, began = place.acknowledged, monotonic()
        why: str | None
        try:
            found = await random.choice(self._clients).fetch(place.resource, KIND.id)
        except RequestFailed as error:
            why = str(error)
        else:
            why = place.wrong(found, oldest)
        if row is not None:
            row.lookups += 1
            if why is None:
                self._times.append(monotonic() - began)
            elif place in self._orphans and why == ABSENT:
                row.orphans += 1
            else:
                row.failed += 1
                row.why[why] = row.why.get(why, 0) + 1
        return why is None

    async def _look_up(self, places: Sequence[Place], row: Row | None) -> list[Place]:
        """Gives those that were not found."""
        waiting, missing, done = iter(places), [], 0

        async def work() -> None:
            nonlocal done
            for place in waiting:
                if not await self.look_up(place, row):
                    missing.append(place)
                done += 1
                self._progress("look all up", done, len(places))

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        return missing

    @asynccontextmanager
    async def _step(self, name: str, *, steady: bool = True) -> AsyncIterator[Row]:
        row, began = Row(step=name, steady=steady), monotonic()
        self._times = []
        stop = asyncio.Event()
        task = asyncio.create_task(self._look_up_steadily(row, stop)) if steady else None
        try:
            yield row
        finally:
            stop.set()
            if task is not None:
                await task
        row.seconds, row.gone = monotonic() - began, self.gone
        times = sorted(self._times)
        if times:
            row.median, row.slowest = times[len(times) // 2], times[-1]
        self.rows.append(row)

    async def _look_up_steadily(self, row: Row, stop: asyncio.Event) -> None:
        writing: set[Place] = set()

        async def write(place: Place) -> None:
            writing.add(place)
            if await place.store():
                row.writes += 1
                self._orphans.discard(place)  # new holders have taken it
            writing.remove(place)

        async with asyncio.TaskGroup() as group:
            next_write = monotonic()
            while not stop.is_set():
                group.create_task(self.look_up(random.choice(self.places), row))
                if self._writes and monotonic() >= next_write:
                    next_write += 1 / self._writes
                    place = random.choice(self.places)
                    if place not in writing:
                        group.create_task(write(place))
                await asyncio.sleep(1 / self._rate)
