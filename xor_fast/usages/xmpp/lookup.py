"""From the address of a user to the nodes of its devices (XEP-0415 5): a Fetch, and one for each address forwarded to.

The Fetch has checked signature and access control of every value; here only what the values say matters.
"""

from collections.abc import Callable
from typing import NamedTuple

from xor_fast import limits
from xor_fast.cext import ids
from xor_fast.config import KindDefinition
from xor_fast.core.node import Fetched, Node
from xor_fast.errors import ErrorCode, RequestFailed
from xor_fast.messages import Destination
from xor_fast.usages.xmpp.kind import Forward, Route, read_location


class Location(NamedTuple):
    """Where one device is.

    jid   whose record named it: the certificate found there must carry this address. After a forward it is not the
          address that was looked up (notes 8.10).
    """

    jid: str
    node_id: bytes
    priority: int
    destination_list: tuple[Destination, ...]


class Locations(NamedTuple):
    """What a lookup found; at least one route.

    jid       as prepared and looked up
    routes    smallest priority first, each device of an address once, at most LOOKUP_FAN_OUT
    followed  addresses the locations forwarded to
    skipped   values that say nothing usable
    rejected  values that did not prove their right to be there
    owner, hops   of the answer to the first Fetch: who gave it, and over how many nodes it came
    """

    jid: str
    routes: tuple[Location, ...]
    followed: tuple[str, ...]
    skipped: int
    rejected: int
    owner: bytes
    hops: int


class Lookup:
    """One lookup. jid: prepared. done: called once, with Locations or RequestFailed.

    A user decides where its address forwards to, so others may build loops, chains and fans: addresses seen before are
    not followed, nor more than LOOKUP_DEPTH in a row, and LOOKUP_FAN_OUT bounds both Fetches and routes (notes 8.9).
    """

    def __init__(
        self, node: Node, kind: KindDefinition, jid: str, done: Callable[[float, Locations | RequestFailed], None]
    ) -> None:
        self._node = node
        self._kind = kind
        self._jid = jid
        self._done = done
        self._seen: list[str] = []
        self._routes: dict[tuple[str, bytes], Location] = {}
        self._first: Fetched | None = None
        self._failure: RequestFailed | None = None  # of the last Fetch that failed
        self._trouble: list[str] = []
        self._waiting = 0
        self._skipped = 0
        self._rejected = 0

    def start(self, now: float) -> None:
        self._fetch(now, self._jid, 0)

    def _fetch(self, now: float, jid: str, depth: int) -> None:
        self._seen.append(jid)
        self._waiting += 1
        # The Resource Name is the prepared address alone (9).
        self._node.fetch(
            now,
            ids.resource_id(jid.encode()),
            self._kind.id,
            lambda now, outcome: self._fetched(now, jid, depth, outcome),
        )

    def _fetched(self, now: float, jid: str, depth: int, outcome: Fetched | RequestFailed) -> None:
        self._waiting -= 1
        if isinstance(outcome, RequestFailed):
            self._failure = outcome
            self._trouble.append(f"{jid}: {outcome}")
        else:
            self._first = self._first or outcome
            self._rejected += outcome.rejected
            self._read(now, jid, depth, outcome)
        if self._waiting == 0:
            self._finish(now)

    def _read(self, now: float, jid: str, depth: int, fetched: Fetched) -> None:
        forwards = []
        for value in sorted(fetched.values, key=lambda value: value.key or b""):
            location = read_location(value.value, self._node.overlay.node_id_length)
            if isinstance(location, Route):
                self._add(jid, location)
            elif isinstance(location, Forward):
                forwards.append(location.jid)
            else:
                self._skipped += 1
        for target in forwards:  # addresses are followed after routes (notes 8.7)
            self._follow(now, jid, target, depth + 1)

    def _add(self, jid: str, route: Route) -> None:
        """5: duplicates are removed, by the device they lead to and not only when the lists are equal (notes 8.9)."""
        location = Location(jid, route.destination_list[-1].value, *route)
        key = (jid, location.node_id)
        there = self._routes.get(key)
        if there is None or location.priority < there.priority:
            self._routes[key] = location

    def _follow(self, now: float, jid: str, target: str, depth: int) -> None:
        if target in self._seen:
            self._trouble.append(f"{jid} forwards to {target}, where the search has been")
        elif depth > limits.LOOKUP_DEPTH:
            self._trouble.append(f"more than {limits.LOOKUP_DEPTH} forwards in a row")
        elif len(self._seen) >= limits.LOOKUP_FAN_OUT:
            self._trouble.append(f"forwards to more than {limits.LOOKUP_FAN_OUT} addresses")
        else:
            self._fetch(now, target, depth)

    def _finish(self, now: float) -> None:
        self._node.count("xmpp_locations_skipped", self._skipped)
        if self._first is None:
            assert self._failure is not None
            self._done(now, self._failure)
        elif not self._routes:
            why = "; ".join(self._trouble[:3]) or "nobody is registered there"
            self._done(now, RequestFailed(ErrorCode.NOT_FOUND, f"{self._jid} has no location: {why}"))
        else:
            # Python's sort keeps ties in the order of the keys, as they were read (notes 8.8).
            routes = sorted(self._routes.values(), key=lambda location: (location.jid != self._jid, location.priority))
            self._done(
                now,
                Locations(
                    self._jid,
                    tuple(routes[: limits.LOOKUP_FAN_OUT]),
                    tuple(self._seen[1:]),
                    self._skipped,
                    self._rejected,
                    self._first.owner,
                    self._first.hops,
                ),
            )
