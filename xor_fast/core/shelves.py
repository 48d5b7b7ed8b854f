"""The values a peer holds, by place: in the order of the ring, by Kind, and by the end of their lives.

No walk is longer than what it is for: a range of Resource-IDs is found by bisection, what is over by a heap.
"""

import heapq
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice

from xor_fast import limits
from xor_fast.core.values import Chain, Held, Shelf
from xor_fast.trust.signatures import Signer


class Shelves:
    """bytes: of all values and their certificates. values: how many, removed ones that are remembered included."""

    def __init__(self) -> None:
        self.bytes: int = 0
        self.values: int = 0
        self.resources_with_values: int = 0
        self._kinds: dict[bytes, dict[int, Shelf]] = {}
        self._resources: list[bytes] = []  # sorted
        self._of_kind: dict[int, list[bytes]] = {}  # Kind-ID -> Resource-IDs with a shelf for it, sorted: for Find
        self._chains: dict[bytes, Chain] = {}  # by the SHA-256 of the signer's certificate
        self._users: Counter[bytes] = Counter()  # bytes held, by the user name of the signer
        self._ends: list[tuple[float, int, Shelf, Held | None]] = []  # heap; None: the counter is to be forgotten
        self._order = 0

    # --- shelves --------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Resource-IDs with a value or with a generation counter that is still remembered."""
        return len(self._kinds)

    def get(self, resource: bytes, kind: int) -> Shelf | None:
        kinds = self._kinds.get(resource)
        return kinds.get(kind) if kinds is not None else None

    def __contains__(self, resource: object) -> bool:
        return resource in self._kinds

    def put_up(self, shelf: Shelf) -> Shelf:
        """Give it its place, unless it stands there."""
        kinds = self._kinds.get(shelf.resource)
        if kinds is None:
            kinds = self._kinds[shelf.resource] = {}
            insort(self._resources, shelf.resource)
        if shelf.kind not in kinds:
            kinds[shelf.kind] = shelf
            insort(self._of_kind.setdefault(shelf.kind, []), shelf.resource)
        return shelf

    def take_down(self, shelf: Shelf) -> None:
        if self.get(shelf.resource, shelf.kind) is not shelf:
            return
        kinds = self._kinds[shelf.resource]
        del kinds[shelf.kind]
        _remove(self._of_kind[shelf.kind], shelf.resource)
        if not kinds:
            del self._kinds[shelf.resource]
            _remove(self._resources, shelf.resource)

    def within(self, start: bytes, end: bytes) -> Iterator[Shelf]:
        """Those in (start, end] clockwise; all of them if the two are the same. They may change meanwhile."""
        first, last = bisect_right(self._resources, start), bisect_right(self._resources, end)
        found = self._resources[first:last] if start < end else self._resources[first:] + self._resources[:last]
        for resource in found:
            yield from list(self._kinds.get(resource, {}).values())

    def of_kind_from(self, resource: bytes, kind: int) -> Iterator[Shelf]:
        """The shelves of a Kind clockwise from a Resource-ID, itself included, once around."""
        resources = self._of_kind.get(kind, [])
        start = bisect_left(resources, resource)
        for found in chain(islice(resources, start, None), islice(resources, start)):
            yield self._kinds[found][kind]

    # --- values ---------------------------------------------------------------------------------------

    def put(self, shelf: Shelf, held: Held) -> None:
        """In place of what is there."""
        there = shelf.values.get(held.key)
        shelf.values[held.key] = held
        self.values += there is None
        self._more_exist(shelf, held.exists - (there is not None and there.exists))
        self._end(held.expires, shelf, held)

    def remove(self, now: float, shelf: Shelf, held: Held) -> None:
        del shelf.values[held.key]
        self.values -= 1
        self._more_exist(shelf, -held.exists)
        if not shelf.values:
            self.remember(now, shelf)

    def remember(self, now: float, shelf: Shelf) -> None:
        """The counter of an empty shelf, for a while (notes 5.3)."""
        shelf.empty_since = now
        self._end(now + limits.COUNTER_MEMORY, shelf, None)

    def _more_exist(self, shelf: Shelf, more: int) -> None:
        had, shelf.existing = shelf.existing, shelf.existing + more
        if bool(had) != bool(shelf.existing):
            kinds = self._kinds[shelf.resource].values()
            if not any(other.existing for other in kinds if other is not shelf):
                self.resources_with_values += 1 if shelf.existing else -1

    def bytes_of(self, user_name: bytes) -> int:
        return self._users[user_name]

    # --- certificates and bytes -------------------------------------------------------------------------

    def chain_of(self, signer: Signer) -> Chain:
        """The one that all values of this signer share."""
        certificate = signer.certificate
        found = self._chains.get(certificate.digest)
        return found or Chain(certificate.digest, (certificate.der, *certificate.chain), certificate.user_name)

    def chain(self, digest: bytes) -> Chain | None:
        return self._chains.get(digest)

    def hold(self, held: Held) -> bool:
        """A value takes its room, staged ones included, and needs its certificates. True: these are new here."""
        held.chain = self._chains.setdefault(held.chain.digest, held.chain)
        held.chain.values += 1
        self.bytes += held.size
        self._users[held.chain.user_name] += held.size
        if held.chain.values > 1:
            return False
        self.bytes += held.chain.size
        return True

    def release(self, held: Held) -> bool:
        """It takes no room any more. True: nobody needs its certificates."""
        user = held.chain.user_name
        self.bytes -= held.size
        self._users[user] -= held.size
        if not self._users[user]:
            del self._users[user]
        held.chain.values -= 1
        if held.chain.values:
            return False
        del self._chains[held.chain.digest]
        self.bytes -= held.chain.size
        return True

    # --- ends -----------------------------------------------------------------------------------------

    def _end(self, when: float, shelf: Shelf, held: Held | None) -> None:
        self._order += 1
        heapq.heappush(self._ends, (when, self._order, shelf, held))
        if len(self._ends) > 2 * (self.values + len(self._resources)) + 64:
            # Values replaced long before their time leave their ends behind.
            self._ends = [end for end in self._ends if self._is_due(*end[2:], when=float("inf"))]
            heapq.heapify(self._ends)

    @property
    def next_end(self) -> float | None:
        return self._ends[0][0] if self._ends else None

    def over(self, now: float) -> Iterator[tuple[Shelf, Held | None]]:
        """What is over: a value, or with None a counter that has been remembered long enough (notes 5.3)."""
        while self._ends and self._ends[0][0] <= now:
            _, _, shelf, held = heapq.heappop(self._ends)
            if self._is_due(shelf, held, now):
                yield shelf, held

    def _is_due(self, shelf: Shelf, held: Held | None, when: float) -> bool:
        if held is not None:
            return shelf.values.get(held.key) is held
        is_empty = not shelf.values and not shelf.staged and shelf.empty_since + limits.COUNTER_MEMORY <= when
        return is_empty and self.get(shelf.resource, shelf.kind) is shelf


def _remove(resources: list[bytes], resource: bytes) -> None:
    del resources[bisect_left(resources, resource)]
