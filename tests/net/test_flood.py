"""Ten thousand connections that never finish their handshake, against a node process with few descriptors."""

import ast
import asyncio
import resource
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.net.drive import do, peer_of, run, until
from tests.net.pki import credentials
from xor_fast import limits
from xor_fast.actions import Dial, Purpose

ROOT = Path(__file__).parents[2]
CONNECTIONS = 10_000


@contextmanager
def node_with(descriptors: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [sys.executable, "-m", "tests.net.lonely_node", str(descriptors)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < CONNECTIONS + 100:
        pytest.fail(f"this test holds {CONNECTIONS} connections: allow it as many descriptors (ulimit -Hn is {hard})")
    resource.setrlimit(resource.RLIMIT_NOFILE, (CONNECTIONS + 100, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def hold_open(port: int, count: int) -> list[socket.socket]:
    held = []
    for number in range(count):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # no TIME_WAIT afterwards
        sock.settimeout(10)
        sock.connect(("127.0.0.1", port))
        held.append(sock)
        if number % 100 == 0:
            await asyncio.sleep(0)
    return held


@pytest.mark.parametrize("descriptors", [1024, 256])
def test_the_node_keeps_serving_and_says_what_it_refuses(descriptors: int, many_descriptors: None) -> None:
    """1,024 is the default soft limit; with 256 descriptors they run out before the handshakes are too many."""
    with node_with(descriptors) as (process, port):
        counters: dict[str, int] = {}

        async def main() -> None:
            async with peer_of(credentials(2), listens=False) as (node, peer):
                do(node, peer, Dial(1, (("127.0.0.1", port),), Purpose.LINK))
                await until(lambda: node.received, "a link before the flood")
                held = await hold_open(port, CONNECTIONS)
                node.say(100, b"still there?")
                peer.turn()
                await until(lambda: node.received[100] == b"still there?", "the old link is served")
                if descriptors > limits.MAX_HANDSHAKES:
                    do(node, peer, Dial(2, (("127.0.0.1", port),), Purpose.LINK))
                    await until(lambda: 101 in node.received, "a new link got in")
                counters.update(await asyncio.to_thread(ask, process))
                for sock in held:
                    sock.close()
                await until(lambda: peer.counters["connections"] >= 1, "links live")
                do(node, peer, Dial(3, (("127.0.0.1", port),), Purpose.LINK))
                await until(lambda: any(ticket == 3 for _, ticket in node.events("link_up")), "afterwards all is well")

        run(main())
        process.kill()
        log = process.stderr.read() if process.stderr else ""
    assert counters["refused_handshakes"] + counters["refused_descriptors"] + limits.MAX_HANDSHAKES >= 9_000
    assert counters["peak_kib"] < 200_000
    said = "unfinished TLS handshakes" if descriptors == 1024 else "out of file descriptors"
    assert log.count(said) == 1
    assert "Traceback" not in log


def ask(process: subprocess.Popen[str]) -> dict[str, int]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    answer: dict[str, int] = ast.literal_eval(process.stdout.readline())
    return answer
