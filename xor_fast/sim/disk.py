"""A disk of the simulator: what a host has persisted, and what of it a kill leaves."""

from random import Random

from xor_fast.actions import Persist

LATENCY = 0.005  # seconds of virtual time until a Persist is answered


class VirtualDisk:
    """Outlives its host: give it to the next run. fault: while it is set, every Persist fails with this reason."""

    __slots__ = ("fault", "records", "under_way")

    def __init__(self) -> None:
        self.records: dict[bytes, bytes] = {}
        self.under_way: list[Persist] = []
        self.fault: str | None = None

    def write(self, persist: Persist) -> str | None:
        """The oldest that is under way; None, or why it could not be written."""
        self.under_way.remove(persist)
        if self.fault is None:
            self._apply(persist)
        return self.fault

    def crash(self, random: Random) -> None:
        """What was not answered may be there or not, each Persist as a whole, and none without those before it."""
        for persist in self.under_way[: random.randint(0, len(self.under_way))]:
            if self.fault is None:
                self._apply(persist)
        self.under_way.clear()

    def content(self) -> list[tuple[bytes, bytes]]:
        return sorted(self.records.items())

    def _apply(self, persist: Persist) -> None:
        for key, value in persist.records:
            if value is None:
                self.records.pop(key, None)
            else:
                self.records[key] = value
