"""The Kind XMPP-LOCATION and the locations stored under it (XEP-0415 4 and 9): a user's routes and forwards."""

from collections.abc import Iterable
from typing import NamedTuple

from xor_fast import limits
from xor_fast.cext import codec
from xor_fast.config import KindDefinition
from xor_fast.errors import WireError
from xor_fast.messages import DataModel, Destination, DestinationType, XmppLocation, XmppLocationType
from xor_fast.usages.xmpp.jid import JIDError, prepare_bare, split_resource

APPLICATION = 5222  # of AppAttach (XEP-0415 6.1)

# 11.1 has the Kind-ID 0x5; counts and sizes are ours (notes 8.19). USER-NODE-MATCH is all the access rule there is: the
# storing peer prepares no address, it compares the bytes of the certificate (4.4).
XMPP_LOCATION = KindDefinition(
    0x5,
    "XMPP-LOCATION",
    DataModel.DICTIONARY,
    "USER-NODE-MATCH",
    limits.LOCATION_MAX_COUNT,
    limits.LOCATION_MAX_SIZE,
)


class Route(NamedTuple):
    """ "In order to contact me, form a connection with this peer", the last entry of the list. priority: 0 first."""

    priority: int
    destination_list: tuple[Destination, ...]


class Forward(NamedTuple):
    """ "In order to contact me, dereference this XMPP address", a prepared bare JID."""

    jid: str


def location_kind(kinds: Iterable[KindDefinition]) -> KindDefinition:
    """The overlay's own definition, found by its name for its Kind-ID may differ (notes 8.1); else the one above."""
    return next((kind for kind in kinds if kind.name == XMPP_LOCATION.name), XMPP_LOCATION)


def route_to(node_ids: Iterable[bytes], priority: int = 0) -> bytes:
    """A location: a destination list of Node-IDs, ours the last (4.2)."""
    destination_list = tuple(Destination(DestinationType.NODE, node_id) for node_id in node_ids)
    return codec.encode_struct(
        XmppLocation(XmppLocationType.ROUTE, priority=priority, destination_list=destination_list)
    )


def forward_to(jid: str) -> bytes:
    """A location: another address, which is prepared here (4.2). JIDError if it is none, or has a resource part."""
    if split_resource(jid)[1] is not None:
        raise JIDError(jid, "a forward goes to a bare JID, without a resource part")
    return codec.encode_struct(XmppLocation(XmppLocationType.ADDRESS, address=prepare_bare(jid).encode()))


def read_location(value: bytes, node_id_length: int = 16) -> Route | Forward | None:
    """A stored location as one to use; None for what cannot be used, which spoils nothing beside it.

    That is what does not parse, a type of the future (4.2: "can be extended"), a route that does not end at a node,
    and an address that is no bare JID.
    """
    try:
        location = codec.decode_struct(XmppLocation, value, node_id_length)
        if location.type == XmppLocationType.ADDRESS:
            address = location.address.decode()
            return Forward(prepare_bare(address)) if split_resource(address)[1] is None else None
    except (WireError, UnicodeDecodeError, JIDError):
        return None
    ends_at_node = location.destination_list and location.destination_list[-1].type == DestinationType.NODE
    return Route(location.priority, location.destination_list) if ends_at_node else None
