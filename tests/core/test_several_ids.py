"""A neighbour whose certificate has several Node-IDs: before it attaches, its link speaks for none (RFC 6940 6.1.2)."""

from random import Random
from typing import Any

import pytest

from tests.pki import NOT_AFTER_MS, NOT_BEFORE_MS, WALL_MS, Pki
from xor_fast import limits
from xor_fast.cext import codec, wire
from xor_fast.core.node import Node
from xor_fast.messages import (
    AddressType,
    AttachReqAns,
    Body,
    Code,
    Destination,
    DestinationType,
    ErrorResponse,
    FetchReq,
    ForwardingHeader,
    IceCandidate,
    IpAddressPort,
    LeaveReq,
    Message,
    PingAns,
    PingReq,
    SecurityBlock,
    StoredDataSpecifier,
    UpdateReq,
)
from xor_fast.trust.authority import new_key
from xor_fast.trust.certificates import parse_certificate
from xor_fast.trust.signatures import Identity

ONE, TWO = b"\x11" * 16, b"\x22" * 16
FETCH = FetchReq(b"\x01" * 16, (StoredDataSpecifier(5, 0, ()),))
FORBIDDEN = 0x2


def attach() -> AttachReqAns:
    candidate = IceCandidate(IpAddressPort(AddressType.IPV4, b"\xc0\x00\x02\x01", 999), 4, b"1", 1)
    return AttachReqAns(b"", b"", b"passive", (candidate,), False)


class Several:
    """A node, `plain`, a member with one Node-ID, and a link of one that has two."""

    def __init__(self) -> None:
        pki = Pki(7)
        self.overlay = pki.overlay
        self.now = 100.0
        self.authority = pki.authority
        key = new_key(12345)
        dates = {"serial": 77, "not_before_ms": NOT_BEFORE_MS, "not_after_ms": NOT_AFTER_MS}
        der = pki.authority.issue_user("romeo@montague.lit", [ONE, TWO], key.public_key(), **dates)
        certificate = parse_certificate(der, pki.overlay.instance_name)
        self.identities = {n: Identity(certificate, key, node_id=n, deterministic=True) for n in (ONE, TWO)}
        self.plain = pki.identity(1)
        self.node = Node(pki.overlay, pki.identity(0), pki.verifier(), Random(1))
        self.node.set_wall(self.now, WALL_MS)
        self.node.start_overlay(self.now)
        self.der = der
        self.links = {
            "plain": self.node.link_up(self.now, [self.plain.certificate.der], None),
            "several": self.node.link_up(self.now, [der], None),
        }
        self.take()
        self.transaction_id = 0

    def other_der(self) -> bytes:
        """Of another member, with two Node-IDs as well."""
        dates = {"serial": 78, "not_before_ms": NOT_BEFORE_MS, "not_after_ms": NOT_AFTER_MS}
        names = [b"\x33" * 16, b"\x44" * 16]
        key = new_key(12346).public_key()
        return self.authority.issue_user("benvolio@montague.lit", names, key, **dates)

    def take(self) -> dict[str, list[Message]]:
        """What leaves, by link."""
        names = {link: name for name, link in self.links.items()}
        found: dict[str, list[Message]] = {name: [] for name in self.links}
        for link, data in self.node.sends():
            for kind, _, content in wire.split_frames(data)[0]:
                if kind == 128 and isinstance(content, bytes):
                    found[names[link]].append(codec.decode_message(content, 16, self.node.kinds.models))
        return found

    def give(
        self, link: str, signer: Identity, code: int, body: Body, *to: bytes, **header: Any
    ) -> dict[str, list[Message]]:
        self.transaction_id += 1
        fields = {
            "overlay": self.overlay.overlay_hash,
            "configuration_sequence": self.overlay.sequence,
            "ttl": 50,
            "transaction_id": self.transaction_id,
            "destination_list": tuple(Destination(DestinationType.NODE, n) for n in to or (self.node.node_id,)),
        } | header
        contents = codec.encode_contents(code, body)
        signed = (
            fields["overlay"].to_bytes(4, "big")
            + fields["transaction_id"].to_bytes(8, "big")
            + contents
            + codec.encode_struct(signer.signer)
        )
        message = codec.assemble(
            ForwardingHeader(**fields), contents, SecurityBlock(signer.certificates, signer.sign(signed))
        )
        assert self.node.receive(self.now, self.links[link], wire.data_frame(0, message))
        return self.take()

    def ask(self, name: bytes, code: int, body: Body, *to: bytes) -> dict[str, list[Message]]:
        """A request over the link of several names, made under one of them."""
        return self.give("several", self.identities[name], code, body, *to)


REFUSED: list[tuple[int, Body]] = [
    (Code.FETCH_REQ, FETCH),
    (Code.UPDATE_REQ, UpdateReq(1, 1)),
    (Code.LEAVE_REQ, LeaveReq(ONE)),
]


@pytest.mark.req("fwd.unattached-multi-id")
@pytest.mark.parametrize(("code", "body"), REFUSED)
@pytest.mark.parametrize("is_for_us", [True, False])
def test_before_its_attach_only_ping_and_attach_are_taken(code: int, body: Body, is_for_us: bool) -> None:
    several = Several()
    to = () if is_for_us else (several.plain.node_id,)
    sent = several.ask(ONE, code, body, *to)
    (answer,) = sent["several"]
    assert isinstance(answer.body, ErrorResponse)
    assert answer.body.error_code == FORBIDDEN
    assert sent["plain"] == []
    assert ONE not in several.node.ring


@pytest.mark.req("fwd.unattached-multi-id")
def test_after_its_attach_with_us_everything_is() -> None:
    several = Several()
    codes = [m.code for m in several.ask(TWO, Code.ATTACH_REQ, attach())["several"]]
    assert codes == [Code.ATTACH_ANS, Code.UPDATE_REQ]  # 10.7: now it is told that we are a peer
    assert several.node.switch.link_of(TWO) == several.links["several"]
    assert several.node.switch.link_of(ONE) == -1
    codes = [m.code for m in several.ask(TWO, Code.FETCH_REQ, FETCH)["several"]]
    assert codes == [Code.FETCH_ANS]
    forwarded = several.ask(TWO, Code.FETCH_REQ, FETCH, several.plain.node_id)["plain"]
    assert [m.code for m in forwarded] == [Code.FETCH_REQ]
    assert [entry.value for entry in forwarded[0].header.via_list] == [TWO]


@pytest.mark.req("fwd.unattached-multi-id")
def test_an_attach_with_somebody_else_over_us_is_none_with_us() -> None:
    several = Several()
    passed = several.ask(ONE, Code.ATTACH_REQ, attach(), several.plain.node_id)["plain"]
    assert [m.code for m in passed] == [Code.ATTACH_REQ]
    (answer,) = several.ask(ONE, Code.FETCH_REQ, FETCH)["several"]
    assert isinstance(answer.body, ErrorResponse)
    assert answer.body.error_code == FORBIDDEN


@pytest.mark.req("fwd.joining-return", "fwd.unattached-multi-id")
@pytest.mark.parametrize("name", [ONE, TWO])
def test_pings_find_their_way_there_and_back_under_either_name(name: bytes) -> None:
    several = Several()
    assert [m.code for m in several.ask(name, Code.PING_REQ, PingReq())["several"]] == [Code.PING_ANS]
    (request,) = several.ask(name, Code.PING_REQ, PingReq(), several.plain.node_id)["plain"]
    assert [entry.value for entry in request.header.via_list] == [name]
    back = several.give("plain", several.plain, Code.PING_ANS, PingAns(1, 2), several.node.node_id, name)
    assert [m.code for m in back["several"]] == [Code.PING_ANS]


def test_what_is_signed_by_others_or_came_from_others_goes_no_further() -> None:
    several = Several()
    assert several.give("several", several.plain, Code.PING_REQ, PingReq())["several"] == []
    via = (Destination(DestinationType.NODE, b"\x33" * 16),)
    sent = several.give("several", several.identities[ONE], Code.PING_REQ, PingReq(), via_list=via)
    assert sent == {"plain": [], "several": []}
    assert several.give("several", several.identities[ONE], Code.PING_ANS, PingAns(1, 2))["several"] == []
    assert several.node.counters["drop_unattached"] == 3


def test_before_it_has_a_name_nothing_is_sent_to_it() -> None:
    several = Several()
    for name in (ONE, TWO, bytes(16)):
        assert several.node.switch.link_of(name) == -1
    several.node.link_down(several.now, several.links["several"], "closed")
    assert several.node.counters["links_lost"] == 1


def test_what_cannot_be_routed_is_not_answered_to_who_has_no_name() -> None:
    several = Several()
    sent = several.give("several", several.identities[ONE], Code.PING_REQ, PingReq(), ttl=255)
    assert sent == {"plain": [], "several": []}
    assert several.node.counters["drop_transit_error_nobody"] == 1
    several.ask(ONE, Code.PING_REQ, PingReq())
    (answer,) = several.give("several", several.identities[ONE], Code.PING_REQ, PingReq(), ttl=255)["several"]
    assert isinstance(answer.body, ErrorResponse)


def test_one_certificate_holds_its_share_of_links_and_no_more() -> None:
    """Unattached links of one certificate; and for each of its Node-IDs as many as any node has."""
    several = Several()
    node = several.node
    share = limits.MAX_LINKS_PER_NODE

    def up(count: int, der: bytes = several.der) -> list[int]:
        return [node.link_up(several.now, [der], None) for _ in range(count)]

    assert [link >= 0 for link in up(share)] == [True] * (share - 1) + [False]
    other = several.other_der()
    assert [link >= 0 for link in up(share + 1, other)] == [True] * share + [False]
    taken = 0
    for name in (ONE, TWO):
        while taken < 100:
            codes = [m.code for m in several.ask(name, Code.ATTACH_REQ, attach())["several"]]
            if Code.ATTACH_ANS not in codes:
                break
            taken += 1
            (several.links["several"],) = up(1)
            assert several.links["several"] >= 0
    assert taken == 2 * share
    assert len([link for link in node.switch.links() if node.switch.node_of(link) in (ONE, TWO)]) <= 2 * share
    assert node.counters["drop_unattached"] == 2


def test_a_closed_link_leaves_nothing_behind() -> None:
    several = Several()
    for _ in range(3 * limits.MAX_LINKS_PER_NODE):
        several.node.link_down(several.now, several.links["several"], "closed")
        several.links["several"] = several.node.link_up(several.now, [several.der], None)
        assert several.links["several"] >= 0
        several.ask(ONE, Code.PING_REQ, PingReq())
