"""What a node says to what it cannot pass on, and whom it answers though no table names them (RFC 6940 6.1, 6.3.2)."""

from dataclasses import replace
from random import Random
from typing import Any

import msgspec
import pytest

from tests.core.outside import OURS, OVERLAY, THEIRS, Outside, node, resource
from tests.reference import wire as reference
from xor_fast import limits
from xor_fast.cext import wire
from xor_fast.core.node import Node
from xor_fast.core.tuning import Tuning
from xor_fast.errors import ErrorCode
from xor_fast.messages import Code, ErrorResponse, ForwardingOption, Message, OptionFlags, PingReq
from xor_fast.sim.fakes import FakeIdentity, FakeVerifier

FAR = node(b"\x90" + bytes(15))


def said(messages: list[Message]) -> int:
    (message,) = messages
    assert isinstance(message.body, ErrorResponse)
    return message.body.error_code


BAD_HEADERS = {
    ErrorCode.INCOMPATIBLE_WITH_OVERLAY: {"overlay": 1},
    ErrorCode.TTL_EXCEEDED: {"ttl": 101},
    ErrorCode.INVALID_MESSAGE: {"destination_list": (node(OURS), node(THEIRS), node(OURS))},
}


@pytest.mark.req("fwd.header-error")
@pytest.mark.parametrize("code", BAD_HEADERS)
def test_a_bad_header_is_answered_unless_the_owner_wants_silence(code: ErrorCode) -> None:
    """Told over the link it came by, signed, with its transaction id."""
    fields = {"transaction_id": 77, **BAD_HEADERS[code]}
    (answer,) = Outside().ask(Code.PING_REQ, PingReq(), **fields)
    assert said([answer]) == code
    assert answer.header.transaction_id == 77
    assert answer.header.destination_list == (node(THEIRS),)
    silent = Outside(tuning=Tuning(answers_bad_headers=False))
    assert silent.ask(Code.PING_REQ, PingReq(), **fields) == []
    assert silent.node.counters["drop_transit_error_silent"] == 1
    assert len(silent.ask(Code.PING_REQ, PingReq())) == 1


def damaged(outside: Outside, **fields: Any) -> bytes:
    """A request with these fields of its header set behind our codec's back, its length as it then is."""
    request = outside.message(Code.PING_REQ, PingReq())
    header = reference.peek(request)
    contents = request[header.size :]
    changed = replace(header, **fields)
    return replace(changed, length=changed.size + len(contents)).encode() + contents


@pytest.mark.req("fwd.header-error")
@pytest.mark.parametrize("version", [1, 9, 11])
def test_another_version_is_answered_too(version: int) -> None:
    outside = Outside()
    assert said(outside.send(damaged(outside, version=version))) == ErrorCode.INCOMPATIBLE_WITH_OVERLAY
    assert outside.node.counters.get("requests_handled", 0) == 0


def test_the_first_piece_of_a_message_is_answered_if_it_goes_no_further() -> None:
    """What follows its header is cut off somewhere, and not needed to answer."""
    outside = Outside()
    assert said(outside.send(damaged(outside, fragment=0x80000000, ttl=101))) == ErrorCode.TTL_EXCEEDED
    assert outside.send(damaged(outside, fragment=0x80000100, ttl=101)) == []


@pytest.mark.parametrize("count", [limits.MAX_DESTINATIONS, 255])
def test_a_way_back_that_nobody_would_carry_is_not_answered(count: int) -> None:
    """With 255 such entries our own on top would not fit into the list's 16-bit length."""
    outside = Outside(overlay=msgspec.structs.replace(OVERLAY, max_message_size=100_000))
    via_list = reference.opaque(bytes(254)) * count
    assert len(via_list) <= 0xFFFF
    assert outside.send(damaged(outside, ttl=101, via_list=via_list)) == []
    assert outside.node.counters["drop_transit_error_long_way"] == 1
    (answer,) = outside.send(damaged(outside, ttl=101, via_list=via_list[: 257 * (limits.MAX_DESTINATIONS - 1)]))
    assert len(answer.header.destination_list) == limits.MAX_DESTINATIONS


@pytest.mark.req("fwd.loop-duplicates")
def test_a_loop_written_into_the_destination_list_is_an_invalid_message() -> None:
    """13.6.5; the same entry twice, whatever lies between."""
    outside = Outside()
    loop = (FAR, node(THEIRS), FAR)
    assert said(outside.ask(Code.PING_REQ, PingReq(), *loop)) == 0x14
    assert outside.ask(Code.PING_ANS, bytes(16), *loop) == []  # the way back of an answer may pass a node twice


@pytest.mark.req("fwd.option-forward-critical")
def test_a_forwarder_refuses_an_option_it_must_know_and_does_not() -> None:
    outside = Outside()
    other = FakeIdentity(FAR.value, b"other@outside.example")
    link = outside.up(other)
    for flags in range(8):
        option = ForwardingOption(9, flags, b"?")
        answers = outside.ask(Code.PING_REQ, PingReq(), FAR, options=(option,))
        if flags & OptionFlags.FORWARD_CRITICAL:
            assert said(answers) == ErrorCode.UNSUPPORTED_FORWARDING_OPTION == 0x7
    forwarded = outside.node.counters["forwarded"]
    assert forwarded == 4, "those without the flag went on"
    assert outside.node.switch.node_of(link) == FAR.value


@pytest.mark.req("fwd.joining-return")
@pytest.mark.parametrize("code", [Code.PING_REQ, Code.ATTACH_REQ])
def test_a_joiner_gets_the_answer_of_its_responsible_peer_back(code: Code) -> None:
    """The joiner (at 0x85, in no table) has a link to us alone; the peer responsible for it answers over us."""
    outside = Outside()
    outside.node.topology.enter(outside.now, THEIRS)
    joiner = FakeIdentity(b"\x15" + bytes(15), b"joiner@outside.example")
    link = outside.up(joiner)
    outside.take()
    request = outside.message(code, b"", resource(joiner.node_id), signer=joiner)
    outside.node.receive(outside.now, link, wire.data_frame(0, request))
    sent = [wire.split_frames(data)[0] for to, data in outside.node.sends() if to == outside.link]
    (came,) = [content for frames in sent for kind, _, content in frames if kind == 128 and isinstance(content, bytes)]
    assert node(joiner.node_id).value in came  # on the via list
    assert joiner.node_id not in outside.node.ring
    answer = outside.message(code + 1, b"", node(OURS), node(joiner.node_id))
    outside.node.receive(outside.now, outside.link, wire.data_frame(1, answer))
    back = [wire.split_frames(data)[0] for to, data in outside.node.sends() if to == link]
    assert [kind for frames in back for kind, _, _ in frames].count(128) == 1


@pytest.mark.req("fwd.opaque-generation-random")
def test_a_node_starts_its_generations_at_random() -> None:
    def first_generation(seed: int) -> int:
        identity = FakeIdentity(OURS, b"node@outside.example")
        own = Node(OVERLAY, identity, FakeVerifier(), Random(seed))  # type: ignore[arg-type]
        own.set_wall(0.0, 1_800_000_000_000)
        other = FakeIdentity(THEIRS, b"us@outside.example")
        return own.link_up(0.0, [other.certificate.der], None) >> 12

    assert {first_generation(seed) for seed in range(100)} == set(range(8))
