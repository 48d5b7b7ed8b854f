"""What has to be on the disk before it counts: changes gathered for one Persist a turn, and what waits for it.

All changes of a turn go in one Persist (group commit). When the disk fails, who waits is told so, nothing new is
begun, and the disk is tried again until it takes what differs from it; then all goes on as before.
"""

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

from xor_fast import limits
from xor_fast.actions import Persist

if TYPE_CHECKING:
    from xor_fast.core.node import Node

Done = Callable[[float, str | None], None]
"""done(now, None), or why it is not on the disk"""

_PROBE = ((b"?", b""),)  # a record that says nothing: can anything be written at all?


class _Batch:
    """One Persist, being gathered or under way. waiting: for all of it and of those before it."""

    __slots__ = ("changes", "is_probe", "waiting")

    def __init__(self, *, is_probe: bool = False) -> None:
        self.changes: dict[bytes, bytes | None] = {}
        self.waiting: list[Done] = []
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
        self._gathered: _Batch = _Batch()
        self._under_way: dict[int, _Batch] = {}  # by ticket, the oldest first
        self._differing: dict[bytes, None] = {}  # keys of which nobody knows what the disk has
        self._pause = limits.DISK_RETRY

    @property
    def unwritten(self) -> int:
        """How many wait."""
        return len(self._gathered.waiting) + sum(len(batch.waiting) for batch in self._under_way.values())

    def put(self, key: bytes, value: bytes | None) -> None:
        """Change a record; None removes it. On its way with this turn."""
        if not self.has_disk:
            return
        if self.complaint is None:
            self._gathered.changes[key] = value
        else:
            self._differing[key] = None

    def after(self, now: float, done: Done) -> None:
        """Call done once all that was put so far is on the disk, or will not be."""
        if self.complaint is None and self._gathered.changes:
            self._gathered.waiting.append(done)
        elif self.complaint is None and self._under_way:
            next(reversed(self._under_way.values())).waiting.append(done)
        else:
            done(now, self.complaint)

    def flush(self) -> None:
        """The turn is over: what was put leaves as one Persist."""
        if self._gathered.changes:
            batch, self._gathered = self._gathered, _Batch()
            self._persist(batch)

    def _persist(self, batch: _Batch) -> None:
        ticket = self._node.ticket()
        self._under_way[ticket] = batch
        self._node.count("persists")
        self._node.act(Persist(ticket, tuple(batch.changes.items()) or _PROBE))

    # --- reports of the driver ------------------------------------------------------------------------

    def persisted(self, now: float, ticket: int) -> None:
        batch = self._under_way.pop(ticket)
        if batch.is_probe:
            self._recover(now)
        else:
            # After a failure this one was built on what is not there: a certificate, say, that the other brought.
            self._end(now, batch, self.complaint)

    def failed(self, now: float, ticket: int, reason: str) -> None:
        batch = self._under_way.pop(ticket)
        self._node.count("persists_failed")
        if self.complaint is None:
            self._pause = limits.DISK_RETRY
            self._node.notice("error", f"nothing can be written to the disk: {reason}; Stores are refused until it can")
        if self.complaint is None or batch.is_probe:
            self._node.timers.at(now + self._pause, self._probe)
            self._pause = min(2 * self._pause, limits.DISK_RETRY_CEILING)
        self.complaint = reason
        gathered, self._gathered = self._gathered, _Batch()  # and what is not written yet goes the same way
        self._end(now, batch, reason)
        self._end(now, gathered, reason)

    def _end(self, now: float, batch: _Batch, failure: str | None) -> None:
        if failure is not None:
            self._differing.update(dict.fromkeys(batch.changes))
        for done in batch.waiting:
            done(now, failure)

    def _probe(self, now: float) -> None:
        """Write what differs, some at a time, or only something."""
        batch = _Batch(is_probe=True)
        for key in list(islice(self._differing, limits.DISK_RETRY_RECORDS)):
            del self._differing[key]
            batch.changes[key] = self._current(now, key)
        self._persist(batch)

    def _recover(self, now: float) -> None:
        if self._differing:
            self._probe(now)
            return
        self.complaint = None
        self._node.notice("info", "the disk can be written again")
