"""Requests of a node and the answers it believes, seen from a link (RFC 6940 6.2.1, 6.3.4)."""

import pytest

from tests.core.outside import OURS, THEIRS, Outside, node, resource
from xor_fast.cext import codec, ids
from xor_fast.core.node import Pong
from xor_fast.errors import RequestFailed
from xor_fast.messages import (
    Code,
    DataValue,
    Destination,
    DictionaryEntry,
    ErrorResponse,
    JoinAns,
    Message,
    PingAns,
    StoreAns,
    StoredData,
    StoreKindData,
    StoreReq,
)
from xor_fast.sim.fakes import FakeIdentity

TIMER = 3.0


class Asking(Outside):
    """The node pings us, or a resource through us; `outcomes` is what it makes of it."""

    def __init__(self, destination: Destination | None = None) -> None:
        super().__init__()
        self.outcomes: list[Pong | RequestFailed] = []
        self.node.ping(self.now, (destination or node(THEIRS),), lambda now, outcome: self.outcomes.append(outcome))
        (self.request,) = self.take()

    def answer(self, code: int = Code.PING_ANS, body: object = PingAns(1, 2), **fields: object) -> None:
        fields = {"transaction_id": self.request.header.transaction_id} | fields
        self.send(self.message(code, body, **fields))  # type: ignore[arg-type]


@pytest.mark.req("tx.timer", "tx.retransmit", "tx.max-transmissions", "tx.fail")
def test_five_transmissions_one_timer_apart_and_then_it_has_failed() -> None:
    asking = Asking()
    began = asking.now
    sent: list[tuple[float, Message]] = []
    failed_at = None
    for _ in range(200):
        sent += [(asking.now - began, message) for message in asking.wait(0.125) if message.code == Code.PING_REQ]
        if asking.outcomes and failed_at is None:
            failed_at = asking.now - began
    ours = [(at, m) for at, m in sent if m.header.transaction_id == asking.request.header.transaction_id]
    assert [round(at) for at, _ in ours] == [3, 6, 9, 12]  # after the first one at 0
    assert all(message == asking.request for _, message in ours)
    (failed,) = asking.outcomes
    assert isinstance(failed, RequestFailed)
    assert failed.code == 0x4
    assert failed_at is not None
    assert 15 <= failed_at <= 15.25


@pytest.mark.req("fwd.ttl-initial", "fwd.ttl-initial-cap")
def test_an_own_request_starts_at_the_initial_ttl() -> None:
    assert Asking().request.header.ttl == 100


def test_the_answer_ends_it() -> None:
    asking = Asking()
    asking.answer()
    (pong,) = asking.outcomes
    assert isinstance(pong, Pong)
    assert pong.node_id == THEIRS
    assert [m for m in asking.wait(10) if m.code == Code.PING_REQ] == []


@pytest.mark.req("tx.late-response")
def test_an_answer_nobody_waits_for() -> None:
    asking = Asking()
    asking.answer(transaction_id=asking.request.header.transaction_id ^ 1)
    assert asking.outcomes == []
    asking.answer()
    asking.answer()
    assert len(asking.outcomes) == 1
    assert asking.node.counters["drop_late_answer"] == 2


@pytest.mark.req("tx.wrong-answer-code")
def test_an_answer_with_the_code_of_another_method() -> None:
    asking = Asking()
    asking.answer(Code.JOIN_ANS, JoinAns())
    assert asking.outcomes == []
    asking.answer()
    assert isinstance(asking.outcomes[0], Pong)


@pytest.mark.req("sec.response-sender-node")
def test_an_answer_signed_by_another_member() -> None:
    asking = Asking()
    other = FakeIdentity(b"\x33" * 16, b"other@outside.example")
    asking.answer(signer=other)
    asking.answer(Code.ERROR, ErrorResponse(0x2), signer=other)
    assert asking.outcomes == []
    assert asking.node.counters["drop_answer_of_wrong_node"] == 2
    asking.answer()
    assert isinstance(asking.outcomes[0], Pong)


@pytest.mark.req("sec.response-sender-wildcard")
def test_anybody_answers_for_the_wildcard() -> None:
    outside = Outside()
    outcomes: list[object] = []
    outside.node.pings.ping(outside.now, (node(b"\xff" * 16),), lambda now, o: outcomes.append(o), link=outside.link)
    (request,) = outside.take()
    outside.send(outside.message(Code.PING_ANS, PingAns(1, 2), transaction_id=request.header.transaction_id))
    assert isinstance(outcomes[0], Pong)


@pytest.mark.req("sec.response-sender-resource")
def test_an_answer_for_a_resource_from_a_node_further_away_than_our_neighbours() -> None:
    """Ring: 20.. (us), 80.. (the node). For 81.. the owner is us; a liar at 70.. is further clockwise than we are."""
    outside = Outside()
    outside.node.topology.enter(outside.now, THEIRS)
    outside.take()
    outcomes: list[object] = []
    outside.node.ping(outside.now, (resource(b"\x81" + bytes(15)),), lambda now, o: outcomes.append(o))
    (request,) = [m for m in outside.take() if m.code == Code.PING_REQ]
    liar = FakeIdentity(b"\x70" + bytes(15), b"liar@outside.example")
    answer = outside.message(Code.PING_ANS, PingAns(1, 2), transaction_id=request.header.transaction_id, signer=liar)
    outside.send(answer)
    assert outcomes == []
    outside.send(outside.message(Code.PING_ANS, PingAns(1, 2), transaction_id=request.header.transaction_id))
    assert isinstance(outcomes[0], Pong)


def test_an_error_of_a_node_on_the_way_is_the_reason_given_in_the_end() -> None:
    asking = Asking()
    other = FakeIdentity(b"\x33" * 16, b"other@outside.example")
    asking.answer(Code.ERROR, ErrorResponse(0xA, b"ttl"), signer=other)
    assert asking.outcomes == []
    asking.wait(5 * TIMER + 1)
    (failed,) = asking.outcomes
    assert isinstance(failed, RequestFailed)
    assert (failed.code, failed.text) == (0xA, "ttl")


def store(outside: Outside, value: bytes, time: int) -> bytes:
    """A Store of ours at our own place, as one message to be sent again and again."""
    place = ids.resource_id(outside.us.user_name)
    entry = DictionaryEntry(THEIRS, DataValue(True, value))
    signed = codec.value_signature_input(place, 0xF0000001, time, entry, outside.us.signer)
    data = StoredData(time, 100, entry, outside.us.sign(signed))
    body = StoreReq(place, 0, (StoreKindData(0xF0000001, 0, (data,)),))
    return outside.message(Code.STORE_REQ, body, resource(place))


@pytest.mark.req("tx.duplicate-request", "tx.state-for-store")
def test_a_repeated_store_gets_the_same_answer_and_counts_once() -> None:
    outside = Outside()
    message = store(outside, b"one", 1_800_000_000_000)
    (first,) = outside.send(message)
    (second,) = outside.send(message)
    assert isinstance(first.body, StoreAns)
    assert first.body.kind_responses[0].generation_counter == 1
    assert (second.body, second.security) == (first.body, first.security)
    assert outside.node.counters["stores_original"] == 1


def test_the_repeat_is_answered_over_its_own_way() -> None:
    """It may come by another path; the kept answer follows the new via list (notes 2.12)."""
    import msgspec

    outside = Outside()
    message = codec.decode_message(store(outside, b"one", 1_800_000_000_000), 16, outside.node.kinds.models)
    outside.send(codec.encode_message(message))
    header = msgspec.structs.replace(message.header, via_list=(node(b"\x09" * 16),))
    (again,) = outside.send(codec.encode_message(msgspec.structs.replace(message, header=header)))
    assert again.header.destination_list == (node(THEIRS), node(b"\x09" * 16))


def test_after_the_request_lifetime_it_is_forgotten() -> None:
    outside = Outside()
    message = store(outside, b"one", 1_800_000_000_000)
    outside.send(message)
    outside.wait(5 * TIMER + 1)
    (again,) = [m for m in outside.send(message) if m.code in (Code.STORE_ANS, Code.ERROR)]
    assert again.code == Code.STORE_ANS  # the very same value: success, without change
    assert outside.node.counters.get("repeated_requests", 0) == 0


def test_a_lost_first_hop_makes_it_try_again_at_once() -> None:
    """For 91.. the way leads over 90..; when that link dies, we are the next best, without waiting for the timer."""
    outside = Outside()
    other = FakeIdentity(b"\x90" + bytes(15), b"other@outside.example")
    link = outside.up(other)
    for node_id in (other.node_id, THEIRS):
        outside.node.topology.enter(outside.now, node_id)
    outside.wait(0.9)  # nobody acknowledges here: one RTO later both links would be silent
    place = resource(b"\x91" + bytes(15))
    outside.node.ping(outside.now, (place,), lambda now, outcome: None)
    assert [m for m in outside.take() if m.code == Code.PING_REQ] == []
    outside.node.link_down(outside.now, link, "reset")
    (again,) = [m for m in outside.wait(0.01) if m.code == Code.PING_REQ]
    assert again.header.destination_list == (place,)


def test_too_many_requests_of_its_own_are_refused_here_not_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    from xor_fast import limits

    monkeypatch.setattr(limits, "MAX_REQUESTS", 3)
    outside = Outside()
    before = len(outside.node.transactions)
    outcomes: list[object] = []
    for _ in range(6):
        outside.node.ping(outside.now, (node(THEIRS),), lambda now, outcome: outcomes.append(outcome))
    assert len(outcomes) == 3 + before
    assert outside.node.counters["refused_own_requests"] == len(outcomes)


def test_ours_is_a_message_to_ourselves_too() -> None:
    outside = Outside()
    outcomes: list[object] = []
    outside.node.ping(outside.now, (node(OURS),), lambda now, outcome: outcomes.append(outcome))
    (pong,) = outcomes
    assert isinstance(pong, Pong)
    assert pong.node_id == OURS
