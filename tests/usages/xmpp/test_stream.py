"""One end of a stream between two devices, seen from the wire (RFC 6120 4, XEP-0415 1 and 6.1)."""

from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xor_fast import limits
from xor_fast.errors import StateError
from xor_fast.usages.xmpp.restricted_xml import StanzaError
from xor_fast.usages.xmpp.stream import Closed, Event, Failed, Opened, Stanza, StreamSession

ROMEO, JULIET = "romeo@montague.lit", "juliet@capulet.lit"
ERRORS = "{urn:ietf:params:xml:ns:xmpp-streams}"


def header(sender: str | None = ROMEO, to: str | None = JULIET, version: str | None = "1.0") -> bytes:
    attributes = {"from": sender, "to": to, "version": version}
    given = "".join(f" {key}='{value}'" for key, value in attributes.items() if value is not None)
    return f"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'{given}>".encode()


def juliet() -> StreamSession:
    """The answering end."""
    return StreamSession(False, JULIET, ROMEO, "an id")


def pair() -> tuple[StreamSession, StreamSession]:
    romeo, other = StreamSession(True, ROMEO, JULIET, "unused"), juliet()
    romeo.start()
    other.receive(romeo.take())
    romeo.receive(other.take())
    return romeo, other


def document(data: bytes) -> Element:
    """What one end has sent in all, read by ElementTree's own parser."""
    return ElementTree.fromstring(data)


def condition(data: bytes) -> str:
    """The stream error in a whole stream that one end has sent."""
    (error,) = document(data).iter("{http://etherx.jabber.org/streams}error")
    return error[0].tag.removeprefix(ERRORS)


@pytest.mark.req("xor.stream-opening")
def test_the_requester_opens_and_the_answerer_answers() -> None:
    romeo, other = StreamSession(True, ROMEO, JULIET, "unused"), juliet()
    other.start()
    assert other.take() == b"", "the answering side waits"
    romeo.start()
    opening = romeo.take()
    assert romeo.receive(b"") == []
    assert other.receive(opening) == [Opened()]
    answer = other.take()
    assert romeo.receive(answer) == [Opened()]
    first, second = document(opening + b"</stream:stream>"), document(answer + b"</stream:stream>")
    for root, sender, to in ((first, ROMEO, JULIET), (second, JULIET, ROMEO)):
        assert root.tag == "{http://etherx.jabber.org/streams}stream"
        assert (root.get("from"), root.get("to"), root.get("version")) == (sender, to, "1.0")
    assert first.get("id") is None
    assert second.get("id") == "an id"


@pytest.mark.req("xor.no-starttls")
def test_no_starttls_is_offered_or_taken() -> None:
    other = juliet()
    other.receive(header())
    (features,) = document(other.take() + b"</stream:stream>")
    assert features.tag == "{http://etherx.jabber.org/streams}features"
    assert len(features) == 0
    events = other.receive(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    assert events == [Failed("unsupported-stanza-type", "", True)]


def test_stanzas_go_both_ways() -> None:
    romeo, other = pair()
    message = Element("{jabber:client}message", {"to": JULIET})
    SubElement(message, "{jabber:client}body").text = "soft & <light>"
    romeo.send(message)
    assert message.get("from") is None, "the caller's element stays as it was"
    (stanza,) = other.receive(romeo.take())
    assert isinstance(stanza, Stanza)
    assert stanza.element.findtext("{jabber:client}body") == "soft & <light>"
    assert stanza.element.get("from") == ROMEO
    other.send("<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>")
    other.send(f"<presence from='{JULIET}/balcony'/>")
    iq, presence = romeo.receive(other.take())
    assert isinstance(iq, Stanza)
    assert isinstance(presence, Stanza)
    assert (iq.element.tag, iq.element[0].tag) == ("{jabber:client}iq", "{urn:xmpp:ping}ping")
    assert presence.element.get("from") == f"{JULIET}/balcony"


@pytest.mark.parametrize(
    "stanza",
    [
        "<foo/>",
        "<message xmlns='jabber:server'/>",
        "<message from='tybalt@capulet.lit'/>",
        "<message/><message/>",
        "</stream:stream>",
        Element("message"),
        f"<message><body>{'x' * limits.MAX_STANZA_SIZE}</body></message>",
    ],
)
def test_our_own_faults_are_told_to_us_and_not_to_the_peer(stanza: Element | str) -> None:
    romeo, _ = pair()
    with pytest.raises(StanzaError):
        romeo.send(stanza)
    assert romeo.take() == b""
    romeo.send("<message/>")


@pytest.mark.req("xor.stream-identity")
@pytest.mark.parametrize(
    "sender", ["tybalt@capulet.lit", "montague.lit", None, "", "romeo@montague.lit.evil", f"{ROMEO}/"]
)
def test_a_header_from_someone_else_is_refused(sender: str | None) -> None:
    other = juliet()
    events = other.receive(header(sender) + b"<message/>")
    assert [(type(event), getattr(event, "condition", "")) for event in events] == [(Failed, "invalid-from")]
    assert condition(other.take()) == "invalid-from"
    assert other.is_over


@pytest.mark.req("xor.stream-identity")
def test_the_answering_side_is_held_to_its_address_too() -> None:
    romeo = StreamSession(True, ROMEO, JULIET, "")
    romeo.start()
    events = romeo.receive(header("tybalt@capulet.lit", ROMEO) + b"<stream:features/><message/>")
    assert [event.condition for event in events if isinstance(event, Failed)] == ["invalid-from"]
    assert len(events) == 1


@pytest.mark.req("xor.stream-identity")
@pytest.mark.parametrize("tag", ["message", "presence", "iq"])
@pytest.mark.parametrize("sender", ["juliet@capulet.lit", "tybalt@capulet.lit/x", "romeo@montague.lit@x/y", "", "/x"])
def test_a_stanza_from_someone_else_ends_the_stream(sender: str, tag: str) -> None:
    other = juliet()
    other.receive(header())
    sent = other.take()
    events = other.receive(f"<message id='1'/><{tag} from='{sender}'/><message id='2'/></stream:stream>".encode())
    assert [type(event) for event in events] == [Stanza, Failed]
    assert condition(sent + other.take()) == "invalid-from"
    assert other.receive(b"<message/>") == []
    with pytest.raises(StateError):
        other.send("<message/>")


@pytest.mark.req("xor.stream-identity")
@pytest.mark.parametrize("sender", [ROMEO, f"{ROMEO}/0123", "Romeo@MONTAGUE.lit/x/y@z"])
def test_the_peers_own_address_with_and_without_resource_is_fine(sender: str) -> None:
    other = juliet()
    (opened, stanza) = other.receive(header(sender) + f"<message from='{sender}'/>".encode())
    assert opened == Opened()
    assert isinstance(stanza, Stanza)
    assert stanza.element.get("from") == sender


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (header(to="tybalt@capulet.lit"), "host-unknown"),
        (header(version=None), "unsupported-version"),
        (header(version="0.9"), "unsupported-version"),
        (header(version="x"), "unsupported-version"),
        (header() + b"<message", None),
        (header() + b"<stream:features/>", "unsupported-stanza-type"),
        (header() + b"<message xmlns='jabber:server'/>", "unsupported-stanza-type"),
        (header() + b"<message><?x y?></message>", "restricted-xml"),
        (b"<?xml version='1.0'?><foo/>", "bad-format"),
        (b"\x16\x03\x01\x02", "not-well-formed"),
        (b"GET / HTTP/1.1\r\n", "not-well-formed"),
    ],
)
def test_a_broken_stream_is_answered_with_a_well_formed_error(sent: bytes, expected: str | None) -> None:
    other = juliet()
    events = other.receive(sent)
    failures = [event.condition for event in events if isinstance(event, Failed)]
    assert failures == ([expected] if expected else [])
    if expected:
        assert condition(other.take()) == expected  # 4.9.1.2: header, error, closing tag


def test_versions_above_ours_are_fine() -> None:
    assert juliet().receive(header(to=None, version="1.5")) == [Opened()]


@pytest.mark.req("xor.stream-close")
def test_both_sides_close() -> None:
    romeo, other = pair()
    romeo.send("<message/>")
    romeo.close()
    romeo.close()
    last = romeo.take()
    assert last.endswith(b"</stream:stream>")
    assert last.count(b"</stream:stream>") == 1
    with pytest.raises(StateError):
        romeo.send("<message/>")
    other.send("<message id='on its way'/>")  # sent before romeo's closing tag arrived
    crossing = other.take()
    events = other.receive(last)
    assert [type(event) for event in events] == [Stanza, Closed]
    answer = other.take()
    assert answer == b"</stream:stream>"
    events = romeo.receive(crossing + answer)
    assert [type(event) for event in events] == [Stanza, Closed]
    assert romeo.take() == b""
    assert romeo.receive(b"<message/>") == []


def test_closing_before_the_peer_has_opened_gives_a_whole_stream() -> None:
    other = juliet()
    other.close()
    sent = other.take()
    assert document(sent).tag.endswith("}stream")
    assert other.receive(header() + b"</stream:stream>") == [Closed()]
    assert other.take() == b""


def test_an_error_of_the_peer_is_reported() -> None:
    romeo, other = pair()
    error = (
        b"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
        b"<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>bye</text></stream:error></stream:stream>"
    )
    assert romeo.receive(error) == [Failed("conflict", "bye", False)]
    assert romeo.take() == b"</stream:stream>"
    assert not romeo.is_open
    other.receive(b"<message from='x@y'/>")
    fresh, _ = pair()
    (failed,) = fresh.receive(other.take())
    assert failed == Failed("invalid-from", "from must be the address in the certificate", False)


def test_a_space_keeps_the_stream_alive_and_means_nothing() -> None:
    romeo, other = pair()
    romeo.keep_alive()
    assert romeo.take() == b" "
    assert other.receive(b" ") == []
    romeo.close()
    romeo.take()
    romeo.keep_alive()
    assert romeo.take() == b""


@pytest.mark.parametrize("cut", [1, 3, 10_000])
def test_the_cut_of_the_bytes_makes_no_difference(cut: int) -> None:
    data = header() + b"<message from='romeo@montague.lit/a'/> <iq><q xmlns='x'/></iq><presence from='x@y'/><message/>"
    other = juliet()
    events: list[Event] = []
    for start in range(0, len(data), cut):
        events += other.receive(data[start : start + cut])
    assert [type(event) for event in events] == [Opened, Stanza, Stanza, Failed]


WORDS = (
    b"<message/> <iq_from='x@y'/> </stream:stream> <stream:error/> <a > ' &#0; <!-- ]]> xmlns='' /> <stream:features/>"
)
PIECES = st.sampled_from([*(word.replace(b"_", b" ") for word in WORDS.split()), header(), b" ", b"\0", b"\xff"])


@given(st.lists(PIECES | st.binary(max_size=8), max_size=12), st.booleans())
def test_whatever_comes_is_answered_with_a_well_formed_stream(pieces: list[bytes], greeted: bool) -> None:
    """Nothing a peer sends raises; what we answer parses, whole or as the beginning of a document."""
    other = juliet()
    sent = b""
    events: list[Event] = []
    for piece in [header(), *pieces] if greeted else pieces:
        events += other.receive(piece)
        sent += other.take()
    parser = ElementTree.XMLPullParser()
    parser.feed(sent)
    if other.is_over:
        assert isinstance(events[-1], Closed | Failed)
        parser.close()
    assert sum(isinstance(event, Closed | Failed) for event in events) == other.is_over
