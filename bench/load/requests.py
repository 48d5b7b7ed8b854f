"""Requests one node answers through a TLS link: Ping, Store and Fetch, every message and value signed and verified.

    python -m bench.load.requests [--seconds 3] [--json FILE]

The node that answers runs in its own process on the first CPU, alone in its overlay; a client in this process on the
last one keeps DEPTH requests under way and checks the answers. The cost of a request is the CPU time of the answering
process. The share of signatures is the number it really made and verified, times what one takes in that process.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import uvloop

from bench.load.pki import CLIENT, PKI, RELAY, credentials, identity
from xor_fast.cext.ids import resource_id
from xor_fast.core.node import NewValue, Node
from xor_fast.messages import Destination, DestinationType, GenericCertificate, Signature
from xor_fast.net.listener import address_of, bind
from xor_fast.net.peer import Peer
from xor_fast.net.tls import Tls
from xor_fast.trust.signatures import Identity, Signer, Verifier

DEPTH = 32
KIND = 5  # XMPP-LOCATION: a dictionary under USER-NODE-MATCH
VALUE = bytes(100)


class Run(NamedTuple):
    """One kind of request, for some seconds."""

    requests: int
    seconds: float
    cpu_seconds: float
    """Of the process that answers."""
    signatures: int
    verifications: int
    signature_seconds: float
    """CPU time of all of them: their number times the time of one, measured in the same process."""

    @property
    def cpu_microseconds(self) -> float:
        return self.cpu_seconds / self.requests * 1e6

    @property
    def signature_share(self) -> float:
        return self.signature_seconds / self.cpu_seconds


# --- the node that answers -------------------------------------------------------------------------------


class CountingIdentity(Identity):
    """Counts the signatures it makes."""

    count = 0

    def sign(self, data: bytes) -> Signature:
        self.count += 1
        return super().sign(data)


class CountingVerifier(Verifier):
    """Counts the signatures it verifies; certificates are in its cache after the first request."""

    count = 0

    def verify(self, signature: Signature, data: bytes, bucket: Sequence[GenericCertificate], wall_ms: int) -> Signer:
        self.count += 1
        return super().verify(signature, data, bucket, wall_ms)


def seconds_of_one(work: Callable[[], object], count: int = 200) -> float:
    """The best of five, so that a disturbance does not count as signing."""
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        for _ in range(count):
            work()
        best = min(best, (time.process_time() - start) / count)
    return best


async def answer_requests() -> None:
    """Print the port; then, for each line on standard input, what was done and spent so far, as JSON."""
    loop = asyncio.get_running_loop()
    own = identity(RELAY)
    signer, verifier = CountingIdentity(own.certificate, own.key), CountingVerifier(PKI.overlay)
    data = bytes(500)
    signature, wall_ms = own.sign(data), time.time_ns() // 1_000_000
    costs = {
        "sign_seconds": seconds_of_one(lambda: own.sign(data)),
        "verify_seconds": seconds_of_one(lambda: Verifier.verify(verifier, signature, data, own.certificates, wall_ms)),
    }
    sock = bind("127.0.0.1", 0)
    node = Node(PKI.overlay, signer, verifier, random.Random(1), addresses=(address_of(sock),))
    ended = asyncio.Event()

    def report() -> None:
        if not sys.stdin.readline():
            ended.set()
            return
        counts = {"signatures": signer.count, "verifications": verifier.count, "cpu_seconds": time.process_time()}
        print(json.dumps(counts | costs), flush=True)

    async with Peer(node, Tls(credentials(RELAY)), sock) as peer:
        peer.start_overlay()
        loop.add_reader(sys.stdin, report)
        print("port", address_of(sock)[1], flush=True)
        await ended.wait()


# --- the client ------------------------------------------------------------------------------------------


async def load(request: Callable[[], Awaitable[None]], seconds: float) -> int:
    """Keep DEPTH requests under way; how many were answered."""
    answered = 0
    end = time.monotonic() + seconds

    async def repeat() -> None:
        nonlocal answered
        while time.monotonic() < end:
            await request()
            answered += 1

    await asyncio.gather(*(repeat() for _ in range(DEPTH)))
    return answered


def requests_of(peer: Peer) -> dict[str, Callable[[], Awaitable[None]]]:
    """The kinds of request, each checking its answer. Store comes before Fetch: it stores what that finds."""
    own = peer.node.identity
    resource = resource_id(own.user_name)
    whole_overlay = (Destination(DestinationType.RESOURCE, resource),)

    async def ping() -> None:
        pong = await peer.ping(whole_overlay)
        assert pong.node_id == PKI.node_id(RELAY)

    async def store() -> None:
        stored = await peer.store(resource, KIND, (NewValue(own.node_id, VALUE, 3600),))
        assert stored.owner == PKI.node_id(RELAY)

    async def fetch() -> None:
        fetched = await peer.fetch(resource, KIND)
        assert [value.value for value in fetched.values] == [VALUE]

    return {"Ping": ping, "Store": store, "Fetch": fetch}


async def drive(server: "subprocess.Popen[str]", seconds: float) -> dict[str, Run]:
    """Load the node in process `server` with one kind of request after the other."""
    assert server.stdin is not None
    assert server.stdout is not None
    port = int(server.stdout.readline().split()[1])

    def ask() -> dict[str, float]:
        server.stdin.write("\n")
        server.stdin.flush()
        answer: dict[str, float] = json.loads(server.stdout.readline())
        return answer

    runs = {}
    node = Node(PKI.overlay, identity(CLIENT), PKI.verifier(), random.Random(2))
    async with Peer(node, Tls(credentials(CLIENT))) as peer:
        await peer.connect((("127.0.0.1", port),))
        for name, request in requests_of(peer).items():
            await load(request, seconds / 5)
            before, start = ask(), time.monotonic()
            count = await load(request, seconds * 4 / 5)
            took, after = time.monotonic() - start, ask()
            cpu, signed, verified = (after[key] - before[key] for key in ("cpu_seconds", "signatures", "verifications"))
            cost = signed * after["sign_seconds"] + verified * after["verify_seconds"]
            runs[name] = Run(count, took, cpu, int(signed), int(verified), cost)
    return runs


def measure(seconds: float) -> dict[str, Run]:
    """Every kind of request for so many seconds, the first fifth of it warm-up."""
    cpus = sorted(os.sched_getaffinity(0))
    with subprocess.Popen(
        [sys.executable, "-m", "bench.load.requests", "--answer"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cpus[:1]),
    ) as server:
        os.sched_setaffinity(0, cpus[-1:])
        try:
            return uvloop.run(drive(server, seconds))
        finally:
            os.sched_setaffinity(0, cpus)
            server.kill()


def main() -> None:
    """Print one line a kind of request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3, help="for each kind of request")
    parser.add_argument("--json", type=Path, help="raw figures go to this file")
    parser.add_argument("--answer", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.answer:
        uvloop.run(answer_requests())
        return
    runs = measure(arguments.seconds)
    for name, run in runs.items():
        print(
            f"{name:6} {run.requests / run.seconds:6.0f} answered/s  {run.cpu_microseconds:6.0f} us CPU each, "
            f"{run.signature_share:.0%} of it in signatures ({run.signatures / run.requests:.2f} made and "
            f"{run.verifications / run.requests:.2f} verified each)"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps({name: run._asdict() for name, run in runs.items()}))


if __name__ == "__main__":
    main()
