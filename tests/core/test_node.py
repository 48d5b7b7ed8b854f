"""The way of a local message, seen from a link (RFC 6940 6.1, 6.2, 6.3)."""

import msgspec
import pytest

from tests.core.outside import OURS, OVERLAY, THEIRS, Outside, node, resource
from xor_fast.cext import codec
from xor_fast.errors import ErrorCode
from xor_fast.messages import (
    WILDCARD_NODE_ID,
    Code,
    ErrorResponse,
    ForwardingOption,
    Message,
    MessageExtension,
    PingAns,
    PingReq,
)
from xor_fast.sim.disk import VirtualDisk
from xor_fast.sim.fakes import FakeIdentity


@pytest.fixture
def outside() -> Outside:
    return Outside()


def error(messages: list[Message]) -> int:
    (message,) = messages
    assert message.code == Code.ERROR
    assert isinstance(message.body, ErrorResponse)
    return message.body.error_code


@pytest.mark.req("tx.id-echo", "tx.success-code", "tx.max-response-zero", "fwd.via-empty-start", "codec.ping-ans")
def test_a_ping_is_answered(outside: Outside) -> None:
    (answer,) = outside.ask(Code.PING_REQ, PingReq(b"x" * 20), transaction_id=0xABCDEF)
    assert answer.code == Code.PING_ANS
    assert isinstance(answer.body, PingAns)
    assert answer.body.time == 1_800_000_000_000
    assert answer.header.transaction_id == 0xABCDEF
    assert answer.header.max_response_length == 0
    assert answer.header.via_list == ()


@pytest.mark.req("fwd.wildcard-local", "fwd.resource-verify-deliver", "fwd.self-deliver")
@pytest.mark.parametrize("destination", [node(WILDCARD_NODE_ID), node(OURS), resource(b"\x11" * 16)])
def test_what_is_addressed_to_us(outside: Outside, destination: object) -> None:
    (answer,) = outside.ask(Code.PING_REQ, PingReq(), destination)  # type: ignore[arg-type]
    assert answer.code == Code.PING_ANS


@pytest.mark.req("tx.response-list", "fwd.response-destination")
def test_the_answer_goes_back_the_way_the_request_came(outside: Outside) -> None:
    """The previous hop, then the via list in reverse (notes 2.1)."""
    a, b, c = (node(bytes([n]) * 16) for n in (1, 2, 3))
    (answer,) = outside.ask(Code.PING_REQ, PingReq(), via_list=(a, b, c))
    assert answer.header.destination_list == (node(THEIRS), c, b, a)


@pytest.mark.req("sec.no-process-bad-signature", "sec.drop-bad-signature")
def test_a_message_whose_signature_does_not_hold(outside: Outside) -> None:
    message = bytearray(outside.message(Code.PING_REQ, PingReq(b"padding")))
    message[message.index(b"padding")] ^= 1
    assert outside.send(bytes(message)) == []
    assert outside.node.counters["drop_bad_signature"] == 1


@pytest.mark.req("sec.signature-header-mutable")
def test_what_forwarders_change_does_not_break_the_signature(outside: Outside) -> None:
    message = outside.message(Code.PING_REQ, PingReq())
    decoded = codec.decode_message(message)
    import msgspec

    header = msgspec.structs.replace(decoded.header, ttl=3, via_list=(node(b"\x05" * 16),))
    changed = codec.encode_message(msgspec.structs.replace(decoded, header=header))
    assert [answer.code for answer in outside.send(changed)] == [Code.PING_ANS]


def test_garbage_behind_a_good_header_is_counted(outside: Outside) -> None:
    message = outside.message(Code.PING_REQ, PingReq())
    header = message[:38] + message[38:56]
    cut = header[:16] + (60).to_bytes(4, "big") + header[20:] + b"\x00\x17\xff\xff"
    assert outside.send(cut) == []
    assert outside.node.counters["drop_malformed"] == 1
    assert [answer.code for answer in outside.ask(Code.PING_REQ, PingReq())] == [Code.PING_ANS]


@pytest.mark.req("sec.extension-critical")
def test_an_unknown_critical_extension(outside: Outside) -> None:
    assert error(outside.ask(Code.PING_REQ, PingReq(), extensions=(MessageExtension(9, True, b""),))) == 0xD
    (answer,) = outside.ask(Code.PING_REQ, PingReq(), extensions=(MessageExtension(9, False, b"any"),))
    assert answer.code == Code.PING_ANS


@pytest.mark.req("fwd.option-destination-critical")
def test_an_unknown_option_that_the_destination_must_know(outside: Outside) -> None:
    assert error(outside.ask(Code.PING_REQ, PingReq(), options=(ForwardingOption(77, 2, b""),))) == 0x7


@pytest.mark.req("fwd.option-response-copy", "fwd.option-flags-response")
def test_an_option_to_be_copied(outside: Outside) -> None:
    options = (ForwardingOption(77, 4, b"copy"), ForwardingOption(78, 0, b"not"))
    (answer,) = outside.ask(Code.PING_REQ, PingReq(), options=options)
    assert answer.header.options == (ForwardingOption(77, 0, b"copy"),)


@pytest.mark.parametrize(
    ("sequence", "code"),
    [
        (6, ErrorCode.CONFIG_TOO_OLD),
        (8, ErrorCode.CONFIG_TOO_NEW),
        (65534, ErrorCode.CONFIG_TOO_OLD),  # modulo 65535: 8 behind us
        (7 + 32767, ErrorCode.CONFIG_TOO_NEW),
    ],
)
def test_another_configuration_sequence(outside: Outside, sequence: int, code: ErrorCode) -> None:
    assert error(outside.ask(Code.PING_REQ, PingReq(), configuration_sequence=sequence)) == code


@pytest.mark.req("tx.unknown-method")
def test_an_unknown_method(outside: Outside) -> None:
    (answer,) = outside.ask(0x101, b"")
    assert error([answer]) == ErrorCode.INVALID_MESSAGE
    assert isinstance(answer.body, ErrorResponse)
    assert answer.body.error_info


@pytest.mark.req("tx.max-response-length", "tx.error-code")
def test_an_answer_that_would_be_too_long(outside: Outside) -> None:
    assert error(outside.ask(Code.PING_REQ, PingReq(), max_response_length=60)) == ErrorCode.RESPONSE_TOO_LARGE
    (answer,) = outside.ask(Code.PING_REQ, PingReq(), max_response_length=6000)
    assert answer.code == Code.PING_ANS


@pytest.mark.req("fwd.ttl-too-large")
def test_a_ttl_above_the_initial_one(outside: Outside) -> None:
    assert error(outside.ask(Code.PING_REQ, PingReq(), ttl=101)) == ErrorCode.TTL_EXCEEDED
    assert error(outside.ask(Code.PING_REQ, PingReq(), ttl=255)) == ErrorCode.TTL_EXCEEDED


@pytest.mark.req("fwd.ttl-zero-stop", "fwd.ttl-zero-error")
def test_ttl_0_is_delivered_and_not_forwarded(outside: Outside) -> None:
    other = FakeIdentity(b"\x40" + bytes(15), b"other@outside.example")
    link = outside.up(other)
    outside.take()
    assert [answer.code for answer in outside.ask(Code.PING_REQ, PingReq(), ttl=0)] == [Code.PING_ANS]
    message = outside.message(Code.PING_REQ, PingReq(), node(other.node_id), ttl=0)
    assert error(outside.send(message)) == ErrorCode.TTL_EXCEEDED
    assert link not in [number for number, _ in outside.node.sends()]


def test_errors_for_messages_that_are_not_ours_are_rationed(outside: Outside) -> None:
    """Each costs a signature, so a flood buys a bounded number of them."""
    answers = [
        answer for _ in range(400) for answer in outside.ask(Code.PING_REQ, PingReq(), node(b"\x41" * 16), ttl=255)
    ]
    assert len(answers) == 100
    assert outside.node.counters["drop_transit_error_rate"] == 300


@pytest.mark.req("fwd.overlay-mismatch")
def test_another_overlay(outside: Outside) -> None:
    answers = outside.ask(Code.PING_REQ, PingReq(), overlay=OVERLAY.overlay_hash ^ 1)
    assert error(answers) == ErrorCode.INCOMPATIBLE_WITH_OVERLAY
    assert outside.node.counters.get("requests_handled", 0) == 0


def test_before_it_is_in_the_ring_a_node_is_responsible_for_nothing() -> None:
    outside = Outside(started=False)
    assert outside.ask(Code.PING_REQ, PingReq(), resource(b"\x11" * 16)) == []
    assert [answer.code for answer in outside.ask(Code.PING_REQ, PingReq())] == [Code.PING_ANS]


def test_what_was_odd_about_the_document_is_said() -> None:
    odd = msgspec.structs.replace(OVERLAY, warnings=("root-cert 1 of 2 is left out",))
    assert [notice for notice in Outside(disk=VirtualDisk(), overlay=odd).notices if "root-cert 1 of 2" in notice]
