"""Peers that fail, leave and come back (RFC 6940 10.7.1 to 10.7.3, 10.9), read from what the others send."""

from random import Random

import msgspec
import pytest

from tests.sim.overlays import Overlay
from tests.sim.trace import node, number_of, place, traced
from xor_fast import limits
from xor_fast.cext import codec, ids
from xor_fast.core.node import Stored, Tuning
from xor_fast.core.partition import Partition
from xor_fast.core.transactions import Answer
from xor_fast.messages import (
    ChordLeaveData,
    ChordLeaveType,
    Code,
    LeaveReq,
    StatAns,
    StatReq,
    StoredDataSpecifier,
)
from xor_fast.sim.world import Host


def ring_of(overlay: Overlay) -> list[Host]:
    return sorted(overlay.hosts, key=number_of)


def after(overlay: Overlay, host: Host, step: int) -> Host:
    ring = ring_of(overlay)
    return ring[(ring.index(host) + step) % len(ring)]


def cut(overlay: Overlay, one: Host, other: Host) -> None:
    for connection in list(one.links.values()):
        if other in connection.hosts:
            overlay.world._close(connection, "cut")


# --- neighbours -----------------------------------------------------------------------------------------


@pytest.mark.req("topo.neighbour-lost", "topo.neighbour-lost-update")
def test_all_neighbours_hear_of_a_failure_within_a_second(seed: int) -> None:
    overlay = Overlay(24, seed, tuning=Tuning(neighbours_each_side=3))
    victim = overlay.hosts[9]
    before, behind = after(overlay, victim, -1), after(overlay, victim, 1)
    with traced(overlay.world) as trace:
        since = overlay.world.now
        overlay.world.kill(victim)
        overlay.world.run(1.1)
        for host in (before, behind):
            told = {}
            for sent in trace.of(Code.UPDATE_REQ, host, since=since):
                if sent.message.body.successors:  # type: ignore[union-attr]
                    told[sent.receiver.node.node_id] = sent.message.body
            neighbours = host.node.topology.neighbourhood.sides().both()
            assert set(told) >= set(neighbours)
            for update in told.values():
                assert victim.node.node_id not in update.successors + update.predecessors  # type: ignore[union-attr]


@pytest.mark.req("topo.reconnect-out-of-table", "topo.neighbour-attach")
def test_a_lost_neighbour_is_in_no_table_until_there_is_a_link_again(seed: int) -> None:
    overlay = Overlay(10, seed)
    one = overlay.hosts[2]
    other = after(overlay, one, 1)
    cut(overlay, one, other)
    came_back = 0
    for _ in range(3000):
        overlay.world.run(0.01)
        for own, lost in ((one, other), (other, one)):
            is_linked = own.node.switch.link_of(lost.node.node_id) >= 0
            came_back += is_linked
            if lost.node.node_id in own.node.ring:
                assert is_linked
    assert came_back
    assert other.node.node_id in one.node.ring.successors(1)


@pytest.mark.req("topo.holddown")
def test_new_replicas_are_made_thirty_seconds_after_a_successor_failed_not_before(seed: int) -> None:
    overlay = Overlay(10, seed)
    user = overlay.hosts[3]
    assert isinstance(overlay.store(user, b"v"), Stored)
    overlay.world.run(5)
    owner = overlay.owner(user)
    with traced(overlay.world) as trace:
        since = overlay.world.now
        overlay.world.kill(after(overlay, owner, 1))
        overlay.world.run(60)
    stores = [sent.at - since for sent in trace.of(Code.STORE_REQ, owner)]
    assert stores
    assert limits.HOLD_DOWN <= min(stores) <= limits.HOLD_DOWN + 1


@pytest.mark.parametrize("steps", [(1, 2), (2, 1), (0, 1), (1, 0), (0, 2)])
def test_a_value_with_one_holder_left_does_not_wait_for_the_end_of_the_hold_down(
    steps: tuple[int, int], seed: int
) -> None:
    """Of owner and replicas two fail within it, in whatever order: the third is not to follow before it is copied."""
    overlay = Overlay(10, seed)
    writer = overlay.hosts[3]
    stored = overlay.store(writer, b"here")
    assert isinstance(stored, Stored)
    overlay.world.run(5)
    owner = next(host for host in overlay.hosts if host.node.node_id == stored.owner)
    holders = [after(overlay, owner, step) for step in range(3)]

    def copies() -> int:
        return sum(len(host.node.storage) for host in overlay.world.alive)

    assert copies() == 3
    overlay.world.kill(holders[steps[0]])
    overlay.world.run(10)
    assert copies() == 2
    overlay.world.kill(holders[steps[1]])
    overlay.world.run(5)
    assert copies() == 3


@pytest.mark.req("topo.update-second-case", "topo.source-routed-attach")
def test_a_closer_peer_is_attached_to_through_the_one_that_named_it(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Partition, "_probe", lambda self, now: None)  # else the search for a split may be there first
    overlay = Overlay(24, seed, tuning=Tuning(neighbours_each_side=3))
    one = overlay.hosts[9]
    lost = [after(overlay, one, 1), after(overlay, one, 2)]
    with traced(overlay.world) as trace:
        for other in lost:
            cut(overlay, one, other)
        overlay.world.run(25)
    broken = [{node(one), node(other)} for other in lost]
    attaches = [sent for sent in trace.of(Code.ATTACH_REQ) if {node(sent.sender), sent.to[-1]} in broken]
    assert attaches
    for sent in attaches:
        informer, target = sent.to
        named = [
            update.message.body
            for update in trace.of(Code.UPDATE_REQ, receiver=sent.sender)
            if update.sender.node.node_id == informer.value and update.at <= sent.at
        ]
        assert any(target.value in body.predecessors + body.successors for body in named)  # type: ignore[union-attr]
    overlay.settle()


# --- all of them ----------------------------------------------------------------------------------------


@pytest.mark.req("topo.all-successors-lost")
@pytest.mark.parametrize("knows_bootstrap", [True, False])
def test_who_loses_everybody_finds_a_peer_by_ping_and_sends_it_a_join(knows_bootstrap: bool, seed: int) -> None:
    """Without a bootstrap node: over the addresses of those it was linked with."""
    overlay = Overlay(12, seed)
    outcast = overlay.hosts[5]
    for host in overlay.hosts:
        assert isinstance(overlay.store(host, host.name.encode()), Stored)
    if not knows_bootstrap:
        for host in overlay.hosts:
            host.node.topology.partition.bootstrap = ()
    with traced(overlay.world) as trace:
        since = overlay.world.now
        for other in overlay.hosts:
            cut(overlay, outcast, other)
        overlay.world.run(20)
        pings = [s for s in trace.of(Code.PING_REQ, outcast, since=since) if s.to == (place(number_of(outcast) + 1),)]
        joins = trace.of(Code.JOIN_REQ, outcast, since=since)
        assert pings
        assert joins
        assert pings[0].at < joins[0].at
        assert joins[0].to == (node(after(overlay, outcast, 1)),)
    overlay.settle()
    for user in overlay.hosts:
        assert overlay.found(outcast, user) == [user.name.encode()]


@pytest.mark.req("topo.all-fingers-lost")
def test_who_is_cut_off_for_minutes_tries_again_and_again_and_comes_back(seed: int) -> None:
    overlay = Overlay(12, seed, tuning=Tuning(hold_down=1.0))
    outcast = overlay.hosts[5]
    others = [host for host in overlay.hosts if host is not outcast]
    addresses = dict(overlay.world._by_address)
    for other in others:
        cut(overlay, outcast, other)
    for address, (host, _) in addresses.items():  # nobody can be reached from anywhere
        if host is not outcast:
            del overlay.world._by_address[address]
    overlay.world._by_address.pop(outcast.address)
    failed = outcast.node.counters.get("failed_dials", 0)
    overlay.world.run(120)
    assert len(outcast.node.ring) == 0
    assert outcast.node.counters["failed_dials"] >= failed + 3
    overlay.world._by_address.update(addresses)
    assert overlay.world.run(2 * limits.PARTITION_PROBE, lambda: len(outcast.node.ring) > 0)
    overlay.settle()


@pytest.mark.parametrize("reactive", [True, False])
def test_half_of_all_die_at_once_and_the_rest_is_one_ring(reactive: bool, seed: int) -> None:
    """Without reactive recovery within two periods of the Updates."""
    overlay = Overlay(32, seed, tuning=Tuning(neighbours_each_side=8))
    settings = msgspec.structs.replace(overlay.world.overlay, reactive=reactive)
    for host in overlay.hosts:
        host.node.overlay = settings
    random = Random(seed)
    for victim in random.sample(overlay.hosts, 16):
        overlay.world.kill(victim)
    overlay.world.run(20 if reactive else 2 * settings.update_interval)
    overlay.settle(1)


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_many_go_mute_at_once_and_the_rest_is_one_ring(share: float, seed: int) -> None:
    """They take bytes and answer nothing. Who notices one tells all it is linked with, and so notices the others."""
    overlay = Overlay(30, seed)
    mute = Random(seed).sample(overlay.hosts, round(share * 30))
    for host in mute:
        host.is_mute = True
    overlay.world.run(2 * overlay.world.overlay.update_interval)
    for host in mute:
        host.alive = False  # no longer counted
    overlay.settle(1)
    for host in overlay.hosts:
        assert not {silent.node.node_id for silent in mute} & set(host.node.ring)


def test_a_host_without_power_is_missed_by_the_kernels_of_the_others(seed: int) -> None:
    overlay = Overlay(12, seed)
    victim = overlay.hosts[4]
    overlay.world.vanish(victim)
    overlay.world.run(45)
    assert all(victim.node.node_id not in host.node.ring for host in overlay.hosts)
    overlay.settle(10)


# --- fingers --------------------------------------------------------------------------------------------


@pytest.mark.req("topo.finger-refresh")
def test_every_range_with_somebody_in_it_has_a_finger(seed: int) -> None:
    """Periodic recovery alone replaces those that died."""
    overlay = Overlay(32, seed, tuning=Tuning(neighbours_each_side=3))
    for host in overlay.hosts:
        host.node.overlay = msgspec.structs.replace(overlay.world.overlay, ping_interval=5.0, reactive=False)
        host.node.topology.fingers._schedule(overlay.world.now)
        overlay.world.drain(host)
    for victim in Random(seed).sample(overlay.hosts, 8):
        overlay.world.kill(victim)
        overlay.world.run(700)  # the others learn their new neighbours from the periodic Updates
    missing = total = 0
    for host in overlay.hosts:
        own, table = number_of(host), host.node.topology.fingers.table()
        for i in range(1, 17):
            inside = [h for h in overlay.hosts if 2 ** (128 - i) <= (number_of(h) - own) % 2**128 < 2 ** (129 - i)]
            total += bool(inside)
            missing += bool(inside) and i not in table
            if i in table:
                assert table[i] in [other.node.node_id for other in inside]
    assert total > 100
    assert missing <= total / 50


@pytest.mark.req("topo.finger-lost")
def test_a_finger_that_failed_is_listed_no_more(seed: int) -> None:
    overlay = Overlay(32, seed, tuning=Tuning(neighbours_each_side=3))
    host = overlay.hosts[0]
    far = [
        i for i in host.node.topology.fingers.table().values() if not host.node.topology.neighbourhood.sides().has(i)
    ]
    finger = next(other for other in overlay.hosts if other.node.node_id == far[0])
    overlay.world.kill(finger)
    overlay.world.run(1)
    asker = after(overlay, host, 1)
    with traced(overlay.world) as trace:
        asker.node.topology.ask_for_update(overlay.world.now, host.node.node_id)
        overlay.world.drain(asker)
        overlay.world.run(1)
        (update, *_) = trace.of(Code.UPDATE_REQ, host, asker)
    assert finger.node.node_id not in update.message.body.fingers  # type: ignore[union-attr]
    assert update.message.body.fingers  # type: ignore[union-attr]


# --- leaving --------------------------------------------------------------------------------------------


@pytest.mark.req("topo.chord-leave-data", "topo.chord-leave", "topo.leave-send")
def test_a_leaver_tells_both_sides_what_they_need(seed: int) -> None:
    overlay = Overlay(24, seed, tuning=Tuning(neighbours_each_side=3))
    leaver = overlay.hosts[7]
    ring = ring_of(overlay)
    own = ring.index(leaver)
    behind = tuple(ring[(own + step) % 24].node.node_id for step in (1, 2, 3))
    before = tuple(ring[own - step].node.node_id for step in (1, 2, 3))
    linked = {
        host.node.node_id for connection in leaver.links.values() for host in connection.hosts if host is not leaver
    }
    with traced(overlay.world) as trace:
        leaver.node.leave(overlay.world.now)
        overlay.world.drain(leaver)
        assert overlay.world.run(10, lambda: leaver.has_left)
    told = {}
    for sent in trace.of(Code.LEAVE_REQ, leaver):
        assert isinstance(sent.message.body, LeaveReq)
        told[sent.receiver.node.node_id] = sent.message.body.overlay_specific_data
    assert set(told) == linked > {*before, *behind}
    for node_id in before:
        assert codec.decode_struct(ChordLeaveData, told[node_id], 16) == ChordLeaveData(
            ChordLeaveType.FROM_SUCC, behind
        )
    for node_id in behind:
        assert codec.decode_struct(ChordLeaveData, told[node_id], 16) == ChordLeaveData(
            ChordLeaveType.FROM_PRED, before
        )
    overlay.settle()


# --- copies ---------------------------------------------------------------------------------------------


def stat(overlay: Overlay, asker: Host, holder: Host, resource: bytes) -> StatAns:
    question = StatReq(resource, (StoredDataSpecifier(overlay.kind, 0, ()),))
    outcome = overlay.ask(
        asker, lambda now, done: asker.node.request(now, (node(holder),), Code.STAT_REQ, question, done)
    )
    assert isinstance(outcome, Answer)
    assert isinstance(outcome.body, StatAns)
    return outcome.body


@pytest.mark.req("topo.replica-store", "topo.replica-new-member", "topo.replica-drop")
def test_copies_follow_the_replica_set(seed: int) -> None:
    """Asked for by Stat at each peer: the two successors have one, a new second successor gets one, and who has three
    predecessors between itself and the place lets go."""
    overlay = Overlay(8, seed, tuning=Tuning(hold_down=1.0))
    user = overlay.hosts[3]
    resource = ids.resource_id(user.node.identity.user_name)
    assert isinstance(overlay.store(user, b"v"), Stored)
    overlay.world.run(5)
    owner = overlay.owner(user)
    assert holding(overlay, resource) == {after(overlay, owner, step).name for step in range(3)}
    overlay.world.kill(after(overlay, owner, 1))
    overlay.world.run(15)
    assert holding(overlay, resource) == {after(overlay, owner, step).name for step in range(3)}
    for index in range(20, 36):
        overlay.join(overlay.add(index))
    overlay.settle()
    overlay.world.run(60)
    owner = overlay.owner(user)
    assert holding(overlay, resource) == {after(overlay, owner, step).name for step in range(3)}


def holding(overlay: Overlay, resource: bytes) -> set[str]:
    asker = overlay.hosts[0]
    return {
        host.name
        for host in overlay.hosts
        if any(response.values for response in stat(overlay, asker, host, resource).kind_responses)
    }
