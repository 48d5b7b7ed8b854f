"""Node-IDs and Resource-IDs: hashing of names and arithmetic on the ring (RFC 6940 10.1, 10.2).

Ids are `bytes` of 16 to 20 bytes in network order, so that they sort as the numbers they stand for;
all arithmetic is modulo 2^(8 * length). A wrong length or two ids of different lengths raise ValueError.
"""

def resource_id(name: bytes) -> bytes:
    """First 16 bytes of SHA-1 over a Resource Name (RFC 6940 10.2). Nothing secret hangs on this hash."""

def overlay_hash(name: bytes) -> int:
    """Low 32 bits of SHA-1 over the overlay name, for the header's overlay field (RFC 6940 6.3.2)."""

def distance(a: bytes, b: bytes) -> bytes:
    """Clockwise distance from a to b: (b - a) modulo the ring."""

def between(a: bytes, x: bytes, b: bytes) -> bool:
    """Is x in the clockwise interval (a, b]? With a == b the interval is the whole ring (RFC 6940 10.1)."""

def add_power(a: bytes, exponent: int) -> bytes:
    """a + 2^exponent, modulo the ring; 0 <= exponent < 8 * length."""

def finger_start(a: bytes, i: int) -> bytes:
    """Start of the i-th finger's range, a + 2^(bits - i), i from 1 (RFC 6940 10.5, 10.7.4.2)."""

def successor_id(a: bytes) -> bytes:
    """a + 1: the Resource-ID a joining node attaches to (RFC 6940 10.5 step 2)."""
