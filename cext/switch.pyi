"""The data plane: bytes of links in, bytes of links out; answers, drops or forwards each message in one pass.

Sans-I/O. The driver feeds `receive` and, before it waits, sends what `sends` gives and lets the node take the inbox.
A link is a small integer: a slot and a generation, so that a late event of a reused slot is recognised.
Nothing a peer sends raises: it is counted in `counters` and at most put into the inbox with its verdict.
Counters: received, acked, delivered, forwarded, originated, bytes_in, bytes_out, and drop_* for each kind of drop.
"""

from enum import IntEnum
from typing import NamedTuple, final

from .ring import Ring

SELF: int
"""The link number of messages we sent to ourselves."""

class Verdict(IntEnum):
    DELIVER = 0
    """For us: verify and handle."""
    FORWARDED = 1
    DROPPED = 2
    """Counted; nothing else to do."""
    TTL_EXCEEDED = 3
    """A request to be answered with Error_TTL_Exceeded."""
    UNSUPPORTED_OPTION = 4
    """A request with an unknown FORWARD_CRITICAL option, to be answered with Error_Unsupported_Forwarding_Option."""
    INCOMPATIBLE = 5
    """Other overlay or version in an otherwise sound header: Error_Incompatible_with_Overlay."""
    TOO_LARGE = 6
    """A request above the overlay's max-message-size, as received or with the Via entry we would add:
    Error_Message_Too_Large. Only in the first case has the link to be closed (6.6)."""

    INVALID = 7
    """A request whose destination list names somebody twice: Error_Invalid_Message (13.6.5)."""

    UNATTACHED = 8
    """From a link that has not attached; not routed yet (see `bind_link`)."""

class ViaLists(IntEnum):
    """How a request is passed on so that its answer finds the way back (6.1.2)."""

    WHOLE = 0
    """With the previous hop's Node-ID at the end of its via list."""
    LINK_IDS = 1
    """With two bytes there: the slot of the link it came over, and the slot's generation (6.3.2.2)."""
    STATE = 2
    """With an opaque id in the place of a via list of several entries, which is kept here as long as a request lives.
    When there is no room for one more, or none for one so long: as WHOLE, and counted as via_not_shortened."""

class Received(NamedTuple):
    """A message in the inbox, whole and exactly as received: own entries ahead of the last Destination included."""

    link: int
    verdict: Verdict
    message: bytes

@final
class Switch:
    ring: Ring
    node_id: bytes
    @property
    def overlay(self) -> int: ...
    @property
    def initial_ttl(self) -> int: ...
    @property
    def max_message_size(self) -> int: ...
    def __init__(
        self,
        ring: Ring,
        overlay: int,
        *,
        initial_ttl: int = 100,
        max_message_size: int = 5000,
        first_generation: int = 0,
        via_lists: int = ViaLists.WHOLE,
        secret: bytes = b"",
        request_lifetime: float = 15.0,
    ) -> None:
        """overlay: the header field (`ids.overlay_hash`); first_generation: random, 0 to 7, where the slots' generation
        counters start (6.3.2.2). With ViaLists.STATE: secret, 32 random bytes that nobody else knows, and how long a
        request lives, seconds."""
    def open_link(self, now: float, node_id: bytes, *, is_bound: bool = True) -> int:
        """A connection whose certificate proved node_id. -1 when the table or the node's share of it is full.
        The newest link of a Node-ID is the one that is written to. Slots are handed out in rotation (6.3.2.2)."""
    def bind_link(self, link: int, node_id: bytes, is_attached: bool) -> bool:
        """For links opened with is_bound=False, whose certificate has several Node-IDs (6.1.2): from now on it is that
        node's. Until it has attached, what it sends waits in the inbox as UNATTACHED, and before it was bound to any
        Node-ID nothing is sent to it but by its number, and it counts for none. False, and nothing changes: the node's
        share of the table is full. ValueError for a link that is not open."""
    def pass_held(self, now: float, link: int, message: bytes) -> None:
        """Let a message that was UNATTACHED go the way it would have gone."""
    def close_link(self, link: int) -> None:
        """Forget a link and its outbox. An unknown or stale number is ignored."""
    def link_of(self, node_id: bytes) -> int:
        """The link to write to for a directly connected node, or -1."""
    def node_of(self, link: int) -> bytes | None: ...
    def links(self) -> list[int]: ...
    def set_full(self, link: int, is_full: bool) -> None:
        """The driver's buffer of this link is above its mark: messages and ACKs for it are dropped and counted, own
        ones too (a peer that asks and does not read must not make us keep the answers)."""
    def receive(self, now: float, link: int, data: bytes | bytearray | memoryview) -> bool:
        """Bytes of a link; data is used only during the call. False: the link broke the framing, close it."""
    def originate(self, now: float, message: bytes, link: int = -1) -> Verdict:
        """Send an own message (whole, ttl as it shall leave). With link >= 0 it goes out there whatever the table
        says; else by its first Destination, by the same rules as a received one. For ourselves: into the inbox.

        DELIVER, FORWARDED or DROPPED (counted); TTL_EXCEEDED when its ttl is above initial_ttl and TOO_LARGE when it is
        above max_message_size: not sent. WireError when it has no sound forwarding header."""
    def first_hop(self, message: bytes) -> int:
        """The link `originate` would use now, SELF, or -1."""
    def sends(self) -> list[tuple[int, bytes]]:
        """What waits for each link, joined; empties the outboxes."""
    @property
    def dirty(self) -> bool:
        """Is there anything for `sends` to give?"""
    @property
    def has_inbox(self) -> bool: ...
    def take_inbox(self) -> list[Received]: ...
    def silent_links(self, now: float) -> list[int]:
        """Links whose oldest frame without ACK has waited for their RTO (RFC 6298, 6.6.5)."""
    @property
    def silence_at(self) -> float:
        """When `silence_changes` has something to tell; infinity while no frame waits for its ACK."""
    def silence_changes(self, now: float) -> list[tuple[int, bool]]:
        """Which links have fallen silent (True) or speak again (False) since this was asked last."""
    def idle_since(self, link: int) -> float:
        """When this link last gave us anything."""
    def rtt(self, link: int) -> float:
        """Smoothed round-trip time in seconds from frame ACKs, 0.0 while unknown."""
    @property
    def counters(self) -> dict[str, int]:
        """Messages forwarded, delivered, originated, bytes in and out, and one counter for each kind of drop."""
