"""Registration, lookup and contact as a device does them (XEP-0415 4 to 6), above a stand-in for the node."""

from typing import Any

import pytest

from tests.usages.xmpp.fake_node import FakeNode, come, node_id, reach, resource
from xor_fast import limits
from xor_fast.config import KindDefinition
from xor_fast.core.node import Stored
from xor_fast.errors import ErrorCode, RequestFailed
from xor_fast.messages import DataModel
from xor_fast.usages.xmpp.contact import Contacted, StreamReady, XmppUsage
from xor_fast.usages.xmpp.jid import JIDError
from xor_fast.usages.xmpp.kind import forward_to, route_to
from xor_fast.usages.xmpp.lookup import Locations

ROMEO, JULIET = "romeo@montague.lit", "juliet@capulet.lit"


class Device:
    """A usage on a fake node, and what it told its owner."""

    def __init__(self, number: int = 1, user: str = JULIET, records: Any = None, **options: Any) -> None:
        self.node = FakeNode(number, user, {} if records is None else records)
        self.streams: list[StreamReady] = []
        self.superseded: list[int] = []
        self.usage = XmppUsage(
            self.node,  # type: ignore[arg-type]
            lambda now, stream: self.streams.append(stream),
            lambda now, ticket: self.superseded.append(ticket),
            **options,
        )
        self.outcomes: list[Any] = []

    def done(self, now: float, outcome: Any) -> None:
        self.outcomes.append(outcome)

    def put(self, jid: str, number: int, value: bytes) -> None:
        """A location in the overlay, written by that node."""
        self.node.records.setdefault((resource(jid), 5), {})[node_id(number)] = value

    def lookup(self, jid: str) -> Any:
        self.usage.lookup(0.0, jid, self.done)
        self.node.answer()
        return self.outcomes.pop()

    def contact(self, jid: str) -> list[Any]:
        """The AppAttaches this leads to."""
        self.usage.contact(0.0, jid, self.done)
        self.node.answer()
        return self.node.attaches

    def wait(self, now: float) -> None:
        self.node.timers.run_due(now)
        self.node.answer()


def targets(locations: Locations) -> list[int]:
    return [int.from_bytes(location.node_id) for location in locations.routes]


# --- registration -----------------------------------------------------------------------------------


@pytest.mark.req(
    "xor.register", "xor.own-key-only", "xor.precis-by-writer", "xor.kind-id", "xor.lifetime", "xor.resource-name"
)
def test_a_device_stores_its_route_at_its_address_under_its_own_key() -> None:
    device = Device(7)
    device.usage.register(0.0, device.done)
    device.node.answer()
    ((where, kind, value),) = device.node.stores
    assert where.hex() == "ea94443670c76cc48e9c3fc78b4abe22"  # printf %s juliet@capulet.lit | sha1sum | cut -c-32
    assert kind == 0x5
    assert (value.key, value.exists, value.lifetime) == (node_id(7), True, 3600)
    assert (
        value.value.hex() == "02001500" + "00120110" + node_id(7).hex()
    )  # type, length, priority, one Node-ID: no time
    assert [type(outcome) for outcome in device.outcomes] == [Stored]


def test_a_client_registers_the_way_through_its_peer() -> None:
    device = Device(7)
    device.node.ring.joined = False
    device.node.ring.add(node_id(3))
    device.usage.register(0.0, device.done)
    assert device.node.stores[0][2].value == route_to([node_id(3), node_id(7)])


@pytest.mark.req("xor.kind-id")
def test_a_kind_id_of_the_overlays_own_is_used() -> None:
    device = Device(7)
    kind = KindDefinition(0xF0000005, "XMPP-LOCATION", DataModel.DICTIONARY, "USER-NODE-MATCH", 32, 2304)
    device.node.overlay.kinds = (kind,)
    device.usage = XmppUsage(device.node, lambda *_: None, lambda *_: None)  # type: ignore[arg-type]
    device.usage.register(0.0, device.done)
    device.usage.lookup(0.0, ROMEO, device.done)
    assert device.node.stores[0][1] == device.node.fetches[0][1] == 0xF0000005


@pytest.mark.parametrize("user", ["Juliet@capulet.lit", "no address", "juliet@capulet.lit/balcony"])
def test_a_certificate_without_a_prepared_address_is_told_to_the_owner(user: str) -> None:
    device = Device(7, user)
    for wish in (device.usage.register, device.usage.unregister, lambda *a: device.usage.contact(a[0], ROMEO, a[1])):
        with pytest.raises(JIDError):
            wish(0.0, device.done)
    assert not device.node.stores
    assert not device.node.fetches


@pytest.mark.req("xor.refresh")
def test_a_location_is_stored_again_at_half_its_lifetime() -> None:
    device = Device(7, lifetime=30)
    device.usage.register(0.0, device.done)
    device.node.answer()
    for now in range(1, 121):
        device.wait(float(now))
    assert len(device.node.stores) == 1 + 120 // 15
    assert len(device.outcomes) == 1


def test_a_failed_store_is_tried_again_sooner() -> None:
    device = Device(7)
    device.node.failing = lambda resource: True
    device.usage.register(0.0, device.done)
    device.node.answer()
    assert isinstance(device.outcomes.pop(), RequestFailed)
    device.node.failing = lambda resource: False
    device.wait(limits.LOCATION_RETRY - 0.1)
    assert len(device.node.stores) == 1
    device.wait(limits.LOCATION_RETRY)
    assert len(device.node.stores) == 2
    device.wait(limits.LOCATION_RETRY + 1801)
    assert len(device.node.stores) == 3


@pytest.mark.req("xor.deregister", "xor.own-key-only", "xor.multi-device")
def test_a_clean_exit_removes_the_location_and_stores_no_more() -> None:
    records: dict[Any, Any] = {}
    one, two = Device(1, records=records), Device(2, records=records)
    for device in (one, two):
        device.usage.register(0.0, device.done)
        device.node.answer()
    assert records == {(resource(JULIET), 5): {node_id(i): route_to([node_id(i)]) for i in (1, 2)}}
    two.usage.unregister(100.0, two.done)
    two.node.answer()
    _, _, gone = two.node.stores[-1]
    assert (gone.key, gone.exists) == (node_id(2), False)
    assert gone.lifetime >= 3600 - 100, "the removal outlives what it removes (RFC 6940 7.4.1.3)"
    assert records[resource(JULIET), 5] == {node_id(1): route_to([node_id(1)])}
    two.wait(100_000.0)
    assert len(two.node.stores) == 2


def test_an_answer_after_the_exit_starts_nothing() -> None:
    device = Device(7)
    device.usage.register(0.0, device.done)
    device.usage.unregister(0.0, device.done)
    device.node.answer()
    assert device.node.timers.deadline is None


@pytest.mark.req("xor.one-mapping", "xor.address-precis", "xor.address-bare")
def test_a_forward_takes_the_place_of_the_route() -> None:
    device = Device(7)
    device.usage.register(0.0, device.done)
    device.usage.forward(0.0, "Romeo@MONTAGUE.lit", device.done)
    device.node.answer()
    assert device.node.records[resource(JULIET), 5] == {node_id(7): forward_to(ROMEO)}
    assert forward_to(ROMEO).endswith(ROMEO.encode())
    with pytest.raises(JIDError):
        device.usage.forward(0.0, "romeo@montague.lit/orchard", device.done)
    device.wait(1800.0)
    assert [value.value for _, _, value in device.node.stores] == [route_to([node_id(7)]), *[forward_to(ROMEO)] * 2]


# --- lookup -----------------------------------------------------------------------------------------


@pytest.mark.req("xor.lookup-prepare", "xor.kind-id")
def test_a_lookup_asks_for_the_prepared_bare_address() -> None:
    device = Device(user=ROMEO)
    device.put(JULIET, 5, route_to([node_id(5)]))
    locations = device.lookup("Juliet@CAPULET.lit/balcony")
    assert device.node.fetches == [(resource("juliet@capulet.lit"), 0x5)]
    assert targets(locations) == [5]
    assert (locations.jid, locations.hops, locations.owner) == (JULIET, 3, node_id(99))
    with pytest.raises(JIDError):
        device.usage.lookup(0.0, "@", device.done)


@pytest.mark.req("xor.lookup-dedupe")
def test_devices_by_priority_and_each_once() -> None:
    device = Device(9, user=ROMEO)
    device.put(JULIET, 1, route_to([node_id(1)], 5))
    device.put(JULIET, 2, route_to([node_id(2)], 0))
    device.put(JULIET, 3, route_to([node_id(3)], 9))
    device.put(JULIET, 4, route_to([node_id(2)], 0))  # the same list
    device.put(JULIET, 5, route_to([node_id(7), node_id(1)], 6))  # another way to the same device
    device.put(JULIET, 6, route_to([node_id(7), node_id(3)], 8))
    locations = device.lookup(JULIET)
    assert targets(locations) == [2, 1, 3]
    assert [location.priority for location in locations.routes] == [0, 5, 8]
    assert len(device.contact(JULIET)) == 3


@pytest.mark.req("xor.codec.unknown-type", "xor.codec.empty-route")
def test_what_cannot_be_used_spoils_nothing() -> None:
    device = Device(user=ROMEO)
    device.put(JULIET, 1, bytes.fromhex("090003616263"))
    device.put(JULIET, 2, bytes.fromhex("0200030000 00"))
    device.put(JULIET, 3, b"\xff")
    device.put(JULIET, 4, route_to([node_id(4)]))
    locations = device.lookup(JULIET)
    assert targets(locations) == [4]
    assert locations.skipped == device.node.counts["xmpp_locations_skipped"] == 3


@pytest.mark.req("xor.mapping-address", "xor.mapping-mixed")
def test_an_address_is_followed_and_both_kinds_are_used() -> None:
    device = Device(9, user="nurse@capulet.lit")
    device.put(JULIET, 1, route_to([node_id(1)], 200))
    device.put(JULIET, 2, forward_to(ROMEO))
    device.put(ROMEO, 3, route_to([node_id(3)], 0))
    locations = device.lookup(JULIET)
    assert [(location.jid, location.node_id) for location in locations.routes] == [
        (JULIET, node_id(1)),
        (ROMEO, node_id(3)),
    ]
    assert locations.followed == (ROMEO,)
    assert len(device.contact(JULIET)) == 2


@pytest.mark.req("xor.mapping-loop")
def test_loops_chains_and_fans_end() -> None:
    device = Device(user=ROMEO)
    device.put("a@x", 1, forward_to("b@x"))
    device.put("b@x", 1, forward_to("a@x"))
    outcome = device.lookup("a@x")
    assert isinstance(outcome, RequestFailed)
    assert outcome.code == ErrorCode.NOT_FOUND
    assert len(device.node.fetches) == 2

    device.node.fetches.clear()
    for i in range(20):
        device.put(f"c{i}@x", 1, forward_to(f"c{i + 1}@x"))
    device.put("c20@x", 1, route_to([node_id(1)]))
    outcome = device.lookup("c0@x")
    assert isinstance(outcome, RequestFailed)
    assert len(device.node.fetches) == 1 + limits.LOOKUP_DEPTH
    assert targets(device.lookup(f"c{20 - limits.LOOKUP_DEPTH}@x")) == [1]

    device.node.fetches.clear()
    for i in range(32):
        device.put("d@x", i, forward_to(f"d{i}@x"))
        for j in range(32):
            device.put(f"d{i}@x", j, forward_to(f"d{i}-{j}@x"))
    assert isinstance(device.lookup("d@x"), RequestFailed)
    assert len(device.node.fetches) <= limits.LOOKUP_FAN_OUT


def test_many_routes_are_cut_after_the_best() -> None:
    device = Device(user=ROMEO)
    for i in range(4):
        device.put("a@x", i, forward_to(f"b{i}@x"))
        for j in range(32):
            device.put(f"b{i}@x", j, route_to([node_id(1000 + 32 * i + j)], j))
    locations = device.lookup("a@x")
    assert len(locations.routes) == limits.LOOKUP_FAN_OUT
    assert max(location.priority for location in locations.routes) == limits.LOOKUP_FAN_OUT // 4 - 1


def test_nobody_there_and_no_answer_are_told_apart() -> None:
    device = Device(user=ROMEO)
    assert device.lookup(JULIET).code == ErrorCode.NOT_FOUND
    device.node.failing = lambda resource: True
    assert device.lookup(JULIET).code == ErrorCode.REQUEST_TIMEOUT


def test_a_forward_that_cannot_be_read_does_not_hide_the_routes() -> None:
    device = Device(user="nurse@capulet.lit")
    device.put(JULIET, 1, forward_to(ROMEO))
    device.put(JULIET, 2, route_to([node_id(2)]))
    device.node.failing = lambda where: where == resource(ROMEO)
    assert targets(device.lookup(JULIET)) == [2]


# --- contact ----------------------------------------------------------------------------------------


@pytest.mark.req("xor.lookup-connect-all", "xor.attach-parallel", "xor.application-5222")
def test_all_devices_are_asked_at_once() -> None:
    device = Device(9, user=ROMEO)
    for i in (1, 2, 3):
        device.put(JULIET, i, route_to([node_id(8), node_id(i)]))
    attaches = device.contact(JULIET)
    assert [attach.route[-1].value for attach in attaches] == [node_id(1), node_id(2), node_id(3)]
    assert [len(attach.route) for attach in attaches] == [2, 2, 2]
    assert {attach.application for attach in attaches} == {5222}
    assert reach(attaches[1], 21, JULIET)
    assert device.streams == [StreamReady(21, True, ROMEO, JULIET, node_id(2))], "told at once, not when all are done"
    assert not device.outcomes
    attaches[0].done(1.0, RequestFailed(ErrorCode.REQUEST_TIMEOUT, "gone"))
    assert reach(attaches[2], 23, JULIET)
    (outcome,) = device.outcomes
    assert isinstance(outcome, Contacted)
    assert outcome.streams == tuple(device.streams)
    ((location, failure),) = outcome.failures
    assert (location.node_id, failure.text) == (node_id(1), "gone")


@pytest.mark.req("xor.peer-address")
def test_a_node_of_another_user_is_refused() -> None:
    device = Device(9, user=ROMEO)
    device.put(JULIET, 1, route_to([node_id(4)]))  # signed by juliet, but node 4 is tybalt's
    (attach,) = device.contact(JULIET)
    assert not reach(attach, 21, "tybalt@capulet.lit")
    assert not device.streams
    (outcome,) = device.outcomes
    assert isinstance(outcome, RequestFailed)
    assert outcome.code == ErrorCode.FORBIDDEN
    assert "tybalt@capulet.lit" in outcome.text


@pytest.mark.req("xor.peer-address", "xor.mapping-address")
def test_after_a_forward_the_target_has_to_prove_its_own_address() -> None:
    device = Device(9, user="nurse@capulet.lit")
    device.put(JULIET, 1, forward_to(ROMEO))
    device.put(ROMEO, 3, route_to([node_id(3)]))
    device.contact(JULIET)
    (attach,) = device.node.attaches
    assert attach.check(FakeNode(3, JULIET, {}).identity.certificate) is not None
    assert reach(attach, 21, ROMEO)
    assert device.streams[0].peer_jid == ROMEO


def test_a_false_record_for_a_device_does_not_take_the_place_of_the_right_one() -> None:
    device = Device(9, user="nurse@capulet.lit")
    device.put(JULIET, 1, route_to([node_id(3)]))  # not hers
    device.put(JULIET, 2, forward_to(ROMEO))
    device.put(ROMEO, 3, route_to([node_id(3)]))
    attaches = device.contact(JULIET)
    assert [reach(attach, 20 + i, ROMEO) for i, attach in enumerate(attaches)] == [False, True]
    assert [stream.peer_jid for stream in device.streams] == [ROMEO]


def test_the_own_node_is_left_out() -> None:
    device = Device(1)
    device.put(JULIET, 1, route_to([node_id(1)]))
    assert not device.contact(JULIET)
    assert device.outcomes.pop().code == ErrorCode.NOT_FOUND
    device.put(JULIET, 2, route_to([node_id(2)]))
    assert [attach.route[-1].value for attach in device.contact(JULIET)] == [node_id(2)]


def test_a_device_that_is_connected_is_not_asked_again() -> None:
    device = Device(9, user=ROMEO)
    device.put(JULIET, 1, route_to([node_id(1)]))
    device.contact(JULIET)
    device.contact(JULIET)
    assert len(device.node.attaches) == 1, "one attempt at a time"
    reach(device.node.attaches[0], 21, JULIET)
    assert [outcome.streams for outcome in device.outcomes] == [tuple(device.streams)] * 2
    device.contact(JULIET)
    assert len(device.node.attaches) == 1
    assert device.outcomes[-1].streams == tuple(device.streams)
    assert len(device.streams) == 1
    device.usage.ended(21)
    assert not device.usage.streams
    device.contact(JULIET)
    assert len(device.node.attaches) == 2


def test_an_answering_device() -> None:
    device = Device(1)
    device.usage.register(0.0, device.done)
    assert come(device.node, 31, 2, ROMEO)
    assert device.streams == [StreamReady(31, False, JULIET, ROMEO, node_id(2))]
    assert not come(device.node, 32, 3, "Unprepared@x")
    assert not come(device.node, 32, 4, "not an address")
    assert len(device.streams) == 1
    assert device.node.counts["xmpp_streams_refused"] == 2
    assert len(device.node.notices) == 2


def test_streams_have_a_bound() -> None:
    device = Device(1)
    device.usage.register(0.0, device.done)
    for i in range(limits.MAX_STREAMS):
        assert come(device.node, i, 1000 + i, ROMEO)
    assert not come(device.node, 9999, 9999, ROMEO)
    device.usage.ended(0)
    assert come(device.node, 9999, 9999, ROMEO)


@pytest.mark.parametrize("ours_first", [True, False])
@pytest.mark.parametrize("own", [1, 9])
def test_of_two_streams_of_one_moment_the_larger_nodes_is_kept(own: int, ours_first: bool) -> None:
    peer = 5
    device = Device(own, user=ROMEO)
    device.usage.register(0.0, device.done)
    device.put(JULIET, peer, route_to([node_id(peer)]))
    device.contact(JULIET)
    (attach,) = device.node.attaches
    ours, theirs = 21, 31
    if ours_first:
        reach(attach, ours, JULIET)
        accepted = come(device.node, theirs, peer, JULIET)
    else:
        accepted = come(device.node, theirs, peer, JULIET)
        reach(attach, ours, JULIET)
    kept = ours if own > peer else theirs
    assert [stream.ticket for stream in device.usage.streams] == [kept]
    assert device.outcomes[-1].streams[-1].ticket in (kept, ours)
    if kept == ours and not ours_first:
        assert accepted
        assert device.superseded == [theirs]
    elif kept == ours:
        assert not accepted
        assert not device.superseded
    else:
        assert accepted
        assert device.superseded == [ours]


def test_a_later_stream_takes_the_place_of_the_earlier() -> None:
    device = Device(9)
    device.usage.register(0.0, device.done)
    assert come(device.node, 31, 5, ROMEO, now=0.0)
    assert come(device.node, 32, 5, ROMEO, now=1.0), "it asks again, so it has lost the first"
    assert device.superseded == [31]
    device.put(ROMEO, 6, route_to([node_id(6)]))
    (attach,) = device.contact(ROMEO)
    reach(attach, 21, ROMEO, now=10.0)
    assert come(device.node, 33, 6, ROMEO, now=10.0 + limits.APP_ATTACH_TIMEOUT + 1)
    assert [stream.ticket for stream in device.usage.streams] == [32, 33]


def test_a_device_that_connected_to_us_while_our_attempt_failed_counts() -> None:
    device = Device(1, user=ROMEO)
    device.usage.register(0.0, device.done)
    device.put(JULIET, 5, route_to([node_id(5)]))
    (attach,) = device.contact(JULIET)
    assert come(device.node, 31, 5, JULIET)
    attach.done(1.0, RequestFailed(ErrorCode.REQUEST_TIMEOUT, "no connection came"))
    assert [stream.ticket for stream in device.outcomes[-1].streams] == [31]
