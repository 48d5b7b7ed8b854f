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
_LISTS = Struct(">HHH")  # lengths of via list, destination list, options: the last of these bytes
_LENGTH = Struct(">I")
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
        self.bytes: Counter[str] = Counter()
        self.messages: Counter[str] = Counter()
        self.signatures: int = 0  # bytes of them
        self.certificates: int = 0
        self._requests: dict[int, str] = {}  # transaction -> what for, so that answers and Errors are told apart

    def count(self, data: bytes) -> None:
        at, end = 0, len(data)
        while at < end:
            if data[at] != _DATA:
                self.bytes[ACKS] += _ACK
                self.messages[ACKS] += 1
                at += _ACK
                continue
            size = int.from_bytes(data[at + 5 : at + 8], "big")
            if size >= _FIXED:
                self._count_message(data, at + _DATA_HEADER, size)
            at += _DATA_HEADER + size

    def _count_message(self, data: bytes, start: int, size: int) -> None:
        contents = start + _FIXED + sum(_LISTS.unpack_from(data, start + _FIXED - _LISTS.size))
        code = int.from_bytes(data[contents : contents + 2], "big")
        body = contents + 6
        transaction = int.from_bytes(data[start + 20 : start + 28], "big")
        what = self._requests.get(transaction)
        if what is None:
            what = self._what(code, data, body)
            if len(self._requests) >= _MAX_REMEMBERED:
                self._requests.clear()
            self._requests[transaction] = what
        self.bytes[what] += _DATA_HEADER + size
        self.messages[what] += 1
        extensions = body + int(_LENGTH.unpack_from(data, contents + 2)[0])
        security = extensions + 4 + int(_LENGTH.unpack_from(data, extensions)[0])
        certificates = int.from_bytes(data[security : security + 2], "big")
        self.certificates += certificates
        self.signatures += start + size - security - 2 - certificates

    def _what(self, code: int, data: bytes, body: int) -> str:
        if code == Code.STORE_REQ:  # resource<0..2^8-1>, replica_number
            return REPLICAS if data[body + 1 + data[body]] else STORES
        return _WHAT.get(code, _WHAT.get(code - 1, "other"))  # type: ignore[call-overload, no-any-return]

    @property
    def upkeep(self) -> int:
        """Bytes that were sent to keep the overlay, not for what its users asked."""
        return sum(count for what, count in self.bytes.items() if what not in WORKLOAD)

    @property
    def total(self) -> int:
        return sum(self.bytes.values())


class Stopwatch:
    """Virtual against real time, from when it is made."""

    def __init__(self, now: float, messages: int) -> None:
        self._virtual = now
        self._messages = messages
        self._real = time.perf_counter()
        self._cpu = time.process_time()

    def figures(self, now: float, messages: int) -> dict[str, float]:
        cpu = max(time.process_time() - self._cpu, 1e-9)
        return {
            "virtual_seconds": round(now - self._virtual, 3),
            "real_seconds": round(time.perf_counter() - self._real, 3),
            "cpu_seconds": round(cpu, 3),
            "virtual_per_cpu_second": round((now - self._virtual) / cpu, 2),
            "messages_per_cpu_second": round((messages - self._messages) / cpu),
        }


def memory_kib() -> int:
    """What this process holds in memory now."""
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[1])
    return pages * resource.getpagesize() // 1024
