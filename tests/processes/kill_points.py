"""`kill -9` at each of many points around a write: what was acknowledged is there afterwards, and nothing is torn.

    python -m tests.processes.kill_points --points 1000

One process after the other runs a real peer with its real disk on the same files, and stores as fast as it can, several
values at a time. It is killed at the n-th call that changes a file (before the call, or half-way through it), which
n runs through; every third one after a random time instead. Opening the files after the last crash is part of what is
interrupted. Then a copy of the files is read as the next start would read them.
"""

import argparse
import asyncio
import ctypes
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path

from tests.pki import Pki
from xor_fast.cext import ids
from xor_fast.config import KindDefinition
from xor_fast.core.node import NewValue, Node
from xor_fast.messages import DataModel
from xor_fast.net.disk import Disk
from xor_fast.net.peer import Peer
from xor_fast.net.tls import Credentials, Tls

KIND = KindDefinition(0xF0000001, "KILLED", DataModel.DICTIONARY, "USER-MATCH", 64, 8192)
KEYS, ROUNDS, SIZE = 6, 4, 3000
SAID = struct.Struct(">BBQ")  # 1 once acknowledged, key, version
PKI = Pki(1, kinds=(KIND,), max_message_size=65536)
IDENTITY = PKI.identity(0)
PLACE = ids.resource_id(IDENTITY.user_name)


def content(key: int, version: int) -> bytes:
    head = struct.pack(">BQ", key, version)
    return head + (sha256(head).digest() * (SIZE // 32))[: SIZE - len(head)]


def node_with(seed: int) -> Node:
    return Node(PKI.overlay, IDENTITY, PKI.verifier(), random.Random(seed), durable=True)


# --- the process that is killed -----------------------------------------------------------------------------


async def live(path: str, first_version: int, say: Callable[[bytes], object], rounds: int = ROUNDS) -> None:
    """Store as fast as it goes, several values at a time, and say each wish and each acknowledgement."""
    tls = Tls(Credentials.of(IDENTITY, PKI.overlay))
    async with Peer(node_with(first_version), tls, disk=Disk(path)) as peer:
        peer.start_overlay()

        async def store(key: int, version: int) -> None:
            say(SAID.pack(0, key, version))
            await peer.store(PLACE, KIND.id, [NewValue(bytes([key]), content(key, version), 3600)])
            say(SAID.pack(1, key, version))

        for number in range(rounds):
            await asyncio.gather(*(store(key, first_version + number) for key in range(KEYS)))


def run(path: str, first_version: int, at: int, is_half: bool, delay: float | None) -> tuple[bytes, bool, int]:
    """One process: what it said, whether it was killed, and how many calls it made if it was not."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reading)
        shim = ctypes.CDLL(None)
        shim.kill_at(ctypes.c_long(at), ctypes.c_int(is_half))
        asyncio.run(live(path, first_version, partial(os.write, writing)))
        os.write(writing, SAID.pack(2, 0, shim.kill_at(ctypes.c_long(0), 0)))
        os._exit(0)
    os.close(writing)
    if delay is not None:
        time.sleep(delay)
        os.kill(process, signal.SIGKILL)
    with open(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(process, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise AssertionError("the peer ended by itself")
    calls = SAID.unpack(said[-SAID.size :])[2] if os.WIFEXITED(status) else 0
    return said, not os.WIFEXITED(status), calls


# --- what is there afterwards -------------------------------------------------------------------------------


def found_in_copy(path: str, aside: str) -> dict[int, bytes]:
    """The next process is to find what the last one left."""
    shutil.rmtree(aside, ignore_errors=True)
    os.mkdir(aside)
    for name in Path(path).parent.glob(Path(path).name + "*"):
        shutil.copy(name, aside)
    return found(os.path.join(aside, Path(path).name))


def found(path: str) -> dict[int, bytes]:
    """The values as the next start has them."""
    disk = Disk(path)
    node = node_with(0)
    node.set_wall(0.0, time.time_ns() // 1_000_000)
    node.restore(0.0, disk.records())
    assert not disk.complaints, disk.complaints
    assert not node.counters.get("restore_refused"), node.actions()
    shelf = node.storage.shelf(PLACE, KIND.id)
    disk.close()
    return {key[0]: held.value(KIND.model) for key, held in shelf.values.items()} if shelf else {}


def wrong(values: dict[int, bytes], acknowledged: dict[int, int], wished: dict[int, int]) -> Iterator[str]:
    for key, version in acknowledged.items():
        if key not in values:
            yield f"value {key} of version {version} was acknowledged and is lost"
    for key, value in values.items():
        there = struct.unpack_from(">Q", value, 1)[0]
        if value != content(key, there) or there > wished.get(key, 0):
            yield f"value {key} is torn"
        elif there < acknowledged.get(key, 0):
            yield f"value {key} is of version {there}, acknowledged was {acknowledged[key]}"


def survive(points: int, seed: int, folder: str) -> list[str]:
    path, aside = os.path.join(folder, "store.db"), os.path.join(folder, "aside")
    chance = random.Random(seed)
    acknowledged: dict[int, int] = {}
    wished: dict[int, int] = {}
    killed = acks = 0
    began = time.monotonic()
    _, _, calls = run(os.path.join(folder, "first.db"), 1, 0, False, None)
    lasts = time.monotonic() - began
    point = -1
    while killed < points:
        point += 1
        at = 1 + point * 7 % (calls + 1)  # 7 is no divisor of it, or each would be visited more seldom
        delay = chance.uniform(0.3, 1) * lasts if point % 3 == 2 else None
        said, was_killed, _ = run(path, 1 + point * ROUNDS, 0 if delay else at, bool(point & 1), delay)
        killed += was_killed
        for offset in range(0, len(said) - SAID.size + 1, SAID.size):
            what, key, version = SAID.unpack_from(said, offset)
            if what < 2:
                (wished, acknowledged)[what][key] = version
            acks += what == 1
        problems = list(wrong(found_in_copy(path, aside), acknowledged, wished))
        if problems:
            return [f"point {point} (call {at}, delay {delay}, seed {seed}): {problem}" for problem in problems]
        if point % 50 == 49:
            print(f"killed at {killed} points, {acks} stores acknowledged", flush=True)
    print(f"killed at {killed} points, around {calls} calls that write: {acks} stores acknowledged, none lost or torn")
    return []


def again_with(shim: str, folder: str, seed: int) -> int | None:
    """Run this program anew with shim.c compiled and preloaded; None: we are that run already."""
    if shim in os.environ.get("LD_PRELOAD", ""):
        return None
    library = os.path.join(folder, shim + ".so")
    source = Path(__file__).with_name(shim + ".c")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    command = [sys.executable, *sys.orig_argv[1:], "--seed", str(seed)]
    return subprocess.run(command, env={**os.environ, "LD_PRELOAD": library}, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if (status := again_with("kill_at", folder, options.seed)) is not None:
            return status
        problems = survive(options.points, options.seed, folder)
    print("\n".join(problems))
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
