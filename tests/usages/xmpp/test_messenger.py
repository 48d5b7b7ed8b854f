"""Users talking over a real overlay on loopback: real TLS, certificates and signatures, all in this process."""

import asyncio
from xml.etree.ElementTree import Element, tostring

import pytest

from tests.usages.xmpp.overlay import LoopbackOverlay, run
from xor_fast import limits
from xor_fast.cext import ids
from xor_fast.core.node import NewValue
from xor_fast.errors import ErrorCode, OwnerError, RequestFailed, StreamEnded
from xor_fast.messages import Destination, DestinationType
from xor_fast.messenger import Messenger, XmppStream
from xor_fast.net.peer import Peer
from xor_fast.usages.xmpp.kind import route_to
from xor_fast.usages.xmpp.stream import Event, StreamSession

pytestmark = pytest.mark.part("process")
ROMEO, JULIET, NURSE = "romeo@montague.lit", "juliet@capulet.lit", "nurse@capulet.lit"
BODY = "{jabber:client}body"


def message(text: str) -> str:
    return f"<message type='chat'><body>{text}</body></message>"


async def first(stream: XmppStream) -> Element:
    async with asyncio.timeout(10):
        return await anext(stream)


async def accepted(messenger: Messenger) -> XmppStream:
    async with asyncio.timeout(10):
        return await anext(messenger.streams())


@pytest.mark.req("xor.overlay-only", "xor.stanza-all-devices", "xor.lookup-connect-all")
def test_messages_reach_all_devices_and_come_back() -> None:
    async def story() -> None:
        async with LoopbackOverlay() as overlay:
            desktop, phone = await overlay.device(10, ROMEO), await overlay.device(11, ROMEO)
            juliet = await overlay.device(12, JULIET)
            locations = await juliet.lookup("Romeo@MONTAGUE.lit/orchard")
            nodes = {desktop.peer.node.node_id, phone.peer.node.node_id}
            assert {location.node_id for location in locations.routes} == nodes

            streams = await juliet.contact(ROMEO)
            assert {stream.peer_node_id for stream in streams} == nodes
            assert {stream.peer_jid for stream in streams} == {ROMEO}
            assert all(stream.initiator for stream in streams)
            assert set(await juliet.send(ROMEO, message("both of you"))) == set(streams)
            for device in (desktop, phone):
                stream = await accepted(device)
                assert (stream.peer_jid, stream.initiator) == (JULIET, False)
                stanza = await first(stream)
                assert stanza.findtext(BODY) == "both of you"
                assert stanza.get("from") == f"{JULIET}/{juliet.peer.node.node_id.hex()}"
                await stream.send(message("from " + device.peer.node.node_id.hex()))
            for stream in streams:
                assert (await first(stream)).findtext(BODY) == f"from {stream.peer_node_id.hex()}"

            assert len(await juliet.send(ROMEO, "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>")) == 1
            assert await juliet.contact(ROMEO) == streams, "no second stream with the same device"
            assert await juliet.send(NURSE, message("?")) == []

    run(story())


@pytest.mark.req("xor.stream-close")
def test_both_ends_of_a_stream_close() -> None:
    async def story() -> None:
        async with LoopbackOverlay() as overlay:
            romeo, juliet = await overlay.device(10, ROMEO), await overlay.device(11, JULIET)
            (stream,) = await romeo.contact(JULIET)
            other = await accepted(juliet)
            await stream.send(message("last words"))
            await stream.close()
            assert [stanza.findtext(BODY) async for stanza in other] == ["last words"]
            assert stream.reason == other.reason == "Closed()"
            with pytest.raises(StreamEnded):
                await stream.send(message("too late"))
            assert romeo.connected == juliet.connected == ()
            (again,) = await romeo.contact(JULIET)
            assert again is not stream

    run(story())


@pytest.mark.req("xor.not-in-overlay")
def test_stanzas_stay_out_of_the_overlay() -> None:
    async def story() -> None:
        async with LoopbackOverlay() as overlay:
            romeo, juliet = await overlay.device(10, ROMEO), await overlay.device(11, JULIET)
            (stream,) = await romeo.contact(JULIET)
            other = await accepted(juliet)
            sent = [record_overlay_bytes(peer) for peer in overlay.peers]
            before = [stores(peer) for peer in overlay.peers]
            assert sum(before) == 2, "the two registrations were counted"
            for number in range(100):
                await stream.send(message(f"wherefore {number}"))
            for number in range(100):
                assert (await first(other)).findtext(BODY) == f"wherefore {number}"
            for peer in overlay.peers[1:]:  # something does go over the overlay, and is seen
                await peer.ping((Destination(DestinationType.NODE, overlay.peers[0].node.node_id),))
            assert all(sent[1:])
            assert not any(b"wherefore" in data for chunks in sent for data in chunks)
            assert [stores(peer) for peer in overlay.peers] == before

    run(story())


def record_overlay_bytes(peer: Peer) -> list[bytes]:
    """All that the node gives its driver for overlay links from now on."""
    recorded: list[bytes] = []
    sends = peer.node.sends

    def recording() -> list[tuple[int, bytes]]:
        taken = sends()
        recorded.extend(bytes(data) for _, data in taken)
        return taken

    peer.node.sends = recording  # type: ignore[method-assign]
    return recorded


def stores(peer: Peer) -> int:
    """Of owners of values; copies among peers go on as long as the young ring settles."""
    return peer.node.counters.get("stores_original", 0)


@pytest.mark.req("xor.mapping-address", "xor.one-mapping")
def test_a_forward_leads_to_the_other_user() -> None:
    async def story() -> None:
        async with LoopbackOverlay() as overlay:
            romeo, juliet = await overlay.device(10, ROMEO), await overlay.device(11, JULIET)
            nurse = await overlay.device(12, NURSE)
            await juliet.forward(ROMEO)
            locations = await nurse.lookup(JULIET)
            assert locations.followed == (ROMEO,)
            (stream,) = await nurse.contact(JULIET)
            assert (stream.peer_jid, stream.peer_node_id) == (ROMEO, romeo.peer.node.node_id)
            with pytest.raises(OwnerError):
                await juliet.forward("romeo@montague.lit/orchard")

    run(story())


@pytest.mark.req("xor.deregister")
def test_who_has_gone_is_not_found() -> None:
    async def story() -> None:
        async with LoopbackOverlay() as overlay:
            romeo, juliet = await overlay.device(10, ROMEO), await overlay.device(11, JULIET)
            (stream,) = await romeo.contact(JULIET)
            await juliet.close()
            with pytest.raises(RequestFailed) as caught:
                await romeo.lookup(JULIET)
            assert caught.value.code == ErrorCode.NOT_FOUND
            assert [stanza async for stanza in stream] == [], "its streams were closed with it"
            with pytest.raises(RequestFailed):
                await romeo.contact(JULIET)
            with pytest.raises(OwnerError):
                await romeo.lookup("no address")
            assert [stream.has_ended async for stream in juliet.streams()] == [True]

    run(story())


@pytest.mark.req("xor.peer-address")
def test_a_location_that_points_at_anothers_node_leads_nowhere() -> None:
    """tybalt signs a location of his own that names romeo's node: nobody is taken in."""

    async def story() -> None:
        async with LoopbackOverlay() as overlay:
            romeo, nurse = await overlay.device(10, ROMEO), await overlay.device(11, NURSE)
            tybalt = await overlay.peer(12, "tybalt@capulet.lit")
            location = NewValue(tybalt.node.node_id, route_to([romeo.peer.node.node_id]), 3600)
            await tybalt.store(ids.resource_id(b"tybalt@capulet.lit"), 5, [location])
            with pytest.raises(RequestFailed, match=ROMEO):
                await nurse.contact("tybalt@capulet.lit")
            assert nurse.connected == ()

    run(story())


def test_two_devices_that_contact_each_other_at_once_end_with_one_stream() -> None:
    async def story() -> None:
        async with LoopbackOverlay() as overlay:
            romeo, juliet = await overlay.device(10, ROMEO), await overlay.device(11, JULIET)
            await asyncio.gather(romeo.contact(JULIET), juliet.contact(ROMEO), return_exceptions=True)
            async with asyncio.timeout(10):
                while not (len(romeo.connected) == len(juliet.connected) == 1 and romeo.connected[0].is_open):
                    await asyncio.sleep(0.01)
            (one,), (other,) = romeo.connected, juliet.connected
            assert one.initiator is not other.initiator
            larger = max(romeo, juliet, key=lambda device: device.peer.node.node_id)
            assert larger.connected[0].initiator
            await one.send(message("one"))
            assert (await first(other)).findtext(BODY) == "one"

    run(story())


@pytest.mark.req("xor.keepalive")
def test_an_idle_stream_shows_white_space(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits.STREAM_IDLE_SPACE <= 25
    monkeypatch.setattr(limits, "STREAM_IDLE_SPACE", 0.05)
    heard: list[bytes] = []
    receive = StreamSession.receive

    def hearing(session: StreamSession, data: bytes) -> list[Event]:
        heard.append(bytes(data))
        return receive(session, data)

    async def story() -> None:
        async with LoopbackOverlay(1) as overlay:
            romeo, juliet = await overlay.device(10, ROMEO), await overlay.device(11, JULIET)
            (stream,) = await romeo.contact(JULIET)
            monkeypatch.setattr(StreamSession, "receive", hearing)
            async with asyncio.timeout(10):
                while len(heard) < 6:
                    await asyncio.sleep(0.01)
            assert set(heard) == {b" "}
            await stream.send(message("still here"))
            assert (await first(await accepted(juliet))).findtext(BODY) == "still here"

    run(story())


def test_a_stream_survives_what_the_application_does_not_take() -> None:
    """More than the queue holds: reading stops, nothing is lost, and goes on when the application takes it."""

    async def story() -> None:
        async with LoopbackOverlay() as overlay:
            romeo, juliet = await overlay.device(10, ROMEO), await overlay.device(11, JULIET)
            (stream,) = await romeo.contact(JULIET)
            other = await accepted(juliet)
            count = 1500

            async def talk() -> None:
                for number in range(count):
                    await stream.send(message(f"{number} " + "x" * 5000))

            talking = asyncio.create_task(talk())
            await asyncio.sleep(0.5)
            for number in range(count):
                assert (await first(other)).findtext(BODY, "").startswith(f"{number} ")
            await talking

    run(story())


def test_the_stanza_is_the_same_at_the_other_end() -> None:
    sent = "<message xml:lang='de'><body>&lt;grüße &amp; küsse&gt;</body><x xmlns='jabber:x:oob'><url>http://a/?b&amp;c</url></x></message>"

    async def story() -> None:
        async with LoopbackOverlay(1) as overlay:
            romeo, juliet = await overlay.device(10, ROMEO), await overlay.device(11, JULIET)
            (stream,) = await romeo.contact(JULIET)
            await stream.send(sent)
            received = await first(await accepted(juliet))
            assert b"&lt;gr&#252;&#223;e &amp; k&#252;sse&gt;" in tostring(received)
            assert received.findtext("{jabber:x:oob}x/{jabber:x:oob}url") == "http://a/?b&c"

    run(story())
