"""The XML of a stream from a hostile peer, and stanzas of our own on their way out (RFC 6120 11.1)."""

from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement, canonicalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xor_fast import limits
from xor_fast.usages.xmpp.restricted_xml import (
    End,
    Header,
    StanzaError,
    StreamError,
    TopLevel,
    XmlReader,
    parse_stanza,
    serialise,
)

HEAD = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
    b" from='a@b' version='1.0'>"
)


def read(data: bytes, cut: int = 0) -> list[Any]:
    """Items as plain values, the condition of a StreamError last; cut: bytes a piece, 0 for all at once."""
    reader, found = XmlReader(), []
    try:
        for start in range(0, len(data), cut or len(data)):
            for item in reader.feed(data[start : start + (cut or len(data))]):
                if isinstance(item, Header):
                    found.append(("open", item.attributes["from"]))
                elif isinstance(item, TopLevel):
                    found.append((ElementTree.tostring(item.element), item.size))
                elif isinstance(item, End):
                    found.append("end")
    except StreamError as error:
        found.append(error.condition)
    return found


STREAM = (
    HEAD
    + "<message><body>löse &amp; <![CDATA[<fest>]]></body></message> \r\n ".encode()
    + b"<iq><x xmlns='y' xml:lang='de'/></iq>"
    + b"</stream:stream>"
)


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 50])
def test_the_cut_of_the_bytes_makes_no_difference(cut: int) -> None:
    whole = read(STREAM)
    assert [item if isinstance(item, str) else item[0] for item in whole] == [
        "open",
        b'<ns0:message xmlns:ns0="jabber:client"><ns0:body>l&#246;se &amp; &lt;fest&gt;</ns0:body></ns0:message>',
        b'<ns0:iq xmlns:ns0="jabber:client" xmlns:ns1="y"><ns1:x xml:lang="de" /></ns0:iq>',
        "end",
    ]
    assert read(STREAM, cut) == whole


def test_a_stanza_is_there_with_its_last_byte() -> None:
    reader = XmlReader()
    list(reader.feed(HEAD))
    stanza = b"<message to='juliet@capulet.lit'><body>hello</body></message>"
    for byte in stanza[:-1]:
        assert not list(reader.feed(bytes([byte])))
    assert [type(item) for item in reader.feed(stanza[-1:])] == [TopLevel]


def test_what_stands_before_a_fault_is_read() -> None:
    for fault in (b"<!-- x", b"<?x y?>", b"x", b"</x>", b"&x;"):
        assert [type(item) for item in read(HEAD + b"<iq/>" + fault)] == [tuple, tuple, str]


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 0])
def test_no_cut_splits_what_looks_like_markup(cut: int) -> None:
    """Quotes, angle brackets and the ends of sections where they mean nothing."""
    body = "<b xmlns='' a='>\"' c=\"'&lt;>'\">]] ' \" > <![CDATA[ ]] ]>' <!-- \" ]]>&#x1F339;&gt;\N{ROSE}</b>"
    (_, (text, _)) = read(HEAD + f"<message>{body}</message>".encode(), cut)
    (inner,) = ElementTree.fromstring(text)
    assert canonicalize(ElementTree.tostring(inner, "unicode")) == canonicalize(body)


@pytest.mark.parametrize("cut", [0, 1])
@pytest.mark.parametrize(
    ("data", "condition"),
    [
        (b"<!DOCTYPE s [<!ENTITY a 'x'>]>" + HEAD[21:], "restricted-xml"),
        (b"<!DOCTYPE s SYSTEM 'http://x/'>" + HEAD[21:], "restricted-xml"),
        (HEAD + b"<message><!-- x --></message>", "restricted-xml"),
        (HEAD + b"<?php ?>", "restricted-xml"),
        (HEAD + b"<message>&foo;</message>", "restricted-xml"),
        (HEAD + b"<message a='&foo;'/>", "restricted-xml"),
        (b"<iq xmlns='x'>", "bad-format"),
        (b"<s:stream xmlns:s='x'>", "invalid-namespace"),
        (b"\xef\xbb\xbf" + HEAD, "unsupported-encoding"),
        (HEAD.decode().encode("utf-16"), "unsupported-encoding"),
        (HEAD[21:].decode().encode("utf-16-le"), "unsupported-encoding"),
        (HEAD[21:].decode().encode("utf-16-be"), "unsupported-encoding"),
        (b"GET / HTTP/1.1\r\n", "not-well-formed"),
        (b"<?xml version='1.0' encoding='iso-8859-1'?>" + HEAD[21:], "unsupported-encoding"),
        (HEAD + b"<message>\xff</message>", "not-well-formed"),
        (HEAD + b"<message>\x00</message>", "not-well-formed"),
        (HEAD + b"<message>&#1;</message>", "not-well-formed"),
        (HEAD + b"<p:message/>", "not-well-formed"),
        (HEAD + b"<message></iq>", "not-well-formed"),
        (HEAD + b"<message xmlns='a}message'/>", "not-well-formed"),
        (HEAD + b"hello", "bad-format"),
    ],
)
def test_what_is_refused(data: bytes, condition: str, cut: int) -> None:
    assert read(data, cut)[-1] == condition


@pytest.mark.parametrize("cut", [0, 1000])
@pytest.mark.parametrize(
    "junk",
    [
        b"<message>" + b"x" * (limits.MAX_STANZA_SIZE + 1000) + b"</message>",
        b"<message>" + b"<a/>" * (limits.MAX_STANZA_SIZE // 4 + 1000) + b"</message>",
        b"<message>" + b"&#65;" * (limits.MAX_STANZA_SIZE // 5 + 1000) + b"</message>",
        b"<message a='" + b">" * (2 * limits.MAX_TAG_SIZE) + b"'/>",
        b"<message " + b" " * (2 * limits.MAX_TAG_SIZE) + b"/>",
        b"<" + b"m" * (2 * limits.MAX_TAG_SIZE),
        b"<message>" * (limits.MAX_STANZA_DEPTH + 1),
    ],
)
def test_bounds(junk: bytes, cut: int) -> None:
    found = read(HEAD + b"<iq/>" + junk, cut)
    assert [item[0] for item in found[:-1]] == ["open", b'<ns0:iq xmlns:ns0="jabber:client" />']
    assert found[-1] == "policy-violation"


def test_what_is_inside_the_bounds_is_read() -> None:
    large = b"<message>" + b"x" * (limits.MAX_STANZA_SIZE - 50) + b"</message>"
    long_tag = b"<message a='" + b">" * (limits.MAX_TAG_SIZE - 50) + b"'/>"
    deep = (
        b"<message>" + b"<a>" * (limits.MAX_STANZA_DEPTH - 1) + b"</a>" * (limits.MAX_STANZA_DEPTH - 1) + b"</message>"
    )
    assert len(read(HEAD + large + long_tag + deep + b" " * 1_000_000 + b"<iq/>", 997)) == 5


def test_ever_new_names_do_not_fill_the_memory() -> None:
    """expat keeps each name, attribute and prefix of a stream: all three count."""
    for stanza in ("<a{}/>", "<a x{}='1'/>", "<p{0}:a xmlns:p{0}='n'/>"):
        stanzas = "".join(stanza.format(number) for number in range(20_000))
        assert read(HEAD + stanzas.encode())[-1] == "resource-constraint"


def test_the_same_names_again_are_free() -> None:
    reader = XmlReader()
    list(reader.feed(HEAD))
    for _ in range(20_000):
        list(reader.feed(b"<message a='1'/>"))


# --- writing ----------------------------------------------------------------------------------------


def wrap(text: str) -> str:
    return f"<w xmlns='jabber:client'>{text}</w>"


NAMESPACES = st.sampled_from(["", "{jabber:client}", "{y}", "{http://www.w3.org/2001/XMLSchema?a=b&c}"])
NAMES = st.sampled_from(["a", "body", "x-1", "_.b", "größe"])
CHARACTERS = st.characters(
    exclude_categories=["Cs"],
    exclude_characters=[chr(code) for code in (*range(32), 0xFFFE, 0xFFFF) if code not in (9, 10, 13)],
)
TEXTS = st.text(CHARACTERS, max_size=8) | st.sampled_from(["<&>\"'", "]]>", "\r\n\t ", "\r"])


@st.composite
def elements(draw: st.DrawFn, depth: int = 0) -> Element:
    attributes = draw(st.dictionaries(st.builds(str.__add__, NAMESPACES, NAMES), TEXTS, max_size=3))
    element = Element(draw(NAMESPACES) + draw(NAMES), attributes)
    element.text = draw(TEXTS)
    for _ in range(draw(st.integers(0, 2)) if depth < 3 else 0):
        child = draw(elements(depth=depth + 1))
        child.tail = draw(TEXTS)
        element.append(child)
    return element


def same(one: Element, other: Element) -> bool:
    return (
        (one.tag, one.attrib, one.text or "", one.tail or "")
        == (other.tag, other.attrib, other.text or "", other.tail or "")
        and len(one) == len(other)
        and all(map(same, one, other))
    )


@given(elements())
def test_what_is_written_reads_back_as_the_same_tree(element: Element) -> None:
    """Oracle: ElementTree's own parser, which has nothing of ours."""
    (back,) = ElementTree.fromstring(wrap(serialise(element)))
    assert same(element, back)


def test_jabber_client_is_the_default_namespace() -> None:
    message = Element("{jabber:client}message", {"to": "a@b", "{http://www.w3.org/XML/1998/namespace}lang": "de"})
    SubElement(message, "{jabber:client}body").text = "soft & <light>"
    SubElement(message, "{y}x")
    assert (
        serialise(message)
        == '<message to="a@b" xml:lang="de"><body>soft &amp; &lt;light&gt;</body><x xmlns="y"/></message>'
    )


def nested(depth: int) -> Element:
    root = Element("{jabber:client}message")
    inner = root
    for _ in range(depth - 1):
        inner = SubElement(inner, "{y}x")
    return root


BAD: list[Element] = [
    Element("{jabber:client}message", {"a": "\x00"}),
    Element("{jabber:client}message", {"a": "\ud800"}),
    Element("{jabber:client}message", {"a": 5}),  # type: ignore[dict-item]
    Element("{jabber:client}message", {"xmlns": "y"}),
    Element("{jabber:client}message", {"x='1' y": "z"}),
    Element("{jabber:client}message", {"{a}b}c": "z"}),
    Element("{jabber:client}message", {"{http://www.w3.org/2000/xmlns/}c": "z"}),
    Element("{http://www.w3.org/XML/1998/namespace}message"),
    Element("{jabber:client}a:b"),
    Element("{jabber:client}"),
    Element("{jabber:client}a><b"),
    Element("{jabber:client}1"),
    ElementTree.Comment("x"),  # type: ignore[list-item]
    ElementTree.ProcessingInstruction("x"),  # type: ignore[list-item]
    nested(limits.MAX_STANZA_DEPTH + 1),
]


@pytest.mark.parametrize("element", BAD, ids=range(len(BAD)))
def test_what_has_no_xml_form_is_refused(element: Element) -> None:
    with pytest.raises(StanzaError):
        serialise(element)


def test_the_deepest_stanza_we_send_is_one_we_accept() -> None:
    assert len(read(HEAD + serialise(nested(limits.MAX_STANZA_DEPTH)).encode())) == 2


@pytest.mark.parametrize("text", ["<message><body>x</body></message>", "<iq type='get'><q xmlns='y'/></iq>"])
def test_text_is_taken_as_xml(text: str) -> None:
    assert canonicalize(wrap(serialise(parse_stanza(text)))) == canonicalize(wrap(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "<message>",
        "</message>",
        "<message/><message/>",
        "<message/>x",
        "</s:stream>",
        "<message/></s:stream><s:stream>",
        "<message/></s:stream><!--",
        "<!DOCTYPE x><message/>",
        "<?xml version='1.0'?><message/>",
        "<message>\ud800</message>",
        "<p:message/>",
    ],
)
def test_text_that_is_not_one_element_is_refused(text: str) -> None:
    with pytest.raises(StanzaError) as caught:
        parse_stanza(text)
    assert "\n" not in str(caught.value)
