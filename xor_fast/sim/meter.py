"""What goes over the links and what it is for; how fast the simulation runs and what it takes."""

import resource
import time
from collections import Counter
from struct import Struct

from xor_fast.messages import Code

_DATA = 128
_DATA_HEADER = 8
_ACK = 9
_FIXED = 38  # bytes of a forwarding header before its lists (RFC 6940 6.3.2)
_HEADER = Struct(">20xQ4xHHH")  # its transaction id, and the lengths of via list, destination list and options
_CONTENTS = Struct(">HI")  # message code, length of the body
_REST = Struct(">IH")  # lengths of the extensions, of which there are none, and of the certificates
_STORES = frozenset({Code.STORE_REQ, Code.STORE_ANS})
_MAX_REMEMBERED = 100_000

LOOKUPS, STORES, REPLICAS, ACKS = "lookups", "stores", "replicas", "acks"
_WHAT = {
    Code.FETCH_REQ: LOOKUPS,
    Code.STAT_REQ: LOOKUPS,
    Code.FIND_REQ: LOOKUPS,
    Code.UPDATE_REQ: "updates",
    Code.ATTACH_REQ: "attaches",
    Code.APP_ATTACH_REQ: "attaches",
    Code.JOIN_REQ: "joins and leaves",
    Code.LEAVE_REQ: "joins and leaves",
    Code.PING_REQ: "pings and queries",
    Code.PROBE_REQ: "pings and queries",
    Code.ROUTE_QUERY_REQ: "pings and queries",
}
WORKLOAD = frozenset({LOOKUPS, STORES})
"""What is no upkeep. The ACKs of these are counted as upkeep, and so are the copies that a Store sets off."""


class Meter:
    """Bytes and messages of the frames that nodes give to their links; each hop counts."""

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {ACKS: [0, 0]}  # for what -> bytes, messages
        self.signatures: int = 0  # bytes of them
        self.certificates: int = 0
        self._requests: dict[int, list[int]] = {}  # transaction -> its counts: answers and Errors are told apart by it

    @property
    def sent(self) -> Counter[str]:
        """Bytes, by what they were sent for."""
        return Counter({what: counts[0] for what, counts in self._counts.items() if counts[1]})

    @property
    def messages(self) -> Counter[str]:
        return Counter({what: counts[1] for what, counts in self._counts.items() if counts[1]})

    def count(self, data: bytes) -> None:
        at, end, acks = 0, len(data), self._counts[ACKS]
        while at < end:
            if data[at] != _DATA:
                acks[0] += _ACK
                acks[1] += 1
                at += _ACK
                continue
            size = int.from_bytes(data[at + 5 : at + 8], "big")
            if size >= _FIXED:
                self._count_message(data, at + _DATA_HEADER, size)
            at += _DATA_HEADER + size

    def _count_message(self, data: bytes, start: int, size: int) -> None:
        transaction, via, destinations, options = _HEADER.unpack_from(data, start)
        contents = start + _FIXED + via + destinations + options
        code, length = _CONTENTS.unpack_from(data, contents)
        body = contents + _CONTENTS.size
        counts = self._requests.get(transaction)
        if counts is None:
            if len(self._requests) >= _MAX_REMEMBERED:
                self._requests.clear()
            counts = self._counts.setdefault(self._what(code, data, body), [0, 0])
            self._requests[transaction] = counts
        counts[0] += _DATA_HEADER + size
        counts[1] += 1
        _, certificates = _REST.unpack_from(data, body + length)
        self.certificates += certificates
        self.signatures += start + size - body - length - _REST.size - certificates

    def _what(self, code: int, data: bytes, body: int) -> str:
        if code == Code.STORE_REQ:  # resource<0..2^8-1>, replica_number
            return REPLICAS if data[body + 1 + data[body]] else STORES
        return _WHAT.get(code, _WHAT.get(code - 1, "other"))  # type: ignore[call-overload, no-any-return]

    @property
    def upkeep(self) -> int:
        """Bytes that were sent to keep the overlay, not for what its users asked."""
        return sum(counts[0] for what, counts in self._counts.items() if what not in WORKLOAD)

    @property
    def total(self) -> int:
        return sum(counts[0] for counts in self._counts.values())


class Stopwatch:
    """Virtual against real time, from when it is made."""

    def __init__(self, now: float, messages: int) -> None:
        self._virtual = now
        self._messages = messages
        self._real = time.perf_counter()
        self._cpu = time.process_time()

    def figures(self, now: float, messages: int) -> dict[str, float]:
        cpu = max(time.process_time() - self._cpu, 1e-9)
        real = max(time.perf_counter() - self._real, 1e-9)
        return {
            "virtual_seconds": round(now - self._virtual, 3),
            "real_seconds": round(real, 3),
            "cpu_seconds": round(cpu, 3),
            "virtual_per_cpu_second": round((now - self._virtual) / cpu, 2),
            "messages_per_cpu_second": round((messages - self._messages) / cpu),
            "messages_per_real_second": round((messages - self._messages) / real),
        }


def memory_kib() -> int:
    """What this process holds in memory now."""
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[1])
    return pages * resource.getpagesize() // 1024
