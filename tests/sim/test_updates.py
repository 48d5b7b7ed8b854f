"""Updates, RouteQuery and neighbour sets (RFC 6940 10.7, 10.8), read from what peers send each other."""

from itertools import pairwise

import msgspec
import pytest

from tests.sim.overlays import Overlay
from tests.sim.trace import Sent, Trace, node, number_of, place, traced
from xor_fast.core.node import Tuning
from xor_fast.core.transactions import Answer
from xor_fast.errors import RequestFailed
from xor_fast.messages import (
    Body,
    ChordUpdateType,
    Code,
    ProbeAns,
    ProbeInformationType,
    ProbeReq,
    RouteQueryAns,
    RouteQueryReq,
    UpdateReq,
)
from xor_fast.sim.run import fake_identity, overlay_for
from xor_fast.sim.settled import settle_at_once
from xor_fast.sim.world import Host, World


def body(sent: Sent) -> UpdateReq:
    assert isinstance(sent.message.body, UpdateReq)
    return sent.message.body


def asked(overlay: Overlay, asker: Host, of: Host, code: int, question: Body) -> Body | bytes:
    outcome: Answer | RequestFailed = overlay.ask(
        asker, lambda now, done: asker.node.request(now, (node(of),), code, question, done)
    )
    assert isinstance(outcome, Answer)
    return outcome.body


def full_update(overlay: Overlay, of: Host, to: Host, trace: Trace) -> UpdateReq:
    """What the one tells the other, asked by RouteQuery."""
    since = overlay.world.now
    asked(overlay, to, of, Code.ROUTE_QUERY_REQ, RouteQueryReq(True, node(to)))
    overlay.world.run(1)
    (update,) = [s for s in trace.of(Code.UPDATE_REQ, of, to, since) if body(s).type == ChordUpdateType.FULL]
    return body(update)


def linked_pair(overlay: Overlay) -> tuple[Host, Host]:
    one = overlay.hosts[0]
    return one, next(host for host in overlay.hosts if one.node.switch.link_of(host.node.node_id) >= 0)


def by_id(overlay: Overlay, node_id: bytes) -> Host:
    return next(host for host in overlay.world.hosts if host.node.node_id == node_id and host.alive)


# --- what they say ----------------------------------------------------------------------------------


@pytest.mark.req("topo.update-types", "topo.update-propagate")
def test_each_kind_of_update_goes_to_those_it_is_for(seed: int) -> None:
    """A peer is killed: each of its neighbours tells every node it is linked with, neighbours what they need."""
    overlay = Overlay(32, seed, tuning=Tuning(neighbours_each_side=3))
    ring = sorted(overlay.hosts, key=number_of)
    victim = ring[7]
    with traced(overlay.world) as trace:
        since = overlay.world.now
        overlay.world.kill(victim)
        overlay.world.run(5)
    for neighbour in (ring[6], ring[8]):
        links = {c.hosts[0] if c.hosts[1] is neighbour else c.hosts[1] for c in neighbour.links.values()}
        told = trace.of(Code.UPDATE_REQ, neighbour, since=since)
        assert {sent.receiver for sent in told} >= links
        tables = {s.at: body(s) for s in told if body(s).type == ChordUpdateType.NEIGHBORS}
        assert tables
        for sent in told:
            if body(sent).type == ChordUpdateType.FULL:
                assert asked_for_it(trace, neighbour, sent)
            elif sent.at in tables:  # all that left at this moment
                table = tables[sent.at]
                is_near = way(neighbour, sent.receiver.node.node_id) <= way(neighbour, table.successors[-1]) or way(
                    neighbour, sent.receiver.node.node_id
                ) >= way(neighbour, table.predecessors[-1])
                assert body(sent).type == (ChordUpdateType.NEIGHBORS if is_near else ChordUpdateType.PEER_READY)
    assert victim.node.node_id not in {i for h in overlay.hosts for i in h.node.ring}


def way(host: Host, node_id: bytes) -> int:
    """From a host to a Node-ID, clockwise."""
    return (int.from_bytes(node_id, "big") - number_of(host)) % 2**128


def asked_for_it(trace: Trace, sender: Host, update: Sent) -> bool:
    """By RouteQuery, or by an Attach that this link was made for."""
    queries = [s for s in trace.sent if s.message.code in (Code.ROUTE_QUERY_REQ, Code.ATTACH_REQ)]
    return any(s.receiver is sender and s.at <= update.at and s.message.body.send_update for s in queries)  # type: ignore[union-attr]


@pytest.mark.req("topo.update-fingers-sorted", "topo.route-query-update")
def test_a_full_update_follows_a_route_query_that_asks_for_it(seed: int) -> None:
    overlay = Overlay(24, seed, tuning=Tuning(neighbours_each_side=3))
    one, other = linked_pair(overlay)
    with traced(overlay.world) as trace:
        update = full_update(overlay, other, one, trace)
        answer = next(s for s in trace.of(Code.ROUTE_QUERY_ANS, other, one))
        sent = next(s for s in trace.of(Code.UPDATE_REQ, other, one))
        assert sent.at == answer.at
    others = [number_of(host) for host in overlay.hosts]
    fingers = [int.from_bytes(node_id, "big") for node_id in update.fingers]
    assert len(fingers) >= 3
    assert fingers == sorted(set(fingers))
    assert set(fingers) <= set(others)


@pytest.mark.req("topo.route-query-flag")
def test_no_update_follows_a_route_query_that_does_not_ask_for_it(seed: int) -> None:
    overlay = Overlay(8, seed)
    one, other = linked_pair(overlay)
    with traced(overlay.world) as trace:
        since = overlay.world.now
        asked(overlay, one, other, Code.ROUTE_QUERY_REQ, RouteQueryReq(False, node(one)))
        overlay.world.run(5)
        assert trace.of(Code.UPDATE_REQ, since=since) == []
        overlay.world.kill(overlay.hosts[-1])
        overlay.world.run(30)
        for sent in trace.sent:  # what peers ask of their own accord
            if sent.message.code == Code.ROUTE_QUERY_REQ and sent.at > since + 5:
                assert isinstance(sent.message.body, RouteQueryReq)
                assert sent.message.body.send_update


@pytest.mark.req("topo.route-query")
def test_a_walk_by_route_query_ends_at_the_owner(seed: int) -> None:
    overlay = Overlay(24, seed, tuning=Tuning(neighbours_each_side=3))
    ring = sorted(overlay.hosts, key=number_of)
    random = overlay.world.random("test")
    for _ in range(10):
        target = random.randrange(2**128)
        owner = next((host for host in ring if number_of(host) >= target), ring[0])
        at, steps = random.choice(ring), 0
        while True:
            answer = asked(overlay, ring[0], at, Code.ROUTE_QUERY_REQ, RouteQueryReq(False, place(target)))
            assert isinstance(answer, RouteQueryAns)
            if answer.next_peer == at.node.node_id:
                break
            at, steps = by_id(overlay, answer.next_peer), steps + 1
            assert steps < 24
        assert at is owner


@pytest.mark.req("topo.update-uptime")
def test_uptime_counts_from_the_join_in_updates_of_each_type_and_in_a_probe(seed: int) -> None:
    overlay = Overlay(24, seed, tuning=Tuning(neighbours_each_side=3))
    peer = overlay.add(24)
    overlay.join(peer)
    since = overlay.world.now
    ring = sorted(overlay.hosts, key=number_of)
    before, behind = (ring[(ring.index(peer) + step) % 25] for step in (-1, 1))
    overlay.world.run(100)
    with traced(overlay.world) as trace:
        probe = asked(overlay, behind, peer, Code.PROBE_REQ, ProbeReq((ProbeInformationType.UPTIME,)))
        assert isinstance(probe, ProbeAns)
        assert abs(probe.probe_info[0].value - (overlay.world.now - since)) <= 2
        full_update(overlay, peer, behind, trace)
        overlay.world.kill(before)
        overlay.world.run(2)
    updates = trace.of(Code.UPDATE_REQ, peer)
    assert {body(sent).type for sent in updates} == {1, 2, 3}
    for sent in updates:
        assert abs(body(sent).uptime - (sent.at - since)) <= 2


@pytest.mark.req("topo.not-self")
def test_two_peers_never_list_themselves(seed: int) -> None:
    overlay = Overlay(1, seed)
    with traced(overlay.world) as trace:
        overlay.join(overlay.add(1))
        overlay.world.run(30)
        one, other = overlay.hosts
        full_update(overlay, one, other, trace)
        assert len(trace.of(Code.UPDATE_REQ)) >= 3
        for sent in trace.of(Code.UPDATE_REQ):
            update = body(sent)
            assert sent.sender.node.node_id not in update.predecessors + update.successors + update.fingers


# --- who is a neighbour -------------------------------------------------------------------------------


@pytest.mark.req("topo.three-neighbours")
@pytest.mark.parametrize(("peers", "kept"), [(8, 3), (3, 2), (2, 1)])
def test_three_on_each_side_where_there_are_so_many(peers: int, kept: int, seed: int) -> None:
    overlay = Overlay(peers, seed)
    one, other = linked_pair(overlay)
    with traced(overlay.world) as trace:
        update = full_update(overlay, other, one, trace)
    ring = sorted(overlay.hosts, key=number_of)
    own = ring.index(other)
    for step in range(kept):
        assert update.successors[step] == ring[(own + 1 + step) % peers].node.node_id
        assert update.predecessors[step] == ring[own - 1 - step].node.node_id
    for side in (update.successors, update.predecessors):
        assert len(set(side)) == len(side) < peers
        for node_id in side:
            assert any(by_id(overlay, node_id) in c.hosts for c in other.links.values())


def settled(peers: int, each_side: int, seed: int, tuning: Tuning | None = None) -> World:
    world = World(overlay_for(peers), seed, tuning=tuning)
    identities = world.random("identities")
    for index in range(peers):
        world.add(*fake_identity(world.overlay, identities, index))
    settle_at_once(world, world.hosts, each_side)
    return world


@pytest.mark.req("topo.log-neighbours")
def test_about_log2_of_the_size_in_a_large_ring(seed: int) -> None:
    world = settled(1024, 13, seed)
    with traced(world) as trace:
        askers = world.random("test").sample(world.hosts, 40)
        for asker in askers:
            link = min(asker.links)
            of = asker.node.switch.node_of(link)
            assert of is not None
            question = RouteQueryReq(True, place(0))
            peer = next(host for host in world.hosts if host.node.node_id == of)
            asker.node.request(world.now, (node(peer),), Code.ROUTE_QUERY_REQ, question, lambda now, outcome: None)
            world.drain(asker)
        world.run(1)
        updates = [body(s) for s in trace.of(Code.UPDATE_REQ) if body(s).type == ChordUpdateType.FULL]
    assert len(updates) >= 30
    sizes = [len(side) for update in updates for side in (update.successors, update.predecessors)]
    assert all(8 <= size <= 13 for size in sizes)
    assert 9.3 <= sum(sizes) / len(sizes) <= 10.7


def test_a_ring_that_knows_too_few_neighbours_finds_the_others(seed: int) -> None:
    """Linked with three on each side, each finds out that it should have about six, and gets them."""
    overlay = Overlay(24, seed, tuning=Tuning(neighbours_each_side=3))
    sizes = []
    for host in overlay.hosts:
        host.node.topology.neighbourhood._is_fixed = False
    newcomer = overlay.add(24)
    newcomer.node.topology.neighbourhood._is_fixed = False
    overlay.join(newcomer)
    overlay.world.kill(overlay.hosts[3])
    overlay.settle()
    for host in overlay.hosts:
        sizes.append(host.node.topology.neighbourhood.each_side)
    assert max(sizes) >= 4


@pytest.mark.parametrize("each_side", [3, 20])
def test_the_owner_may_choose_how_many(each_side: int, seed: int) -> None:
    overlay = Overlay(12, seed, tuning=Tuning(neighbours_each_side=each_side))
    for host in overlay.hosts:
        sides = host.node.topology.neighbourhood.sides()
        assert len(sides.successors) == len(sides.predecessors) == min(each_side, 11)


# --- when ---------------------------------------------------------------------------------------------


@pytest.mark.req("topo.update-no-change")
def test_in_a_quiet_ring_nothing_but_the_periodic_goes_around(seed: int) -> None:
    overlay = Overlay(12, seed)
    overlay.world.run(60)
    with traced(overlay.world) as trace:
        overlay.world.run(1500)
    quiet = {Code.UPDATE_REQ, Code.UPDATE_ANS, Code.PING_REQ, Code.PING_ANS}
    assert {sent.message.code for sent in trace.sent} <= quiet
    for one in overlay.hosts:
        for other in overlay.hosts:
            updates = trace.of(Code.UPDATE_REQ, one, other)
            assert len(updates) <= 1500 / (0.7 * 600) + 1


@pytest.mark.req("topo.periodic-update", "topo.periodic-jitter")
def test_the_periodic_ones_come_at_their_interval_and_not_together(seed: int) -> None:
    overlay = Overlay(5, seed)
    overlay.world.overlay = msgspec.structs.replace(overlay.world.overlay, update_interval=5.0)
    for host in overlay.hosts:
        host.node.overlay = overlay.world.overlay
    overlay.world.run(700)  # the first still come at the old interval
    with traced(overlay.world) as trace:
        overlay.world.run(60)
    updates = trace.of(Code.UPDATE_REQ)
    times = sorted(sent.at for sent in updates)
    assert len(set(times)) >= 0.95 * len(times)
    for one in overlay.hosts:
        for other in overlay.hosts:
            if one is not other:
                at = [s.at for s in updates if s.sender is one and s.receiver is other]
                assert 9 <= len(at) <= 16
                assert all(0.7 * 5 - 0.1 <= later - earlier <= 1.3 * 5 + 0.1 for earlier, later in pairwise(at))


@pytest.mark.req("topo.range-change-all", "topo.range-change-update", "topo.notify-range-change")
@pytest.mark.parametrize("how", ["killed", "joined"])
@pytest.mark.parametrize("reactive", [True, False])
def test_a_client_hears_that_the_range_of_its_peer_has_changed(how: str, reactive: bool, seed: int) -> None:
    """Also without reactive recovery (10.7.3)."""
    overlay = Overlay(8, seed)
    ring = sorted(overlay.hosts, key=number_of)
    peer, before = ring[4], ring[3]
    client = overlay.add(50)
    assert overlay.ask(client, lambda now, done: client.node.connect(now, [peer.address], done)) is None
    for host in overlay.hosts:
        host.node.overlay = msgspec.structs.replace(overlay.world.overlay, reactive=reactive)
    with traced(overlay.world) as trace:
        since = overlay.world.now
        if how == "killed":
            overlay.world.kill(before)
        else:
            newcomer = overlay.add(0)
            while not number_of(before) < number_of(newcomer) < number_of(peer):
                overlay.world.hosts.remove(newcomer)
                newcomer = overlay.add(0)
            overlay.join(newcomer, through=ring[0])
        overlay.world.run(5)
        links = {c.hosts[0] if c.hosts[1] is peer else c.hosts[1] for c in peer.links.values()}
        assert client in links
        assert {sent.receiver for sent in trace.of(Code.UPDATE_REQ, peer, since=since)} >= links
