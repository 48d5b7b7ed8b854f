"""Bare JIDs prepared for comparison (RFC 7622): what a location is stored and looked up under.

Two writers of the same address must arrive at the same bytes, or they meet at different places of the ring:
the Resource Name is the UTF-8 of the prepared bare JID (XEP-0415 9). The asker prepares; a storer never does.
"""

import ipaddress
import re
import unicodedata

import idna
from precis_i18n import get_profile

from xor_fast.errors import OwnerError

MAX_PART = 1023  # bytes of UTF-8 in each part, RFC 7622 3.1

# All ASCII of PRECIS' IdentifierClass less the characters RFC 7622 3.3.1 excludes from a localpart: "&'/:<>@
_ASCII_LOCAL = re.compile(r"[!#-%(-.0-9;=?A-Z\[-`a-z{-~]{1,1023}")
_ASCII_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_EXCLUDED = frozenset("\"&'/:<>@")
_USERNAME = get_profile("UsernameCaseMapped")


class JIDError(OwnerError):
    """A text that is not the address of an XMPP user; says which part is wrong and why."""

    def __init__(self, jid: str, reason: str) -> None:
        super().__init__(f"{jid[:80]!a} is not a JID: {reason}")
        self.reason = reason


def split_resource(jid: str) -> tuple[str, str | None]:
    """The bare JID as it stands, and the resource part, None if there is no "/" (RFC 7622 3.1)."""
    bare, slash, resource = jid.partition("/")
    return bare, resource if slash else None


def prepare_bare(jid: str) -> str:
    """Drop the resource part and prepare the rest by RFC 7622 3.2 and 3.3; preparing twice changes nothing.

    JIDError when it is no JID; a resource part may be anything, empty excepted.
    """
    bare, resource = split_resource(jid)
    if resource == "":
        raise JIDError(jid, "nothing follows the '/'")
    if len(bare) > 2 * MAX_PART + 1:  # before the Unicode tables are asked about each character
        raise JIDError(jid, "it is longer than 2047 characters")
    local, at, domain = bare.partition("@") if "@" in bare else ("", "", bare)
    try:
        prepared = _domain(domain)
        return f"{_local(local)}@{prepared}" if at else prepared
    except ValueError as error:  # UnicodeError, idna.IDNAError and AddressValueError among them
        raise JIDError(jid, str(error)) from None


def _local(text: str) -> str:
    if _ASCII_LOCAL.fullmatch(text):
        return text.lower()
    if not text:
        raise ValueError("nothing stands before the '@'")
    try:
        prepared = str(_USERNAME.enforce(text))
    except UnicodeError as error:
        raise ValueError(f"the local part breaks PRECIS: {getattr(error, 'reason', error)}") from None
    if excluded := _EXCLUDED.intersection(prepared):  # after the mapping: a fullwidth '＠' becomes '@'
        raise ValueError(f"the local part must not contain {min(excluded)!r}")
    if len(prepared.encode()) > MAX_PART:
        raise ValueError(f"the local part is longer than {MAX_PART} bytes")
    return prepared


def _domain(text: str) -> str:
    if text.startswith("["):
        return f"[{_ipv6(text)}]"
    mapped = _map_domain(text).removesuffix(".")  # RFC 7622 3.2: the dot of the root is no part of the address
    if not mapped:
        raise ValueError("there is no domain part")
    prepared = ".".join(label if _is_plain(label) else _u_label(label) for label in mapped.split("."))
    if len(prepared.encode()) > MAX_PART:
        raise ValueError(f"the domain part is longer than {MAX_PART} bytes")
    return prepared


def _map_domain(text: str) -> str:
    """Lower case, normal width, NFC, and the ideographic full stop as a dot (RFC 5895 2, asked for by RFC 7622 3.2)."""
    if text.isascii():
        return text.lower()
    # Letter by letter: str.lower() of a whole word would make a final sigma of the last capital one.
    narrow = "".join(_narrow(letter).lower() for letter in text)
    return unicodedata.normalize("NFC", narrow).replace("\u3002", ".")


def _narrow(letter: str) -> str:
    kind, _, mapping = unicodedata.decomposition(letter).partition(" ")
    return "".join(chr(int(code, 16)) for code in mapping.split()) if kind in ("<wide>", "<narrow>") else letter


def _is_plain(label: str) -> bool:
    """A letter-digit-hyphen label that is neither an A-label nor kept for another such scheme (RFC 5890 2.3.1)."""
    return _ASCII_LABEL.fullmatch(label) is not None and label[2:4] != "--"


def _u_label(label: str) -> str:
    if not label:
        raise ValueError("the domain part has an empty label")
    if label.isascii() and not label.startswith("xn--"):
        raise ValueError(f"{label!r} is not a label of a domain name")
    u_label = str(idna.ulabel(label))
    idna.alabel(u_label)  # its ASCII form must fit the 63 bytes of a label too
    return u_label


def _ipv6(text: str) -> str:
    if not text.endswith("]") or "%" in text:  # a zone means nothing to another host
        raise ValueError(f"{text!r} is not an IPv6 address in brackets")
    return str(ipaddress.IPv6Address(text[1:-1]))
