"""One node of the overlay of `requests.py`, a whole `Peer` in a process of its own.

    python -m bench.load.member NUMBER FOLDER [BOOTSTRAP_PORT]

FOLDER is where it keeps its values. Prints its port once it is part of the ring (without BOOTSTRAP_PORT: the first
one). Then, for each line on standard input, prints what it has done and spent so far, as JSON; the end of the input
ends it.
"""

import asyncio
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import uvloop

from bench.load.pki import PKI, credentials, identity
from xor_fast.core.node import Node
from xor_fast.messages import GenericCertificate, Signature
from xor_fast.net import collector
from xor_fast.net.disk import Disk
from xor_fast.net.listener import address_of, bind
from xor_fast.net.peer import Peer
from xor_fast.net.tls import Tls
from xor_fast.trust.signatures import Identity, Signer, Verifier


class CountingIdentity(Identity):
    """Counts the signatures it makes."""

    count = 0

    def sign(self, data: bytes) -> Signature:
        self.count += 1
        return super().sign(data)


class CountingVerifier(Verifier):
    """Counts the signatures it verifies."""

    count = 0

    def verify(self, signature: Signature, data: bytes, bucket: Sequence[GenericCertificate], wall_ms: int) -> Signer:
        self.count += 1
        return super().verify(signature, data, bucket, wall_ms)


class Gauge:
    """What one signature takes: a few made and verified in a row, again and again while the node is at work.

    So they meet the same machine, its other core as busy, as those the node makes between them. What they cost is not
    the node's: `spent` is to be taken off its CPU time.
    """

    EVERY = 0.02  # seconds
    BATCH = 4  # the first of each is not counted: it finds the caches full of something else

    def __init__(self, own: Identity) -> None:
        self._own = own
        self._verifier = PKI.verifier()
        self._data = bytes(500)  # about what a message has to be signed for
        self._signature = own.sign(self._data)
        self._wall_ms = time.time_ns() // 1_000_000
        self.signing: list[float] = []
        self.verifying: list[float] = []
        self.spent = 0.0
        self._again()

    def _again(self) -> None:
        start = time.thread_time()
        self._time(self.signing, lambda: self._own.sign(self._data))
        self._time(
            self.verifying,
            lambda: self._verifier.verify(self._signature, self._data, self._own.certificates, self._wall_ms),
        )
        self.spent += time.thread_time() - start
        asyncio.get_running_loop().call_later(self.EVERY, self._again)

    def _time(self, costs: list[float], work: Callable[[], object]) -> None:
        work()
        start = time.thread_time()
        for _ in range(self.BATCH):
            work()
        costs.append((time.thread_time() - start) / self.BATCH)

    def take(self) -> tuple[float, float]:
        """Seconds for one made and one verified, the median since the last time."""
        signing, verifying = statistics.median(self.signing), statistics.median(self.verifying)
        self.signing.clear()
        self.verifying.clear()
        return signing, verifying


def resident_bytes() -> int:
    """What of this process is in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


async def serve(number: int, folder: str, bootstrap_port: int | None) -> None:
    """Be the node until standard input ends."""
    own = identity(number)
    signer, verifier = CountingIdentity(own.certificate, own.key), CountingVerifier(PKI.overlay)
    sock = bind("127.0.0.1", 0)
    addresses = (address_of(sock),)
    node = Node(PKI.overlay, signer, verifier, random.Random(number), addresses=addresses, durable=True)
    ended = asyncio.Event()
    gauge = Gauge(own)

    def report() -> None:
        if not sys.stdin.readline():
            ended.set()
            return
        sign_seconds, verify_seconds = gauge.take()
        done = {
            "cpu_seconds": time.process_time() - gauge.spent,
            "signatures": signer.count,
            "verifications": verifier.count,
            "sign_seconds": sign_seconds,
            "verify_seconds": verify_seconds,
            "peers": len(node.ring),
            "resident": resident_bytes(),
            "counters": node.counters,
        }
        print(json.dumps(done), flush=True)

    disk = Disk(os.path.join(folder, f"{number}.store"))
    async with Peer(node, Tls(credentials(number)), sock, disk=disk) as peer:
        if bootstrap_port is None:
            peer.start_overlay()
        else:
            await peer.join((("127.0.0.1", bootstrap_port),))
        collector.settle()  # as `xor-fast node` does
        asyncio.get_running_loop().add_reader(sys.stdin, report)
        print(address_of(sock)[1], flush=True)
        await ended.wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else None))
