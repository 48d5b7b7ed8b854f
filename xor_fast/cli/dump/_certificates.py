"""Names in a certificate that may be any stranger's. Not public: the types of `cryptography` are not all complete."""

import re

from cryptography import x509

from xor_fast.trust.certificates import XMPP_ADDR, utf8_content


def node_ids_of(certificate: x509.Certificate) -> list[bytes]:
    """Of its RELOAD URIs (RFC 6940 14.15), whatever overlay they name; also bare ones, as some software writes them."""
    found = []
    for uri in _names(certificate, x509.UniformResourceIdentifier):
        match = re.match(r"reload://((?:[0-9a-f]{2})+)@", uri, re.IGNORECASE)
        destination = bytes.fromhex(match[1]) if match else b""
        if len(destination) > 2 and destination[0] == 1 and destination[1] == len(destination) - 2:
            found.append(destination[2:])
        elif 16 <= len(destination) <= 20:
            found.append(destination)
    return found


def user_of(certificate: x509.Certificate) -> str:
    """Its user name (RFC 6940 11.3), or ""."""
    names = [utf8_content(n.value).decode() for n in _names(certificate, x509.OtherName) if n.type_id == XMPP_ADDR]
    return next((name for name in names + list(_names(certificate, x509.RFC822Name)) if name), "")


def clean(foreign: str) -> str:
    """As a terminal may show it: characters that do not print could command it."""
    return "".join(c if c.isprintable() else "?" for c in foreign)


def _names(certificate: x509.Certificate, kind: type) -> list:  # type: ignore[type-arg]
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return extension.value.get_values_for_type(kind)
    except Exception:  # what the library raises over foreign bytes is an open set
        return []
