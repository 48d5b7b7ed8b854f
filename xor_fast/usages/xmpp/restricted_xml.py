"""The XML of a stream, read and written. RFC 6120 11.1 allows no DTD, comment, processing instruction or entity.

Read from a peer who may be hostile, so everything has a bound: the bytes of one stanza, of one tag, the depth, and the
names of a stream's whole life, because expat remembers each name it has met until its end.
"""

import pyexpat
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple
from xml.etree.ElementTree import Element, TreeBuilder

from xor_fast import limits
from xor_fast.errors import OwnerError

NS_STREAM = "http://etherx.jabber.org/streams"
NS_CLIENT = "jabber:client"
_NS_XML = "http://www.w3.org/XML/1998/namespace"
_NS_XMLNS = "http://www.w3.org/2000/xmlns/"
_STREAM = f"{{{NS_STREAM}}}stream"
_UNDEFINED_ENTITY = 11  # XML_ERROR_UNDEFINED_ENTITY of expat
_CDATA = b"<![CDATA["
_COMMENT = b"<!--"
_TOKEN = re.compile(  # whole markup; what can never become whole is let through, for expat to say what is wrong with it
    rb"""(?xs) [^<&]+
    | & [^;<&]*+ (?: ; | (?=[<&]) )
    | <!\[CDATA\[
    | <\? .*? \?>
    | < (?! \? | !-- ) (?> [^"'<>]+ | "[^"]*" | '[^']*' )*+ (?: > | (?=<) )"""
)


class StreamError(Exception):
    """What a peer sent breaks the stream; condition is one of RFC 6120 4.9.3. Never leaves this package."""

    def __init__(self, condition: str, text: str = "") -> None:
        super().__init__(condition, text)
        self.condition = condition
        self.text = text


class StanzaError(OwnerError):
    """A stanza of our own that cannot be sent; the text says what is wrong with it."""


class Header(NamedTuple):
    """The start tag of a stream."""

    attributes: dict[str, str]


class TopLevel(NamedTuple):
    """A whole child of the stream; size: bytes it took on the wire."""

    element: Element
    size: int


class End(NamedTuple):
    """</stream:stream>"""


Item = Header | TopLevel | End


class XmlReader:
    """Bytes in, whole children of the stream out; the same items however the bytes are cut.

    A tag up to MAX_TAG_SIZE bytes is always read, one of twice that never.
    """

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._names: dict[str, str] = {}
        self._names_size = 0
        self._depth = 0
        self._fed = 0
        self._unfinished = b""
        self._in_cdata = False
        self._stanza_start = 0
        self._builder = TreeBuilder()
        # No shared table of names: ours is counted. The prefix is asked for because expat keeps names with it.
        parser = self._parser = pyexpat.ParserCreate("utf-8", "}", None)
        parser.namespace_prefixes = True
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._restricted
        parser.ProcessingInstructionHandler = self._restricted
        parser.CommentHandler = self._restricted

    def feed(self, data: bytes | memoryview) -> Iterator[Item]:
        """Yield what these bytes complete; StreamError after the items before the fault. Do not feed it again then."""
        view = memoryview(data)
        for start in range(0, len(view), limits.MAX_TAG_SIZE):
            fault = self._parse(bytes(view[start : start + limits.MAX_TAG_SIZE]))
            items, self._items = self._items, []
            yield from items
            if fault is not None:
                raise fault

    def _parse(self, piece: bytes) -> StreamError | None:
        piece = self._unfinished + piece
        try:
            # Whatever it is told, expat reads UTF-16 if the first two bytes look like it: a byte order mark, or a zero.
            # RFC 6120 11.6 allows UTF-8 without a mark only.
            if self._fed < 2 and (piece[0] >= 0xEF or 0 in piece[:2]):
                raise StreamError("unsupported-encoding")
            whole = self._whole(piece)
            self._unfinished = piece[whole:]  # scanned again when more comes, hence its bound
            self._fed += whole
            self._parser.Parse(piece[:whole], False)
            if self._unfinished.startswith(_COMMENT):
                raise StreamError("restricted-xml")
            self._bound(len(self._unfinished), limits.MAX_TAG_SIZE, "tag")
            start = self._stanza_start if self._depth > 1 else self._parser.CurrentByteIndex
            self._bound(self._fed + len(self._unfinished) - start, limits.MAX_STANZA_SIZE, "stanza")
        except StreamError as error:
            return error
        except pyexpat.ExpatError as error:
            # 4.9.3.18: a reference to an entity that only a DTD could have defined
            restricted = error.code == _UNDEFINED_ENTITY
            return StreamError("restricted-xml" if restricted else "not-well-formed", str(error))
        return None

    def _whole(self, data: bytes) -> int:
        """Where the last whole markup of `data` ends.

        expat gets no more than that: given an unfinished tag it waits for about twice as many bytes before it looks
        again (since 2.6, and in Debian's 2.5), so a stanza whose last byte comes alone would be held back.
        """
        at = 0
        while True:
            if self._in_cdata:
                end = data.find(b"]]>", at)
                if end < 0:
                    return max(at, len(data) - 2)  # the two may be the beginning of its end
                self._in_cdata, at = False, end + 3
            token = _TOKEN.match(data, at)
            if token is None:
                return at
            at = token.end()
            self._in_cdata = token[0] == _CDATA

    def _bound(self, size: int, limit: int, what: str) -> None:
        if size > limit:
            raise StreamError("policy-violation", f"a {what} is longer than {limit} bytes")

    # --- what expat calls ----------------------------------------------------------------------------

    def _start(self, raw: str, attributes: dict[str, str]) -> None:
        tag = self._name(raw)
        named = {self._name(name): value for name, value in attributes.items()}
        if self._depth == 0:
            if tag != _STREAM:
                # 4.9.3.10 and 4.9.3.1
                raise StreamError("invalid-namespace" if tag.endswith("}stream") else "bad-format")
            self._items.append(Header(named))
        else:
            if self._depth > limits.MAX_STANZA_DEPTH:
                raise StreamError("policy-violation", f"elements are nested deeper than {limits.MAX_STANZA_DEPTH}")
            if self._depth == 1:
                self._stanza_start = self._parser.CurrentByteIndex
                self._builder = TreeBuilder()
            self._builder.start(tag, named)
        self._depth += 1

    def _end(self, raw: str) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._items.append(End())
            return
        self._builder.end(self._name(raw))
        if self._depth == 1:
            size = self._parser.CurrentByteIndex - self._stanza_start
            if size > limits.MAX_STANZA_SIZE:
                raise StreamError("policy-violation", f"a stanza is longer than {limits.MAX_STANZA_SIZE} bytes")
            self._items.append(TopLevel(self._builder.close(), size))

    def _text(self, text: str) -> None:
        if self._depth > 1:
            self._builder.data(text)
        elif text.strip(" \t\r\n"):  # 4.4: whitespace between stanzas keeps the connection alive
            raise StreamError("bad-format", "text between stanzas")

    def _declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding is not None and encoding.lower() != "utf-8":
            raise StreamError("unsupported-encoding")

    def _restricted(self, *_: object) -> None:
        raise StreamError("restricted-xml")

    def _name(self, raw: str) -> str:
        """expat's "uri}local}prefix" as ElementTree's "{uri}local"."""
        name = self._names.get(raw)
        if name is None:
            self._names_size += len(raw) + 64  # and what a table entry takes
            if self._names_size > limits.MAX_STREAM_NAMES_SIZE:
                raise StreamError("resource-constraint", "too many different names in one stream")
            uri, bracket, rest = raw.partition("}")
            name = self._names[raw] = f"{{{uri}}}{rest.partition('}')[0]}" if bracket else raw
        return name


def parse_stanza(text: str) -> Element:
    """One stanza as XML text; what carries no xmlns is in jabber:client. StanzaError if it is not just that."""
    reader = XmlReader()
    try:
        list(reader.feed(f"<s:stream xmlns:s='{NS_STREAM}' xmlns='{NS_CLIENT}'>".encode()))
        found = list(reader.feed(text.encode()))
        rest = list(reader.feed(b"</s:stream>"))
    except (StreamError, UnicodeError) as error:
        raise StanzaError(f"this stanza cannot be sent: {' '.join(map(str, error.args)).strip()}") from None
    if len(found) != 1 or not isinstance(found[0], TopLevel) or rest != [End()]:
        raise StanzaError("one stanza at a time: the text must be a single XML element")
    return found[0].element


# --- writing ----------------------------------------------------------------------------------------


def serialise(element: Element) -> str:
    """An element as XML inside a stream whose default namespace is jabber:client. StanzaError if it has no XML form."""
    parts: list[str] = []
    _write(element, NS_CLIENT, 1, parts)
    return "".join(parts)


def _write(element: Element, default: str, depth: int, parts: list[str]) -> None:
    if depth > limits.MAX_STANZA_DEPTH:
        raise StanzaError(f"elements are nested deeper than {limits.MAX_STANZA_DEPTH}")
    namespace, name = _split(element.tag)
    parts.append(f"<{name}")
    if namespace == _NS_XML:
        raise StanzaError("no element is in the namespace of xml:lang")
    if namespace != default:
        parts.append(f" xmlns={quote(namespace)}")
    for number, (key, value) in enumerate(element.attrib.items()):
        uri, attribute = _split(key)
        if uri == _NS_XML:
            attribute = f"xml:{attribute}"
        elif uri:
            parts.append(f" xmlns:n{number}={quote(uri)}")
            attribute = f"n{number}:{attribute}"
        parts.append(f" {attribute}={quote(value)}")
    if element.text or len(element):
        parts.append(f">{escape(element.text or '')}")
        for child in element:
            _write(child, namespace, depth + 1, parts)
            parts.append(escape(child.tail or ""))
        parts.append(f"</{name}>")
    else:
        parts.append("/>")


def _split(tag: object) -> tuple[str, str]:
    """ "{uri}local" as (uri, local); a name without namespace has the uri ""."""
    if not isinstance(tag, str):  # ElementTree's comments and processing instructions have a function there
        raise StanzaError("a stanza has neither comments nor processing instructions")
    uri, local = tag[1:].rsplit("}", 1) if tag.startswith("{") and "}" in tag else ("", tag)
    if not _is_name(local) or tag == "xmlns":
        raise StanzaError(f"{local[:80]!a} is not a name of XML; a namespace is written as '{{namespace}}name'")
    if "}" in uri or uri == _NS_XMLNS:  # the former cannot be told from the end of a namespace by most readers
        raise StanzaError(f"{uri[:80]!a} cannot be the namespace of anything")
    return uri, local


@lru_cache(1024)
def _is_name(name: str) -> bool:
    """Does the reader of the other side, an XML parser like ours, take this for the name of an element?"""
    met: list[str] = []
    parser = pyexpat.ParserCreate("utf-8")
    parser.StartElementHandler = lambda tag, _: met.append(tag)
    try:
        parser.Parse(f"<{name}/>".encode(), True)
    except (pyexpat.ExpatError, UnicodeError):
        return False
    return met == [name] and ":" not in name


def escape(text: str) -> str:
    """Character data; a carriage return would come out as a line feed if it were not written as a reference."""
    _require_characters(text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def quote(value: str) -> str:
    """An attribute's value in its quotes; white space other than the blank would be read as blanks."""
    escaped = escape(value).replace('"', "&quot;").replace("\t", "&#9;").replace("\n", "&#10;")
    return f'"{escaped}"'


_NO_CHARACTER = {
    code: None for code in (*range(0x20), 0xFFFE, 0xFFFF, *range(0xD800, 0xE000)) if code not in (9, 10, 13)
}


def _require_characters(text: str) -> None:
    """XML 1.0 2.2: most control characters cannot be written at all, not even as references."""
    if not isinstance(text, str):
        raise StanzaError(f"texts and attributes of a stanza are str, not {type(text).__name__}")
    if text.isascii() and text.isprintable():
        return
    if len(text.translate(_NO_CHARACTER)) != len(text):
        raise StanzaError("a stanza cannot carry control characters, surrogates, U+FFFE or U+FFFF")
