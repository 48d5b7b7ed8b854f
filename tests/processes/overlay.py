"""An overlay of real node processes in one folder, and users whose devices are clients in the test's own process."""

import asyncio
import json
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Self

from xor_fast.actions import Address
from xor_fast.cext import ids
from xor_fast.cli.children import PATIENCE, Child, Event, EventMissing
from xor_fast.cli.data import DataDirectory
from xor_fast.cli.enrolment import enroll, found_overlay
from xor_fast.cli.running import parse_address, passing_client, show_address
from xor_fast.config import KindDefinition
from xor_fast.core.node import NewValue, Stored
from xor_fast.errors import RequestFailed, StateError
from xor_fast.net import stats
from xor_fast.net.listener import address_of, bind
from xor_fast.net.peer import Peer
from xor_fast.usages.xmpp.kind import XMPP_LOCATION, route_to
from xor_fast.usages.xmpp.lookup import Locations, Lookup

NAME = "overlay.example"
LOG_PATIENCE = 20.0  # seconds
ASKERS = 3  # clients that look users up, each through another node


class Member:
    """A node process in its data directory; `start` starts it again. once: options for the first time only."""

    def __init__(self, data: Path, command: str, *options: str, once: Sequence[str] = ()) -> None:
        self.data = DataDirectory(data)
        self._command = (command, "--data", str(data), *options)
        self.start(*once)

    def __str__(self) -> str:
        return self.data.path.name

    def start(self, *arguments: str) -> None:
        self.child = Child(self.data.path.parent, *self._command, *arguments, name=str(self))

    def listening(self) -> Event:
        """What it says once it listens; from then on its Node-ID and address are known."""
        said = self.child.until("listening")
        self.node_id = bytes.fromhex(said["node_id"])
        self.address: Address = parse_address(said["address"], "")
        return said

    def kill(self) -> None:
        """As `kill -9`; it returns before the process is gone."""
        self.child.signal(signal.SIGKILL)

    def stop(self) -> float:
        """As Ctrl-C, and wait for the end in order; gives the seconds that took."""
        began = monotonic()
        self.child.signal(signal.SIGINT)
        self.child.until("left")
        assert self.child.end() == 0
        assert self.child.errors() == ""
        return monotonic() - began

    def status(self) -> dict[str, Any]:
        return stats.ask(self.data.control)

    def counters(self) -> Counter[str]:
        """What has not happened yet may not be there."""
        return Counter(self.status()["counters"])

    @property
    def memory(self) -> int:
        """Bytes of RAM it has now."""
        lines = Path(f"/proc/{self.child.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))

    def complaint(self, word: str) -> str:
        """The line of its log with this word, once it is there. Lines before it are not given again."""
        end, others = monotonic() + LOG_PATIENCE, []
        try:
            while word not in (text := self.child.until("log", max(0.0, end - monotonic()))["text"]):
                others.append(text)
        except EventMissing:
            raise AssertionError(f"the log of {self} says nothing of {word!r}, only {others}") from None
        return str(text)


class User:
    """One device of a user. `version` tells its locations apart: it is stored as their priority."""

    def __init__(self, jid: str, data: DataDirectory, node_id: bytes) -> None:
        self.jid = jid
        self.data = data
        self.node_id = node_id
        self.resource = ids.resource_id(jid.encode())
        self.version = -1  # of the location that was acknowledged last

    async def store(self, peer: Peer, answered: Callable[[], None] = lambda: None) -> Stored:
        """Store a new location; `answered` runs in the instant the answer has come, before anything else can."""
        version = self.version + 1
        value = NewValue(self.node_id, route_to([self.node_id], version), 3600)

        def store(now: float, done: Callable[[float, Stored | RequestFailed], None]) -> None:
            def over(now: float, outcome: Stored | RequestFailed) -> None:
                answered()
                done(now, outcome)

            peer.node.store(now, self.resource, XMPP_LOCATION.id, [value], over)

        stored: Stored = await peer.wish(store)
        self.version = version
        return stored

    async def store_through(self, member: Member, answered: Callable[[], None] = lambda: None) -> Stored:
        async with passing_client(self.data, [member.address]) as peer:
            return await self.store(peer, answered)

    async def is_found(self, peer: Peer) -> bool:
        """Does a lookup by `peer` give the location that was acknowledged last?"""
        try:
            found = await lookup(peer, self.jid)
        except RequestFailed:
            return False
        return [(route.node_id, route.priority) for route in found.routes] == [(self.node_id, self.version)]


async def lookup(peer: Peer, jid: str) -> Locations:
    def start(now: float, done: Callable[[float, Locations | RequestFailed], None]) -> None:
        Lookup(peer.node, XMPP_LOCATION, jid, done).start(now)

    found: Locations = await peer.wish(start)
    return found


class ProcessOverlay:
    """`count` nodes; the first is run by quickstart and is the bootstrap node that the document names.

    options: of the command line of every node. kinds: that the overlay stores, if not those of quickstart."""

    def __init__(
        self, folder: Path, count: int = 1, *, options: Sequence[str] = (), kinds: Sequence[KindDefinition] = ()
    ) -> None:
        self.folder = folder
        self._options = options
        once = ["--listen", "127.0.0.1:0", "--name", NAME]
        if kinds:
            once = []
            with bind("127.0.0.1", 0) as sock:
                found_overlay(DataDirectory(folder / "first"), NAME, address_of(sock), kinds)
        self.first = Member(folder / "first", "quickstart", *options, once=once)
        self.members = [self.first]
        self.users: list[User] = []
        try:
            self.said = self.first.listening()
            self.askers = [self.enroll(f"asker{number}") for number in range(ASKERS)]
            self.add(count - 1)
        except BaseException:
            self.close()
            raise

    def enroll(self, name: str, jid: str | None = None) -> DataDirectory:
        data = DataDirectory(self.folder / name)
        enroll(self.first.data, jid, data)
        return data

    def add(self, count: int) -> None:
        """More nodes, all started at once as after a power cut."""
        names = [f"node{len(self.members) + i}" for i in range(count)]
        new = [Member(self.enroll(name).path, "node", *self._options) for name in names]
        self.members += new
        for member in new:
            member.listening()
        for member in new:
            member.child.until("joined")

    def add_user(self, jid: str) -> User:
        data = DataDirectory(self.folder / f"user{len(self.users)}")
        user = User(jid, data, enroll(self.first.data, jid, data).node_id)
        self.users.append(user)
        return user

    def restart(self, *members: Member) -> None:
        """Again in the same directories, all at once; the way in is a survivor. The first is not told of any."""
        for member in members:
            member.child.kill()
        before = [member.node_id for member in members]
        way = ["--bootstrap", show_address(self.alive[0].address)] if self.alive else []
        for member in members:
            # The first listens where the document says, so that the others find it.
            member.start(*([] if member is self.first else way))
        for member in members:
            member.listening()
        assert [member.node_id for member in members] == before, "the same identities"
        for member in members:
            if member is not self.first:
                member.child.until("joined")

    def close(self) -> None:
        for member in self.members:
            member.child.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    # --- what should be, from Node-IDs alone ---------------------------------------------------------

    @property
    def alive(self) -> list[Member]:
        return [member for member in self.members if member.child.is_running]

    def clockwise(self, place: bytes) -> list[Member]:
        """The living from a place on: the responsible peer (RFC 6940 10.1), then the holders of replicas (10.4)."""
        start = int.from_bytes(place)
        return sorted(self.alive, key=lambda member: (int.from_bytes(member.node_id) - start) % (1 << 128))

    def wrong_neighbours(self) -> list[str]:
        """Empty: the living are one ordered ring, and each knows the next ones on both sides, at least three."""
        order = sorted(self.alive, key=lambda member: member.node_id)
        found = []
        for position, member in enumerate(order):
            try:
                ring = member.status()["ring"]
            except StateError as error:
                found.append(f"{member}: {error}")
            else:
                kept = max(3, len(ring["successors"]), len(ring["predecessors"]))  # a node estimates what it needs
                steps = range(1, min(kept, len(order) - 1) + 1)
                after = [order[(position + step) % len(order)].node_id.hex() for step in steps]
                before = [order[position - step].node_id.hex() for step in steps]
                if (ring["successors"], ring["predecessors"]) != (after, before):
                    found.append(f"{member}: {ring}; right is {after} and {before}")
        return found

    def settle(self, patience: float = PATIENCE) -> None:
        """Wait until it is one ring."""
        end = monotonic() + patience
        while wrong := self.wrong_neighbours():
            assert monotonic() < end, "\n".join(wrong)
            sleep(0.5)

    # --- looking users up ----------------------------------------------------------------------------

    async def all_found(self, seconds: float, through: Sequence[Member] = ()) -> float:
        """Every user is looked up by clients of three living nodes drawn by chance, until each of them has found all.

        Gives how long that took; fails when it takes more than `seconds`. through: draw from these nodes only.
        """
        nodes = random.sample(through or self.alive, ASKERS)
        tasks = (self._found_through(node, asker, seconds) for node, asker in zip(nodes, self.askers, strict=True))
        return max(await asyncio.gather(*tasks))

    async def _found_through(self, node: Member, asker: DataDirectory, seconds: float) -> float:
        began, missing = monotonic(), self.users
        try:
            async with asyncio.timeout(seconds), passing_client(asker, [node.address]) as peer:
                while missing:
                    found = await asyncio.gather(*(user.is_found(peer) for user in missing))
                    missing = [user for user, is_found in zip(missing, found, strict=True) if not is_found]
                    await asyncio.sleep(0.1 if missing else 0)
        except TimeoutError:
            jids = ", ".join(user.jid for user in missing)
            raise AssertionError(f"not found within {seconds:g} s through {node}: {jids}") from None
        return monotonic() - began


def run_command(folder: Path, *arguments: str) -> dict[str, Any]:
    """A command to its end, and its one line of JSON."""
    command = [sys.executable, "-m", "xor_fast", *arguments, "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done
    said: dict[str, Any] = json.loads(done.stdout)
    return said
