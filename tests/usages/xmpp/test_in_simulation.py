"""The XMPP usage on the real core, in virtual time, with real certificates and signatures."""

from typing import Any

import pytest

from tests.pki import Pki
from tests.sim.overlays import Overlay
from xor_fast.cext import codec, ids, wire
from xor_fast.core.node import NewValue, Stored
from xor_fast.errors import ErrorCode, RequestFailed
from xor_fast.messages import Code, DataModel, Destination, DestinationType, FetchReq, Message, StoredDataSpecifier
from xor_fast.sim import checks
from xor_fast.sim.world import Host
from xor_fast.usages.xmpp.contact import Contacted, StreamReady, XmppUsage
from xor_fast.usages.xmpp.kind import route_to
from xor_fast.usages.xmpp.lookup import Locations

pytestmark = pytest.mark.part("sim")
ROMEO, JULIET = "romeo@montague.lit", "juliet@capulet.lit"
USERS = {2: ROMEO, 3: ROMEO, 4: JULIET, 5: "tybalt@capulet.lit"}


class Device:
    """A usage on a simulated host; streams that are superseded are closed, as a driver does."""

    def __init__(self, overlay: Overlay, host: Host, **options: Any) -> None:
        self.overlay, self.host = overlay, host
        self.node = host.node
        self.ready: list[StreamReady] = []
        self.usage = XmppUsage(host.node, lambda now, ready: self.ready.append(ready), self.close, **options)

    def close(self, now: float, ticket: int) -> None:
        connection = self.host.applications.get(ticket)
        if connection is not None:
            self.overlay.world._close(connection, "superseded")
        self.usage.ended(ticket)

    def notice_ends(self) -> None:
        """Tell the usage of connections that are no more."""
        for stream in self.usage.streams:
            if stream.ticket not in self.host.applications:
                self.usage.ended(stream.ticket)

    def register(self) -> None:
        assert isinstance(self.overlay.ask(self.host, self.usage.register), Stored)

    def lookup(self, jid: str) -> Locations | RequestFailed:
        return self.overlay.ask(self.host, lambda now, done: self.usage.lookup(now, jid, done))

    def contact(self, jid: str) -> Contacted | RequestFailed:
        return self.overlay.ask(self.host, lambda now, done: self.usage.contact(now, jid, done), 60)

    def begin_contact(self, jid: str, outcomes: list[Any]) -> None:
        self.usage.contact(self.overlay.world.now, jid, lambda now, outcome: outcomes.append(outcome))
        self.overlay.world.drain(self.host)


@pytest.fixture
def overlay(seed: int) -> Overlay:
    return Overlay(6, seed, pki=Pki(seed), users=USERS)


def device(overlay: Overlay, index: int, **options: Any) -> Device:
    return Device(overlay, overlay.world.hosts[index], **options)


@pytest.mark.req("xor.register", "xor.refresh", "xor.lifetime")
def test_a_location_lives_as_long_as_its_device(overlay: Overlay) -> None:
    desktop, phone, juliet = device(overlay, 2, lifetime=30), device(overlay, 3, lifetime=30), device(overlay, 4)
    desktop.register()
    phone.register()
    overlay.world.run(120)
    found = juliet.lookup(ROMEO)
    assert isinstance(found, Locations)
    assert {location.node_id for location in found.routes} == {desktop.node.node_id, phone.node.node_id}
    overlay.world.kill(desktop.host)
    overlay.world.run(32)
    found = juliet.lookup(ROMEO)
    assert isinstance(found, Locations)
    assert [location.node_id for location in found.routes] == [phone.node.node_id]


@pytest.mark.req("xor.deregister", "xor.own-key-only")
def test_a_device_that_leaves_takes_only_its_own_location_along(overlay: Overlay) -> None:
    desktop, phone, juliet = (device(overlay, index) for index in (2, 3, 4))
    desktop.register()
    phone.register()
    assert isinstance(overlay.ask(phone.host, phone.usage.unregister), Stored)
    found = juliet.lookup(ROMEO)
    assert isinstance(found, Locations)
    assert [location.node_id for location in found.routes] == [desktop.node.node_id]
    assert isinstance(overlay.ask(desktop.host, desktop.usage.unregister), Stored)
    gone = juliet.lookup(ROMEO)
    assert isinstance(gone, RequestFailed)
    assert gone.code == ErrorCode.NOT_FOUND


@pytest.mark.req("xor.lookup-connect-all", "xor.multi-device")
def test_a_contact_reaches_all_devices(overlay: Overlay) -> None:
    desktop, phone, juliet = (device(overlay, index) for index in (2, 3, 4))
    desktop.register()
    phone.register()
    contacted = juliet.contact(ROMEO)
    assert isinstance(contacted, Contacted)
    assert not contacted.failures
    overlay.world.run(1)
    for other in (desktop, phone):
        (theirs,) = other.ready
        (ours,) = [stream for stream in juliet.ready if stream.peer_node_id == other.node.node_id]
        assert (ours.initiator, ours.own_jid, ours.peer_jid) == (True, JULIET, ROMEO)
        assert (theirs.initiator, theirs.own_jid, theirs.peer_jid) == (False, ROMEO, JULIET)
        assert theirs.peer_node_id == juliet.node.node_id


def overheard(host: Host) -> list[Message]:
    """What this host's node puts on its overlay links from now on, forwarded messages included."""
    messages: list[Message] = []
    sends = host.node.sends

    def overhearing() -> list[tuple[int, bytes]]:
        taken = sends()
        for _, data in taken:
            frames, _ = wire.split_frames(bytes(data))
            messages.extend(
                codec.decode_message(frame, 16, {5: DataModel.DICTIONARY})
                for _, _, frame in frames
                if isinstance(frame, bytes)
            )
        return taken

    host.node.sends = overhearing  # type: ignore[method-assign]
    return messages


def bodies(messages: list[Message], code: Code) -> list[Any]:
    return [message.body for message in messages if message.code == code]


@pytest.mark.req("xor.lookup-prepare", "xor.lookup-fetch", "xor.lookup-all-keys", "xor.kind-id", "xor.application-5222")
def test_what_a_contact_says_on_the_wire(overlay: Overlay) -> None:
    resource = ids.resource_id(b"romeo@montague.lit")
    (owner,) = checks.claimants(overlay.world, resource)
    # who is responsible itself would ask itself, which nobody overhears
    romeo, juliet = device(overlay, 2), device(overlay, 4 if owner is not overlay.world.hosts[4] else 5)
    asked, answered = overheard(juliet.host), overheard(romeo.host)
    romeo.register()
    (store,) = bodies(answered, Code.STORE_REQ)[:1]
    asked.clear()
    contacted = overlay.ask(juliet.host, lambda now, done: juliet.usage.contact(now, "Romeo@MONTAGUE.lit/x", done), 60)
    assert isinstance(contacted, Contacted)
    assert (store.resource, store.kind_data[0].kind) == (resource, 0x5)
    (fetch,) = [message for message in asked if message.code == Code.FETCH_REQ]
    assert fetch.header.destination_list[-1] == Destination(DestinationType.RESOURCE, resource)
    assert fetch.body == FetchReq(resource, (StoredDataSpecifier(0x5, 0, ()),))
    assert [body.application for body in bodies(asked, Code.APP_ATTACH_REQ)] == [5222]
    assert [body.application for body in bodies(answered, Code.APP_ATTACH_ANS)] == [5222]


@pytest.mark.req("xor.application-accept")
def test_a_node_without_xmpp_says_so(overlay: Overlay) -> None:
    romeo, juliet = device(overlay, 2), device(overlay, 4)
    # registered by hand, so that nobody answers AppAttaches there
    value = NewValue(romeo.node.node_id, route_to([romeo.node.node_id]), 3600)
    resource = ids.resource_id(ROMEO.encode())
    stored = overlay.ask(romeo.host, lambda now, done: romeo.node.store(now, resource, 5, [value], done))
    assert isinstance(stored, Stored)
    refused = juliet.contact(ROMEO)
    assert isinstance(refused, RequestFailed)
    assert refused.code == ErrorCode.NOT_FOUND
    romeo.register()
    assert isinstance(juliet.contact(ROMEO), Contacted)


@pytest.mark.req("xor.peer-address")
def test_a_location_that_names_anothers_node_leads_nowhere(overlay: Overlay) -> None:
    romeo, juliet, tybalt = device(overlay, 2), device(overlay, 4), device(overlay, 5)
    romeo.register()
    value = NewValue(tybalt.node.node_id, route_to([romeo.node.node_id]), 3600)
    resource = ids.resource_id(USERS[5].encode())
    stored = overlay.ask(tybalt.host, lambda now, done: tybalt.node.store(now, resource, 5, [value], done))
    assert isinstance(stored, Stored)
    refused = juliet.contact(USERS[5])
    assert isinstance(refused, RequestFailed)
    assert refused.code == ErrorCode.FORBIDDEN
    assert not juliet.usage.streams


def test_devices_that_contact_each_other_at_any_distance_end_with_one_stream() -> None:
    """XMPP's glare (notes 8.18): whatever crosses whatever, both ends keep the same one connection.

    Whether anything crosses hangs on the distances in a world, so these are worlds of known seeds."""
    crossed = sum(glare_rounds(Overlay(6, seed, pki=Pki(seed), users=USERS)) for seed in range(4))
    assert crossed, "no round has crossed: the test shows nothing"


def glare_rounds(overlay: Overlay) -> int:
    """In how many of the rounds the contacts crossed."""
    random = overlay.world.random("glare")
    romeo, juliet = device(overlay, 2), device(overlay, 4)
    romeo.register()
    juliet.register()
    crossed = 0
    for number in range(8):
        outcomes: list[Any] = []
        one, other = random.sample([(romeo, JULIET), (juliet, ROMEO)], 2)
        before = len(romeo.ready) + len(juliet.ready)
        one[0].begin_contact(one[1], outcomes)
        overlay.world.run(0 if number < 4 else random.uniform(0, 0.5))
        other[0].begin_contact(other[1], outcomes)
        assert overlay.world.run(30, lambda outcomes=outcomes: len(outcomes) == 2)  # type: ignore[misc]
        overlay.world.run(2)
        crossed += len(romeo.ready) + len(juliet.ready) - before > 2
        for each in (romeo, juliet):
            each.notice_ends()
        (ours,), (theirs,) = romeo.usage.streams, juliet.usage.streams
        assert ours.initiator is not theirs.initiator
        assert romeo.host.applications[ours.ticket] is juliet.host.applications[theirs.ticket]
        romeo.close(overlay.world.now, ours.ticket)
        juliet.close(overlay.world.now, theirs.ticket)
        overlay.world.run(2)
    return crossed
