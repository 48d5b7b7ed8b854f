"""RFC 6940 10.5 step by step, read from the bytes that a joining peer and its admitting peer send."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import pytest

from tests.conftest import SEED
from tests.sim.overlays import Overlay
from tests.sim.trace import Sent, Trace, node, number_of, place, traced
from xor_fast.cext import codec, ids, wire
from xor_fast.core.node import Stored, Tuning
from xor_fast.core.transactions import Answer
from xor_fast.core.updates import Updates
from xor_fast.errors import RequestFailed
from xor_fast.messages import (
    AttachReqAns,
    ChordUpdateType,
    Code,
    Destination,
    DestinationType,
    ErrorResponse,
    ForwardingHeader,
    RouteQueryAns,
    RouteQueryReq,
    StoreReq,
    UpdateReq,
)
from xor_fast.sim.fakes import FakeIdentity, FakeVerifier
from xor_fast.sim.world import Host

PEERS = 24


class Joined(NamedTuple):
    overlay: Overlay
    trace: Trace
    joiner: Host
    bootstrap: Host
    admitting: Host
    asked_at: float
    """When the Join left."""
    claimed_at: float
    """When the Update that admits it left the admitting peer."""


def body(sent: Sent) -> UpdateReq:
    assert isinstance(sent.message.body, UpdateReq)
    return sent.message.body


def table_told(trace: Trace, admitting: Host, joiner: Host) -> UpdateReq:
    """The full Update that the joiner asked for."""
    updates = trace.of(Code.UPDATE_REQ, admitting, joiner)
    return next(body(sent) for sent in updates if body(sent).type == ChordUpdateType.FULL)


def admissions(trace: Trace, joiner: Host) -> list[Sent]:
    return [s for s in trace.of(Code.UPDATE_REQ, receiver=joiner) if body(s).predecessors[:1] == (joiner.node.node_id,)]


@pytest.fixture(scope="module")
def joined() -> Iterator[Joined]:
    print(f"seed {SEED}")
    overlay = Overlay(PEERS, SEED, tuning=Tuning(neighbours_each_side=3))
    users = overlay.hosts
    for user in users:
        assert isinstance(overlay.store(user, user.name.encode()), Stored)
    joiner, bootstrap = overlay.add(PEERS), users[5]
    with traced(overlay.world) as trace:
        overlay.join(joiner, through=bootstrap)
        overlay.world.run(5)
        (ask, *_), (admission, *_) = trace.of(Code.JOIN_REQ, joiner), admissions(trace, joiner)
        yield Joined(overlay, trace, joiner, bootstrap, ask.receiver, ask.at, admission.at)


@pytest.mark.req("topo.join-1-connect")
def test_1_it_speaks_first_with_the_bootstrap_node(joined: Joined) -> None:
    first = next(sent for sent in joined.trace.sent if joined.joiner in (sent.sender, sent.receiver))
    assert {first.sender, first.receiver} == {joined.joiner, joined.bootstrap}
    assert next(sent for sent in joined.trace.sent if sent.sender is joined.joiner).receiver is joined.bootstrap
    others = {sent.receiver for sent in joined.trace.sent if sent.sender is joined.joiner} - {joined.bootstrap}
    between = {other: joined.trace.up[frozenset((joined.joiner.name, other.name))] for other in others}
    assert others
    assert min(between.values()) > first.at


@pytest.mark.req("topo.join-2-attach-ap")
def test_2_it_attaches_to_its_admitting_peer_for_its_own_place(joined: Joined) -> None:
    first = joined.trace.of(Code.ATTACH_REQ, joined.joiner)[0]
    assert first.to == (place(number_of(joined.joiner) + 1),)
    assert isinstance(first.message.body, AttachReqAns)
    assert first.message.body.send_update
    ring = sorted(joined.overlay.hosts, key=number_of)
    assert joined.admitting is ring[(ring.index(joined.joiner) + 1) % len(ring)]


@pytest.mark.req("topo.attach-send-update")
def test_2_and_gets_its_table_before_it_has_joined(joined: Joined) -> None:
    updates = joined.trace.of(Code.UPDATE_REQ, joined.admitting, joined.joiner)
    full = next(sent for sent in updates if body(sent).type == ChordUpdateType.FULL)
    assert full.at < joined.asked_at


@pytest.mark.req("topo.join-3-attach-others", "topo.source-routed-attach")
def test_3_it_attaches_to_all_that_were_named_through_who_named_them(joined: Joined) -> None:
    table = table_told(joined.trace, joined.admitting, joined.joiner)
    attaches = [s for s in joined.trace.of(Code.ATTACH_REQ, joined.joiner) if s.at <= joined.asked_at]
    routes = [sent.to for sent in attaches]
    for named in {*table.predecessors, *table.successors} - {joined.bootstrap.node.node_id}:
        assert (node(joined.admitting), Destination(DestinationType.NODE, named)) in routes
        assert frozenset((joined.joiner.name, name_of(joined, named))) in joined.trace.up


def name_of(joined: Joined, node_id: bytes) -> str:
    return next(host.name for host in joined.overlay.world.hosts if host.node.node_id == node_id)


@pytest.mark.req("topo.join-3-attach-others", "topo.join-fingers", "topo.other-attach-plain")
def test_3_and_to_its_fingers_by_plain_routing(joined: Joined) -> None:
    (ask, *_) = joined.trace.of(Code.JOIN_REQ, joined.joiner)
    check_fingers(joined.trace, joined.joiner, ask)


def check_fingers(trace: Trace, joiner: Host, ask: Sent) -> None:
    """Before its Join it has attached to the start of each finger that lies behind its last successor."""
    own = number_of(joiner)
    attaches = [s for s in trace.of(Code.ATTACH_REQ, joiner) if s.at <= ask.at]
    plain = [sent.to for sent in attaches[1:] if sent.to[-1].type == DestinationType.RESOURCE]
    assert (place(own + 2**127),) in plain
    table = table_told(trace, ask.receiver, joiner)
    last = max((int.from_bytes(successor, "big") - own) % 2**128 for successor in table.successors)
    wanted = [i for i in range(1, 17) if 2 ** (128 - i) > last]
    assert len(plain) == len(set(plain)) == len(wanted)
    assert set(plain) == {(place(own + 2 ** (128 - i)),) for i in wanted}


def test_3_whatever_the_order_of_the_table(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The RFC sets none (notes 6.3): the admitting peer lists its neighbours from the farthest to the nearest."""
    overlay = Overlay(PEERS, seed, tuning=Tuning(neighbours_each_side=3))
    joiner, send = overlay.add(PEERS), Updates._send

    def backwards(self: Updates, now: float, node_id: bytes, body: UpdateReq) -> None:
        if node_id == joiner.node.node_id and body.type == ChordUpdateType.FULL:
            body = msgspec.structs.replace(body, predecessors=body.predecessors[::-1], successors=body.successors[::-1])
        send(self, now, node_id, body)

    monkeypatch.setattr(Updates, "_send", backwards)
    with traced(overlay.world) as trace:
        overlay.join(joiner)
        (ask, *_) = trace.of(Code.JOIN_REQ, joiner)
        check_fingers(trace, joiner, ask)


@pytest.mark.req("topo.join-5-join")
def test_5_then_it_sends_a_join_to_the_admitting_peer_itself(joined: Joined) -> None:
    (ask,) = joined.trace.of(Code.JOIN_REQ, joined.joiner)
    assert ask.to == (node(joined.admitting),)
    answers = [s for s in joined.trace.of(Code.JOIN_ANS, joined.admitting) if s.receiver is joined.joiner]
    assert [answer.message.header.transaction_id for answer in answers] == [ask.message.header.transaction_id]
    assert joined.asked_at < answers[0].at <= joined.claimed_at


@pytest.mark.req("topo.join-7-forget")
def test_7_the_admitting_peer_keeps_what_it_is_a_replica_for(seed: int) -> None:
    """At every moment: the joiner, which does not know what it has, would bring back what it forgot."""
    overlay = Overlay(8, seed)
    user = overlay.hosts[3]
    assert isinstance(overlay.store(user, b"v"), Stored)
    admitting = overlay.owner(user)
    behind = ids.successor_id(ids.resource_id(user.node.identity.user_name))
    joiner = overlay.world.add(FakeIdentity(behind, b"late@example.org"), FakeVerifier())  # type: ignore[arg-type]
    overlay.begin_join(joiner)
    assert not overlay.world.run(30, lambda: admitting not in overlay.holders(user))
    assert overlay.owner(user) is joiner
    assert joiner in overlay.holders(user)


@pytest.mark.req("topo.join-8-announce")
def test_8_the_admitting_peer_tells_all_its_neighbours_of_it(joined: Joined) -> None:
    """The joiner, too, once more after the Update that admits it."""
    own = joined.joiner.node.node_id
    told = {
        s.receiver.node.node_id
        for s in joined.trace.of(Code.UPDATE_REQ, joined.admitting)
        if s.at > joined.claimed_at and body(s).type == ChordUpdateType.NEIGHBORS and own in body(s).predecessors
    }
    neighbours = joined.admitting.node.topology.neighbourhood.sides().both()
    assert own in neighbours
    assert told >= set(neighbours)


@pytest.mark.req("topo.join-9-own-updates")
def test_9_and_it_tells_its_own_neighbours(joined: Joined) -> None:
    told = {s.receiver.node.node_id for s in joined.trace.of(Code.UPDATE_REQ, joined.joiner, since=joined.claimed_at)}
    sides = joined.joiner.node.topology.neighbourhood.sides()
    assert len(sides.both()) == 6
    assert told >= set(sides.both())


@pytest.mark.req("topo.join-no-early-update")
def test_it_says_nothing_of_a_place_in_the_ring_before_that(joined: Joined) -> None:
    assert min(sent.at for sent in joined.trace.of(Code.UPDATE_REQ, joined.joiner)) > joined.claimed_at


@pytest.mark.req("topo.join-no-early-update")
@pytest.mark.parametrize("step", [-1, 1])  # its predecessor, its second successor
def test_a_neighbour_that_is_slow_to_answer_holds_it_up(step: int, seed: int) -> None:
    overlay = Overlay(8, seed)
    joiner = overlay.add(8)
    slow = sorted(overlay.hosts, key=lambda host: (number_of(host) - number_of(joiner)) % 2**128)[step]
    bootstrap = next(host for host in overlay.hosts if host is not slow)
    with traced(overlay.world) as trace:
        overlay.begin_join(joiner, through=bootstrap)
        slow.asleep_until = overlay.world.now + 2.5
        assert overlay.world.run(60, lambda: joiner.node.ring.joined)
        overlay.world.run(1)
    updates = trace.of(Code.UPDATE_REQ, joiner)
    assert updates
    assert min(s.at for s in updates) > trace.up[frozenset((joiner.name, slow.name))]


@pytest.mark.req("topo.join-4-routing-table", "topo.route-query")
def test_4_whom_it_has_reached_stands_in_its_table_before_it_joins(seed: int) -> None:
    """Asked by RouteQuery while its Join is on the way: the next hop is the best of all it is linked with."""
    overlay = Overlay(12, seed)
    joiner = overlay.add(12)
    overlay.begin_join(joiner)
    assert overlay.world.run(30, lambda: joiner.node.topology.joining._asked)
    assert not joiner.node.ring.joined
    asker = next(host for host in overlay.hosts if linked(host, joiner))
    reached = [host for host in overlay.hosts if host is not asker and linked(joiner, host)]
    told: dict[Host, bytes] = {}
    for target in reached:

        def answered(now: float, outcome: Answer | RequestFailed, target: Host = target) -> None:
            assert isinstance(outcome, Answer)
            assert isinstance(outcome.body, RouteQueryAns)
            told[target] = outcome.body.next_peer

        question = RouteQueryReq(False, place(number_of(target) + 1))
        asker.node.request(overlay.world.now, (node(joiner),), Code.ROUTE_QUERY_REQ, question, answered)
    overlay.world.drain(asker)
    assert overlay.world.run(5, lambda: len(told) == len(reached))
    right = [target for target in reached if told[target] == target.node.node_id]
    assert len(right) >= len(reached) / 4  # the first Update of a link that has just come up may still be on its way


def linked(host: Host, other: Host) -> bool:
    return host.node.switch.link_of(other.node.node_id) >= 0


@pytest.mark.req("topo.join-ping-fallback")
def test_without_the_table_of_its_admitting_peer_it_finds_its_successors_by_ping(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    overlay = Overlay(16, seed)
    joiner = overlay.add(16)
    admitting = min(overlay.hosts, key=lambda host: (number_of(host) - number_of(joiner)) % 2**128)
    send_full = Updates.send_full

    def silent(self: Updates, now: float, node_id: bytes) -> None:
        if self is not admitting.node.topology.updates or node_id != joiner.node.node_id:
            send_full(self, now, node_id)

    monkeypatch.setattr(Updates, "send_full", silent)
    with traced(overlay.world) as trace:
        overlay.join(joiner)
        asked = [sent.to for sent in trace.of(Code.PING_REQ, joiner)]
    ring = sorted(overlay.hosts, key=number_of)
    own = ring.index(joiner)
    steps = [joiner, ring[(own + 1) % 17], ring[(own + 2) % 17]]
    assert asked[:3] == [(place(number_of(host) + 1),) for host in steps]
    monkeypatch.undo()
    overlay.settle()


@pytest.mark.req("topo.join-ans-signer")
def test_an_answer_to_the_join_that_another_signed_counts_for_nothing(seed: int) -> None:
    overlay = Overlay(8, seed)
    joiner = overlay.add(8)
    overlay.begin_join(joiner)
    assert overlay.world.run(30, lambda: joiner.node.topology.joining._asked)
    transactions = joiner.node.transactions
    admitting = joiner.node.topology.admitting_peer
    liar = next(h for h in overlay.hosts if h.node.node_id != admitting and linked(h, joiner))
    for id_, pending in list(transactions._pending.items()):
        if pending.code == Code.JOIN_REQ:
            contents = codec.encode_contents(Code.ERROR, ErrorResponse(0x3, b"go away"))
            header = ForwardingHeader(
                overlay=overlay.world.overlay.overlay_hash,
                configuration_sequence=1,
                ttl=100,
                transaction_id=id_,
                destination_list=(node(joiner),),
            )
            forged = codec.assemble(header, contents, liar.node._sign(id_, contents))
            link = joiner.node.switch.link_of(liar.node.node_id)
            assert joiner.node.receive(overlay.world.now, link, wire.data_frame(0, forged))
    overlay.world.drain(joiner)
    overlay.world.run(1)
    assert joiner.node.counters["drop_answer_of_wrong_node"] == 1
    assert joiner.node.counters.get("join_retries", 0) == 0
    assert overlay.world.run(20, lambda: joiner.node.ring.joined)


@pytest.mark.req("topo.replica-no-delete-remote")
def test_nobody_takes_values_away_from_who_is_pushed_out_of_a_replica_set(joined: Joined) -> None:
    stores = [s.message.body for s in joined.trace.of(Code.STORE_REQ)]
    for store in stores:
        assert isinstance(store, StoreReq)
        for kind in store.kind_data:
            for value in kind.values:
                assert value.lifetime > 0
                assert value.value.value.exists  # type: ignore[union-attr]  # a dictionary entry


def test_everything_is_found_afterwards(joined: Joined) -> None:
    for user in joined.overlay.world.hosts[:PEERS]:
        assert joined.overlay.found(joined.joiner, user) == [user.name.encode()]
