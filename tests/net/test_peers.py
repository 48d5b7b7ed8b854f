"""Real nodes in one process, over TLS on loopback."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.net.drive import run, until
from tests.net.pki import pki
from xor_fast.cext import ids
from xor_fast.core.node import AppConnection, NewValue, Node
from xor_fast.errors import RequestFailed, StateError
from xor_fast.messages import Destination, DestinationType
from xor_fast.net import stats
from xor_fast.net.disk import Disk
from xor_fast.net.listener import address_of, bind
from xor_fast.net.peer import Peer
from xor_fast.net.tls import Credentials, Tls

KIND = 5  # XMPP-LOCATION of tests.pki: a dictionary, USER-NODE-MATCH


@asynccontextmanager
async def peer(
    i: int, user: str | None = None, *, listens: bool = True, path: str | None = None
) -> AsyncIterator[Peer]:
    """path: of its disk."""
    identity = pki(1).identity(i, user) if user else pki(1).identity(i)
    overlay = pki(1).overlay
    sock = bind("127.0.0.1", 0) if listens else None
    addresses = (address_of(sock),) if sock else ()
    node = Node(overlay, identity, pki(1).verifier(), random.Random(i), addresses=addresses, durable=bool(path))
    async with Peer(node, Tls(Credentials.of(identity, overlay)), sock, disk=Disk(path) if path else None) as made:
        yield made


@asynccontextmanager
async def ring(count: int) -> AsyncIterator[list[Peer]]:
    async with AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(peer(i)) for i in range(count)]
        peers[0].start_overlay()
        bootstrap = [peers[0].address]
        await asyncio.gather(*(other.join(bootstrap) for other in peers[1:]))  # type: ignore[arg-type]
        await until(lambda: all(len(other.node.ring) == count - 1 for other in peers), "all know all")
        yield peers


def to(peer: Peer) -> tuple[Destination, ...]:
    return (Destination(DestinationType.NODE, peer.node.node_id),)


def test_six_peers_join_ping_store_and_fetch() -> None:
    async def main() -> None:
        async with ring(6) as peers, peer(20, "juliet@capulet.lit", listens=False) as client:
            for other in peers[1:]:
                assert (await peers[0].ping(to(other))).node_id == other.node.node_id
            await client.connect([peers[3].address])  # type: ignore[list-item]
            resource = ids.resource_id(b"juliet@capulet.lit")
            value = NewValue(client.node.node_id, b"\x02\0\x15\0\0\x12\x01\x10" + client.node.node_id, 3600)
            stored = await client.store(resource, KIND, [value])
            assert stored.owner == min(
                (other.node.node_id for other in peers),
                key=lambda node_id: (int.from_bytes(node_id) - int.from_bytes(resource)) % (1 << 128),
            ), "the responsible peer is the first at or after the Resource-ID"
            for asker in peers:
                fetched = await asker.fetch(resource, KIND)
                assert [(got.key, got.value) for got in fetched.values] == [(value.key, value.value)]

    run(main())


def test_one_leaves_in_order_and_the_others_close_the_ring() -> None:
    async def main() -> None:
        async with ring(4) as peers:
            await peers[2].leave()
            rest = [peers[0], peers[1], peers[3]]
            await until(lambda: all(len(other.node.ring) == 2 for other in rest), "the ring is closed")
            with pytest.raises(StateError):
                await peers[2].ping(to(peers[0]))

    run(main())


@pytest.mark.req("ice.app-attach-process", "ice.app-attach-separate", "xor.responder-cert", "xor.initiator-cert")
def test_an_application_is_reached_by_app_attach_and_the_ring_stays_as_it_is() -> None:
    async def main() -> None:
        async with ring(3) as peers:
            asker, answerer = peers[1], peers[2]
            before = [stats.status(other)["links"] for other in peers]
            there: list[AppConnection] = []

            def accept(now: float, connection: AppConnection) -> bool:
                there.append(connection)
                return True

            answerer.node.register_application(61_500, accept)
            here = await asker.wish(asker.node.app_attach, to(answerer), 61_500, lambda certificate: None)
            assert (here.node_id, here.initiator) == (answerer.node.node_id, True)
            await until(lambda: there, "the other side accepted")
            assert (there[0].node_id, there[0].initiator) == (asker.node.node_id, False)
            first, second = asker.take_application(here.ticket), answerer.take_application(there[0].ticket)
            echo, heard = Heard(second), Heard()
            second.attach(echo)
            first.attach(heard)
            first.write(b"o Romeo")
            await until(lambda: heard.data == b"o Romeo", "the echo")
            links = [sorted(link["node_id"] for link in stats.status(other)["links"]) for other in peers]
            assert links == [sorted(link["node_id"] for link in each) for each in before]
            assert all(len(other.node.ring) == 2 for other in peers)
            with pytest.raises(RequestFailed, match="Not_Found"):
                await asker.wish(asker.node.app_attach, to(answerer), 61_501, lambda certificate: None)

    run(main())


def test_an_attach_and_an_app_attach_at_one_moment_make_a_link_and_a_stream() -> None:
    """Between the same two nodes, both ways at once: which connection is which follows from its port."""

    async def main() -> None:
        async with ring(1) as peers, peer(31) as one, peer(32) as two:
            for each in (one, two):
                await each.connect([peers[0].address])  # type: ignore[list-item]
                each.node.register_application(61_500, lambda now, connection: True)
            outcomes = await asyncio.gather(
                one.wish(one.node.attach.attach, to(two)),
                two.wish(two.node.attach.attach, to(one)),
                one.wish(one.node.app_attach, to(two), 61_500, lambda certificate: None),
                two.wish(two.node.app_attach, to(one), 61_500, lambda certificate: None),
            )
            assert outcomes[:2] == [two.node.node_id, one.node.node_id]
            for each, other, connection in ((one, two, outcomes[2]), (two, one, outcomes[3])):
                assert connection.node_id == other.node.node_id
                assert each.node.switch.link_of(other.node.node_id) >= 0
                each.take_application(connection.ticket).write(b"not a frame")
            assert (await one.ping(to(two))).node_id == two.node.node_id
            assert one.counters["drop_frame_type"] + two.counters["drop_frame_type"] == 0

    run(main())


class Heard:
    """Keeps what came; with a connection it echoes."""

    def __init__(self, back: Any = None) -> None:
        self.data = b""
        self._back = back

    def received(self, data: bytes) -> None:
        self.data += data
        if self._back is not None:
            self._back.write(data)

    def writable(self, is_writable: bool) -> None:
        pass

    def lost(self, reason: str) -> None:
        pass


def test_status_tells_ring_links_store_and_counters() -> None:
    async def main() -> None:
        async with ring(3) as peers:
            await peers[0].ping(to(peers[1]))
            said = stats.status(peers[0])
            others = {other.node.node_id.hex() for other in peers[1:]}
            assert said["node_id"] == peers[0].node.node_id.hex()
            assert said["ring"]["joined"]
            assert set(said["ring"]["successors"]) == others
            assert {link["node_id"] for link in said["links"]} == others
            assert said["counters"]["failed_handshakes"] == 0
            assert said["store"]["values"] == 0

    run(main())


def test_what_was_acknowledged_is_back_after_a_restart(tmp_path: Any) -> None:
    path = str(tmp_path / "store.db")

    async def main() -> None:
        async with peer(0, path=path) as alone, peer(20, "juliet@capulet.lit", listens=False) as client:
            alone.start_overlay()
            await client.connect([alone.address])  # type: ignore[list-item]
            value = NewValue(client.node.node_id, b"anything", 3600)
            await client.store(ids.resource_id(b"juliet@capulet.lit"), KIND, [value])
        async with peer(0, path=path) as again:
            again.start_overlay()
            fetched = await again.fetch(ids.resource_id(b"juliet@capulet.lit"), KIND)
            assert [got.value for got in fetched.values] == [b"anything"]

    run(main())
