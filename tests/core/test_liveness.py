"""Links that fall silent, seen from the other end: when a node looks, what it does, and that idling costs nothing."""

from math import inf

import pytest

from tests.core.neighbours import Neighbours
from tests.core.outside import node
from xor_fast import limits
from xor_fast.actions import Hangup
from xor_fast.cext import wire
from xor_fast.messages import Code, PingReq, RouteQueryReq, UpdateReq


@pytest.fixture
def desk() -> Neighbours:
    desk = Neighbours()
    desk.node.link_down(desk.now, desk.link, "only the five members acknowledge")
    desk.enter()
    desk.wait(60)  # whatever follows a start is over
    desk.node.actions()
    return desk


def unanswered(desk: Neighbours, silent: int) -> float:
    """One member takes a message and does not acknowledge it; when that was."""
    member = desk.members[silent]
    link = next(link for link, other in desk.links.items() if other is member)
    desk.deliver(member, desk.message(Code.PING_REQ, PingReq(), signer=member))
    (sent,) = [(to, data) for to, data in desk.node.sends() if to == link]
    assert sent[1]
    return desk.now


def run(desk: Neighbours, until: float, silent: int) -> None:
    """Time passes; all but one member acknowledge."""
    member = desk.members[silent]
    while (deadline := desk.node.deadline) is not None and deadline <= until:
        desk.now = max(desk.now, deadline)
        desk.node.wake(desk.now)
        for link, data in desk.node.sends():
            for kind, sequence, _ in wire.split_frames(data)[0]:
                if kind == 128 and desk.links[link] is not member:
                    desk.node.receive(desk.now, link, wire.ack_frame(sequence, 0))
    desk.now = until


@pytest.mark.req("link.tls-rto")
def test_a_peer_leaves_the_table_one_rto_after_a_frame_without_ack(desk: Neighbours) -> None:
    member = desk.members[0].node_id
    since = unanswered(desk, 0)
    assert desk.node.deadline is not None
    assert desk.node.deadline <= since + limits.RTO_FLOOR
    run(desk, since + 0.9 * limits.RTO_FLOOR, 0)
    assert member in desk.node.ring
    run(desk, since + limits.RTO_FLOOR, 0)
    assert member not in desk.node.ring
    assert desk.node.counters["links_silent"] == 1
    assert not [action for action in desk.node.actions() if isinstance(action, Hangup)]
    run(desk, since + limits.RTO_FLOOR + limits.LINK_RETENTION + 0.1, 0)
    (hangup,) = [action for action in desk.node.actions() if isinstance(action, Hangup)]
    assert desk.links[hangup.link].node_id == member


def test_a_link_that_speaks_again_is_asked_for_its_update_and_not_closed(desk: Neighbours) -> None:
    member = desk.members[0]
    since = unanswered(desk, 0)
    run(desk, since + 5, 0)
    link = next(link for link, other in desk.links.items() if other is member)
    desk.received.clear()
    desk.node.receive(desk.now, link, wire.ack_frame(2**16, 0))  # of nothing that was sent: it says nothing
    assert desk.node.deadline is None or desk.node.deadline > desk.now
    desk.node.receive(desk.now, link, wire.ack_frame(desk.node.switch.counters["originated"] % 8, 0))
    for sequence in range(64):  # whichever waits
        desk.node.receive(desk.now, link, wire.ack_frame(sequence, 0))
    assert desk.node.deadline is not None
    assert desk.node.deadline <= desk.now
    desk.node.wake(desk.now)
    (asked,) = desk.asked_of(member, Code.ROUTE_QUERY_REQ)
    assert isinstance(asked.body, RouteQueryReq)
    assert asked.body.send_update
    desk.deliver(member, desk.message(Code.UPDATE_REQ, UpdateReq(1, 1), signer=member))
    assert member.node_id in desk.node.ring
    desk.wait(limits.LINK_RETENTION + 5)
    assert not [action for action in desk.node.actions() if isinstance(action, Hangup)]


def test_a_node_that_overslept_reads_before_it_judges(desk: Neighbours) -> None:
    """A process that got no time for 10 s wakes up to a deadline long past, with the ACKs still in its socket."""
    since = unanswered(desk, 0)
    link = next(link for link, other in desk.links.items() if other is desk.members[0])
    desk.now = since + 10.0
    desk.node.wake(desk.now)
    assert desk.members[0].node_id in desk.node.ring
    for sequence in range(64):
        desk.node.receive(desk.now, link, wire.ack_frame(sequence, 0))
    desk.wait(2)
    assert desk.members[0].node_id in desk.node.ring
    assert desk.node.counters.get("links_silent", 0) == 0


def test_an_idle_node_wakes_up_for_nothing_but_its_rare_duties(desk: Neighbours) -> None:
    wakes = 0
    end = desk.now + 290.0
    while (deadline := desk.node.deadline or inf) <= end:
        desk.now = deadline
        desk.node.wake(desk.now)
        desk.drain()
        wakes += 1
    assert wakes <= 2 * 290 / limits.PARTITION_PROBE


def test_an_idle_link_gets_a_ping_once_in_a_long_while(desk: Neighbours) -> None:
    """Members that say nothing but ACKs: what they are sent in that time."""
    for member in desk.members:
        desk.put(member, Code.PING_REQ, PingReq(), node(desk.node.node_id))
    desk.received.clear()
    start = desk.now
    desk.wait(3 * limits.KEEPALIVE_INTERVAL)
    for member in desk.members:
        pings = desk.asked_of(member, Code.PING_REQ)
        asked = {ping.header.transaction_id for ping in pings}
        assert 1 <= len(asked) <= (desk.now - start) / limits.KEEPALIVE_INTERVAL


def test_a_later_run_of_a_peer_is_no_peer_before_it_says_so(desk: Neighbours) -> None:
    """Its host vanished and is back before the kernel missed the old connection; now that goes, and a new one is up."""
    member = desk.members[0]
    old = next(link for link, other in desk.links.items() if other is member)
    desk.connect(member)
    del desk.links[old]
    desk.received.clear()
    desk.node.link_down(desk.now, old, "keepalive timed out")
    assert member.node_id not in desk.node.ring
    (query,) = desk.asked_of(member, Code.ROUTE_QUERY_REQ)
    assert isinstance(query.body, RouteQueryReq)
    assert query.body.send_update
    desk.enter(member)
    assert member.node_id in desk.node.ring
