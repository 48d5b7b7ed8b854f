"""An XMPP stream between two devices (RFC 6120 4) over TLS that has already proved who each side is.

Sans-I/O: bytes in, events out, bytes to be sent from `take()`. The certificates are the authentication, so there is no
STARTTLS (XEP-0415 6.1), no SASL and no resource binding (notes 8.16): the requester of the AppAttach opens the stream,
the other answers with its header and empty features, and from then on both send stanzas until both have closed.
"""

from typing import NamedTuple
from xml.etree.ElementTree import Element

from xor_fast import limits
from xor_fast.errors import StateError
from xor_fast.usages.xmpp.jid import JIDError, prepare_bare, split_resource
from xor_fast.usages.xmpp.restricted_xml import (
    NS_CLIENT,
    NS_STREAM,
    End,
    Header,
    Item,
    StanzaError,
    StreamError,
    XmlReader,
    parse_stanza,
    quote,
    serialise,
)

_NS_ERRORS = "urn:ietf:params:xml:ns:xmpp-streams"
_FEATURES = f"{{{NS_STREAM}}}features"
_ERROR = f"{{{NS_STREAM}}}error"
_STANZAS = frozenset(f"{{{NS_CLIENT}}}{name}" for name in ("message", "presence", "iq"))


class Opened(NamedTuple):
    """Both headers are exchanged: stanzas may go."""


class Stanza(NamedTuple):
    """element has `from`, the peer's bare JID or a full JID of it. size: bytes it took on the wire."""

    element: Element
    size: int


class Closed(NamedTuple):
    """Both sides have closed: nothing comes any more, and the connection may go once `take()` is sent."""


class Failed(NamedTuple):
    """The stream ended with an error (RFC 6120 4.9.3); is_ours: we found the fault, the peer was told."""

    condition: str
    text: str
    is_ours: bool


Event = Opened | Stanza | Closed | Failed


class StreamSession:
    """One end of a stream.

    initiator: we sent the AppAttach, so we open (XEP-0415 1). own, peer: prepared bare JIDs, as in the certificates.
    stream_id: unpredictable text, used by the answering side (RFC 6120 4.7.3). sender: `from` of our stanzas that have
    none; our bare JID if this is "".
    """

    def __init__(self, initiator: bool, own: str, peer: str, stream_id: str, sender: str = "") -> None:
        self.initiator = initiator
        self.own = own
        self.peer = peer
        self.is_open: bool = False  # stanzas may be sent
        self.is_over: bool = False  # nothing more comes out of this session
        self._stream_id = stream_id
        self._sender = sender or own
        self._reader = XmlReader()
        self._out: list[str] = []
        self._header_sent = False
        self._closed = False  # our </stream:stream> is sent

    def take(self) -> bytes:
        """What is to be sent now; may be empty."""
        data = "".join(self._out).encode()
        self._out.clear()
        return data

    # --- what the owner does -------------------------------------------------------------------------

    def start(self) -> None:
        """The initiator opens; the other side waits for that."""
        if self.initiator:
            self._send_header()

    def send(self, stanza: Element | str) -> None:
        """A message, presence or iq, as an element or as XML text (there jabber:client is the default namespace).

        Without `from` it gets ours. StanzaError if it cannot be sent; StateError if the stream is
        not open.
        """
        if not self.is_open:
            raise StateError("this stream is not open: nothing can be sent on it")
        element = parse_stanza(stanza) if isinstance(stanza, str) else stanza
        if element.tag not in _STANZAS:
            raise StanzaError(f"only message, presence and iq of the namespace {NS_CLIENT} are stanzas")
        sender = element.get("from")
        if sender is None:
            element = _with_sender(element, self._sender)
        elif not _is_address_of(sender, self.own):
            raise StanzaError(f"from={sender[:80]!a} is not our address {self.own}: the peer would close the stream")
        text = serialise(element)
        if len(text.encode()) > limits.MAX_STANZA_SIZE:
            raise StanzaError(f"this stanza is longer than {limits.MAX_STANZA_SIZE} bytes")
        self._out.append(text)

    def keep_alive(self) -> None:
        """A space between stanzas (RFC 6120 4.6.1), to be sent at least every 25 s (RFC 6940 6.5.2.1)."""
        if self.is_open:
            self._out.append(" ")

    def close(self) -> None:
        """Say that we send nothing more. What the peer still sends is received, until it closes too: Closed."""
        if not self._closed:
            self._send_header()
            self._out.append("</stream:stream>")
            self._closed = True
            self.is_open = False

    # --- what the peer does --------------------------------------------------------------------------

    def receive(self, data: bytes | memoryview) -> list[Event]:
        """What these bytes mean. After Closed or Failed further bytes mean nothing."""
        events: list[Event] = []
        if self.is_over:
            return events
        try:
            for item in self._reader.feed(data):
                self._on_item(item, events)
                if self.is_over:
                    break
        except StreamError as error:
            self._fail(error, events)
        return events

    def _on_item(self, item: Item, events: list[Event]) -> None:
        if isinstance(item, Header):
            self._on_header(item.attributes, events)
        elif isinstance(item, End):
            self.close()  # 4.4: both sides close
            self._end(events, Closed())
        elif item.element.tag == _ERROR:
            condition, text = _read_error(item.element)
            self.close()
            self._end(events, Failed(condition, text, False))
        elif item.element.tag == _FEATURES and self.initiator:
            self._open(events)  # 4.3.2; what it offers is not for us: there is nothing to negotiate
        elif item.element.tag in _STANZAS:
            self._open(events)  # a peer that sends no features at all is understood too
            self._check_sender(item.element)
            events.append(Stanza(item.element, item.size))
        else:
            raise StreamError("unsupported-stanza-type")  # 4.9.3.24; starttls and SASL are among them

    def _on_header(self, attributes: dict[str, str], events: list[Event]) -> None:
        sender = attributes.get("from")
        if sender is None or not _is_address_of(sender, self.peer):
            raise StreamError("invalid-from", "from must be the address in the certificate")  # 4.9.3.9
        to = attributes.get("to")
        if to is not None and not _is_address_of(to, self.own):
            raise StreamError("host-unknown")  # 4.9.3.6
        if not _is_version_1(attributes.get("version")):
            raise StreamError("unsupported-version")  # 4.7.5
        if not self.initiator:
            self._send_header()
            if not self._closed:
                self._out.append("<stream:features/>")  # 4.3.2: nothing to negotiate
            self._open(events)

    def _check_sender(self, stanza: Element) -> None:
        """8.1.2.1, with the certificate in the place of the bound resource."""
        sender = stanza.get("from")
        if sender is None:
            stanza.set("from", self.peer)
        elif not _is_address_of(sender, self.peer):
            raise StreamError("invalid-from", "from must be the address in the certificate")

    def _open(self, events: list[Event]) -> None:
        if not self.is_open and not self._closed:
            self.is_open = True
            events.append(Opened())

    def _fail(self, error: StreamError, events: list[Event]) -> None:
        if not self._closed:
            self._send_header()  # 4.9.1.2: an error stands inside a stream, so there has to be one
            about = f"<text xmlns='{_NS_ERRORS}'>{_plain(error.text)}</text>" if error.text else ""
            self._out.append(
                f"<stream:error><{error.condition} xmlns='{_NS_ERRORS}'/>{about}</stream:error></stream:stream>"
            )
            self._closed = True
        self._end(events, Failed(error.condition, error.text, True))

    def _end(self, events: list[Event], event: Event) -> None:
        self.is_open = False
        self.is_over = True
        events.append(event)

    def _send_header(self) -> None:
        if self._header_sent:
            return
        self._header_sent = True
        stream_id = "" if self.initiator else f" id={quote(self._stream_id)}"
        self._out.append(
            f"<?xml version='1.0'?><stream:stream xmlns='{NS_CLIENT}' xmlns:stream='{NS_STREAM}'"
            f" from={quote(self.own)} to={quote(self.peer)}{stream_id} version='1.0' xml:lang='en'>"
        )


def _is_address_of(address: str, bare: str) -> bool:
    """Is this the bare JID, or a full JID of it?"""
    if address == bare:
        return True
    if address.startswith(f"{bare}/"):
        return split_resource(address)[1] != ""
    try:
        return prepare_bare(address) == bare  # a peer may write it as its user typed it
    except JIDError:
        return False


def _is_version_1(version: str | None) -> bool:
    """4.7.5: a major version we know; without one it is the XMPP of before the RFCs."""
    major = (version or "0").partition(".")[0]
    return major.isascii() and major.isdigit() and int(major[:9]) >= 1


def _with_sender(stanza: Element, sender: str) -> Element:
    """The same stanza with `from`, the caller's own element left as it is."""
    copy = Element(stanza.tag, {**stanza.attrib, "from": sender})
    copy.text = stanza.text
    copy.extend(stanza)
    return copy


def _read_error(element: Element) -> tuple[str, str]:
    """Condition and text of a received <stream:error/>."""
    condition, text = "undefined-condition", ""
    for child in element:
        namespace, _, name = child.tag.rpartition("}")
        if namespace == f"{{{_NS_ERRORS}":
            if name == "text":
                text = child.text or ""
            else:
                condition = name
    return condition[:64], text[:256]


def _plain(text: str) -> str:
    """Text of our own for the peer: expat's words about a fault may quote what was sent, so keep to plain ASCII."""
    return "".join(letter for letter in text if letter.isascii() and letter.isprintable() and letter not in "<>&")
