"""Where a request of ours goes first, how often, and under which number (RFC 6940 6.2.1, 6.3.2)."""

from itertools import pairwise

import pytest

from tests.core.neighbours import DICTIONARY, Neighbours
from tests.core.outside import OURS, THEIRS, Outside, node, resource
from xor_fast import limits
from xor_fast.core.node import Fetched, NewValue, Stored
from xor_fast.errors import ErrorCode, RequestFailed, StateError
from xor_fast.messages import Code, Message, PingReq

TIMER = 3.0


def ping_ids(seed: int, count: int) -> list[int]:
    """Transaction ids of the first requests of a node."""
    outside = Outside()
    outside.node.rng.seed(seed)
    for _ in range(count):
        outside.node.ping(outside.now, (node(THEIRS),), lambda now, outcome: None)
    return [message.header.transaction_id for message in outside.take() if message.code == Code.PING_REQ]


@pytest.mark.req("tx.id-random")
def test_transaction_ids_are_drawn_at_random_from_64_bits() -> None:
    drawn = [number for seed in range(4) for number in ping_ids(seed, 50)]
    assert len(set(drawn)) == len(drawn) == 200
    for bit in range(64):
        assert 60 <= sum(number >> bit & 1 for number in drawn) <= 140
    # Nor does one follow from the one before: the differences are spread as well.
    assert len({b - a for a, b in pairwise(drawn)}) == 199


@pytest.mark.req("tx.destination-list")
def test_a_request_bears_the_destination_list_that_was_asked_for() -> None:
    outside = Outside()
    lists = [(node(THEIRS),), (node(THEIRS), node(b"\x91" * 16)), (node(THEIRS), resource(b"\x92" * 16))]
    for destination_list in lists:
        outside.node.ping(outside.now, destination_list, lambda now, outcome: None)
        (request,) = outside.take()
        assert request.header.destination_list == destination_list


@pytest.mark.req("tx.destination-list")
def test_a_request_to_nobody_is_the_owner_s_mistake() -> None:
    outside = Outside()
    with pytest.raises(StateError, match="destination list"):
        outside.node.ping(outside.now, (), lambda now, outcome: None)
    assert outside.take() == []


class Peers(Neighbours):
    """All neighbours are peers of ours; whoever gets a request keeps silent."""

    def __init__(self) -> None:
        super().__init__()
        self.enter()
        self.wait(1.0)
        self.received.clear()

    def hops(self, code: int, seconds: float) -> list[tuple[float, int]]:
        """When, from now on, requests of that code leave, and the first byte of the Node-ID they go to."""
        began, found = self.now, []
        end = self.now + seconds
        while self.now < end:
            self.drain()
            for link, message in self.received:
                if message.code == code:
                    found.append((self.now - began, self.links[link].node_id[0]))
            self.received.clear()
            self.wait(0.125)
        return found


@pytest.mark.req("tx.first-hop")
def test_a_connected_node_is_asked_directly_each_time() -> None:
    """0x40 is one of the peers; the way by the ring to it would be the same, that to [0x40, far] would not."""
    peers = Peers()
    peers.node.ping(peers.now, (node(b"\x40" * 16), node(b"\xd0" * 16)), lambda now, outcome: None)
    assert [first for _, first in peers.hops(Code.PING_REQ, 14)] == [0x40] * 5


@pytest.mark.req("tx.first-hop")
def test_others_over_the_hop_the_ring_names_and_then_over_the_next_best() -> None:
    """For 0x90.. seen from 0x80..: 0x81 lies between; then whoever follows 0x90, nearest first: 0xe0, 0x20, 0x40."""
    peers = Peers()
    peers.node.ping(peers.now, (resource(b"\x90" * 16),), lambda now, outcome: None)
    hops = peers.hops(Code.PING_REQ, 14)
    assert [first for _, first in hops] == [0x81, 0xE0, 0x20, 0x40, 0x7E]
    assert [round(at) for at, _ in hops] == [0, 3, 6, 9, 12]


@pytest.mark.req("tx.no-transit-retransmit")
def test_a_request_that_is_passed_on_leaves_once_whether_answered_or_not() -> None:
    peers = Peers()
    source = peers.members[0]
    request = peers.message(Code.PING_REQ, PingReq(b"passing"), resource(b"\x90" * 16), signer=source)
    peers.deliver(source, request)
    seen: list[Message] = []
    for _ in range(60):
        peers.drain()
        seen += [message for _, message in peers.received if message.body == PingReq(b"passing")]
        peers.received.clear()
        peers.wait(1.0)
    assert len(seen) == 1


@pytest.mark.req("tx.no-storm")
def test_a_request_without_an_answer_is_not_begun_anew_at_once() -> None:
    """A Store that nobody answers: five transmissions of one transaction, a timer apart, then the owner is told."""
    peers = Peers()
    outcomes: list[Stored | RequestFailed] = []
    assert not peers.node.ring.is_responsible(b"\x90" * 16)
    value = NewValue(OURS, b"value", 1000)
    peers.node.store(peers.now, b"\x90" * 16, DICTIONARY, [value], lambda now, outcome: outcomes.append(outcome))
    hops = peers.hops(Code.STORE_REQ, 60)
    assert [round(at) for at, _ in hops] == [0, 3, 6, 9, 12]
    (failed,) = outcomes
    assert isinstance(failed, RequestFailed)
    assert failed.code == ErrorCode.REQUEST_TIMEOUT


@pytest.mark.req("tx.no-storm")
def test_a_lookup_without_an_answer_takes_its_time_and_comes_to_an_end() -> None:
    peers = Peers()
    outcomes: list[Fetched | RequestFailed] = []
    peers.node.fetch(peers.now, b"\x90" * 16, DICTIONARY, lambda now, outcome: outcomes.append(outcome))
    at = peers.hops(Code.FETCH_REQ, limits.LOOKUP_TIME + 1)
    assert isinstance(outcomes[0], RequestFailed)
    assert at[0][0] == 0
    assert at[1][0] >= limits.LOOKUP_PATIENCE[0]
    for began, _ in at:
        assert sum(began <= other < began + limits.LOOKUP_PATIENCE[0] for other, _ in at) <= limits.LOOKUP_WIDTH
    assert peers.hops(Code.FETCH_REQ, 30) == []
