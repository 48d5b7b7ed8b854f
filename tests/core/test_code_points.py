"""Every error a node sends and believes, and the code points it must not use, seen from a link (RFC 6940 14)."""

from collections.abc import Callable

import pytest

from tests.core.outside import OURS, OVERLAY, THEIRS, Outside, node, resource
from tests.core.test_storage import KIND, PLACE, Storing, storing
from tests.core.test_transactions import Asking
from xor_fast.cext import codec
from xor_fast.errors import RequestFailed, StateError
from xor_fast.messages import (
    AppAttachReqAns,
    AttachReqAns,
    ChordUpdateType,
    Code,
    ErrorResponse,
    FetchReq,
    ForwardingOption,
    JoinReq,
    LeaveReq,
    Message,
    MessageExtension,
    PingReq,
    RouteQueryReq,
    StoreAns,
    StoredDataSpecifier,
    StoreKindData,
    StoreReq,
    UnknownKinds,
    UpdateReq,
)

__all__ = ["storing"]  # a fixture
requirement = pytest.mark.req  # here an id is put together of its parts
NOT_OURS = b"\x44" * 16
GENERATION_TOO_LOW, UNKNOWN_KIND, INVALID_MESSAGE = 0x5, 0xC, 0x14  # the numbers are the RFC's, not our enumeration's
Provoke = Callable[[Storing], list[Message]]


def store(
    storing: Storing, size: int = 1, generation: int = 0, time: int | None = None, replica: int = 0
) -> list[Message]:
    data = storing.value(b"v" * size, time=time)
    body = StoreReq(PLACE, replica, (StoreKindData(KIND, generation, (data,)),))
    return storing.ask(Code.STORE_REQ, body, resource(PLACE))


def store_older(storing: Storing) -> list[Message]:
    storing.store(storing.value(b"v", time=1_800_000_000_002))
    return store(storing, time=1_800_000_000_001)


def store_twice_the_kind(storing: Storing) -> list[Message]:
    kind_data = StoreKindData(KIND, 0, (storing.value(b"v"),))
    return storing.ask(Code.STORE_REQ, StoreReq(PLACE, 0, (kind_data, kind_data)), resource(PLACE))


def ping(**fields: object) -> Provoke:
    return lambda storing: storing.ask(Code.PING_REQ, PingReq(), **fields)  # type: ignore[arg-type]


def ask(code: int, body: object) -> Provoke:
    return lambda storing: storing.ask(code, body)  # type: ignore[arg-type]


PROVOKED: list[tuple[str, int, Provoke]] = [
    ("forbidden", 0x2, lambda storing: store(storing, generation=1, replica=1)),
    ("forbidden", 0x2, ask(Code.JOIN_REQ, JoinReq(NOT_OURS))),
    ("forbidden", 0x2, ask(Code.LEAVE_REQ, LeaveReq(NOT_OURS))),
    ("not-found", 0x3, ask(Code.APP_ATTACH_REQ, AppAttachReqAns(b"", b"", 9, b"passive", ()))),
    ("generation-too-low", 0x5, lambda storing: store(storing, generation=5)),
    ("incompatible", 0x6, ping(overlay=OVERLAY.overlay_hash ^ 1)),
    ("forwarding-option", 0x7, ping(options=(ForwardingOption(77, 2, b""),))),
    ("data-too-large", 0x8, lambda storing: store(storing, size=101)),
    ("data-too-old", 0x9, store_older),
    ("ttl-exceeded", 0xA, ping(ttl=101)),
    ("message-too-large", 0xB, ask(Code.PING_REQ, PingReq(bytes(20000)))),
    (
        "unknown-kind",
        0xC,
        ask(Code.FETCH_REQ, FetchReq(PLACE, (StoredDataSpecifier(9, 0, b""), StoredDataSpecifier(10, 0, b"")))),
    ),
    ("unknown-extension", 0xD, ping(extensions=(MessageExtension(1, True, b""),))),
    ("response-too-large", 0xE, ping(max_response_length=60)),
    ("config-too-old", 0xF, ping(configuration_sequence=OVERLAY.sequence - 1)),
    ("config-too-new", 0x10, ping(configuration_sequence=OVERLAY.sequence + 1)),
    ("invalid-message", 0x14, ask(0x101, b"")),
    ("invalid-message", 0x14, ask(Code.EXP_A_REQ, b"")),
    ("invalid-message", 0x14, ask(Code.ATTACH_REQ, AttachReqAns(b"", b"", b"active", (), False))),
    ("invalid-message", 0x14, store_twice_the_kind),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "provoke"),
    [
        pytest.param(code, provoke, id=f"{number} {name}", marks=requirement(f"codec.err.{name}"))
        for number, (name, code, provoke) in enumerate(PROVOKED)
    ],
)
@pytest.mark.req("codec.msg.error", "codec.error-info-text", "codec.err.invalid-description")
def test_every_error_and_its_info(storing: Storing, code: int, provoke: Provoke) -> None:
    """Text in UTF-8 (6.3.3.1), but for two errors whose info is a structure; an invalid message gets a description."""
    (answer,) = [m for m in provoke(storing) if m.header.transaction_id == storing._transaction_id]
    assert answer.code == 0xFFFF
    assert isinstance(answer.body, ErrorResponse)
    assert answer.body.error_code == code
    info = answer.body.error_info
    if code == GENERATION_TOO_LOW:
        assert [response.kind for response in codec.decode_struct(StoreAns, info).kind_responses] == [KIND]
    elif code == UNKNOWN_KIND:
        assert codec.decode_struct(UnknownKinds, info) == UnknownKinds((9, 10))
    else:
        assert "\0" not in info.decode("utf-8")
    if code == INVALID_MESSAGE:
        assert len(info) > 10


@pytest.mark.req("codec.unknown-kinds")
def test_no_more_unknown_kinds_are_named_than_fit(storing: Storing) -> None:
    asked = tuple(StoredDataSpecifier(kind, 0, b"") for kind in range(100, 200))
    (answer,) = storing.ask(Code.FETCH_REQ, FetchReq(PLACE, asked))
    assert isinstance(answer.body, ErrorResponse)
    assert codec.decode_struct(UnknownKinds, answer.body.error_info).kinds == tuple(range(100, 163))


NAMES = {  # 14.9
    0x2: "Error_Forbidden",
    0x3: "Error_Not_Found",
    0x4: "Error_Request_Timeout",
    0x5: "Error_Generation_Counter_Too_Low",
    0x6: "Error_Incompatible_with_Overlay",
    0x7: "Error_Unsupported_Forwarding_Option",
    0x8: "Error_Data_Too_Large",
    0x9: "Error_Data_Too_Old",
    0xA: "Error_TTL_Exceeded",
    0xB: "Error_Message_Too_Large",
    0xC: "Error_Unknown_Kind",
    0xD: "Error_Unknown_Extension",
    0xE: "Error_Response_Too_Large",
    0xF: "Error_Config_Too_Old",
    0x10: "Error_Config_Too_New",
    0x11: "Error_In_Progress",
    0x12: "Error_Exp_A",
    0x13: "Error_Exp_B",
    0x14: "Error_Invalid_Message",
}


@pytest.mark.req("codec.err.request-timeout", "codec.err.unassigned", "codec.err.incompatible", "codec.err.in-progress")
@pytest.mark.parametrize("code", [*NAMES, 0, 1, 0x77, 0x8000, 0xFFFE])
def test_every_error_that_answers_a_request_is_reported_with_its_number(code: int) -> None:
    asking = Asking()
    info = "why \u2014 so\n".encode()
    asking.answer(Code.ERROR, ErrorResponse(code, info))
    (failed,) = asking.outcomes
    assert isinstance(failed, RequestFailed)
    # Two have a structure, and a log has one line for each
    text = "" if code in (GENERATION_TOO_LOW, UNKNOWN_KIND) else "why \u2014 so?"
    assert (failed.code, failed.text, failed.info) == (code, text, info)
    name = NAMES.get(code, f"Error_0x{code:x}")  # but for upper and lower case
    assert str(failed).removesuffix(f": {text}").lower() == name.lower()


@pytest.mark.req("codec.select-unknown")
@pytest.mark.parametrize("kind", [0, 4, 9, 255])
def test_an_update_of_an_unknown_type_is_dropped_whole(kind: int) -> None:
    """The signature is good, the structure does not invite new types (6.3.1.1): no answer, and nothing changes."""
    outside = Outside()
    peers = list(outside.node.ring)
    body = (60).to_bytes(4, "big") + bytes([kind])
    assert outside.ask(Code.UPDATE_REQ, body) == []
    assert list(outside.node.ring) == peers
    assert outside.node.counters["drop_malformed"] == 1
    assert outside.node.counters.get("requests_handled", 0) == 0
    answers = outside.ask(Code.UPDATE_REQ, UpdateReq(60, ChordUpdateType.PEER_READY))
    assert Code.UPDATE_ANS in [answer.code for answer in answers]
    assert THEIRS in outside.node.ring


@pytest.mark.req("codec.extension-codes")
def test_an_extension_for_experiments_is_ignored_unless_it_is_critical(storing: Storing) -> None:
    (answer,) = storing.ask(Code.PING_REQ, PingReq(), extensions=(MessageExtension(1, False, b"exp"),))
    assert (answer.code, answer.extensions) == (Code.PING_ANS, ())


@pytest.mark.req("codec.forwarding-option-codes")
def test_an_option_nobody_knows_is_no_hindrance_unless_it_is_critical(storing: Storing) -> None:
    for option in (ForwardingOption(1, 0, b""), ForwardingOption(255, 0, b"reserved")):
        (answer,) = storing.ask(Code.PING_REQ, PingReq(), options=(option,))
        assert (answer.code, answer.header.options) == (Code.PING_ANS, ())


@pytest.mark.req("codec.fragment-reserved", "codec.fragment-high-bit", "codec.fragment-last-bit")
def test_what_a_node_sends_is_whole_and_its_reserved_bits_are_zero() -> None:
    """Even where those of the request are not."""
    asking = Asking()
    sent = [asking.request, *asking.wait(20)]
    sent += asking.ask(Code.PING_REQ, PingReq(), fragment=0xFF000000)
    sent += asking.ask(Code.PING_REQ, PingReq(), ttl=101, fragment=0xFF000000)
    assert {message.code for message in sent} >= {Code.PING_REQ, Code.PING_ANS, Code.ERROR}
    assert {message.header.fragment for message in sent} == {0xC0000000}


@pytest.mark.req("codec.application-ids")
@pytest.mark.parametrize("application", [0, 65535, -1, 65536])
def test_an_application_that_cannot_be(application: int) -> None:
    outside = Outside()
    with pytest.raises(StateError, match="from 1 to 65534"):
        outside.node.app_attach(outside.now, (node(THEIRS),), application, lambda c: None, lambda now, outcome: None)
    with pytest.raises(StateError, match="from 1 to 65534"):
        outside.node.register_application(application, lambda now, connection: True)
    assert outside.take() == []


@pytest.mark.req("codec.application-ids")
@pytest.mark.parametrize("application", [1, 5060, 5061, 61441, 65534])
def test_an_application_that_can_be(application: int) -> None:
    outside = Outside()
    outside.node.app_attach(outside.now, (node(OURS),), application, lambda c: None, lambda now, outcome: None)
    outside.node.register_application(application, lambda now, connection: True)


@pytest.mark.req("codec.route-query-ans-chord")
@pytest.mark.parametrize("place", [b"\x10" + bytes(15), b"\x81" + bytes(15)])
def test_a_route_query_names_the_hop_that_is_taken(place: bytes) -> None:
    """Both places belong to us, the one other peer; what is sent there comes to us (10.8)."""
    outside = Outside()
    outside.node.topology.enter(outside.now, THEIRS)
    outside.take()
    (answer,) = outside.ask(Code.ROUTE_QUERY_REQ, RouteQueryReq(False, resource(place)))
    assert codec.encode_body(answer.code, answer.body) == THEIRS
    (forwarded,) = outside.ask(Code.PING_REQ, PingReq(), resource(place))
    assert (forwarded.code, forwarded.header.destination_list) == (Code.PING_REQ, (resource(place),))


@pytest.mark.req("topo.route-query")
def test_a_route_query_for_a_client_names_the_client() -> None:
    """It is in no table, but what is sent to it goes straight there (6.1.2)."""
    outside = Outside()
    (answer,) = outside.ask(Code.ROUTE_QUERY_REQ, RouteQueryReq(False, node(THEIRS)))
    assert codec.encode_body(answer.code, answer.body) == THEIRS
    (forwarded,) = outside.ask(Code.PING_REQ, PingReq(), node(THEIRS))
    assert (forwarded.code, forwarded.header.destination_list) == (Code.PING_REQ, (node(THEIRS),))
