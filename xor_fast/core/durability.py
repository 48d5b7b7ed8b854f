"""What has to be on the disk before it counts: changes gathered for one Persist a turn, and what waits for it.

All changes of a turn go in one Persist (group commit). When the disk fails, who waits is told so, nothing new is
begun, and the disk is tried again until it takes what differs from it; then all goes on as before.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from xor_fast import limits
from xor_fast.actions import Persist

if TYPE_CHECKING:
    from xor_fast.core.node import Node

Done = Callable[[float, str | None], None]
"""done(now, None), or why it is not on the disk"""

_PROBE = b"?"  # a record that says nothing: can anything be written at all?


class _Batch:
    """One Persist under way."""

    __slots__ = ("is_probe", "keys", "waiting")

    def __init__(self, keys: set[bytes], waiting: list[Done], is_probe: bool = False) -> None:
        self.keys = keys
        self.waiting = waiting
        self.is_probe = is_probe


class Durability:
    """has_disk: without one, all counts at once.

    current: what the disk should have under a key as things stand, to mend it after a failure.
    complaint: why the disk cannot be written at present, or None."""

    def __init__(self, node: "Node", has_disk: bool, current: Callable[[float, bytes], bytes | None]) -> None:
        self.has_disk = has_disk
        self.complaint: str | None = None
        self._node = node
        self._current = current
        self._changes: dict[bytes, bytes | None] = {}
        self._waiting: list[Done] = []  # for what is in _changes
        self._under_way: dict[int, _Batch] = {}
        self._differing: set[bytes] = set()  # keys of which nobody knows what the disk has
        self._pause = limits.DISK_RETRY

    @property
    def unwritten(self) -> int:
        """How many wait."""
        return len(self._waiting) + sum(len(batch.waiting) for batch in self._under_way.values())

    def put(self, key: bytes, value: bytes | None) -> None:
        """Change a record; None removes it. On its way with this turn."""
        if not self.has_disk:
            return
        if self.complaint is None:
            self._changes[key] = value
        else:
            self._differing.add(key)

    def after(self, now: float, done: Done) -> None:
        """Call done once all that was put so far is on the disk, or will not be."""
        if self.complaint is not None:
            done(now, self.complaint)
        elif self._changes:
            self._waiting.append(done)
        elif self._under_way:
            self._under_way[max(self._under_way)].waiting.append(done)
        else:
            done(now, None)

    def flush(self) -> None:
        """The turn is over: what was put leaves as one Persist."""
        if self._changes:
            changes, self._changes = self._changes, {}
            waiting, self._waiting = self._waiting, []
            self._persist(tuple(changes.items()), _Batch(set(changes), waiting))

    def _persist(self, records: tuple[tuple[bytes, bytes | None], ...], batch: _Batch) -> None:
        ticket = self._node.ticket()
        self._under_way[ticket] = batch
        self._node.count("persists")
        self._node.act(Persist(ticket, records))

    # --- reports of the driver ------------------------------------------------------------------------

    def persisted(self, now: float, ticket: int) -> None:
        batch = self._under_way.pop(ticket)
        if batch.is_probe:
            self._recover(now)
        for done in batch.waiting:
            done(now, None)

    def failed(self, now: float, ticket: int, reason: str) -> None:
        batch = self._under_way.pop(ticket)
        self._node.count("persists_failed")
        # What is not written yet was built on what has failed now: it goes the same way.
        self._differing.update(batch.keys, self._changes)
        waiting = [*batch.waiting, *self._waiting]
        self._changes.clear()
        self._waiting = []
        if self.complaint is None:
            self._pause = limits.DISK_RETRY
            self._node.notice("error", f"nothing can be written to the disk: {reason}; Stores are refused until it can")
        if self.complaint is None or batch.is_probe:
            self._node.timers.at(now + self._pause, self._probe)
            self._pause = min(2 * self._pause, limits.DISK_RETRY_CEILING)
        self.complaint = reason
        for done in waiting:
            done(now, reason)

    def _probe(self, now: float) -> None:
        """Write what differs, some at a time, or only something."""
        keys = set(sorted(self._differing)[: limits.DISK_RETRY_RECORDS])
        self._differing -= keys
        records = tuple((key, self._current(now, key)) for key in sorted(keys))
        self._persist(records or ((_PROBE, b""),), _Batch(keys, [], is_probe=True))

    def _recover(self, now: float) -> None:
        if self._differing:
            self._probe(now)
            return
        self.complaint = None
        self._node.notice("info", "the disk can be written again")
