"""Without a right certificate, or with another's Node-ID, one gets nowhere, and one line of a node's log says why."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import time_ns

import pytest
import uvloop

from tests.processes.overlay import NAME, Member, ProcessOverlay
from xor_fast.cli.data import DataDirectory
from xor_fast.cli.running import passing_client, show_address
from xor_fast.core.node import Node
from xor_fast.errors import ErrorCode, RequestFailed
from xor_fast.messages import Code, Destination, DestinationType, JoinReq, LeaveReq
from xor_fast.net.listener import address_of, bind
from xor_fast.net.peer import Peer
from xor_fast.net.tls import Tls
from xor_fast.trust.authority import Authority, certificate_to_pem, key_to_pem, new_key
from xor_fast.trust.signatures import Verifier

HOUR_MS = 3_600_000
Stranger = Callable[[ProcessOverlay, Path], None]


def issue_identity(
    small: ProcessOverlay,
    path: Path,
    ca: Authority | None = None,
    days: tuple[int, int] = (-1, 1),
) -> None:
    """A data directory with our overlay's document, and a certificate that something is wrong with."""
    overlay, now = small.first.data.overlay(), time_ns() // 1_000_000
    authority = ca or small.first.data.authority(overlay)
    key, node_id = new_key(random.getrandbits(255)), random.randbytes(16)
    begin, end = (now + day * 24 * HOUR_MS for day in days)
    serial = random.getrandbits(100)
    der = authority.issue_node(node_id, key.public_key(), serial=serial, not_before_ms=begin, not_after_ms=end)
    with DataDirectory(path).made() as data:
        data.write_identity(small.first.data.document.read_bytes(), certificate_to_pem(der), key_to_pem(key))


def of_another_ca(small: ProcessOverlay, path: Path) -> None:
    """Another CA that calls itself as ours does."""
    now = time_ns() // 1_000_000
    key = new_key(random.getrandbits(255))
    dates = {"not_before_ms": now - 48 * HOUR_MS, "not_after_ms": now + 48 * HOUR_MS}
    issue_identity(small, path, ca=Authority.create(NAME, key, serial=1, **dates))


def expired(small: ProcessOverlay, path: Path) -> None:
    issue_identity(small, path, days=(-3, -2))


@pytest.fixture(autouse=True)
def nothing_has_changed(small: ProcessOverlay) -> Iterator[None]:
    """Before and after: the same ring, the same links."""
    before = [{link["node_id"] for link in member.status()["links"]} for member in small.members]
    yield
    small.settle()
    assert [{link["node_id"] for link in member.status()["links"]} for member in small.members] == before


@pytest.mark.parametrize(("stranger", "word"), [(of_another_ca, "certificate"), (expired, "expired")])
@pytest.mark.req("link.client-auth", "sec.chain-to-root")
def test_a_node_without_a_right_certificate(
    small: ProcessOverlay, tmp_path: Path, stranger: Stranger, word: str
) -> None:
    stranger(small, tmp_path / "stranger")
    process = Member(tmp_path / "stranger", "node", "--bootstrap", show_address(small.first.address))
    try:
        why = small.first.complaint(word)
        assert "refused" in why
        assert "\n" not in why
        assert "refuse" in process.complaint("not joined yet"), "the stranger's own log tells its owner"
        process.kill()
        process.child.end()
        assert not process.child.has("joined")
    finally:
        process.child.kill()


def test_a_node_of_another_overlay_of_the_same_ca(small: ProcessOverlay) -> None:
    """It keeps quiet about it: an honest one would not take our certificate either."""
    data = small.enroll("stranger")
    overlay = data.overlay()
    identity, credentials = data.credentials(overlay)
    ours, now = small.first.data.authority(overlay), time_ns() // 1_000_000
    theirs = Authority("other.example", ours.certificate, ours.key).issue_node(
        identity.node_id, identity.key.public_key(), serial=1, not_before_ms=now - HOUR_MS, not_after_ms=now + HOUR_MS
    )

    async def main() -> None:
        node = Node(overlay, identity, Verifier(overlay), random.SystemRandom())
        async with Peer(node, Tls(credentials._replace(certificates=(theirs,)))) as peer:
            peer.call(node.join, [small.first.address], lambda now, outcome: None)
            why = await asyncio.to_thread(small.first.complaint, "other.example")
            assert "refused a link" in why
            assert "\n" not in why
            assert not node.ring.joined

    uvloop.run(main())


@asynccontextmanager
async def impostor(data: DataDirectory, victim: Member) -> AsyncIterator[Peer]:
    """A member, itself on its links, who signs its messages in the name of `victim`."""
    overlay = data.overlay()
    identity, credentials = data.credentials(overlay)
    claimed, _ = victim.data.credentials(overlay)  # of which only what everybody may know is taken, not the key
    identity.node_id, identity.signer, identity.certificates = claimed.node_id, claimed.signer, claimed.certificates
    sock = bind("127.0.0.1", 0)
    node = Node(overlay, identity, Verifier(overlay), random.SystemRandom(), addresses=(address_of(sock),))
    async with Peer(node, Tls(credentials), sock) as peer:
        yield peer


@pytest.mark.req("sec.no-process-bad-signature", "sec.drop-bad-signature")
def test_a_member_that_joins_in_the_name_of_another(small: ProcessOverlay) -> None:
    victim = small.members[1]
    admitting = small.clockwise(victim.node_id)[1]

    async def main() -> str:
        async with impostor(small.enroll("impostor1"), victim) as peer:
            peer.call(peer.node.join, [small.first.address], lambda now, outcome: None)
            # Not any dropped message: other tests leave lines of theirs in the log of the shared overlay.
            words = f"signature of node {victim.node_id.hex()}"
            why = await asyncio.to_thread(admitting.complaint, words)
            await asyncio.sleep(1)
            assert not peer.node.ring.joined
            return why

    why = uvloop.run(main())
    assert "dropped a message" in why
    assert "\n" not in why


@pytest.mark.req("sec.no-process-bad-signature")
def test_a_member_that_answers_in_the_name_of_another(small: ProcessOverlay, tmp_path: Path) -> None:
    """A new node takes it for its way in; its Attach is answered with the certificate of another member."""
    victim, honest = small.members[1], small.enroll("honest")

    async def main() -> str:
        async with impostor(small.enroll("impostor2"), victim) as peer:
            peer.start_overlay()
            assert peer.address is not None
            newcomer = Member(honest.path, "node", "--bootstrap", show_address(peer.address))
            try:
                why = await asyncio.to_thread(newcomer.complaint, "dropped a message")
                await asyncio.sleep(1)
                assert newcomer.status()["ring"] == {"joined": False, "peers": 0, "successors": [], "predecessors": []}
            finally:
                await asyncio.to_thread(newcomer.child.kill)
            return why

    why = uvloop.run(main())
    assert f"signature of node {victim.node_id.hex()}" in why
    assert "\n" not in why


@pytest.mark.parametrize("code", [Code.JOIN_REQ, Code.LEAVE_REQ])
@pytest.mark.req("topo.join-signer", "topo.leave-signer")
def test_a_member_that_says_that_another_joins_or_leaves(small: ProcessOverlay, code: Code) -> None:
    first, victim = small.members[:2]
    body = {Code.JOIN_REQ: JoinReq(victim.node_id), Code.LEAVE_REQ: LeaveReq(victim.node_id)}[code]

    async def main() -> None:
        async with passing_client(small.first.data, [first.address]) as peer:
            destination = (Destination(DestinationType.NODE, first.node_id),)
            with pytest.raises(RequestFailed) as refusal:
                await peer.wish(lambda now, done: peer.node.request(now, destination, code, body, done))
            assert refusal.value.code == ErrorCode.FORBIDDEN

    uvloop.run(main())
    why = first.complaint("is not the signer")
    assert "\n" not in why
