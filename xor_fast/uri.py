"""RELOAD URIs: a peer, or a value stored at a resource, as text (RFC 6940 14.15).

reload://<hex of a Destination List>@<overlay name>/[<hex of a StoredDataSpecifier>]
"""

import re
from collections.abc import Mapping

import msgspec

from xor_fast.cext import codec
from xor_fast.errors import WireError
from xor_fast.messages import DataModel, Destination, DestinationType, StoredDataSpecifier

# `overlay` is a reg-name of RFC 3986; digits and scheme come in both cases (RFC 3986 3.1, RFC 5234 2.3).
_FORM = re.compile(
    r"reload://(?P<destination>[0-9a-f]+)"
    r"@(?P<overlay>(?:[a-z0-9._~!$&'()*+,;=-]|%[0-9a-f]{2})+)"
    r"/(?P<specifier>[0-9a-f]*)",
    re.ASCII | re.IGNORECASE,
)


class ReloadUri(msgspec.Struct, frozen=True):
    """destination_list: the way to the peer; specifier: which of its data, or None for the peer itself.

    Raises WireError from `str()` for what could not be read back.
    """

    destination_list: tuple[Destination, ...]
    overlay_name: str
    specifier: StoredDataSpecifier | None = None

    def __str__(self) -> str:
        _check_route(self.destination_list)
        encoded = b"".join(map(codec.encode_struct, self.destination_list))
        specifier = b"" if self.specifier is None else codec.encode_struct(self.specifier)
        text = f"reload://{encoded.hex()}@{self.overlay_name}/{specifier.hex()}"
        _match(text)
        return text


def node_uri(node_id: bytes, overlay_name: str) -> ReloadUri:
    """The URI of a node, as certificates hold it (11.3)."""
    return ReloadUri((Destination(DestinationType.NODE, node_id),), overlay_name)


def parse_reload_uri(text: str, node_id_length: int = 16, kinds: Mapping[int, DataModel] | None = None) -> ReloadUri:
    """Read a URI of an overlay with this node-id-length; `kinds` as for `codec.decode_message`.

    Raises WireError; its offset counts characters for the form, else bytes of the part that is named.
    """
    match = _match(text)
    found = _destination_list(_unhex(match["destination"], "Destination List"), node_id_length)
    _check_route(found)
    specifier = None
    if match["specifier"]:
        encoded = _unhex(match["specifier"], "StoredDataSpecifier")
        specifier = codec.decode_struct(StoredDataSpecifier, encoded, node_id_length, kinds)
    return ReloadUri(found, match["overlay"], specifier)


def _match(text: str) -> re.Match[str]:
    match = _FORM.fullmatch(text)
    if match is None:
        raise WireError(0, "RELOAD URI", "not of the form reload://DESTINATIONS@OVERLAY/[SPECIFIER] (RFC 6940 14.15)")
    return match


def _unhex(digits: str, structure: str) -> bytes:
    if len(digits) % 2:
        raise WireError(len(digits) // 2, structure, "half a byte at the end")
    return bytes.fromhex(digits)


def _destination_list(data: bytes, node_id_length: int) -> tuple[Destination, ...]:
    """Concatenated Destinations without a length ahead of them (14.15)."""
    found, at = [], 0
    while at < len(data):
        size = 2 if data[at] >= 0x80 else 2 + data[at + 1] if at + 1 < len(data) else 1
        found.append(codec.decode_struct(Destination, data[at : at + size], node_id_length))
        at += size
    return tuple(found)


def _check_route(destination_list: tuple[Destination, ...]) -> None:
    """A way from anywhere begins with a node or a resource: an opaque id is understood by its maker only (6.3.2.2).
    It also tells a bare Node-ID, which other software writes here, from the Destination that belongs here (notes 3.8).
    """
    if not destination_list or destination_list[0].type not in (DestinationType.NODE, DestinationType.RESOURCE):
        raise WireError(0, "Destination List", "does not begin with a node or a resource")
