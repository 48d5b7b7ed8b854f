"""What a peer does about a stranger that answers for its place (RFC 6940 10.7.4.4), seen from its links."""

from typing import Any

import pytest

from tests.core.neighbours import Neighbours, candidate
from tests.core.outside import OURS, node, resource
from xor_fast import limits
from xor_fast.actions import Dial
from xor_fast.cext import ids
from xor_fast.messages import AttachReqAns, Code, PingAns, UpdateReq
from xor_fast.sim.fakes import FakeIdentity

BOOTSTRAP = ("192.0.2.9", 6084)


@pytest.mark.req("topo.partition-probe", "topo.partition-ping", "topo.partition-heal")
def test_a_stranger_that_follows_us_is_attached_to_through_the_bootstrap_node_and_told_of_us() -> None:
    desk = Neighbours()
    desk.enter()
    desk.node.topology.partition.bootstrap = (BOOTSTRAP,)
    desk.node.actions()
    for tries in range(3):  # it is asked again and again
        desk.wait(1.3 * limits.PARTITION_PROBE)
        dial = [action for action in desk.node.actions() if isinstance(action, Dial)][-1]
        assert dial.addresses == (BOOTSTRAP,)
        if tries < 2:
            desk.node.dial_failed(desk.now, dial.ticket, "connection refused")
    bootstrap, stranger = (FakeIdentity(OURS[:1] + bytes([n]) * 15, b"other@half.example") for n in (2, 1))
    link = desk.node.link_up(desk.now, [bootstrap.certificate.der], dial.ticket)
    desk.links[link] = bootstrap
    (ping,) = desk.asked_of(bootstrap, Code.PING_REQ)
    assert ping.header.destination_list == (resource(ids.successor_id(OURS)),)
    fields: dict[str, Any] = {"transaction_id": ping.header.transaction_id, "signer": stranger}
    desk.deliver(bootstrap, desk.message(Code.PING_ANS, PingAns(1, 1), **fields))
    (attach,) = desk.asked_of(bootstrap, Code.ATTACH_REQ)
    assert attach.header.destination_list == (node(bootstrap.node_id), node(stranger.node_id))
    fields["transaction_id"] = attach.header.transaction_id
    answer = AttachReqAns(b"", b"", b"active", (candidate(),), False)
    desk.deliver(bootstrap, desk.message(Code.ATTACH_ANS, answer, **fields))
    desk.connect(stranger)
    assert desk.asked_of(stranger, Code.UPDATE_REQ)


@pytest.mark.parametrize("link_first", [False, True])
def test_where_a_peer_is_reached_is_kept_whichever_comes_first_its_answer_or_its_connection(link_first: bool) -> None:
    desk = Neighbours()
    desk.enter()
    informer = desk.members[2]
    known = FakeIdentity(OURS[:1] + bytes([1]) * 15, b"other@half.example")
    desk.put(informer, Code.UPDATE_REQ, UpdateReq(1, 2, (), (known.node_id,)))
    (attach,) = desk.asked_of(informer, Code.ATTACH_REQ)
    answer = AttachReqAns(b"", b"", b"active", (candidate(),), False)
    if link_first:
        desk.connect(known)
    message = desk.message(Code.ATTACH_ANS, answer, transaction_id=attach.header.transaction_id, signer=known)
    desk.deliver(informer, message)
    if not link_first:
        desk.connect(known)
    for peer in list(desk.members):
        desk.leave(peer)
    desk.wait(2 * limits.FINGER_SEARCH_DELAY)
    dials = [action.addresses for action in desk.node.actions() if isinstance(action, Dial)]
    assert (("192.0.2.1", 999),) in dials


def test_a_first_peer_that_others_have_come_to_does_not_look_for_all_it_knew_for_ever() -> None:
    """The ring of its earlier life may be gone; now and then one of them is tried, as after any loss."""
    desk = Neighbours(started=False)
    peers = desk.node.topology.partition.peers
    peers.update({bytes([n]) * 16: (("192.0.2.1", 1000 + n),) for n in range(30)})
    desk.node.start_overlay(desk.now)

    def dials(seconds: float) -> int:
        """Each is in vain."""
        count = 0
        for _ in range(int(seconds)):
            for action in desk.node.actions():
                if isinstance(action, Dial):
                    count += 1
                    desk.node.dial_failed(desk.now, action.ticket, "nobody is there")
            desk.wait(1)
        return count

    assert dials(5) > 0
    desk.enter()
    dials(2 * limits.PARTITION_PROBE)
    assert dials(10 * limits.PARTITION_PROBE) < 20
