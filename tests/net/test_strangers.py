"""What a real node does with garbage from a member, and with those who are no members."""

import asyncio
import hashlib
import random
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.net.drive import run, until
from tests.net.pki import pki, stdlib_client
from tests.net.test_peers import ring, to
from tests.pki import NOT_AFTER_MS, NOT_BEFORE_MS, Pki
from xor_fast.net.peer import Peer
from xor_fast.net.tls import Credentials
from xor_fast.trust.authority import Authority

NOBODY = b"\x11" * 16


def frame(message: bytes, length: int | None = None) -> bytes:
    return b"\x80" + (1).to_bytes(4) + (len(message) if length is None else length).to_bytes(3) + message


def message(
    ttl: int = 10, overlay: bytes = b"overlay.example", token: int = 0xD2454C4F, length: int = 0, to: bytes = NOBODY
) -> bytes:
    """A Ping, unsigned (RFC 6940 6.3.2); built by hand."""
    destination = b"\x01\x10" + to
    contents = b"\0\x17" + b"\0\0\0\2" + b"\0\0" + b"\0\0\0\0"  # Ping without padding, no extensions
    security = b"\0\0" + b"\0\0" + b"\3\0\0" + b"\0\0"  # no certificates, algorithms none, identity none, no value
    rest = destination + contents + security
    name = hashlib.sha1(overlay).digest()[-4:]
    length = length or 38 + len(rest)
    lists = (0, len(destination), 0)
    fixed = (token, name, 0, 0x0A, ttl, 0xC0000000, length, 1, 0, *lists)
    return struct.pack(">I4sHBBIIQIHHH", *fixed) + rest


@asynccontextmanager
async def member(target: Peer, i: int = 40) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A TLS connection of a member of the overlay, who then sends what it likes."""
    context = stdlib_client(Credentials.of(pki(1).identity(i), pki(1).overlay))
    assert target.address is not None
    reader, writer = await asyncio.open_connection(*target.address, ssl=context, server_hostname="")
    yield reader, writer
    writer.transport.abort()


GARBAGE = {
    "random bytes": (lambda rng: b"\0" + rng.randbytes(65_536), "drop_frame_type", True),
    "a length of 0xffffff": (lambda rng: frame(b"", 0xFFFFFF) + rng.randbytes(65_536), "drop_frame_size", True),
    "not a RELOAD message": (lambda rng: frame(message(token=0xDEADBEEF)), "drop_token", False),
    "a length that lies": (lambda rng: frame(message(length=5000)), "drop_length", False),
    "TTL 0": (lambda rng: frame(message(ttl=0, to=pki(1).node_id(1))), "drop_ttl_zero", False),
    "TTL 255": (lambda rng: frame(message(ttl=255)), "drop_ttl_too_large", False),
    "a foreign overlay": (lambda rng: frame(message(overlay=b"other.example")), "drop_overlay", False),
    "for nobody": (lambda rng: frame(message()), "drop_foreign_node", False),
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_counted_and_the_node_serves_on(kind: str, seed: int) -> None:
    make, counter, closes = GARBAGE[kind]
    data = make(random.Random(seed))

    async def main() -> None:
        async with ring(2) as peers, member(peers[0]) as (reader, writer):
            before = peers[0].counters[counter]
            writer.write(data)
            await until(lambda: peers[0].counters[counter] > before, f"{counter} went up")
            if closes:
                async with asyncio.timeout(10):
                    while await reader.read(65_536):
                        pass
            assert (await peers[1].ping(to(peers[0]))).node_id == peers[0].node.node_id
            if not closes:
                links = peers[0].node.switch.links()
                assert len(links) == 2, "the sender of a bad message keeps its link"

    run(main())


def test_a_cut_frame_does_no_harm(seed: int) -> None:
    whole = frame(message())

    async def main() -> None:
        async with ring(2) as peers:
            for cut in random.Random(seed).sample(range(len(whole)), 10):
                async with member(peers[0]) as (_, writer):
                    before = peers[0].counters["bytes_in"]
                    writer.write(whole[:cut])
                    await until(lambda: peers[0].counters["bytes_in"] >= before + cut, "it came")  # noqa: B023
                await until(lambda: len(peers[0].node.switch.links()) == 1, "the link is gone")
            assert (await peers[1].ping(to(peers[0]))).node_id == peers[0].node.node_id

    run(main())


def stranger(**fields: object) -> Credentials:
    identity = pki(1).identity(50, **fields)
    return Credentials.of(identity, pki(1).overlay)


def of_another_overlay() -> Credentials:
    """Certified by our very CA, for another overlay."""
    ours, identity = pki(1), pki(1).identity(50)
    authority = Authority("other.example", ours.authority.certificate, ours.authority.key)
    dates = {"not_before_ms": NOT_BEFORE_MS, "not_after_ms": NOT_AFTER_MS}
    der = authority.issue_node(identity.node_id, identity.key.public_key(), serial=9, **dates)
    return Credentials.of(identity, ours.overlay)._replace(certificates=(der,))


STRANGERS: dict[str, tuple[Callable[[], Credentials], str]] = {
    "another CA": (lambda: Credentials.of(Pki(2).identity(50), pki(1).overlay), "certificate refused"),
    "another overlay": (of_another_overlay, "overlay"),
    "expired": (lambda: stranger(not_after_ms=NOT_BEFORE_MS + 86_400_000), "expired"),
    "not yet valid": (lambda: stranger(not_before_ms=2_500_000_000_000), "not yet valid"),
    "our own Node-ID": (lambda: stranger(node_id=pki(1).node_id(0)), "own Node-ID"),
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_a_stranger_gets_nowhere_and_one_line_says_why(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    make, reason = STRANGERS[kind]

    async def main() -> None:
        async with ring(2) as peers:
            assert peers[0].address is not None
            try:
                reader, writer = await asyncio.open_connection(
                    *peers[0].address, ssl=stdlib_client(make()), server_hostname=""
                )
                writer.write(frame(message()))
                assert await reader.read() == b""
                writer.close()
            except OSError:
                pass
            await until(lambda: reason in caplog.text, "the log says why")
            assert len(peers[0].node.switch.links()) == 1
            assert (await peers[1].ping(to(peers[0]))).node_id == peers[0].node.node_id

    run(main())
    lines = [record.getMessage() for record in caplog.records if reason in record.getMessage()]
    assert len(lines) == 1
    assert "\n" not in lines[0]
