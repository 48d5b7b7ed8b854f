"""Frames and the forwarding header, as bytes (RFC 6940 6.3.2, 6.6.2). Needs nothing but `xor_fast.errors`.

For whole messages see `xor_fast.cext.codec`; for a relay see `xor_fast.cext.switch`.
"""

class HeaderView:
    """What a forwarding header says; made by `peek`. Sizes are bytes, offsets count from the start of the message."""

    @property
    def overlay(self) -> int: ...
    @property
    def configuration_sequence(self) -> int: ...
    @property
    def version(self) -> int: ...
    @property
    def ttl(self) -> int: ...
    @property
    def fragment(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def transaction_id(self) -> int: ...
    @property
    def max_response_length(self) -> int: ...
    @property
    def via_list(self) -> bytes:
        """Encoded Destinations, as received."""
    @property
    def destination_list(self) -> bytes: ...
    @property
    def options(self) -> bytes: ...
    @property
    def header_size(self) -> int:
        """Where the message contents start."""

def peek(data: bytes) -> HeaderView:
    """Read the forwarding header alone. WireError if it is not one; what follows the header is not looked at."""

def data_frame(sequence: int, message: bytes) -> bytes:
    """FramedMessage of type data (6.6.2)."""

def ack_frame(ack_sequence: int, received: int) -> bytes:
    """FramedMessage of type ack (6.6.2)."""

def split_frames(data: bytes) -> tuple[list[tuple[int, int, bytes | int]], int]:
    """Whole frames at the start of data, and how many bytes they take.

    A data frame is (128, sequence, message), an ack (129, ack_sequence, received). WireError on another type.
    """

def rewrite(message: bytes, ttl: int, via_node_id: bytes | None, strip: int = 0) -> bytes:
    """The message as a forwarder sends it on: ttl set, one Node-ID appended to the via list if given, the first
    `strip` entries of the destination list removed, length recomputed; all else byte for byte (6.1.2)."""
