"""Requests a whole node answers through a TLS link, within an overlay of three, all on their disks: Ping, Store, Fetch.

    python -m bench.load.requests [--scale 1] [--realtime] [--json FILE]

The node that answers has the first CPU; the two peers that take its replicas, each in a process of its own, and the
asking side share the last one. DEPTH requests are under way. The cost of a request is the CPU time of the answering
process, all its threads, replicas included. The limit is set by the signatures it really made and verified in that
time, each at what one takes in the same process: their share of the CPU time is the share of the limit reached.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import uvloop

from bench.load.asking import Asker, Load, judge, users
from bench.load.forwarding import settle
from bench.load.pki import PKI, RELAY

DEPTH = 32
PEERS = (11, 12)  # numbers of the identities beside RELAY: the two next successors of whatever RELAY is responsible for
USERS = 64  # who store and fetch: each has a certificate and a place of its own
COUNTS = {"Ping": 8000, "Store": 4000, "Fetch": 8000}  # requests measured; a quarter as many before it, to warm up
FOLDER = Path(__file__).parents[2] / "build"  # on the disk of the checkout; /tmp may be in memory
SETTLE = 0.3  # seconds for the second replica's answers, which nobody waits for


class Run(NamedTuple):
    """One kind of request, so many times."""

    requests: int
    seconds: float
    cpu_seconds: float
    """Of the process that answers."""
    signatures: int
    verifications: int
    signature_seconds: float
    """CPU time of all of them: their number times the time of one, measured in the same process at the same time."""
    replicas: int
    """Sent on, and each of them answered."""

    @property
    def cpu_microseconds(self) -> float:
        return self.cpu_seconds / self.requests * 1e6

    @property
    def signature_share(self) -> float:
        return self.signature_seconds / self.cpu_seconds


class Member:
    """A node in a process of its own (`member.py`)."""

    def __init__(self, number: int, folder: str, cpu: int, realtime: bool, bootstrap: "Member | None" = None) -> None:
        command = [sys.executable, "-m", "bench.load.member", str(number), folder]
        self.process = subprocess.Popen(
            [*command, str(bootstrap.port)] if bootstrap else command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: settle(cpu, realtime),
        )
        self.port = int(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a node of the benchmark ended: its error stands above")
        return line

    def close(self) -> None:
        """End it in order: what it has to write is written."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def report(self) -> dict[str, Any]:
        """What it has done and spent so far."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        done: dict[str, Any] = json.loads(self._line())
        return done


@contextmanager
def overlay(folder: str, realtime: bool = False) -> Iterator[list[Member]]:
    """Three nodes that know each other, the answering one first; the process that asks shares a core with the others.

    realtime: no other program gets these cores meanwhile (needs root)."""
    cpus, policy = sorted(os.sched_getaffinity(0)), os.sched_getscheduler(0)
    members = [Member(RELAY, folder, cpus[0], realtime)]
    settle(cpus[-1], realtime)
    try:
        for number in PEERS:
            members.append(Member(number, folder, cpus[-1], realtime, members[0]))
        while any(member.report()["peers"] < len(PEERS) for member in members):
            time.sleep(0.05)
        yield members
    finally:
        os.sched_setscheduler(0, policy, os.sched_param(0))
        os.sched_setaffinity(0, cpus)
        for member in members:
            member.process.kill()
            member.process.wait()


async def drive(members: list[Member], scale: float) -> dict[str, Run]:
    """One kind of request after the other. Store comes before Fetch: it stores what that finds."""
    load = Load(users(USERS, tuple(PKI.node_id(number) for number in PEERS)))
    asker = Asker()
    await asker.connect(members[0].port)
    runs = {}
    for what, count in COUNTS.items():
        warm_up, measured = (load.make(what, max(USERS, int(count * part * scale))) for part in (0.25, 1))
        judge(what, await asker.ask(warm_up, DEPTH), len(PEERS))
        await asyncio.sleep(SETTLE)
        before, start = members[0].report(), time.monotonic()
        answers = await asker.ask(measured, DEPTH)
        took = time.monotonic() - start
        await asyncio.sleep(SETTLE)
        after = members[0].report()
        found = judge(what, answers, len(PEERS))
        assert what != "Fetch" or found == set(load.values.values())
        runs[what] = _run(len(answers), took, before, after)
    asker.close()
    return runs


def _run(count: int, seconds: float, before: dict[str, Any], after: dict[str, Any]) -> Run:
    cpu, signed, verified = (after[key] - before[key] for key in ("cpu_seconds", "signatures", "verifications"))
    in_signatures = signed * after["sign_seconds"] + verified * after["verify_seconds"]
    sent = (report["counters"].get("replicas_sent", 0) for report in (after, before))
    replicas = next(sent) - next(sent)
    return Run(count, seconds, cpu, int(signed), int(verified), in_signatures, replicas)


def measure(scale: float, realtime: bool = False) -> dict[str, Run]:
    """Every kind of request, `scale` times COUNTS."""
    FOLDER.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=FOLDER, prefix="requests-") as folder, overlay(folder, realtime) as members:
        return uvloop.run(drive(members, scale))


def main() -> None:
    """Print one line a kind of request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1, help="how many requests, times those of COUNTS")
    parser.add_argument("--realtime", action="store_true", help="keep other programs off the CPUs (root)")
    parser.add_argument("--json", type=Path, help="raw figures go to this file")
    arguments = parser.parse_args()
    runs = measure(arguments.scale, arguments.realtime)
    for name, run in runs.items():
        print(
            f"{name:6} {run.requests / run.seconds:6.0f} answered/s  {run.cpu_microseconds:6.0f} us CPU each, "
            f"{1e6 / run.cpu_microseconds:6.0f} per CPU second, {run.signature_share:.1%} of it in signatures "
            f"({run.signatures / run.requests:.2f} made and {run.verifications / run.requests:.2f} verified each)"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps({name: run._asdict() for name, run in runs.items()}))


if __name__ == "__main__":
    main()
