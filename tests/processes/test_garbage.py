"""Garbage on the wire and connections that lead nowhere, against a node process: it serves on and stays small."""

import asyncio
import random
import resource
import socket
import struct
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from time import monotonic

import pytest
import uvloop

from tests.net.pki import stdlib_client
from tests.net.test_strangers import frame, message
from tests.processes.overlay import Member, ProcessOverlay, User, lookup, run_command
from xor_fast import limits
from xor_fast.cli.data import DataDirectory
from xor_fast.cli.running import passing_client
from xor_fast.errors import RequestFailed
from xor_fast.messages import Destination, DestinationType

CONNECTIONS = 10_000
MIB = 1 << 20
VERSION_AT = 10  # offset in the forwarding header (RFC 6940 6.3.2)
CLIENT_HELLO = bytes.fromhex("1603010200 010001fc 0303") + bytes(32)  # the first 42 bytes of 517


@pytest.fixture(scope="module")
def romeo(small: ProcessOverlay) -> User:
    """Registered at the first node, which is not the target of any garbage."""
    while True:
        user = small.add_user(f"romeo{random.getrandbits(32)}@montague.lit")
        if small.clockwise(user.resource)[0] is small.first:
            uvloop.run(user.store_through(small.first))
            return user


async def assert_serves(small: ProcessOverlay, target: Member, romeo: User) -> None:
    """A new client gets in and is answered through the target; an old peer reaches it over the link it has."""
    async with asyncio.timeout(20):
        async with passing_client(small.askers[0], [target.address]) as peer:
            pong = await peer.ping(to(small.first))
            assert (pong.node_id, pong.hops) == (small.first.node_id, 1)
            found = await lookup(peer, romeo.jid)
            assert [route.node_id for route in found.routes] == [romeo.node_id]
            assert found.owner == small.first.node_id
        await assert_serves_peers(small, target)


async def assert_serves_peers(small: ProcessOverlay, target: Member) -> None:
    async with asyncio.timeout(20), passing_client(small.askers[1], [small.first.address]) as peer:
        pong = await peer.ping(to(target))
        assert (pong.node_id, pong.hops) == (target.node_id, 1)


def to(member: Member) -> tuple[Destination, ...]:
    return (Destination(DestinationType.NODE, member.node_id),)


async def until_served(small: ProcessOverlay, target: Member, romeo: User) -> None:
    async with asyncio.timeout(20):
        while True:
            with suppress(OSError, RequestFailed):
                return await assert_serves(small, target, romeo)
            await asyncio.sleep(0.5)


async def until_counted(target: Member, counter: str, count: int) -> None:
    end = monotonic() + 20
    while (counted := target.counters()[counter]) < count:
        assert monotonic() < end, f"{counter} is {counted} and not {count}"
        await asyncio.sleep(0.05)


# --- before the handshake ----------------------------------------------------------------------------


def test_random_bytes_instead_of_a_handshake(small: ProcessOverlay, romeo: User) -> None:
    target = small.members[1]
    before, memory = target.counters()["failed_handshakes"], target.memory
    for _ in range(100):
        # The errors: no matter when it has had enough of us.
        with (
            suppress(OSError),
            socket.create_connection(target.address, timeout=10) as sock,
        ):
            sock.sendall(random.randbytes(random.randrange(1, 20_000)))
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                pass
    uvloop.run(until_counted(target, "failed_handshakes", before + 100))
    uvloop.run(assert_serves(small, target, romeo))
    assert target.memory < memory + 32 * MIB


@pytest.fixture(scope="module")
def connections() -> Iterator[int]:
    """As many as we may hold, at most CONNECTIONS; that they are fewer is told in the summary of the run."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + 500
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
    except (ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    allowed = min(CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 500)
    if allowed < CONNECTIONS:
        warnings.warn(f"ulimit -Hn is {hard}: only {allowed} connections were tried, not {CONNECTIONS}", stacklevel=1)
    yield allowed
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


@contextmanager
def held_open(target: Member) -> Iterator[Callable[[int], None]]:
    """open(count): more connections, half of them silent, half in the middle of their first message."""
    with ExitStack() as held:

        def open_(count: int) -> None:
            for number in range(count):
                sock = held.enter_context(socket.socket())
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # no TIME_WAIT after it
                sock.settimeout(10)
                with suppress(ConnectionResetError):
                    sock.connect(target.address)
                    if number % 2:
                        sock.send(CLIENT_HELLO)

        yield open_


@pytest.mark.parametrize(("number", "descriptors"), [(1, 1024), (2, 15_000)])
def test_ten_thousand_connections_that_never_finish_their_handshake(
    small: ProcessOverlay, romeo: User, connections: int, number: int, descriptors: int
) -> None:
    """At the usual soft limit of 1,024, and at one that would allow them all."""
    target = small.members[number]
    resource.prlimit(target.child.pid, resource.RLIMIT_NOFILE, (descriptors, 15_000))
    before, memory = target.counters(), target.memory

    async def serve_in_the_flood(opening: "asyncio.Future[None]") -> int:
        times = 0
        while not opening.done():
            await assert_serves(small, target, romeo)
            times += 1
        await opening
        await assert_serves(small, target, romeo)
        return times

    async def flood(open_: Callable[[int], None]) -> None:
        times = await serve_in_the_flood(asyncio.ensure_future(asyncio.to_thread(open_, connections)))
        print(
            f"served {times} times while {connections} connections came, {(target.memory - memory) / MIB:.0f} MiB more"
        )

    with held_open(target) as open_:
        uvloop.run(flood(open_))
        # 512 at a time, about 70 KiB each in OpenSSL and uvloop; 10,000 would be ten times the bound.
        assert target.memory < memory + limits.MAX_HANDSHAKES * 160 * 1024
        after = run_command(small.folder, "status", "--data", str(target.data))["counters"]
    refused = sum(after[name] - before[name] for name in ("refused_handshakes", "failed_handshakes"))
    assert refused >= connections - limits.MAX_HANDSHAKES
    assert "closing the oldest" in target.complaint("512 unfinished TLS handshakes")
    uvloop.run(assert_serves(small, target, romeo))


def test_no_descriptors_left(small: ProcessOverlay, romeo: User, connections: int) -> None:
    """Who is connected is served; newcomers have to wait until there are descriptors again."""
    target = small.members[1]
    before = target.counters()["refused_descriptors"]
    resource.prlimit(target.child.pid, resource.RLIMIT_NOFILE, (128, 15_000))
    with held_open(target) as open_:
        open_(connections // 10)
        uvloop.run(assert_serves_peers(small, target))
        assert "ulimit -n" in target.complaint("out of file descriptors")
    uvloop.run(until_served(small, target, romeo))
    assert target.counters()["refused_descriptors"] > before


# --- after a good handshake, by a member with a right certificate -------------------------------------


def with_version(version: int, of: bytes) -> bytes:
    return of[:VERSION_AT] + bytes([version]) + of[VERSION_AT + 1 :]


def kinds_of_garbage(target: Member, other: Member) -> dict[str, bytes]:
    """The counter that is to notice it -> what is sent."""
    just_before = (int.from_bytes(target.node_id) - 1).to_bytes(16)  # if there were such a node, it would know it
    return {
        "drop_frame_type": b"\x00" + random.randbytes(65_536),
        "drop_frame_size": frame(b"", 0xFFFFFF) + random.randbytes(65_536),
        "drop_token": frame(random.randbytes(200)),
        "drop_length": frame(message(length=5000)),
        "drop_version": frame(with_version(0x0B, message(to=other.node_id))),
        "drop_ttl_zero": frame(message(ttl=0, to=other.node_id)),
        "drop_ttl_too_large": frame(message(ttl=255, to=other.node_id)),
        "drop_overlay": frame(message(overlay=b"other.example", to=other.node_id)),
        "drop_foreign_node": frame(message(to=just_before)),
        "drop_malformed": frame(message(to=target.node_id)[:-9] + bytes(9)),
        "drop_bad_signature": frame(message(to=target.node_id)),
    }


@asynccontextmanager
async def connected(data: DataDirectory, target: Member) -> AsyncIterator[asyncio.StreamWriter]:
    """A link to the target whose other end does as it likes."""
    _, credentials = data.credentials(data.overlay())
    _, writer = await asyncio.open_connection(*target.address, ssl=stdlib_client(credentials), server_hostname="")
    yield writer
    writer.transport.abort()


@pytest.mark.req("fwd.header-check", "fwd.overlay-mismatch", "codec.version", "fwd.ttl-too-large", "fwd.ttl-zero-stop")
def test_garbage_of_a_member_is_counted_kind_by_kind(small: ProcessOverlay, romeo: User) -> None:
    target, garbler = small.members[2], small.enroll("garbler")
    before, memory, rounds = target.counters(), target.memory, 20

    async def main() -> None:
        for round_ in range(1, rounds + 1):
            for counter, data in kinds_of_garbage(target, small.first).items():
                async with connected(garbler, target) as writer:
                    writer.write(data)
                    await until_counted(target, counter, before[counter] + round_)
        await assert_serves(small, target, romeo)

    uvloop.run(main())
    print(f"{(target.memory - memory) / MIB:.0f} MiB more")
    assert target.memory < memory + 32 * MIB
    status = run_command(small.folder, "status", "--data", str(target.data))
    for counter in kinds_of_garbage(target, small.first):
        assert status["counters"][counter] >= before[counter] + rounds


def test_frames_cut_at_any_place(small: ProcessOverlay, romeo: User) -> None:
    target, cutter = small.members[2], small.enroll("cutter")
    whole = frame(message(to=small.first.node_id) + bytes(1000))
    memory = target.memory

    async def main() -> None:
        for _ in range(50):
            before = target.counters()
            cut = random.randrange(1, len(whole))
            async with connected(cutter, target) as writer:
                writer.write(whole[:cut])
                await until_counted(target, "bytes_in", before["bytes_in"] + cut)
            await until_counted(target, "links_lost", before["links_lost"] + 1)
        await assert_serves(small, target, romeo)

    uvloop.run(main())
    assert target.memory < memory + 32 * MIB
