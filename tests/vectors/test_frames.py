"""Frames and their ACKs (RFC 6940 6.6.2), and RELOAD URIs (14.15)."""

from typing import Any

import pytest

from tests.vectors.notation import cases, load, meaning, overlay_of, unhex
from xor_fast.cext import wire
from xor_fast.cext.ring import Ring
from xor_fast.cext.switch import Switch
from xor_fast.errors import WireError
from xor_fast.uri import parse_reload_uri


@pytest.mark.req("codec.framed-data", "codec.framed-ack")
@pytest.mark.parametrize("vector", cases("frames.json"))
def test_frames_and_acks(vector: dict[str, Any]) -> None:
    message, frames = unhex(vector["message"]), [unhex(frame) for frame in vector["frames"]]
    assert [wire.data_frame(n, message) for n in vector["sequences"]] == frames
    acks = list(zip(vector["sequences"], vector["received"], strict=True))
    assert [wire.ack_frame(*ack).hex() for ack in acks] == vector["acks"]
    stream = b"".join(frames + [unhex(ack) for ack in vector["acks"]])
    found = [(128, n, message) for n in vector["sequences"]] + [(129, n, mask) for n, mask in acks]
    assert wire.split_frames(stream) == (found, len(stream))


@pytest.mark.req("codec.framed-ack")
@pytest.mark.parametrize("vector", cases("frames.json"))
def test_the_acks_a_node_sends(vector: dict[str, Any]) -> None:
    switch = Switch(Ring(b"\xd9" * 16), 1)
    link = switch.open_link(0.0, b"\xd8" * 16)
    for frame in vector["frames"]:
        assert switch.receive(0.0, link, unhex(frame))
    assert b"".join(data for _, data in switch.sends()).hex() == "".join(vector["acks"])


URIS = load("uris.json")


@pytest.mark.req("codec.reload-uri")
@pytest.mark.parametrize("vector", [v for v in URIS if "is" in v], ids=lambda v: v["from"])
def test_a_uri_and_its_meaning(vector: dict[str, Any]) -> None:
    value = meaning(vector["is"])
    assert parse_reload_uri(vector["uri"], *overlay_of(vector)) == value
    assert str(value) == vector["written"]
    scheme, rest = vector["written"].split("://")
    route, at, rest = rest.partition("@")
    name, slash, data = rest.partition("/")
    shouted = f"{scheme.upper()}://{route.upper()}{at}{name}{slash}{data.upper()}"
    assert parse_reload_uri(shouted, *overlay_of(vector)) == value


@pytest.mark.req("codec.reload-uri")
@pytest.mark.parametrize("vector", [v for v in URIS if v.get("refused")], ids=lambda v: v["from"])
def test_what_is_no_uri(vector: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        parse_reload_uri(vector["uri"], *overlay_of(vector))


@pytest.mark.req("codec.reload-uri")
@pytest.mark.parametrize(
    ("destinations", "name"),
    [((), "overlay.example"), (({"struct": "Destination", "type": 3, "value": "8001"},), "overlay.example"),
     (({"struct": "Destination", "type": 1, "value": "a1*16"},), "over/lay"),
     (({"struct": "Destination", "type": 1, "value": "a1*16"},), "")],
)  # fmt: skip
def test_what_could_not_be_read_is_not_written(destinations: tuple[dict[str, Any], ...], name: str) -> None:
    value = meaning({"struct": "ReloadUri", "destination_list": list(destinations), "overlay_name": name})
    with pytest.raises(WireError):
        str(value)
