"""Locations as bytes, and the Kind they are stored under (XEP-0415 4.2, 9, 11.1; vectors made by hand)."""

import pytest

from xor_fast.config import KindDefinition
from xor_fast.messages import DataModel, Destination, DestinationType
from xor_fast.usages.xmpp.jid import JIDError
from xor_fast.usages.xmpp.kind import XMPP_LOCATION, Forward, Route, forward_to, location_kind, read_location, route_to

NODE = bytes(range(16))
OTHER = bytes(range(16, 32))
ADDRESS = bytes.fromhex("01 0007 0005 6140622e63")  # a@b.c
ROUTE = bytes.fromhex("02 0015 00 0012 0110") + NODE
LONG_ROUTE = bytes.fromhex("02 0027 07 0024 0110") + OTHER + bytes.fromhex("0110") + NODE


@pytest.mark.req("xor.codec.route", "xor.codec.types", "xor.mapping-route")
def test_a_route_in_bytes() -> None:
    assert route_to([NODE]) == ROUTE
    assert route_to([OTHER, NODE], 7) == LONG_ROUTE
    assert read_location(ROUTE) == Route(0, (Destination(DestinationType.NODE, NODE),))
    assert read_location(LONG_ROUTE) == Route(
        7, (Destination(DestinationType.NODE, OTHER), Destination(DestinationType.NODE, NODE))
    )


@pytest.mark.req("xor.codec.address", "xor.codec.types", "xor.address-precis")
def test_an_address_in_bytes() -> None:
    assert forward_to("a@b.c") == ADDRESS
    assert forward_to("A@B.C") == ADDRESS, "it is prepared before it is stored"
    assert read_location(ADDRESS) == Forward("a@b.c")


@pytest.mark.req("xor.address-bare")
def test_an_address_has_no_resource() -> None:
    with pytest.raises(JIDError):
        forward_to("a@b.c/d")
    assert read_location(bytes.fromhex("01 0009 0007 6140622e632f64")) is None


@pytest.mark.req("xor.codec.layout")
@pytest.mark.parametrize("value", [ADDRESS, ROUTE, LONG_ROUTE])
def test_what_is_cut_or_miscounted_is_not_used(value: bytes) -> None:
    for end in range(len(value)):
        assert read_location(value[:end]) is None
    for wrong in (-1, 1):
        length = (int.from_bytes(value[1:3]) + wrong).to_bytes(2)
        assert read_location(value[:1] + length + value[3:]) is None
    assert read_location(value + b"\0") is None


@pytest.mark.req("xor.codec.unknown-type", "xor.codec.empty-route")
@pytest.mark.parametrize(
    "value",
    [
        b"",
        bytes.fromhex("00 0000"),
        bytes.fromhex("09 0003 616263"),  # a type of the future
        bytes.fromhex("02 0003 00 0000"),  # a route to nowhere
        bytes.fromhex("02 0016 00 0013 02 11 10") + NODE,  # ends at a resource
        bytes.fromhex("01 0004 0002 fffe"),  # no UTF-8
        bytes.fromhex("01 0003 0001 40"),  # "@" is no address
    ],
)
def test_what_cannot_be_used_is_skipped(value: bytes) -> None:
    assert read_location(value) is None


@pytest.mark.req("xor.kind-id")
def test_the_kind_is_0x5_unless_the_overlay_says_otherwise() -> None:
    assert location_kind([]).id == 0x5
    other = KindDefinition(0xF0000005, "XMPP-LOCATION", DataModel.DICTIONARY, "USER-NODE-MATCH", 4, 100)
    unrelated = KindDefinition(0x5, "SOFTWARE-VERSION", DataModel.SINGLE, "NODE-MATCH", 1, 100)
    assert location_kind([unrelated, other]) is other


def test_the_largest_address_fits_a_value() -> None:
    assert len(forward_to("x" * 1023 + "@" + ".".join(["a" * 63] * 15 + ["a" * 62]))) <= XMPP_LOCATION.max_size
