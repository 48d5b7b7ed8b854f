"""Preparation of bare JIDs, against RFC 7622 (3.5 examples, and the rules of 3.1 to 3.3)."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xor_fast.cext import ids
from xor_fast.errors import OwnerError
from xor_fast.usages.xmpp.jid import JIDError, prepare_bare, split_resource

# RFC 7622 3.5, table 1: all that are valid, with the bare address each is compared by.
RFC_VALID = [
    ("juliet@example.com", "juliet@example.com"),
    ("juliet@example.com/foo", "juliet@example.com"),
    ("juliet@example.com/foo bar", "juliet@example.com"),
    ("juliet@example.com/foo@bar", "juliet@example.com"),
    ("foo\\20bar@example.com", "foo\\20bar@example.com"),
    ("fussball@example.com", "fussball@example.com"),
    ("fu\u00dfball@example.com", "fu\u00dfball@example.com"),  # differs from the line above: sharp s stays
    ("\u03c0@example.com", "\u03c0@example.com"),
    ("\u03a3@example.com/foo", "\u03c3@example.com"),
    ("\u03c3@example.com/foo", "\u03c3@example.com"),
    ("\u03c2@example.com/foo", "\u03c2@example.com"),
    ("king@example.com/\u265a", "king@example.com"),
    ("example.com", "example.com"),
    ("example.com/foobar", "example.com"),
    ("a.example.com/b@example.net", "a.example.com"),
]

# RFC 7622 3.5, table 2, less the one that is wrong in its resource part only.
RFC_INVALID = [
    '"juliet"@example.com',
    "foo bar@example.com",
    "@example.com/",
    "henry\u2163@example.com",
    "\u265a@example.com",
    "juliet@",
    "/foobar",
]

MORE_VALID = [
    ("Juliet@CAPULET.lit/balcony", "juliet@capulet.lit"),
    ("J\u00dcRGEN@\u00d6BB.at", "j\u00fcrgen@\u00f6bb.at"),
    ("ju\u0308rgen@x.at", "j\u00fcrgen@x.at"),  # NFC
    ("\uff4a\uff55\uff4c\uff49\uff45\uff54@example.com", "juliet@example.com"),  # width mapping
    ("j@\uff41\uff42.lit", "j@ab.lit"),
    ("juliet@xn--bb-eka.at", "juliet@\u00f6bb.at"),  # 3.2: an A-label becomes a U-label
    ("juliet@XN--bb-EKA.at", "juliet@\u00f6bb.at"),
    ("juliet@fa\u00df.de", "juliet@fa\u00df.de"),
    ("j@\u4f8b\u3048\u3002\u30c6\u30b9\u30c8", "j@\u4f8b\u3048.\u30c6\u30b9\u30c8"),  # ideographic full stop
    ("j@\u0391\u03a3.gr", "j@\u03b1\u03c3.gr"),  # not the final sigma of str.lower()
    ("juliet@example.com.", "juliet@example.com"),  # 3.2: the last dot is stripped
    ("juliet@[2001:DB8:0::1]/r", "juliet@[2001:db8::1]"),
    ("juliet@127.0.0.1", "juliet@127.0.0.1"),
    ("\u05d0\u05d1@example.com", "\u05d0\u05d1@example.com"),
    ("o!#$%()*+,-.;=?[\\]^_`{|}~z@x.y", "o!#$%()*+,-.;=?[\\]^_`{|}~z@x.y"),
    ("x" * 1023 + "@a.b", "x" * 1023 + "@a.b"),
]

MORE_INVALID = [
    "",
    "@",
    "@example.com",
    "juliet@example.com/",
    "a@b@c",
    "a&b@c",
    "a'b@c",
    "a:b@c",
    "a<b@c",
    "a>b@c",
    "\uff20@a",  # fullwidth @ in the local part
    "j\x00@a",
    "j\x7f@a",
    "a\u200bb@example.com",
    "\u05d0\u05d1a@example.com",  # bidi rule
    "x" * 1024 + "@a.b",
    "\u00fc" * 512 + "@a.b",  # 1024 bytes of UTF-8
    "juliet@" + "a" * 64 + ".com",
    "juliet@" + "\u00f6" * 60 + ".com",  # its A-label is too long
    "juliet@" + ".".join(["a" * 60] * 17),
    "juliet@exam_ple.com",
    "juliet@-a.com",
    "juliet@a-.com",
    "juliet@a..b",
    "juliet@.",
    "juliet@a b",
    "juliet@ab--cd.com",  # reserved LDH label, no A-label
    "juliet@xn--a.com",
    "juliet@[::1",
    "juliet@[fe80::1%eth0]",
    "juliet@[x]",
    "j@\ud800",
    "\ud800@a",
    "a" * 100_000,
]


@pytest.mark.parametrize(("text", "prepared"), RFC_VALID + MORE_VALID)
def test_prepared_as_rfc_7622_says(text: str, prepared: str) -> None:
    assert prepare_bare(text) == prepared
    assert prepare_bare(prepared) == prepared


@pytest.mark.parametrize("text", RFC_INVALID + MORE_INVALID)
def test_refused_with_a_reason(text: str) -> None:
    with pytest.raises(JIDError) as caught:
        prepare_bare(text)
    assert isinstance(caught.value, OwnerError)
    assert caught.value.reason
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1500


@given(st.text(max_size=40))
def test_any_text_is_prepared_once_and_for_all_or_refused(text: str) -> None:
    try:
        prepared = prepare_bare(text)
    except JIDError:
        return
    assert prepare_bare(prepared) == prepared
    assert unicodedata.is_normalized("NFC", prepared)
    assert "/" not in prepared
    assert prepared.encode()


@given(st.text(alphabet=[chr(code) for code in range(128)], min_size=1, max_size=6))
def test_ascii_short_cut_agrees_with_precis(local: str) -> None:
    """The short cut for ASCII local parts against the full PRECIS profile (precis-i18n is the oracle)."""
    from precis_i18n import get_profile

    if any(letter in "\"&'/:<>@" for letter in local):
        return
    try:
        expected = get_profile("UsernameCaseMapped").enforce(local) + "@x"
    except UnicodeEncodeError:
        with pytest.raises(JIDError):
            prepare_bare(local + "@x")
    else:
        assert prepare_bare(local + "@x") == expected


def test_resource_id_is_the_hash_of_the_prepared_address_alone() -> None:
    # printf %s juliet@capulet.lit | sha1sum | cut -c-32
    assert ids.resource_id(prepare_bare("Juliet@CAPULET.lit/x").encode()).hex() == "ea94443670c76cc48e9c3fc78b4abe22"


def test_split_resource_takes_the_first_slash() -> None:
    assert split_resource("a@b/c/d@e") == ("a@b", "c/d@e")
    assert split_resource("a@b") == ("a@b", None)
    assert split_resource("a@b/") == ("a@b", "")
